"""Images that a visitor uploads: decoded within bounds, and fitted to what a model expects."""

from __future__ import annotations

import io
import warnings

import numpy as np
from PIL import Image

from xai_views.errors import SamplesError
from xai_views.samples.readers.folder import checked_size, plain

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF")


def decode_upload(data: bytes, *, max_bytes: float = 10e6, max_pixels: float = 50e6) -> np.ndarray:
    """Decode an uploaded image safely.

    Size and number of pixels are checked before anything is decoded; only the named formats are tried.

    Parameters
    ----------
    data : bytes
        The file.
    max_bytes, max_pixels : float
        Bounds.

    Returns
    -------
    ndarray
        ``[H, W, 3]`` uint8, upright, over white where it is transparent; the first picture of an animation.

    Raises
    ------
    SamplesError
        In one sentence: empty, too large, not an image, damaged.
    """
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
    most = f"at most {max_pixels / 1e6:.0f} million pixels are taken; make the image smaller."
    try:
        with warnings.catch_warnings():
            # Ours is the stricter bound, and a warning would only reach the server's log.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            image = Image.open(io.BytesIO(data), formats=FORMATS)
        w, h = image.size
    except Image.DecompressionBombError:
        raise SamplesError(f"the upload claims more pixels than can be decoded safely and {most}") from None
    except Exception:  # noqa: BLE001 - Pillow raises many kinds for what is not an image
        raise SamplesError(
            f"the upload is not an image that can be read; choose {', '.join(FORMATS[:-1])} or {FORMATS[-1]}."
        ) from None
    if w * h > max_pixels:
        raise SamplesError(f"the image has {w}x{h} pixels and {most}")
    try:
        with image:
            image.seek(0)
            return np.asarray(plain(image))
    except Exception:  # noqa: BLE001 - as above
        raise SamplesError(
            "the image is damaged or cut off and cannot be decoded; save it again and retry."
        ) from None


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
