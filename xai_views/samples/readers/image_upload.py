"""Images that a visitor uploads: decoded within bounds, and fitted to what a model expects."""

from __future__ import annotations

import io
import math
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from PIL import Image, ImageOps

from xai_views.errors import SamplesError
from xai_views.samples.readers.folder import checked_size, in_bytes, plain

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF")
#: Pixels that are taken of WebP, whose decoder holds a picture five times.
WEBP_PIXELS = 16.8e6
#: Passes over the pixels of a JPEG; a progressive one has about ten.
SCANS = 200
#: Side of the tiles in which a large picture is made smaller.
TILE = 1024
#: A small file can hold a huge picture: of all that are uploaded at the same time one is decoded. In one thread rather
#: than under a lock, since the allocator keeps for each thread what was freed in it.
_one = ThreadPoolExecutor(1, "decode-upload")


def decode_upload(
    data: bytes, *, max_bytes: float = 10e6, max_pixels: float = 50e6, max_kept: float = 4e6
) -> np.ndarray:
    """Decode an uploaded image safely.

    Size and number of pixels are checked before anything is decoded; only the named formats are tried. One image
    is decoded at a time, whoever asks, and never more than one of full size is in memory.

    Parameters
    ----------
    data : bytes
        The file.
    max_bytes, max_pixels : float
        Bounds.
    max_kept : float
        An image with more pixels comes smaller by a whole number, averaged; see :func:`decode_sized`.

    Returns
    -------
    ndarray
        ``[H, W, 3]`` uint8, upright, over white where it is transparent; the first picture of an animation.

    Raises
    ------
    SamplesError
        In one sentence: empty, too large, not an image, damaged.
    """
    return decode_sized(data, max_bytes=max_bytes, max_pixels=max_pixels, max_kept=max_kept)[0]


def decode_sized(
    data: bytes, *, max_bytes: float = 10e6, max_pixels: float = 50e6, max_kept: float = 4e6
) -> tuple[np.ndarray, tuple[int, int]]:
    """Return what :func:`decode_upload` returns, and the height and width that the image came with."""
    return _one.submit(_decoded, _checked(data, max_bytes), max_pixels, max_kept).result()


def _turned(image: Image.Image) -> int:
    """The orientation that a camera wrote down, 1 = upright."""
    try:
        return int(image.getexif().get(0x0112, 1))
    except Exception:  # noqa: BLE001 - damaged words beside a sound picture
        return 1


def _checked(data: bytes, max_bytes: float) -> bytes:
    if not isinstance(data, bytes | bytearray | memoryview):
        raise SamplesError(f"the upload came as {type(data).__name__}; give the bytes of an image file.")
    data = bytes(data)
    if not data:
        raise SamplesError("the upload is empty; choose an image file.")
    if len(data) > max_bytes:
        raise SamplesError(
            f"the upload has {len(data) / 1e6:.1f} MB and at most {max_bytes / 1e6:.0f} MB "
            "are taken; "
            "make the image smaller."
        )
    if data[:2] == b"\xff\xd8" and data.count(b"\xff\xda") > SCANS:
        raise SamplesError(f"the JPEG has more than {SCANS} passes over its pixels; save it again and retry.")
    return data


def _opened(data: bytes, max_pixels: float) -> Image.Image:
    """The first picture of a file, not decoded yet."""
    most = f"at most {max_pixels / 1e6:.0f} million pixels are taken; make the image smaller."
    try:
        with warnings.catch_warnings():
            # Ours is the stricter bound, and a warning would only reach the server's log.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            image = Image.open(io.BytesIO(data), formats=FORMATS)
            image.seek(0)
        w, h = image.size
        # Pillow hands a whole tile to its decoder, and a tile may claim more than the picture has.
        tags = getattr(image, "tag_v2", {})  # of a TIFF
        tile = [int(tags.get(t, 0)) for t in (322, 323)]
    except Image.DecompressionBombError:
        raise SamplesError(f"the upload claims more pixels than can be decoded safely and {most}") from None
    except Exception:  # noqa: BLE001 - Pillow raises many kinds for what is not an image
        raise SamplesError(
            f"the upload is not an image that can be read; choose {', '.join(FORMATS[:-1])} or {FORMATS[-1]}."
        ) from None
    if w * h > max_pixels or math.prod(tile) > max_pixels:
        raise SamplesError(f"the image has {w}x{h} pixels and {most}")
    if image.format == "WEBP" and w * h > WEBP_PIXELS:
        raise SamplesError(
            f"the image has {w}x{h} pixels and of WebP at most {WEBP_PIXELS / 1e6:.0f} million are taken; make it "
            "smaller, or save it as JPEG or PNG."
        )
    return image


def _decoded(data: bytes, max_pixels: float, max_kept: float) -> tuple[np.ndarray, tuple[int, int]]:
    with _opened(data, max_pixels) as image:
        width, height = image.size  # before a JPEG is asked for less
        try:
            small = _small(image, max_kept)
            across = _turned(image) in (5, 6, 7, 8)
        except Exception:  # noqa: BLE001 - Pillow raises many kinds for what is damaged
            raise SamplesError(
                "the image is damaged or cut off and cannot be decoded; save it again and retry."
            ) from None
    return small, (width, height) if across else (height, width)


def _small(image: Image.Image, most: float) -> np.ndarray:
    """Decode a picture to ``[H, W, 3]`` of at most ``most`` pixels; a large one is held once, and converted by tiles."""
    factor = _factor(image.size, most)
    if factor == 1:
        return np.asarray(plain(image))
    # A JPEG is decoded to a half, a quarter or an eighth.
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
        tile.info = {k: v for k, v in tile.info.items() if k == "transparency"}  # no part is turned by itself
        if number:
            tile = Image.fromarray(in_bytes(np.asarray(tile), image.mode, top))
        out.paste(plain(tile).reduce(factor), (box[0] // factor, box[1] // factor))
    out.getexif()[0x0112] = _turned(image)  # asked for after loading, which turns a TIFF by itself
    return np.asarray(ImageOps.exif_transpose(out))


def _factor(size: tuple[int, int], most: float) -> int:
    """The whole number by which a picture has to become smaller to have at most ``most`` pixels."""
    factor = 1
    while -(-size[0] // factor) * -(-size[1] // factor) > max(most, 1):
        factor += 1
    return factor


def _numbers(tile: Image.Image) -> np.ndarray:
    return np.nan_to_num(np.asarray(tile).astype(np.float32))


def fit(image: np.ndarray, size: tuple[int, int] | None, channels: int) -> np.ndarray:
    """Fit an image to a model: cropped around its centre to the model's shape, resized, grey or RGB.

    Parameters
    ----------
    image : ndarray
        ``[H, W, 1 or 3]`` uint8, as :func:`decode_upload` returns it.
    size : (int, int) or None
        Height and width wanted; None keeps the image's own.
    channels : int
        1 or 3.

    Returns
    -------
    ndarray
        ``[height, width, channels]`` uint8: areas are averaged when it shrinks, bilinear when it grows.

    Raises
    ------
    SamplesError
        For another shape or type, a size that is none, or another number of channels.
    """
    image = np.asarray(image)
    if image.ndim != 3 or image.shape[2] not in (1, 3) or image.dtype != np.uint8 or not image.size:
        raise SamplesError(
            f"an image of shape {list(image.shape)} and type {image.dtype} was to be fitted; "
            "give [height, width, 1 or 3] as uint8."
        )
    if channels not in (1, 3):
        raise SamplesError(f"an image with {channels} channels was asked for; ask for 1 (grey) or 3 (RGB).")
    size = checked_size(size)
    picture = Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image)
    picture = picture.convert("L" if channels == 1 else "RGB")
    if size is not None:
        height, width = size
        scale = min(picture.width / width, picture.height / height)
        w, h = width * scale, height * scale
        left, top = (picture.width - w) / 2, (picture.height - h) / 2
        how = Image.Resampling.BOX if scale > 1 else Image.Resampling.BILINEAR
        picture = picture.resize((width, height), how, box=(left, top, left + w, top + h))
    array = np.asarray(picture)
    return array[..., None] if array.ndim == 2 else array
