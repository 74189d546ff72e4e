"""Sentences about what went wrong: what a page may show of them."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import xai_views as xv
from xai_views.errors import XaiViewsError, without_folders
from xai_views.views.wire import error_frame

DASHBOARD = Path(__file__).resolve().parent.parent / "dashboard"


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("No group found in store 'file:///home/ann/x/my.zarr'", "No group found in store 'my.zarr'"),
        ("No such file: '/home/ann/my data/set.npz'.", "No such file: 'set.npz'."),
        ('cannot open "~/private/set.npz"', 'cannot open "set.npz"'),
        ("/srv/models/a.pt is damaged", "a.pt is damaged"),
        ("path=/srv/models/a.pt, given", "path=a.pt, given"),
        (r"C:\Users\ann\a.pt is damaged", "a.pt is damaged"),
        ("two\nlines", "two lines"),
    ],
)
def test_a_path_keeps_its_last_part(said, shown):
    assert without_folders(said) == shown
    assert without_folders(ValueError(said)) == shown


@pytest.mark.parametrize(
    "said",
    [
        "see https://example.org/docs/a.html",
        "leads I/aVR of 'birds/test'",
        "/sic?model=birds-sic",
        "(1 + C) / (1 + D)",
    ],
)
def test_addresses_units_and_names_stay(said):
    assert without_folders(said) == said


def test_a_broken_folder_is_named_without_where_it_lies(tmp_path):
    folder = tmp_path / "mine.zarr"
    folder.mkdir()
    with pytest.raises(XaiViewsError) as error:
        xv.open_samples(folder)
    assert "'mine.zarr'" in str(error.value)
    assert not any(part in str(error.value) for part in tmp_path.parts[1:])


def test_a_canvas_shows_no_folder():
    assert b"/srv/private" not in error_frame("a", "no file '/srv/private/a.png'")


def _shown(node: ast.AST) -> Iterator[ast.AST]:
    """Yield what is in a node, apart from what is raised: that is caught again before it is shown."""
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, ast.Raise):
            yield child
            yield from _shown(child)


def _is_text_of(node: ast.AST, name: str | None) -> bool:
    """Return whether a node is ``str(name)`` or ``{name}`` in an f-string."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "str":
        texts: list[ast.expr] = node.args
    else:
        texts = [node.value] if isinstance(node, ast.FormattedValue) else []
    return name is not None and any(isinstance(t, ast.Name) and t.id == name for t in texts)


def test_what_pages_say_about_errors_goes_through_without_folders():
    """``str(error)`` of a caught error may name a folder of the server."""
    bare = []
    for file in sorted(DASHBOARD.rglob("*.py")):
        handlers = (n for n in ast.walk(ast.parse(file.read_text())) if isinstance(n, ast.ExceptHandler))
        bare += [f"{file.name}:{n.lineno}" for h in handlers for n in _shown(h) if _is_text_of(n, h.name)]
    assert bare == []
