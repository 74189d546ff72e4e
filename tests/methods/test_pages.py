"""The Python of the documentation's pages runs as it stands, and prints what the page says it prints."""

import re
from importlib.util import find_spec
from pathlib import Path

import pytest

DOCS = Path(__file__).parent.parent.parent / "docs"
PAGES = ("clever-hans.md", "methods/nave.md", "methods/nas.md", "foreign-models.md")
#: What a page may use that nobody has to install.
OPTIONAL = ("transformers",)
#: Figures; the number in the name of a class is none.
NUMBER = re.compile(r"(?<!bird )(?<![\w.])[-+]?\d+(?:\.\d+)?(?:e[-+]?\d+)?")


def blocks(page: str) -> list[tuple[str, str]]:
    """Each Python block of a page with the text block that follows it, or with nothing."""
    text = (DOCS / page).read_text(encoding="utf-8")
    return re.findall(r"```python\n(.*?)```\n(?:\n```text\n(.*?)```)?", text, re.DOTALL)


def compare(said: str, written: str) -> None:
    """Same words, and numbers that differ by rounding at most; counts by one, as machines round differently."""
    assert NUMBER.sub("#", said).split() == NUMBER.sub("#", written).split(), said
    for a, b in zip(NUMBER.findall(said), NUMBER.findall(written), strict=True):
        assert float(a) == pytest.approx(float(b), rel=0.01, abs=0.011 if "." in b else 1), said


@pytest.mark.parametrize("page", PAGES)
def test_the_code_runs_and_prints_what_the_page_says(page, capsys):
    found = blocks(page)
    assert any(written for _, written in found)
    missing = [name for name in OPTIONAL if find_spec(name) is None]
    names: dict = {"__name__": "page"}
    for code, written in found:
        if any(f"from {name} import" in code for name in missing):
            continue
        exec(compile(code, page, "exec"), names)
        said = capsys.readouterr().out
        assert bool(said.strip()) == bool(written.strip()), "what is printed stands on the page"
        compare(said, written)
    left_out = [name for name in missing if any(f"from {name} import" in code for code, _ in found)]
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
