"""Schema of signals: records with named leads in mV."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from xai_views.errors import SamplesError
from xai_views.kinds.arrays import described
from xai_views.kinds.checks import WORDS, as_labels, in_memory, numbered

#: The twelve leads in the order of ECG paper and of most files.
LEADS = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")
SIGNAL_DIMS: tuple[str, ...] = ("sample", "lead", "time")
CLASS_MASK_DIMS = ("sample", "class", "lead", "time")
#: Waves that a step of a heartbeat can belong to; ids of the variable ``landmark``.
LANDMARKS = ("none", "P", "QRS", "T", "TP")
_STANDARD = {name.lower(): name for name in LEADS}
ALIASES = {
    "di": "I",
    "dii": "II",
    "diii": "III",
    "d1": "I",
    "d2": "II",
    "d3": "III",
    "1": "I",
    "2": "II",
    "3": "III",
}


def lead_name(text: Any) -> str:
    """Return the standard name of a lead ("DII", "Lead II", "II (Einthoven)", "AVR" …); unknown names are kept."""
    text = str(text)[:200]  # a file may name a lead with megabytes of brackets
    plain = re.sub(r"\(.*?\)", "", text).strip()
    short = re.sub(r"^(ecg|ekg)[\s_.:-]*", "", plain, flags=re.IGNORECASE).strip()
    prefixed = short != plain
    short = re.sub(r"^lead[\s_.:-]*", "", short, flags=re.IGNORECASE).strip()
    low = short.lower()
    if prefixed and low.isdigit():  # "ECG1" of a Holter is its first channel, not a particular lead
        return plain
    return _STANDARD.get(ALIASES.get(low, low).lower(), plain)


def signal_dataset(
    signal: Any,
    rate: float,
    leads: Sequence[str],
    label: Any = None,
    name: Sequence[str] | None = None,
    classes: Sequence[str] | None = None,
    length: Any = None,
    present: Any = None,
    flag: Sequence[str] | None = None,
    mask: Any = None,
    landmark: Any = None,
    class_mask: Any = None,
    **attrs: Any,
) -> xr.Dataset:
    """Build samples from signals and what is known about them.

    Parameters
    ----------
    signal : array
        ``[N, leads, steps]`` in mV; numpy or dask.
    rate : float
        Steps per second (Hz).
    leads : sequence of str
        Name of each lead; known aliases become standard names.
    label : array, optional
        ``[N]`` class indices (-1 = unknown) or class names, or ``[N, classes]`` 0/1.
    name, classes : sequence of str, optional
        Unique ids of the records; class names.
    length : array, optional
        ``[N]`` number of steps with signal; zeros follow.
    present : array, optional
        ``[N, leads]`` False where a lead is missing or unusable.
    flag : sequence of str, optional
        A remark on the quality of each record, "" for none.
    mask : array, optional
        ``[N, leads, steps]`` bool: where the evidence of the record's classes lies.
    landmark : array, optional
        ``[N, steps]`` ids of :data:`LANDMARKS`.
    class_mask : array, optional
        ``[N, classes, leads, steps]`` bool: where the evidence of each class lies, for records with several classes.
    **attrs
        ``title``, ``synthetic``, ``note``, ``licence``, ``origin`` and similar attributes.

    Raises
    ------
    SamplesError
        With a one-sentence message.
    """
    if not hasattr(signal, "__dask_graph__"):
        signal = np.asarray(signal)
    if signal.ndim != 3 or signal.dtype.kind not in "fiu":
        raise SamplesError(
            f"signals came as {signal.dtype} of shape {list(signal.shape)} and should be numbers "
            "[records, leads, steps] in mV; add the missing dimension, for instance signal[None]."
        )
    n, count, steps = signal.shape
    leads = [lead_name(x) for x in leads]
    if len(leads) != count:
        raise SamplesError(f"{len(leads)} lead names were given for {count} leads; name each lead once.")
    rate = float(rate)
    if not (np.isfinite(rate) and rate > 0):
        raise SamplesError(
            f"the sampling rate came as {rate} and should be a positive number of steps per second."
        )
    variables: dict[str, Any] = {"signal": (SIGNAL_DIMS, signal.astype(np.float32))}
    variables["name"] = (
        "sample",
        np.asarray(numbered(n) if name is None else [str(s) for s in name], dtype=str),
    )
    known: dict[str, Any] = {**WORDS, "classes": [str(c) for c in classes or []], "rate": rate}
    if label is not None:
        label, known["classes"] = as_labels(label, None if classes is None else known["classes"], n)
        variables["label"] = (("sample", "class")[: label.ndim], label)
    for key, dims, value in (
        ("length", ("sample",), None if length is None else np.asarray(length, np.int64)),
        ("present", ("sample", "lead"), None if present is None else np.asarray(present, bool)),
        ("flag", ("sample",), None if flag is None else np.asarray([str(f) for f in flag], dtype=str)),
        ("mask", SIGNAL_DIMS, None if mask is None else _typed(mask, bool)),
        ("landmark", ("sample", "time"), None if landmark is None else _typed(landmark, np.int8)),
        ("class_mask", CLASS_MASK_DIMS, None if class_mask is None else _typed(class_mask, bool)),
    ):
        if value is not None:
            variables[key] = (dims, value)
    if landmark is not None:
        known["landmarks"] = list(LANDMARKS)
    coords = {"lead": leads, "time": ("time", np.arange(steps) / rate, {"units": "s"})}
    try:
        ds = xr.Dataset(variables, coords, {**known, **attrs})
    except ValueError as e:
        raise SamplesError(
            f"the fields of the signals do not match them ({str(e).splitlines()[0][:120]}); give one entry per record."
        ) from None
    ds["signal"].attrs["units"] = "mV"
    return validate_signals(ds)


def _typed(values: Any, dtype: Any) -> Any:
    return values.astype(dtype) if hasattr(values, "__dask_graph__") else np.asarray(values, dtype)


def validate_signals(ds: xr.Dataset) -> xr.Dataset:
    """Return ``ds`` when it follows the schema of signals, with missing names and attributes added.

    Raises
    ------
    SamplesError
        In one sentence: what was given, what was expected, what to do.
    """
    _check_signal(ds)
    if ds["signal"].dtype != np.float32:
        ds = ds.assign(signal=ds["signal"].astype(np.float32))
    if in_memory(ds["signal"]) and not np.isfinite(ds["signal"].values).all():
        raise SamplesError(
            "'signal' holds values that are not finite numbers; mark such leads in 'present' and set them to zero."
        )
    if not ds.attrs.get("rate"):
        time = ds["time"].values
        if len(time) < 2:
            raise SamplesError("'signal' has one step and no 'rate'; give the sampling rate in Hz.")
        ds = ds.assign_attrs(rate=float((len(time) - 1) / (time[-1] - time[0])))
    ds = described(ds)
    classes = ds.attrs["classes"]
    if "class_mask" in ds and (
        ds["class_mask"].dims != CLASS_MASK_DIMS or ds["class_mask"].shape[1] != len(classes)
    ):
        raise SamplesError(
            f"'class_mask' came as {dict(ds['class_mask'].sizes)} and should have {list(CLASS_MASK_DIMS)} with the "
            f"{len(classes)} classes; name each class and give it a mask."
        )
    if "length" in ds and not ((ds["length"].values > 0) & (ds["length"].values <= ds.sizes["time"])).all():
        raise SamplesError(f"'length' should lie between 1 and {ds.sizes['time']}, the steps of the signals.")
    if "landmark" in ds:
        ds = ds.assign_attrs(landmarks=list(ds.attrs.get("landmarks", LANDMARKS)))
    return ds


def _check_signal(ds: xr.Dataset) -> None:
    signal = ds["signal"]
    if signal.dims != SIGNAL_DIMS:
        raise SamplesError(
            f"'signal' has dimensions {list(signal.dims)} and should have {list(SIGNAL_DIMS)}; transpose or rename them."
        )
    if not all(signal.shape):
        raise SamplesError(f"'signal' has shape {list(signal.shape)} and is empty; give at least one record.")
    if "lead" not in ds.coords or "time" not in ds.coords:
        raise SamplesError(
            "'signal' needs the coordinates 'lead' (names) and 'time' (seconds); build it with signal_dataset."
        )
    leads = [str(x) for x in ds["lead"].values]
    if len(set(leads)) < len(leads):
        twice = next(x for x in leads if leads.count(x) > 1)
        raise SamplesError(f"the lead {twice!r} occurs twice; lead names must be unique.")


def trace_tile(trace: np.ndarray, side: int) -> np.ndarray:
    """Draw a lead as a small picture for start pages.

    Parameters
    ----------
    trace : ndarray
        ``[time]`` in mV.
    side : int
        Side length in pixels.

    Returns
    -------
    ndarray
        ``[side, side, 3]`` uint8: black on white, the median a little below the middle.
    """
    from PIL import Image, ImageDraw

    tile, middle = Image.new("RGB", (side, side), "white"), float(np.median(trace))
    points = [
        (side * i / len(trace), side * (0.62 - 0.36 * (float(v) - middle))) for i, v in enumerate(trace)
    ]
    ImageDraw.Draw(tile).line(points, fill=(20, 20, 20), width=max(1, side // 80))
    return np.asarray(tile)
