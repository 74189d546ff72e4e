"""The status line: device, what is running, cache hits, the last error."""

from __future__ import annotations

import weakref
from html import escape
from typing import Any

import panel as pn

from dashboard.tasks import caller


class StatusLine(pn.viewable.Viewer):
    """One line about the kernel, written again when it changes; the same for all apps."""

    def __init__(self, kernel: Any) -> None:
        super().__init__()
        self._kernel = kernel
        # The line lies over the page: a click on it is meant for what is under it.
        through = [":host, :host * { pointer-events: none; }"]
        self._pane = pn.pane.HTML(self._words(), sizing_mode="stretch_width", margin=0, stylesheets=through)
        page, me = (
            caller(),
            weakref.ref(self),
        )  # a notebook ends no session: a line that is gone leaves by itself

        def changed(*_: Any) -> None:
            line = me()
            if line is None:
                stop()
            else:
                page(line._write)

        stop = kernel.subscribe(changed)
        if pn.state.curdoc is not None:
            pn.state.on_session_destroyed(lambda _: stop())

    def _write(self) -> None:
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
