"""Labels, help texts, error messages and documentation use the terms of docs/glossary.md."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
GLOSSARY = ROOT / "docs" / "glossary.md"
PAGES = sorted({ROOT / "README.md", *(ROOT / "docs").rglob("*.md")} - {GLOSSARY})
CARDS = sorted((ROOT / "data").rglob("card.yaml"))
MODULES = sorted(f for place in ("xai_views", "dashboard") for f in (ROOT / place).rglob("*.py"))
SCRIPTS = sorted(f for place in ("xai_views", "dashboard") for f in (ROOT / place).rglob("*.js"))
#: Arguments whose strings Panel and param draw as the label of a control.
LABELS = {"label", "name", "title"}
#: An avoided phrase of the glossary; after "=" it is avoided as a whole text only.
QUOTED = re.compile(r'(=?)"([^"]+)"')
#: A string of JavaScript without line breaks.
SCRIPT_STRING = re.compile(r"""(["'`])((?:\\.|(?!\1)[^\\\n])*)\1""")


@cache
def rows() -> list[tuple[str, str, str]]:
    """Return the rows of the glossary: term, meaning, and phrases that are not used."""
    lines = GLOSSARY.read_text(encoding="utf-8").splitlines()
    cells = [[c.strip() for c in line.strip("|").split("|")] for line in lines if line.startswith("| **")]
    assert all(len(row) == 3 for row in cells), "three columns, and no | within a cell"
    return [(row[0], row[1], row[2]) for row in cells]


@cache
def avoided() -> re.Pattern:
    """Return a pattern for the phrases of the last column: whole words, over line breaks too."""

    def way(whole: str, phrase: str) -> str:
        words = r"\s+".join(map(re.escape, phrase.split()))
        return rf"\A\W*{words}\W*\Z" if whole else rf"(?<!\w){words}(?!\w)"

    phrases = sorted({found for row in rows() for found in QUOTED.findall(row[2])}, key=lambda f: -len(f[1]))
    return re.compile("|".join(way(*found) for found in phrases), re.IGNORECASE)


def labels() -> list[str]:
    """Return the labels of the first table, as the pages show them."""
    first = GLOSSARY.read_text(encoding="utf-8").split("## In the field")[0]
    return re.findall(r"^\| \*\*([^*]+)\*\*", first, re.MULTILINE)


def strings(node: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield line and text of every string but docstrings; ``{}`` stands for the values of an f-string."""
    if isinstance(node, ast.JoinedStr):
        parts = (str(v.value) if isinstance(v, ast.Constant) else "{}" for v in node.values)
        yield node.lineno, "".join(parts)
    elif isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.lineno, node.value
    elif not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)):
        for child in ast.iter_child_nodes(node):
            yield from strings(child)


def written_labels(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield line and text of the labels that a module gives to controls, tabs and panels."""
    for node in ast.walk(tree):
        if isinstance(node, ast.keyword) and node.arg in LABELS:
            yield from strings(node.value)


def script_strings(text: str) -> Iterator[tuple[int, str]]:
    """Yield line and text of every string of a script."""
    text = without_comments(text)
    for found in SCRIPT_STRING.finditer(text):
        yield text.count("\n", 0, found.start()) + 1, found[2]


def texts(file: Path) -> Iterator[tuple[int, str]]:
    """Yield line and text of all that a file lets people read."""
    text = file.read_text(encoding="utf-8")
    if file.suffix == ".py":
        yield from strings(ast.parse(text))
    elif file.suffix == ".js":
        yield from script_strings(text)
    else:
        yield 1, without_code(text) if file.suffix == ".md" else text


def offenders(file: Path) -> list[str]:
    """Return the places of a file that use an avoided phrase: ``path:line: "phrase" in …``."""
    where = file.relative_to(ROOT) if file.is_relative_to(ROOT) else file.name
    return [
        f'{where}:{line + text.count(chr(10), 0, hit.start())}: "{" ".join(hit[0].split())}" in '
        + " ".join(text[max(0, hit.start() - 50) : hit.end() + 50].split())
        for line, text in texts(file)
        for hit in avoided().finditer(text)
    ]


def without_code(text: str) -> str:
    """Return a page without its code, with its lines kept."""
    text = re.sub(r"^```.*?^```", lambda m: "\n" * m[0].count("\n"), text, flags=re.DOTALL | re.MULTILINE)
    return re.sub(r"`[^`\n]*`", "", text)


def without_comments(text: str) -> str:
    """Return a script without its comments, with its lines kept."""
    text = re.sub(r"/\*.*?\*/", lambda m: "\n" * m[0].count("\n"), text, flags=re.DOTALL)
    return re.sub(r"(^|\s)//[^\n]*", r"\1", text)


def test_the_glossary_lists_each_term_and_each_avoided_phrase_once():
    terms = [term.lower() for row in rows() for term in re.findall(r"\*\*([^*]+)\*\*", row[0])]
    phrases = [phrase.lower() for row in rows() for _, phrase in QUOTED.findall(row[2])]
    assert len(terms) > 50
    assert len(phrases) > 50
    assert len(set(terms)) == len(terms)
    assert len(set(phrases)) == len(phrases)
    assert not set(terms) & set(phrases)


@pytest.mark.parametrize(
    "files", [PAGES, CARDS, MODULES, SCRIPTS], ids=["pages", "cards", "python", "javascript"]
)
def test_texts_use_the_terms_of_the_glossary(files):
    assert files
    found = [line for file in files for line in offenders(file)]
    assert not found, "\n".join(["docs/glossary.md lists the terms to use:", *found])


def test_a_label_of_the_glossary_is_written_alike_everywhere():
    """``Ground Truth`` beside ``Ground truth`` is a second name for the same control."""
    wanted = {label.lower(): label for label in labels() if label[0].isupper()}
    found = [
        f"{file.relative_to(ROOT)}:{line}: {text!r}, the glossary has {wanted[plain.lower()]!r}"
        for file in MODULES
        for line, text in written_labels(ast.parse(file.read_text("utf-8")))
        if (plain := text.strip(" :")).lower() in wanted and plain != wanted[plain.lower()]
    ]
    assert not found, "\n".join(found)


def test_every_label_of_the_glossary_is_in_the_code():
    written = [text for file in (*MODULES, *SCRIPTS) for _, text in texts(file)]
    shown = [label for label in labels() if label[0].isupper()]
    assert [label for label in shown if not any(label in text for text in written)] == []


def test_the_page_about_the_workbench_names_every_label():
    page = (ROOT / "docs" / "workbench.md").read_text("utf-8")
    assert [label for label in labels() if not re.search(rf"\*\*{re.escape(label)}\.?\*\*", page)] == []


@pytest.mark.parametrize("page", sorted({*PAGES, GLOSSARY}), ids=lambda page: page.name)
def test_a_page_begins_with_its_title(page):
    assert re.match(r"# \S.*\n\n", page.read_text("utf-8"))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.py", 'pn.widgets.Select(name="Explain class")\n'),
        ("a.py", 'pn.widgets.Button(name="Start again")\n'),
        ("a.py", 'class A:\n    key, title = "a", "The asked class"\n'),
        ("a.py", 'def f(x):\n    raise ValueError(f"{x} was taken " "away")\n'),
        ("a.py", 'param.Integer(doc="what speaks\\nfor it")\n'),
        ("a.js", 'note("Known truth")\n'),
        ("a.md", "The network is\nasked twice.\n"),
        ("card.yaml", "about: Chance is guessing.\n"),
    ],
)
def test_an_avoided_phrase_is_found(tmp_path, name, text):
    file = tmp_path / name
    file.write_text(text, encoding="utf-8")
    assert len(offenders(file)) == 1


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.py", 'def f():\n    """The asked class."""\n    return 1  # the asked class\n'),
        ("a.py", 'error = "Reload the page to start again."\n'),
        ("a.js", "// the known truth\nnote('Ground truth')\n"),
        ("a.md", "Run `known truth`.\n\n```python\nknown truth\n```\n"),
        ("a.md", "Misguessing and takenaway are other words.\n"),
    ],
)
def test_docstrings_comments_code_and_parts_of_words_are_not_found(tmp_path, name, text):
    file = tmp_path / name
    file.write_text(text, encoding="utf-8")
    assert offenders(file) == []
