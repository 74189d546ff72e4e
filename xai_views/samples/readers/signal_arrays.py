"""ECGs as arrays: ``.npz`` and ``.zarr`` with sampling rate and lead names."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from xai_views.errors import SamplesError, cause
from xai_views.kinds.checks import as_labels
from xai_views.kinds.signal_schema import lead_name, validate_signals
from xai_views.samples.readers.raw_record import (
    MissingError,
    Source,
    gather,
    positive_rate,
    to_mv,
    unique_leads,
)

SIGNALS = ("signal", "signals", "ecg")
#: Largest size in bytes of the arrays of one .npz.
MOST_BYTES = 4 * 2**30


def looks_like_arrays(path: Path) -> bool:
    """Return whether a ``.npz`` or a Zarr folder has an array of signals, judged by its names."""
    if path.suffix.lower() == ".npz" and path.is_file():
        try:
            with zipfile.ZipFile(path) as archive:
                return any(f"{s}.npy" in archive.namelist() for s in SIGNALS)
        except zipfile.BadZipFile:
            return False
    return (path / "signal").is_dir() and any(
        (path / f).is_file() for f in ("zarr.json", ".zgroup", ".zmetadata")
    )


def open_npz(
    path: Any,
    title: str,
    labels: Any = None,
    rate: float | None = None,
    leads: Sequence[str] | None = None,
    classes: Sequence[str] | None = None,
    most_bytes: float = MOST_BYTES,
    unit: str | None = None,
) -> xr.Dataset:
    """Open ``signal [N, lead, time]`` (or one record ``[lead, time]``) with ``rate`` and ``leads`` of an ``.npz``.

    ``unit`` (mV by default, noted in the flag), ``label``, ``classes``, ``name``, ``length``, ``present``, ``flag``,
    ``mask`` and ``landmark`` are read as well.

    Parameters
    ----------
    path : Path or binary stream
        The archive.
    title : str
        Title of the samples.
    labels, rate, leads, classes
        As in :func:`xai_views.samples.readers.ecg_files.open_ecg`.
    most_bytes : float
        Largest allowed unpacked size.
    unit : str, optional
        Unit of the signals when the archive names none; by default mV, which is noted in the flag.

    Raises
    ------
    SamplesError
        With a one-sentence message; arrays of Python objects are rejected.
    """
    from xai_views.samples.readers.arrays import load_npz

    _bounded(path, title, most_bytes)
    arrays = load_npz(path)
    key = next((k for k in SIGNALS if k in arrays), None)
    if key is None:
        raise SamplesError(
            f"{title!r} holds {sorted(arrays)[:8]} and needs an array 'signal' [records, leads, steps]."
        )
    stored = arrays.get("leads", arrays.get("lead"))
    names = leads if stored is None else [str(x) for x in np.atleast_1d(stored)]
    own = arrays.get("rate", arrays.get("fs"))
    if names is None:
        raise MissingError(
            "leads", f"{title!r} holds no array 'leads'; add it, or give leads=, the name of each lead."
        )
    if own is None and rate is None:
        raise MissingError("rate", f"{title!r} holds no array 'rate'; add it, or give rate= in Hz.")
    hz = positive_rate(rate if own is None else np.ravel(own)[0], repr(title))
    _agrees(hz, rate, title)
    signal = arrays[key][None] if arrays[key].ndim == 2 else arrays[key]
    signal, remarks, unit = _array(signal, names, arrays.get("unit", arrays.get("units", unit)), title)
    ds, kept = _gathered(signal, unique_leads(names), hz, arrays, remarks, unit, title)
    given = labels if labels is not None else arrays.get("label", arrays.get("labels"))
    wanted = classes if classes is not None or labels is not None else arrays.get("classes")
    return _with_labels(_kept_leads(ds, leads, title), given, wanted, len(signal), kept)


def open_zarr(
    path: Path,
    labels: Any = None,
    rate: float | None = None,
    leads: Sequence[str] | None = None,
    classes: Sequence[str] | None = None,
) -> xr.Dataset:
    """Open records saved with ``Dataset.to_zarr``; the signals are read from disk on access.

    Raises
    ------
    SamplesError
        When it is not a Zarr folder, has no ``signal``, or states another rate.
    """
    try:
        ds = xr.open_zarr(path)
    except Exception as e:  # noqa: BLE001 - zarr raises many types for other folders
        why = cause(e)
        raise SamplesError(
            f"{path.name!r} cannot be read as a Zarr folder ({why}); save records with Dataset.to_zarr."
        ) from None
    if "signal" not in ds:
        raise SamplesError(f"{path.name!r} holds {sorted(map(str, ds.data_vars))[:8]} and needs 'signal'.")
    # Names, labels and remarks are small and needed at once; text is read back as objects.
    small = {k: ds[k].compute() for k in ("name", "label", "length", "present", "flag") if k in ds}
    ds = ds.assign({k: v.astype(str) if v.dtype.kind in "OTU" else v for k, v in small.items()})
    ds = validate_signals(ds.assign_attrs(title=ds.attrs.get("title") or path.stem))
    _agrees(ds.attrs["rate"], rate, path.name)
    ds = _kept_leads(ds, leads, path.name)
    n = ds.sizes["sample"]
    return _with_labels(ds, labels, classes, n, range(n))


def _kept_leads(ds: xr.Dataset, leads: Sequence[str] | None, title: str) -> xr.Dataset:
    if leads is None:
        return ds
    there = [str(x) for x in ds["lead"].values]
    kept = [x for x in map(lead_name, leads) if x in there]
    if not kept:
        raise SamplesError(f"{title!r} has the leads {', '.join(there)}; choose some of these.")
    return ds.sel(lead=kept)


def _agrees(stated: float, rate: float | None, title: str) -> None:
    if rate is not None and abs(stated - rate) > 0.01 * stated:
        raise SamplesError(
            f"{title!r} states {stated:g} Hz and rate={rate:g} was given; omit the rate and resample with "
            "xai_views.samples.prepare."
        )


def _with_labels(ds: xr.Dataset, labels: Any, classes: Any, n: int, kept: Sequence[int]) -> xr.Dataset:
    """Assign the labels of ``n`` records to those that were kept."""
    names = None if classes is None else [str(c) for c in np.atleast_1d(classes)]
    if labels is None:
        return ds if names is None else validate_signals(ds.assign_attrs(classes=names))
    label, names = as_labels(labels, names, n)
    label = label[np.asarray(kept)]
    ds = ds.drop_vars("label", errors="ignore")
    return validate_signals(
        ds.assign(label=(("sample", "class")[: label.ndim], label)).assign_attrs(classes=names)
    )


def _bounded(path: Any, title: str, most: float) -> None:
    """Raise when an archive unpacks to more than the limit."""
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(f.file_size for f in archive.infolist())
    except zipfile.BadZipFile:
        size = 0  # load_npz reports what is wrong
    if size > most:
        raise SamplesError(
            f"{title!r} unpacks to {size / 1e6:.0f} MB (limit: {most / 1e6:.0f} MB); save it as .zarr, which "
            "is read in parts."
        )
    if hasattr(path, "seek"):
        path.seek(0)


def _array(
    signal: np.ndarray, leads: Sequence[str], unit: Any, title: str
) -> tuple[np.ndarray, tuple[str, ...], str]:
    """Return ``[N, lead, time]`` in mV, remarks and the unit."""
    if signal.ndim != 3 or signal.dtype.kind not in "fiu":
        raise SamplesError(
            f"'signal' of {title!r} is {signal.dtype} of shape {list(signal.shape)}; give numbers [records, leads, steps]."
        )
    if not signal.size:
        raise SamplesError(
            f"'signal' of {title!r} has shape {list(signal.shape)} and is empty; give at least one record."
        )
    if signal.shape[1] != len(leads):
        hint = "transpose it with .transpose(0, 2, 1)" if signal.shape[2] == len(leads) else "name each lead"
        raise SamplesError(
            f"'signal' of {title!r} has shape {list(signal.shape)} [records, leads, steps], but {len(leads)} leads are "
            f"named; {hint}."
        )
    text = "" if unit is None else str(np.ravel(unit)[0])
    factor = to_mv(text or "mV")
    if factor is None:
        raise SamplesError(f"'unit' of {title!r} is {text!r}; V, mV, uV or nV are expected.")
    said = () if text else ("no unit given: mV assumed",)
    return (signal * factor).astype(np.float32), said, text or "mV"


def _gathered(
    signal: np.ndarray,
    leads: tuple[str, ...],
    rate: float,
    arrays: dict[str, np.ndarray],
    remarks: tuple[str, ...],
    unit: str,
    title: str,
) -> tuple[xr.Dataset, list[int]]:
    """Check every record of an array, with its ground truth; return the positions of those that are kept."""
    n, _, steps = signal.shape
    length = np.ravel(arrays.get("length", np.full(n, steps))).astype(np.int64)
    names = [str(x) for x in np.ravel(arrays.get("name", [f"{i:05d}" for i in range(n)]))]
    flags = [str(x) for x in np.ravel(arrays.get("flag", [""] * n))]
    if not len(length) == len(names) == len(flags) == n or not ((length > 0) & (length <= steps)).all():
        raise SamplesError(
            f"'name', 'flag' and 'length' of {title!r} should have {n} entries, lengths between 1 and {steps}."
        )
    there = np.asarray(arrays.get("present", np.ones(signal.shape[:2], bool)), bool)
    if there.shape != signal.shape[:2]:
        raise SamplesError(
            f"'present' of {title!r} has shape {list(there.shape)} and should have {list(signal.shape[:2])}."
        )
    signal[~there] = np.nan

    def source(i: int) -> Source:
        said = tuple(filter(None, (flags[i], *remarks)))
        held = signal[i, :, : length[i]]
        return Source(names[i], leads, rate, int(length[i]), lambda: (held, ()), said, f"unit {unit}")

    ds, kept = gather([source(i) for i in range(n)], lazy=False, title=title)
    at = [leads.index(str(x)) for x in ds["lead"].values]
    for key, dims in (("mask", ("sample", "lead", "time")), ("landmark", ("sample", "time"))):
        if key not in arrays:
            continue
        if arrays[key].shape != tuple({"sample": n, "lead": len(leads), "time": steps}[d] for d in dims):
            raise SamplesError(
                f"{key!r} of {title!r} has shape {list(arrays[key].shape)}, unlike its signals; give the same sizes."
            )
        truth = arrays[key][kept][..., : ds.sizes["time"]]
        ds = ds.assign({key: (dims, truth[:, at].astype(bool) if key == "mask" else truth.astype(np.int8))})
    return validate_signals(ds), kept
