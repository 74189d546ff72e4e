"""Panels with their own pictures: a second canvas that follows the state of the app."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import panel as pn

from xai_views.views import Canvas, Frame, Listing
from xai_views_dashboard.core.page import caption
from xai_views_dashboard.core.panel import ASK, Panel
from xai_views_dashboard.core.tasks import on_page
from xai_views_dashboard.core.wishes import Wish, Wishes


class PicturePanel(Panel):
    """Pictures that depend on the sample in view and on parameters of the state.

    Subclasses give the tiles (``layout``), the request (``wish``) and the drawing (``draw``); the result of ``draw`` is passed
    to ``write`` if the frame is still the newest. An unchanged wish is not requested again.

    The browser requests frames only while the panel is in view, so that a closed tab costs nothing.

    Parameters
    ----------
    app : App
        Gives session, state and canvas.

    Attributes
    ----------
    words : str
        Above the pictures: what they show and what they do not.
    table, columns : str, sequence of mapping
        Name and columns of the table under the pictures, if any; ``draw`` returns its rows.
    beneath : str
        Under the table.
    """

    watched: ClassVar[tuple[str, ...]] = ("sample", ASK)
    words: ClassVar[str] = ""
    table: ClassVar[str] = ""
    columns: ClassVar[Sequence[Any]] = ()
    beneath: ClassVar[str] = ""

    def __init__(self, app: Any) -> None:
        self.wishes = Wishes()
        self.listing: Any = Listing(label=self.table, columns=list(self.columns)) if self.columns else None
        super().__init__(app)
        wish = self.wish()
        self._last = (self._sample(), wish.context)
        self.canvas = Canvas(
            self.answer,
            order=[self._sample()],
            context=self._context(wish),
            layout=self.layout(),
            settings=self._look(app.canvas.settings) | {"toolbar": False, "prefetch": False},
            page_keys=False,
            sizing_mode="stretch_width",
        )
        self.canvas.on_select(self.selected)
        app.canvas.param.watch(lambda e: self.canvas.compose(**self._look(e.new)), "settings")

    @staticmethod
    def _look(settings: dict[str, Any]) -> dict[str, Any]:
        return {k: v for k, v in settings.items() if k not in {"toolbar", "prefetch"}}

    def _sample(self) -> str:
        return self.app.session.names[min(self.app.state.sample, len(self.app.session) - 1)]

    def _context(self, wish: Wish) -> str:
        # A new name for each refresh: the table comes with the answer, so the browser must not use its cache. The caches of
        # the kernel make a second request cheap.
        self._turn += 1
        return self.wishes.add(wish, f"{wish.context}.{self._turn}")

    def update(self, *events: Any) -> None:
        """Request the pictures of the current state while in view; without events also when nothing changed."""
        self._stale = True
        if not self._active:
            return
        self._stale = False
        wish, sample, layout = self.wish(), self._sample(), self.layout()
        if events and (sample, wish.context) == self._last:
            return
        self._last = (sample, wish.context)
        changes: dict[str, Any] = {"order": [sample], "context": self._context(wish)}
        if layout != self.canvas.layout:
            changes["layout"] = layout
        self.canvas.param.update(**changes)

    async def answer(self, key: str, priority: int = 0) -> bytes:  # noqa: ARG002 - no prefetching
        """Answer one wish of the canvas."""
        sample, wish = self.wishes.find(key, self.app.session.names)
        return await self.frame(key, sample, wish)

    # -- for subclasses -----------------------------------------------------------------------------------------

    def layout(self) -> dict[str, Any]:
        """Tiles of the canvas."""
        raise NotImplementedError

    def wish(self) -> Wish:
        """Return what the pictures depend on besides the sample: the request of the app, and the watched values."""
        state = self.app.state
        drawn = {
            n: state.frozen(getattr(state, n)) for n in self.watched if n in state.param and n != "sample"
        }
        return Wish(self.app.ask(), drawn, state.sample)

    async def explained(self, sample: int, wish: Wish) -> Any:
        """Return what ``draw`` takes: by default the explanation of the wish."""
        return await self.app.session.explain(sample, wish.ask, priority=1)

    def draw(self, frame: Frame, sample: int, image: Any, answer: Any, wish: Wish) -> Any:
        """Fill the frame, on a thread; reads the wish, not the state. Return what ``write`` takes."""
        raise NotImplementedError

    async def frame(self, key: str, sample: int, wish: Wish) -> bytes:
        """Build the frame for one sample, and write the table if the wish is still the newest."""
        turn = self._turn
        answer = await self.explained(sample, wish)
        image = await read(self.app.session, sample)
        frame = Frame(key)
        beside = await asyncio.to_thread(self.draw, frame, sample, image, answer, wish)
        on_page(lambda: turn == self._turn and self.write(beside))
        return frame.to_bytes()

    def selected(self, message: Any) -> None:
        """Take a click on a picture."""

    def write(self, answer: Any) -> None:
        """Write the rows of the table, if any."""
        if self.listing is not None:
            self.listing.rows = answer

    def above(self) -> list[Any]:
        """Return the widgets between caption and pictures."""
        return []

    def __panel__(self) -> Any:
        table = [self.listing] if self.listing is not None else []
        words, beneath = ([caption(text)] if text else [] for text in (self.words, self.beneath))
        return pn.Column(*words, *self.above(), self.canvas, *table, *beneath, sizing_mode="stretch_width")


def side_by_side(
    labels: Mapping[str, str], size: int, group: str = "pictures", title: str = "", **about: Any
) -> dict[str, Any]:
    """Return a layout of tiles in a row, which move together.

    Parameters
    ----------
    labels : mapping
        Label of each tile, by its name.
    size : int
        Width of the tiles in pixels.
    group, title : str
        Name of the row, and its heading.
    **about
        Further fields of every tile, such as its ``photo``.
    """
    tiles = {
        name: {"group": group, "size": size, "link": group, **about, "label": label}
        for name, label in labels.items()
    }
    return {"tiles": tiles, "groups": {group: {"title": title}}}


async def read(session: Any, sample: int) -> Any:
    """Return the image or signal of a sample, read on a thread."""
    return await asyncio.to_thread(session.image, sample)
