"""Pictures outside of the canvas."""

from __future__ import annotations

import base64
import io

import numpy as np
from PIL import Image

from xai_views.views import colour
from xai_views.views.wire import as_uint8

GREY = np.array([0.299, 0.587, 0.114])


def composed(image: np.ndarray, values: np.ndarray, limit: float | None = None) -> np.ndarray:
    """Draw a signed map over a grey picture.

    Parameters
    ----------
    image : ndarray
        ``[H, W, 1 or 3]``.
    values : ndarray
        ``[H, W]``; NaN leaves the picture grey.
    limit : float, optional
        Absolute value drawn in the full colour. Default: the largest.

    Returns
    -------
    ndarray
        ``[H, W, 3]`` uint8: red for positive values, blue for negative ones, the grey picture at zero.
    """
    pixels = as_uint8(image).astype(np.float64)
    grey = pixels @ GREY if pixels.shape[-1] == 3 else pixels[..., 0]
    ground = np.repeat((56 + 0.55 * grey)[..., None], 3, -1)
    values = np.nan_to_num(np.asarray(values, np.float64))
    top = float(np.abs(values).max(initial=0)) if limit is None else limit
    weight = 0.9 * colour.alpha(values, top)[..., None] if top else 0.0
    return np.round(ground * (1 - weight) + colour.rgb("CET_D1A", values, top) * weight).astype(np.uint8)


def png(image: np.ndarray) -> str:
    """Return a picture as a PNG data URI, without loss."""
    pixels = as_uint8(image)
    out = io.BytesIO()
    Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels).save(out, "PNG")
    return "data:image/png;base64," + base64.b64encode(out.getvalue()).decode()
