"""Colour tables of the views. Signed values: diverging, neutral at zero, symmetric. Never red-green, never jet.

Signed tables have 255 entries, so that index 127 is exactly zero; sequential ones have 256. Categorical colours are the
eight of Okabe and Ito (grey instead of black); from the ninth on they repeat with a hatching, and every region carries its
number, so that colour is never the only cue.
"""

from __future__ import annotations

import base64
import json
from functools import cache

import numpy as np

from xai_views.errors import XaiViewsError, nearest

SIGNED = {
    "CET_D1A": "blue to red (default)",
    "CET_D1": "blue to red, soft",
    "CET_D6": "blue to yellow, dark zero",
}
SEQUENTIAL = ("viridis", "cividis", "inferno", "gray")
#: Eight hues that are distinct for colour-blind eyes (Okabe & Ito 2008, black replaced by grey).
CATEGORICAL = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#999999")
HATCHES = ("none", "diagonal", "back-diagonal", "horizontal", "dots")


@cache
def table(name: str) -> np.ndarray:
    """Return a colour table.

    Parameters
    ----------
    name : str
        One of ``SIGNED`` (255 entries, index 127 is zero and neutral) or ``SEQUENTIAL`` (256 entries).

    Returns
    -------
    np.ndarray
        ``[255 or 256, 3]`` uint8 RGB, read-only.
    """
    if name not in SIGNED and name not in SEQUENTIAL:
        known = [*SIGNED, *SEQUENTIAL]
        raise XaiViewsError(f"colour table {name!r} is not known; choose {nearest(name, known)}.")
    rgb = _raw(name)
    if name in SIGNED:
        rgb = _centred(rgb)
    out = np.rint(rgb * 255).astype(np.uint8)
    out.setflags(write=False)
    return out


def _raw(name: str) -> np.ndarray:
    """Return ``[256, 3]`` floats: diverging tables from colorcet, sequential ones from Bokeh."""
    if name in SIGNED:
        import colorcet

        palette = colorcet.palette[name]
    else:
        import bokeh.palettes

        palette = getattr(bokeh.palettes, {"gray": "Greys256"}.get(name, f"{name.title()}256"))
    return np.array([[int(str(c)[i : i + 2], 16) for i in (1, 3, 5)] for c in palette]) / 255


def _centred(rgb: np.ndarray) -> np.ndarray:
    """Resample to 255 entries and make the middle entry exactly neutral, blending its surroundings gradually."""
    grid = np.linspace(0, len(rgb) - 1, 255)
    out = np.stack([np.interp(grid, np.arange(len(rgb)), channel) for channel in rgb.T], -1)
    grey = out[127] @ (0.2126, 0.7152, 0.0722)
    weight = np.clip(1 - np.abs(np.arange(255) - 127) / 24, 0, 1)[:, None] ** 2
    return out + weight * (grey - out[127])


def rgb(name: str, values: np.ndarray, limit: float) -> np.ndarray:
    """Map values to colours: ``[-limit, limit]`` for signed tables, ``[0, limit]`` for sequential ones.

    Returns
    -------
    np.ndarray
        ``values.shape + (3,)`` uint8.
    """
    lut = table(name)
    scaled = np.clip(np.asarray(values, float) / (limit or 1.0), -1, 1)
    index = scaled * 127 + 127 if name in SIGNED else np.clip(scaled, 0, 1) * 255
    return lut[np.rint(np.nan_to_num(index, nan=127 if name in SIGNED else 0)).astype(int)]


def alpha(values: np.ndarray, limit: float) -> np.ndarray:
    """Return the opacity in [0, 1] of an overlay: 0 at zero, increasing with ``|value|``."""
    return np.clip(np.abs(np.asarray(values, float)) / (limit or 1.0), 0, 1) ** 0.7


def category(index: int) -> tuple[str, str]:
    """Return the colour (``"#RRGGBB"``) and the hatching of cluster ``index``, the same in every sample."""
    return CATEGORICAL[index % 8], HATCHES[index // 8 % len(HATCHES)]


def palette(name: str) -> list[str]:
    """Return a table as a list of ``"#rrggbb"`` for Bokeh and HoloViews."""
    return [f"#{r:02x}{g:02x}{b:02x}" for r, g, b in table(name)]


def for_browser() -> str:
    """Return the tables as one JavaScript statement, so that the component is self-contained."""
    encoded = {name: base64.b64encode(table(name).tobytes()).decode() for name in (*SIGNED, *SEQUENTIAL)}
    data = {"tables": encoded, "signed": SIGNED, "sequential": SEQUENTIAL, "categorical": CATEGORICAL}
    return f"const COLOURS = {json.dumps(data)};"
