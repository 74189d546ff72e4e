"""To be written."""

from __future__ import annotations

from typing import Any

import panel as pn


class TablesPanel(pn.viewable.Viewer):
    """To be written."""

    def __init__(self, app: Any) -> None:
        super().__init__()
        self.app = app

    def take(self, found: Any) -> None:
        """Show a survey."""

    def __panel__(self) -> Any:
        return pn.Column()
