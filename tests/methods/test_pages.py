"""The Python of the documentation runs and prints the output shown on the page."""

import re
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml

DOCS = Path(__file__).parent.parent.parent / "docs"
#: All method pages are run, including new ones, and the tutorials.
METHODS = sorted(
    f"methods/{p.name}" for p in (DOCS / "methods").glob("*.md") if "```python" in p.read_text("utf-8")
)
PAGES = ("clever-hans.md", "foreign-models.md", *METHODS)
MODELS = DOCS.parent / "data" / "models"
SHORTCUT = ("birds-cnn", "birds-cnn-watermark")
#: Optional packages that a page may use, and the import that needs them.
OPTIONAL = {"transformers": "from transformers import", "neurokit2": "ecg.landmarks import"}
#: Numbers; the number in the name of a class does not count.
NUMBER = re.compile(r"(?<!bird )(?<![\w.])[-+]?\d+(?:\.\d+)?(?:e[-+]?\d+)?")


def blocks(page: str) -> list[tuple[str, str]]:
    """Each Python block of a page with the text block that follows it, or with nothing."""
    text = (DOCS / page).read_text(encoding="utf-8")
    return re.findall(r"```python\n(.*?)```\n(?:\n```text\n(.*?)```)?", text, re.DOTALL)


def compare(said: str, written: str) -> None:
    """Compare words exactly and numbers up to rounding; counts may differ by one between machines."""
    assert NUMBER.sub("#", said).split() == NUMBER.sub("#", written).split(), said
    for a, b in zip(NUMBER.findall(said), NUMBER.findall(written), strict=True):
        assert float(a) == pytest.approx(float(b), rel=0.01, abs=0.011 if "." in b else 1), said


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.slow
def test_the_code_runs_and_prints_what_the_page_says(page, capsys):
    found = blocks(page)
    assert any(written for _, written in found)
    missing = [name for name in OPTIONAL if find_spec(name) is None]

    def needs(code: str) -> list[str]:
        return [name for name in missing if OPTIONAL[name] in code]

    names: dict = {"__name__": "page"}
    for code, written in found:
        if needs(code):
            continue
        exec(compile(code, page, "exec"), names)
        said = capsys.readouterr().out
        assert bool(said.strip()) == bool(written.strip()), "the output is shown on the page"
        compare(said, written)
    left_out = sorted({name for code, _ in found for name in needs(code)})
    if left_out:
        pytest.skip(f"all but the code that needs {', '.join(left_out)} ran")


def test_a_page_that_says_something_else_is_found():
    compare("logit +8.20, bird 04\n", "logit  +8.21, bird 04")
    for other in (
        "logit +8.30, bird 04",
        "logit +8.20, bird 05",
        "logit -8.20, bird 04",
        "logits +8.20, bird 04",
    ):
        with pytest.raises(AssertionError):
            compare("logit +8.20, bird 04", other)


def test_links_between_the_pages_lead_somewhere():
    root = DOCS.parent
    for page in [root / "README.md", *DOCS.rglob("*.md")]:
        for target in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8")):
            assert "://" in target or (page.parent / target).exists(), f"{page.name}: {target}"


def test_the_figures_of_the_shortcut_are_those_of_the_cards():
    card = {n: yaml.safe_load((MODELS / n / "card.yaml").read_text("utf-8")) for n in SHORTCUT}
    metrics = [card[n]["metrics"] for n in SHORTCUT]
    marks = [m["watermark"] for m in metrics]
    others, own = (marks[0]["pictures"][k] for k in ("of_others", "of_class"))
    rows = [
        [m["test_accuracy"] for m in metrics],
        *[[round(others * m[f"others_{k}_mark_called_class"]) for m in marks] for k in ("without", "with")],
        *[[round(own * m[f"accuracy_{k}_mark"]) for m in marks] for k in ("with", "without")],
    ]
    text = (DOCS / "clever-hans.md").read_text(encoding="utf-8")
    table = [line.split("|")[2:4] for line in text.splitlines() if line.startswith("|")][2:]
    assert [[float(re.search(r"[\d.]+", cell)[0]) for cell in row] for row in table] == rows
    assert f"of {others}" in table[1][0]
    assert f"of {own}" in table[3][0]
    for name in SHORTCUT:
        assert card[name]["command"] in text


def test_the_figures_of_the_readme_are_those_of_the_cards():
    text = (DOCS.parent / "README.md").read_text(encoding="utf-8")
    for name in (*SHORTCUT, "birds-vit", "birds-vit-registers", "ecg-resnet"):
        row = next(line for line in text.splitlines() if line.startswith(f"| `{name}`"))
        metrics = yaml.safe_load((MODELS / name / "card.yaml").read_text("utf-8"))["metrics"]
        for figure in ("test_accuracy", "test_balanced_accuracy"):
            assert f"| {metrics[figure]:.3f} |" in row
