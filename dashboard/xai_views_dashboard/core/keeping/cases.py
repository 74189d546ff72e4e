"""Cases: what a visitor wrote about a sample, with the state of the page, and the file that holds them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from xai_views.errors import XaiViewsError
from xai_views_dashboard.core.state import SCHEMA

FORMAT = "xai-views-cases"
MOST_BYTES, MOST_CASES, MOST_NOTE, MOST_WORDS, MOST_ENTRIES = 1_000_000, 1000, 10_000, 200, 200
MOST_VALUE = 100_000  # letters of one parameter, such as the polygon of a region


@dataclass(frozen=True)
class Case:
    """What is kept of one sample.

    Attributes
    ----------
    sample, digest : str
        Its name and its content key.
    note, label : str
        Written by the visitor.
    state : mapping of str to str
        The state of the page as a query.
    time : str
        When it was written, in UTC.
    """

    sample: str
    digest: str = ""
    note: str = ""
    label: str = ""
    state: Mapping[str, str] = field(default_factory=dict)
    time: str = ""

    @property
    def written(self) -> bool:
        """Whether the visitor wrote something about the sample."""
        return bool(self.note.strip() or self.label.strip())


@dataclass(frozen=True)
class CaseFile:
    """Cases of one page.

    Attributes
    ----------
    app, model, sha256, samples : str
        Which page: the key of the app, name and content key of the model, name of the samples.
    cases : tuple of Case
        The first one was in view.
    """

    app: str
    model: str
    sha256: str
    samples: str
    cases: tuple[Case, ...]

    def text(self) -> str:
        """Return the file as JSON."""
        head = {"format": FORMAT, "v": SCHEMA, "app": self.app}
        body = {"model": {"name": self.model, "sha256": self.sha256}, "samples": self.samples}
        cases = [{n: getattr(c, n) for n in Case.__dataclass_fields__} for c in self.cases]
        return json.dumps({**head, **body, "cases": cases}, indent=1, ensure_ascii=False) + "\n"


def read(text: str) -> CaseFile:
    """Read a case file; everything in it is checked.

    Raises
    ------
    XaiViewsError
        In one sentence, when it is no case file.
    """
    if len(text.encode("utf-8", "replace")) > MOST_BYTES:
        raise XaiViewsError(
            f"The file is larger than {MOST_BYTES // 1_000_000} MB; choose a file that 'Save case' wrote."
        )
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        raise XaiViewsError("The file is not JSON; choose a file that 'Save case' wrote.") from None
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        raise XaiViewsError("The file is not a case file of XAI Views; choose a file that 'Save case' wrote.")
    version = found.get("v")
    if not isinstance(version, int) or version > SCHEMA:
        raise XaiViewsError(
            f"The case file has version {str(version)[:20]} and this program reads versions up to {SCHEMA}; update XAI Views."
        )
    try:
        model, cases = found["model"], found["cases"]
        if not isinstance(cases, list) or not 0 < len(cases) <= MOST_CASES:
            raise ValueError("cases")
        return CaseFile(
            _word(found["app"]),
            _word(model["name"]),
            _word(model["sha256"]),
            _word(found["samples"]),
            tuple(map(_case, cases)),
        )
    except (KeyError, TypeError, ValueError):
        raise XaiViewsError(
            f"The case file is damaged: it must name app, model and samples and hold 1 to {MOST_CASES} cases; save it again."
        ) from None


def _case(found: Any) -> Case:
    state = found.get("state") or {}
    if not isinstance(state, dict) or len(state) > MOST_ENTRIES:
        raise ValueError("state")
    return Case(
        _word(found["sample"]),
        _word(found.get("digest", "")),
        _word(found.get("note", ""), MOST_NOTE),
        _word(found.get("label", "")),
        {_word(k): _word(v, MOST_VALUE) for k, v in state.items()},
        _word(found.get("time", "")),
    )


def _word(value: Any, most: int = MOST_WORDS) -> str:
    if not isinstance(value, str):
        raise TypeError(value)
    return value[:most]


class Notebook:
    """What a visitor wrote about the samples of a page, while it is open."""

    def __init__(self) -> None:
        self.cases: dict[str, Case] = {}

    def of(self, sample: str) -> Case:
        """Return the case of a sample, an empty one where nothing was written."""
        return self.cases.get(sample, Case(sample))

    def write(self, sample: str, **changes: Any) -> None:
        """Change what is written about a sample."""
        self.cases[sample] = replace(self.of(sample), time=now(), **changes)

    def take(self, cases: Sequence[Case]) -> None:
        """Add the cases of a file, in place of those of the same samples."""
        self.cases |= {c.sample: c for c in cases}

    @property
    def written(self) -> list[Case]:
        """The samples about which something was written."""
        return [c for c in self.cases.values() if c.written]


def now() -> str:
    """Return the time in UTC, to the second."""
    return datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
