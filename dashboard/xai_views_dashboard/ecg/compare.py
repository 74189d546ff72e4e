"""Two records, or one record in two models, at the same scale."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from html import escape
from typing import Any

import panel as pn
import panel_material_ui as pmui
import xarray as xr

from xai_views import catalogue
from xai_views.errors import XaiViewsError
from xai_views.methods.ecg_clusters.survey import mean_entropy
from xai_views.models import open_model
from xai_views.views import Listing
from xai_views.views.ecg_paper.record import Record
from xai_views_dashboard.core.page import caption
from xai_views_dashboard.core.panel import ASK, Panel
from xai_views_dashboard.core.tasks import on_page
from xai_views_dashboard.core.wishes import Wish
from xai_views_dashboard.ecg import frame as pictures
from xai_views_dashboard.ecg.pickers import record_picker
from xai_views_dashboard.ecg.session import EcgSession
from xai_views_dashboard.ecg.sheets import sheets

COLUMNS = [
    {"key": "what", "title": ""},
    {"key": "predicted", "title": "prediction"},
    {"key": "p", "title": "probability", "kind": "number", "digits": 3},
    {"key": "logit", "title": "logit of the explained class", "kind": "signed", "digits": 3},
    {"key": "entropy", "title": "mean uncertainty", "kind": "number", "digits": 3},
]
RECORD, MODEL = "record:", "model:"


def models_of_signals() -> list[str]:
    """Return the names of the shipped models that take signals."""
    found = []
    for name, folder in catalogue.models().items():
        try:
            architecture = catalogue.card(folder).get("architecture") or {}
        except XaiViewsError:
            continue
        if len(architecture.get("size") or ()) == 1:
            found.append(name)
    return found


@dataclass
class Side:
    """One of both records: its session, its position there, and its explanation."""

    session: EcgSession
    sample: int
    result: xr.Dataset

    def sheet(self, drawn: dict[str, Any]) -> Record:
        """Return the record as it is drawn."""
        session, i = self.session, self.sample
        title = f"{session.model.name}: {session.names[i]}"
        return pictures.build(session, i, session.image(i), self.result, drawn, title)


class ComparePanel(Panel):
    """The record in view above, another one or another model's explanation below; contributions share one limit."""

    title = "Compare"
    question = "compared"
    watched = ("sample", ASK, "beside", "shown", "fade", "truth", "names")

    def __init__(self, app: Any) -> None:
        self.record = record_picker("Another record", app.session.population.names)
        others = [m for m in models_of_signals() if m != app.model.name]
        self.model = pmui.Select(
            label="Another model",
            options=["", *others],
            value="",
            width=200,
            size="small",
            visible=bool(others),
        )
        self.words = pn.pane.HTML("", sizing_mode="stretch_width", margin=(4, 16))
        self.listing = Listing(label="Both predictions", columns=COLUMNS)
        self.papers = pn.Column(sizing_mode="stretch_width")
        self._sessions: dict[str, EcgSession] = {}
        self._brought: dict[tuple[str, int], int] = {}
        super().__init__(app)
        for widget, kind in ((self.record, RECORD), (self.model, MODEL)):
            widget.param.watch(lambda e, kind=kind: e.new and self._choose(f"{kind}{e.new}"), "value")

    def _choose(self, beside: str) -> None:
        self.app.state.beside = beside

    async def other(self, beside: str, sample: int) -> tuple[EcgSession, int]:
        """Return the session and the position of what is compared with a record."""
        app = self.app
        if beside.startswith(MODEL):
            name = beside.removeprefix(MODEL)
            if name not in models_of_signals():
                raise XaiViewsError(
                    f"there is no shipped ECG model {name!r} to compare with; choose one from the list."
                )
            if name not in self._sessions:
                job = app.session.job(
                    ("model", name),
                    lambda progress: open_model(name),  # noqa: ARG005
                    title=f"Opening {name}",
                )
                model = await asyncio.wrap_future(job)
                self._sessions[name] = await asyncio.to_thread(EcgSession, model, app.samples)
            return self._sessions[name], await asyncio.to_thread(self._of_other, name, sample)
        name = beside.removeprefix(RECORD)
        if name not in app.session.names:
            raise XaiViewsError(f"there is no record {name!r} to compare with; choose one from the list.")
        return app.session, app.session.names.index(name)

    def _of_other(self, name: str, i: int) -> int:
        """Return the position of record ``i`` in another model's session; an upload is added there on first use."""
        session = self.app.session
        if i < session.population.n:
            return i
        if (name, i) not in self._brought:
            self._brought[name, i] = self._sessions[name].take(session.origin[i], [session.names[i]])[1][0]
        return self._brought[name, i]

    async def compute(self) -> tuple[list[Side], list[Record]] | None:
        """Explain both original records and draw them with one limit; None where nothing is chosen."""
        app, wish, beside = self.app, self.app.wish(), self.app.state.beside
        if not beside:
            return None
        session, j = await self.other(beside, wish.sample)
        ask = wish.ask.replace(ablated=(), edits=())
        sides = [await self.side(app.session, wish.sample, ask)]
        if session is app.session:
            ask = ask.replace(targets=(int(sides[0].result["target_class"].values[0, 0]),))
        else:
            by_hand = app.fitted is None or ask.temperature != app.fitted.cool
            ask = session.with_own(ask, ask.temperature if by_hand else None)
        sides.append(await self.side(session, j, ask))
        limit = max(pictures.largest(side.result, wish.drawn["shown"]) for side in sides)
        drawn = {**wish.drawn, "limit": limit or None}
        return sides, [await asyncio.to_thread(side.sheet, drawn) for side in sides]

    @staticmethod
    async def side(session: EcgSession, sample: int, ask: Any) -> Side:
        """Return one of both."""
        whole = session.asked_of(sample, Wish(ask))
        return Side(session, sample, await session.explain(sample, whole, priority=1))

    def write(self, answer: tuple[list[Side], list[Record]] | None) -> None:
        """Write papers, table and text."""
        if answer is None:
            another = "another record or another model" if self.model.visible else "another record"
            self.words.object = f"<p>Choose {another} to compare with the record in view.</p>"
            return
        sides, records = answer
        papers = sheets(records, self.app.state.look, str(self._turn))
        self.listing.rows = [self._row(n, side) for n, side in enumerate(sides)]
        said = (
            "Both records share the codebook: equal colours mean equal clusters. Both have the same colour range."
            if sides[0].session is sides[1].session
            else "Each model has its own clusters: equal colours do not mean equal clusters. Both have the same colour range."
        )
        self.words.object = f"<p>{escape(said)}</p>"
        on_page(lambda: setattr(self.papers, "objects", [self.listing, *papers]))

    @staticmethod
    def _row(n: int, side: Side) -> dict[str, Any]:
        result, model = side.result, side.session.model
        p = result["probability"].values[0]
        top, target = int(p.argmax()), int(result["target_class"].values[0, 0])
        return {
            "id": str(n),
            "what": f"{side.session.names[side.sample]} ({model.name})",
            "predicted": model.classes[top],
            "p": float(p[top]),
            "logit": float(result["logit"].values[0, target]),
            "entropy": mean_entropy(result),
        }

    def __panel__(self) -> Any:
        return pn.Column(
            caption(
                "Compare two records, or one record in two models, at the same scale. Original records are shown, without edits."
            ),
            pn.FlexBox(self.record, self.model, align_items="center", gap="8px", margin=(4, 16)),
            self.words,
            self.papers,
            sizing_mode="stretch_width",
        )
