"""Work that a person starts: run, stop, progress beside the button, and one result for all who ask for the same."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator, Hashable
from concurrent.futures import Future
from html import escape
from typing import Any, ClassVar

import panel as pn
import panel_material_ui as pmui

from xai_views.errors import XaiViewsError
from xai_views_dashboard.core.panel import Panel
from xai_views_dashboard.core.tasks import caller, on_page, start

#: ``told(done, total)`` or ``told(done, total, part)``.
Told = Callable[..., None]


class Job(Panel):
    """A panel whose work is started by a button.

    Subclasses give ``wish()`` (what the work depends on, frozen before it starts), ``key(wish)`` (work of equal keys is done
    once for all visitors of the process; None is never shared), ``work(wish, progress)`` (a generator on the worker: it
    reports ``progress(done, total)`` and yields between its steps, so that others are served) and ``take(answer)``. Work that
    is asked of the kernel otherwise overrides ``submit``.

    Attributes
    ----------
    verb : str
        On the button.
    doing : str
        What the status line says while it runs, such as "Comparing models".
    begun, stopped : str
        What is said while it runs, and when it was stopped.
    wished : object
        The wish of the run that is under way, or of the last one.
    """

    verb: ClassVar[str] = "Run"
    doing: ClassVar[str] = ""
    begun: ClassVar[str] = "At work; every other part of the page can be used meanwhile."
    stopped: ClassVar[str] = "Stopped."
    watched: ClassVar[tuple[str, ...]] = ()

    def __init__(self, app: Any) -> None:
        self.go = pmui.Button(label=self.verb, variant="contained", size="small")
        self.stop = pmui.Button(label="Stop", variant="outlined", size="small", disabled=True)
        self.bar = pmui.LinearProgress(value=0, width=160, visible=False, variant="determinate")
        self.words = pn.pane.HTML("", sizing_mode="stretch_width", margin=(4, 16))
        self.wished: Any = None
        self.running = self._unwanted = False
        self._future: Future | None = None
        super().__init__(app)
        self.go.on_click(lambda _: start(self.run()))
        self.stop.on_click(lambda _: self.cancel())

    # -- for subclasses -----------------------------------------------------------------------------------------

    def wish(self) -> Any:
        """What the work depends on, as it is now.

        Raises
        ------
        XaiViewsError
            When there is nothing to work on; the sentence is shown beside the button.
        """
        return None

    def key(self, wish: Any) -> Hashable | None:  # noqa: ARG002 - for subclasses
        """What makes two wishes the same work; None = it is this page's alone."""
        return None

    def work(self, wish: Any, progress: Any) -> Generator[Any, None, Any]:
        """Do it, on the worker; a generator that yields between steps and returns the answer."""
        raise NotImplementedError

    async def submit(self, wish: Any, told: Told) -> Future:
        """Give the work to the kernel; ``told(done, total, part)`` may be called from any thread."""
        title = self.doing or f"Computing: {self.title}"
        return self.app.session.job(
            self.key(wish), lambda progress: self.work(wish, progress), told, title=title
        )

    def take(self, answer: Any) -> None:
        """Write the answer."""
        raise NotImplementedError

    def refine(self, part: Any, done: int, total: int) -> None:
        """Write what is known so far, for work that tells of parts."""

    # -- running ------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Start, or join those who wait for the same; the page stays usable meanwhile."""
        if self.running:
            return
        try:
            wish = self.wished = self.wish()
        except XaiViewsError as error:
            self.say(str(error))
            return
        page = caller()
        self.running, self._unwanted = True, False
        self.go.disabled, self.stop.disabled = True, False
        self.say(self.begun)
        answer, said = None, ""

        def told(done: int, total: int, part: Any = None) -> None:
            page(lambda: self._count(wish, done, total, part))

        try:
            self._future = await self.submit(wish, told)
            if self._unwanted:  # stopped while it was made ready
                self._future.cancel()
            answer = await asyncio.wrap_future(self._future)
        except asyncio.CancelledError:
            said = self.stopped
        except XaiViewsError as error:
            said = str(error)
        on_page(lambda: self._ended(answer, said))

    def _count(self, wish: Any, done: int, total: int, part: Any) -> None:
        if wish is not self.wished or self._future is None or self._future.done():
            return  # the answer, or another run, is there
        if total > 0:
            self.bar.param.update(visible=True, value=min(100, round(100 * done / total)))
        if part is not None:
            self.refine(part, done, total)

    def _ended(self, answer: Any, said: str) -> None:
        self.running, self._future = False, None
        self.bar.visible = False
        self.go.disabled, self.stop.disabled = False, True
        if said:
            self.say(said)
        else:
            self.take(answer)

    def cancel(self) -> None:
        """Stop at the next step; others who wait for the same go on."""
        self._unwanted = True
        if self._future is not None:
            self._future.cancel()

    def say(self, sentence: str) -> None:
        """Write one sentence beside the button."""
        self.words.object = f"<p>{escape(sentence)}</p>"

    def buttons(self, *more: Any) -> Any:
        """The row of buttons, progress and ``more``."""
        return pn.FlexBox(
            self.go, self.stop, self.bar, *more, align_items="center", gap="8px", margin=(4, 16)
        )
