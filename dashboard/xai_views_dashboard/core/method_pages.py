"""The methods' pages, served beside the apps: what each shows and what it does not."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import panel as pn

import xai_views
from xai_views_dashboard.core.page import page

_served: set[str] = set()

# Panel's colour of code in a line cannot be read on a light ground; its button to copy has no name and comes at a hover alone.
_CSS = """
:host { max-width: 80ch; overflow-wrap: anywhere; }
:is(p, li, td, th, h2, h3) code { color: inherit; background: none; padding: 0; }
.copybtn { display: none; }
.codehilite pre { margin-top: 0; }
"""


def folder() -> Path:
    """Return the folder of the pages: the wheel's own, or the checkout's ``docs/methods``."""
    package = Path(xai_views.__file__).parent
    inside = package / "_docs"
    return inside if inside.is_dir() else package.parent / "docs" / "methods"


def routes() -> dict[str, Callable[[], Any]]:
    """Return the page functions by route, ``/docs-sic`` and the like."""
    found = {file.stem: functools.partial(method_page, file) for file in sorted(folder().glob("*.md"))}
    _served.update(found)
    return {f"/docs-{name}": make for name, make in found.items()}


def method_page(file: Path) -> Any:
    """Return one page; links between the files become links between the pages."""
    text = file.read_text(encoding="utf-8")
    for other in folder().glob("*.md"):
        text = text.replace(f"]({other.name})", f"](docs-{other.stem})")
    text = re.sub(r"\[([^\]]+)\]\(\.\./[^)]+\)", r"\1", text)  # pages beside the folder are not served
    title = text.partition("\n")[0].lstrip("# ")
    return page(
        title,
        [pn.pane.Markdown(text, margin=(8, 24), stylesheets=[_CSS])],
        heading=not text.startswith("# "),
    )


def link(name: str) -> str:
    """Return a link to the page of a method as HTML, "" where the pages are not served (in a notebook)."""
    if name not in _served or pn.state.curdoc is None:
        return ""
    return f' <a href="docs-{name}" target="_blank">What this method shows, and what it does not</a>'
