"""Panels with pictures of their own beside the main canvas: a second canvas that follows the state of the app."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from typing import Any, ClassVar

import panel as pn

from xai_views.errors import XaiViewsError
from xai_views.views import Canvas

_KEPT = 64  # contexts that may still be asked for


class PicturePanel(pn.viewable.Viewer):
    """Pictures that depend on the sample in view and on parameters of the state.

    The browser asks for a frame when the panel is in view, so that a closed tab costs nothing.

    Parameters
    ----------
    app : App
        Gives session, state and canvas.
    """

    #: Parameters of the state that the pictures depend on, besides the sample.
    watched: ClassVar[tuple[str, ...]] = ()
    label: ClassVar[str] = "Pictures"

    def __init__(self, app: Any) -> None:
        super().__init__()
        self.app = app
        self._wishes: OrderedDict[str, Any] = OrderedDict()
        self._turn = 0
        self.canvas = Canvas(
            self._frame,
            order=[self._sample()],
            context=self._context(),
            layout=self.layout(),
            settings=self._look(app.canvas.settings) | {"toolbar": False, "prefetch": False},
            page_keys=False,
            sizing_mode="stretch_width",
        )
        self.canvas.on_select(self.selected)
        app.state.param.watch(self.refresh, ["sample", *self.watched])
        app.canvas.param.watch(lambda e: self.canvas.compose(**self._look(e.new)), "settings")

    @staticmethod
    def _look(settings: dict[str, Any]) -> dict[str, Any]:
        return {k: v for k, v in settings.items() if k not in {"toolbar", "prefetch"}}

    def _sample(self) -> str:
        return self.app.session.names[min(self.app.state.sample, len(self.app.session) - 1)]

    def _context(self) -> str:
        wish = self.wish()
        # A name of its own for every refresh: what is written beside the pictures comes with the answer, so that the browser
        # must not answer from its cache. The kernel's caches make asking again cheap.
        self._turn += 1
        context = f"{hashlib.sha256(repr(self.key(wish)).encode()).hexdigest()[:16]}.{self._turn}"
        self._wishes[context] = wish
        self._wishes.move_to_end(context)
        while len(self._wishes) > _KEPT:
            self._wishes.popitem(last=False)
        return context

    def refresh(self, *_: Any) -> None:
        """Ask for what the state now says, if somebody looks."""
        layout = self.layout()
        changes = {"order": [self._sample()], "context": self._context()}
        if layout != self.canvas.layout:
            changes["layout"] = layout
        self.canvas.param.update(**changes)

    async def _frame(self, key: str, priority: int = 0) -> bytes:  # noqa: ARG002 - nothing is prefetched here
        name, _, context = key.partition("|")
        if context not in self._wishes or name not in self.app.session.names:
            raise XaiViewsError("this picture is out of date; it is drawn again when something changes.")
        return await self.frame(key, self.app.session.names.index(name), self._wishes[context])

    # -- for subclasses -----------------------------------------------------------------------------------------

    def layout(self) -> dict:
        """Tiles of the canvas."""
        raise NotImplementedError

    def wish(self) -> Any:
        """Everything that the pictures depend on besides the sample."""
        return {name: getattr(self.app.state, name) for name in self.watched}

    def key(self, wish: Any) -> Any:
        """What identifies a wish, with a ``repr`` that depends on its content alone."""
        return wish

    async def frame(self, key: str, sample: int, wish: Any) -> bytes:
        """Build the frame for one sample."""
        raise NotImplementedError

    def selected(self, message: Any) -> None:
        """Take a click on a picture."""
