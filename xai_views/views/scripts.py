"""How the plain JavaScript files of the components become ES modules: they are joined, there is no build step."""

from __future__ import annotations

import json
from pathlib import Path

from xai_views.views import colour

FOLDER = Path(__file__).parent


def style(css: str) -> str:
    """Return a style sheet as a string of JavaScript; ``css`` is a path such as ``canvas/canvas``."""
    return json.dumps((FOLDER / f"{css}.css").read_text(encoding="utf-8"))


def esm(*names: str, css: str = "canvas/canvas") -> str:
    """Join plain JavaScript files into one ES module, with the style sheet and the colour tables.

    Parameters
    ----------
    *names : str
        Paths such as ``shared_js/dom``; later files use earlier ones, the last one exports ``render``.
    css : str
        The style sheet, such as ``canvas/canvas``.
    """
    code = (f"// {name}.js\n{(FOLDER / f'{name}.js').read_text(encoding='utf-8')}" for name in names)
    return "\n".join((f"const CSS = {style(css)};", colour.for_browser(), *code))
