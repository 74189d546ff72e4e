"""The tabs of an app: one for each question, and in it one for each panel that answers it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Any

import panel as pn
import panel_material_ui as pmui

from xai_views.contract.method import QUESTIONS

#: What stands over the panels that answer none of the questions.
ABOUT = "About"


class QuestionTabs(pn.viewable.Viewer):
    """Tabs by question over tabs by panel; only the open panel is told to compute.

    Parameters
    ----------
    panels : sequence of Panel or Closed
        In the order of their questions.
    opened : callable
        ``opened(title)`` when a panel comes into view.
    title : str
        Of the panel that is open at first; the first panel when there is none of this title.
    """

    def __init__(self, panels: Sequence[Any], opened: Callable[[str], None], title: str = "") -> None:
        super().__init__()
        self._opened = opened
        self.groups = [
            list(group) for _, group in groupby(panels, lambda p: QUESTIONS.get(p.question, ABOUT))
        ]
        self.first = title
        self.inner: list[Any] = []
        self.outer: Any = None

    def build(self) -> Any:
        """Make the tabs, once: an app that is never shown needs none."""
        if self.outer is None:
            outer, inner = self.place(self.first)
            look = {"dynamic": True, "sizing_mode": "stretch_width"}
            self.inner = [
                pmui.Tabs(
                    *((p.title, p) for p in group),
                    active=inner if i == outer else 0,
                    css_classes=["xv-panels"],
                    **look,
                )
                for i, group in enumerate(self.groups)
            ]
            names = [QUESTIONS.get(group[0].question, ABOUT) for group in self.groups]
            self.outer = pmui.Tabs(*zip(names, self.inner, strict=True), active=outer, **look)
        return self.outer

    def place(self, title: str) -> tuple[int, int]:
        """Return where the panel of a title is, ``(question, panel)``; the first where there is none."""
        for i, group in enumerate(self.groups):
            for j, panel in enumerate(group):
                if panel.title == title:
                    return i, j
        return 0, 0

    @property
    def open(self) -> Any:
        """The panel in view."""
        if self.outer is None:
            outer, inner = self.place(self.first)
            return self.groups[outer][inner]
        outer = self.outer.active
        return self.groups[outer][self.inner[outer].active]

    def show(self, title: str) -> None:
        """Bring the panel of a title into view."""
        self.first = title
        if self.outer is None:
            return
        outer, inner = self.place(title)
        self.inner[outer].active = inner
        self.outer.active = outer

    def begin(self) -> None:
        """Follow the tabs; from here on the open panel computes.

        What is written while the browser still loads the page is lost, and writing the same again tells nobody: call it
        when the page has loaded.
        """
        self.build()
        for tabs in (self.outer, *self.inner):
            tabs.param.watch(self._tell, "active")
        self._tell()

    def _tell(self, *_: Any) -> None:
        chosen = self.open
        for group in self.groups:
            for panel in group:
                if hasattr(panel, "active"):
                    panel.active = panel is chosen
        self._opened(chosen.title)

    def __panel__(self) -> Any:
        return self.build()
