"""Fixtures for every test: a browser that sees only this machine, and servers that end with the tests."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from urllib.parse import urlsplit

import pytest

ROOT = Path(__file__).resolve().parent.parent
OUTPUT = ROOT / "test-output"
CI = os.environ.get("CI", "").lower() in {"1", "true", "yes"}
LOOPBACK = {"127.0.0.1", "localhost", "::1", ""}

# Only this machine resolves: any request to a CDN fails the suite.
CHROMIUM_ARGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-dev-shm-usage",
    "--disable-sync",
    "--force-color-profile=srgb",
    "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1 , EXCLUDE localhost",
]


ORDER = {"lab": -1, "browser": 1}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--all-cases", action="store_true", help="run all combinations of parameters, not all pairs"
    )


def pytest_itemcollected(item: pytest.Item) -> None:
    if item.path.parent.name == "training":
        item.add_marker("training")


@pytest.hookimpl(trylast=True)  # what -k and -m leave out is gone by then
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Run JupyterLab first and other browsers last: its one file takes minutes, for which the others would wait."""
    if not config.getoption("all_cases"):
        spare = spare_cases(items)
        config.hook.pytest_deselected(items=spare)
        items[:] = [item for item in items if item not in set(spare)]
    items.sort(key=lambda item: ORDER.get(item.path.parent.name, 0))


def spare_cases(items: list[pytest.Item]) -> list[pytest.Item]:
    """Cases of a test with three or more parameters whose pairs of values are all in earlier cases.

    A product of five parameters has hundreds of cases, and almost no failure needs more than one value or two
    values together.
    """
    seen: dict[str, set] = {}
    spare = []
    for item in items:
        pairs = set(combinations(axes(item), 2))
        if len(pairs) > 1:  # of three or more
            before = seen.setdefault(item.nodeid.partition("[")[0], set())
            if pairs <= before:
                spare.append(item)
            before |= pairs
    return spare


def axes(item: pytest.Item) -> list[tuple]:
    """The parameters of a case with what identifies their values; those that one mark names together are one."""
    left = {name: id(value) for name, value in getattr(getattr(item, "callspec", None), "params", {}).items()}
    together = []
    for mark in item.iter_markers("parametrize"):
        names = (
            mark.args[0].replace(" ", "").split(",") if isinstance(mark.args[0], str) else list(mark.args[0])
        )
        together.append(tuple((name, left.pop(name, 0)) for name in names))
    return [*together, *left.items()]


# --- servers -----------------------------------------------------------------------------------------------


def free_port() -> int:
    """Return a free port."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


@dataclass
class Server:
    """A server in its own process; ``log()`` is its output so far."""

    url: str
    port: int
    process: subprocess.Popen
    log_file: Path

    def log(self) -> str:
        return self.log_file.read_text(encoding="utf-8", errors="replace")

    def get(self, path: str = "/", timeout: float = 120) -> tuple[int, dict[str, str], str]:
        """Status, headers (lower case) and text of one request."""
        try:
            with urllib.request.urlopen(self.url + path, timeout=timeout) as answer:
                headers = {k.lower(): v for k, v in answer.headers.items()}
                return answer.status, headers, answer.read().decode("utf-8", "replace")
        except urllib.error.HTTPError as error:
            return error.code, {k.lower(): v for k, v in error.headers.items()}, error.read().decode()

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


def start(
    command: Sequence[str], folder: Path, wait: float = 180, port: int | None = None, **env: str
) -> Server:
    """Start a server with a free port as ``{port}`` in the command, and wait until it answers."""
    port = port or free_port()
    log = folder / f"server-{port}.log"
    with log.open("wb") as sink:
        process = subprocess.Popen(
            [part.replace("{port}", str(port)) for part in command],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PYTHONUNBUFFERED": "1", **env},
        )
    server = Server(f"http://127.0.0.1:{port}", port, process, log)
    end = time.monotonic() + wait
    while time.monotonic() < end:
        if process.poll() is not None:
            break
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=1):
                return server
        except OSError:
            time.sleep(0.05)
    server.stop()
    pytest.fail(f"The server did not come up: {command}\n{server.log()[-4000:]}")


@pytest.fixture(scope="module")
def serve_app(tmp_path_factory) -> Iterator[Callable[..., Server]]:
    """Start servers that live as long as the tests of one file.

    ``serve_app(["xai-views serve's", "arguments"])`` runs the command; ``serve_app(code)`` runs Python that
    defines ``apps``, a dict of page name to function, and serves it with ``xai_views_dashboard.shell.serving.serve``.
    """
    folder = tmp_path_factory.mktemp("servers")
    servers = []

    def run(what: str | Sequence[str] = (), **options) -> Server:
        if isinstance(what, str):
            tail = "from xai_views_dashboard.shell.serving import serve\nserve(apps, port={port}, show=False)"
            command = [sys.executable, "-c", f"{what}\n{tail}"]
        else:
            command = [sys.executable, "-m", "xai_views.cli", "serve", "--port", "{port}", "--no-show", *what]
        servers.append(start(command, folder, **options))
        return servers[-1]

    yield run
    for server in servers:
        server.stop()


# --- the browser -------------------------------------------------------------------------------------------


def find_chromium() -> str | None:
    """Path of an installed Chromium, or None for Playwright's own, which may be missing."""
    wanted = os.environ.get("CHROMIUM", "")
    names = [wanted] if wanted else ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"]
    return next((path for path in map(shutil.which, names) if path), None)


@pytest.fixture(scope="module")
def chromium():
    """One Chromium per test file: Playwright keeps an event loop running, which async tests need free."""
    from playwright.sync_api import Error, sync_playwright

    with sync_playwright() as playwright:
        try:
            browser = playwright.chromium.launch(executable_path=find_chromium(), args=CHROMIUM_ARGS)
        except Error as error:
            message = "No Chromium: set CHROMIUM, install one, or run 'playwright install chromium'."
            if CI:
                pytest.fail(f"{message}\n{error}")
            pytest.skip(message)
        yield browser
        browser.close()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    setattr(item, f"report_{report.when}", report)
    return report


def outside(url: str) -> bool:
    """Return whether an address leaves this machine."""
    parts = urlsplit(url)
    return parts.scheme in {"http", "https", "ws", "wss"} and (parts.hostname or "") not in LOOPBACK


#: Known fault, not mended: on a busy machine Panel sends a change of a new model before the model itself, and Bokeh drops that
#: change with this error. What the tests look at must be there all the same.
OVERTAKEN = re.compile(r"^(Error: )?reference p\d+ isn't known")


def watch(page) -> list[str]:
    """Collect events that must not happen on a page."""
    problems: list[str] = []
    page.on("console", lambda m: problems.append(f"console: {m.text}") if m.type == "error" else None)
    page.on("pageerror", lambda e: None if OVERTAKEN.search(str(e)) else problems.append(f"error: {e}"))
    page.on("request", lambda r: problems.append(f"outside: {r.url}") if outside(r.url) else None)
    page.on("websocket", lambda w: problems.append(f"outside: {w.url}") if outside(w.url) else None)
    return problems


@pytest.fixture
def page(chromium, request):
    """A page of 1440 x 900 that allows no console error, page error or request to another machine.

    Such events are collected in ``page.problems``; a test that provokes one clears the list.
    """
    context = chromium.new_context(viewport={"width": 1440, "height": 900}, color_scheme="light")
    page = context.new_page()
    page.set_default_timeout(30_000)
    page.problems = watch(page)
    yield page
    report = getattr(request.node, "report_call", None)
    if page.problems or (report is not None and report.failed):
        OUTPUT.mkdir(exist_ok=True)
        name = re.sub(r"[^\w.-]+", "_", request.node.nodeid)[-120:]
        page.screenshot(path=OUTPUT / f"{name}.png", full_page=True)
    problems = list(page.problems)
    context.close()
    assert not problems, "The page must be quiet:\n" + "\n".join(problems)
