"""The ECG explorer: records on ECG paper with time-localised clusters, their contributions, and the effect of edits.

``panel serve dashboard/ecg.py`` serves it alone; ``xai-views serve`` serves it at ``/ecg``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from xai_views.contract.ask import Ask
from xai_views.errors import XaiViewsError
from xai_views.methods.ecg_clusters.attribution import METHODS
from xai_views.methods.ecg_clusters.fit import Fitted
from xai_views.methods.ecg_clusters.survey import Survey
from xai_views.views.ecg_paper.paper import ECGPaper
from xai_views.views.ecg_paper.record import Record
from xai_views.views.ecg_paper.svg import plot_ecg
from xai_views_dashboard.core.answers import answer_of
from xai_views_dashboard.core.app import App
from xai_views_dashboard.core.wishes import Wish
from xai_views_dashboard.ecg import frame as pictures
from xai_views_dashboard.ecg.beats import BeatsPanel
from xai_views_dashboard.ecg.codebook import CodebookPanel
from xai_views_dashboard.ecg.compare import ComparePanel
from xai_views_dashboard.ecg.controls import attributions, controls
from xai_views_dashboard.ecg.intervals import IntervalResult
from xai_views_dashboard.ecg.ledger import LedgerPanel
from xai_views_dashboard.ecg.long_record import LongPanel
from xai_views_dashboard.ecg.records import RecordsPanel
from xai_views_dashboard.ecg.session import EcgSession
from xai_views_dashboard.ecg.state import MOST_EDITS, EcgState
from xai_views_dashboard.ecg.supports import SupportsPanel
from xai_views_dashboard.ecg.tables import TablesPanel
from xai_views_dashboard.ecg.touch import TouchPanel
from xai_views_dashboard.ecg.upload import RecordUploadPanel

#: Settings of the paper that are parameters of the state.
OWN = ("truth", "highlight", "stepper", "below")
#: CSS pixels of the first screen that belong to the foot of the paper, the caption, the tabs and the status line.
BELOW = 142


class EcgApp(App):
    """Explore a network of ECG records: time-localised clusters on ECG paper.

    Parameters
    ----------
    model : Model
        A network of signals.
    samples : xarray.Dataset
        Records; they are brought to the model's leads, rate and length.
    **state
        First values of the state: parameters of the method ``ecg_clusters``, and what
        :class:`xai_views_dashboard.ecg.state.EcgState` adds; ``sample`` may be an id.
    """

    key, title, method, preference, noun = "ecg", "ECG", "ecg_clusters", 20, "Record"
    selection, session_kind, view = EcgState, EcgSession, ECGPaper
    panels_own = (
        SupportsPanel, LedgerPanel, CodebookPanel, RecordsPanel, ComparePanel, TouchPanel, RecordUploadPanel, BeatsPanel,
        TablesPanel, LongPanel,
    )  # fmt: skip
    drawn = ("shown", "fade", "truth", "names")
    keys = {
        "m": "mute the lead of the selected interval",
        "u": "undo the last edit",
    }
    always = "Not for clinical use."
    words = (
        "The same colour and number mark stretches that the network represents alike; each step also sees signal beyond its "
        "stretch. A cluster is not a diagnosis."
    )
    source = (
        "After Boubekki, Patlatzoglou, Barker, Ng and Ribeiro: time-localised clusters for ECG networks (arXiv 2509.15198). "
        "Codebook, temperature, contributions and ensemble are our extensions; the method page lists them."
    )

    session: EcgSession
    state: Any  # EcgState with the parameters of the method

    # -- the request -------------------------------------------------------------------------------------------

    def begins(self) -> Mapping[str, Any]:
        """Begin with the clusters that ship with the model, at the temperature fitted with them."""
        fitted, attribution = self.session.shipped, {"attribution": next(iter(METHODS))}
        return attribution | ({"mode": "codebook", "temperature": fitted.cool} if fitted is not None else {})

    @property
    def fitted(self) -> Fitted | None:
        """The clusters that all records share: those fitted on this page, else those that ship with the model."""
        return self.state.codebook or self.session.shipped

    def ask(self, method: str = "", /, **changes: Any) -> Ask:
        """Return the request of the state, without what is not drawn, and without a codebook where there is none."""
        state, fitted = self.state, self.fitted
        shared = state.mode == "codebook" and fitted is not None
        votes = fitted is not None and bool(fitted.ensemble) and state.fade == "ensemble"
        known = attributions(self.model)
        map_ = state.attribution if state.attribution in known else known[-len(METHODS)]  # of another model
        needed = {
            "mode": "codebook" if shared else "own",
            "codebook": state.codebook if shared else None,
            "codebook_key": state.codebook_key if shared else "",
            "ensemble": shared and votes,
            "attribution": map_ if state.shown == "attribution" else "",
        }
        return super().ask(method, **{**({} if method else needed), **changes})

    def shared(self) -> Fitted:
        """Return the clusters that all records share.

        Raises
        ------
        XaiViewsError
            When there are none.
        """
        if self.fitted is None:
            raise XaiViewsError(
                "There is no codebook yet. Fit one in the tab Codebook: its clusters make records comparable."
            )
        return self.fitted

    async def surveyed(self) -> Survey:
        """Return the survey of all records; the first request runs the network once on each."""
        return await asyncio.wrap_future(self.session.surveyed(self.shared()))

    # -- the paper ----------------------------------------------------------------------------------------------

    async def answer(self, key: str, priority: int = 0) -> Record:  # type: ignore[override]
        """Answer one wish of the paper, which encodes records itself."""
        return await self.made(key, *self.wishes.find(key, self.session.names), priority)

    async def made(self, key: str, sample: int, wish: Wish, priority: int = 0) -> Record:
        """Explain a record, and where it was edited also its original: the ledger compares both."""
        result = await self.explained(sample, wish, priority)
        before, asked = None, await asyncio.to_thread(self.session.asked_of, sample, wish)
        if asked.edits or asked.ablated:
            plain = replace(wish, ask=wish.ask.replace(edits=(), ablated=()))
            before = await self.explained(sample, plain, priority)
        bill = pictures.beside(result, self.model.classes, before, asked.ablated)
        record = await asyncio.to_thread(self.frame, key, sample, result, wish)
        answer = answer_of(self.session, sample, result, self.changed(sample, wish))
        return self.with_answer(replace(record, ledger=bill), answer)

    def frame(self, key: str, sample: int, result: Any, wish: Wish) -> Record:  # noqa: ARG002 - the paper knows the key
        """Return trace, clusters, strips and text of one record."""
        signal, title = self.session.seen(sample, wish)
        return pictures.build(self.session, sample, signal, result, wish.drawn, title)

    def svg(self) -> str:
        """Return the paper in view as SVG, without the model's output while that is hidden; "" before there is one.

        Raises
        ------
        XaiViewsError
            If the layout is not possible.
        """
        record, look = self.canvas.record(), self.canvas.settings
        if record is None:
            return ""
        shown = bool(look["explain"]) and not self.state.hidden
        if not shown:
            record = replace(record, text="", ledger=None, answer=None)
        named = {name: look[name] for name in ("layout", "speed", "gain", "rhythm", "bands")}
        return plot_ecg(record, explain=shown, truth=self.state.truth and not self.state.hidden, **named)

    def with_answer(self, made: Record, answer: Mapping[str, Any] | None) -> Record:
        """Add the answer line's content to a record."""
        return replace(made, answer=None if answer is None else dict(answer))

    def changed(self, sample: int, wish: Wish) -> str:
        """Return a remark where the record was edited."""
        return "edited record" if self.session.asked_of(sample, wish).edits else ""

    def controls(self) -> list[Any]:
        """Return the row above the paper."""
        return [controls(self)]

    def facts(self) -> Mapping[str, Any]:
        """Return how records reach the network."""
        leads, steps = len(self.session.leads), self.model.size[0]
        return {
            "Records": f"{leads} leads, {steps} steps at {self.session.rate:g} Hz, prepared for the network"
        }

    def link(self) -> None:
        """Let the paper follow cluster, interval, ground truth and edits, and the state follow the paper."""
        self.intervals = IntervalResult(self)
        self.canvas.on_cluster(lambda c: setattr(self.state, "cluster", -1 if c is None else c))
        self.canvas.on_ledger(self.ledger)
        self.state.param.watch(
            lambda *_: self.canvas.compose(**self.composed(self.state.look)),
            ["cluster", "interval", "truth"],
        )
        self.state.param.watch(self.tell_edits, ["sample", *self.state.EDITS])
        self.tell_edits()

    def begin(self) -> None:
        """Begin what sends to the browser, also the result of an interval."""
        super().begin()
        self.intervals.active = True

    def tell_edits(self, *_: Any) -> None:
        """Tell the ledger what can be undone, and to which record the edits belong."""
        state = self.state
        made = bool(state.edits_made or state.ablated)
        name = self.session.names[min(state.sample, len(self.session) - 1)]
        words = f"Edits apply to {name} only; they are dropped when you open another record." if made else ""
        self.canvas.edits = {"undo": state.can_undo, "reset": made, "words": words}

    def ledger(self, action: str) -> None:
        """Take a button of the ledger."""
        state = self.state
        if action == "undo":
            state.undo()
            self.tell_edits()
        elif action == "reset":
            state.edit(edits_made=[], ablated=[])
        elif state.cluster >= 0:
            state.edit(ablated=sorted({*state.ablated, state.cluster}))

    def composed(self, look: Mapping[str, Any]) -> dict[str, Any]:
        """Return the settings of the paper; some of them come from the state."""
        state = self.state
        interval = (
            dict(zip(("lead", "start", "stop"), state.interval, strict=True)) if state.interval else None
        )
        highlight = {"cluster": state.cluster if state.cluster >= 0 else None, "interval": interval}
        own = {"truth": state.truth, "highlight": highlight, "stepper": False, "below": BELOW}
        return {**super().composed(look), **own}

    def looked(self, settings: Mapping[str, Any]) -> None:
        """Keep what was changed in the browser."""
        self.state.truth = bool(settings.get("truth", self.state.truth))
        super().looked({k: v for k, v in settings.items() if k not in OWN})

    def selected(self, message: Mapping[str, Any]) -> None:
        """Take a brushed interval."""
        lead, start, stop = (message.get(n) for n in ("lead", "start", "stop"))
        place = [-1 if lead is None else int(lead), float(start or 0), float(stop or 0)]
        self.state.interval = [] if start is None else place

    def pressed(self, key: str) -> None:
        """Take a key of the paper."""
        state = self.state
        if key == "u":
            self.ledger("undo")
        elif key == "m" and state.interval:
            self.change({"kind": "mute", "lead": state.interval[0]})
        elif key.isdigit():
            state.cluster = int(key)

    def change(self, edit: Mapping[str, Any]) -> None:
        """Add an edit of the record in view."""
        made = self.state.edits_made
        full = len(made) >= MOST_EDITS
        self.problem = (
            f"This record already has {MOST_EDITS} edits (the limit); undo some or reset them."
            if full
            else ""
        )
        if not full:
            self.state.edit(edits_made=[*made, dict(edit)])
