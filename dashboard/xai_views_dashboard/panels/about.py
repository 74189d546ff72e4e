"""What a page rests on, as a table; the same for all apps."""

from __future__ import annotations

from html import escape
from typing import Any

import panel as pn

from xai_views_dashboard.core.page import caption, note

ABOUT_CSS = """
table { border-collapse: collapse; font-size: .875rem }
th { text-align: left; font-weight: 500; vertical-align: top; padding: 4px 16px 4px 0; white-space: nowrap }
td { overflow-wrap: anywhere; padding: 4px 0 }
"""


def about(app: Any, words: str, more: dict[str, Any] | None = None) -> pn.viewable.Viewable:
    """What a page rests on: model, data, command, figures, content keys.

    Parameters
    ----------
    app : App
        Gives model and samples.
    words : str
        Where the method comes from, and what must be said of it.
    more : dict, optional
        Further lines of the table.
    """
    card, model = app.model.card, app.model
    attrs = app.samples.attrs
    metrics, twin = card.get("metrics") or {}, card.get("twin") or {}
    lines = [
        ("Model", model.name),
        ("sha256", model.sha256),
        ("Trained by", card.get("command", "unknown")),
        ("Test accuracy", _both(metrics, twin, "test_accuracy")),
        ("Balanced test accuracy", _both(metrics, twin, "test_balanced_accuracy")),
        ("Parameters", _both(card, twin, "parameters")),
        ("Model licence", card.get("licence", "unknown")),
        ("Samples", attrs.get("title", "")),
        ("Origin of the samples", attrs.get("origin", "unknown")),
        ("Licence of the samples", attrs.get("licence") or "unknown"),
        *(more or {}).items(),
    ]
    rows = "".join(
        f"<tr><th scope='row'>{escape(k)}</th><td>{escape(str(v))}</td></tr>"
        for k, v in lines
        if v not in ("", None)
    )
    table = pn.pane.HTML(
        f"<table>{rows}</table>",
        sizing_mode="stretch_width",
        margin=(8, 16),
        stylesheets=[ABOUT_CSS],
    )
    return pn.Column(
        caption(words),
        table,
        note("Not for clinical use."),
        sizing_mode="stretch_width",
    )


def _both(own: dict, twin: dict, key: str) -> str:
    if key not in own:
        return ""
    return f"{own[key]}" + (f" (black-box twin: {twin[key]})" if key in twin else "")
