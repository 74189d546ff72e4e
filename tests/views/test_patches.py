"""The patches of Panel and related packages: each is needed, fits the installed release, and refuses unknown ones."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
import tomllib
from pathlib import Path

import panel as pn
import panel_material_ui as pmui
import pytest
from packaging.requirements import Requirement

from xai_views.errors import XaiViewsError
from xai_views.views import patches
from xai_views.views.listing.listing import Listing

ROOT = Path(__file__).resolve().parents[2]
PATCHED = {"panel", "panel_material_ui", "bokeh", "holoviews", "pyviz_comms", "jupyter_bokeh", "ipywidgets"}


@pytest.fixture(scope="module")
def faults() -> dict[str, str]:
    """Return the faults of the libraries in a process without patches."""
    pytest.importorskip("jupyter_bokeh")
    command = [sys.executable, str(Path(__file__).with_name("library_faults.py"))]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=200, cwd=ROOT)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("patch", sorted(patches.NEEDS))
def test_each_patch_is_needed(faults, patch):
    assert not faults[patch], (
        f"{faults[patch]}: remove the patch {patch!r} from xai_views/views/patches.py, or mend it"
    )


@pytest.mark.parametrize("patch", sorted(patches.NEEDS))
def test_each_patch_fits_what_is_installed(patch):
    assert patches.obstacle(patch) == ""


def test_pyproject_requires_what_the_patches_were_tested_with():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = [
        *project["dependencies"],
        *(line for extra in project["optional-dependencies"].values() for line in extra),
    ]
    declared = {r.name: r.specifier for r in map(Requirement, lines)}
    for library, bounds in patches.TESTED.items():
        assert declared[library] == Requirement(library + bounds).specifier, library
        assert "<" in bounds, f"{library} has no upper bound"


def test_another_release_is_refused_in_a_sentence(monkeypatch):
    monkeypatch.setattr(patches, "version", lambda _: "1.10.0")
    assert patches.obstacle("no_delay") == (
        "panel 1.10.0 is installed, but XAI Views was tested with >=1.9.4,<1.10 only: "
        "run 'pip install \"panel>=1.9.4,<1.10\"'."
    )


def test_a_name_that_is_gone_and_one_that_changed_are_said(monkeypatch):
    monkeypatch.setitem(patches.NEEDS, "gone", [("panel", "panel.io.server:WSHandler.opened", "self")])
    assert "has no panel.io.server:WSHandler.opened" in patches.obstacle("gone")
    monkeypatch.setitem(
        patches.NEEDS, "changed", [("panel", "panel.io.server:WSHandler.open", "self, token")]
    )
    assert "takes (self, *args, **kwargs), expected (self, token)" in patches.obstacle("changed")


def test_a_patch_that_does_not_fit_changes_nothing(monkeypatch):
    monkeypatch.setitem(patches.NEEDS, "default_headers", [("panel", "panel.io.server:NoHandler", "self")])
    patches.require.cache_clear()
    before = patches.DocHandler.set_default_headers
    with pytest.raises(XaiViewsError, match=r"has no panel\.io\.server:NoHandler"):
        patches.default_headers(lambda host: {"X": host})
    assert patches.DocHandler.set_default_headers is before


def test_components_send_messages_only():
    assert Listing()._linked_properties == ()


def test_a_file_input_holds_no_more_than_its_bound_and_tells_an_empty_file():
    class Small(patches.BoundedFileInput):
        most = 10

    entry = Small(chunk_size=8)
    message = {"status": "upload_event", "name": "a", "total_chunks": 3, "mime_type": ""}
    for chunk in (1, 2, 3):
        entry._handle_msg({**message, "chunk": chunk, "data": b"x" * 8})
    entry._handle_msg({"status": "finished"})
    assert entry.value == b"x" * 11
    entry.clear()
    entry._handle_msg({"status": "finished"})
    assert entry.value == b""


def test_a_page_does_not_listen_for_the_busyness_of_the_server():
    shell, told = pmui.Page(title="x"), []
    patches.never_busy(shell)
    shell.param.watch(told.append, "busy")
    with patches.edit_readonly(pn.state):
        pn.state.busy = True
        pn.state.busy = False
    assert told == []


def test_nothing_else_changes_or_reaches_into_these_libraries():
    """Assignments to what they define, and private names that are imported of them."""
    found = []
    for path in [*(ROOT / "xai_views").rglob("*.py"), *(ROOT / "dashboard").rglob("*.py")]:
        if path.name != "patches.py":
            found += [f"{path.relative_to(ROOT)}:{line}" for line in reaching(path)]
    assert found == []


def reaching(path: Path) -> list[int]:
    """Lines of a file that change what one of the libraries defines, or that import a private name of it."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    theirs, lines = set(), []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in PATCHED:
            theirs |= {alias.asname or alias.name for alias in node.names}
            names = [*node.module.split("."), *(alias.name for alias in node.names)]
            lines += [node.lineno for name in names if name.startswith(("_", "edit_"))]
        elif isinstance(node, ast.Import):
            theirs |= {
                (a.asname or a.name).split(".")[0] for a in node.names if a.name.split(".")[0] in PATCHED
            }
    for node in ast.walk(tree):
        targets = node.targets if isinstance(node, ast.Assign) else []
        lines += [t.lineno for t in targets if isinstance(t, ast.Attribute) and root(t) in theirs]
    return [line for line in lines if "pn.config." not in path.read_text().splitlines()[line - 1]]


def root(node: ast.AST) -> str:
    """The name at the left end of ``a.b.c``."""
    while isinstance(node, ast.Attribute):
        node = node.value
    return node.id if isinstance(node, ast.Name) else ""
