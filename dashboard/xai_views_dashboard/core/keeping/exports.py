"""Files made of a page: the report, the pictures and the tables of the sample in view."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import panel as pn
import xarray as xr

from xai_views.methods import explain
from xai_views.views.ecg_paper.record import Record
from xai_views.views.ecg_paper.svg import plot_ecg
from xai_views.views.report import figures as drawn
from xai_views.views.report import ledgers, sheet
from xai_views.views.report.figures import Figure
from xai_views.views.report.report import Words, report
from xai_views.views.wire import decode_header
from xai_views_dashboard.core.keeping.cases import Case, now

#: Settings of the ECG paper that its static twin takes.
PAPER = ("layout", "speed", "gain", "bands")
MEDICAL = re.compile(r"clinical use", re.IGNORECASE)


@dataclass(frozen=True, eq=False)
class Shown:
    """What a page shows of the sample in view.

    Attributes
    ----------
    name : str
        Of the sample.
    figures : list of Figure
        Its pictures.
    rows : list of list of ndarray
        Pictures of each row of the ledger.
    answer : mapping
        As the answer line has it; empty for a model without classes.
    """

    name: str
    figures: list[Figure]
    rows: list[list[np.ndarray]]
    answer: Mapping[str, Any]


async def explained(app: Any) -> xr.Dataset:
    """Return the explanation of the sample in view with its provenance: what ``app.result()`` gives, without waiting."""
    sample, wish = app.state.sample, app.wish()
    ask = await asyncio.to_thread(app.session.asked_of, sample, wish)
    samples, model = await asyncio.to_thread(app.session.dataset, sample), app.session.model

    def made(progress: Any) -> xr.Dataset:
        return explain(model, samples, ask, progress=progress)

    return await asyncio.wrap_future(app.session.job(None, made, title="Explaining the sample for a file"))


async def shown(app: Any) -> Shown:
    """Return what the page shows of the sample in view."""
    sample, look = app.state.sample, dict(app.state.look)
    name = app.session.names[sample]
    made = await app.answer(f"{name}|{app.context()}", priority=1)
    if isinstance(made, Record):
        svg = await asyncio.to_thread(app.svg) if hasattr(app, "svg") else ""
        if not svg:
            svg = str(await asyncio.to_thread(plot_ecg, made, **{n: look[n] for n in PAPER if n in look}))
        return Shown(name, [Figure(made.name or name, made.text, svg=svg)], [], made.answer or {})
    layout = app.canvas.layout
    photo = await asyncio.to_thread(app.session.image, sample)

    def read() -> Shown:
        header = decode_header(made)
        pictures = drawn.row_pictures(made, layout)
        rows = (header.get("table") or {}).get("rows", ())
        beside = [[pictures[t] for t in row.get("tiles", ()) if t in pictures] for row in rows]
        figures = drawn.with_original(drawn.of_frame(made, layout), photo)
        return Shown(name, figures, beside, header.get("answer") or {})

    return await asyncio.to_thread(read)


async def report_of(app: Any, case: Case) -> str:
    """Return the report of the sample in view as HTML."""
    seen, ds = await shown(app), await explained(app)
    return await asyncio.to_thread(report, ds, seen.figures, words(app, seen, case), 0, seen.rows)


async def picture_of(app: Any, kind: str) -> tuple[bytes, bool]:
    """Return the pictures of the sample in view as one file, and whether the browser has to draw it.

    Parameters
    ----------
    app : App
        The page.
    kind : {"svg", "png"}
        What is wanted; a sheet that is SVG by itself is returned as SVG and drawn by the browser.
    """
    seen = await shown(app)
    title = f"{seen.name}: {answer_line(seen.answer)}".strip(": ")
    drawn_itself = any(f.svg for f in seen.figures)
    if kind == "svg" or drawn_itself:
        made = await asyncio.to_thread(sheet.svg, title, seen.figures, under(app))
        return made.encode(), kind == "png"
    return await asyncio.to_thread(sheet.raster, title, seen.figures, under(app)), False


def under(app: Any) -> str:
    """Return the line under a saved picture: what it shows and does not, and what kind of data it is."""
    said = [
        app.words,
        *(["Synthetic data."] if synthetic(app) else []),
        *(["Not for clinical use."] if medical(app) else []),
    ]
    return " ".join(filter(None, said))


async def table_of(app: Any) -> str:
    """Return the ledger and the answer of the sample in view as CSV."""
    ds = await explained(app)
    about = {
        "app": app.title,
        "sample": app.session.names[app.state.sample],
        **marks(app),
        "link": address(app),
    }
    return ledgers.explanation_csv(ds, about)


def listing_of(app: Any) -> Any:
    """Return the table of the open tab; None where it has none with rows."""
    found = getattr(app.tabs.open, "listing", None)
    return found if found is not None and found.rows else None


def open_table_of(app: Any) -> str:
    """Return the table of the open tab as CSV."""
    found, model = listing_of(app), app.session.model
    about = {
        "table": found.label, "app": app.title, "model": model.name, "model_sha256": model.sha256,
        "samples": app.session.population.title, "sample": app.session.names[app.state.sample], **marks(app),
        "link": address(app),
    }  # fmt: skip
    return ledgers.table_csv(found.columns, found.rows, about)


# -- words -----------------------------------------------------------------------------------------------------------


def notes(app: Any) -> list[str]:
    """Return what samples and model want said, each once."""
    said = [
        app.session.population.samples.attrs.get("note", ""),
        app.session.model.card.get("note", ""),
        app.always,
    ]
    found = list(dict.fromkeys(str(s) for s in said if s))
    return [s for s in found if not any(s in other for other in found if other is not s)]


def medical(app: Any) -> bool:
    """Whether samples, model or app say that they are not for clinical use."""
    return any(MEDICAL.search(s) for s in notes(app))


def synthetic(app: Any) -> bool:
    """Whether the sample in view is synthetic; nothing is known of uploads."""
    session = app.session
    return bool(session.population.samples.attrs.get("synthetic")) and app.state.sample < session.population.n


def marks(app: Any) -> dict[str, str]:
    """Return the lines about data and use that every file carries."""
    said = {"data": "synthetic"} if synthetic(app) else {}
    return said | ({"use": "Not for clinical use"} if medical(app) else {})


def answer_line(answer: Mapping[str, Any]) -> str:
    """Return the answer line as one line of text."""
    if not answer:
        return ""
    parts = [f"{answer['predicted']}, probability {answer['probability']:.2f} ({answer['calibration']})"]
    if answer.get("runner_up"):
        parts.append(f"next: {answer['runner_up']} {answer['runner_up_probability']:.2f}")
    correct = answer.get("correct")
    verdict = "" if correct is None else " (correct)" if correct else " (wrong)"
    parts.append(f"label {answer['label'] or 'unknown'}{verdict}")
    return " · ".join([*parts, *([answer["note"]] if answer.get("note") else [])])


def words(app: Any, seen: Shown, case: Case) -> Words:
    """Return what a report says beside the explanation."""
    model, population = app.session.model, app.session.population
    return Words(
        title=f"{app.title}: {seen.name}",
        about={
            app.noun: seen.name,
            "Model": str(model.card.get("title") or model.name),
            "Samples": population.title or "own samples",
            "Origin of the samples": str(population.samples.attrs.get("origin", "")),
        },
        answer=answer_line(seen.answer),
        caption=app.words,
        limits=tuple(notes(app)),
        note=case.note,
        label=case.label,
        link=address(app),
        time=now(),
        synthetic=synthetic(app),
        medical=medical(app),
    )


def fixed(app: Any) -> dict[str, str]:
    """Return what a link always holds: the model, by the name under which pages open it."""
    from xai_views import catalogue

    name = app.session.model.name
    return {"model": name} if name in catalogue.models() else {}


def address(app: Any) -> str:
    """Return the address of the page with its state; "" where the page is not served."""
    at = pn.state.location
    if at is None or not at.hostname:
        return ""
    query = {k: v for k, v in at.query_params.items() if k in ("model", "samples")}
    more = {k: str(v) for k, v in {**fixed(app), **query}.items()}
    port = f":{at.port}" if at.port else ""
    return f"{at.protocol}//{at.hostname}{port}{at.pathname}{app.state.address(app.session.names, **more)}"
