"""Two explanations side by side: the map that each is read by, their difference, and both answers in one table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from xai_views.engine.clusters.measures import density

#: Maps by which an explanation is read, the first that it has; otherwise its first map.
FIRST = ("contribution", "attribution", "region_attribution", "time_contribution")
#: Dimensions of maps of other samples than the explained one.
OTHERS = ("support", "match")
PLACES = (
    ("y", "x"),
    ("row", "column"),
    ("lead", "time"),
    ("lead", "signal_time"),
    ("time",),
    ("signal_time",),
)
SIGNED, UNSIGNED, LABELS = "signed map", "unsigned map", "labels"
#: Of clusters, whose contribution is spread over their positions.
SPREAD = "contribution of its cluster"


@dataclass(frozen=True, eq=False)
class Map:
    """One map of an explanation of a single sample.

    Attributes
    ----------
    name, role : str
        What it holds: equal names hold the same quantity.
    values : ndarray
        ``[y, x]``, ``[lead, time]`` or ``[time]``.
    target : int
        The class that it is about; -1 = none.
    """

    name: str
    role: str
    values: np.ndarray
    target: int = -1


def main_map(ds: xr.Dataset) -> Map | None:
    """Return the map by which an explanation of one sample is read; None where it has none.

    Parameters
    ----------
    ds : Dataset
        An explanation with roles, of one sample.
    """
    one = ds.isel(sample=0) if "sample" in ds.dims else ds
    target = explained_class(one)
    if "segment" in one and "cluster_contribution" in one:
        values = density(one["segment"].values, one["cluster_contribution"].values[0])
        return Map(SPREAD, SIGNED, values, target)
    names = [n for n in FIRST if n in one]
    names += [str(n) for n in one.data_vars if n not in names]
    for name in names:
        found = _map(one, name, (SIGNED, UNSIGNED, "curve"))
        if found is not None:
            return Map(name, UNSIGNED if one[name].attrs.get("role") == UNSIGNED else SIGNED, found, target)
    return None


def label_map(ds: xr.Dataset) -> Map | None:
    """Return the first map of regions or clusters of an explanation of one sample; None where it has none."""
    one = ds.isel(sample=0) if "sample" in ds.dims else ds
    for name in ("segment", "cluster", "region", *map(str, one.data_vars)):
        found = _map(one, name, (LABELS,)) if name in one else None
        if found is not None:
            return Map(name, LABELS, found)
    return None


def _map(one: xr.Dataset, name: str, wanted: Sequence[str]) -> np.ndarray | None:
    array = one[name]
    role, dims = array.attrs.get("role", ""), tuple(map(str, array.dims))
    if role not in wanted or set(OTHERS) & set(dims):
        return None
    places = next((p for p in PLACES if dims[-len(p) :] == p), None)
    if places is None or (role == "curve" and places[-1] not in {"time", "signal_time"}):
        return None
    before = dict.fromkeys(dims[: -len(places)], 0)  # the explained class, the first layer
    return np.asarray(array.isel(before).values)


def explained_class(ds: xr.Dataset) -> int:
    """Return the class that an explanation of one sample is about; -1 = none."""
    one = ds.isel(sample=0) if "sample" in ds.dims else ds
    if "target_class" not in one:
        return -1
    return int(np.atleast_1d(one["target_class"].values)[0])


def apart(left: Map | None, right: Map | None) -> str:
    """Return why two maps have no difference; "" when they have one."""
    if left is None or right is None:
        return "One side has no map."
    if left.name != right.name:
        return f"The maps hold different quantities ({_words(left)}; {_words(right)}), so they are not subtracted."
    if left.values.shape != right.values.shape:
        sizes = " and ".join("×".join(map(str, m.values.shape)) for m in (left, right))
        return f"The maps have different grids ({sizes}), so they are not subtracted."
    return ""


def _words(found: Map) -> str:
    return found.name.replace("_", " ")


def difference(left: Map, right: Map) -> np.ndarray:
    """Return the right map minus the left one.

    Raises
    ------
    ValueError
        Where :func:`apart` gives a reason.
    """
    reason = apart(left, right)
    if reason:
        raise ValueError(reason)
    return np.asarray(right.values, np.float64) - np.asarray(left.values, np.float64)


def limit_of(*maps: Map | None) -> float:
    """Return the largest absolute value of some maps: one colour range for all of them."""
    return max((float(np.abs(m.values).max(initial=0.0)) for m in maps if m is not None), default=0.0)


def answers(
    left: xr.Dataset, right: xr.Dataset, classes: tuple[Sequence[str], Sequence[str]], most: int = 5
) -> list[dict[str, Any]]:
    """Return logits and probabilities of both sides by class, and right minus left where both have the class.

    Parameters
    ----------
    left, right : Dataset
        Explanations of one sample each.
    classes : pair of sequences of str
        Names of the classes of each side; classes of equal names are the same.
    most : int
        Classes of the largest logits of each side that are listed.
    """
    sides = [_by_name(ds, names) for ds, names in zip((left, right), classes, strict=True)]
    listed = dict.fromkeys(
        n for side in reversed(sides) for n in sorted(side, key=lambda n: -side[n][0])[:most]
    )
    rows = []
    for name in listed:
        row: dict[str, Any] = {"id": name, "class": name}
        for word, side in zip(("left", "right"), sides, strict=True):
            if name in side:
                row |= {f"logit_{word}": side[name][0], f"probability_{word}": side[name][1]}
        if all(name in side for side in sides):
            row |= {f"{n}_difference": row[f"{n}_right"] - row[f"{n}_left"] for n in ("logit", "probability")}
        rows.append(row)
    return rows


def _by_name(ds: xr.Dataset, names: Sequence[str]) -> Mapping[str, tuple[float, float]]:
    if "logit" not in ds or "probability" not in ds:
        return {}
    logit, p = (np.asarray(ds[n].values, float).reshape(-1) for n in ("logit", "probability"))
    return {str(name): (float(logit[c]), float(p[c])) for c, name in enumerate(names)}
