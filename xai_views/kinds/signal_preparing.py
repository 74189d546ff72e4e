"""Conversion of records to a model's leads, rate and number of steps; all changes are recorded."""

from __future__ import annotations

import json
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import xarray as xr

from xai_views.errors import SamplesError
from xai_views.kinds.signal_schema import lead_name, validate_signals

#: Leads that are computed from I and II (Einthoven, Goldberger): weights of I and of II.
DERIVED = {"III": (-1.0, 1.0), "aVR": (-0.5, -0.5), "aVL": (1.0, -0.5), "aVF": (-0.5, 1.0)}
#: Longest remark on a lazily read record.
FLAG = "U600"


@dataclass(frozen=True)
class Plan:
    """Steps of :func:`prepare` for every record, derived from the names and the rate alone."""

    source: tuple[str, ...]
    target: tuple[str, ...]
    up: int
    down: int
    steps: int

    @property
    def where(self) -> list[int]:
        """Index in the source of each wanted lead, -1 = missing."""
        return [self.source.index(x) if x in self.source else -1 for x in self.target]

    @property
    def limbs(self) -> tuple[int, int] | None:
        """Indices of I and II, from which other leads are computed."""
        there = "I" in self.source and "II" in self.source
        return (self.source.index("I"), self.source.index("II")) if there else None

    @property
    def needed(self) -> int:
        """Number of source steps that the new steps depend on, including the reach of the filter."""
        reach = 0 if self.up == self.down else -(-10 * max(self.up, self.down) // self.up) + 1
        return -(-self.steps * self.down // self.up) + reach

    def nearest(self, steps: int) -> np.ndarray:
        """Return ``[self.steps]`` int64: the source step nearest to each new step, -1 beyond the ``steps`` of the source."""
        exact = np.arange(self.steps) * self.down
        index = (2 * exact + self.up) // (2 * self.up)
        return np.where(exact < steps * self.up, np.minimum(index, steps - 1), -1)


def prepare(
    ds: xr.Dataset, leads: Any = (), rate: float | None = None, steps: int | None = None
) -> xr.Dataset:
    """Convert records to the leads, the rate and the length that a model was trained on.

    Leads are chosen by name. Where a record lacks III, aVR, aVL or aVF, they are computed from I and II. Any other
    missing lead becomes zeros with ``present`` False. Signals are resampled with an anti-aliasing filter
    (``scipy.signal.resample_poly``, each record over its own ``length``), then cut to the first ``steps`` or padded
    with zeros. Ground truth over time takes the nearest step; for a computed lead it is the union of those of I and II.

    Parameters
    ----------
    ds : xarray.Dataset
        Records ``signal [sample, lead, time]`` in mV; numpy, or dask for a lazy result.
    leads : sequence of str, optional
        Names in the model's order; by default those of ``ds``.
    rate : float, optional
        Steps per second (Hz); None keeps that of ``ds``.
    steps : int, optional
        Length of the result; None keeps the whole record.

    Returns
    -------
    xarray.Dataset
        With ``present``, ``length`` and ``flag``, and the attribute ``prepared``: a JSON list of the steps applied.

    Raises
    ------
    SamplesError
        When ``ds`` holds no signals, none of the wanted leads is present, or rate or steps are not positive.
    """
    if "signal" not in ds:
        raise SamplesError(
            "prepare was given samples without 'signal'; give records, for instance those of open_ecg."
        )
    ds = validate_signals(ds)
    plan = _plan(ds, leads, rate, steps)
    n, count, long = ds["signal"].shape
    present = ds["present"].data if "present" in ds else np.ones((n, count), bool)
    flag = ds["flag"].data if "flag" in ds else np.full(n, "")
    length = np.asarray(ds["length"].values if "length" in ds else np.full(n, long))
    new = np.minimum(-(-length * plan.up // plan.down), plan.steps)
    variables: dict[str, Any] = {
        "signal": (
            ("sample", "lead", "time"),
            _signals(ds["signal"].data, present, length, plan),
            {"units": "mV"},
        ),
        "present": (("sample", "lead"), _blockwise(_presence, bool, plan, present)),
        "flag": ("sample", _blockwise(_flags, FLAG, plan, flag, present)),
        "length": ("sample", new.astype(np.int64)),
    }
    for key in ds.data_vars:
        if key not in variables:
            variables[str(key)] = _carried(ds[key].variable, plan)
    target = ds.attrs["rate"] if rate is None else float(rate)
    coords = {"lead": list(plan.target), "time": ("time", np.arange(plan.steps) / target, {"units": "s"})}
    done = [*json.loads(ds.attrs.get("prepared", "[]")), *_said(plan, ds, target, length)]
    return validate_signals(
        xr.Dataset(variables, coords, {**ds.attrs, "rate": target, "prepared": json.dumps(done)})
    )


def back(values: xr.DataArray, ds: xr.Dataset) -> xr.DataArray:
    """Map values on prepared records back to the steps of the original records.

    Parameters
    ----------
    values : DataArray
        Values with last dimension ``time`` and its coordinate in seconds, for instance the clusters or the
        attribution of an explanation.
    ds : xarray.Dataset
        The records before :func:`prepare`; both start at the same time.

    Returns
    -------
    DataArray
        On ``ds["time"]``: floats by linear interpolation, all others by the nearest step. Outside the model's input:
        NaN, -1 for ids, False.

    Raises
    ------
    SamplesError
        When the last dimension of ``values`` is not ``time`` with a coordinate.
    """
    if values.dims[-1:] != ("time",) or "time" not in values.coords:
        raise SamplesError(
            f"values to map back have dimensions {list(values.dims)}; give a last dimension 'time' with "
            "its coordinate in seconds."
        )
    old, new, given = values["time"].values, ds["time"].values, values.values
    step = float(old[1] - old[0]) if len(old) > 1 else 1.0
    at = np.clip(np.rint((new - old[0]) / step).astype(np.int64), 0, len(old) - 1)
    beyond = (new > old[-1] + step / 2) | (new < old[0] - step / 2)
    if given.dtype.kind == "f":
        low = np.clip(np.floor((new - old[0]) / step).astype(np.int64), 0, max(len(old) - 2, 0))
        high = np.minimum(low + 1, len(old) - 1)
        share = np.clip((new - old[low]) / step, 0, 1).astype(given.dtype)
        moved = given[..., low] * (1 - share) + given[..., high] * share
        moved[..., beyond] = np.nan
    else:
        moved = given[..., at]
        moved[..., beyond] = False if given.dtype == bool else -1
    coords = {k: c for k, c in values.coords.items() if "time" not in c.dims}
    return xr.DataArray(moved, {**coords, "time": ds["time"]}, values.dims, values.name, values.attrs)


def _plan(ds: xr.Dataset, leads: Any, rate: float | None, steps: int | None) -> Plan:
    """Check the requested leads, rate and steps against the records."""
    source = tuple(str(x) for x in ds["lead"].values)
    target = tuple(lead_name(x) for x in leads) or source
    if len(set(target)) < len(target):
        raise SamplesError(f"the leads {list(target)} contain a name twice; name each once.")
    known = {*source, *(DERIVED if {"I", "II"} <= set(source) else ())}
    if not known & set(target):
        raise SamplesError(
            f"the records have the leads {', '.join(source)} and none of {', '.join(target)}; open records "
            "with these leads, or rename theirs."
        )
    was = float(ds.attrs["rate"])
    new = was if rate is None else float(rate)
    if not (np.isfinite(new) and new > 0):
        raise SamplesError(f"the rate {rate} is not possible; give a positive number of steps per second.")
    ratio = ratio_of(new, was)
    if not ratio or ratio > 1000:
        raise SamplesError(
            f"records of {was:g} Hz cannot be resampled to {new:g} Hz; choose a rate closer to theirs."
        )
    long = -(-ds.sizes["time"] * ratio.numerator // ratio.denominator)
    if steps is not None and (isinstance(steps, bool) or int(steps) != steps or steps < 1):
        raise SamplesError(f"{steps} steps are not possible; give a positive whole number.")
    return Plan(source, target, ratio.numerator, ratio.denominator, long if steps is None else int(steps))


def _signals(signal: Any, present: Any, length: np.ndarray, plan: Plan) -> Any:
    if isinstance(signal, np.ndarray) and isinstance(present, np.ndarray):
        return _bring(signal, present, length, plan)
    import dask.array as da

    signal = da.asarray(signal)
    chunks = (signal.chunks[0], -1, -1)
    return da.map_blocks(
        lambda s, p, k: _bring(s, p[..., 0], k[:, 0, 0], plan),
        signal.rechunk(chunks),
        da.asarray(present).rechunk((signal.chunks[0], -1))[..., None],
        da.from_array(length[:, None, None], chunks=(signal.chunks[0], 1, 1)),
        dtype=np.float32,
        chunks=(signal.chunks[0], (len(plan.target),), (plan.steps,)),
        meta=np.empty((0, 0, 0), np.float32),
    )


def _bring(signal: np.ndarray, present: np.ndarray, length: np.ndarray, plan: Plan) -> np.ndarray:
    """Choose, compute, resample and cut some records: ``[n, lead, time]`` to ``[n, target, steps]`` float32."""
    out = np.zeros((len(signal), len(plan.target), plan.steps), np.float32)
    # Resampling is linear, so leads are computed after it: only eight of twelve leads are filtered.
    for steps in np.unique(length):
        rows = np.flatnonzero(length == steps)
        part = resampled(signal[rows][..., : min(steps, plan.needed)], plan.up, plan.down)[..., : plan.steps]
        for j, (name, i) in enumerate(zip(plan.target, plan.where, strict=True)):
            if i >= 0:
                kept = present[rows, i]
                out[rows[kept], j, : part.shape[-1]] = part[kept, i]
            kept = _derivable(present[rows], name, i, plan)
            if plan.limbs and kept.any():
                one, two = DERIVED[name]
                value = one * part[kept, plan.limbs[0]] + two * part[kept, plan.limbs[1]]
                out[rows[kept], j, : part.shape[-1]] = value
    return out


def ratio_of(new: float, was: float) -> Fraction:
    """Return new / old rate as a fraction that suits a polyphase filter."""
    ratio = Fraction(new / was).limit_denominator(1000)
    if abs(float(ratio) * was / new - 1) > 1e-6:
        ratio = Fraction(new / was).limit_denominator(20000)
    return ratio


def resampled(signal: np.ndarray, up: int, down: int) -> np.ndarray:
    """Resample ``[..., steps]`` by ``up / down`` with an anti-aliasing filter: ``ceil(steps up / down)`` steps."""
    if up == down:
        return signal
    from scipy.signal import resample_poly

    # A line through both ends extends the signal: zeros there would make any offset of a lead ring at its ends.
    return resample_poly(signal.astype(np.float64), up, down, axis=-1, padtype="line")


def _derivable(present: np.ndarray, name: str, i: int, plan: Plan) -> np.ndarray:
    """Return ``[n]`` bool: the records that lack the lead ``name`` and have I and II to compute it."""
    if name not in DERIVED or plan.limbs is None:
        return np.zeros(len(present), bool)
    lacks = ~present[:, i] if i >= 0 else np.ones(len(present), bool)
    return lacks & present[:, plan.limbs[0]] & present[:, plan.limbs[1]]


def _presence(present: np.ndarray, plan: Plan) -> np.ndarray:
    columns = []
    for name, i in zip(plan.target, plan.where, strict=True):
        there = present[:, i] if i >= 0 else np.zeros(len(present), bool)
        columns.append(there | _derivable(present, name, i, plan))
    return np.stack(columns, 1)


def _flags(flag: np.ndarray, present: np.ndarray, plan: Plan) -> np.ndarray:
    where = list(zip(plan.target, plan.where, strict=True))
    derived = {name: _derivable(present, name, i, plan) for name, i in where}
    out = []
    for n, text in enumerate(flag):
        computed = [name for name, _ in where if derived[name][n]]
        missing = [name for name, i in where if i < 0 and not derived[name][n]]
        said = [str(text)] if str(text) else []
        if computed:
            said.append(f"{named(computed)} computed from I and II")
        if missing:
            said.append(f"{named(missing)} missing, zeros instead")
        out.append("; ".join(said))
    return np.asarray(out, dtype=str)


def named(leads: list[str]) -> str:
    """Leads as the beginning of a sentence: "V1 is", "V1, V2 and V3 are"."""
    return f"{leads[0]} is" if len(leads) == 1 else f"{', '.join(leads[:-1])} and {leads[-1]} are"


def _blockwise(function: Any, dtype: Any, plan: Plan, *arrays: Any) -> Any:
    """Apply a function to numpy at once, to dask block by block; a wide result has one column for each new lead."""
    if all(isinstance(a, np.ndarray) for a in arrays):
        return function(*arrays, plan)
    import dask.array as da

    rows = next(a.chunks[0] for a in arrays if not isinstance(a, np.ndarray))
    pairs: list[Any] = []
    for a in arrays:
        pairs += [da.asarray(a).rechunk((rows, *(-1,) * (a.ndim - 1))), "ik"[: a.ndim]]
    wide = {"new_axes": {"j": len(plan.target)}} if dtype is bool else {}
    return da.blockwise(
        function, "ij" if wide else "i", *pairs, plan=plan, dtype=dtype, concatenate=True, **wide
    )


def _carried(variable: xr.Variable, plan: Plan) -> xr.Variable:
    """Map a ground truth to the new leads and steps: nearest step, union of I and II for a computed lead."""
    if "lead" in variable.dims:
        pieces = []
        for name, i in zip(plan.target, plan.where, strict=True):
            piece = variable.isel(lead=max(i, 0))
            if i < 0 and name in DERIVED and plan.limbs and variable.dtype == bool:
                piece = variable.isel(lead=plan.limbs[0]) | variable.isel(lead=plan.limbs[1])
            elif i < 0:
                piece = piece * np.zeros((), variable.dtype)
            pieces.append(piece)
        variable = xr.Variable.concat(pieces, "lead").transpose(*variable.dims).astype(variable.dtype)
    if "time" in variable.dims:
        index = plan.nearest(variable.sizes["time"])
        values = variable.isel(time=np.maximum(index, 0))
        variable = (values * xr.Variable("time", index >= 0)).transpose(*variable.dims).astype(variable.dtype)
    return variable


def _said(plan: Plan, ds: xr.Dataset, target: float, length: np.ndarray) -> list[dict[str, Any]]:
    """List the steps applied, in order."""
    steps: list[dict[str, Any]] = []
    if plan.source != plan.target:
        lacking = [x for x in plan.target if x not in plan.source]
        computed = [x for x in lacking if x in DERIVED and plan.limbs]
        steps.append(
            {
                "step": "leads",
                "from": list(plan.source),
                "to": list(plan.target),
                "derived": computed,
                "missing": [x for x in lacking if x not in computed],
            }
        )
    if plan.up != plan.down:
        steps.append(
            {
                "step": "resample",
                "from_hz": float(ds.attrs["rate"]),
                "to_hz": target,
                "up": plan.up,
                "down": plan.down,
                "filter": "scipy.signal.resample_poly, Kaiser window, beta 5",
            }
        )
    long = -(-length * plan.up // plan.down)
    if long.max() > plan.steps:
        steps.append({"step": "crop", "from_steps": int(long.max()), "to_steps": plan.steps})
    if (
        -(-ds.sizes["time"] * plan.up // plan.down) < plan.steps
    ):  # else zeros already followed the end of the record
        steps.append({"step": "pad", "from_steps": int(long.min()), "to_steps": plan.steps, "with": "zeros"})
    return steps
