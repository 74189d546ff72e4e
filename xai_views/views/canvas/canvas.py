"""The canvas: every picture of a page in one component that scrubs, composes and brushes in the browser."""

from __future__ import annotations

import asyncio
import inspect
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, ClassVar

import param

from xai_views.errors import XaiViewsError
from xai_views.views import wire
from xai_views.views.canvas.protocol import Answerer, Wish
from xai_views.views.patches import OneWayComponent
from xai_views.views.scripts import esm

#: Order matters: later files use earlier ones, the last one exports ``render``.
SCRIPTS = (
    "shared_js/dom",
    "shared_js/channel",
    "shared_js/wire",
    "shared_js/scrub",
    "shared_js/colour",
    "shared_js/wheel",
    "shared_js/export",
    "canvas/contour",
    "canvas/gesture",
    "canvas/tile",
    "canvas/legend",
    "canvas/table",
    "canvas/toolbar",
    "shared_js/keys",
    "canvas/main",
)

#: What the browser composes without a round trip, and what it starts with.
SETTINGS: dict[str, Any] = {
    "overlay": True,  # show maps over photos
    "opacity": 0.85,  # of the strongest value
    "map": "CET_D1A",  # table of signed maps
    "sequential": "viridis",  # table of unsigned maps
    "threshold": 0.0,  # hide values below this share of the limit, 0 to 1
    "sign": "both",  # "both" | "for" | "against"
    "outline": False,  # contours of |map| and borders of label maps
    "smooth": None,  # True or False; None: pixel by pixel up to 256 pixels a side, smooth beyond
    "grey": False,  # photos without colour, so that the overlay's colours stand out
    "limits": "shared",  # "shared" | "per panel"
    "percentile": 99.5,  # of |value|: what lies above is drawn with the strongest colour
    "limit": None,  # a fixed limit instead of the percentile
    "locked": {},  # {layer: limit} kept across samples, classes and methods
    "hidden": False,  # hide the model's output: photos only
    "focus": None,  # {layer of label maps: ids that stand out}
    "prefetch": True,  # ask for the neighbours ahead of time
    "toolbar": True,
    "stepper": True,  # previous, position and next in the toolbar
    "legend": True,
}
#: What ``save`` writes.
FORMATS = ("png", "svg")


class Canvas(OneWayComponent):
    """All pictures of a page, scrubbed with the arrow keys.

    Parameters
    ----------
    provider : async callable
        ``provider(key) -> bytes`` answers a wish ``"<sample>|<context>"`` with a frame (see ``Frame``). A
        keyword ``priority`` (0 in view, 10 neighbour) is passed when it is accepted. What it raises becomes
        one sentence on the page.
    order : list of str
        The samples that left and right step through.
    layout : dict
        ``{"tiles": {id: {"group", "size", "label", "layers", "photo", "link", "optional", "output"}}, "groups":
        {id: {"title"}}, "table": {"size", "layers"}}``. ``size`` is in CSS pixels; ``photo`` names another tile
        whose photo is shown; tiles of one ``link`` (default: the group) share zoom, cross-hair and regions. An
        ``optional`` tile is hidden while the frame brings neither its layers nor a photo of its own. ``output``
        says whether a tile's own photo is output of the model: while the setting ``hidden`` is on, the first
        photo is shown (unless its ``output`` is True), and further ones only where ``output`` is False.
    settings : dict
        Any of ``SETTINGS``; missing ones keep their default.
    context : str
        Everything that a frame depends on besides the sample; changing it asks for new frames.

    Notes
    -----
    Up go messages, down goes one bytes property: the only pair that is binary, undelayed and works under
    ``panel serve`` and both notebook transports.
    """

    #: What ``settings`` begin with.
    defaults: ClassVar[Mapping[str, Any]] = SETTINGS

    frame = param.Bytes(b"", doc="The newest answer; set by the canvas itself.")
    layout = param.Dict({}, doc="Tiles, their groups, sizes, labels and layers.")
    settings = param.Dict({}, doc="What the browser composes without a round trip.")
    order = param.List([], item_type=str, doc="Sample keys in the order of the left and right keys.")
    context = param.String("", doc="What a frame depends on besides the sample.")
    keys = param.Dict(
        {}, doc="Further keys to forward, with the words for the help: {'[': 'previous cluster'}."
    )
    channel = param.String(
        "", doc="Where the canvas tells other components of the page what it draws (see AnswerLine)."
    )
    dark = param.Boolean(None, allow_None=True, doc="Dark colours; None follows the page.")
    page_keys = param.Boolean(
        True, doc="Whether keys work wherever the focus is; False for a second canvas on a page."
    )
    report_settings = param.Boolean(
        False, doc="Whether the browser tells changed settings (see on_settings)."
    )
    chip = param.Dict({}, doc="What is known of the brushed region (see tell): tile, text and sample.")
    edits = param.Dict(
        {},
        doc="Buttons under the ledger: remove (label), reason (why it is disabled), undo, reset (bool) and words; {} = none.",
    )
    caption = param.String("", doc="One line under a saved picture.")
    export = param.Dict({}, doc="The picture that the browser is to save; set by save.")
    jump = param.Dict({}, doc="Where code (not the hand) wants the browser to go; set by the canvas itself.")
    position = param.Integer(0, bounds=(0, None), doc="Index into order of the sample in view.")
    row = param.String("", doc="Id of the selected row of the table.")

    _esm = esm(*SCRIPTS)
    _rename = {"position": None, "row": None}  # these reach the browser as jumps only

    def __init__(self, provider: Callable[..., Awaitable[bytes]], **params):
        params["settings"] = SETTINGS | dict(params.get("settings") or {})
        self._callbacks: dict[str, list[Callable]] = {}
        self._tasks: set[asyncio.Future] = set()
        self._from_browser = False
        super().__init__(**params)
        self._answerer = Answerer(provider, self.push)
        self.param.watch(self._jump, ["position", "row"])
        self.param.watch(self._forget_chip, "position")
        self._jump()

    @property
    def provider(self) -> Callable[..., Awaitable[bytes]]:
        """The async callable that answers wishes; may be replaced."""
        return self._answerer.provider

    @provider.setter
    def provider(self, function: Callable[..., Awaitable[bytes]]) -> None:
        self._answerer.provider = function

    @property
    def sample(self) -> str:
        """The key of the sample in view, "" when there is none."""
        return self.order[self.position] if self.position < len(self.order) else ""

    @sample.setter
    def sample(self, key: str) -> None:
        self.position = self.order.index(key)

    def compose(self, **settings) -> None:
        """Change some settings (``canvas.compose(opacity=0.5, sign="for")``) and keep the others."""
        self.settings = {**self.settings, **settings}

    def tell(self, tile: str, text: str) -> None:
        """Show a short result at the brushed region of a tile, until the region or the sample goes.

        Parameters
        ----------
        tile : str
            The tile on which the region was brushed (see ``on_region``).
        text : str
            A few words, such as "4.8 % of the pixels · 13.9 % of the evidence"; "" removes them.
        """
        self.chip = {"n": self.chip.get("n", 0) + 1, "tile": tile, "text": text, "sample": self.sample}

    def save(  # type: ignore[override]  # a canvas is no page: it saves what it shows
        self, kind: str = "png", name: str = ""
    ) -> None:
        """Let the browser download what it shows: tiles with titles, legend and ``caption``.

        Parameters
        ----------
        kind : str
            "png" (twice the size on the screen) or "svg" (text as text, pictures embedded).
        name : str, optional
            Name of the file without its ending. Default: the sample in view.

        Raises
        ------
        XaiViewsError
            If ``kind`` is neither.
        """
        if kind not in FORMATS:
            raise XaiViewsError(
                f"a picture can be saved as {' or '.join(FORMATS)}, not as {kind!r}; choose one of them."
            )
        plain = re.sub(r"[^\w.-]+", "-", name or self.sample).strip("-.") or "picture"
        self.export = {"n": self.export.get("n", 0) + 1, "kind": kind, "name": plain}

    def push(self, frame: bytes) -> None:
        """Show a frame that nobody asked for, or a better one for a wish already answered (same key)."""
        if frame == self.frame:  # the property would not fire: another seq makes it another value
            frame = wire.stamp(frame, (wire.decode_header(frame)["seq"] + 1) % 10**9)
        self.frame = frame

    def on_select(self, function: Callable[[Mapping[str, Any]], Any]) -> None:
        """Call ``function({"tile", "row", "x", "y", "labels"})`` on a click or a row chosen by key.

        ``x`` and ``y`` are image pixels; ``labels`` are the ids of the tile's label maps there, by layer.
        """
        self._callbacks.setdefault("select", []).append(function)

    def on_region(self, function: Callable[[Mapping[str, Any]], Any]) -> None:
        """Call ``function({"tile", "polygon", "sample"})`` when a region was drawn ([] = cleared)."""
        self._callbacks.setdefault("region", []).append(function)

    def on_edit(self, function: Callable[[str], Any]) -> None:
        """Call ``function("remove" | "undo" | "reset")`` when a button under the ledger is pressed (see ``edits``)."""
        self._callbacks.setdefault("edit", []).append(function)

    def on_key(self, function: Callable[[str], Any]) -> None:
        """Call ``function(key)`` for forwarded keys: the digits 1 to 9 and those of ``keys``."""
        self._callbacks.setdefault("key", []).append(function)

    def on_position(self, function: Callable[[int], Any]) -> None:
        """Call ``function(position)`` when the hand rests on a sample (150 ms), at once on a click."""
        self._callbacks.setdefault("position", []).append(function)

    def on_settings(self, function: Callable[[Mapping[str, Any]], Any]) -> None:
        """Call ``function(settings)`` when settings were changed in the browser and the hand rests."""
        self._callbacks.setdefault("settings", []).append(function)
        self.report_settings = True

    def _handle_msg(self, message: Any) -> None:
        """Take one message of the browser; never waits."""
        if not isinstance(message, Mapping):
            return
        kind = message.get("type")
        if kind == "want":
            prefetch = tuple(str(key) for key in message.get("prefetch") or ())
            self._answerer.want(Wish(int(message.get("seq", 0)), str(message.get("key") or ""), prefetch))
        elif kind == "position":
            position = int(message.get("position", 0))
            if 0 <= position < max(1, len(self.order)):
                self._quietly(position=position)
                self._tell_others(message)
                self._call("position", position)
        elif kind == "select":
            if message.get("row") is not None:
                self._quietly(row=str(message["row"]))
                self._tell_others(message)
            self._call("select", dict(message))
        elif kind == "key":
            self._call("key", str(message.get("key", "")))
        elif kind == "edit":
            self._call("edit", str(message.get("action", "")))
        elif kind == "region":
            self._forget_chip()
            self._call("region", dict(message))
        elif kind == "settings":
            self._quietly(settings={**self.settings, **dict(message.get("settings") or {})})
            self._call("settings", self.settings)

    def _call(self, kind: str, value: Any) -> None:
        for function in self._callbacks.get(kind, ()):
            result = function(value)
            if inspect.isawaitable(result):
                task = asyncio.ensure_future(result)
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    def _quietly(self, **params) -> None:
        """Set what the browser itself reported, without sending the hand back to it."""
        self._from_browser = True
        try:
            self.param.update(**params)
        finally:
            self._from_browser = False

    def _tell_others(self, message: Mapping[str, Any]) -> None:
        """Take along the other views of this canvas, such as the same app in another cell, to where one of them is."""
        if len(self._models) > 1:
            self.jump = {
                "n": self.jump.get("n", 0) + 1,
                "position": self.position,
                "row": self.row,
                "by": str(message.get("view") or ""),
            }

    def _forget_chip(self, *_) -> None:
        """Drop what was told of a region that is no longer there."""
        if self.chip.get("text"):
            self.chip = {"n": self.chip.get("n", 0)}

    def _jump(self, *_) -> None:
        if not self._from_browser:
            self.jump = {"n": self.jump.get("n", 0) + 1, "position": self.position, "row": self.row}

    def _cleanup(self, root=None) -> None:
        super()._cleanup(root)
        if not self._models:
            self._answerer.close()
