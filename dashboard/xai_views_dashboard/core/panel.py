"""Panels: what stands in a tab. They follow the state of an app; the newest wish wins, and a closed one computes nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any, ClassVar

import panel as pn

from xai_views.contract.method import QUESTIONS
from xai_views.errors import XaiViewsError, without_folders
from xai_views_dashboard.core.page import note
from xai_views_dashboard.core.protocols import PageApp
from xai_views_dashboard.core.tasks import on_page, start

#: Among what a panel watches: everything that the app asks of its main method.
ASK = "*ask"


class Panel(pn.viewable.Viewer):
    """A panel that follows the state of an app.

    Subclasses say what they watch, compute an answer (a coroutine: nothing here can wait for the kernel) and write it.

    Parameters
    ----------
    app : App
        Gives model, samples, session, state and the place for problems.

    Attributes
    ----------
    title : str
        Of its tab.
    question : str
        Which of :data:`xai_views.contract.method.QUESTIONS` it answers; tabs stand in their order.
    watched : tuple of str
        Parameters of the state that it depends on; :data:`ASK` stands for all that decide what is asked of the main method.

    Notes
    -----
    A panel whose tab is closed only remembers that it is out of date; opening the tab writes it. It is closed until the browser
    has loaded the page (see ``QuestionTabs``): Panel loses what is written before.
    """

    title: ClassVar[str] = ""
    question: ClassVar[str] = "why"
    watched: ClassVar[tuple[str, ...]] = ("sample",)

    def __init__(self, app: PageApp) -> None:
        super().__init__()
        self.app: Any = app  # an app's own panels know what it has beyond a PageApp
        self._turn = 0
        self._active = False
        self._stale = True
        names = [n for w in self.watched for n in (app.asked_by() if w == ASK else [w])]
        app.state.param.watch(self.update, [n for n in dict.fromkeys(names) if n in app.state.param])

    @classmethod
    def fits(cls, app: Any) -> str:  # noqa: ARG003 - for subclasses
        """Return "" or the reason, in one sentence, why this panel has nothing to offer here."""
        return ""

    @property
    def active(self) -> bool:
        """Whether the panel is in view; one that comes into view is brought up to date."""
        return self._active

    @active.setter
    def active(self, value: bool) -> None:
        self._active = value
        if value and self._stale:
            self.update()

    def update(self, *_: Any) -> None:
        """Ask for what is needed and write it when it is there."""
        self._turn += 1
        self._stale = True
        if not self._active:
            return
        try:
            asyncio.get_running_loop()
        except RuntimeError:  # no page yet: the first page asks when it has loaded
            return
        start(self._follow(self._turn))

    async def _follow(self, turn: int) -> None:
        try:
            answer = await self.compute()
        except asyncio.CancelledError:
            return
        except XaiViewsError as e:
            sentence = without_folders(e)
            on_page(lambda: turn == self._turn and self.failed(sentence))
            return
        on_page(lambda: turn == self._turn and self._written(answer))

    def _written(self, answer: Any) -> None:
        self._stale = False
        self.write(answer)

    def failed(self, sentence: str) -> None:
        """Say on the page what went wrong."""
        self.app.problem = sentence

    async def compute(self) -> Any:
        """What is written, asked of the kernel; None by default, for panels that only show what is there."""
        return None

    def write(self, answer: Any) -> None:
        """Write the panel."""


class Closed(pn.viewable.Viewer):
    """Stands in the tab of a panel that does not fit, and says why."""

    def __init__(self, title: str, question: str, reason: str) -> None:
        super().__init__()
        self.title, self.question, self.reason = title, question, reason

    def __panel__(self) -> Any:
        return pn.Column(note(self.reason), sizing_mode="stretch_width")


def offered(app: PageApp, kinds: Iterable[type[Panel]]) -> list[Panel | Closed]:
    """Make the panels of an app, in the order of their questions.

    What does not fit is there, closed, with its reason, after what else answers the same question.
    """
    order = list(QUESTIONS)

    def place(found: tuple[type[Panel], str]) -> tuple[int, bool]:
        kind, reason = found
        return order.index(kind.question) if kind.question in order else len(order), bool(reason)

    found = sorted(((kind, kind.fits(app)) for kind in kinds), key=place)
    return [Closed(kind.title, kind.question, reason) if reason else kind(app) for kind, reason in found]
