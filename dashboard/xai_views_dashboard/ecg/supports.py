"""Support records of a SIC network: which training records speak for a class, and where in lead and time."""

from __future__ import annotations

import asyncio
from html import escape
from typing import Any

import numpy as np
import panel as pn
import xarray as xr

from xai_views.errors import XaiViewsError
from xai_views.methods import get
from xai_views.samples import digest, open_samples
from xai_views.views import Listing
from xai_views.views.ecg_paper.record import Record
from xai_views_dashboard.core.following import Following
from xai_views_dashboard.core.numbers import number
from xai_views_dashboard.core.page import caption
from xai_views_dashboard.core.tasks import on_page
from xai_views_dashboard.ecg.frame import STRIP, binned
from xai_views_dashboard.ecg.paired_sheets import sheets

COLUMNS = [
    {"key": "name", "title": "support record"},
    {"key": "class", "title": "class"},
    {"key": "evidence", "title": "evidence", "kind": "bar", "digits": 3},
    {"key": "share", "title": "share of its class", "kind": "number", "digits": 2},
]
CAPTION = (
    "A logit is a bias plus the evidence of its class' support records, which are real records of the training set. The strips "
    "say where the record in view resembles the chosen one, and what in the chosen one there is to resemble; they do not say "
    "that a finding is there. Not for clinical use."
)


def rows_of(result: xr.Dataset, names: list[str]) -> list[dict]:
    """Rows of the table: every support record with its evidence, the largest first."""
    evidence, label = result["evidence"].values[0].astype(float), result["support_class"].values
    classes = [str(c) for c in result["class"].values]
    total = np.bincount(label, evidence, len(classes))[label]
    return [
        {
            "id": str(s),
            "name": names[s],
            "class": classes[label[s]],
            "evidence": evidence[s],
            "share": evidence[s] / total[s] if total[s] > 0 else 0.0,
        }
        for s in map(int, np.argsort(-evidence, kind="stable"))
    ]


def length_of(signal: np.ndarray) -> int:
    """Steps before the zeros that a shorter record ``[lead, time]`` was filled up with."""
    return int(np.flatnonzero(np.any(signal != 0, axis=0)).max(initial=0)) + 1


class SupportsPanel(Following):
    """The support records of the record in view, and the chosen one below it.

    Parameters
    ----------
    app : EcgApp
        Gives session and state; its model is a SIC network.
    """

    watched = ("sample", "target", "edits_made", "support")

    def __init__(self, app: Any) -> None:
        super().__init__(app)
        self.words = pn.pane.HTML("", sizing_mode="stretch_width", margin=(4, 16))
        self.listing = Listing(label="Evidence of the support records", columns=COLUMNS, height_limit=260)
        self.papers = pn.Column(sizing_mode="stretch_width")
        self._names: list[str] = []
        self._synthetic = False
        self._class = -1
        self.listing.on_select(self._choose)

    def _choose(self, row: str) -> None:
        """Look at a support; one of another class makes that class the explained one."""
        support, state = int(row), self.app.state
        label = int(self.app.model.supports.label[support])
        with_class = {} if label == self._class else {"target": label}
        state.param.update(support=support, **with_class)

    def origin(self) -> tuple[list[str], bool]:
        """Names of the support records in their training set, and whether it is synthetic.

        Where that set is not here any more, positions stand for names.
        """
        index, latents = self.app.model.supports.index, self.app.model.latents
        try:
            training = open_samples(latents.samples)
            known = training["name"].values
            return [str(known[i]) for i in index], bool(training.attrs.get("synthetic"))
        except (XaiViewsError, AttributeError, KeyError, IndexError):
            return [f"training record {i}" for i in index], False

    async def compute(self) -> Any:
        """The evidence of all support records, and the maps of those of the explained class."""
        app, state, session = self.app, self.app.state, self.app.session
        i, edits = state.sample, list(state.edits_made)
        signal = await asyncio.to_thread(session.touched, i, edits)
        future = session.kernel.explain(
            session.model,
            signal[None],
            [digest(signal)],
            get("sic"),
            [get("sic").ask(targets=[state.target])],
            priority=1,
        )
        result = (await asyncio.wrap_future(future))[0]
        if not self._names:
            self._names, self._synthetic = await asyncio.to_thread(self.origin)
        match = result["match_support"].values[0]
        own = match[match >= 0]
        if not len(own):
            raise XaiViewsError("this class has no support records; choose another one.")
        best = int(own[result["evidence"].values[0, own].argmax()])
        chosen = state.support if state.support in own else best
        return i, signal, f"{session.names[i]}{' (edited)' if edits else ''}", result, chosen, app

    def write(self, answer: Any) -> None:
        """Write table, words and both sheets."""
        i, signal, title, result, chosen, app = answer
        self._class = int(result["target_class"].values[0, 0])
        self.listing.rows = rows_of(result, self._names)
        self.listing.selected = str(chosen)
        pair = (
            self.record(i, signal, title, result, chosen),
            self.support(chosen, result),
        )
        self.words.object = f"<p>{escape(self.sentence(title, result, chosen))}</p>"
        made = sheets(pair, app.state.look, str(self._turn))
        on_page(lambda: setattr(self.papers, "objects", made))

    # -- what is drawn ------------------------------------------------------------------------------------------

    def _strip(self, map_: np.ndarray) -> dict[str, Any]:
        steps, rate = map_.shape[1], self.app.session.rate
        return {
            "contribution": binned(map_, STRIP),
            "contribution_step": steps / rate / STRIP,
            "totals": tuple(float(v) for v in map_.sum(1)),
        }

    def record(self, i: int, signal: np.ndarray, title: str, result: xr.Dataset, chosen: int) -> Record:
        """The record in view with where its evidence for the chosen support lies."""
        session = self.app.session
        at = int(np.flatnonzero(result["match_support"].values[0] == chosen)[0])
        map_ = result["support_contribution"].values[0, at] / self.app.model.module.temperature
        evidence = number(float(result["evidence"].values[0, chosen]))
        return Record(
            id=session.names[i],
            name=title,
            leads=tuple(session.leads),
            rate=session.rate,
            signal=signal,
            length=session.length(i),
            target=f"support {self._names[chosen]}",
            text=f"Record {title}: where it resembles {self._names[chosen]}; the strips sum to its evidence, {evidence}.",
            synthetic=bool(session.population.samples.attrs.get("synthetic")) and i < session.population.n,
            **self._strip(map_),
        )

    def support(self, chosen: int, result: xr.Dataset) -> Record:
        """The support record with what in it makes its vector."""
        session, supports = self.app.session, self.app.model.supports
        signal, name = supports.image[chosen], self._names[chosen]
        known = str(result["class"].values[int(supports.label[chosen])])
        return Record(
            id=name,
            name=f"{name}, a support of {known}",
            leads=tuple(session.leads),
            rate=session.rate,
            signal=signal,
            length=length_of(signal),
            target="its own vector",
            unit="norm",
            text=f"Support record {name} of {known}: what in it makes the vector that others are compared with.",
            synthetic=self._synthetic,
            **self._strip(result["self_contribution"].values[chosen]),
        )

    def sentence(self, title: str, result: xr.Dataset, chosen: int) -> str:
        """The text twin: the bill of the explained class, and what the chosen support carries."""
        target = int(result["target_class"].values[0, 0])
        name, session = str(result["class"].values[target]), self.app.session
        evidence = result["evidence"].values[0]
        own = evidence[result["support_class"].values == target]
        at = int(np.flatnonzero(result["match_support"].values[0] == chosen)[0])
        map_ = result["support_contribution"].values[0, at] / self.app.model.module.temperature
        lead = session.leads[int(map_.sum(1).argmax())]
        outside = float(map_[:, session.length(self.app.state.sample) :].sum())
        after = f" ({number(outside)} of it in the zeros after the record)" if abs(outside) > 5e-4 else ""
        return (
            f"{title}, {name}: bias {number(float(result['bias'].values[target]))} + evidence of {len(own)} support records "
            f"{number(float(own.sum()))} = logit {number(float(result['logit'].values[0, target]))}, probability "
            f"{float(result['probability'].values[0, target]):.3f}. {self._names[chosen]} carries "
            f"{number(float(evidence[chosen]))}{after}, most of it in lead {lead}. Each sheet's strips have a limit of their own."
        )

    def __panel__(self) -> Any:
        return pn.Column(caption(CAPTION), self.words, self.listing, self.papers, sizing_mode="stretch_width")
