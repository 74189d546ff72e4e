"""The pictures of a report: a photo with its map as one picture, with the numbers and words of its legend.

Colours, symmetric limits and category colours are those of the canvas, so that a report shows what the page showed.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from PIL import Image

from xai_views.views import colour, roles
from xai_views.views.wire import Decoded, as_uint8, decode

SIGNED, SEQUENTIAL = "CET_D1A", "viridis"
OPACITY = 0.85  # of the strongest value, as the canvas begins
LABELS = 0.6  # opacity of label maps
PERCENTILE = 99.5  # of the absolute values: the colour range of the canvas
LUMA = np.array([0.299, 0.587, 0.114])


@dataclass(frozen=True)
class Legend:
    """What the colours of a map mean.

    Attributes
    ----------
    title : str
        What is drawn.
    kind : str
        "signed", "sequential" or "label".
    limit : float
        Value of the strongest colour; 0 for labels.
    low, high : str
        Words for the two ends.
    names : tuple of (str, str)
        Colour and name of each label.
    """

    title: str
    kind: str
    limit: float = 0.0
    low: str = ""
    high: str = ""
    names: tuple[tuple[str, str], ...] = ()

    @property
    def ticks(self) -> tuple[str, str, str]:
        """The numbers at the left end, in the middle and at the right end of the colour bar."""
        top = f"{self.limit:.3g}"
        return (f"−{top}", "0", f"+{top}") if self.kind == "signed" else ("0", f"{self.limit / 2:.3g}", top)


@dataclass(frozen=True, eq=False)
class Figure:
    """One picture of a report.

    Attributes
    ----------
    title, alt : str
        Over it, and instead of it.
    pixels : ndarray, optional
        ``[y, x, 3]`` uint8 with the overlay.
    svg : str
        SVG text in place of pixels.
    legends : tuple of Legend
        Of each map over it.
    """

    title: str
    alt: str = ""
    pixels: np.ndarray | None = None
    svg: str = ""
    legends: tuple[Legend, ...] = ()


def of_explanation(ds: xr.Dataset, photo: np.ndarray, name: str = "", sample: int = 0) -> list[Figure]:
    """Return the pictures of one sample of an explanation, drawn by the roles of its variables.

    Parameters
    ----------
    ds : Dataset
        An explanation with roles.
    photo : ndarray
        ``[y, x, channel]``.
    name : str
        Id of the sample.
    sample : int
        Position in ``ds``.
    """
    frame = roles.frame(f"{name}|report", ds, photo, name, sample)
    return of_frame(frame, roles.layout(roles.pictures(ds, sample)))


def with_original(figures: Sequence[Figure], photo: np.ndarray, title: str = "Original") -> list[Figure]:
    """Return the figures with the plain photo before them, unless one of them shows it already."""
    plain = grey(photo, faded=False)
    shown = any(f.pixels is not None and not f.legends and np.array_equal(f.pixels, plain) for f in figures)
    return [*figures] if shown else [Figure(title, title, plain), *figures]


def of_frame(frame: bytes, layout: Mapping[str, Any]) -> list[Figure]:
    """Return the pictures that a canvas draws of a frame.

    Parameters
    ----------
    frame : bytes
        As the canvas takes it.
    layout : mapping
        Of the canvas: which tiles there are, what they are called, and which layers they draw.
    """
    read, tiles = decode(frame), layout.get("tiles", {})
    drawn = {name: _layers(read, name, spec) for name, spec in tiles.items()}
    limits = _limits(read, drawn)
    figures = []
    for name, spec in tiles.items():
        about = read.header["tiles"].get(name, {})
        photo = _photo(read, name, spec)
        if about.get("reason") or (photo is None and not drawn[name]):
            continue
        shape = photo.shape[:2] if photo is not None else tuple(about["size"])
        pixels = grey(photo, bool(drawn[name])) if photo is not None else np.full((*shape, 3), 255, np.uint8)
        legends = []
        for layer, entry in drawn[name]:
            values = read.maps[name, layer]
            pixels = overlaid(pixels, values, entry["kind"], limits.get(layer, 0.0))
            legends.append(_legend(read, layer, entry, values, limits.get(layer, 0.0)))
        title = " · ".join(dict.fromkeys(filter(None, [spec.get("label", ""), about.get("title", "")])))
        figures.append(Figure(title, about.get("alt", title), pixels, legends=tuple(legends)))
    return figures


def row_pictures(frame: bytes, layout: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Return the small pictures of the ledger of a frame, by tile, each ``[y, x, 3]`` uint8."""
    read = decode(frame)
    table, tiles = read.header.get("table") or {}, layout.get("tiles", {})
    spec = {"layers": layout.get("table", {}).get("layers")}
    names = [t for row in table.get("rows", ()) for t in row.get("tiles", ())]
    drawn = {name: _layers(read, name, spec) for name in names}
    limits, made = _limits(read, drawn), {}
    for name in names:
        about = read.header["tiles"].get(name, {})
        photo = _photo(read, name, {**tiles.get(name, {}), **about})
        if photo is None:
            continue
        pixels = grey(photo, bool(drawn[name]))
        for layer, entry in drawn[name]:
            pixels = overlaid(pixels, read.maps[name, layer], entry["kind"], limits.get(layer, 0.0))
        made[name] = pixels
    return made


def _photo(read: Decoded, name: str, spec: Mapping[str, Any]) -> np.ndarray | None:
    about = read.header["tiles"].get(name, {})
    for source in (name, about.get("photo"), spec.get("photo")):
        if source in read.photos:
            return as_uint8(read.photos[source])
    return None


def _layers(read: Decoded, name: str, spec: Mapping[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """Names and header entries of the maps that a tile draws."""
    there = {m["layer"]: m for m in read.header["maps"] if m["tile"] == name and m.get("drawn") is not False}
    wanted = spec.get("layers")
    return [(n, there[n]) for n in (there if wanted is None else wanted) if n in there]


def _limits(read: Decoded, drawn: Mapping[str, Sequence[tuple[str, dict[str, Any]]]]) -> dict[str, float]:
    """One limit for all pictures of a layer: they are there to be compared."""
    values: dict[str, list[np.ndarray]] = {}
    full: dict[str, float] = {}
    for tile, layers in drawn.items():
        for layer, entry in layers:
            if entry["kind"] == "label":
                continue
            array = read.maps[tile, layer]
            values.setdefault(layer, []).append(np.abs(array[np.isfinite(array)]))
            full[layer] = entry["scale"] * (127 if entry["kind"] == "signed" else 255)
    found = {}
    for layer, arrays in values.items():
        every = np.concatenate(arrays)
        top = float(np.percentile(every, PERCENTILE)) if every.size else 0.0
        found[layer] = top or full[layer]
    return found


def _legend(read: Decoded, layer: str, entry: Mapping[str, Any], values: np.ndarray, limit: float) -> Legend:
    about = {**read.header.get("legend", {}).get(layer, {}), **entry}
    title = about.get("title") or roles.title_of(layer)
    if entry["kind"] == "label":
        words = about.get("names") or ()
        ids = [int(i) for i in np.unique(values) if i >= 0]
        names = tuple(
            (colour.category(i)[0], f"{i} {words[i] if i < len(words) else ''}".strip()) for i in ids
        )
        return Legend(title, "label", names=names)
    target, unit = about.get("target", ""), about.get("unit", "")
    title += f" ({unit})" if unit else ""
    if entry["kind"] == "signed":
        low, high = (
            about.get("low") or f"lowers {target}".strip(),
            about.get("high") or f"raises {target}".strip(),
        )
        return Legend(title, "signed", limit, low, high)
    return Legend(title, "sequential", limit, "low", "high")


# -- pixels ----------------------------------------------------------------------------------------------------------


def grey(photo: np.ndarray, faded: bool = True) -> np.ndarray:
    """Return a photo as ``[y, x, 3]`` uint8; without colour where a map lies over it."""
    pixels = as_uint8(photo)
    if not faded:
        return np.repeat(pixels, 3, -1) if pixels.shape[-1] == 1 else pixels
    values = pixels.astype(np.float64)
    flat = values @ LUMA if pixels.shape[-1] == 3 else values[..., 0]
    return np.repeat(np.round(56 + 0.55 * flat)[..., None], 3, -1).astype(np.uint8)


def overlaid(pixels: np.ndarray, values: np.ndarray, kind: str, limit: float) -> np.ndarray:
    """Lay a map over a picture.

    Parameters
    ----------
    pixels : ndarray
        ``[y, x, 3]`` uint8.
    values : ndarray
        ``[rows, columns]`` on any grid over the same image; NaN and negative labels show the picture.
    kind : {"signed", "sequential", "label"}
        How it is coloured.
    limit : float
        Value of the strongest colour.

    Returns
    -------
    ndarray
        ``[y, x, 3]`` uint8.
    """
    values = nearest(np.asarray(values), pixels.shape[:2])
    if kind == "label":
        ids = np.unique(values[values >= 0]).astype(int)
        table = np.zeros((int(ids.max(initial=0)) + 1, 3))
        for i in ids:
            table[i] = [int(colour.category(i)[0][n : n + 2], 16) for n in (1, 3, 5)]
        colours, weight = table[np.maximum(values, 0).astype(int)], np.where(values >= 0, LABELS, 0.0)
        border = _borders(values)
        weight = np.where(border, 1.0, weight)
        colours = np.where(border[..., None], 255.0, colours)
    else:
        filled = np.nan_to_num(np.asarray(values, np.float64))
        colours = colour.rgb(SIGNED if kind == "signed" else SEQUENTIAL, filled, limit)
        weight = OPACITY * colour.alpha(filled, limit) * np.isfinite(values) * bool(limit)
    return np.round(pixels * (1 - weight[..., None]) + colours * weight[..., None]).astype(np.uint8)


def _borders(ids: np.ndarray) -> np.ndarray:
    """Pixels whose right or lower neighbour has another label."""
    edge = np.zeros(ids.shape, bool)
    edge[:, :-1] |= ids[:, :-1] != ids[:, 1:]
    edge[:-1] |= ids[:-1] != ids[1:]
    return edge & (ids >= 0)


def nearest(values: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """Return a map on a grid of another size, each pixel with the value of the cell that it lies in."""
    rows = (np.arange(shape[0]) * values.shape[0]) // shape[0]
    columns = (np.arange(shape[1]) * values.shape[1]) // shape[1]
    return values[rows][:, columns]


def enlarged(pixels: np.ndarray, least: int = 320) -> np.ndarray:
    """Return a small picture in whole multiples of its size, pixel-true, so that its longer side has ``least`` pixels or more."""
    times = max(1, -(-least // max(pixels.shape[:2])))
    return pixels.repeat(times, 0).repeat(times, 1)


def png(pixels: np.ndarray) -> bytes:
    """Return a picture as a PNG file."""
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG", optimize=True)
    return out.getvalue()


def data_uri(pixels: np.ndarray) -> str:
    """Return a picture as a PNG data URI."""
    return "data:image/png;base64," + base64.b64encode(png(pixels)).decode()


def gradient(legend: Legend) -> Iterable[str]:
    """Return colours along the bar of a legend, over the grey of a photo."""
    ends = np.linspace(-1 if legend.kind == "signed" else 0, 1, 9)
    colours = colour.rgb(SIGNED if legend.kind == "signed" else SEQUENTIAL, ends, 1.0)
    return [f"#{r:02x}{g:02x}{b:02x}" for r, g, b in colours]
