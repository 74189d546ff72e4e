"""How the explanation in view was made: everything that is needed to make it again."""

from __future__ import annotations

import asyncio
from html import escape
from typing import Any

import panel as pn

from xai_views.contract import registry
from xai_views.version import __version__
from xai_views_dashboard.core.page import caption
from xai_views_dashboard.core.panel import ASK, Panel
from xai_views_dashboard.panels.about import ABOUT_CSS
from xai_views_dashboard.panels.explain import reproduce

CSS = f"{ABOUT_CSS} pre {{ overflow-x: auto; font-size: .8125rem; }}"


class ProvenancePanel(Panel):
    """Method, parameters and content keys of the explanation in view, and the call that reproduces it.

    Parameters
    ----------
    app : App
        Gives session, state and the request.
    """

    title = "Provenance"
    question = "where"
    watched = ("sample", ASK)

    def __init__(self, app: Any) -> None:
        self.words = pn.pane.HTML("", stylesheets=[CSS], sizing_mode="stretch_width", margin=(4, 16))
        super().__init__(app)

    async def compute(self) -> str:
        """Describe the request for the sample in view."""
        app, wish = self.app, self.app.wish()
        return await asyncio.to_thread(self.described, app.state.sample, wish)

    def described(self, sample: int, wish: Any) -> str:
        """Return the table and the call, as HTML."""
        app, session = self.app, self.app.session
        ask, model = session.asked_of(sample, wish), app.model
        lines = {
            "Method": f"{registry.plain(ask.method).title} ({ask.method})",
            "Parameters": ask.text(),
            "Model": f"{model.name}, sha256 {model.sha256}",
            app.noun: f"{session.names[sample]}, sha256 {session.digest(sample)} (first 32 digits)",
            "Samples": session.population.title or "your own",
            "XAI Views": __version__,
        }
        rows = "".join(
            f"<tr><th scope='row'>{escape(k)}</th><td>{escape(v)}</td></tr>" for k, v in lines.items()
        )
        return f"<table>{rows}</table>{reproduce(app, session.names[sample], ask)}"

    def write(self, answer: str) -> None:
        """Write the table and the call."""
        self.words.object = answer

    def __panel__(self) -> Any:
        return pn.Column(
            caption(
                "What the explanation in view was computed from: with it, the same numbers are computed again. It does not say "
                "whether they are right."
            ),
            self.words,
            sizing_mode="stretch_width",
        )
