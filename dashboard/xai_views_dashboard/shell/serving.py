"""The server: Panel's, with the settings that a room full of people and no internet need.

A Content-Security-Policy forbids other origins, so that nobody can add a CDN by accident; a request for an app waits
for its model without holding up anybody else. What that takes of Panel's inside stands in ``xai_views.views.patches``.
"""

from __future__ import annotations

import asyncio
import functools
import ipaddress
import json
import logging
import os
import re
import secrets
import socket
from collections.abc import Awaitable, Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import panel as pn
import panel_material_ui  # noqa: F401 - registers its models before the first page
from bokeh.server.util import create_hosts_allowlist
from panel.io.server import get_server

from xai_views import apps as installed_apps
from xai_views.contract import registry
from xai_views.errors import XaiViewsError, without_folders
from xai_views.views import patches
from xai_views_dashboard.core import method_pages
from xai_views_dashboard.core.page import NAME, note, page
from xai_views_dashboard.shell.opening import app_page
from xai_views_dashboard.shell.shelf import Shelf

logger = logging.getLogger("xai_views.dashboard")

FAILED = "Something failed while opening this page; the server log has the details."
FAILED_LATER = "Something failed while answering; the server log has the details."

LOGIN = Path(__file__).with_name("login.html")

# How long a page may keep the browser waiting for a model before it shows a sentence instead.
PATIENCE_S = 6.0

# Importing torch slows everything else down for a moment: the start page goes first.
WARM_AFTER_S = 2.0

# The largest message of a browser: a piece of an upload and its envelope; the server's default is 20 MB.
MOST_MESSAGE = 8_000_000

# A cookie that says who logged in is signed with this many characters at least.
SECRET = 16

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


def headers(host: str) -> dict[str, str]:
    """Return the headers of every page asked for under ``host``."""
    return {
        "Content-Security-Policy": policy(host),
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "same-origin",
    }


def patient(shelf: Shelf, routes: Iterable[str]) -> Callable[[Any], Awaitable[None]]:
    """Return what lets a request for one of these routes wait for its model."""
    wanted = set(routes)

    async def wait(request: Any) -> None:
        if request.path.rstrip("/") not in wanted:
            return
        try:
            future = shelf.open(*shelf.asked(request.query_arguments))
        except XaiViewsError:
            return  # the page itself says so
        waited = asyncio.wrap_future(future)
        waited.add_done_callback(lambda f: f.cancelled() or f.exception())  # the page itself says so
        await asyncio.wait([waited], timeout=PATIENCE_S)

    return wait


def report(error: BaseException) -> None:
    """Log what a callback raised and tell the visitor in one sentence."""
    known = isinstance(error, XaiViewsError)
    if not known:
        logger.error("A callback failed.", exc_info=error)
    if pn.state.curdoc is not None and pn.state.notifications is not None:
        pn.state.notifications.error(without_folders(error) if known else FAILED_LATER, duration=10_000)


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
        patches.local_styles(pn.state.curdoc)
        try:
            _render(make())
        except Exception as error:
            if isinstance(error, XaiViewsError):
                sentence = without_folders(error)
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
    whole: Any = pn.panel(view)
    whole.server_doc(title=getattr(meta, "title", None) or NAME, location=True)


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
    prefix: str = "",
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
        A password, or a JSON file of user names and passwords; by default what PANEL_BASIC_AUTH holds.
    shelf : Shelf, optional
        What the installed apps may open.
    started : callable, optional
        Called with the URLs once the server answers.
    prefix : str
        Path under which everything is served, such as ``lab/xai``, for a server behind another one.

    Raises
    ------
    XaiViewsError
        When the prefix is no path, the port is taken, or the password is none.
    """
    prefix = checked_prefix(prefix)
    known = passwords(basic_auth)
    if known is not None:
        check_secrets()
    shelf = shelf or Shelf()
    port = port or free_port()
    routes = dict(apps) if apps is not None else pages(shelf)
    routes = {f"/{route.strip('/')}": make for route, make in routes.items()}
    if "/" not in routes:
        from xai_views_dashboard.shell.start_page import start_page

        routes["/"] = functools.partial(start_page, shelf)
    patches.default_headers(headers)
    patches.no_delay()
    patches.quiet_close()
    patches.late_messages()
    patches.same_path()
    patches.under(prefix)
    if apps is None:
        slow = [f"{prefix}{r}" for r in routes if r != "/" and not r.startswith("/docs-")]
        patches.before_page(patient(shelf, slow))
    # A lost connection is told by the page itself.
    pn.extension(*installed_apps.EXTENSIONS, notifications=True, disconnect_notification="")
    pn.config.exception_handler = report
    check_port(address, port)
    origins = list(origins)
    shown: dict[str, Any] = {route: guarded(make) for route, make in routes.items()}
    passwords_known: Any = known  # Panel takes them as a mapping too
    server = get_server(
        shown,
        port=port,
        address=address,
        prefix=prefix,
        websocket_origin=reachable(address, port, origins),
        title=dict.fromkeys(routes, NAME),
        liveness=True,
        basic_auth=passwords_known,
        login_template=str(LOGIN) if known else None,  # Panel's own asks its CDN for a logo
        cookie_secret=secrets.token_hex(32) if known else None,
        websocket_max_message_size=MOST_MESSAGE,
        show=show,
        start=False,
        check_unused_sessions_milliseconds=10_000,
        unused_session_lifetime_milliseconds=60_000,
    )
    server.start()
    if known is None and (sentence := exposed(address, origins)):
        logger.warning(sentence)
    (started or print)(*(f"{url}{prefix}" for url in urls(address, port)))
    if apps is None:
        server.io_loop.call_later(WARM_AFTER_S, shelf.warm)
    server.io_loop.start()
    server.stop()


def checked_prefix(text: str) -> str:
    """Return a prefix with one slash before it and none after; "" for none.

    Raises
    ------
    XaiViewsError
        When it is no path of plain names.
    """
    plain = text.strip("/")
    if plain and not re.fullmatch(r"[A-Za-z0-9._~-]+(/[A-Za-z0-9._~-]+)*", plain):
        message = f"The prefix {text!r} is not a path: give letters, digits and . _ ~ - between slashes, such as lab/xai."
        raise XaiViewsError(message)
    return f"/{plain}" if plain else ""


def serve_catalogue(model: Any = None, samples: Any = None, name: str = "", **options: Any) -> None:
    """Serve what is shipped and, first, what the command line named.

    Parameters
    ----------
    model, samples, name
        As for :class:`xai_views_dashboard.shell.shelf.Shelf`.
    **options
        As for :func:`serve`.
    """
    serve(shelf=Shelf(model, samples, name), **options)


class AnyName(dict):
    """One password under every user name.

    Panel takes a plain string for a file as soon as there is one of that name, at each login anew.
    """

    def __contains__(self, name: object) -> bool:
        return bool(name)

    def __missing__(self, name: str) -> str:
        return self[""]


def passwords(given: str | None) -> dict[str, str] | None:
    """Return the passwords by user name that a server shall ask for, or None for a server that asks for none.

    Parameters
    ----------
    given : str or None
        A password, or the path of a JSON file of user names and passwords; None looks into the environment
        variable PANEL_BASIC_AUTH.

    Raises
    ------
    XaiViewsError
        In one sentence, which never holds the password: empty, or a file that is none. A server without a
        password is asked for by giving nothing, not by giving an empty one.
    """
    what = "The password" if given is not None else "The password in PANEL_BASIC_AUTH"
    given = os.environ.get("PANEL_BASIC_AUTH") if given is None else given
    if given is None:
        return None
    if not isinstance(given, str) or not given.strip():
        message = (
            f"{what} is empty (a shell variable that is not set?): give --basic-auth PASSWORD or FILE.json, or "
            "leave it away to serve without a password."
        )
        raise XaiViewsError(message)
    path = Path(given).expanduser()
    try:
        is_file, is_there = path.is_file(), path.exists()
    except (OSError, ValueError):  # too long for a path, or none at all
        is_file = is_there = False
    if is_file:
        return _users(path)
    if path.suffix.lower() in {".json", ".txt"} or any(s in given for s in ("/", os.sep)) or is_there:
        found = "which is no file but a folder or a device" if is_there else "and there is no such file"
        message = (
            f"{what} looks like a file (it holds a / or ends in .json or .txt, or something has that name), {found}: "
            "give the path of a JSON file that is there, or another password."
        )
        raise XaiViewsError(message)
    return AnyName({"": given})


def _users(path: Path) -> dict[str, str]:
    """Read user names and passwords once, so that a file which is moved away later opens nothing."""
    expected = 'write a JSON object such as {"ann": "her password"}'
    try:
        users = json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        message = f"The password file {str(path)!r} cannot be read ({error.strerror}): check its permissions."
        raise XaiViewsError(message) from error
    except (ValueError, RecursionError) as error:
        message = f"The password file {str(path)!r} is not JSON in UTF-8: {expected}."
        raise XaiViewsError(message) from error
    if not isinstance(users, dict) or not users:
        message = f"The password file {str(path)!r} holds no users: {expected}."
        raise XaiViewsError(message)
    for place, (user, password) in enumerate(users.items(), 1):
        if not user.strip():
            message = f"The password file {str(path)!r} has an empty user name as entry {place}: {expected}."
            raise XaiViewsError(message)
        if not isinstance(password, str) or not password.strip():
            message = (
                f"The password file {str(path)!r} has an empty password, or one that is no text, for {user!r}: "
                f"{expected}."
            )
            raise XaiViewsError(message)
    return users


def check_secrets() -> None:
    """Refuse an empty or short secret of the environment: Panel prefers it to the random one that it is given."""
    for name in ("PANEL_COOKIE_SECRET", "BOKEH_COOKIE_SECRET"):
        value = os.environ.get(name)
        if value is not None and len(value.strip()) < SECRET:
            message = (
                f"{name} has {len(value.strip())} characters and at least {SECRET} are needed to sign who logged in: "
                "give a longer one, or unset it to have one made for each start."
            )
            raise XaiViewsError(message)


def loopback(host: str) -> bool:
    """Return whether an address or name reaches this machine only; a name that is not known does not."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        pass
    try:
        found = socket.getaddrinfo(host, None) if host else []
    except (OSError, UnicodeError):
        found = []
    return bool(found) and all(ipaddress.ip_address(str(a[4][0]).split("%")[0]).is_loopback for a in found)


def exposed(address: str, origins: Iterable[str] = ()) -> str:
    """Return the warning to print when others reach a server that asks for no password; "" when they do not."""
    others = [o for o in origins if not loopback(o if o.endswith("]") else re.sub(r":\d+$", "", o))]
    if loopback(address) and not others:
        return ""
    where = f"at {address or 'every address'}" if not loopback(address) else f"under {others[0]}"
    return (
        f"NO PASSWORD: whoever reaches this machine {where} can open every page, upload files and use its processor; "
        "on a network that others share, end this with Ctrl-C and start it with --basic-auth PASSWORD (or FILE.json)."
    )


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
    """Raise an error that names a free port when this one is taken, and one for what Bokeh cannot serve."""
    if ":" in address:  # its list of origins splits at the first colon
        message = (
            f"{address!r} is an IPv6 address, which cannot be served: give 127.0.0.1 for this machine, or 0.0.0.0 "
            "for the network."
        )
        raise XaiViewsError(message)
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
