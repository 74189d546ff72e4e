"""The tabs of an app: one for each question, and in it one for each panel that answers it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from itertools import groupby
from typing import Any

import panel as pn
import panel_material_ui as pmui

from xai_views.contract.method import QUESTIONS
from xai_views_dashboard.core.tasks import start

#: What stands over the panels that answer none of the questions.
ABOUT = "About"
#: Panel may overtake its own message that puts a panel into the page by one that writes the panel; what is written first is
#: then lost. A panel that was just put there computes after this time.
SETTLED_S = 0.15
#: Tabs that leave the first screen to the case.
_LOW = {"& .MuiTabs-root": {"minHeight": 36}, "& .MuiTab-root": {"minHeight": 36, "paddingY": "4px"}}
UNBOUNDED = {"max-height": "none"}  # Panel's own limit makes what is long overlap what follows


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
        # A panel is put into its place when it is opened first, and stays there: models that leave a page and come back
        # while it is busy are lost on the way.
        self._places = {p.title: pn.Column(sizing_mode="stretch_width", styles=UNBOUNDED) for p in panels}
        self.inner: list[Any] = []
        self.outer: Any = None

    def build(self) -> Any:
        """Make the tabs, once: an app that is never shown needs none."""
        if self.outer is None:
            outer, inner = self.place(self.first)
            self.inner = [
                _tabs(((p.title, self._places[p.title]) for p in group), inner if i == outer else 0)
                for i, group in enumerate(self.groups)
            ]
            names = [QUESTIONS.get(group[0].question, ABOUT) for group in self.groups]
            self.outer = _tabs(zip(names, self.inner, strict=True), outer)
            self._fill()
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

    def bring(self, title: str) -> None:
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

    def _fill(self) -> bool:
        place = self._places[self.open.title]
        if place.objects:
            return False
        place.objects = [self.open]
        return True

    def _tell(self, *_: Any) -> None:
        chosen = self.open
        for panel in (p for group in self.groups for p in group):
            if panel is not chosen and hasattr(panel, "active"):
                panel.active = False
        if self._fill():
            start(self._settled(chosen))
        elif hasattr(chosen, "active"):
            chosen.active = True
        self._opened(chosen.title)

    async def _settled(self, chosen: Any) -> None:
        await asyncio.sleep(SETTLED_S)
        if chosen is self.open and hasattr(chosen, "active"):
            chosen.active = True

    def __panel__(self) -> Any:
        return self.build()


def _tabs(pages: Iterable[tuple[str, Any]], active: int) -> Any:
    return pmui.Tabs(*pages, active=active, sizing_mode="stretch_width", styles=UNBOUNDED, sx=_LOW)
