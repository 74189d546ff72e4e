"""Checks of ``xai-views doctor``: each finding is one line that says what to do."""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import socket
import sys
from collections.abc import Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from xai_views import catalogue
from xai_views.contract import registry
from xai_views.errors import XaiViewsError
from xai_views.version import __version__

# Finding: "ok" needs nothing, "note" is worth knowing, "bad" has to be fixed.
Finding = tuple[str, str]

SHOWN = ("panel", "panel-material-ui", "bokeh", "holoviews", "xarray", "torch")


def examine(port: int = 5006) -> int:
    """Print all findings.

    Parameters
    ----------
    port : int
        The port to serve on.

    Returns
    -------
    int
        1 when something has to be fixed, else 0.
    """
    bad = 0
    for check in (system, versions, device, installed_apps, data, jupyter, browser, lambda: listening(port)):
        for kind, words in check():
            print(f"{kind:>4}  {words}", flush=True)
            bad += kind == "bad"
    print("No problems found." if not bad else f"{bad} to be fixed, see above.")
    return min(bad, 1)


def system() -> Iterator[Finding]:
    """Report Python, the operating system and the number of CPU cores."""
    enough = sys.version_info >= (3, 11)
    python = f"Python {platform.python_version()} in {sys.prefix}"
    yield ("ok", python) if enough else ("bad", f"{python}: 3.11 or newer is needed")
    yield "ok", f"{platform.system()} {platform.machine()}, {os.cpu_count()} CPU cores"


def versions() -> Iterator[Finding]:
    """Compare the installed versions with the requirements."""
    from packaging.requirements import Requirement

    try:
        required = metadata.requires("xai-views") or []
    except metadata.PackageNotFoundError:
        yield "bad", "xai-views can be imported but is not installed: run 'pip install -e .' in the checkout"
        return
    wrong = 0
    for line in required:
        need = Requirement(line)
        if need.marker is not None and not need.marker.evaluate({"extra": ""}):
            continue
        try:
            version = metadata.version(need.name)
        except metadata.PackageNotFoundError:
            wrong += 1
            yield "bad", f"{need.name} is missing: run 'pip install {need.name}{need.specifier}'"
            continue
        if not need.specifier.contains(version, prereleases=True):
            wrong += 1
            yield (
                "bad",
                f"{need.name} is {version}, but {need.specifier} is needed: run 'pip install -e .' again",
            )
    if not wrong:
        yield "ok", f"xai-views {__version__} with " + ", ".join(f"{n} {metadata.version(n)}" for n in SHOWN)


def device() -> Iterator[Finding]:
    """Report the device that torch uses."""
    wanted = os.environ.get("XAI_VIEWS_DEVICE", "")
    try:
        from xai_views.kernel import get_kernel

        kernel = get_kernel()
        kernel.run(lambda _progress: None).result(120)
        name = kernel.status().device
    except (XaiViewsError, ImportError, OSError) as error:
        yield "bad", f"torch cannot be used: {error}"
        return
    yield "ok", f"torch runs on {name}" + (f", as set by XAI_VIEWS_DEVICE={wanted}" if wanted else "")
    if name == "cpu" and shutil.which("nvidia-smi"):
        yield (
            "note",
            "there is an NVIDIA GPU, but this torch build cannot use it: see pytorch.org for one that can",
        )


def installed_apps() -> Iterator[Finding]:
    """Check that every app can be imported."""
    names = list(registry.entries("apps"))
    if not names:
        yield "bad", "no apps are installed: run 'pip install -e .' in the checkout again"
    for name in names:
        try:
            registry.load("apps", name)
        except XaiViewsError as error:
            yield "bad", str(error)
        else:
            yield "ok", f"app {name}"


def data() -> Iterator[Finding]:
    """Compare the files of the catalogue with the sha256 in their cards."""
    found = {**catalogue.models(), **catalogue.samples()}
    if not found:
        yield "bad", "the shipped data is missing: there is no folder data/; restore it or set XAI_VIEWS_DATA"
    for name, folder in found.items():
        try:
            card: Any = catalogue.card(folder)
        except (XaiViewsError, OSError, ValueError) as error:
            yield "bad", f"{name}: its card cannot be read ({error}); restore it from its source"
            continue
        yield from files(name, folder, card.get("sha256") if isinstance(card, Mapping) else None)


def files(name: str, folder: Path, expected: Any) -> Iterator[Finding]:
    """Check the files that one card lists."""
    if not isinstance(expected, Mapping) or not expected:
        yield "note", f"{name}: its card lists no sha256 of its files"
        return
    wrong = []
    for file, digest in expected.items():
        path = folder / Path(str(file)).name
        if not path.is_file():
            wrong.append(f"{path.name} is missing")
        else:
            with path.open("rb") as stream:
                if hashlib.file_digest(stream, "sha256").hexdigest() != digest:
                    wrong.append(f"{path.name} differs from its card")
    if wrong:
        yield "bad", f"{name}: {', '.join(wrong)}; restore the files from their source"
    else:
        yield (
            "ok",
            f"{name}: {len(expected)} {'file matches' if len(expected) == 1 else 'files match'} the card",
        )


def jupyter() -> Iterator[Finding]:
    """Check whether a JupyterLab, of this environment or another, would show empty outputs."""
    mine = Path(sys.executable).parent / "jupyter-lab"
    if mine.is_file():
        extension = Path(sys.prefix) / "share/jupyter/labextensions/@pyviz/jupyterlab_pyviz"
        if extension.is_dir():
            yield "ok", "JupyterLab of this environment can show the apps"
        else:
            yield (
                "bad",
                "JupyterLab lacks its Panel extension: run 'pip install --force-reinstall pyviz_comms'",
            )
    other = shutil.which("jupyter-lab")
    if other is not None and Path(other) != mine:
        words = "install pyviz_comms and jupyter_bokeh there too, or apps stay blank in its notebooks"
        yield "note", f"{other} belongs to another environment: {words}"
    elif other is None and not mine.is_file():
        yield "note", "JupyterLab is not installed: for notebooks run 'pip install \"xai-views[jupyter]\"'"


def browser() -> Iterator[Finding]:
    """Report which browser the tests would use."""
    names = [os.environ.get("CHROMIUM", ""), "chromium", "chromium-browser", "google-chrome"]
    found = next((path for path in map(shutil.which, filter(None, names)) if path), None)
    yield (
        ("ok", f"browser for the tests: {found}")
        if found
        else ("note", "no Chromium found: only the tests need it")
    )
    yield (
        "note",
        "pages need JavaScript and a browser of the last two years; nothing is fetched from the internet",
    )


def listening(port: int) -> Iterator[Finding]:
    """Check whether the port is free."""
    try:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
    except OSError as error:
        yield "note", f"port {port} cannot be used ({error.strerror}): serve with another --port, or --port 0"
    else:
        yield "ok", f"port {port} is free"
