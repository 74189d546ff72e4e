"""The status line: the device, what is cached and computed, what runs now, the last error."""

from __future__ import annotations

import asyncio
import weakref
from html import escape
from typing import Any

import panel as pn

from xai_views.errors import without_folders
from xai_views_dashboard.core.tasks import caller

REST_S = 0.15  # an answer changes the kernel's state many times; the line is written once for all of them

TOOLTIP = (
    "Device; explanations that were cached, and explanations that were computed, since the server started"
)
CSS = """
.line { display: flex; align-items: center; gap: 8px; white-space: nowrap; font-size: 12px; font-variant-numeric: tabular-nums; }
.dot { flex: none; width: 7px; height: 7px; border-radius: 50%; border: 1.5px solid var(--mui-palette-text-secondary); }
.busy .dot { background: var(--mui-palette-text-secondary); }
[role=status] { min-width: 0; overflow: hidden; text-overflow: ellipsis; color: var(--panel-on-surface-color); }
"""


class StatusLine(pn.viewable.Viewer):
    """One line about the kernel, written again when it changes; the same for all apps."""

    def __init__(self, kernel: Any) -> None:
        super().__init__()
        self._kernel = kernel
        self._pane = pn.pane.HTML(self._words(), sizing_mode="stretch_width", margin=0, stylesheets=[CSS])
        self._page, self._due = caller(), False
        self._timer: asyncio.TimerHandle | None = None
        me = weakref.ref(self)  # a notebook ends no session: a line that is gone leaves by itself

        def changed(*_: Any) -> None:
            line = me()
            if line is None:
                stop()
            elif not line._due:
                line._due = True
                line._page(line._soon)

        stop = kernel.subscribe(changed)
        if pn.state.curdoc is not None:
            pn.state.on_session_destroyed(lambda _: stop())
            pn.state.on_session_destroyed(lambda _: self._end())

    def _soon(self) -> None:
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:  # a script
            self._write()
        else:
            self._timer = loop.call_later(REST_S, self._page, self._write)

    def _end(self) -> None:
        """Write no more: the page is gone."""
        self._due = True
        if self._timer is not None:
            self._timer.cancel()

    def _write(self) -> None:
        self._due = False  # first: what changes from here on is written again
        self._pane.object = self._words()

    def _words(self) -> str:
        s = self._kernel.status()
        done = f" ({s.progress[0]} of {s.progress[1]})" if s.running and s.progress else ""
        now = [f"{s.running}{done}" if s.running else "", f"{s.queued} waiting" if s.queued else ""]
        now.append(f"Last error: {without_folders(s.error)}" if s.error else "")
        counts = " · ".join([(s.device or "starting").upper(), f"{s.hits} cached", f"{s.misses} computed"])
        # Only what runs or went wrong is announced: the counts change at each step.
        said = escape(" · ".join(filter(None, now)))
        return (
            f'<div class="line{" busy" if s.running else ""}"><i class="dot"></i>'
            f'<span title="{escape(TOOLTIP)}">{escape(counts)}</span><span role="status" title="{said}">{said}</span></div>'
        )

    def __panel__(self) -> Any:
        return self._pane
