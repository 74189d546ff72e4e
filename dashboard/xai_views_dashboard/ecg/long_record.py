"""A long record: an overview, a window read from disk on demand, and its explanation, one network input at a time."""

from __future__ import annotations

import asyncio
from functools import lru_cache
from html import escape
from typing import Any

import panel as pn
import panel_material_ui as pmui

from xai_views.errors import XaiViewsError, without_folders
from xai_views.samples.readers.long_record import LongRecord, open_long, standing_in
from xai_views.views.long_strip.long_strip import LongStrip
from xai_views_dashboard.core.page import caption, note
from xai_views_dashboard.core.panel import Panel
from xai_views_dashboard.core.tasks import on_page, start
from xai_views_dashboard.ecg.upload import bring

#: Columns of the overview; more than most screens have.
OVERVIEW = 1200


@lru_cache(maxsize=4)
def shared(path: str) -> LongRecord:
    """The record of a path: one per process, so that it is read as a whole only once."""
    return open_long(path)


class LongPanel(Panel):
    """The whole record above, a window of it below; the marked part of the window can be explained."""

    title = "Long record"
    question = "where"
    watched = ()

    def __init__(self, app: Any) -> None:
        self.record = shared(str(app.samples.attrs["record"]))
        self.takes = min(app.model.size[0] / app.session.rate, self.record.duration)
        self.strip = LongStrip(
            leads=list(self.record.leads), duration=self.record.duration, takes=self.takes, margin=(4, 16)
        )
        self.explain = pmui.Button(label="Explain window", variant="contained", size="small")
        self.words = pn.pane.HTML("", sizing_mode="stretch_width", margin=(4, 16))
        self.problem = pn.Column(sizing_mode="stretch_width")
        self._windows, self._quiet = 0, False
        super().__init__(app)
        self.strip.on_window(self._looked)
        self.strip.on_explain(lambda: start(self.take()))
        self.explain.on_click(lambda _: start(self.take()))
        app.state.param.watch(self._moved, ["long_start", "long_seconds"])
        self._moved()

    @classmethod
    def fits(cls, app: Any) -> str:
        """Return why there is no window to choose; "" for a long record."""
        none = "These records are as short as the network's input; open a long record to choose a window of it here."
        return "" if app.samples.attrs.get("record") else none

    async def compute(self) -> tuple[Any, Any]:
        """Read the record once for the overview."""
        return await asyncio.to_thread(self.record.window, 0.0, self.record.duration, OVERVIEW)

    def write(self, answer: tuple[Any, Any]) -> None:
        """Show the overview."""
        self.strip.show(0.0, self.record.duration, *answer, whole=True)

    def failed(self, sentence: str) -> None:
        """Say what is wrong above the strip."""
        self.problem.objects = [note(sentence[:1].upper() + sentence[1:], "error")]

    @property
    def view(self) -> tuple[float, float]:
        """Start and length of the window in view, s; everything at first."""
        state, duration = self.app.state, self.record.duration
        seconds = min(state.long_seconds or duration, duration)
        return min(state.long_start, duration - seconds), seconds

    @property
    def taken(self) -> tuple[float, float]:
        """Start and end of what would be explained: the network's length around the middle of the view, s."""
        begin, seconds = self.view
        first = min(max(begin + (seconds - self.takes) / 2, 0.0), self.record.duration - self.takes)
        return first, first + self.takes

    def _looked(self, begin: float, seconds: float, columns: int) -> None:
        self._quiet = True
        try:
            self.app.state.param.update(long_start=begin, long_seconds=seconds)
        finally:
            self._quiet = False
        self._windows += 1
        start(self._answer(self._windows, begin, seconds, columns))

    def _moved(self, *_: Any) -> None:
        if not self._quiet and self.app.state.long_seconds:
            self.strip.go(*self.view)

    async def _answer(self, turn: int, begin: float, seconds: float, columns: int) -> None:
        """Read a window; the newest wish wins."""
        try:
            low, high = await asyncio.to_thread(self.record.window, begin, begin + seconds, columns)
        except XaiViewsError as e:
            said = without_folders(e)
            on_page(lambda: self.failed(said))
            return
        if turn == self._windows:
            on_page(lambda: self.strip.show(begin, seconds, low, high))

    async def take(self) -> None:
        """Explain the marked window: cut from the file and brought to the network like an upload."""
        first, last = self.taken
        try:
            added = await asyncio.to_thread(self._cut, first, last)
        except XaiViewsError as e:
            said = without_folders(e)
            on_page(lambda: self.failed(said))
            return
        on_page(lambda: self._show(*added, first))

    def _cut(self, first: float, last: float) -> tuple[int, str]:
        ds = standing_in(self.record.cut(first, last), self.app.session.leads)
        name = str(ds["name"].values[0])
        if name in self.app.session.names:
            return self.app.session.names.index(name), "explained before"
        taken = bring(self.app, ds, [name])[0]
        return taken.position, taken.row["done"]

    def _show(self, position: int, done: str, first: float) -> None:
        name = self.app.session.names[position]
        self.problem.objects = []
        if name not in self.app.canvas.order:
            self.app.canvas.order = [*self.app.canvas.order, name]
        self.app.state.sample = position
        said = f"The paper shows {self.takes:g} s from {clock(first)} on, as record {name}: {done}."
        self.words.object = f"<p>{escape(said)}</p>"

    def __panel__(self) -> Any:
        return pn.Column(
            caption(
                f"Record {self.record.name}: {len(self.record.leads)} leads, {self.record.duration / 3600:.1f} h at "
                f"{self.record.rate:g} Hz, read from disk on demand. Each column spans its smallest and largest value; "
                f"each lead has its own scale. Only the {self.takes:g} s marked in the window are explained."
            ),
            self.strip,
            pn.FlexBox(self.explain, align_items="center", gap="8px", margin=(4, 16)),
            self.problem,
            self.words,
            sizing_mode="stretch_width",
        )


def clock(seconds: float) -> str:
    """Seconds as h:mm:ss."""
    whole = int(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d}"
