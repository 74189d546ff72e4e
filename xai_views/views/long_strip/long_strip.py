"""A record of hours: a strip of its extremes, and under it a window that is read when it is looked at."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

import numpy as np
import param

from xai_views.views.patches import OneWayComponent
from xai_views.views.scripts import esm

#: Columns beyond which no window is answered, however wide a browser says it is.
MOST_COLUMNS = 4000


def encode(start: float, seconds: float, low: np.ndarray, high: np.ndarray, turn: int = 0) -> bytes:
    """Return a window as bytes for the browser.

    Parameters
    ----------
    start, seconds : float
        Where it begins and how long it is, s.
    low, high : ndarray
        ``[lead, columns]`` least and largest values in mV, NaN where there are none.
    turn : int
        Makes two answers differ that are otherwise the same: a property that stays as it is tells nobody.

    Returns
    -------
    bytes
        Little endian: two float64, three uint32 (leads, columns, turn), then ``low`` and ``high`` as float32.
    """
    values = np.stack([low, high]).astype("<f4")
    return struct.pack("<ddIII", start, seconds, *low.shape, turn) + values.tobytes()


class LongStrip(OneWayComponent):
    """An overview and a window of a long record; drag, wheel, buttons and keys pan and zoom, Enter asks for more.

    Parameters
    ----------
    leads : list of str
        Names of the traces.
    duration : float
        Of the record, s.
    takes : float
        Seconds that are marked in the middle of the window.

    Notes
    -----
    Each change of the window is told to ``on_window``; whoever listens answers with :meth:`show`.
    """

    leads = param.List([], item_type=str, doc="Names of the traces.")
    duration = param.Number(
        1.0, bounds=(0, None), inclusive_bounds=(False, True), doc="Seconds of the record."
    )
    takes = param.Number(10.0, bounds=(0, None), doc="Seconds that are marked.")
    overview = param.Bytes(b"", doc="The whole record (see encode).")
    frame = param.Bytes(b"", doc="The window that was asked for last (see encode).")
    jump = param.Dict({}, doc="Where code wants the window to be: start and seconds.")
    dark = param.Boolean(None, allow_None=True, doc="Dark colours; None follows the page.")

    _esm = esm("shared_js/dom", "long_strip/long_strip", css="long_strip/long_strip")

    def __init__(self, **params: Any) -> None:
        self._window: list[Callable[[float, float, int], Any]] = []
        self._explain: list[Callable[[], Any]] = []
        self._turn = 0
        params.setdefault("sizing_mode", "stretch_width")
        super().__init__(**params)

    def on_window(self, function: Callable[[float, float, int], Any]) -> None:
        """Call ``function(start_s, seconds, columns)`` when another window is looked at."""
        self._window.append(function)

    def on_explain(self, function: Callable[[], Any]) -> None:
        """Call ``function()`` when Enter was pressed."""
        self._explain.append(function)

    def show(  # type: ignore[override]  # nothing opens a server for a part of a page
        self, start: float, seconds: float, low: np.ndarray, high: np.ndarray, whole: bool = False
    ) -> None:
        """Show a window, or the overview where it is the ``whole``; arrays as in :func:`encode`."""
        self._turn = (self._turn + 1) % 2**32
        raw = encode(start, seconds, low, high, self._turn)
        if whole:
            self.overview = raw
        else:
            self.frame = raw

    def go(self, start: float, seconds: float) -> None:
        """Bring a window into view, without being told so."""
        self.jump = {"n": self.jump.get("n", 0) + 1, "start": float(start), "seconds": float(seconds)}

    def _handle_msg(self, message: Any) -> None:
        kind = message.get("type") if isinstance(message, dict) else None
        if kind == "explain":
            for function in self._explain:
                function()
        elif kind == "window":
            start, seconds = float(message.get("start", 0)), float(message.get("seconds", 0))
            columns = min(max(int(message.get("columns", 0)), 1), MOST_COLUMNS)
            if not (np.isfinite([start, seconds]).all() and 0 <= start < self.duration and seconds > 0):
                return
            for look in self._window:
                look(start, min(seconds, self.duration - start), columns)
