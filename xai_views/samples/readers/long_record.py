"""Long records (Holter, monitor): read from disk by window, with a pyramid of extremes for wide windows."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from xai_views.errors import SamplesError
from xai_views.kinds.signal_preparing import FLAG
from xai_views.samples.readers.ecg_header import Header, read_header, record_path
from xai_views.samples.readers.raw_record import LONGEST_S, Source, gather
from xai_views.samples.readers.signal_arrays import open_zarr
from xai_views.samples.readers.wfdb import read_steps, wfdb_package

#: Steps per cell of the finest level of the pyramid, and cells per cell of the next level.
CELL, FANOUT = 64, 4
#: Steps per read while the pyramid is built.
CHUNK = 2**20
#: Smallest number of pyramid cells per column of a window; with fewer, the signal is read from disk.
FINE = 4


class LongRecord:
    """A record of any length that is read on demand.

    Opening reads only the header. A narrow window is read from disk. The first window wider than
    ``4 x 64`` steps per column reads the record once, in chunks, and keeps the minimum and maximum of every 64 steps
    and of every 256, 1024 ... in memory (a 24-hour record of two leads at 250 Hz: 7 MB).

    Attributes
    ----------
    name : str
        Name of the record.
    leads : tuple of str
        Standard names.
    rate : float
        Hz.
    steps : int
        Length in steps.
    remarks : tuple of str
        Remarks made when the header was read.
    """

    def __init__(
        self,
        name: str,
        leads: tuple[str, ...],
        rate: float,
        steps: int,
        read: Callable[[int, int], np.ndarray],
        remarks: tuple[str, ...] = (),
        gain: str = "",
    ) -> None:
        self.name, self.leads, self.rate, self.steps = name, leads, rate, steps
        self.remarks, self._gain, self._read = remarks, gain, read
        self._levels: list[np.ndarray] = []
        self._lock = threading.Lock()

    @property
    def duration(self) -> float:
        """Length of the record in seconds."""
        return self.steps / self.rate

    @property
    def built(self) -> bool:
        """Whether the pyramid is in memory."""
        return bool(self._levels)

    def window(self, start_s: float, stop_s: float, steps: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the minimum and maximum in each column of a drawing.

        Parameters
        ----------
        start_s, stop_s : float
            Seconds from the beginning; values outside the record are NaN.
        steps : int
            Columns of the drawing.

        Returns
        -------
        low, high : ndarray
            ``[lead, steps]`` float32 in mV, NaN where values are missing. Each column covers its steps; in a wide
            window it may also cover up to a quarter of a column on either side.

        Raises
        ------
        SamplesError
            For a window that ends before it begins, or no columns.
        """
        if not (np.isfinite([start_s, stop_s]).all() and stop_s > start_s):
            raise SamplesError(
                f"the window from {start_s:g} to {stop_s:g} s is empty; its end should be after its start."
            )
        if isinstance(steps, bool) or steps < 1 or int(steps) != steps:
            raise SamplesError(f"a window of {steps} columns is not possible; give a positive whole number.")
        width = (stop_s - start_s) * self.rate / steps
        first = np.floor(start_s * self.rate + width * np.arange(steps)).astype(np.int64)
        last = np.maximum(
            np.ceil(start_s * self.rate + width * np.arange(1, steps + 1)).astype(np.int64), first + 1
        )
        if width < FINE * CELL:
            return self._from_disk(first, last)
        self.build()
        level = min(int(np.log(width / FINE / CELL) / np.log(FANOUT)), len(self._levels) - 1)
        cell = CELL * FANOUT**level
        return _extremes(self._levels[level], first // cell, -(-last // cell))

    def build(self, progress: Callable[[int, int], None] | None = None) -> None:
        """Build the pyramid, once.

        Parameters
        ----------
        progress : callable, optional
            Called with the number of steps read and their total; an error that it raises stops the building.
        """
        with self._lock:
            if self._levels:
                return
            level = np.full((2, len(self.leads), -(-self.steps // CELL)), np.nan, np.float32)
            for start in range(0, self.steps, CHUNK):
                stop = min(start + CHUNK, self.steps)
                found = _cells(self._read(start, stop), CELL)
                level[:, :, start // CELL : start // CELL + found.shape[-1]] = found
                if progress is not None:
                    progress(stop, self.steps)
            levels = [level]
            while levels[-1].shape[-1] > FANOUT * FINE:
                low, high = levels[-1]
                levels.append(np.stack([_cells(low, FANOUT)[0], _cells(high, FANOUT)[1]]))
            self._levels = levels

    def cut(self, start_s: float, stop_s: float) -> xr.Dataset:
        """Return a stretch of the record as a sample, with the usual quality checks.

        Parameters
        ----------
        start_s, stop_s : float
            Seconds from the beginning, at most an hour apart.

        Returns
        -------
        xarray.Dataset
            One record; its ``time`` begins at 0, and the attribute ``start_s`` holds its original start.

        Raises
        ------
        SamplesError
            For a stretch outside of the record, of more than an hour, or without signal.
        """
        first, last = round(start_s * self.rate), round(stop_s * self.rate)
        if not 0 <= first < last <= self.steps:
            raise SamplesError(
                f"{start_s:g} to {stop_s:g} s is not within record {self.name!r}, which lasts {self.duration:g} s; "
                "choose times within it."
            )
        if stop_s - start_s > LONGEST_S:
            raise SamplesError(
                f"the stretch lasts {stop_s - start_s:g} s and a sample holds at most {LONGEST_S:g} s; choose a shorter one."
            )
        name = f"{self.name}-{first / self.rate:.2f}s"
        read = lambda: (self._read(first, last), ())  # noqa: E731 - one call, with these ends bound
        source = Source(name, self.leads, self.rate, last - first, read, self.remarks, self._gain)
        ds, _ = gather([source], title=self.name, start_s=first / self.rate)
        return ds

    def _from_disk(self, first: np.ndarray, last: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        start, stop = max(int(first[0]), 0), min(int(last[-1]), self.steps)
        if start >= stop:
            nothing = np.full((len(self.leads), len(first)), np.nan, np.float32)
            return nothing, nothing.copy()
        raw = self._read(start, stop)
        return _extremes(np.stack([raw, raw]), first - start, last - start)


def open_long(path: str | Path) -> LongRecord:
    """Open a long record without reading it.

    Parameters
    ----------
    path : str or Path
        A WFDB record, or a ``.zarr`` with one record.

    Returns
    -------
    LongRecord

    Raises
    ------
    SamplesError
        For another type of file, a damaged header, or a cut-off signal file.
    """
    path = Path(path).expanduser()
    header = record_path(path)
    if header is not None:
        wfdb_package()
        return _of_wfdb(read_header(header))
    if path.is_dir() and path.suffix == ".zarr":
        return _of_zarr(path)
    if not path.exists():
        raise SamplesError(f"there is no record {str(path)[-200:]!r}; check the path.")
    raise SamplesError(
        f"{path.name!r} cannot be read in parts; give a WFDB record or a .zarr, or open it with open_ecg."
    )


#: Leads of long records that can replace one of the twelve that they are modelled on.
STAND_INS = {"MLI": "I", "MLII": "II", "MLIII": "III"}


def standing_in(ds: xr.Dataset, leads: Sequence[str]) -> xr.Dataset:
    """Rename modified limb leads (MLII) to the leads that they replace (II), and note it in ``flag``.

    Parameters
    ----------
    ds : Dataset
        Records.
    leads : sequence of str
        Leads that a model takes; a lead known to the model by its own name, or whose replacement is present, is kept.
    """
    have = [str(x) for x in ds["lead"].values]
    new = {
        x: to
        for x, to in STAND_INS.items()
        if x in have and x not in leads and to in leads and to not in have
    }
    if not new:
        return ds
    said = ", ".join(f"{x} taken as {to}" for x, to in new.items())
    flag = (
        [f"{f}; {said}" if f else said for f in map(str, ds["flag"].values)]
        if "flag" in ds
        else [said] * ds.sizes["sample"]
    )
    return ds.assign_coords(lead=[new.get(x, x) for x in have]).assign(
        flag=("sample", np.asarray(flag, dtype=FLAG))
    )


def long_samples(
    spec: str | Path, steps: int, rate: float | None = None, leads: Sequence[str] = ()
) -> xr.Dataset | None:
    """Return samples of a record that is longer than the input of a model.

    Parameters
    ----------
    spec : str or Path
        The samples as given by the user.
    steps : int
        Number of steps that the model takes.
    rate : float, optional
        Steps per second of the model; by default that of the record.
    leads : sequence of str, optional
        Leads of the model (see :func:`standing_in`).

    Returns
    -------
    xarray.Dataset or None
        One record with the attribute ``record``, the path for :func:`open_long`: the whole record up to an hour, else the
        first stretch of the model's length with signal. None when ``spec`` is not a single record, cannot be opened, or is
        not longer than the model's input.
    """
    path = Path(spec).expanduser()
    try:
        record = open_long(path)
    except (SamplesError, OSError, ValueError):  # reported by whoever opens it next
        return None
    seconds = steps / (rate or record.rate)
    if record.duration <= seconds:
        return None
    if record.duration <= LONGEST_S:
        from xai_views.samples.opening import open_samples

        return standing_in(open_samples(path), leads).assign_attrs(record=str(path))
    for start in np.linspace(0, record.duration - seconds, 25):
        try:
            return standing_in(record.cut(start, start + seconds), leads).assign_attrs(record=str(path))
        except SamplesError:  # a stretch without signal: electrodes off
            continue
    raise SamplesError(f"25 stretches of record {record.name!r} hold no signal; check the file.")


def _of_wfdb(header: Header) -> LongRecord:
    def read(start: int, stop: int) -> np.ndarray:
        return read_steps(header, start, stop)

    return LongRecord(
        header.path.stem, header.leads, header.rate, header.steps, read, header.remarks, header.gain
    )


def _of_zarr(path: Path) -> LongRecord:
    ds: Any = open_zarr(path)
    if ds.sizes["sample"] != 1:
        raise SamplesError(f"{path.name!r} holds {ds.sizes['sample']} records; open them with open_ecg.")
    signal = ds["signal"].isel(sample=0)

    def read(start: int, stop: int) -> np.ndarray:
        return np.asarray(signal.isel(time=slice(start, stop)).values, np.float32)

    leads = tuple(str(x) for x in ds["lead"].values)
    return LongRecord(str(ds["name"].values[0]), leads, ds.attrs["rate"], ds.sizes["time"], read)


def _cells(values: np.ndarray, size: int) -> np.ndarray:
    """Return ``[2, lead, ceil(n / size)]``: minimum and maximum of each cell, NaN for no values."""
    n = values.shape[-1]
    values = np.ascontiguousarray(values)
    # fmin and fmax skip NaN without warnings for cells that hold nothing else, but are slower.
    plain = not np.isnan(values.sum())
    low, high = (np.minimum, np.maximum) if plain else (np.fmin, np.fmax)
    whole = n // size * size
    parts = values[:, :whole].reshape(len(values), -1, size)
    out = [[f.reduce(parts, -1)] for f in (low, high)]
    if whole < n:
        for found, f in zip(out, (low, high), strict=True):
            found.append(f.reduce(values[:, whole:], -1)[:, None])
    return np.stack([np.concatenate(o, -1) for o in out])


def _extremes(pair: np.ndarray, first: np.ndarray, last: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return ``[lead, columns]`` minimum and maximum of ``pair [2, lead, n]`` from ``first`` to ``last`` (exclusive)."""
    n = pair.shape[-1]
    inside = (first < n) & (last > 0)
    low, high = (np.full((pair.shape[1], len(first)), np.nan, np.float32) for _ in range(2))
    if inside.any():
        # reduceat takes pairs of ends; the last one would be out of range at the very end, hence one more value.
        ends = np.stack([np.clip(first[inside], 0, n - 1), np.clip(last[inside], 1, n)], 1).ravel()
        more = np.full((pair.shape[1], 1), np.nan, np.float32)
        low[:, inside] = np.fmin.reduceat(np.concatenate([pair[0], more], -1), ends, -1)[:, ::2]
        high[:, inside] = np.fmax.reduceat(np.concatenate([pair[1], more], -1), ends, -1)[:, ::2]
    return low, high
