"""The shell of every page: header, light and dark, the work, a status line; colours and type.

Everything comes from panel-material-ui's own bundle, so no page asks for a font or an icon elsewhere. Colours
of explanations are not here but in ``xai_views.views.colour``; the shell stays neutral so that these stand
out.
"""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from pathlib import Path
from typing import Any

import panel as pn
import panel_material_ui as pmui
from bokeh.models import CustomJS

from xai_views.apps import in_notebook
from xai_views.views import Connection, patches
from xai_views_dashboard.core.bar import Guide, HeaderBar, HelpButton

NAME = "XAI Views"
THEME_COOKIE = "xai-views-theme"  # what the visitor chose
SYSTEM_COOKIE = "xai-views-system"  # what the visitor's system prefers

_FONT = "Roboto, system-ui, -apple-system, 'Segoe UI', sans-serif"


# Plus and minus in a field of a number have no name for screen readers; the arrow keys do the same.
_NAMELESS = {"&:has(> button:not([aria-label]))": {"display": "none"}}


def _scheme(**palette: Any) -> dict[str, Any]:
    return {
        "palette": palette,
        "shape": {"borderRadius": 8},
        "typography": {
            "fontFamily": _FONT,
            "h1": {"fontSize": "1.75rem", "fontWeight": 700, "letterSpacing": "-0.01em", "lineHeight": 1.25},
            "h2": {"fontSize": "1.25rem", "fontWeight": 700, "lineHeight": 1.3},
            "h3": {"fontSize": "1.05rem", "fontWeight": 700, "lineHeight": 1.35},
            "button": {"textTransform": "none"},
        },
        "components": {"MuiInputAdornment": {"styleOverrides": {"root": _NAMELESS}}},
    }


# Text on ground has a contrast of at least 7:1 (secondary text 4.5:1) in both schemes.
LIGHT = _scheme(
    primary={"main": "#0b5a68", "contrastText": "#ffffff"},
    secondary={"main": "#5a4a87", "contrastText": "#ffffff"},
    background={"default": "#f6f7f9", "paper": "#ffffff"},
    text={"primary": "#1b2127", "secondary": "#56606b"},
    action={"active": "#56606b"},
    divider="#dfe3e8",
)
DARK = _scheme(
    primary={"main": "#8fd3dc", "contrastText": "#171b20"},
    secondary={"main": "#c3b5ee", "contrastText": "#171b20"},
    background={"default": "#101317", "paper": "#171b20"},
    text={"primary": "#e8ecf0", "secondary": "#a3adb8"},
    divider="#2c333b",
)
THEME = {"light": LIGHT, "dark": DARK}

HEADER, STATUS = 48, 26  # heights in CSS pixels

# The header is ground, not a coloured bar: nothing on the page may outshine the pictures.
_SX = {
    ".MuiToolbar-root": {"minHeight": f"{HEADER}px !important", "height": f"{HEADER}px"},
    ".MuiAppBar-root": {
        "bgcolor": "background.paper",
        "color": "text.primary",
        "backgroundImage": "none",
        "boxShadow": "none",
        "height": f"{HEADER}px",
    },
    # A line inside of the height, so that the header has 48 pixels in all.
    ".MuiAppBar-root .MuiToolbar-root": {
        "paddingLeft": "8px",
        "paddingRight": "8px",
        "boxShadow": "inset 0 -1px 0 var(--mui-palette-divider)",
    },
    ".MuiAppBar-root .MuiToolbar-root > .MuiBox-root": {"minWidth": 0, "gap": "2px"},
    # Panel's own sign of a busy server, which has no name; the status line says what runs.
    ".MuiAppBar-root .MuiLinearProgress-root": {"display": "none"},
    ".MuiAppBar-root .MuiIconButton-root": {"width": 34, "height": 34, "padding": "6px"},
    ".main": {
        "bgcolor": "background.default",
        "padding": "0 !important",
        "scrollPaddingBottom": f"{STATUS + 8}px",
    },
    ".main-content": {"padding": f"0 0 {STATUS}px"},
    ".MuiDrawer-paper": {"bgcolor": "background.paper", "backgroundImage": "none"},
    "a:focus-visible, button:focus-visible": {"outline": "2px solid", "outlineColor": "primary.main"},
}

# What differs from the system is a choice and is kept; choosing what the system says follows the system again.
_REMEMBER = f"""
const dark = cb_obj.data ? cb_obj.data.dark_theme : cb_obj.dark_theme
document.dispatchEvent(new CustomEvent("xv-theme", {{detail: dark}}))
const chosen = dark !== matchMedia("(prefers-color-scheme: dark)").matches
document.cookie = "{THEME_COOKIE}=" + (dark ? "dark" : "light") + "; path=/; samesite=lax; max-age=" + (chosen ? 31536000 : 0)
"""

# The server cannot see what the system prefers before it has told the next page by a cookie.
_FOLLOW = f"""
const media = matchMedia("(prefers-color-scheme: dark)")
const follow = () => {{
  document.cookie = "{SYSTEM_COOKIE}=" + (media.matches ? "dark" : "light") + "; path=/; samesite=lax; max-age=31536000"
  if (/(^|; ){THEME_COOKIE}=/.test(document.cookie) || new URLSearchParams(location.search).has("theme")) return
  for (const doc of Bokeh.documents)
    for (const root of doc.roots())
      if (root.data && "dark_theme" in root.data && root.data.dark_theme !== media.matches) root.data.dark_theme = media.matches
}}
// The canvases look at the class, which the page itself leaves as it was when the system decides.
const root = document.documentElement
let dark = root.classList.contains("dark")
const mark = () => {{
  if (root.classList.contains("dark") !== dark) root.classList.toggle("dark", dark)
  if (root.classList.contains("light") === dark) root.classList.toggle("light", !dark)
}}
document.addEventListener("xv-theme", (event) => {{ dark = event.detail; mark() }})
new MutationObserver(mark).observe(root, {{attributes: true, attributeFilter: ["class"]}})
follow()
media.addEventListener("change", follow)
"""

# What a page shows without its server is out of date: it is dimmed, and the page says what to do. Once the server answers
# again it was restarted, and knows nothing of this page.
_LOST = Path(__file__).with_name("lost.js").read_text(encoding="utf-8")

# A drawer that covers a telephone's screen starts closed; only the browser knows how wide it is.
_NARROW = """
for (const doc of Bokeh.documents)
  for (const root of doc.roots())
    if (window.innerWidth < 600 && root.data && "sidebar_open" in root.data) root.data.sidebar_open = false
"""

STATUS_CSS = f"""
:host {{
  position: fixed; bottom: 0; left: 0; right: 0; z-index: 10; box-sizing: border-box; width: 100%;
  padding: 0 8px; height: {STATUS}px; overflow: hidden; font-size: 0.75rem; line-height: {STATUS - 1}px;
  color: var(--mui-palette-text-secondary); background: var(--panel-surface-color);
  border-top: 1px solid var(--mui-palette-divider);
}}
"""


def page(
    title: str,
    main: Any,
    sidebar: Any = None,
    status: Any = None,
    header: Any = None,
    actions: Any = None,
    heading: bool = True,
    guide: str = "",
    **params: Any,
) -> pmui.Page:
    """Put an app into the shell that all pages share.

    Parameters
    ----------
    title : str
        What this page is about: the title of the browser's tab, and the page's heading for screen readers.
    main : viewable or list of viewables
        The work, from top to bottom; it has the whole width.
    sidebar : viewable or list of viewables, optional
        Controls; on a narrow screen a drawer that starts closed.
    status : viewable, optional
        One line that stays at the bottom.
    header : viewable or list of viewables, optional
        The links and choices of ``xai_views_dashboard.shell.header``; by default the way back to the start page.
    actions : viewable or list of viewables, optional
        What stands between the choices and the theme.
    heading : bool
        False for a page whose main part has a heading of the first level.
    guide : str
        What to look at first, over the main part, until the visitor closes it.
    **params
        Passed to ``panel_material_ui.Page``.

    Returns
    -------
    panel_material_ui.Page
    """
    main = [*([Guide(text=guide)] if guide else []), *_list(main)]
    if status is not None:
        main.append(pn.Column(status, stylesheets=[STATUS_CSS], sizing_mode="stretch_width"))
    bars = _list(header) or [HeaderBar()]
    for bar in bars:
        if heading and isinstance(bar, HeaderBar) and not bar.heading:
            bar.heading = title
    options: dict[str, Any] = {
        "title": "",  # its own heading is no heading of the first level
        "meta_title": title if title == NAME else f"{title} · {NAME}",
        "main": main,
        "sidebar": _list(sidebar),
        "header": [*bars, *_list(actions), *([HelpButton()] if header and heading else [])],
        "sidebar_width": 332,
        "theme_config": THEME,
        "dark_theme": prefers_dark(),
        "busy_indicator": None,
        "sx": _SX,
    }
    shell = pmui.Page(**{**options, **params})
    patches.never_busy(shell)
    shell.jscallback(dark_theme=_REMEMBER)
    if pn.state.curdoc is not None:
        pn.state.curdoc.js_on_event("document_ready", CustomJS(code=_FOLLOW))
        pn.state.curdoc.js_on_event("connection_lost", CustomJS(code=_LOST))
        if shell.sidebar:
            pn.state.curdoc.js_on_event("document_ready", CustomJS(code=_NARROW))
    return shell


def prefers_dark() -> bool:
    """Return whether a page opens dark: as the address says, else as the visitor chose, else as the visitor's system prefers."""
    if pn.state.curdoc is None:
        return pn.config.theme == "dark"
    asked = (pn.state.session_args or {}).get("theme", [b""])[0]
    if asked in {b"dark", b"light", b"default"}:
        return asked == b"dark"
    cookies = pn.state.cookies or {}
    return cookies.get(THEME_COOKIE, cookies.get(SYSTEM_COOKIE)) == "dark"


def note(text: str, kind: str = "info") -> pn.pane.HTML:
    """One sentence in a quiet box.

    Parameters
    ----------
    text : str
        Plain text; it is escaped.
    kind : {"info", "warning", "error"}
        Errors are announced by screen readers.
    """
    role = "alert" if kind == "error" else "note"
    return pn.pane.HTML(
        f'<p class="note {kind}" role="{role}">{escape(text)}</p>',
        stylesheets=[NOTE_CSS],
        sizing_mode="stretch_width",
        margin=(8, 16),
    )


def connection() -> list[Connection]:
    """Return what an app in a notebook shows when its kernel does not hear it; nothing in a page of the server."""
    return [Connection()] if in_notebook() else []


NOTE_CSS = """
.note {
  box-sizing: border-box; margin: 0; max-width: 110ch; padding: 8px 14px; border-radius: 8px;
  color: var(--panel-on-surface-color); background: var(--panel-surface-color);
  border: 1px solid var(--mui-palette-divider); border-left: 4px solid var(--panel-primary-color);
  font-size: 0.9375rem; line-height: 1.5; overflow-wrap: anywhere;
}
@media (max-width: 600px) { .note { padding: 6px 10px; font-size: 0.8125rem; line-height: 1.4; } }
.note.warning { border-left-color: #b7791f; }
.note.error { border-left-color: #c2410c; }
"""


HALVES = (
    "@media (max-width: 600px) { .half { width: calc(50% - 24px) !important; min-width: 0 !important; } }"
)
_WHOLE = (
    "@media (max-width: 600px) { div[style*='width'] { width: 100% !important; min-width: 0 !important; } }"
)

MUTED = {"color": "var(--mui-palette-text-secondary, #56606b)", "max-width": "110ch", "font-size": "0.875rem"}


def halved(control: Any) -> Any:
    """Let a control take half of its row on a telephone; the row itself has ``HALVES`` among its stylesheets."""
    control.css_classes = [*control.css_classes, "half"]
    control.stylesheets = [*control.stylesheets, _WHOLE]
    return control


def caption(text: str, more: str = "") -> pn.pane.HTML:
    """One sentence under or over a view: what it shows and what it does not; ``more`` is HTML, such as a link."""
    return pn.pane.HTML(
        f"<p>{escape(text)}{more}</p>", margin=(0, 16), styles=MUTED, sizing_mode="stretch_width"
    )


def _list(value: Any) -> list[Any]:
    if value is None:
        return []
    if isinstance(value, Iterable) and not isinstance(value, (str, pn.viewable.Viewable)):
        return list(value)
    return [value]
