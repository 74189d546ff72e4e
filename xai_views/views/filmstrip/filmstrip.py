"""The filmstrip: a population of thumbnails, as a strip or a grid, drawn only where one looks."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import param
from PIL import Image

from xai_views.errors import XaiViewsError, without_folders
from xai_views.views.patches import OneWayComponent
from xai_views.views.scripts import esm
from xai_views.views.wire import TINY, Frame, as_uint8, stamp

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
        One for each sample: "" or the word for the mark ("wrong"); drawn as a frame with a symbol, "yours" as dashes.

    Notes
    -----
    A picture that cannot be read leaves an empty place with its name and the reason; the others come all the same.
    """

    sprite = param.Bytes(b"", doc="The newest chunk of thumbnails; set by the filmstrip itself.")
    items = param.List([], item_type=int, doc="Indices of the samples shown, in order.")
    captions = param.List([], item_type=str, doc="One caption for each sample of the population.")
    marks = param.List([], item_type=str, doc="One mark for each sample: '' or a word.")
    current = param.Integer(-1, doc="Index of the sample in view, -1 = none.")
    mode = param.Selector(
        default="strip",
        objects=["strip", "grid", "auto"],
        doc="One line, or lines that wrap; 'auto' wraps in a narrow column.",
    )
    size = param.Integer(56, bounds=(16, 256), doc="Height of a thumbnail in CSS pixels.")
    aspect = param.Number(1.0, bounds=(0.25, 8), doc="Width of a thumbnail as a multiple of its height.")
    rows = param.Integer(
        4, bounds=(0, None), doc="Lines seen at once in grid mode; 0 fills the height that there is."
    )
    named = param.Boolean(
        False, doc="One line for each sample, with the id of its caption beside it; not in one line of all."
    )
    hidden = param.Boolean(
        False, doc="Hide the model's output: no marks, of a caption only the id before ': '."
    )
    empty = param.String("No samples to show.", doc="What is said when items is empty.")
    channel = param.String(
        "", doc="Channel of a canvas whose order is items: the sample that it shows is the current one."
    )
    label = param.String("Samples", doc="Name of the list for screen readers.")
    dark = param.Boolean(None, allow_None=True, doc="Dark colours; None follows the page.")
    generation = param.Integer(0, doc="Changes when the pictures themselves do.")
    jump = param.Dict({}, doc="Where code (not the hand) wants to go; set by the filmstrip itself.")

    _esm = esm(
        "shared_js/dom",
        "shared_js/channel",
        "shared_js/wire",
        "filmstrip/filmstrip",
        css="filmstrip/filmstrip",
    )
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

    def extend(self, count: int, **params) -> None:
        """Take further samples in at the end; the function of the pictures gives theirs too. ``params`` as in :meth:`replace`."""
        self._count = count
        self._chunk.cache_clear()
        self.param.update(generation=self.generation + 1, **params)

    def on_select(self, function: Callable[[int], Any]) -> None:
        """Call ``function(index)`` when a sample was chosen by click or key."""
        self._callbacks.append(function)

    def _encode(self, chunk: int) -> bytes:
        indices = np.arange(chunk * CHUNK, min(self._count, (chunk + 1) * CHUNK))
        pictures, broken = self._read(indices)
        box = (2 * self.size, round(2 * self.size * self.aspect))
        small = {i: thumbnail(picture, box) for i, picture in pictures.items()}
        frame = Frame(f"chunk {chunk}")
        if small:
            frame.photo(
                _even(list(small.values())), [str(i) for i in small], quality=80, lossless=_is_tiny(small)
            )
        return frame.header(chunk=chunk, generation=self.generation, broken=broken).to_bytes()

    def _read(self, indices: np.ndarray) -> tuple[dict[int, np.ndarray], dict[str, str]]:
        """Return the pictures that can be read, and why the others cannot."""
        try:
            return {int(i): as_uint8(p) for i, p in zip(indices, self._fetch(indices), strict=True)}, {}
        except Exception:  # one of them is broken: read them one by one
            log.info("thumbnails %d to %d are read one by one", indices[0], indices[-1], exc_info=True)
        pictures: dict[int, np.ndarray] = {}
        broken: dict[str, str] = {}
        for i in indices:
            try:
                pictures[int(i)] = as_uint8(self._fetch(np.array([i]))[0])
            except Exception as error:  # whatever a reader raises, the person gets a sentence
                log.warning("thumbnail %d could not be read", i, exc_info=True)
                broken[str(i)] = reason(error)
        return pictures, broken

    async def _answer(self, chunk: int) -> None:
        generation, encode = self.generation, self._chunk
        try:
            data = await asyncio.to_thread(encode, chunk)
        except Exception:  # empty places stay; a person reads the log, not a traceback on the page
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


def reason(error: Exception) -> str:
    """Return why a picture is missing, in words for a page: no folder of the server is in them.

    Parameters
    ----------
    error : Exception
        What its reader raised.
    """
    if isinstance(error, XaiViewsError):
        return without_folders(error)
    return f"this picture could not be read ({type(error).__name__})"


def thumbnail(picture: np.ndarray, box: tuple[int, int]) -> np.ndarray:
    """Return a thumbnail: the whole picture, fitted into a box, padded with its mean to the shape of the box.

    Parameters
    ----------
    picture : np.ndarray
        ``[y, x(, c)]`` uint8, or float in [0, 1].
    box : tuple of int
        Largest height and width. A smaller picture is not enlarged.

    Returns
    -------
    np.ndarray
        ``[h, w, c]`` uint8 of the shape of the box, or smaller in the same proportion.
    """
    picture = as_uint8(picture)
    height, width, channels = picture.shape
    scale = min(1.0, box[0] / height, box[1] / width)
    image = Image.fromarray(picture[..., 0] if channels == 1 else picture)
    if scale < 1:
        image = image.resize(
            (max(1, round(width * scale)), max(1, round(height * scale))), Image.Resampling.BOX
        )
    small = np.asarray(image).reshape(image.height, image.width, channels)
    tall = max(small.shape[0], math.ceil(small.shape[1] * box[0] / box[1]))
    return _padded(small, (tall, max(small.shape[1], math.ceil(tall * box[1] / box[0]))))


def _padded(small: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Put a picture into the middle of a larger one in its mean colour."""
    out = np.empty((*shape, small.shape[-1]), np.uint8)
    out[:] = small.reshape(-1, small.shape[-1]).mean(0).astype(np.uint8)
    top, left = (shape[0] - small.shape[0]) // 2, (shape[1] - small.shape[1]) // 2
    out[top : top + small.shape[0], left : left + small.shape[1]] = small
    return out


def _even(thumbnails: list[np.ndarray]) -> list[np.ndarray]:
    """Pad thumbnails of pictures of several sizes to one size, as a sprite needs it."""
    shape = (max(t.shape[0] for t in thumbnails), max(t.shape[1] for t in thumbnails))
    return [t if t.shape[:2] == shape else _padded(t, shape) for t in thumbnails]


def _is_tiny(thumbnails: Mapping[int, np.ndarray]) -> bool:
    """Whether they cost next to nothing without loss."""
    return max(max(t.shape[:2]) for t in thumbnails.values()) <= TINY


def marks_of(labels: Sequence[int], predictions: Sequence[int], word: str = "wrong") -> list[str]:
    """Return the marks of a filmstrip: ``word`` where a known label (>= 0) differs from the prediction."""
    pairs = zip(labels, predictions, strict=True)
    return [word if label >= 0 and label != prediction else "" for label, prediction in pairs]
