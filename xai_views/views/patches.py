"""Every change to Panel, Bokeh, HoloViews, pyviz_comms and jupyter_bokeh, and every private name of theirs in use.

Nothing else in the project touches the inside of these libraries. Each patch names the releases that it was tested
with (``TESTED``, the same bounds as in pyproject.toml) and the names that it replaces or calls; where either differs
it raises one sentence instead of changing something that it does not know. ``tests/views/test_patches.py`` fails
when a library no longer has the fault for which a patch is here: then the patch goes.
"""

from __future__ import annotations

import asyncio
import base64
import functools
import importlib
import inspect
import re
import threading
import warnings
from collections.abc import Awaitable, Callable, Mapping
from functools import cache
from importlib.metadata import version
from typing import Any, ClassVar

import panel as pn
import panel_material_ui as pmui
from bokeh.util.warnings import BokehUserWarning
from packaging.specifiers import SpecifierSet
from panel.auth import BasicLoginHandler
from panel.custom import JSComponent
from panel.io.location import Location
from panel.io.notebook import JupyterCommJSBinary, patch_inline_stylesheets
from panel.io.resources import CDN_DIST, DIST_DIR, LOCAL_DIST
from panel.io.server import DocHandler, RootHandler, WSHandler
from panel.util import edit_readonly
from panel.viewable import JupyterCommManager
from pyviz_comms import JupyterComm
from tornado.websocket import WebSocketClosedError, WebSocketHandler

from xai_views.errors import XaiViewsError

#: The releases that the patches were tested with; pyproject.toml requires the same.
TESTED = {
    "bokeh": ">=3.9,<3.10",
    "holoviews": ">=1.23.2,<1.24",
    "jupyter_bokeh": ">=4.1,<4.2",
    "panel": ">=1.9.4,<1.10",
    "panel-material-ui": ">=0.16,<0.17",
    "pyviz_comms": ">=3.0.6,<3.1",
}

#: What each patch replaces or calls: library, where a name stands, and its parameters (None: not a function).
NEEDS: dict[str, list[tuple[str, str, str | None]]] = {}

PATIENCE = 10.0  # seconds until a page of a notebook that says nothing is taken to be drawn


def found(where: str) -> Any:
    """Return what stands at ``"package.module:Name.name"``."""
    module, _, names = where.partition(":")
    return functools.reduce(getattr, names.split("."), importlib.import_module(module))


def parameters(function: Any) -> str:
    """Return the names of a function's parameters, for example ``"self, *args, **kwargs"``."""
    stars: dict[Any, str] = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}
    return ", ".join(stars.get(p.kind, "") + p.name for p in inspect.signature(function).parameters.values())


def obstacle(patch: str) -> str:
    """Return why a patch must not be applied to what is installed, as one sentence; "" when it may.

    Parameters
    ----------
    patch : str
        One of ``NEEDS``.
    """
    for library, where, wanted in NEEDS[patch]:
        installed, bounds = version(library), TESTED[library]
        repair = f"run 'pip install \"{library}{bounds}\"'."
        if not SpecifierSet(bounds).contains(installed, prereleases=True):
            return (
                f"{library} {installed} is installed, but XAI Views was tested with {bounds} only: {repair}"
            )
        try:
            given = None if wanted is None else parameters(inspect.unwrap(found(where)))
            found(where)
        except (ImportError, AttributeError):
            return f"{library} {installed} has no {where}, which XAI Views needs for {patch!r}: {repair}"
        if given != wanted:
            return f"{where} of {library} {installed} takes ({given}), expected ({wanted}): {repair}"
    return ""


@cache
def require(patch: str) -> None:
    """Raise an ``XaiViewsError`` where a patch does not fit what is installed."""
    reason = obstacle(patch)
    if reason:
        raise XaiViewsError(reason)


def patches(*needs: tuple[str, str, str | None]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Mark a function as a patch: it runs only where everything that it needs is there."""

    def mark(function: Callable[..., Any]) -> Callable[..., Any]:
        NEEDS[function.__name__] = list(needs)

        @functools.wraps(function)
        def checked(*args: Any, **kwargs: Any) -> Any:
            require(function.__name__)
            return function(*args, **kwargs)

        return checked

    return mark


# --- the server --------------------------------------------------------------------------------------------


@patches(
    ("panel", "panel.io.server:DocHandler.set_default_headers", "self"),
    ("panel", "panel.io.server:RootHandler.set_default_headers", "self"),
    ("panel", "panel.auth:BasicLoginHandler.set_default_headers", "self"),
)
def default_headers(headers: Callable[[str], Mapping[str, str]]) -> None:
    """Send headers with every page: Panel has no setting for them, and a Content-Security-Policy is one.

    Parameters
    ----------
    headers : callable
        Returns them for the host under which a page was asked for.
    """

    def set_default_headers(self: Any) -> None:
        for name, value in headers(self.request.host or "").items():
            self.set_header(name, value)

    for handler in (DocHandler, RootHandler, BasicLoginHandler):
        handler.set_default_headers = set_default_headers  # type: ignore[method-assign]


@cache
@patches(("panel", "panel.io.server:WSHandler.open", "self, *args, **kwargs"))
def no_delay() -> None:
    """Send frames of the websocket at once: Bokeh writes one update as several, which Nagle's algorithm holds back."""
    opened = WSHandler.open

    @functools.wraps(opened)
    def open_without_delay(self: Any, *args: Any, **kwargs: Any) -> Any:
        self.set_nodelay(True)
        return opened(self, *args, **kwargs)

    WSHandler.open = open_without_delay  # type: ignore[method-assign]


@cache
@patches(("panel", "tornado.websocket:WebSocketHandler.write_message", "self, message, binary"))
def quiet_close() -> None:
    """Let what is still sent to a page that was closed go nowhere, and keep the log for what went wrong.

    Panel starts several writes at a time and does not wait for those after the first that fails, so that each closed page
    leaves "Task exception was never retrieved" in the log.
    """
    write = WebSocketHandler.write_message

    @functools.wraps(write)
    def write_unless_closed(self: Any, message: Any, binary: bool = False) -> Any:
        sent = asyncio.get_running_loop().create_future()
        try:
            task = write(self, message, binary)
        except WebSocketClosedError:
            sent.set_result(None)
            return sent
        task.add_done_callback(functools.partial(_written, sent))
        return sent

    WebSocketHandler.write_message = write_unless_closed  # type: ignore[method-assign]


def _written(sent: asyncio.Future, task: asyncio.Future) -> None:
    """Pass on how a write ended; to have been closed meanwhile is no error."""
    error = None if task.cancelled() else task.exception()
    if sent.done():
        return
    if error is None or isinstance(error, WebSocketClosedError):
        sent.set_result(None)
    else:
        sent.set_exception(error)


def late_messages() -> None:
    """Keep the log free of warnings about the last messages of components that a page has just taken away.

    A component in a tab that was closed, or in a place that was filled again, may have a message on its way. The browser no
    longer counts it among what the server knows and sends the whole of it along; Bokeh warns of that ("reference already
    known") and takes the model that it has, which is right.
    """
    warnings.filterwarnings("ignore", "reference already known", BokehUserWarning)


_prepare = DocHandler.prepare


@patches(("bokeh", "panel.io.server:DocHandler.prepare", "self"))
def before_page(wait: Callable[[Any], Awaitable[None]]) -> None:
    """Let a request for a page wait without holding up other requests: a page function itself can only block.

    Parameters
    ----------
    wait : callable
        Called with the request of someone who may see the page; awaited before the page is made.
    """

    async def prepare_and_wait(self: Any) -> None:
        await _prepare(self)
        if self.current_user and not self._finished:
            await wait(self.request)

    DocHandler.prepare = prepare_and_wait  # type: ignore[method-assign]


@cache
@patches(("panel", "panel.io.location:Location._sync_pathname", "self"))
def same_path() -> None:
    """Let style sheets stay where they are when the browser tells the path of a page.

    Panel then looks for those of whatever is shown later at the root of the server, past a prefix. No page of ours changes
    its path while it is open.
    """

    @functools.wraps(Location._sync_pathname)
    def _sync_pathname(self: Any) -> None:  # noqa: ARG001 - it takes the place of a method
        return None

    Location._sync_pathname = _sync_pathname  # type: ignore[assignment, method-assign]


@patches(("panel", "panel.io.resources:LOCAL_DIST", None), ("panel", "panel.io.state:_state.rel_path", None))
def local_styles(doc: Any) -> None:
    """Let everything in a page take its style sheets from this server from the beginning.

    Panel says where they are only when it writes the page; what is made before that, and shown later, asks its CDN.
    """
    if doc is not None:
        above = pn.state.rel_path
        doc.template_variables.setdefault("dist_url", f"{above}/{LOCAL_DIST}" if above else LOCAL_DIST)


@patches(
    ("panel", "panel.io.state:_state.param._base_url", None),
    ("panel", "panel.util:edit_readonly", "parameterized"),
)
def under(prefix: str) -> None:
    """Let who logs in come back to the prefix; Panel knows of it for its routes only."""
    with edit_readonly(pn.state):
        pn.state._base_url = f"{prefix}/"


# --- pages and components ----------------------------------------------------------------------------------


@patches(
    ("panel", "panel.util:edit_readonly", "parameterized"),
    ("panel-material-ui", "panel_material_ui:Page.param.busy", None),
)
def never_busy(page: Any) -> None:
    """Stop a page from listening for the busyness of the server.

    Panel tells every open page, also those of others, twice a message that the server is busy, and walks through all
    models of each page for it. What takes long says so itself.
    """
    with edit_readonly(page):
        page.busy = pn.rx(False)  # not False alone: with a value, param goes on listening


NEEDS["OneWayComponent"] = [("panel", "panel.custom:JSComponent._linked_properties", None)]


class OneWayComponent(JSComponent):
    """A component whose browser side sends messages only.

    Panel listens for changes of every property, and a page of a notebook echoes each one that it is sent.
    """

    _linked_properties = ()

    def __init__(self, **params: Any) -> None:
        require("OneWayComponent")
        super().__init__(**params)


NEEDS["BoundedFileInput"] = [
    ("panel-material-ui", "panel_material_ui:FileInput._handle_msg", "self, msg"),
    ("panel-material-ui", "panel_material_ui:FileInput._process_chunk", "self, msg"),
    ("panel-material-ui", "panel_material_ui:FileInput._flush_buffer", "self"),
]


class BoundedFileInput(pmui.FileInput):
    """A file input that never holds more than ``most`` bytes and one, and that tells an empty file.

    The bound of ``pmui.FileInput`` is kept by the browser alone, so whoever writes to the socket fills the memory; and
    an empty file looks like none. One byte more than the bound shows that a file is too large.
    """

    most: ClassVar[int] = 10_000_000
    most_pieces: ClassVar[int] = 1000  # in which a file may come
    most_name: ClassVar[int] = 200  # letters of its name that are kept

    def __init__(self, **params: Any) -> None:
        require("BoundedFileInput")
        self._received = self._pieces = 0  # since the last upload ended, whatever the names they came under
        super().__init__(**params)

    def _process_chunk(self, msg: dict) -> None:
        if int(msg["chunk"]) == 1:  # what was broken off before is not waited for
            self._file_buffer.clear()
            self._received, self._pieces = sum(len(b["value"]) for b in self._buffer), len(self._buffer)
        self._pieces += 1
        if max(self._pieces, int(msg["total_chunks"])) > self.most_pieces:
            raise XaiViewsError(
                f"An upload comes as one file of at most {self.most_pieces} pieces; choose one file."
            )
        room = max(self.most + 1 - self._received, 0)
        self._received += len(msg["data"])
        data = bytes(msg["data"][:room])
        super()._process_chunk({**msg, "name": str(msg["name"])[: self.most_name], "data": data})

    def _flush_buffer(self) -> None:
        if not self._buffer:
            self._buffer.append({"value": b"", "filename": "", "mime_type": ""})
        self._file_buffer.clear()
        self._received = self._pieces = 0
        super()._flush_buffer()


# --- notebooks: styles without a network -------------------------------------------------------------------

_STYLE = re.compile(re.escape(CDN_DIST) + r"([\w./-]+\.css)(\?v=[\w.]+)?")


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
    return _STYLE.sub(lambda match: _data_uri(match[1]) or match[0], text)


@cache
@patches(("holoviews", "holoviews.plotting.renderer:Renderer.components", "self, obj, fmt, comm, **kwargs"))
def plots_with_styles() -> None:
    """Let HoloViews, which writes its own page, ask no CDN for style sheets either."""
    from holoviews.plotting.renderer import Renderer

    components = Renderer.components

    @functools.wraps(components)
    def with_our_styles(self: Any, *args: Any, **params: Any) -> Any:
        data, metadata = components(self, *args, **params)
        return {k: with_styles(v) if isinstance(v, str) else v for k, v in data.items()}, metadata

    Renderer.components = with_our_styles


# --- notebooks: messages in order and on one thread --------------------------------------------------------

_loop: asyncio.AbstractEventLoop | None = None


def notebook() -> None:
    """Let every page of this kernel from now on use what is below; call it in a cell."""
    global _loop  # noqa: PLW0603
    try:
        _loop = asyncio.get_running_loop()
    except RuntimeError:  # a kernel without an event loop has no second thread either
        _loop = None
    plots_with_styles()
    ordered_messages()
    try:
        import jupyter_bokeh  # noqa: F401
    except ImportError:
        return
    ordered_widgets()


@patches(
    ("panel", "panel.viewable:JupyterCommManager.server_comm", None),
    ("panel", "panel.viewable:JupyterCommManager.client_comm", None),
    ("panel", "panel.io.notebook:JupyterCommJSBinary._handle_open", "self, comm, msg"),
    ("pyviz_comms", "pyviz_comms:JupyterComm.init", "self"),
    ("pyviz_comms", "pyviz_comms:JupyterComm.send", "self, data, metadata, buffers"),
    ("pyviz_comms", "pyviz_comms:JupyterComm._handle_msg", "self, msg"),
)
def ordered_messages() -> None:
    """Keep the messages between a page and its kernel in order and on the thread that runs the cells.

    JupyterLab may deliver the messages of a page on another thread of the kernel (a "subshell"). Panel sends in any
    order what was changed before the page listens, and the page drops parts of messages until it is drawn. Each of
    these tears a page apart that Python and the browser write at the same time.
    """
    JupyterCommManager.server_comm = ServerComm
    JupyterCommManager.client_comm = ClientComm


@patches(
    ("jupyter_bokeh", "jupyter_bokeh.widgets:BokehModel._model_to_traits", "model"),
    ("jupyter_bokeh", "jupyter_bokeh.widgets:BokehModel._sync_model", "self, _model, content, _buffers"),
    ("jupyter_bokeh", "jupyter_bokeh.widgets:BokehModel.close", "self"),
    ("panel", "panel.io.notebook:patch_inline_stylesheets", "model"),
)
def ordered_widgets() -> None:
    """Let pages that are ipywidgets (VS Code) keep the same promises; ``panel.ipywidget`` makes what stands here."""
    import jupyter_bokeh.widgets as widgets

    widgets.BokehModel = widget_class()


def on_main_thread(function: Callable[..., Any], *args: Any) -> None:
    """Call a function on the thread that runs the cells, at once or when the running cell is done."""
    if _loop is None or _loop.is_closed() or threading.current_thread() is threading.main_thread():
        function(*args)
    else:
        _loop.call_soon_threadsafe(function, *args)


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
        self._comm: Any = _Held()

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
    """What an ipywidget of a page does otherwise than ``jupyter_bokeh.BokehModel``, which comes after it."""

    comm: Any
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
        super().send(content, buffers)  # type: ignore[misc]

    def close(self) -> None:
        """Close the widget; closing it again, as its end does, is harmless."""
        if self.comm is not None:
            super().close()  # type: ignore[misc]

    def _sync_model(self, _model: Any, content: Any, _buffers: Any) -> None:
        self._listens()
        super()._sync_model(_model, content, _buffers)  # type: ignore[misc]

    def _handle_msg(self, msg: Any) -> None:
        on_main_thread(super()._handle_msg, msg)  # type: ignore[misc]


@cache
def widget_class() -> type:
    """Return the ipywidget of a page that keeps the same promises as the connections above."""
    from jupyter_bokeh.widgets import BokehModel

    class PageWidget(_PageWidget, BokehModel):
        """A page as an ipywidget."""

        @classmethod
        def _model_to_traits(cls, model: Any) -> Any:
            for part in model.references():
                if "stylesheets" in part.properties():
                    patch_inline_stylesheets(part)
            return super()._model_to_traits(model)

    return PageWidget
