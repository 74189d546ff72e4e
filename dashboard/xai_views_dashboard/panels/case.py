"""Note and own label of the sample in view."""

from __future__ import annotations

from typing import Any

from xai_views_dashboard.core.panel import Panel


class CasePanel(Panel):
    """A note and an own label for the sample in view, saved to a case file.

    Parameters
    ----------
    app : App
        The page, with ``kept``.
    """

    title = "Case"
    question = "about"
    watched = ()

    @property
    def listing(self) -> Any:
        """The table of the cases on this page."""
        return self.app.kept.editor.listing

    def __panel__(self) -> Any:
        return self.app.kept.editor
