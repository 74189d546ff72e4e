"""The status line: device, what is running, cache hits, the last error."""

from __future__ import annotations

import asyncio
import weakref
from html import escape
from typing import Any

import panel as pn

from xai_views_dashboard.core.tasks import caller

REST_S = 0.15  # an answer changes the kernel's state many times; the line is written once for all of them


class StatusLine(pn.viewable.Viewer):
    """One line about the kernel, written again when it changes; the same for all apps."""

    def __init__(self, kernel: Any) -> None:
        super().__init__()
        self._kernel = kernel
        # The line lies over the page: a click on it is meant for what is under it.
        through = [":host, :host * { pointer-events: none; }"]
        self._pane = pn.pane.HTML(self._words(), sizing_mode="stretch_width", margin=0, stylesheets=through)
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
        parts = [f"device {s.device or 'starting'}"]
        if s.running:
            done = f" {s.progress[0]} of {s.progress[1]}" if s.progress else ""
            parts.append(f"{s.running}{done}")
        if s.queued:
            parts.append(f"{s.queued} waiting")
        parts.append(f"{s.hits} answers from the cache, {s.misses} computed")
        if s.error:
            parts.append(f"last problem: {s.error}")
        return f'<span role="status">{escape(" · ".join(parts))}</span>'

    def __panel__(self) -> Any:
        return self._pane
