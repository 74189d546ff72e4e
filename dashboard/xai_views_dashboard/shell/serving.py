"""The server: Panel's, with the settings that a room full of people and no internet need.

Internals of Panel and Bokeh that are patched: response headers (a Content-Security-Policy that forbids other
origins, so that nobody can add a CDN by accident), TCP_NODELAY on the websocket (Bokeh writes one update as
several frames, which Nagle's algorithm holds back) and the wait for a model. ``tests/dashboard/shell/test_serving.py`` covers
them.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import re
import secrets
import socket
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import panel as pn
import panel_material_ui  # noqa: F401 - registers its models before the first page
from bokeh.server.util import create_hosts_allowlist
from panel.auth import BasicLoginHandler
from panel.io.server import DocHandler, RootHandler, WSHandler, get_server

from xai_views import apps as installed_apps
from xai_views.contract import registry
from xai_views.errors import XaiViewsError
from xai_views_dashboard.core.page import NAME, note, page
from xai_views_dashboard.shell import method_pages
from xai_views_dashboard.shell.opening import Shelf, app_page

logger = logging.getLogger("xai_views.dashboard")

FAILED = "Something failed while opening this page; the server log has the details."
FAILED_LATER = "Something failed while answering; the server log has the details."

LOGIN = Path(__file__).with_name("login.html")

# How long a page may keep the browser waiting for a model before it shows a sentence instead.
PATIENCE_S = 6.0

# Importing torch slows everything else down for a moment: the start page goes first.
WARM_AFTER_S = 2.0

_HOST = re.compile(r"[A-Za-z0-9.\-]+(:\d+)?|\[[0-9A-Fa-f:]+\](:\d+)?")


def policy(host: str) -> str:
    """Return the Content-Security-Policy for a page asked for under ``host``."""
    sockets = f" ws://{host} wss://{host}" if _HOST.fullmatch(host) else ""
    return (
        "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob: data:; "
        "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; font-src 'self' data:; "
        f"media-src 'self' data: blob:; worker-src 'self' blob:; connect-src 'self' data: blob:{sockets}; "
        "object-src 'none'; base-uri 'self'; form-action 'self'"
    )


def _set_default_headers(self: Any) -> None:
    self.set_header("Content-Security-Policy", policy(self.request.host or ""))
    self.set_header("X-Content-Type-Options", "nosniff")
    self.set_header("Referrer-Policy", "same-origin")


@functools.cache
def patch() -> None:
    """Set headers and TCP_NODELAY on everything that Panel serves from now on."""
    for handler in (DocHandler, RootHandler, BasicLoginHandler):
        handler.set_default_headers = _set_default_headers
    opened = WSHandler.open

    @functools.wraps(opened)
    def open_without_delay(self: Any, *args: Any, **kwargs: Any) -> Any:
        self.set_nodelay(True)
        return opened(self, *args, **kwargs)

    WSHandler.open = open_without_delay


def _patient(shelf: Shelf, routes: Iterable[str]) -> None:
    """Let a request for an app wait for its model without holding up anybody else."""
    prepare = getattr(DocHandler, "_xai_views_prepare", DocHandler.prepare)
    wanted = set(routes)

    async def prepare_and_wait(self: Any) -> None:
        await prepare(self)
        if self.request.path.rstrip("/") not in wanted or self._finished or not self.current_user:
            return
        try:
            future = shelf.open(*shelf.asked(self.request.query_arguments))
        except XaiViewsError:
            return  # the page itself says so
        waited = asyncio.wrap_future(future)
        waited.add_done_callback(lambda f: f.cancelled() or f.exception())  # the page itself says so
        await asyncio.wait([waited], timeout=PATIENCE_S)

    DocHandler._xai_views_prepare = prepare
    DocHandler.prepare = prepare_and_wait


def report(error: BaseException) -> None:
    """Log what a callback raised and tell the visitor in one sentence."""
    known = isinstance(error, XaiViewsError)
    if not known:
        logger.error("A callback failed.", exc_info=error)
    if pn.state.curdoc is not None and pn.state.notifications is not None:
        pn.state.notifications.error(str(error) if known else FAILED_LATER, duration=10_000)


def guarded(make: Callable[[], Any]) -> Callable[[], None]:
    """Wrap a page so that it never shows a traceback or nothing.

    Parameters
    ----------
    make : callable
        Returns what to show, or None when it has put it into the document itself.

    Returns
    -------
    callable
        For ``panel.serve``; it renders into the current document.
    """

    @functools.wraps(make)
    def render() -> None:
        try:
            _render(make())
        except Exception as error:
            if isinstance(error, XaiViewsError):
                sentence = str(error)
            else:
                sentence = FAILED
                logger.exception("A page failed to open.")
            if pn.state.curdoc is not None:
                pn.state.curdoc.clear()
            _render(failure(sentence))

    return render


def failure(sentence: str) -> Any:
    """Return a page that holds one sentence and the way back."""
    back = pn.pane.HTML('<a href="./">All apps, models and samples</a>', margin=(8, 16))
    return page(NAME, [note(sentence, "error"), back])


def _render(view: Any) -> None:
    if view is None:
        return
    meta = getattr(view, "meta", None)
    pn.panel(view).server_doc(title=getattr(meta, "title", None) or NAME, location=True)


def pages(shelf: Shelf) -> dict[str, Callable[[], Any]]:
    """Return the page functions of all installed apps, and of the methods' pages, by route."""
    return {f"/{name}": app_page(name, shelf) for name in registry.entries("apps")} | method_pages.routes()


def serve(
    apps: Mapping[str, Callable[[], Any]] | None = None,
    port: int = 5006,
    address: str = "127.0.0.1",
    origins: Iterable[str] = (),
    show: bool = False,
    basic_auth: str | None = None,
    shelf: Shelf | None = None,
    started: Callable[..., None] | None = None,
) -> None:
    """Serve apps until interrupted.

    Parameters
    ----------
    apps : mapping of str to callable, optional
        Route to page function, for example ``{"/sic": make}``; each is guarded. By default the installed
        apps.
        A start page is put at ``/`` unless there is one.
    port : int
        0 takes a free one.
    address : str
        127.0.0.1 serves this machine only, 0.0.0.0 the network.
    origins : iterable of str
        Further ``host:port`` under which people reach the server.
    show : bool
        Open a browser.
    basic_auth : str, optional
        A password, or a JSON file of user names and passwords.
    shelf : Shelf, optional
        What the installed apps may open.
    started : callable, optional
        Called with the URLs once the server answers.

    Raises
    ------
    XaiViewsError
        When the port is taken.
    """
    shelf = shelf or Shelf()
    port = port or free_port()
    routes = dict(apps) if apps is not None else pages(shelf)
    routes = {f"/{route.strip('/')}": make for route, make in routes.items()}
    if "/" not in routes:
        from xai_views_dashboard.shell.start_page import start_page

        routes["/"] = functools.partial(start_page, shelf)
    patch()
    if apps is None:
        _patient(shelf, [r for r in routes if r != "/" and not r.startswith("/docs-")])
    pn.extension(*installed_apps.EXTENSIONS, notifications=True)
    pn.config.exception_handler = report
    check_port(address, port)
    server = get_server(
        {route: guarded(make) for route, make in routes.items()},
        port=port,
        address=address,
        websocket_origin=reachable(address, port, origins),
        title=dict.fromkeys(routes, NAME),
        liveness=True,
        basic_auth=basic_auth,
        login_template=str(LOGIN) if basic_auth else None,  # Panel's own asks its CDN for a logo
        cookie_secret=secrets.token_hex(32) if basic_auth else None,
        show=show,
        start=False,
        check_unused_sessions_milliseconds=10_000,
        unused_session_lifetime_milliseconds=60_000,
    )
    server.start()
    (started or print)(*urls(address, port))
    if apps is None:
        server.io_loop.call_later(WARM_AFTER_S, shelf.warm)
    server.io_loop.start()
    server.stop()


def serve_catalogue(model: Any = None, samples: Any = None, name: str = "", **options: Any) -> None:
    """Serve what is shipped and, first, what the command line named.

    Parameters
    ----------
    model, samples, name
        As for :class:`xai_views_dashboard.shell.opening.Shelf`.
    **options
        As for :func:`serve`.
    """
    serve(shelf=Shelf(model, samples, name), **options)


def reachable(address: str, port: int, origins: Iterable[str] = ()) -> list[str]:
    """Return every ``host:port`` under which this server may be opened.

    Raises
    ------
    XaiViewsError
        When one of ``origins`` is not a host with an optional port.
    """
    hosts = ["localhost", "127.0.0.1"]
    if address in {"0.0.0.0", ""}:  # noqa: S104
        hosts += [socket.gethostname().lower(), *own_addresses()]
    elif address not in hosts:
        hosts.append(address)
    for origin in origins:
        try:
            create_hosts_allowlist([origin], port)
        except ValueError as error:
            message = (
                f"{origin!r} is not an origin: give HOST or HOST:PORT as people type it, without http://."
            )
            raise XaiViewsError(message) from error
    return list(dict.fromkeys([*(f"{host}:{port}" for host in hosts), *origins]))


def urls(address: str, port: int) -> list[str]:
    """Return the addresses to tell people: this machine's, and the network's when it is served."""
    if address in {"0.0.0.0", ""}:  # noqa: S104
        return [f"http://{host}:{port}" for host in ("localhost", *own_addresses())]
    return [f"http://{'localhost' if address == '127.0.0.1' else address}:{port}"]


def own_addresses() -> list[str]:
    """Return the address of this machine on its network; nothing when there is no network."""
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.connect(("192.0.2.1", 9))  # no packet is sent; the system only chooses a route
            return [probe.getsockname()[0]]
    except OSError:
        return []


def check_port(address: str, port: int) -> None:
    """Raise an error that names a free port when this one is taken."""
    try:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((address, port))
    except OSError as error:
        message = (
            f"Cannot listen on {address or 'this machine'}, port {port} ({error.strerror}): "
            f"try --port {free_port()}, which is free."
        )
        raise XaiViewsError(message) from error


def free_port() -> int:
    """Return a port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
