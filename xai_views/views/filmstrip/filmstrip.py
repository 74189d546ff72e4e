"""The filmstrip: a population of thumbnails, as a strip or a grid, drawn only where one looks."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import param
from PIL import Image

from xai_views.errors import XaiViewsError
from xai_views.views.patches import OneWayComponent
from xai_views.views.scripts import esm
from xai_views.views.wire import Frame, as_uint8, stamp

log = logging.getLogger("xai_views.views")
CHUNK = 256  # thumbnails in one sprite


class Filmstrip(OneWayComponent):
    """Thumbnails of up to about 10,000 samples; only what is in view is fetched and drawn.

    Parameters
    ----------
    images : np.ndarray or callable
        ``[n, y, x(, c)]`` pictures (uint8, or float in [0, 1]), or ``images(indices) -> pictures`` together
        with ``count``: it is called for up to 256 at once, when they come into view.
    count : int, optional
        Number of samples; needed with a callable.
    items : list of int, optional
        The samples shown, in this order (after filtering and sorting). Default: all.
    captions : list of str
        One for each sample of the population; shown when the pointer rests on it and read aloud.
    marks : list of str
        One for each sample: "" or the word for the mark ("wrong"); drawn as a frame with a symbol.
    """

    sprite = param.Bytes(b"", doc="The newest chunk of thumbnails; set by the filmstrip itself.")
    items = param.List([], item_type=int, doc="Indices of the samples shown, in order.")
    captions = param.List([], item_type=str, doc="One caption for each sample of the population.")
    marks = param.List([], item_type=str, doc="One mark for each sample: '' or a word.")
    current = param.Integer(-1, doc="Index of the sample in view, -1 = none.")
    mode: Any = param.Selector(
        default="strip", objects=["strip", "grid"], doc="One line, or lines that wrap."
    )
    size = param.Integer(56, bounds=(16, 256), doc="Side of a thumbnail in CSS pixels.")
    rows = param.Integer(4, bounds=(1, None), doc="Lines seen at once in grid mode.")
    label = param.String("Samples", doc="Name of the list for screen readers.")
    dark = param.Boolean(None, allow_None=True, doc="Dark colours; None follows the page.")
    generation = param.Integer(0, doc="Changes when the pictures themselves do.")
    jump = param.Dict({}, doc="Where code (not the hand) wants to go; set by the filmstrip itself.")

    _esm = esm("shared_js/dom", "shared_js/wire", "filmstrip/filmstrip", css="filmstrip/filmstrip")
    _rename = {"current": None}  # it reaches the browser as a jump only, so that no echo moves the hand back

    def __init__(self, images: np.ndarray | Callable[[np.ndarray], Any], count: int | None = None, **params):
        self._callbacks: list[Callable[[int], Any]] = []
        self._sent = 0
        self._open(images, count)
        params.setdefault("items", list(range(self._count)))
        params.setdefault("sizing_mode", "stretch_width")
        self._from_browser = False
        super().__init__(**params)
        self.param.watch(self._jump, "current")
        self._jump()

    def _jump(self, *_) -> None:
        if not self._from_browser:
            self.jump = {"n": self.jump.get("n", 0) + 1, "current": self.current}

    def _open(self, images, count) -> None:
        if callable(images):
            if count is None:
                raise XaiViewsError("a filmstrip over a function also needs count=, the number of samples")
            self._fetch, self._count = images, int(count)
        else:
            self._fetch, self._count = (lambda indices: images[indices]), len(images)
        self._chunk = lru_cache(maxsize=64)(self._encode)

    def replace(
        self, images: np.ndarray | Callable[[np.ndarray], Any], count: int | None = None, **params
    ) -> None:
        """Show another population; ``params`` as in the constructor (items, captions, marks, current)."""
        self._open(images, count)
        params.setdefault("items", list(range(self._count)))
        self.param.update(generation=self.generation + 1, **params)

    def on_select(self, function: Callable[[int], Any]) -> None:
        """Call ``function(index)`` when a sample was chosen by click or key."""
        self._callbacks.append(function)

    def _encode(self, chunk: int) -> bytes:
        indices = np.arange(chunk * CHUNK, min(self._count, (chunk + 1) * CHUNK))
        pictures = [thumbnail(picture, 2 * self.size) for picture in np.asarray(self._fetch(indices))]
        frame = Frame(f"chunk {chunk}").photo(pictures, [str(i) for i in indices], quality=80)
        return frame.header(chunk=chunk, generation=self.generation).to_bytes()

    async def _answer(self, chunk: int) -> None:
        generation, encode = self.generation, self._chunk
        try:
            data = await asyncio.to_thread(encode, chunk)
        except Exception:  # grey squares stay; a person reads the log, not a traceback on the page
            log.exception("thumbnails %d could not be made", chunk)
            return
        if generation == self.generation:
            self._sent += 1  # the same chunk again must be another value, or it would not be sent
            self.sprite = stamp(data, self._sent)

    def _handle_msg(self, message: Any) -> None:
        if not isinstance(message, Mapping):
            return
        index = int(message.get("index", -1))
        if message.get("type") == "chunk" and 0 <= index * CHUNK < self._count:
            self._task = asyncio.ensure_future(self._answer(index))
        elif message.get("type") == "select" and 0 <= index < self._count:
            self._from_browser = True
            try:
                self.current = index
            finally:
                self._from_browser = False
            for function in self._callbacks:
                function(index)


def thumbnail(picture: np.ndarray, side: int) -> np.ndarray:
    """Return a square ``[side, side, c]`` uint8 thumbnail (whole picture, fitted, padded with its mean)."""
    picture = as_uint8(picture)
    height, width, channels = picture.shape
    scale = min(1.0, side / max(height, width))
    image = Image.fromarray(picture[..., 0] if channels == 1 else picture)
    if scale < 1:
        image = image.resize(
            (max(1, round(width * scale)), max(1, round(height * scale))), Image.Resampling.BOX
        )
    small = np.asarray(image).reshape(image.height, image.width, channels)
    square = max(small.shape[:2])
    out = np.empty((square, square, channels), np.uint8)
    out[:] = small.reshape(-1, channels).mean(0).astype(np.uint8)
    top, left = (square - small.shape[0]) // 2, (square - small.shape[1]) // 2
    out[top : top + small.shape[0], left : left + small.shape[1]] = small
    return out


def marks_of(labels: Sequence[int], predictions: Sequence[int], word: str = "wrong") -> list[str]:
    """Return the marks of a filmstrip: ``word`` where a known label (>= 0) differs from the prediction."""
    pairs = zip(labels, predictions, strict=True)
    return [word if label >= 0 and label != prediction else "" for label, prediction in pairs]
