"""Panel in a notebook: messages in order and on one thread, styles without a network.

JupyterLab may deliver the messages of a page on another thread of the kernel than the one that runs the cells
(a "subshell"). Panel sends in any order what was changed before the page listens, and the page drops parts of
messages until it is drawn. Each of these tears a page apart that Python and the browser write at the same time; all
are settled here, where the messages pass.
"""

from __future__ import annotations

import asyncio
import base64
import re
import threading
from collections.abc import Callable
from functools import cache
from typing import Any

from panel.io.notebook import JupyterCommJSBinary
from panel.io.resources import CDN_DIST, DIST_DIR
from panel.viewable import JupyterCommManager
from pyviz_comms import JupyterComm

_STYLE = re.compile(re.escape(CDN_DIST) + r"([\w./-]+\.css)(\?v=[\w.]+)?")
PATIENCE = 10.0  # seconds until a page that says nothing is taken to be drawn
_loop: asyncio.AbstractEventLoop | None = None


def install() -> None:
    """Let every page of this kernel from now on use what is below; call it in a cell."""
    global _loop  # noqa: PLW0603
    try:
        _loop = asyncio.get_running_loop()
    except RuntimeError:  # a kernel without an event loop has no second thread either
        _loop = None
    _plots_with_styles()
    JupyterCommManager.server_comm = ServerComm
    JupyterCommManager.client_comm = ClientComm
    try:
        import jupyter_bokeh.widgets as widgets
    except ImportError:
        return
    widgets.BokehModel = widget_class()  # what panel.ipywidget makes


def on_main_thread(function: Callable[..., Any], *args: Any) -> None:
    """Call a function on the thread that runs the cells, at once or when the running cell is done."""
    if _loop is None or _loop.is_closed() or threading.current_thread() is threading.main_thread():
        function(*args)
    else:
        _loop.call_soon_threadsafe(function, *args)


@cache
def _data_uri(path: str) -> str | None:
    file = DIST_DIR / path
    if ".." in path or not file.is_file():
        return None
    return "data:text/css;base64," + base64.b64encode(file.read_bytes()).decode()


def with_styles(text: str) -> str:
    """Put Panel's own style sheets where their addresses on another machine stand."""
    if CDN_DIST not in text:
        return text
    return _STYLE.sub(lambda found: _data_uri(found[1]) or found[0], text)


@cache
def _plots_with_styles() -> None:
    """Let HoloViews, which writes its own page, do the same."""
    from holoviews.plotting.renderer import Renderer

    components = Renderer.components

    def with_our_styles(self: Any, *args: Any, **params: Any) -> Any:
        data, metadata = components(self, *args, **params)
        return {k: with_styles(v) if isinstance(v, str) else v for k, v in data.items()}, metadata

    Renderer.components = with_our_styles


class _Held:
    """Stands in for the connection until the page listens, and keeps the order."""

    def __init__(self) -> None:
        self.messages: list[tuple] = []

    def send(self, data: Any = None, metadata: Any = None, buffers: Any = ()) -> None:
        self.messages.append((data, metadata, buffers))

    def close(self) -> None:
        self.messages.clear()


class ServerComm(JupyterComm):
    """From the kernel to the page: in order from the first message on."""

    def __init__(self, *args: Any, **params: Any) -> None:
        super().__init__(*args, **params)
        self._comm = _Held()

    def init(self) -> None:
        """Open the connection; the page asks for this when it listens."""
        held = self._comm
        super().init()
        for data, metadata, buffers in held.messages if isinstance(held, _Held) else ():
            self._comm.send(data, metadata=metadata, buffers=buffers)

    def send(self, data: Any = None, metadata: Any = None, buffers: Any = ()) -> None:
        """Send one part of a message."""
        super().send(with_styles(data) if isinstance(data, str) else data, metadata, list(buffers))


class ClientComm(JupyterCommJSBinary):
    """From the page to the kernel: handled on the thread that runs the cells."""

    _waits = False

    def _handle_open(self, comm: Any, msg: Any) -> None:
        self._comm, self._waits = comm, True
        comm.on_msg(self._handle_msg)  # at once: the first message may follow this one closely
        if _loop is None:
            self._listens(msg)
        else:  # a page that draws nothing of ours need not send anything
            on_main_thread(_loop.call_later, PATIENCE, self._listens, msg)

    def _listens(self, msg: Any) -> None:
        """Let the kernel send: a page drops what comes before it is drawn, and parts of a message are no message."""
        if self._waits and self._on_open:
            self._on_open(msg)
        self._waits = False

    def _handle_msg(self, msg: Any) -> None:
        on_main_thread(self._take, msg)

    def _take(self, msg: Any) -> None:
        events = msg["content"]["data"].get("content", {}).get("events", ())
        if any(event.get("kind") != "RootAdded" for event in events):  # only what is drawn can say something
            self._listens(msg)
        super()._handle_msg(msg)


class _PageWidget:
    """What an ipywidget of a page does otherwise than ``jupyter_bokeh.BokehModel``."""

    _held: list[tuple] | None = None  # a list until the page is drawn

    def __init__(self, *args: Any, **params: Any) -> None:
        super().__init__(*args, **params)
        self._held = []
        if _loop is not None:
            on_main_thread(_loop.call_later, PATIENCE, self._listens)

    def _listens(self) -> None:
        held, self._held = self._held, None
        for content, buffers in held or ():
            self.send(content, buffers)

    def send(self, content: Any, buffers: Any = None) -> None:
        """Send one part of a message."""
        if self._held is not None:
            self._held.append((content, buffers))
            return
        payload = content.get("payload")
        if isinstance(payload, str):
            content = {**content, "payload": with_styles(payload)}
        super().send(content, buffers)

    def close(self) -> None:
        """Close the widget; closing it again, as its end does, is harmless."""
        if self.comm is not None:
            super().close()

    def _sync_model(self, _model: Any, content: Any, _buffers: Any) -> None:
        self._listens()
        super()._sync_model(_model, content, _buffers)

    def _handle_msg(self, msg: Any) -> None:
        on_main_thread(super()._handle_msg, msg)


@cache
def widget_class() -> type:
    """Return the ipywidget of a page that keeps the same promises as the connections above."""
    from jupyter_bokeh.widgets import BokehModel
    from panel.io.notebook import patch_inline_stylesheets

    class PageWidget(_PageWidget, BokehModel):
        """A page as an ipywidget."""

        @classmethod
        def _model_to_traits(cls, model: Any) -> Any:
            for part in model.references():
                if "stylesheets" in part.properties():
                    patch_inline_stylesheets(part)
            return super()._model_to_traits(model)

    return PageWidget
