"""What a page rests on, as a table; the same for all apps."""

from __future__ import annotations

from html import escape
from typing import Any

import panel as pn

from xai_views_dashboard.core.page import caption, note
from xai_views_dashboard.core.panel import Panel

ABOUT_CSS = """
table { border-collapse: collapse; font-size: .875rem }
th { text-align: left; font-weight: 500; vertical-align: top; padding: 4px 16px 4px 0; white-space: nowrap }
td { overflow-wrap: anywhere; padding: 4px 0 }
"""


class AboutPanel(Panel):
    """What a page rests on: model, data, command, figures, content keys.

    Parameters
    ----------
    app : App
        Gives model and samples; ``app.source`` says where the method comes from, ``app.facts()`` what else is to be said.
    """

    title = "About"
    question = "about"
    watched = ()

    def lines(self) -> list[tuple[str, Any]]:
        """What the table says."""
        card, model, attrs = self.app.model.card, self.app.model, self.app.samples.attrs
        metrics, twin = card.get("metrics") or {}, card.get("twin") or {}
        return [
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
            *self.app.facts().items(),
        ]

    def __panel__(self) -> Any:
        rows = "".join(
            f"<tr><th scope='row'>{escape(k)}</th><td>{escape(str(v))}</td></tr>"
            for k, v in self.lines()
            if v not in ("", None)
        )
        table = pn.pane.HTML(
            f"<table>{rows}</table>", sizing_mode="stretch_width", margin=(8, 16), stylesheets=[ABOUT_CSS]
        )
        return pn.Column(
            caption(self.app.source), table, note("Not for clinical use."), sizing_mode="stretch_width"
        )


def _both(own: dict, twin: dict, key: str) -> str:
    if key not in own:
        return ""
    return f"{own[key]}" + (f" (black-box twin: {twin[key]})" if key in twin else "")
