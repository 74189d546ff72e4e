"""ECG paper: records as clinicians know them, with what is explained behind the trace."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, ClassVar

import param

from xai_views.errors import XaiViewsError
from xai_views.views.canvas.canvas import Canvas
from xai_views.views.canvas.protocol import Wish, takes_priority
from xai_views.views.ecg_paper import wire as ecg_wire
from xai_views.views.ecg_paper.record import Record
from xai_views.views.scripts import esm, style

#: Order matters: later files use earlier ones, the last one exports ``render``.
SCRIPTS = (
    "shared_js/dom",
    "shared_js/channel",
    "shared_js/wire",
    "shared_js/scrub",
    "shared_js/colour",
    "shared_js/wheel",
    "shared_js/keys",
    "shared_js/export",
    "ecg_paper/layout",
    "ecg_paper/record",
    "ecg_paper/measure",
    "ecg_paper/paper",
    "ecg_paper/explain",
    "ecg_paper/map",
    "ecg_paper/marks",
    "ecg_paper/hand",
    "ecg_paper/keys",
    "ecg_paper/tools",
    "ecg_paper/ledger",
    "ecg_paper/main",
)

#: What the browser composes without a round trip, and what it starts with.
SETTINGS: dict[str, Any] = {
    "layout": "3x4+1",  # one of ecg_layout.LAYOUTS
    "speed": 25.0,  # mm/s
    "gain": 10.0,  # mm/mV
    "rhythm": "II",  # lead of the long strip
    "px_per_mm": None,  # CSS pixels of 1 mm; None fits the page; "true" = as this screen was calibrated
    "below": None,  # CSS pixels of the window left free under the sheet when it is fitted; None = fit the width only
    "explain": True,  # show the explanation
    "bands": "thin",  # clusters: "thin" = a row above each strip, "full" = behind the trace too, "off"
    "uncertainty": True,  # stripes where the assignment is uncertain
    "strip": True,  # contributions under the leads
    "truth": False,  # brackets around the ground truth
    "grid": "auto",  # "pink" | "grey" | "auto": pink, and grey behind full bands
    "opacity": 0.4,  # of full bands
    "map": "CET_D1A",  # colours of contributions
    "limit": None,  # a fixed limit of the strips instead of the record's own
    "highlight": None,  # {"cluster": id or None, "interval": {"lead", "start", "stop"} or None}: the rest fades
    "minimap": "auto",  # the whole record below: True, False, or "auto" = when the page does not show all of it
    "stepper": True,  # previous, position, next and slider in the toolbar
    "legend": True,
    "toolbar": True,
    "prefetch": True,  # ask for the neighbours ahead of time
    "hidden": False,  # hide the model's output: clusters, strips, legend, ledger, and what the text says of them
}
KEPT = 16  # records whose full traces may be asked for without asking the provider again


class ECGPaper(Canvas):
    """Records on ECG paper, scrubbed with the arrow keys; scrubbing, keys and messages are those of the canvas.

    Parameters
    ----------
    provider : async callable
        ``provider(key) -> Record`` answers a wish ``"<record>|<context>"``; it may take ``priority`` (0 in view, 10
        neighbour). What it raises becomes one sentence on the page.
    order : list of str
        The records that left and right step through.
    settings : dict
        Any of ``SETTINGS``; missing ones keep their default.
    context : str
        Everything that an explanation depends on besides the record; changing it asks for new frames.

    Notes
    -----
    A wish is answered with coarse traces (at most 40 KB for 12 leads). When the hand rests, the browser asks for every
    step of what is in view. The browser keeps the last 64 records.

    Examples
    --------
    >>> paper = ECGPaper.of([record_of(samples, i) for i in range(8)])  # doctest: +SKIP
    """

    defaults: ClassVar[Mapping[str, Any]] = SETTINGS

    layout = param.Dict({}, doc="Not used: the layout of the paper is a setting.")
    settings = param.Dict({}, doc="What the browser composes without a round trip (see SETTINGS).")
    edits = param.Dict(
        {}, doc="What the ledger's buttons can undo, and a sentence: {'undo', 'reset', 'words'}."
    )

    _esm = f"const ECG_CSS = {style('ecg_paper/paper')};\n" + esm(*SCRIPTS)

    def __init__(self, provider: Callable[..., Awaitable[Any]], **params: Any) -> None:
        settings = SETTINGS | dict(params.pop("settings", None) or {})
        if unknown := set(settings) - set(SETTINGS):
            raise XaiViewsError(
                f"the paper has no setting {min(unknown)!r}; there are {', '.join(SETTINGS)}."
            )
        self._records: OrderedDict[str, Record] = OrderedDict()
        self._details: dict[str, tuple[float, float]] = {}
        super().__init__(provider, **params)
        self.settings = settings  # without those of the canvas, of which the paper knows few
        self._ask = self._answerer.provider
        self._answerer.provider = self._answer

    @classmethod
    def of(cls, records: Sequence[Record], **params: Any) -> ECGPaper:
        """Show records that are there already."""
        known = {record.id: record for record in records}

        async def provider(key: str) -> Record:
            return known[key.split("|", 1)[0]]

        return cls(provider, order=list(known), **params)

    @property
    def provider(self) -> Callable[..., Awaitable[Any]]:
        """The async callable that answers wishes; replacing it forgets the records of the old one."""
        return self._ask

    @provider.setter
    def provider(self, function: Callable[..., Awaitable[Any]]) -> None:
        self._ask = function
        self._records.clear()

    def highlight(self, cluster: int | None = None, interval: tuple[int, float, float] | None = None) -> None:
        """Let a cluster, an interval ``(lead, start s, stop s)`` (lead -1 = all), or both stand out; nothing = all."""
        place = None if interval is None else dict(zip(("lead", "start", "stop"), interval, strict=True))
        self.compose(highlight={"cluster": cluster, "interval": place})

    def on_select(self, function: Callable[[Mapping[str, Any]], Any]) -> None:
        """Call ``function({"sample", "lead", "name", "start", "stop"})`` when an interval was brushed.

        ``lead`` is the position in the record and ``name`` its name; times are s. All are None when it was cleared.
        """
        super().on_select(function)

    def on_hover(self, function: Callable[[Mapping[str, Any]], Any]) -> None:
        """Call ``function({"sample", "lead", "name", "time", "mv", "cluster", "entropy"})``, ten times a second at most."""
        self._callbacks.setdefault("hover", []).append(function)

    def on_cluster(self, function: Callable[[int | None], Any]) -> None:
        """Call ``function(id)`` when a cluster was chosen by click, key or legend; None when it was let go."""
        self._callbacks.setdefault("cluster", []).append(function)

    def on_ledger(self, function: Callable[[str], Any]) -> None:
        """Call ``function(action)`` for a button of the ledger: "remove" (the highlighted cluster), "undo" or "reset"."""
        self._callbacks.setdefault("ledger", []).append(function)

    def record(self) -> Record | None:
        """Return the record in view; None before the browser asked for it."""
        return self._records.get(f"{self.sample}|{self.context}")

    def _handle_msg(self, message: Any) -> None:
        kind = message.get("type") if isinstance(message, Mapping) else None
        if kind == "hover":
            self._call("hover", dict(message))
        elif kind == "cluster":
            chosen = message.get("id")
            self._call("cluster", None if chosen is None else int(chosen))
        elif kind == "ledger":
            if message.get("action") in {"remove", "undo", "reset"}:
                self._call("ledger", str(message["action"]))
        elif kind == "want" and message.get("detail"):
            key = str(message.get("key") or "")
            start, stop = map(float, message["detail"])
            self._details = {f"{key}|full": (start, stop)}
            self._answerer.want(Wish(int(message.get("seq", 0)), f"{key}|full"))
        else:
            super()._handle_msg(message)

    async def _answer(self, key: str, priority: int) -> bytes:
        """Encode the record of a wish: coarse, or the full traces of what is in view."""
        detail = self._details.get(key)
        plain = key.removesuffix("|full") if detail else key
        record = self._records.get(plain) if detail else None
        if record is None:
            record = await self._record(plain, priority)
        self._records[plain] = record
        self._records.move_to_end(plain)
        while len(self._records) > KEPT:
            self._records.popitem(last=False)
        return await asyncio.to_thread(ecg_wire.encode, record, plain, bool(detail), detail)

    async def _record(self, key: str, priority: int) -> Record:
        extra = {"priority": priority} if takes_priority(self._ask) else {}
        record = await self._ask(key, **extra)
        if not isinstance(record, Record):
            raise XaiViewsError(f"the provider must return a Record, not {type(record).__name__}; build one.")
        return record
