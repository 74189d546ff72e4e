"""Draw an explanation by the roles of its variables, so that every method can be shown without view code of its own.

Maps over an image become tiles of a canvas, maps over a signal become records on ECG paper, everything else becomes rows of
a table. This module does not depend on any method.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from xai_views.errors import XaiViewsError
from xai_views.views.ecg_paper.record import Record
from xai_views.views.wire import Frame

MAPS = ("signed map", "unsigned map", "labels", "image")
GRIDS = (("y", "x"), ("row", "column"))
TIMES = ("time", "signal_time")
ANSWERS = (
    "logit",
    "probability",
    "ablated_logit",
    "ablated_probability",
)  # sorted by value, not by absolute value
MOST = 8  # maximum number of pictures per variable
MOST_ROWS = 60
STRIP = 250  # number of bins of a strip under a lead


@dataclass(frozen=True, eq=False)
class Picture:
    """One map of an explanation, ready to draw.

    Attributes
    ----------
    id, title : str
        Unique id in its explanation; title for display.
    variable, role : str
        Variable it comes from, and its role.
    values : ndarray
        ``[y, x]`` (``[y, x, rgba]`` for the role "image"), or ``[lead, time]`` or ``[time]`` of a signal.
    step : float
        Seconds per step of a signal's map; 0 for images or if unknown.
    """

    id: str
    title: str
    variable: str
    role: str
    values: np.ndarray
    step: float = 0.0


def single(ds: xr.Dataset, sample: int = 0) -> xr.Dataset:
    """Return one sample of an explanation.

    Raises
    ------
    XaiViewsError
        When there is no such sample.
    """
    if "sample" not in ds.dims:
        return ds
    if not 0 <= sample < ds.sizes["sample"]:
        raise XaiViewsError(
            f"sample {sample} was requested and the explanation has {ds.sizes['sample']}; count from 0."
        )
    return ds.isel(sample=sample)


def pictures(ds: xr.Dataset, sample: int = 0) -> list[Picture]:
    """Return all maps of one sample, in the order of the variables."""
    one = single(ds, sample)
    found: list[Picture] = []
    for name in _variables(one):
        array = one[name]
        role = array.attrs.get("role", "")
        places = _places(array, role)
        if role == "curve" and places and places[-1] in TIMES:
            role = "signed map"  # drawn along the record, as a strip
        if role not in MAPS or not places:
            continue
        for index in itertools.islice(_indices(array, places), MOST):
            part = array.isel(index)
            words = _words(one, index)
            found.append(
                Picture(
                    ".".join([str(name), *(str(i) for i in index.values())]),
                    " ".join([title_of(str(name)), *words]),
                    str(name),
                    role,
                    part.values,
                    _step(array, places),
                )
            )
    return found


def _variables(one: xr.Dataset) -> list[str]:
    """Return the names of all variables, including those that xarray lists as coordinates because a dimension has their name."""
    return [*map(str, one.data_vars), *(str(n) for n in one.coords if "role" in one[n].attrs)]


def _places(array: xr.DataArray, role: str) -> tuple[str, ...]:
    """Return the dimensions that a map spans; () if the variable is not a map."""
    dims = tuple(str(d) for d in array.dims)
    if role == "image":
        return dims[-3:] if dims[-3:] == ("y", "x", "rgba") else ()
    for grid in GRIDS:
        if dims[-2:] == grid:
            return grid
    if dims and dims[-1] in TIMES:
        return dims[-2:] if dims[-2:-1] == ("lead",) else dims[-1:]
    return ()


def _indices(array: xr.DataArray, places: Sequence[str]) -> Iterator[dict[str, int]]:
    """Yield all positions along the dimensions before those of the map."""
    before = [str(d) for d in array.dims if d not in places]
    for at in itertools.product(*(range(array.sizes[d]) for d in before)):
        yield dict(zip(before, at, strict=True))


def _words(one: xr.Dataset, index: Mapping[str, int]) -> list[str]:
    """Return labels for a position: class of a target, name of a layer, else dimension and number."""
    said = []
    for dim, i in index.items():
        if dim == "target" and "target_class" in one.coords:
            said.append(f"for {_class(one, int(one['target_class'].values[i]))}")
        elif dim in one.coords and one[dim].dtype.kind in "UO":
            said.append(str(one[dim].values[i]))
        else:
            said.append(f"{dim} {i}")
    return said


def _class(one: xr.Dataset, number: int) -> str:
    known = one["class"].values if "class" in one.coords else ()
    return str(known[number]) if 0 <= number < len(known) else f"class {number}"


def _step(array: xr.DataArray, places: Sequence[str]) -> float:
    time = next((d for d in places if d in TIMES), None)
    if time is None or time not in array.coords or array.sizes[time] < 2:
        return 0.0
    values = array[time].values
    return float(values[1] - values[0])


def title_of(name: str) -> str:
    """Return a variable's name for display: without its method, with spaces."""
    return name.rpartition(".")[2].replace("_", " ")


# -- images ----------------------------------------------------------------------------------------------------------


def layout(found: Sequence[Picture], size: int = 220) -> dict[str, Any]:
    """Return the tiles of a canvas for these pictures, the original image first."""
    tiles: dict[str, Any] = {
        "photo": {"group": "maps", "size": size, "label": "Sample", "layers": [], "link": "maps"}
    }
    for picture in found:
        tiles[picture.id] = {"group": "maps", "size": size, "label": picture.title, "link": "maps"}
        if picture.role != "image":
            tiles[picture.id] |= {"photo": "photo", "layers": [picture.variable]}
    return {"tiles": tiles, "groups": {"maps": {"title": ""}}}


def frame(
    key: str, ds: xr.Dataset, photo: np.ndarray, name: str = "", sample: int = 0, final: bool = True
) -> bytes:
    """Return all maps of one sample over the original image, as one frame of a canvas with :func:`layout`.

    Parameters
    ----------
    key : str
        Key of the request that the frame answers.
    ds : Dataset
        An explanation with roles.
    photo : ndarray
        ``[y, x, channel]``.
    name : str
        Name of the sample.
    sample : int
        Position in ``ds``.
    final : bool
        False for a preliminary frame that another one follows.
    """
    found = pictures(ds, sample)
    out = Frame(key, text=sentence(ds, name, sample), final=final)
    out.photo(photo, "photo")
    limits = _limits(found)
    for picture in found:
        if picture.role == "image":
            out.photo(on_white(picture.values), picture.id)
        elif picture.role == "signed map":
            out.signed_map(picture.id, picture.variable, picture.values, limit=limits[picture.variable])
        elif picture.role == "unsigned map":
            out.sequential(
                picture.id, picture.variable, np.maximum(picture.values, 0), limit=limits[picture.variable]
            )
        else:
            out.label_map(picture.id, picture.variable, picture.values)
        out.tile(picture.id, size=list(photo.shape[:2]), alt=f"{picture.title} of {name or 'the sample'}")
        if picture.role != "image":
            out.legend(picture.variable, title=title_of(picture.variable))
    return out.to_bytes()


def _limits(found: Sequence[Picture]) -> dict[str, float | None]:
    """Return one colour limit for all pictures of a variable, so that they can be compared."""
    most: dict[str, float] = {}
    for picture in found:
        if picture.role in {"signed map", "unsigned map"}:
            most[picture.variable] = max(
                most.get(picture.variable, 0.0), float(np.abs(picture.values).max(initial=0.0))
            )
    return {name: value or None for name, value in most.items()}


def on_white(rgba: np.ndarray) -> np.ndarray:
    """Composite ``[y, x, 4]`` uint8 over white: ``[y, x, 3]`` uint8."""
    alpha = rgba[..., 3:].astype(np.float32) / 255
    return np.round(rgba[..., :3] * alpha + 255 * (1 - alpha)).astype(np.uint8)


# -- signals ---------------------------------------------------------------------------------------------------------


def records(
    ds: xr.Dataset, signal: np.ndarray, leads: Sequence[str], rate: float, name: str = "", sample: int = 0
) -> list[Record]:
    """Return one ECG record per map of a signal: signed and unsigned maps as strips, labels as bands.

    Parameters
    ----------
    ds : Dataset
        An explanation with roles.
    signal : ndarray
        ``[lead, time]`` in mV.
    leads : sequence of str
        Lead names.
    rate : float
        Sampling rate in Hz.
    name : str
        Name of the record.
    sample : int
        Position in ``ds``.
    """
    seconds = signal.shape[1] / rate
    found = []
    for picture in pictures(ds, sample):
        values = picture.values
        about: dict[str, Any] = {
            "id": f"{name}-{picture.id}",
            "name": f"{name}: {picture.title}",
            "leads": tuple(leads),
            "rate": rate,
            "signal": signal,
            "text": f"{picture.title} of {name}.",
        }
        if picture.role == "labels":
            about |= {"cluster": values, "step": seconds / values.shape[-1]}
        elif picture.role in {"signed map", "unsigned map"}:
            strip = binned(np.atleast_2d(values), min(STRIP, values.shape[-1]))
            about |= {
                "contribution": strip,
                "contribution_step": seconds / strip.shape[-1],
                "target": picture.title,
                "unit": "",
            }
        else:
            continue
        found.append(Record(**about))
    return found


def binned(values: np.ndarray, bins: int) -> np.ndarray:
    """Sum consecutive steps ``[..., T]`` into bins ``[..., bins]``; the total is preserved."""
    edges = (np.arange(bins) * values.shape[-1]) // bins
    return np.add.reduceat(values, edges, axis=-1)


# -- everything else -------------------------------------------------------------------------------------------------


def figures(ds: xr.Dataset, sample: int = 0) -> list[dict[str, Any]]:
    """Return everything that is not a map as rows ``{"id", "what", "value"}``: scalars, ledgers, the largest outputs."""
    one = single(ds, sample)
    rows: list[dict[str, Any]] = []
    for name in _variables(one):
        array = one[name]
        role = array.attrs.get("role", "")
        if role not in {"scalar", "ledger"} or array.dtype.kind not in "iufb":
            continue
        values = np.asarray(array.values, float)
        ranked = values.ravel() if name in ANSWERS else np.abs(values.ravel())
        order = np.argsort(-ranked, kind="stable")[:MOST]
        for flat in order if values.ndim else [0]:
            index = (
                dict(zip(map(str, array.dims), np.unravel_index(int(flat), values.shape), strict=True))
                if values.ndim
                else {}
            )
            words = _words(one, {d: int(i) for d, i in index.items()})
            rows.append(
                {
                    "id": ".".join([str(name), *(str(int(i)) for i in index.values())]),
                    "what": " ".join([title_of(str(name)), *words]),
                    "value": float(values.ravel()[int(flat)]),
                }
            )
    return rows[:MOST_ROWS]


def sentence(ds: xr.Dataset, name: str = "", sample: int = 0) -> str:
    """Describe the sample in text: the prediction, and the maps shown."""
    one = single(ds, sample)
    said = f"Sample {name}" if name else "The sample"
    if "logit" in one:
        top = int(np.asarray(one["logit"].values).argmax())
        said += f": the network predicts {_class(one, top)}"
        if "probability" in one:
            said += f" with probability {float(one['probability'].values[top]):.3f}"
    drawn = list(dict.fromkeys(title_of(p.variable) for p in pictures(ds, sample)))
    return f"{said}. Shown: {', '.join(drawn) or 'nothing'}."
