"""Pixels: pictures decoded within limits, resized and converted to grey or RGB."""

from __future__ import annotations

import io
import math
import warnings
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from xai_views.errors import SamplesError

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF")
#: Largest number of pixels of a WebP, whose decoder needs five times the memory of the picture.
WEBP_PIXELS = 16.8e6
#: Largest number of scans of a JPEG; a progressive one has about ten.
SCANS = 200
#: Side of the tiles in which a large picture is reduced.
TILE = 1024
#: A small file can hold a huge picture, so simultaneous uploads are decoded one at a time. In one thread rather
#: than under a lock, since the allocator keeps freed memory for each thread.
_one = ThreadPoolExecutor(1, "decode-upload")


def decode_upload(
    data: bytes, *, max_bytes: float = 10e6, max_pixels: float = 50e6, max_kept: float = 4e6
) -> np.ndarray:
    """Decode an uploaded image safely.

    Size and number of pixels are checked before decoding, and only the named formats are tried. Images are decoded
    one at a time, and at most one of full size is in memory.

    Parameters
    ----------
    data : bytes
        Contents of the file.
    max_bytes, max_pixels : float
        Limits.
    max_kept : float
        A larger image is reduced by a whole-number factor, averaged; see :func:`decode_sized`.

    Returns
    -------
    ndarray
        ``[H, W, 3]`` uint8, upright, transparency over white; the first picture of an animation.

    Raises
    ------
    SamplesError
        In one sentence: empty, too large, not an image, damaged.
    """
    return decode_sized(data, max_bytes=max_bytes, max_pixels=max_pixels, max_kept=max_kept)[0]


def decode_sized(
    data: bytes, *, max_bytes: float = 10e6, max_pixels: float = 50e6, max_kept: float = 4e6
) -> tuple[np.ndarray, tuple[int, int]]:
    """Decode as :func:`decode_upload`, and also return the height and width before any reduction."""
    return _one.submit(_decoded, _checked(data, max_bytes), max_pixels, max_kept).result()


def pictures_in(data: bytes) -> int:
    """Return the number of pictures in a file (frames of an animated GIF, for example); 1 where it cannot be said."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return int(getattr(Image.open(io.BytesIO(data), formats=FORMATS), "n_frames", 1))
    except Exception:  # noqa: BLE001 - decoding says what is wrong with a damaged file
        return 1


def _turned(image: Image.Image) -> int:
    """Return the orientation recorded by the camera, 1 = upright."""
    try:
        return int(image.getexif().get(0x0112, 1))
    except Exception:  # noqa: BLE001 - damaged metadata of an intact picture
        return 1


def _checked(data: bytes, max_bytes: float) -> bytes:
    if not isinstance(data, bytes | bytearray | memoryview):
        raise SamplesError(f"the upload came as {type(data).__name__}; give the bytes of an image file.")
    data = bytes(data)
    if not data:
        raise SamplesError("the upload is empty; choose an image file.")
    if len(data) > max_bytes:
        raise SamplesError(
            f"the upload has {len(data) / 1e6:.1f} MB (limit: {max_bytes / 1e6:.0f} MB); "
            "make the image smaller."
        )
    if data[:2] == b"\xff\xd8" and data.count(b"\xff\xda") > SCANS:
        raise SamplesError(f"the JPEG has more than {SCANS} scans; save it again and retry.")
    return data


def _opened(data: bytes, max_pixels: float) -> Image.Image:
    """Return the first picture of a file, not decoded yet."""
    most = f"(limit: {max_pixels / 1e6:.0f} megapixels); make it smaller."
    try:
        with warnings.catch_warnings():
            # Our limit is stricter, and a warning would only reach the server's log.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            image = Image.open(io.BytesIO(data), formats=FORMATS)
            image.seek(0)
        w, h = image.size
        # Pillow passes a whole tile to its decoder, and a tile may claim more than the picture has.
        tags = getattr(image, "tag_v2", {})  # of a TIFF
        tile = [int(tags.get(t, 0)) for t in (322, 323)]
    except Image.DecompressionBombError:
        raise SamplesError(f"the image has more pixels than can be decoded safely {most}") from None
    except Exception:  # noqa: BLE001 - Pillow raises many kinds for what is not an image
        raise SamplesError(
            f"the upload is not an image that can be read; choose {', '.join(FORMATS[:-1])} or {FORMATS[-1]}."
        ) from None
    if w * h > max_pixels or math.prod(tile) > max_pixels:
        raise SamplesError(f"the image has {w}x{h} pixels {most}")
    if image.format == "WEBP" and w * h > WEBP_PIXELS:
        raise SamplesError(
            f"the image has {w}x{h} pixels (limit for WebP: {WEBP_PIXELS / 1e6:.0f} megapixels); make it "
            "smaller, or save it as JPEG or PNG."
        )
    return image


def _decoded(data: bytes, max_pixels: float, max_kept: float) -> tuple[np.ndarray, tuple[int, int]]:
    with _opened(data, max_pixels) as image:
        width, height = image.size  # before a JPEG is reduced while decoding
        try:
            small = _small(image, max_kept)
            across = _turned(image) in (5, 6, 7, 8)
        except Exception:  # noqa: BLE001 - Pillow raises many types for damaged files
            raise SamplesError(
                "the image is damaged or cut off and cannot be decoded; save it again and retry."
            ) from None
    return small, (width, height) if across else (height, width)


def _small(image: Image.Image, most: float) -> np.ndarray:
    """Decode a picture to ``[H, W, 3]`` of at most ``most`` pixels; a large one is in memory once, and converted by tiles."""
    factor = _factor(image.size, most)
    if factor == 1:
        return np.asarray(plain(image))
    # A JPEG can be decoded at a half, a quarter or an eighth of its size.
    image.draft(None, (image.width // factor, image.height // factor))
    image.load()
    factor = _factor(image.size, most)
    out = Image.new("RGB", (-(-image.width // factor), -(-image.height // factor)))
    side = max(TILE // factor, 1) * factor
    boxes = [
        (x, y, min(x + side, image.width), min(y + side, image.height))
        for y in range(0, image.height, side)
        for x in range(0, image.width, side)
    ]
    number = image.mode[0] in "IF"
    top = max(float(_numbers(image.crop(box)).max()) for box in boxes) if number else None
    for box in boxes:
        tile = image.crop(box)
        tile.info = {
            k: v for k, v in tile.info.items() if k == "transparency"
        }  # tiles must not be turned one by one
        if number:
            tile = Image.fromarray(in_bytes(np.asarray(tile), image.mode, top))
        out.paste(plain(tile).reduce(factor), (box[0] // factor, box[1] // factor))
    out.getexif()[0x0112] = _turned(image)  # read after loading, because loading a TIFF turns it
    return np.asarray(ImageOps.exif_transpose(out))


def _factor(size: tuple[int, int], most: float) -> int:
    """Return the whole-number factor that reduces a picture to at most ``most`` pixels."""
    factor = 1
    while -(-size[0] // factor) * -(-size[1] // factor) > max(most, 1):
        factor += 1
    return factor


def _numbers(tile: Image.Image) -> np.ndarray:
    return np.nan_to_num(np.asarray(tile).astype(np.float32))


def fit(image: np.ndarray, size: tuple[int, ...] | None, channels: int) -> np.ndarray:
    """Fit an image to a model: crop around its centre to the model's aspect ratio, resize, convert to grey or RGB.

    Parameters
    ----------
    image : ndarray
        ``[H, W, 1 or 3]`` uint8, as :func:`decode_upload` returns it.
    size : (int, int) or None
        Height and width; None keeps those of the image.
    channels : int
        1 or 3.

    Returns
    -------
    ndarray
        ``[height, width, channels]`` uint8: areas are averaged when it shrinks, bilinear when it grows.

    Raises
    ------
    SamplesError
        For another shape or type, an invalid size, or another number of channels.
    """
    image = np.asarray(image)
    if image.ndim != 3 or image.shape[2] not in (1, 3) or image.dtype != np.uint8 or not image.size:
        raise SamplesError(
            f"an image to be fitted has shape {list(image.shape)} and type {image.dtype}; "
            "give [height, width, 1 or 3] as uint8."
        )
    if channels not in (1, 3):
        raise SamplesError(f"an image cannot have {channels} channels; choose 1 (grey) or 3 (RGB).")
    size = checked_size(size)
    picture = Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image)
    picture = picture.convert("L" if channels == 1 else "RGB")
    if size is not None:
        box, shrinks = middle((picture.height, picture.width), size)
        how = Image.Resampling.BOX if shrinks else Image.Resampling.BILINEAR
        picture = picture.resize((size[1], size[0]), how, box=box)
    array = np.asarray(picture)
    return array[..., None] if array.ndim == 2 else array


def middle(shape: tuple[int, ...], size: tuple[int, ...]) -> tuple[tuple[float, float, float, float], bool]:
    """Return the largest centred box with the aspect ratio of ``size`` (left, top, right, bottom), and whether it shrinks."""
    scale = min(shape[1] / size[1], shape[0] / size[0])
    w, h = size[1] * scale, size[0] * scale
    left, top = (shape[1] - w) / 2, (shape[0] - h) / 2
    return (left, top, left + w, top + h), scale > 1


def fit_ids(ids: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
    """Resize ids or a mask ``[H, W]`` to ``size`` as :func:`fit` does an image, but with the nearest pixel."""
    (left, top, right, bottom), _ = middle(ids.shape, size)
    rows = np.floor(top + (np.arange(size[0]) + 0.5) * (bottom - top) / size[0]).astype(int)
    columns = np.floor(left + (np.arange(size[1]) + 0.5) * (right - left) / size[1]).astype(int)
    return ids[rows[:, None], columns]


def tile(array: np.ndarray, side: int) -> np.ndarray:
    """Return a picture ``[H, W]`` or ``[H, W, C]``, uint8 or in [0, 1], cropped to a square: ``[side, side, 3]`` uint8."""
    array = array[..., None] if array.ndim == 2 else array
    if array.dtype != np.uint8:
        array = (np.clip(array, 0, 1) * 255).astype(np.uint8)
    return fit(array, (side, side), 3)


def checked_size(size: Any) -> tuple[int, int] | None:
    """Return (height, width) in pixels as two integers, or None for None.

    Raises
    ------
    SamplesError
        For any other value.
    """
    if size is None:
        return None
    try:
        height, width = (int(v) for v in size)
    except (TypeError, ValueError):
        height = width = 0
    if not (0 < height <= 16384 and 0 < width <= 16384):
        raise SamplesError(
            f"size={size!r} was given and should be (height, width) in pixels, such as (224, 224)."
        )
    return height, width


def resize(image: Image.Image, size: tuple[int, int] | None) -> Image.Image:
    """Resize to (height, width): averaged when it shrinks, interpolated when it grows."""
    if size is None or image.size == (size[1], size[0]):
        return image
    how = Image.Resampling.BOX if image.width > size[1] else Image.Resampling.BILINEAR
    return image.resize((size[1], size[0]), how)


def plain(image: Image.Image, grey: bool = False) -> Image.Image:
    """Convert any PIL image to upright RGB (or grey) over white.

    Sixteen-bit grey is divided by 257 whatever its range, so that images of a set stay comparable. Floats
    are taken as [0, 1] when they do not exceed 1, else as [0, 255].
    """
    image = ImageOps.exif_transpose(image)
    if image.mode[0] in "IF":
        image = Image.fromarray(in_bytes(np.asarray(image), image.mode))
    if image.mode in ("RGBA", "RGBa", "LA", "La", "PA") or "transparency" in image.info:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("L" if grey else "RGB")


def in_bytes(values: np.ndarray, mode: str, top: float | None = None) -> np.ndarray:
    """Convert numbers to bytes; ``top`` is the largest number of the picture that ``values`` are part of."""
    if mode.startswith("I;16"):
        return ((values.astype(np.uint32) + 128) // 257).astype(np.uint8)
    values = np.nan_to_num(values.astype(np.float32))
    top = values.max(initial=0) if top is None else top
    full = 1 if mode == "F" and top <= 1 else 255 if top <= 255 else 65535
    return np.clip(values * (255 / full) + 0.5, 0, 255).astype(np.uint8)
