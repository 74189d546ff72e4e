"""The ECG explorer: records on ECG paper with time-localised clusters, what they contribute, and what muting changes.

``panel serve dashboard/ecg.py`` serves it alone; ``xai-views serve`` serves it at ``/ecg``.
"""

from __future__ import annotations

import asyncio
import hashlib
from typing import Any

import panel as pn
import panel_material_ui as pmui
import xarray as xr

from xai_views.errors import XaiViewsError
from xai_views.methods.explaining import finish
from xai_views.samples import signal_dataset
from xai_views.views.ecg_paper.paper import SETTINGS, ECGPaper
from xai_views_dashboard.core import method_pages
from xai_views_dashboard.core.following import Following, follow_tabs, open_only
from xai_views_dashboard.core.former_app import App
from xai_views_dashboard.core.page import caption, note
from xai_views_dashboard.core.status import StatusLine
from xai_views_dashboard.ecg import frame as ecg_frame
from xai_views_dashboard.ecg.beats import BeatsPanel
from xai_views_dashboard.ecg.codebook import BookPanel
from xai_views_dashboard.ecg.compare import ComparePanel
from xai_views_dashboard.ecg.controls import controls
from xai_views_dashboard.ecg.ledger import LedgerPanel
from xai_views_dashboard.ecg.long_record import LongPanel
from xai_views_dashboard.ecg.records import RecordsPanel
from xai_views_dashboard.ecg.session import EcgSession
from xai_views_dashboard.ecg.state import ATTRIBUTIONS, OWN_MAP, EcgState
from xai_views_dashboard.ecg.supports import SupportsPanel
from xai_views_dashboard.ecg.tables import TablesPanel
from xai_views_dashboard.ecg.touch import TouchPanel
from xai_views_dashboard.ecg.upload import RecordUploadPanel
from xai_views_dashboard.panels.about import about

CAPTION = (
    "Bands of one colour and number are treated alike by the network; faint hatching marks uncertain steps. The bands are "
    "where the network's steps lie; what each step sees reaches further to both sides. Not for clinical use."
)
ABOUT = (
    "After Boubekki, Patlatzoglou, Barker, Ng and Ribeiro: time-localised clusters for ECG networks (arXiv 2509.15198). "
    "Codebook, temperature, contributions and ensemble are our readings; the method's page names each."
)
NEVER = "Not for clinical use."
KEYS = {
    "m": "mute the lead of the brushed interval",
    "u": "undo an edit",
    "h": "hide or show everything of the network",
}


class EcgApp(App):
    """Explore a network of ECG records: time-localised clusters on ECG paper.

    Parameters
    ----------
    model : Model
        A network of signals.
    samples : xarray.Dataset
        Records; they are brought to the model's leads, rate and length.
    **state
        First values of :class:`xai_views_dashboard.ecg.state.EcgState`; ``sample`` may be an id.
    """

    title = "ECG"

    def __init__(self, model: Any, samples: xr.Dataset, **state: Any) -> None:
        super().__init__()
        self.session = EcgSession(model, samples)
        self.model, self.samples = self.session.model, samples
        self.state = EcgState.first(self.session.names, **state)
        if self.model.supports is None and self.state.attribution == OWN_MAP:
            self.state.attribution = ATTRIBUTIONS[0]  # an address made with another model
        self._asks: dict[str, dict[str, Any]] = {}
        self.canvas = ECGPaper(
            self._record,
            order=self.session.names,
            position=self.state.sample,
            context=self._context(),
            settings={**dict(self.state.look), "truth": self.state.truth, "explain": not self.state.hidden},
            sizing_mode="stretch_width",
            keys=KEYS,
        )
        self.status = StatusLine(self.session.kernel)
        self.records = RecordsPanel(self)
        self.tables = TablesPanel(self)
        self.beats = BeatsPanel(self)
        self.panels = self._panels()
        self._link()

    def _panels(self) -> list[tuple[str, Any]]:
        """The tabs, by title."""
        supports = [("Support records", SupportsPanel(self))] if self.model.supports is not None else []
        return [
            *supports,
            ("Ledger", LedgerPanel(self)),
            ("Records", self.records),
            ("Touch it", TouchPanel(self)),
            ("Beats", self.beats),
            ("Tables", self.tables),
            ("Compare", ComparePanel(self)),
            ("Codebook", BookPanel(self)),
            ("Your record", RecordUploadPanel(self)),
            *([("Long record", LongPanel(self))] if self.samples.attrs.get("record") else []),
            ("About", about(self, ABOUT, self._facts())),
        ]

    def _facts(self) -> dict[str, str]:
        rate, steps = self.session.rate, self.model.size[0]
        return {
            "Records": f"{len(self.session.leads)} leads, {steps} steps at {rate:g} Hz, as the network takes them"
        }

    # -- what the page consists of ------------------------------------------------------------------------------

    def __panel__(self) -> Any:
        tabs = pmui.Tabs(
            *self.panels,
            sizing_mode="stretch_width",
            dynamic=True,
            active=min(self.state.tab, len(self.panels) - 1),
        )
        follow_tabs(tabs, self._opened)
        pn.state.onload(self.records.begin)
        return pn.Column(
            *self.notes(),
            controls(self),
            self.canvas,
            caption(CAPTION, method_pages.link("ecg_clusters")),
            tabs,
            sizing_mode="stretch_width",
            styles={"max-height": "none"},  # Panel's own limit makes what is long overlap what follows
        )

    def notes(self) -> list:
        """The usual ones; that this is no medical device is said in any case."""
        said = super().notes()
        words = [self.session.population.samples.attrs.get("note", ""), self.model.card.get("note", "")]
        plain = " ".join(w.replace(NEVER, "").strip() for w in dict.fromkeys(words) if w)
        return [note(f"{plain} {NEVER}".strip()), said[-1]]  # once, at the end, whoever else says it

    def _opened(self, tab: int) -> None:
        self.state.tab = tab
        open_only([panel for _, panel in self.panels], tab)

    # -- links --------------------------------------------------------------------------------------------------

    def _link(self) -> None:
        state, canvas = self.state, self.canvas
        canvas.on_position(self.show_position)
        canvas.on_select(self._brushed)
        canvas.on_cluster(lambda c: setattr(state, "cluster", -1 if c is None else c))
        canvas.on_key(self._key)
        canvas.on_settings(self._looked)
        state.param.watch(self.moved, "sample")
        state.param.watch(self._asked, list(ASKED))
        state.param.watch(self._stands_out, ["cluster", "interval"])
        state.param.watch(
            lambda *_: canvas.compose(truth=state.truth, explain=not state.hidden), ["truth", "hidden"]
        )
        state.param.watch(lambda e: canvas.compose(**{**SETTINGS, **e.new, **self._own()}), "look")
        self._stands_out()

    def _own(self) -> dict[str, Any]:
        return {
            "truth": self.state.truth,
            "explain": not self.state.hidden,
            "highlight": self.canvas.settings["highlight"],
        }

    def _looked(self, settings: Any) -> None:
        own = ("truth", "explain", "highlight")
        for key, name, value in (
            ("truth", "truth", settings.get("truth")),
            ("explain", "hidden", not settings.get("explain")),
        ):
            if key in settings and getattr(self.state, name) != bool(value):
                setattr(self.state, name, bool(value))
        self.state.look = {k: v for k, v in settings.items() if k not in own and SETTINGS.get(k) != v}

    def _stands_out(self, *_: Any) -> None:
        """One cluster and one interval stand out on the paper."""
        state = self.state
        self.canvas.highlight(
            state.cluster if state.cluster >= 0 else None, tuple(state.interval) if state.interval else None
        )

    def _brushed(self, message: Any) -> None:
        if message.get("start") is None:
            self.state.interval = []
            return
        lead = message.get("lead")
        self.state.interval = [
            -1 if lead is None else int(lead), float(message["start"]), float(message["stop"])
        ]  # fmt: skip

    def _asked(self, *_: Any) -> None:
        if self.state.target >= len(self.model.classes):
            self.state.target = -1
            return
        self.canvas.context = self._context()

    def refresh(self) -> None:
        """Ask again for what the session now knows, such as a codebook; no parameter of the state tells of it."""
        self.canvas.context = self._context()
        for _, panel in self.panels:
            if isinstance(panel, Following):
                panel.update()

    def _key(self, key: str) -> None:
        state = self.state
        if key == "u":
            state.undo()
        elif key == "h":
            state.hidden = not state.hidden
        elif key == "m" and state.interval:
            state.edit(edits_made=[*state.edits_made, {"kind": "mute", "lead": state.interval[0]}])
        elif key.isdigit():
            state.cluster = int(key)

    def show_only(self, names: list[str]) -> None:
        """Let the arrow keys walk through these records only; all again when there is none."""
        uploads = self.session.names[self.session.population.n :]
        self.canvas.order = [*names, *uploads] or self.session.names
        self.moved()

    def surveyed(self, found: Any) -> None:
        """Pass on what is known of all records."""
        self.tables.take(found)
        self.beats.take(found)

    # -- frames -------------------------------------------------------------------------------------------------

    def _context(self) -> str:
        """Everything that a frame depends on besides the record."""
        s = self.state
        book = self.session.fitted.key if self.session.fitted is not None and s.mode == "codebook" else ""
        wish = {n: getattr(s, n) for n in ASKED}
        context = hashlib.sha256(repr((sorted(wish.items()), book)).encode()).hexdigest()[:20]
        self._asks[context] = {n: (list(v) if isinstance(v, list) else v) for n, v in wish.items()}
        return context

    async def explained(self, i: int) -> xr.Dataset:
        """The explanation of record ``i`` with the edits of the page, which belong to the record in view."""
        s = self.state
        return await self.session.explain_edited(i, list(s.edits_made), self.session.ask(s, i), priority=1)

    def names_of(self, result: xr.Dataset) -> list[str]:
        """A name for every cluster."""
        return ecg_frame.names_of(result, self.state.names)

    async def _record(self, key: str, priority: int = 0) -> Any:
        """Answer one wish of the paper."""
        name, _, context = key.partition("|")
        session, wish = self.session, self._asks.get(context)
        if wish is None or name not in session.names:
            raise XaiViewsError(f"the page asked for {name!r}, which is not here any more; reload the page.")
        i = session.names.index(name)
        edits = wish["edits_made"] if i == self.state.sample else []
        result = await session.explain_edited(i, edits, session.ask(self.state, i), priority)
        signal = await asyncio.to_thread(session.touched, i, edits)
        title = f"{name} (edited)" if edits else name
        return await asyncio.to_thread(ecg_frame.build, session, i, signal, result, wish, title)

    # -- for people who write Python ----------------------------------------------------------------------------

    def result(self) -> xr.Dataset:
        """The explanation of the record in view, with its provenance; the same numbers that the page shows.

        Edits are among the parameters, so that ``explain(model, record, method, **parameters)`` gives it again.
        """
        session, i = self.session, self.state.sample
        ask = session.ask(self.state, i, edits=session.edits(self.state.edits_made))
        ask = session.ready(ask)
        one = session.explain_now(i, ask)
        population = session.population.samples
        known = session.known(i)
        label = [[int(c in known) for c in range(len(self.model.classes))]] if len(known) > 1 else [*known]
        samples = signal_dataset(
            session.image(i)[None],
            session.rate,
            session.leads,
            label if known else None,
            [session.names[i]],
            self.model.classes if known else None,
        )
        found = finish([one], self.model, samples, session.method, ask)
        return found.assign_attrs(prepared=str(population.attrs.get("prepared", "[]")))


#: Parameters of the state that change what is asked or drawn.
ASKED = (
    "shown",
    "fade",
    "mode",
    "k",
    "temperature",
    "target",
    "ablated",
    "attribution",
    "edits_made",
    "names",
    "truth",
)
