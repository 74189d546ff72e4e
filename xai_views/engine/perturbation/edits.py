"""Manual edits of an image: blur, erase or paste over a region."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

BLUR = 0.06  # standard deviation, as a share of the longer side


def polygon_mask(polygon: Sequence[Sequence[float]], shape: tuple[int, ...]) -> np.ndarray:
    """Pixels ``[y, x]`` bool whose centre lies inside a polygon ``[[x, y], ...]`` in image pixels."""
    from skimage.draw import polygon2mask

    # Pixel (i, j) has its centre at (j + 0.5, i + 0.5) in the polygon's coordinates.
    return polygon2mask(shape, np.asarray(polygon, float)[:, ::-1] - 0.5)


def edited(image: np.ndarray, edits: Sequence[Mapping[str, Any]]) -> np.ndarray:
    """Apply edits to an image, one after another.

    Parameters
    ----------
    image : ndarray
        ``[H, W, C]`` uint8; not modified.
    edits : sequence of mapping
        ``{"kind": "blur" | "erase" | "paste", "region": [[x, y], ...], "at": [x, y]}``; paste copies the area centred at
        ``at`` to the region.

    Returns
    -------
    ndarray
        ``[H, W, C]`` uint8.
    """
    from scipy.ndimage import gaussian_filter

    out = image.copy()
    height, width = out.shape[:2]
    for edit in edits:
        inside = polygon_mask(edit["region"], (height, width))
        if not inside.any():
            continue
        if edit["kind"] == "blur":
            sigma = BLUR * max(height, width)
            out[inside] = gaussian_filter(out.astype(float), (sigma, sigma, 0))[inside].round()
        elif edit["kind"] == "erase":
            rest = out[~inside] if not inside.all() else out.reshape(-1, out.shape[2])
            out[inside] = rest.mean(0).round()
        else:
            y, x = np.nonzero(inside)
            dy, dx = int(edit["at"][1] - y.mean()), int(edit["at"][0] - x.mean())
            source = out.copy()
            out[y, x] = source[np.clip(y + dy, 0, height - 1), np.clip(x + dx, 0, width - 1)]
    return out
