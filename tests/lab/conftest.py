"""A real JupyterLab over a copy of the notebooks, and a browser page that drives it."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nbformat
import pytest
from playwright.sync_api import expect

ROOT = Path(__file__).resolve().parent.parent.parent

READY = """() => {
  const widget = window.jupyterapp?.shell.currentWidget;
  return widget?.context?.isReady && widget.sessionContext?.session?.kernel?.status === "idle";
}"""
RAN = """(source) => {
  const widget = window.jupyterapp.shell.currentWidget;
  const cells = widget.content.widgets.filter((c) => c.model.type === "code" && c.model.sharedModel.source.trim());
  return cells.every((c) => c.model.executionCount) && widget.sessionContext.session.kernel.status === "idle";
}"""
OUTPUTS = """() => window.jupyterapp.shell.currentWidget.content.widgets
  .filter((c) => c.model.type === "code").map((c) => c.model.outputs.toJSON())"""
RUN_MORE = """async (source) => {
  const app = window.jupyterapp, notebook = app.shell.currentWidget.content;
  notebook.activeCellIndex = notebook.widgets.length - 1;
  await app.commands.execute("notebook:insert-cell-below");
  notebook.activeCell.model.sharedModel.setSource(source);
  await app.commands.execute("notebook:run-cell");
  return notebook.activeCell.model.outputs.toJSON();
}"""


class Lab:
    """A notebook that is open in JupyterLab; ``page`` is the browser's."""

    def __init__(self, page, url: str, name: str) -> None:
        self.page = page
        page.goto(f"{url}/lab/tree/{name}?reset")
        page.wait_for_function(READY, timeout=120_000)

    def run_all(self, timeout: float = 240) -> list[list[dict]]:
        """Run all cells; return the outputs of each code cell."""
        self.page.evaluate("() => { window.jupyterapp.commands.execute('notebook:run-all-cells'); }")
        self.page.wait_for_function(RAN, timeout=1000 * timeout)
        return self.page.evaluate(OUTPUTS)

    def run(self, source: str) -> str:
        """Run Python in a new cell at the end; return what it printed."""
        outputs = self.page.evaluate(RUN_MORE, source)
        wrong = [o for o in outputs if o["output_type"] == "error"]
        assert not wrong, wrong
        return "".join("".join(o.get("text", "")) for o in outputs)

    def says(self, expression: str, expected: str, timeout: float = 20) -> None:
        """Wait until an expression has a value in the kernel; gestures are reported when they pause."""
        end, value = time.monotonic() + timeout, None
        while value != expected and time.monotonic() < end:
            value = self.run(f"_ = {expression}\nprint(_)").strip()
        assert value == expected, expression

    def shows(self, part: str, times: int = 1) -> None:
        """Wait until ``times`` canvases show a frame whose key contains ``part``."""
        found = self.page.locator(f'.xv[data-state=idle][data-key*="{part}"]')
        expect(found).to_have_count(times, timeout=60_000)

    def answers(self, sample: str, times: int = 1) -> None:
        """Wait until ``times`` answer lines tell what the model predicts for a sample."""
        line = self.page.locator(f'.xa[data-sample="{sample}"]').filter(
            has=self.page.locator(".xa-predicted")
        )
        expect(line.filter(has_text=re.compile(r"p \d\.\d\d"))).to_have_count(times, timeout=60_000)

    @property
    def canvas(self):
        return self.page.locator(".xv").first

    def pixels(self) -> str:
        return self.page.locator('.xv canvas[data-tile="sample"]').first.evaluate("c => c.toDataURL()")

    def close(self) -> None:
        self.page.evaluate("() => window.jupyterapp.shell.currentWidget.sessionContext.shutdown()")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A copy of the notebooks: running them changes nothing in the checkout."""
    pytest.importorskip("jupyterlab")
    place = tmp_path_factory.mktemp("lab") / "notebooks"
    shutil.copytree(ROOT / "notebooks", place, ignore=shutil.ignore_patterns(".ipynb_checkpoints"))
    return place


@contextmanager
def running(folder: Path, home: Path, **page: Any) -> Iterator[str]:
    """Run a JupyterLab with settings of its own below ``home``; ``page`` is the configuration of its page."""
    settings = home / "config" / "labconfig"
    settings.mkdir(parents=True)
    (settings / "page_config.json").write_text(json.dumps(page))
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    command = [
        sys.executable, "-m", "jupyterlab", "--allow-root", "--no-browser", "--ip=127.0.0.1",
        f"--port={port}", "--ServerApp.port_retries=0", "--IdentityProvider.token=", f"--ServerApp.root_dir={folder}",
        "--LabApp.expose_app_in_browser=True", "--LabApp.news_url=",
        "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
    ]  # fmt: skip
    own = {f"JUPYTER_{k}_DIR": str(home / k.lower()) for k in ("CONFIG", "RUNTIME")}  # nobody's settings
    own["JUPYTERLAB_SETTINGS_DIR"] = str(home / "settings")
    own["JUPYTERLAB_WORKSPACES_DIR"] = str(home / "workspaces")
    log = home / "lab.log"
    with log.open("wb") as sink:
        process = subprocess.Popen(
            command, cwd=folder, stdout=sink, stderr=subprocess.STDOUT, env={**os.environ, **own}
        )
    end = time.monotonic() + 180
    while time.monotonic() < end and process.poll() is None:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=1):
                break
        except OSError:
            time.sleep(0.1)
    else:
        process.kill()
        pytest.fail(f"JupyterLab did not come up:\n{log.read_text()[-4000:]}")
    yield f"http://127.0.0.1:{port}"
    process.terminate()
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def lab_url(folder, tmp_path_factory) -> Iterator[str]:
    with running(folder, tmp_path_factory.mktemp("home")) as url:
        yield url


@pytest.fixture
def lab_without_extension(folder, tmp_path) -> Iterator[str]:
    """A JupyterLab as in an environment without pyviz_comms: its page lacks Panel's extension."""
    with running(folder, tmp_path, disabledExtensions={"@pyviz/jupyterlab_pyviz": True}) as url:
        yield url


@pytest.fixture
def open_lab(page, folder, request):
    """``open_lab("sic.ipynb")`` or ``open_lab(["source of a cell", …])``; the kernel ends with the test."""
    page.set_viewport_size({"width": 1440, "height": 1600})
    opened = []

    def get(what: str | list[str], url: str = "") -> Lab:
        if not isinstance(what, str):
            book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in what])
            book.metadata.kernelspec = {
                "name": "python3",
                "display_name": "Python 3 (ipykernel)",
                "language": "python",
            }
            what = re.sub(r"\W+", "_", request.node.name) + ".ipynb"
            nbformat.write(book, folder / what)
        opened.append(Lab(page, url or request.getfixturevalue("lab_url"), what))
        return opened[-1]

    yield get
    for lab in opened:
        lab.close()
