"""The ECG explorer: records on ECG paper with time-localised clusters, what they contribute, and what muting changes.

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
from xai_views_dashboard.core.app import App
from xai_views_dashboard.core.wishes import Wish
from xai_views_dashboard.ecg import frame as pictures
from xai_views_dashboard.ecg.beats import BeatsPanel
from xai_views_dashboard.ecg.codebook import CodebookPanel
from xai_views_dashboard.ecg.compare import ComparePanel
from xai_views_dashboard.ecg.controls import attributions, controls
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
OWN = ("truth", "explain", "highlight")


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
        "m": "mute the lead of the brushed interval",
        "u": "undo an edit",
    }
    always = "Not for clinical use."
    words = (
        "Bands of one colour and number are treated alike by the network; faint hatching marks uncertain steps. The bands are "
        "where the network's steps lie; what each step sees reaches further to both sides. Not for clinical use."
    )
    source = (
        "After Boubekki, Patlatzoglou, Barker, Ng and Ribeiro: time-localised clusters for ECG networks (arXiv 2509.15198). "
        "Codebook, temperature, contributions and ensemble are our readings; the method's page names each."
    )

    session: EcgSession
    state: Any  # EcgState with the parameters of the method

    # -- what is asked ------------------------------------------------------------------------------------------

    def begins(self) -> Mapping[str, Any]:
        """The clusters that ship with the model, at a temperature with which not every step looks uncertain."""
        fitted, attribution = self.session.shipped, {"attribution": next(iter(METHODS))}
        return attribution | ({"mode": "codebook", "temperature": fitted.cool} if fitted is not None else {})

    @property
    def fitted(self) -> Fitted | None:
        """The clusters that all records share: those that were fitted on this page, else those that ship with the model."""
        return self.state.codebook or self.session.shipped

    def ask(self, method: str = "", /, **changes: Any) -> Ask:
        """What the state asks, without what is not drawn, and without a codebook where there is none."""
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
        """The clusters that all records share.

        Raises
        ------
        XaiViewsError
            When there are none.
        """
        if self.fitted is None:
            raise XaiViewsError(
                "There is no codebook yet. Fit one under Codebook: records are compared by its clusters."
            )
        return self.fitted

    async def surveyed(self) -> Survey:
        """What is known of all records; the first who asks lets each go through the network once."""
        return await asyncio.wrap_future(self.session.surveyed(self.shared()))

    # -- the paper ----------------------------------------------------------------------------------------------

    async def answer(self, key: str, priority: int = 0) -> Record:  # type: ignore[override]
        """Answer one wish of the paper, which encodes records itself."""
        return await self.made(key, *self.wishes.find(key, self.session.names), priority)

    def frame(self, key: str, sample: int, result: Any, wish: Wish) -> Record:  # noqa: ARG002 - the paper knows the key
        """Trace, bands, strips and words of one record."""
        signal, title = self.session.seen(sample, wish)
        return pictures.build(self.session, sample, signal, result, wish.drawn, title)

    def with_answer(self, made: Record, answer: Mapping[str, Any] | None) -> Record:
        """Add what the answer line says to a record."""
        return replace(made, answer=None if answer is None else dict(answer))

    def changed(self, sample: int, wish: Wish) -> str:
        """Whether the record was edited."""
        return "edited record" if self.session.asked_of(sample, wish).edits else ""

    def controls(self) -> list[Any]:
        """What is changed often."""
        return [controls(self)]

    def facts(self) -> Mapping[str, Any]:
        """How records reach the network."""
        leads, steps = len(self.session.leads), self.model.size[0]
        return {
            "Records": f"{leads} leads, {steps} steps at {self.session.rate:g} Hz, as the network takes them"
        }

    def link(self) -> None:
        """One cluster and one interval stand out; evidence and what is hidden are settings of the paper."""
        self.canvas.on_cluster(lambda c: setattr(self.state, "cluster", -1 if c is None else c))
        self.state.param.watch(
            lambda *_: self.canvas.compose(**self.composed(self.state.look)),
            ["cluster", "interval", "truth"],
        )

    def composed(self, look: Mapping[str, Any]) -> dict[str, Any]:
        """Settings of the paper; some of them are the state's."""
        state = self.state
        interval = (
            dict(zip(("lead", "start", "stop"), state.interval, strict=True)) if state.interval else None
        )
        highlight = {"cluster": state.cluster if state.cluster >= 0 else None, "interval": interval}
        own = {"truth": state.truth, "explain": not state.hidden, "highlight": highlight}
        return {**super().composed(look), **own}

    def looked(self, settings: Mapping[str, Any]) -> None:
        """Keep what was changed in the browser."""
        hidden = not settings.get("explain", not self.state.hidden)
        self.state.param.update(truth=bool(settings.get("truth", self.state.truth)), hidden=hidden)
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
            state.undo()
        elif key == "m" and state.interval:
            self.change({"kind": "mute", "lead": state.interval[0]})
        elif key.isdigit():
            state.cluster = int(key)

    def change(self, edit: Mapping[str, Any]) -> None:
        """Edit the record in view once more."""
        made = self.state.edits_made
        full = len(made) >= MOST_EDITS
        self.problem = (
            f"This record already has {MOST_EDITS} edits; undo some or start again." if full else ""
        )
        if not full:
            self.state.edit(edits_made=[*made, dict(edit)])
