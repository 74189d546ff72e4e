"""Static plots: HoloViews pictures of an explanation, and a map of latent space with thumbnails on hover.

Not used while stepping through samples. HoloViews and Bokeh are imported on first use.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

from xai_views.contract.explanation import VARIABLES
from xai_views.errors import XaiViewsError, nearest
from xai_views.views import colour
from xai_views.views.roles import on_white

#: Dimensions of a clustering's grid, which is coarser than the image.
COARSE = ("row", "column")
MAX_THUMBS = 2000
MARKERS = ("circle", "square", "triangle", "diamond", "inverted_triangle", "hex", "plus", "star")


def plot(result: Any, sample: int = 0, variables: Sequence[str] | None = None, images: Any = None) -> Any:
    """Draw an explanation as a static HoloViews layout.

    Parameters
    ----------
    result : xarray.Dataset
        An explanation (see ``xai_views.contract.explanation``).
    sample : int
        Position on the ``sample`` dimension.
    variables : sequence of str, optional
        Variables to draw. Default: all that can be drawn by their role: maps over the pixels, labels, colour images,
        ledgers, and probabilities; maps on a coarser grid are drawn only when named.
    images : np.ndarray, optional
        ``[sample, y, x, channel]`` original images, drawn first.

    Returns
    -------
    holoviews.Layout
        Signed maps with symmetric limits and a colour bar; bars for ledgers and probabilities.

    Raises
    ------
    XaiViewsError
        If nothing of the result can be drawn, or a name is unknown.
    """
    import holoviews as hv

    if not hv.Store.loaded_backends():
        hv.extension("bokeh", inline=False)
    ways = {str(name): way for name in result.data_vars if (way := _way(str(name), result[name])) is not None}
    for name in variables or ():
        if name not in ways:
            raise XaiViewsError(f"variable {name!r} cannot be drawn; choose {nearest(name, ways)}.")
    count = result.sizes.get("sample", 1)
    if not -count <= sample < count:
        raise XaiViewsError(
            f"sample {sample} was requested and the explanation has {count} samples; count from 0."
        )
    one = result.isel(sample=sample) if "sample" in result.dims else result
    elements = [] if images is None else [_photo(hv, np.asarray(images)[sample])]
    fine = [name for name in ways if one[name].dims[-2:] != COARSE]
    for name in variables or sorted(fine, key=lambda name: ways[name] is _bars):  # pictures first
        if one[name].size:
            elements += ways[name](hv, one, name)
    if not elements:
        names = ", ".join(map(str, result.data_vars)) or "nothing"
        raise XaiViewsError(
            f"nothing of this explanation can be drawn: it contains {names}; use explain to create one."
        )
    return hv.Layout(elements).cols(min(3, len(elements))).opts(title=str(result.attrs.get("method", "")))


def _way(name: str, array: Any) -> Any:
    """Return the function that draws a variable, by its role and dimensions; None if there is none."""
    common = VARIABLES.get(name)
    role = array.attrs.get("role") or (common.role if common else "")
    if name == "probability" or role == "ledger":
        return _bars
    if role == "image":
        return _colours if array.dims[-3:] == ("y", "x", "rgba") else None
    if array.dims[-2:] not in {("y", "x"), COARSE}:
        return None
    return {"signed map": _signed, "unsigned map": _unsigned, "labels": _segments}.get(role)


def _signed(hv, one, name: str) -> list:
    return _maps(hv, one, name, signed=True)


def _unsigned(hv, one, name: str) -> list:
    return _maps(hv, one, name, signed=False)


def _colours(hv, one, name: str) -> list:
    """Draw colour images over white, one for each entry of the dims before (y, x)."""
    pictures = np.asarray(one[name].values)
    pictures = pictures.reshape(-1, *pictures.shape[-3:])
    height, width = pictures.shape[1:3]
    return [
        hv.RGB(
            on_white(p), bounds=(0, 0, width, height), label=f"{name} {_entry(one, name, i)}".strip()
        ).opts(**_square(width, height))
        for i, p in enumerate(pictures)
    ]


def _photo(hv, image: np.ndarray):
    from xai_views.views.wire import as_uint8

    image = as_uint8(image)
    height, width = image.shape[:2]
    rgb = np.repeat(image, 3, -1) if image.shape[-1] == 1 else image
    return hv.RGB(rgb, bounds=(0, 0, width, height), label="sample").opts(**_square(width, height))


def _square(width: int, height: int) -> dict[str, Any]:
    return {
        "frame_width": 260,
        "frame_height": round(260 * height / width),
        "xaxis": None,
        "yaxis": None,
        "border": 24,
    }


def _maps(hv, one, name: str, signed: bool) -> list:
    """Draw one image for each entry of the dims before (y, x), all with the same limits."""
    array = one[name]
    maps = np.asarray(array.values, float).reshape(-1, *array.shape[-2:])
    top = float(np.nanmax(np.abs(maps), initial=0.0)) or 1.0
    table = colour.palette("CET_D1A" if signed else "viridis")
    unit = array.attrs.get("units", "")
    out = []
    for i, values in enumerate(maps):
        height, width = values.shape
        title = f"{name} {_entry(one, name, i)}".strip()
        if signed:
            title += ": red positive, blue negative"
        element = hv.Image(
            values, bounds=(0, 0, width, height), vdims=[hv.Dimension(name, unit=unit or None)], label=title
        )
        limits = (-top, top) if signed else (0, top)
        out.append(
            element.opts(cmap=table, clim=limits, colorbar=True, tools=["hover"], **_square(width, height))
        )
    return out


def _entry(one, name: str, i: int) -> str:
    """Name one entry of a stack of maps by its class or support, if known."""
    classes = list(map(str, one["class"].values)) if "class" in one.coords else []
    for coordinate, array in one[name].coords.items():
        if coordinate in {"target_class", "match_support"} and array.ndim == 1 and i < array.size:
            value = array.values[i]
            if (
                coordinate == "target_class"
                and np.issubdtype(array.dtype, np.integer)
                and int(value) < len(classes)
            ):
                return classes[int(value)]
            return str(value)
    return str(i) if one[name].ndim > 2 else ""


def _segments(hv, one, name: str) -> list:
    """Draw a label map with categorical colours; positions without a label stay empty."""
    ids = np.asarray(one[name].values, float)
    height, width = ids.shape[-2:]
    ids = ids.reshape(-1, height, width)[0]
    count = int(np.nanmax(ids, initial=0)) + 1
    colours = [colour.category(i)[0] for i in range(max(1, count))]
    shown = np.where(ids < 0, np.nan, ids)
    element = hv.Image(shown, bounds=(0, 0, width, height), vdims=name, label=name)
    options = {"colorbar": True, "tools": ["hover"], **_square(width, height)}
    return [element.opts(cmap=colours, clim=(-0.5, count - 0.5), **options)]


def _bars(hv, one, name: str) -> list:
    """Draw signed bars of one row of numbers, the 12 largest by absolute value, with zero in the middle."""
    array = one[name]
    dim = array.dims[-1]
    values = np.asarray(array.values, float).reshape(-1, array.shape[-1])[0]
    labels = [str(v) for v in (array[dim].values if dim in array.coords else range(values.size))]
    order = np.argsort(-np.abs(np.nan_to_num(values)))[:12][::-1]
    signs = (
        np.where(values[order] < 0, "negative", "positive")
        if name != "probability"
        else np.full(order.size, name)
    )
    rows = [(labels[i], values[i], str(sign)) for i, sign in zip(order, signs, strict=True)]
    bars = hv.Bars(rows, kdims=dim, vdims=[name, "sign"], label=name)
    colours = {"positive": "#b2392c", "negative": "#3a5fc4", name: "#5b6675"}
    mapped = hv.dim("sign").categorize(colours)
    bound = float(np.nanmax(np.abs(values), initial=0)) or 1.0
    low = -1.05 * bound if (values < 0).any() else 0
    size = {"frame_width": 260, "frame_height": 260, "ylim": (low, 1.05 * bound)}
    return [bars.opts(invert_axes=True, color=mapped, tools=["hover"], xlabel="", ylabel=name, **size)]


def data_uri(image: np.ndarray, side: int = 64) -> str:
    """Return an image as a JPEG data URI, at most ``side`` pixels per side."""
    from xai_views.views.wire import as_uint8

    pixels = as_uint8(image)
    picture = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
    picture.thumbnail((side, side))
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=80)
    return "data:image/jpeg;base64," + base64.b64encode(out.getvalue()).decode()


def latent_map(xy: np.ndarray, labels: Sequence[int], names: Sequence[str], thumbs: Any = None,
               ids: Sequence[str] | None = None, size: int = 420, on_select: Any = None) -> Any:  # fmt: skip
    """Draw a latent space: one point per sample, coloured and shaped by class, with its image on hover.

    Parameters
    ----------
    xy : np.ndarray
        ``[n, 2]`` positions.
    labels : sequence of int
        Class index of each point; -1 = unknown.
    names : sequence of str
        Class names.
    thumbs : np.ndarray, optional
        ``[n, y, x(, c)]`` images, shown on hover as data URIs. Left out above 2,000 points (they would take several MB);
        then only text is shown.
    ids : sequence of str, optional
        Names of the points.
    size : int
        Height in CSS pixels; the width follows the page.
    on_select : callable, optional
        Called with the list of selected point indices (tap, or lasso tool).

    Returns
    -------
    bokeh.plotting.figure
        Its data source is named ``"points"`` and shares the selection.
    """
    from bokeh.models import ColumnDataSource, HoverTool
    from bokeh.plotting import figure
    from bokeh.transform import factor_cmap, factor_mark

    xy, labels = np.asarray(xy, float), [int(k) for k in np.asarray(labels)]
    if xy.ndim != 2 or xy.shape[1] != 2 or len(labels) != len(xy):
        raise XaiViewsError(
            f"xy of shape {list(xy.shape)} and {len(labels)} labels were given for a latent map; give xy [n, 2] and n labels."
        )
    words = [str(names[k]) if 0 <= k < len(names) else "unknown" for k in labels]
    factors = [str(name) for name in names if str(name) in set(words)] + (
        ["unknown"] if "unknown" in words else []
    )
    points = {
        "x": xy[:, 0],
        "y": xy[:, 1],
        "label": words,
        "id": list(ids) if ids is not None else [str(i) for i in range(len(xy))],
    }
    pictured = thumbs is not None and len(xy) <= MAX_THUMBS
    if pictured:
        points["thumb"] = [data_uri(image) for image in thumbs]
    source = ColumnDataSource(points, name="points")
    out = figure(
        height=size,
        sizing_mode="stretch_width",
        name="latent_map",
        tools="pan,wheel_zoom,tap,lasso_select,reset",
        toolbar_location="above",
        active_scroll="wheel_zoom",
        x_axis_label="first axis",
        y_axis_label="second axis",
    )
    colours = [colour.CATEGORICAL[i % 8] for i in range(len(factors))]
    shapes = [MARKERS[(i + i // 8) % 8] for i in range(len(factors))]
    out.scatter("x", "y", source=source, size=8, fill_alpha=0.75, line_color="white", line_width=0.5,
    legend_group="label",
                nonselection_fill_alpha=0.15, color=factor_cmap("label", colours, factors),
                marker=factor_mark("label", shapes, factors))  # fmt: skip
    picture = (
        '<img src="@thumb" alt="" style="display:block;width:64px;image-rendering:auto">' if pictured else ""
    )
    out.add_tools(HoverTool(tooltips=f"<div>{picture}<div>@id</div><div>@label</div></div>"))
    out.grid.grid_line_alpha = 0.3
    out.toolbar.logo = None
    if len(factors) <= 12:
        out.add_layout(out.legend[0], "right")
    out.legend.visible = len(factors) <= 12
    if on_select is not None:
        source.selected.on_change("indices", lambda _attr, _old, new: on_select(list(new)))
    return out
