"""Where the parts of an app lie: the same first screen for every app, in a page and in a notebook.

The parts are laid out by the room that the app has (container queries), not by the window: in a narrow cell of a notebook the
app looks as on a telephone.
"""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from typing import Any

import panel as pn

#: Names of the areas, in the order in which a screen reader meets them.
AREAS = ("notes", "population", "answer", "controls", "case", "tabs")

_OUTER = """
:host {
  container-type: inline-size; display: block !important; box-sizing: border-box; width: 100%; height: auto !important;
  padding: 4px 8px;
}
"""
_GRID = """
:host {
  display: grid !important; width: 100%; height: auto !important; min-height: 0; gap: 4px 12px; align-items: start;
  grid-template-columns: 216px minmax(0, 1fr);
  grid-template-rows: auto auto auto auto auto;
  grid-template-areas: "notes notes" "population answer" "population controls" "population case" "tabs tabs";
}
.xv-area-population { position: relative; align-self: stretch !important; height: auto !important; }
@container (max-width: 900px) {
  :host {
    grid-template-columns: minmax(0, 1fr); grid-template-rows: none;
    grid-template-areas: "answer" "case" "controls" "population" "notes" "tabs";
  }
}
"""


_BRIEF = """
details { font-size: .8125rem; line-height: 1.5; color: var(--mui-palette-text-secondary, #56606b); max-width: 130ch; }
summary { cursor: pointer; overflow: hidden; white-space: nowrap; text-overflow: ellipsis; }
details[open] summary { white-space: normal; }
"""


_UNDER = "p { margin: 2px 0 0; font-size: .8125rem; line-height: 1.4; color: var(--mui-palette-text-secondary, #56606b); }"


def brief(first: str, rest: str = "") -> pn.pane.HTML:
    """One line of what is to be said of samples and model, which opens to the whole.

    Parameters
    ----------
    first, rest : str
        What the line shows, cut where there is no room, and what it opens to; plain text.
    """
    return pn.pane.HTML(
        f'<details role="note"><summary>{escape(first)}</summary>{escape(rest)}</details>',
        stylesheets=[_BRIEF],
        sizing_mode="stretch_width",
        margin=(0, 4),
    )


def under(text: str, more: str = "") -> pn.pane.HTML:
    """Return the caption of the case: what it shows and what it does not; ``more`` is HTML, such as a link."""
    return pn.pane.HTML(
        f"<p>{escape(text)}{more}</p>",
        stylesheets=[_UNDER],
        sizing_mode="stretch_width",
        margin=(0, 8),
    )


# The population is as high as what stands beside it, and never makes that higher.
_BESIDE = """
@container (min-width: 900.02px) { :host { position: absolute !important; inset: 0; height: 100% !important; overflow: hidden; } }
"""


def workbench(**areas: Iterable[Any]) -> pn.viewable.Viewable:
    """Lay out the areas of an app.

    Parameters
    ----------
    **areas : iterable of viewables
        By the names of :data:`AREAS`; an area without any is left out.
    """
    made = []
    for name in AREAS:
        objects = list(areas.get(name, ()))
        if name == "population" and objects:
            objects = [
                pn.Column(
                    *objects,
                    sizing_mode="stretch_width",
                    stylesheets=[_BESIDE],
                    styles={"max-height": "none"},
                    margin=0,
                )
            ]
        if objects:
            # Panel limits the height of columns; what is long would overlap what follows.
            look = {"max-height": "none", "min-width": "0", "grid-area": name}
            made.append(
                pn.Column(
                    *objects,
                    sizing_mode="stretch_width",
                    styles=look,
                    margin=0,
                    css_classes=[f"xv-area-{name}"],
                )
            )
    grid = pn.Column(
        *made, sizing_mode="stretch_width", stylesheets=[_GRID], styles={"max-height": "none"}, margin=0
    )
    return pn.Column(
        grid, sizing_mode="stretch_width", stylesheets=[_OUTER], styles={"max-height": "none"}, margin=0
    )
