"""One explanation as one HTML file that opens offline: pictures, legend, answer, ledger, limits and provenance."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from html import escape
from pathlib import Path

import numpy as np
import xarray as xr

from xai_views.views.report.figures import Figure, Legend, data_uri, enlarged, gradient
from xai_views.views.report.ledgers import Ledger, answer_of, ledger_of, provenance

MOST_CLASSES = 10  # rows of the table of classes
STYLE = (Path(__file__).parent / "report.css").read_text(encoding="utf-8")
#: Nothing is loaded and nothing runs, whatever a name or a note contains.
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


@dataclass(frozen=True)
class Words:
    """What a report says beside the explanation itself; plain text.

    Attributes
    ----------
    title : str
        Of the report.
    about : mapping
        Name and value of what was explained: model, samples, sample.
    answer : str
        The answer in one line.
    caption : str
        What the pictures show, and what they do not.
    limits : tuple of str
        Known limits of model and samples.
    note, label : str
        Of the person who reads.
    link : str
        Address that opens the page again.
    time : str
        When the report was made.
    synthetic : bool
        Whether the data are synthetic.
    medical : bool
        Whether "Not for clinical use" is printed.
    """

    title: str
    about: Mapping[str, str] = field(default_factory=dict)
    answer: str = ""
    caption: str = ""
    limits: tuple[str, ...] = ()
    note: str = ""
    label: str = ""
    link: str = ""
    time: str = ""
    synthetic: bool = False
    medical: bool = False


def report(
    ds: xr.Dataset,
    figures: Sequence[Figure],
    words: Words,
    sample: int = 0,
    row_pictures: Sequence[Sequence[np.ndarray]] = (),
) -> str:
    """Return the report of one sample as HTML.

    Parameters
    ----------
    ds : Dataset
        An explanation with its provenance.
    figures : sequence of Figure
        Its pictures, see :mod:`xai_views.views.report.figures`.
    words : Words
        What else is said.
    sample : int
        Position in ``ds``.
    row_pictures : sequence of sequence of ndarray, optional
        Pictures for each row of the ledger.

    Returns
    -------
    str
        A whole page without scripts; it loads nothing.
    """
    found = ledger_of(ds, sample)
    parts = [
        f"<h1>{escape(words.title)}</h1>",
        _marks(words),
        _definitions(words.about),
        _section("Answer", _answer(ds, words, sample)),
        _section(
            "Pictures",
            "".join(map(_figure, figures)),
            f"<p>{escape(words.caption)}</p>" if words.caption else "",
        ),
        _section("How the logit adds up", _ledger(found, row_pictures)) if found is not None else "",
        _section("Limits", _list(words.limits)) if words.limits else "",
        _section("Note", _own(words)) if words.note or words.label else "",
        _section("Provenance", _definitions(_readable(provenance(ds))), _reopen(words)),
    ]
    head = (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(words.title)}</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" content="light dark">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}"><style>{STYLE}</style></head>'
    )
    return f"{head}<body><main>{''.join(parts)}</main></body></html>\n"


def _section(title: str, *parts: str) -> str:
    return f"<section><h2>{escape(title)}</h2>{''.join(parts)}</section>"


def _marks(words: Words) -> str:
    said = [("Synthetic data", words.synthetic), ("Not for clinical use", words.medical)]
    marks = "".join(f"<strong>{text}</strong>" for text, there in said if there)
    return f'<p class="marks">{marks}</p>' if marks else ""


def _definitions(lines: Mapping[str, str]) -> str:
    rows = "".join(f"<div><dt>{escape(k)}</dt><dd>{escape(v)}</dd></div>" for k, v in lines.items() if v)
    return f"<dl>{rows}</dl>"


def _list(lines: Iterable[str]) -> str:
    return f"<ul>{''.join(f'<li>{escape(line)}</li>' for line in lines)}</ul>"


def _answer(ds: xr.Dataset, words: Words, sample: int) -> str:
    rows = answer_of(ds, sample)
    line = f'<p class="answer">{escape(words.answer)}</p>' if words.answer else ""
    if not rows:
        return line
    body = "".join(
        f'<tr><th scope="row">{escape(name)}</th><td>{_number(logit)}</td><td>{probability:.4f}</td></tr>'
        for name, logit, probability in rows[:MOST_CLASSES]
    )
    left = len(rows) - MOST_CLASSES
    more = f"<p>{left} classes with smaller logits are left out.</p>" if left > 0 else ""
    head = '<tr><th scope="col">class</th><th scope="col">logit</th><th scope="col">probability</th></tr>'
    return f"{line}<table><caption>Logits and probabilities</caption><thead>{head}</thead><tbody>{body}</tbody></table>{more}"


def _figure(figure: Figure) -> str:
    if figure.svg:
        picture = f'<div class="sheet">{figure.svg}</div>'
    elif figure.pixels is not None:
        picture = (
            f'<img alt="{escape(figure.alt or figure.title)}" src="{data_uri(enlarged(figure.pixels))}">'
        )
    else:
        return ""
    legends = "".join(map(_legend, figure.legends))
    wide = ' class="wide"' if figure.svg else ""
    return f"<figure{wide}>{picture}<figcaption><strong>{escape(figure.title)}</strong>{legends}</figcaption></figure>"


def _legend(legend: Legend) -> str:
    if legend.kind == "label":
        items = "".join(
            f'<li><span class="swatch" style="background:{colour}"></span>{escape(name)}</li>'
            for colour, name in legend.names
        )
        return f'<p>{escape(legend.title)}</p><ul class="labels">{items}</ul>'
    bar = f'<span class="bar" style="background:linear-gradient(90deg,{",".join(gradient(legend))})"></span>'
    ticks = "".join(f"<span>{tick}</span>" for tick in legend.ticks)
    ends = f'<span class="ticks"><span>{escape(legend.low)}</span><span>{escape(legend.high)}</span></span>'
    return f'<p>{escape(legend.title)}</p>{bar}<span class="ticks">{ticks}</span>{ends}'


def _ledger(found: Ledger, pictures: Sequence[Sequence[np.ndarray]]) -> str:
    most = max((abs(v) for _, v in found.rows), default=0.0) or 1.0
    pictured = len(pictures) == len(found.rows) and any(pictures)

    def line(i: int, name: str, value: float) -> str:
        drawn = (
            "".join(f'<img alt="" src="{data_uri(p)}" width="56" height="56">' for p in pictures[i])
            if pictured
            else ""
        )
        side = "negative" if value < 0 else "positive"
        bar = f'<span class="value {side}" style="width:{50 * abs(value) / most:.1f}%"></span>'
        cells = f"<td>{drawn}</td>" if pictured else ""
        return f'<tr><th scope="row">{escape(name)}</th>{cells}<td class="bars">{bar}</td><td>{_number(value)}</td></tr>'

    body = "".join(line(i, *row) for i, row in enumerate(found.rows))
    blank = "<td></td>" * (1 + pictured)
    foot = "".join(
        f'<tr><th scope="row">{escape(n)}</th>{blank}<td>{_number(v)}</td></tr>' for n, v in found.sums
    )
    picture = '<th scope="col">picture</th>' if pictured else ""
    head = f'<tr><th scope="col">part</th>{picture}<th scope="col">bar</th><th scope="col">contribution</th></tr>'
    return (
        f"<table><caption>Contributions to the logit of {escape(found.target)}</caption><thead>{head}</thead>"
        f"<tbody>{body}</tbody><tfoot>{foot}</tfoot></table>"
    )


def _own(words: Words) -> str:
    label = f"<p>Own label: <strong>{escape(words.label)}</strong></p>" if words.label else ""
    return label + "".join(f"<p>{escape(line)}</p>" for line in words.note.splitlines() if line.strip())


def _readable(lines: Mapping[str, str]) -> dict[str, str]:
    """Provenance for people: one parameter after the other."""
    out = dict(lines)
    with suppress(KeyError, ValueError, AttributeError):
        out["parameters"] = ", ".join(
            f"{k} = {json.dumps(v)}" for k, v in json.loads(lines["parameters"]).items()
        )
    return {n.replace("_", " "): v for n, v in out.items()}


def _reopen(words: Words) -> str:
    made = f"<p>Made {escape(words.time)}.</p>" if words.time else ""
    if not words.link.startswith(("http://", "https://")):
        return made
    return f'{made}<p><a href="{escape(words.link)}">Open this page in XAI Views</a></p>'


def _number(value: float) -> str:
    return f"{value:+.4f}".replace("-", "−")
