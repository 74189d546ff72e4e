r"""The wire format of one frame: everything the canvas needs to draw one sample, in one byte string.

A frame is ``b"XV1\0"``, a little-endian uint32 with the length of the header, the header (JSON in UTF-8,
padded with spaces to a multiple of 4) and the blobs, each padded with zeros to a multiple of 4. Photographs
travel as one sprite (without loss up to 256 pixels a side, JPEG beyond), maps as small integer arrays that the
browser colours, so that opacity, colours, limits, signs and thresholds need no round trip.
"""

from __future__ import annotations

import io
import json
import math
import struct
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from PIL import Image, features

from xai_views.contract.grids import overlap
from xai_views.errors import XaiViewsError, without_folders

MAGIC = b"XV1\0"
MISSING = -128  # the int8 code of "no value here" (NaN) in a signed map
MAX_SIDE = 64  # signed and sequential maps are sent with at most this many cells a side
LOSSLESS = 256  # photographs up to this many pixels a side are sent without loss
TINY = 32  # ... and thumbnails up to this many
_SEQ = b'{"seq": '
_SEQ_WIDTH = 10
_WEBP_SIDE = 16383


def area_mean(array: np.ndarray, side: int = MAX_SIDE) -> np.ndarray:
    """Shrink a map to at most ``side`` cells a side; each cell is the mean of the pixels under it.

    Parameters
    ----------
    array : np.ndarray
        ``[y, x]`` map, any real dtype.
    side : int
        Largest number of cells a side.

    Returns
    -------
    np.ndarray
        At most ``[side, side]`` float64, in whole pixels a cell where that costs little detail. Cells that
        straddle pixels weigh them by the overlap, so ``cells.mean() == array.mean()`` and ``cells.sum() * y *
        x / cells.size == array.sum()``. A cell with any NaN under it is NaN.
    """
    array = np.asarray(array, dtype=np.float64)
    rows, columns = (_cells(n, side) for n in array.shape)
    if rows != len(array):
        array = _contract(overlap(len(array), rows), array)
    if columns != array.shape[1]:
        array = _contract(overlap(array.shape[1], columns), array.T).T
    return array


def _cells(n: int, side: int) -> int:
    """Return how many cells ``n`` pixels become, of whole pixels where that costs little detail."""
    whole = [d for d in range(max(1, int(0.6 * side)), min(n, side) + 1) if n % d == 0]
    return max(whole) if whole else min(n, side)


def _contract(weights: np.ndarray, array: np.ndarray) -> np.ndarray:
    """Average rows by weights; NaN reaches only the cells that it lies under."""
    bad = ~np.isfinite(array)
    out = weights @ np.where(bad, 0.0, array)
    if bad.any():
        out[(weights > 0).astype(float) @ bad > 0] = np.nan
    return out


def quantise(array: np.ndarray, limit: float | None = None) -> tuple[np.ndarray, float]:
    """Turn signed values into int8 with one scale: ``value = code * scale``; zero is exact, NaN ``MISSING``.

    Parameters
    ----------
    array : np.ndarray
        Signed values of any shape.
    limit : float, optional
        The magnitude that becomes code 127; larger ones are clipped. Default: the largest finite magnitude.

    Returns
    -------
    codes : np.ndarray
        int8, same shape.
    scale : float
        The value of one step; the rounding error is at most half of it.
    """
    array = np.asarray(array, dtype=np.float64)
    finite = np.isfinite(array)
    if limit is None:
        limit = float(np.abs(array[finite]).max(initial=0.0))
    if not (math.isfinite(limit) and limit >= 0):
        raise XaiViewsError(f"the limit of a signed map must be a finite number >= 0, not {limit!r}")
    scale = limit / 127 if limit / 127 > 0 else 1.0
    codes = np.clip(np.rint(np.where(finite, array, 0.0) / scale), -127, 127)
    return np.where(finite, codes, MISSING).astype(np.int8), scale


def as_uint8(image: np.ndarray) -> np.ndarray:
    """Return an ``[y, x, 1 or 3]`` uint8 picture of a uint8 or float (0 to 1) picture."""
    image = np.asarray(image)
    if image.ndim == 2:
        image = image[..., None]
    if image.ndim != 3 or image.shape[-1] not in (1, 3):
        raise XaiViewsError(f"a photo must be [y, x], [y, x, 1] or [y, x, 3], not {list(image.shape)}")
    if image.dtype == np.uint8:
        return image
    if image.dtype.kind != "f":
        raise XaiViewsError(f"a photo must be uint8 or float in [0, 1], not {image.dtype}")
    return np.rint(np.clip(np.nan_to_num(image), 0, 1) * 255).astype(np.uint8)


def sprite(
    images: Sequence[np.ndarray], quality: int = 88, lossless: bool | None = None
) -> tuple[bytes, str, list[list[int]]]:
    """Put equally sized pictures side by side and encode them once.

    Parameters
    ----------
    images : sequence of np.ndarray
        ``[y, x, 1 or 3]`` uint8, all of one height and width.
    quality : int
        JPEG quality of pictures that are not lossless.
    lossless : bool, optional
        Whether no pixel may change. Default: pictures of at most ``LOSSLESS`` pixels a side.

    Returns
    -------
    data, type, rects
        The encoded bytes, their media type, and ``[x, y, width, height]`` of each picture in the sprite.
    """
    height, width = images[0].shape[:2]
    if lossless is None:
        lossless = max(height, width) <= LOSSLESS
    block = 1 if lossless else 8 if max(height, width) <= 128 else 16  # whole JPEG blocks: no bleeding
    cell_h, cell_w = (-(-n // block) * block for n in (height, width))
    columns = min(len(images), max(1, 8192 // cell_w), math.ceil(math.sqrt(len(images) * cell_h / cell_w)))
    rows = -(-len(images) // columns)
    channels = max(image.shape[-1] for image in images)
    sheet = np.zeros((rows * cell_h, columns * cell_w, channels), np.uint8)
    rects = []
    for i, image in enumerate(images):
        y, x = i // columns * cell_h, i % columns * cell_w
        padded = np.pad(image, ((0, cell_h - height), (0, cell_w - width), (0, 0)), mode="edge")
        sheet[y : y + cell_h, x : x + cell_w] = padded
        rects.append([x, y, width, height])
    return *_encode(sheet, quality if not lossless else None, 0 if block == 8 else 2), rects


def _encode(sheet: np.ndarray, quality: int | None, subsampling: int) -> tuple[bytes, str]:
    """Encode ``[y, x, c]`` uint8 and return bytes and media type; ``quality`` None keeps every pixel.

    WebP at its fastest takes 1 ms for twelve colour pictures of 64 pixels a side and 22 ms for twelve of 224, a quarter of what
    PNG takes for the same number of bytes; it knows no grey pictures and no sheet of more than 16,383 pixels a side.
    """
    grey = sheet.shape[-1] == 1
    picture = Image.fromarray(sheet[..., 0] if grey else sheet)
    out = io.BytesIO()
    if quality is not None:
        picture.save(out, "JPEG", quality=quality, subsampling=subsampling)
        return out.getvalue(), "image/jpeg"
    if grey or max(sheet.shape) > _WEBP_SIDE or not features.check("webp"):
        picture.save(out, "PNG", compress_level=1)
        return out.getvalue(), "image/png"
    picture.save(out, "WEBP", lossless=True, quality=0, method=0)
    return out.getvalue(), "image/webp"


class Frame:
    """Builder of one frame. Add photos, maps, tiles, a table; then ``to_bytes()``.

    Parameters
    ----------
    key : str
        The wish this frame answers, ``"<sample>|<context>"``.
    text : str
        One sentence that says what the whole frame shows (read aloud by screen readers).
    final : bool
        False for a first, coarse answer that a better one will follow; the browser does not keep it.
    """

    def __init__(self, key: str, text: str = "", final: bool = True):
        self._header: dict[str, Any] = {
            "key": str(key), "final": bool(final), "photos": [], "maps": [], "tiles": {}, "text": text,
        }  # fmt: skip
        self._blobs: list[bytes] = []

    def photo(
        self, image, tiles: str | Sequence[str], quality: int = 88, lossless: bool | None = None
    ) -> Frame:
        """Add photographs: one ``[y, x(, c)]`` picture for one tile, or equally sized ones for several tiles.

        ``image`` is uint8 or float in [0, 1]; several come as a list or ``[n, y, x, c]``. They share one
        sprite; see :func:`sprite` for ``quality`` and ``lossless``.
        """
        single = isinstance(tiles, str)
        pictures = [as_uint8(picture) for picture in ([image] if single else image)]
        names = [tiles] if single else list(tiles)
        if len(names) != len(pictures) or not names:
            raise XaiViewsError(
                f"{len(pictures)} photos were given for {len(names)} tiles; give one for each"
            )
        if len({picture.shape[:2] for picture in pictures}) > 1:
            raise XaiViewsError(
                "the photos of one sprite must have one size; call photo() once for each size"
            )
        data, kind, rects = sprite(pictures, quality, lossless)
        self._header["photos"].append(
            {"blob": self._blob(data), "type": kind, "tiles": names, "rects": rects}
        )
        for name in names:
            self._header["tiles"].setdefault(name, {}).setdefault("size", list(pictures[0].shape[:2]))
        return self

    def signed_map(self, tile: str, layer: str, array, limit: float | None = None, side: int = MAX_SIDE,
                   **about) -> Frame:  # fmt: skip
        """Add a signed map ``[y, x]`` (for > 0, against < 0) as int8 with one scale; zero is exact.

        Maps of more than ``side`` cells a side are shrunk by area mean: a value is the MEAN per pixel of its
        cell, and the number of pixels under a cell is in the header (``cell``), so that sums stay honest.
        ``limit`` clips. ``about`` (such as ``target="laysan albatross"``, ``unit="logit"``, ``title=...``) is
        shown in the legend.
        """
        array = self._map(array)
        cells = area_mean(array, side)
        codes, scale = quantise(cells, limit)
        return self._add_map(tile, layer, codes, "signed", array.shape, scale=scale, **about)

    def sequential(self, tile: str, layer: str, array, limit: float | None = None, side: int = MAX_SIDE,
                   **about) -> Frame:  # fmt: skip
        """Add an unsigned map ``[y, x]`` with values in ``[0, limit]`` as uint8 (cells are means)."""
        array = self._map(array)
        cells = np.nan_to_num(area_mean(array, side))
        if cells.min(initial=0) < 0:
            raise XaiViewsError(f"layer {layer!r} has negative values; use signed_map for signed values")
        top = float(cells.max(initial=0.0)) if limit is None else float(limit)
        scale = top / 255 if top / 255 > 0 else 1.0
        codes = np.clip(np.rint(cells / scale), 0, 255).astype(np.uint8)
        return self._add_map(tile, layer, codes, "sequential", array.shape, scale=scale, **about)

    def label_map(self, tile: str, layer: str, ids, names: Sequence[str] | None = None, **about) -> Frame:
        """Add a map of integer ids ``[y, x]``; negative = not explained. ``names[i]`` is shown for id ``i``.

        Ids are never averaged: the map keeps its shape and is deflated when that makes it smaller.
        """
        ids = self._map(ids)
        if ids.dtype.kind not in "iub":
            raise XaiViewsError(f"layer {layer!r} must hold integer ids, not {ids.dtype}")
        if ids.size and (ids.max() > 32767 or ids.min() < -32768):
            raise XaiViewsError(f"layer {layer!r} has ids outside of -32768 to 32767")
        small = ids.size and ids.min() >= 0 and ids.max() < 255
        if names is not None:
            about["names"] = [str(name) for name in names]
        return self._add_map(
            tile, layer, ids.astype(np.uint8 if small else "<i2"), "label", ids.shape, **about
        )

    def tile(self, tile: str, **about) -> Frame:
        """Say something about a tile.

        ``title``, ``name`` (shown in its place while the model's output is hidden; default: the sample's key),
        ``alt`` (text for screen readers), ``size`` (height, width), ``reason`` (why it is empty), ``mark``
        ("wrong" or ""), ``photo`` (the tile whose photo it shows).
        """
        self._header["tiles"].setdefault(tile, {}).update(about)
        return self

    def table(self, columns: Sequence[str], rows: Sequence[Mapping[str, Any]], caption: str = "",
              footer: Sequence[Sequence[str]] = (), **about) -> Frame:  # fmt: skip
        """Add the ledger: rows of ``{"id", "tiles", "cells", "value"}``; ``value`` is drawn as a signed bar.

        ``columns`` names the cells; ``about`` may give ``tile_columns`` (names of the picture columns),
        ``value_column``, ``limit`` (full length of a bar) and ``selected`` (a row id).
        """
        self._header["table"] = {
            "caption": caption, "columns": list(columns), "rows": [dict(row) for row in rows],
            "footer": [list(line) for line in footer], **about,
        }  # fmt: skip
        return self

    def legend(self, layer: str, **about) -> Frame:
        """Say what a layer's colours mean.

        ``title``, ``unit``, ``target`` (the class whose logit negative values lower and positive ones raise), or
        ``low`` and ``high``, the words at the two ends.
        """
        self._header.setdefault("legend", {}).setdefault(layer, {}).update(about)
        return self

    def header(self, **about) -> Frame:
        """Add entries of the app's own to the header (they reach nobody else)."""
        self._header.update(about)
        return self

    def to_bytes(self, seq: int = 0) -> bytes:
        """Return the frame in the wire format."""
        blobs, position = [], 0
        for blob in self._blobs:
            blobs.append([position, len(blob)])
            position += -(-len(blob) // 4) * 4
        body = json.dumps(
            self._header | {"blobs": blobs}, default=_plain, ensure_ascii=False, separators=(",", ":")
        )
        text = (_SEQ.decode() + str(int(seq)).rjust(_SEQ_WIDTH) + "," + body[1:]).encode()
        text += b" " * (-len(text) % 4)
        padded = (blob + b"\0" * (-len(blob) % 4) for blob in self._blobs)
        return b"".join((MAGIC, struct.pack("<I", len(text)), text, *padded))

    def _blob(self, data: bytes) -> int:
        self._blobs.append(data)
        return len(self._blobs) - 1

    @staticmethod
    def _map(array) -> np.ndarray:
        array = np.asarray(array)
        if array.ndim != 2 or 0 in array.shape:
            raise XaiViewsError(f"a map must be [y, x] and not empty, not {list(array.shape)}")
        return array

    def _add_map(self, tile, layer, codes, kind, full, scale=1.0, **about) -> Frame:
        data = np.ascontiguousarray(codes).tobytes()
        entry = {"tile": tile, "layer": layer, "shape": list(codes.shape), "dtype": codes.dtype.name,
                 "scale": scale, "kind": kind}  # fmt: skip
        squeezed = zlib.compress(data, 6 if kind == "label" else 1)
        if len(squeezed) < 0.8 * len(data):
            data, entry["encoding"] = squeezed, "deflate"
        if kind != "label" and tuple(full) != codes.shape:
            entry["cell"] = [full[0] / codes.shape[0], full[1] / codes.shape[1]]
        self._header["maps"].append({"blob": self._blob(data), **entry, **about})
        self._header["tiles"].setdefault(tile, {}).setdefault("size", list(full))
        return self


def _plain(value):
    """Turn numpy scalars and arrays into what JSON knows."""
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} cannot be put into a frame's header")


def error_frame(key: str, sentence: str, seq: int = 0) -> bytes:
    """Return a frame that carries nothing but one sentence about what went wrong."""
    sentence = without_folders(sentence)
    sentence = sentence[:1].upper() + sentence[1:]
    return Frame(key, text=sentence).header(error=sentence).to_bytes(seq)


def stamp(data: bytes, seq: int) -> bytes:
    """Return the same frame with another sequence number (frames in shared caches are kept with 0)."""
    start = 8 + len(_SEQ)
    if data[:4] != MAGIC or data[8:start] != _SEQ:
        raise XaiViewsError("these bytes are not a frame; build one with xai_views.views.Frame")
    return b"".join((data[:start], str(int(seq)).rjust(_SEQ_WIDTH).encode(), data[start + _SEQ_WIDTH :]))


def with_header(data: bytes, **about: Any) -> bytes:
    """Return the same frame with further entries in its header."""
    header = decode_header(data)
    (length,) = struct.unpack_from("<I", data, 4)
    body = json.dumps({k: v for k, v in header.items() if k != "seq"} | about, default=_plain, ensure_ascii=False,
                      separators=(",", ":"))  # fmt: skip
    text = (_SEQ.decode() + str(header["seq"]).rjust(_SEQ_WIDTH) + "," + body[1:]).encode()
    text += b" " * (-len(text) % 4)
    return b"".join((MAGIC, struct.pack("<I", len(text)), text, data[8 + length :]))


def decode_header(data: bytes) -> dict[str, Any]:
    """Return the header of a frame without touching its blobs."""
    if data[:4] != MAGIC:
        raise XaiViewsError("these bytes are not a frame: they do not begin with 'XV1'")
    (length,) = struct.unpack_from("<I", data, 4)
    return json.loads(data[8 : 8 + length])


@dataclass
class Decoded:
    """A frame read back: ``header``, ``photos[tile]`` (uint8), ``maps[tile, layer]`` (values)."""

    header: dict[str, Any]
    photos: dict[str, np.ndarray] = field(default_factory=dict)
    maps: dict[tuple[str, str], np.ndarray] = field(default_factory=dict)


def decode(data: bytes) -> Decoded:
    """Read a frame back, as the browser does.

    Returns
    -------
    Decoded
        Signed and sequential maps as float64 values (``code * scale``, NaN where nothing is known), label
        maps as integer ids.
    """
    out = Decoded(decode_header(data))
    start = 8 + struct.unpack_from("<I", data, 4)[0]
    blobs = [data[start + a : start + a + n] for a, n in out.header["blobs"]]
    for photo in out.header["photos"]:
        sheet = np.asarray(Image.open(io.BytesIO(blobs[photo["blob"]])))
        for tile, (x, y, w, h) in zip(photo["tiles"], photo["rects"], strict=True):
            out.photos[tile] = sheet[y : y + h, x : x + w]
    for entry in out.header["maps"]:
        raw = blobs[entry["blob"]]
        raw = zlib.decompress(raw) if entry.get("encoding") == "deflate" else raw
        codes = np.frombuffer(raw, np.dtype(entry["dtype"])).reshape(entry["shape"])
        if entry["kind"] != "label":
            values = codes * entry["scale"]
            codes = np.where(codes == MISSING, np.nan, values) if entry["kind"] == "signed" else values
        out.maps[entry["tile"], entry["layer"]] = codes
    return out
