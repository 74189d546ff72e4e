"""Support records of a SIC network: the training records behind a class, and their evidence by lead and time."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np
import panel as pn
import xarray as xr

from xai_views.contract import registry
from xai_views.errors import XaiViewsError
from xai_views.methods.ecg_clusters.observation import signal_length
from xai_views.methods.sic.ledger import entries, evidence_map
from xai_views.samples import digest, open_samples
from xai_views.views import Listing
from xai_views.views.ecg_paper.record import Record
from xai_views_dashboard.core.numbers import number
from xai_views_dashboard.core.page import caption
from xai_views_dashboard.core.panel import Panel
from xai_views_dashboard.core.tasks import on_page
from xai_views_dashboard.ecg.frame import plain, strips
from xai_views_dashboard.ecg.sheets import sheets

COLUMNS = [
    {"key": "name", "title": "support record"},
    {"key": "class", "title": "class"},
    {"key": "evidence", "title": "evidence", "kind": "bar", "digits": 3},
    {"key": "share", "title": "share of its class", "kind": "number", "digits": 2},
]
CAPTION = (
    "A logit is a bias plus the evidence of its class's support records (training records). The strips show where the record "
    "in view resembles the selected support record, and which parts of that record count; they do not show that a finding is "
    "present. Not for clinical use."
)


def rows_of(result: xr.Dataset, names: list[str]) -> list[dict[str, Any]]:
    """Return the rows of the table: every support record with its evidence, the largest first."""
    classes = [str(c) for c in result["class"].values]
    known = [(c, entry) for c in range(len(classes)) for entry in entries(result, c)]
    return [
        {
            "id": str(e.row),
            "name": names[e.row],
            "class": classes[c],
            "evidence": e.evidence,
            "share": e.share,
        }
        for c, e in sorted(known, key=lambda found: (-found[1].evidence, found[1].row))
    ]


@dataclass
class Evidence:
    """A record, the evidence of all support records for it, the selected one, and the map of its evidence."""

    sample: int
    signal: np.ndarray
    title: str
    result: xr.Dataset
    chosen: int
    map: np.ndarray

    @property
    def target(self) -> int:
        """The explained class."""
        return int(self.result["target_class"].values[0, 0])


class SupportsPanel(Panel):
    """The support records of the record in view, and the selected one below it."""

    title = "Support records"
    question = "why"
    watched = ("sample", "target", "edits_made", "support")

    def __init__(self, app: Any) -> None:
        self.words = pn.pane.HTML("", sizing_mode="stretch_width", margin=(4, 16))
        self.listing = Listing(label="Evidence of the support records", columns=COLUMNS, height_limit=260)
        self.papers = pn.Column(sizing_mode="stretch_width")
        self._names: list[str] = []
        self._synthetic = False
        self._class = -1
        super().__init__(app)
        self.listing.on_select(self._choose)

    @classmethod
    def fits(cls, app: Any) -> str:
        """Only SIC networks have support records."""
        none = f"{app.model.name!r} has no support records; SIC networks, such as 'ecg-sic', do."
        return "" if "supports" in app.model.parts else none

    def _choose(self, row: str) -> None:
        """Select a support record; one of another class makes that class the explained one."""
        support, state = int(row), self.app.state
        label = int(self.app.model.supports.label[support])
        with_class = {} if label == self._class else {"target": label}
        state.param.update(support=support, **with_class)

    def origin(self) -> tuple[list[str], bool]:
        """Return the names of the support records in their training set, and whether it is synthetic.

        Where that set is no longer available, positions stand for names.
        """
        index, latents = self.app.model.supports.index, self.app.model.latents
        try:
            training = open_samples(latents.samples)
            known = training["name"].values
            return [str(known[i]) for i in index], bool(training.attrs.get("synthetic"))
        except (XaiViewsError, AttributeError, KeyError, IndexError):
            return [f"training record {i}" for i in index], False

    async def compute(self) -> Evidence:
        """Return the evidence of all support records, and the map of the selected one."""
        app, session, wish, wanted = self.app, self.app.session, self.app.wish(), self.app.state.support
        i, method = wish.sample, registry.plain("sic")
        signal, title = await asyncio.to_thread(session.seen, i, wish)
        asks = [method.ask(targets=[app.state.target])]
        asked = session.kernel.explain(
            session.model, signal[None], [digest(signal)], method, asks, priority=1
        )
        result = (await asyncio.wrap_future(asked))[0]
        if not self._names:
            self._names, self._synthetic = await asyncio.to_thread(self.origin)
        match = result["match_support"].values[0]
        own = match[match >= 0]
        if not len(own):
            raise XaiViewsError("this class has no support records; choose another class.")
        best = int(own[result["evidence"].values[0, own].argmax()])
        chosen = wanted if wanted in own else best
        map_ = evidence_map(result, chosen, session.model.module.temperature)
        return Evidence(i, signal, title, result, chosen, map_)

    def write(self, answer: Evidence) -> None:
        """Write table, text and both sheets."""
        self._class = answer.target
        self.listing.rows = rows_of(answer.result, self._names)
        self.listing.selected = str(answer.chosen)
        self.words.object = f"<p>{escape(self.sentence(answer))}</p>"
        pair = self.record(answer), self.support(answer)
        made = sheets(pair, self.app.state.look, str(self._turn))
        on_page(lambda: setattr(self.papers, "objects", made))

    # -- what is drawn ------------------------------------------------------------------------------------------

    def record(self, found: Evidence) -> Record:
        """Return the record in view with its evidence for the selected support record."""
        session, name = self.app.session, self._names[found.chosen]
        evidence = number(float(found.result["evidence"].values[0, found.chosen]))
        return Record(
            **plain(session, found.sample, found.signal, found.title),
            **strips(found.map, session.rate),
            target=f"support {name}",
            text=f"Record {found.title}: where it resembles {name}; the strips sum to its evidence, {evidence}.",
        )

    def support(self, found: Evidence) -> Record:
        """Return the support record with the contributions to its own latent vector."""
        session, supports, chosen = self.app.session, self.app.model.supports, found.chosen
        signal, name = supports.image[chosen], self._names[chosen]
        known = self.app.model.classes[int(supports.label[chosen])]
        return Record(
            id=name,
            name=f"{name}, support record of {known}",
            leads=tuple(session.leads),
            rate=session.rate,
            signal=signal,
            length=signal_length(signal),
            target="its own vector",
            unit="norm",
            text=f"Support record {name} of {known}: contributions to the latent vector that others are compared with.",
            synthetic=self._synthetic,
            **strips(found.result["self_contribution"].values[chosen], session.rate),
        )

    def sentence(self, found: Evidence) -> str:
        """Return the text twin: the sum of the explained class, and the evidence of the selected support record."""
        result, target, session = found.result, found.target, self.app.session
        own = [e.evidence for e in entries(result, target)]
        lead = session.leads[int(found.map.sum(1).argmax())]
        outside = float(found.map[:, session.length(found.sample) :].sum())
        after = f" ({number(outside)} of it in the zeros after the record)" if abs(outside) > 5e-4 else ""
        return (
            f"{found.title}, {self.app.model.classes[target]}: bias {number(float(result['bias'].values[target]))} + evidence "
            f"of {len(own)} support records {number(sum(own))} = logit {number(float(result['logit'].values[0, target]))}, "
            f"probability {float(result['probability'].values[0, target]):.3f}. {self._names[found.chosen]} adds "
            f"{number(float(result['evidence'].values[0, found.chosen]))}{after}, most of it in lead {lead}. Each sheet "
            "has its own colour range."
        )

    def __panel__(self) -> Any:
        return pn.Column(caption(CAPTION), self.words, self.listing, self.papers, sizing_mode="stretch_width")
