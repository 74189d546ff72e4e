"""Work started by a button: run, cancel, progress beside the button, and one result for all visitors with the same wish."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Generator, Hashable
from concurrent.futures import Future
from html import escape
from typing import Any, ClassVar

import panel as pn
import panel_material_ui as pmui

from xai_views.errors import XaiViewsError, without_folders
from xai_views_dashboard.core.panel import Panel
from xai_views_dashboard.core.tasks import caller, on_page, start

#: ``told(done, total)`` or ``told(done, total, part)``, from any thread.
Told = Callable[..., None]


class Job(Panel):
    """A panel whose work is started by a button.

    Subclasses give ``wish()`` (what the work depends on, frozen before it starts), ``key(wish)`` (work with equal keys runs
    once for all visitors of the process; None is never shared), ``work(wish, progress)`` (a generator on the worker: it
    reports ``progress(done, total)`` and yields between its steps, so that others are served) and ``take(answer)``. Other work
    of the kernel overrides ``submit``.

    Attributes
    ----------
    verb : str
        Label of the button.
    doing : str
        Name of the work, such as "Comparing models"; shown beside the button with count and time left, and in the status bar.
    stopped : str
        Shown after it was cancelled.
    wished : object
        The wish of the current or the last run.
    """

    verb: ClassVar[str] = "Run"
    doing: ClassVar[str] = ""
    stopped: ClassVar[str] = "Cancelled."
    watched: ClassVar[tuple[str, ...]] = ()

    def __init__(self, app: Any) -> None:
        self.go = pmui.Button(label=self.verb, variant="contained", size="small")
        self.stop = pmui.Button(label="Cancel", variant="outlined", size="small", disabled=True)
        self.counted = pn.pane.HTML("", margin=0, styles={"font-size": "0.8125rem"})
        self._begun = 0.0
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
        """Return what the work depends on, frozen.

        Raises
        ------
        XaiViewsError
            When there is nothing to do; the sentence is shown beside the button.
        """
        return None

    def key(self, wish: Any) -> Hashable | None:  # noqa: ARG002 - for subclasses
        """Return the key by which visitors share the work; None = it is not shared."""
        return None

    def work(self, wish: Any, progress: Any) -> Generator[Any, None, Any]:
        """Do the work, on the worker; a generator that yields between steps and returns the answer."""
        raise NotImplementedError

    async def submit(self, wish: Any, told: Told) -> Future:
        """Give the work to the kernel; ``told(done, total, part)`` may be called from any thread."""
        return self.app.session.job(
            self.key(wish), lambda progress: self.work(wish, progress), told, title=self.named(wish)
        )

    def named(self, wish: Any) -> str:  # noqa: ARG002 - for subclasses
        """Return the name of the work."""
        return self.doing or f"Computing: {self.title}"

    def take(self, answer: Any) -> None:
        """Write the answer."""
        raise NotImplementedError

    def refine(self, part: Any, done: int, total: int) -> None:
        """Write a partial answer, for work with partial answers."""

    # -- running ------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Start the work, or join the running work of another visitor; the page stays usable."""
        if self.running:
            return
        try:
            wish = self.wished = self.wish()
        except XaiViewsError as error:
            self.say(without_folders(error))
            return
        page = caller()
        self.running, self._unwanted = True, False
        self.go.disabled, self.stop.disabled = True, False
        self._begun = time.monotonic()
        self.say("")
        self.count(0, 0)
        answer, said = None, ""

        def told(done: int, total: int, part: Any = None) -> None:
            page(lambda: self._count(wish, done, total, part))

        try:
            self._future = await self.submit(wish, told)
            if self._unwanted:  # cancelled while it was prepared
                self._future.cancel()
            answer = await asyncio.wrap_future(self._future)
        except asyncio.CancelledError:
            said = self.stopped
        except XaiViewsError as error:
            said = without_folders(error)
        on_page(lambda: self._ended(answer, said))

    def _count(self, wish: Any, done: int, total: int, part: Any) -> None:
        if wish is not self.wished or self._future is None or self._future.done():
            return  # the answer has come, or another run began
        self.count(done, total)
        if part is not None:
            self.refine(part, done, total)

    def _ended(self, answer: Any, said: str) -> None:
        self.running, self._future = False, None
        self.bar.visible, self.counted.object = False, ""
        self.go.disabled, self.stop.disabled = False, True
        if said:
            self.say(said)
        else:
            self.take(answer)

    def cancel(self) -> None:
        """Cancel at the next step; the work goes on for other visitors who wait for it."""
        self._unwanted = True
        if self._future is not None:
            self._future.cancel()

    def count(self, done: int, total: int) -> None:
        """Write progress, count and time left beside the button."""
        if total > 0:
            self.bar.param.update(visible=True, value=min(100, round(100 * done / total)))
        text = progress_words(self.named(self.wished), done, total, time.monotonic() - self._begun)
        self.counted.object = f'<span role="status">{escape(text)}</span>'

    def say(self, sentence: str) -> None:
        """Write one sentence under the button."""
        self.words.object = f"<p>{escape(sentence)}</p>"

    def buttons(self, *more: Any) -> Any:
        """Return the row of buttons, progress and ``more``."""
        return pn.FlexBox(
            self.go, self.stop, self.bar, self.counted, *more, align_items="center", gap="8px", margin=(4, 16)
        )


def progress_words(name: str, done: int, total: int, seconds: float) -> str:
    """Describe running work: name, count, and time left once it can be estimated."""
    if not total:
        return f"{name} …"
    text = f"{name}: {done} of {total}"
    if not 0 < done < total or seconds < 1:
        return text
    left = seconds * (total - done) / done
    return f"{text}, about {_duration(left)} left"


def _duration(seconds: float) -> str:
    if seconds < 10:
        return f"{max(1, round(seconds))} s"
    return f"{5 * round(seconds / 5)} s" if seconds < 90 else f"{round(seconds / 60)} min"
