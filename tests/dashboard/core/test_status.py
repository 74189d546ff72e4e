"""The status bar shows the work of the kernel, merges frequent changes, and unsubscribes when it is closed."""

from __future__ import annotations

import ast
import asyncio
import gc
from pathlib import Path
from types import SimpleNamespace

import pytest

from xai_views.contract import registry
from xai_views_dashboard.core import status
from xai_views_dashboard.core.job import Job
from xai_views_dashboard.core.status import StatusLine

ROOT = Path(__file__).resolve().parents[3]


class Kernel:
    def __init__(self) -> None:
        self.listeners, self.asked, self.hits = [], 0, 0

    def subscribe(self, listener):
        self.listeners.append(listener)
        return lambda: self.listeners.remove(listener)

    def status(self):
        self.asked += 1
        return SimpleNamespace(
            device="cpu", running="", progress=None, queued=0, hits=self.hits, misses=0, error="<b>no</b>"
        )

    def changes(self, times: int = 1) -> None:
        for _ in range(times):
            self.hits += 1
            for listener in list(self.listeners):
                listener()


@pytest.fixture
def kernel():
    return Kernel()


async def test_many_changes_are_written_once_and_the_last_is_kept(kernel, monkeypatch):
    monkeypatch.setattr(status, "REST_S", 0.05)
    line = StatusLine(kernel)
    asked = kernel.asked
    for expected in (40, 80):
        kernel.changes(40)
        assert f"{expected} cached" not in line._pane.object
        await asyncio.sleep(0.2)
        assert f"{expected} cached" in line._pane.object
    assert kernel.asked == asked + 2


def test_a_script_is_told_at_once(kernel):
    line = StatusLine(kernel)
    kernel.changes(3)
    assert "3 cached" in line._pane.object
    assert "Last error: &lt;b&gt;no" in line._pane.object


def test_a_line_that_is_gone_leaves(kernel):
    line = StatusLine(kernel)
    assert len(kernel.listeners) == 1
    del line
    gc.collect()
    kernel.changes()
    assert kernel.listeners == []


async def test_nothing_is_written_when_the_page_is_gone(kernel, monkeypatch):
    monkeypatch.setattr(status, "REST_S", 0.05)
    line = StatusLine(kernel)
    before = line._pane.object
    kernel.changes()
    await asyncio.sleep(0)  # the change has reached the page
    line._end()
    kernel.changes()
    await asyncio.sleep(0.2)
    assert line._pane.object == before


def test_what_runs_is_said_in_words_with_its_count(kernel):
    kernel.status = lambda: SimpleNamespace(
        device="cpu",
        running="Computing activation clusters",
        progress=(3, 16),
        queued=2,
        hits=111,
        misses=206,
        error="",
    )
    line = StatusLine(kernel)._pane.object
    assert "CPU · 111 cached · 206 computed" in line
    assert "Computing activation clusters (3 of 16) · 2 waiting" in line


def test_the_last_error_names_no_folder_of_the_server(kernel):
    kernel.status = lambda: SimpleNamespace(
        device="cpu",
        running="",
        progress=None,
        queued=0,
        hits=0,
        misses=0,
        error="no file '/srv/private/a.pt'.",
    )
    line = StatusLine(kernel)._pane.object
    assert "Last error: no file &#x27;a.pt&#x27;." in line
    assert "private" not in line


def test_all_work_that_a_page_starts_has_a_name():
    """Without ``title=`` the status bar can only say "Computing"."""
    nameless = []
    for file in sorted((ROOT / "dashboard").rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            name = (
                node.func.attr if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) else ""
            )
            on = ast.unparse(node.func.value) if name else ""
            work = name == "job" or (name in {"run", "shared"} and on.endswith("kernel"))
            if work and not any(k.arg == "title" for k in node.keywords):
                nameless.append(f"{file.name}:{node.lineno}")
    assert nameless == []


def test_all_work_behind_a_button_has_a_name():
    for entry in registry.entries("apps"):
        for panel in registry.load("apps", entry).panel_kinds():
            if issubclass(panel, Job):
                assert panel.doing or panel.named is not Job.named, panel
