"""The header of every page: link to the start page, apps, choice of model and samples, title, and help."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import param

from xai_views.views.patches import OneWayComponent

_HERE = Path(__file__).parent


def _module() -> str:
    css = json.dumps((_HERE / "bar.css").read_text(encoding="utf-8"))
    return f"const CSS = {css};\n{(_HERE / 'bar.js').read_text(encoding='utf-8')}"


class HeaderBar(OneWayComponent):
    """Links and choices; each one opens an address, so no round trip to the server is needed.

    Parameters
    ----------
    heading : str
        Heading of the first level, for screen readers; "" for a page that has its own.
    home : str
        Address of the start page; relative, so that it stands under whatever prefix the server has.
    apps : list of dict
        ``{"title", "href", "current", "reason"}``; one with a reason cannot open the present model.
    choices : list of dict
        ``{"label", "value", "options"}``, each option ``{"title", "name", "href", "reason"}``; ``value`` is the name of the
        present one.
    """

    heading = param.String("", doc="What the page is about.")
    home = param.String("./", doc="Address of the start page.")
    apps = param.List([], item_type=dict, doc="The installed apps.")
    choices = param.List([], item_type=dict, doc="Model and samples.")

    _esm = _module() + "\nexport function render({model}) { return new Bar(model).root; }\n"

    def __init__(self, **params: Any) -> None:
        params.setdefault("sizing_mode", "stretch_width")
        super().__init__(**{"margin": 0, "min_width": 0, **params})


class HelpButton(OneWayComponent):
    """Opens the help of the page: fires the event ``xv-help`` on the document."""

    _esm = _module() + "\nexport function render({model}) { return helpButton(); }\n"

    def __init__(self, **params: Any) -> None:
        super().__init__(**{"margin": 0, "width": 36, **params})


class Guide(OneWayComponent):
    """A few sentences above a page, until the visitor closes them.

    Parameters
    ----------
    text : str
        Plain text.
    """

    text = param.String("", doc="What to look at, and what to do.")

    _esm = _module() + "\nexport function render({model}) { return guide(model.text); }\n"

    def __init__(self, **params: Any) -> None:
        super().__init__(**{"margin": (6, 8, 0, 8), "sizing_mode": "stretch_width", **params})
