"""Faults of Panel, HoloViews, pyviz_comms and jupyter_bokeh that XAI Views patches.

Run in a process that has patched nothing: ``python tests/views/library_faults.py`` prints as JSON, for each patch, ""
where the fault is still there, else what changed. ``test_patches.py`` reads it.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import os
import socket
import time
import urllib.request
from contextlib import contextmanager, suppress
from types import SimpleNamespace
from unittest import mock

import panel as pn
import panel_material_ui as pmui
import param


@contextmanager
def serving(page):
    """Panel's own server with one page, in a thread of its own."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = pn.serve({"/": page}, port=port, threaded=True, show=False, verbose=False)
    end = time.monotonic() + 20
    while time.monotonic() < end:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            break
        time.sleep(0.05)
    yield f"http://127.0.0.1:{port}/"
    server.stop()


def default_headers() -> str:
    with serving(lambda: "text") as url, urllib.request.urlopen(url, timeout=20) as answer:
        if answer.headers["Content-Security-Policy"]:
            return "Panel sends a Content-Security-Policy of its own"
    return ""


def no_delay() -> str:
    from bokeh.client import pull_session
    from bokeh.server.views.ws import WSHandler

    found = []
    honest = WSHandler._receive

    async def spy(self, fragment):
        stream = self.ws_connection.stream
        found.append(stream.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        return await honest(self, fragment)

    with mock.patch.object(WSHandler, "_receive", spy), serving(lambda: "text") as url:
        pull_session(url=url).close()
    assert found, "no message came, so nothing was measured"
    return "Panel or Bokeh sends frames of its websocket at once" if any(found) else ""


def before_page() -> str:
    from panel.io.server import DocHandler

    seen = []

    async def page():
        await asyncio.sleep(0)
        seen.append(True)
        return "text"

    with serving(page) as url, suppress(OSError):
        urllib.request.urlopen(url, timeout=20).close()
    if seen:
        return "Panel awaits page functions: those of the apps can await their model"
    if "await" in inspect.getsource(DocHandler.prepare).replace("get_user_async", "").split("if", 1)[0]:
        return "Panel waits in DocHandler.prepare for something new"
    return ""


def never_busy() -> str:
    from panel.util import edit_readonly

    shell, told = pmui.Page(title="x"), []
    shell.param.watch(told.append, "busy")
    with edit_readonly(pn.state):
        pn.state.busy = True
        pn.state.busy = False
    return "" if told else "pages no longer listen for the busyness of the server"


def OneWayComponent() -> str:
    from panel.custom import JSComponent

    class Two(JSComponent):
        rows = param.List([])
        _esm = "export function render() {}"

    return (
        ""
        if "rows" in Two()._linked_properties
        else "Panel listens for no property that a component does not send"
    )


def BoundedFileInput() -> str:
    entry = pmui.FileInput(max_file_size=10)
    message = {"status": "upload_event", "name": "a", "total_chunks": 2, "mime_type": "", "data": b"x" * 50}
    entry._handle_msg({**message, "chunk": 1})
    if entry._buffer != [] or entry._file_buffer["a"]["chunks"] != {1: message["data"]}:
        return "pmui.FileInput no longer keeps pieces in _file_buffer and whole files in _buffer"
    entry._handle_msg({**message, "chunk": 2})
    entry._handle_msg({"status": "finished"})
    if entry.value is None or len(entry.value) < 100:
        return "pmui.FileInput keeps its bound in Python too"
    entry.clear()
    entry._handle_msg({"status": "finished"})
    return "" if entry.value is None else "pmui.FileInput tells an empty file"


def plots_with_styles() -> str:
    import holoviews as hv
    from panel.io.resources import CDN_DIST

    hv.extension("bokeh")
    data, _ = hv.renderer("bokeh").components(hv.Curve([1, 2]))
    text = "".join(v for v in data.values() if isinstance(v, str))
    return "" if f"{CDN_DIST}css" in text else "HoloViews asks no CDN for style sheets"


def ordered_messages() -> str:
    from panel.io.notebook import JupyterCommJSBinary
    from pyviz_comms import JupyterComm

    opened = []
    comm = JupyterComm()
    comm.init = lambda: opened.append("server") or setattr(comm, "_comm", mock.Mock())
    comm.send("x")
    client = JupyterCommJSBinary.__new__(JupyterCommJSBinary)
    client._on_open = lambda _: opened.append("client")
    client._handle_open(SimpleNamespace(on_msg=lambda _: None), {})
    if "server" not in opened:
        return "pyviz_comms holds messages back until the page listens"
    return "" if "client" in opened else "pyviz_comms waits until the page is drawn"


def ordered_widgets() -> str:
    from bokeh.models import Div, ImportedStyleSheet
    from jupyter_bokeh.widgets import BokehModel
    from panel.io.resources import CDN_DIST

    address = f"{CDN_DIST}css/alerts.css"
    widget = BokehModel(Div(stylesheets=[ImportedStyleSheet(url=address)]))
    if address not in json.dumps(widget.render_bundle["docs_json"], default=str):
        return "jupyter_bokeh asks no CDN for style sheets"
    sent = []
    with mock.patch.object(BokehModel, "send", lambda self, *a: sent.append(a)):
        widget._model.text = "changed"
    return "" if sent else "jupyter_bokeh holds messages back until the page is drawn"


FAULTS = (
    default_headers, no_delay, before_page, never_busy, OneWayComponent, BoundedFileInput, plots_with_styles,
    ordered_messages, ordered_widgets,
)  # fmt: skip


def main() -> None:
    answers = {}
    for fault in FAULTS:
        try:
            answers[fault.__name__] = fault()
        except Exception as error:
            answers[fault.__name__] = f"asking for the fault failed with {type(error).__name__}: {error}"
    print(json.dumps(answers), flush=True)
    os._exit(0)  # Panel's threads end when they like


if __name__ == "__main__":
    main()
