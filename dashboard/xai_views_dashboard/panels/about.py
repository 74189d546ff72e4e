"""Facts about model, data and provenance, as a table; the same for all apps."""

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
    """Facts about a page: model, samples, training command, metrics, content keys.

    Parameters
    ----------
    app : App
        Gives model and samples; ``app.source`` is the source of the method, ``app.facts()`` adds lines.
    """

    title = "About"
    question = "about"
    watched = ()

    def lines(self) -> list[tuple[str, Any]]:
        """Return the lines of the table."""
        card, model, attrs = self.app.model.card, self.app.model, self.app.samples.attrs
        metrics, twin = card.get("metrics") or {}, card.get("twin") or {}
        return [
            ("Model", model.name),
            ("sha256", model.sha256),
            *_origin(card),
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
        return pn.Column(caption(self.app.source), table, *_warning(self.app), sizing_mode="stretch_width")


def _both(own: dict, twin: dict, key: str) -> str:
    if key not in own:
        return ""
    return f"{own[key]}" + (f" (black-box twin: {twin[key]})" if key in twin else "")


def _origin(card: dict) -> list[tuple[str, Any]]:
    """Return how the weights were made, or which package they come from."""
    package = (card.get("weights") or {}).get("package")
    if package:
        return [("Weights from", f"package {package}")]
    command = str(card.get("command") or "")
    return [
        ("Weights from", command)
        if command.startswith("pip ")
        else ("Training command", command or "unknown")
    ]


def _warning(app: Any) -> list[Any]:
    """Return the warning of medical data; nothing for other data."""
    card = app.model.card
    texts = (
        app.model.name,
        card.get("title"),
        card.get("note"),
        card.get("samples"),
        app.samples.attrs.get("title"),
    )
    medical = app.model.kind == "signal" or any(
        "nuclei" in str(t).lower() or "clinical" in str(t) for t in texts
    )
    return [note("Not for clinical use.")] if medical else []
