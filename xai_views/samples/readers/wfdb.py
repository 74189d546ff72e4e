"""Signals of WFDB records (header ``.hea`` with ``.dat`` or ``.mat``), read with the package wfdb."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from xai_views.errors import SamplesError, cause
from xai_views.samples.readers.ecg_header import Header, read_header
from xai_views.samples.readers.raw_record import Source
from xai_views.samples.signal_quality import listed


def wfdb_package() -> Any:
    """Import wfdb, or raise an error with the command that installs it."""
    try:
        import wfdb
    except ImportError:
        raise SamplesError(
            'WFDB records need the package wfdb, which is not installed; run pip install "xai-views[ecg]".'
        ) from None
    return wfdb


def wfdb_source(path: Path) -> Source:
    """Return a record as a :class:`Source`; its header is read now, its signals later."""
    wfdb_package()
    header = read_header(path)
    return Source(
        path.stem,
        header.leads,
        header.rate,
        header.steps,
        lambda: read_whole(header),
        header.remarks,
        header.gain,
        header.comments,
    )


def read_whole(header: Header) -> tuple[np.ndarray, tuple[str, ...]]:
    """Read all signals of a record, and compare them with the checksums of its header.

    Returns
    -------
    signal : ndarray
        ``[lead, steps]`` float32 in mV, NaN where the record marks missing values.
    remarks : tuple of str
        Leads whose checksum differs.

    Raises
    ------
    SamplesError
        When the signal file cannot be read.
    """
    if all(c is None for c in header.checksums):
        return read_steps(header, 0, header.steps), ()
    signal, found = _read(header, 0, header.steps, counts=True)
    pairs = zip(header.leads, header.checksums, found, strict=True)
    wrong = [lead for lead, stated, sum_ in pairs if stated is not None and (stated - int(sum_)) % 65536]
    said = (f"the checksum of {listed(wrong)} differs from the header's: edited or damaged",) if wrong else ()
    return signal, said


def read_steps(header: Header, start: int, stop: int) -> np.ndarray:
    """Read steps ``start`` to ``stop`` (exclusive) of a record.

    Returns
    -------
    ndarray
        ``[lead, stop - start]`` float32 in mV, NaN where the record marks missing values.

    Raises
    ------
    SamplesError
        When the signal file cannot be read.
    """
    return _read(header, start, stop, counts=False)[0]


def _read(header: Header, start: int, stop: int, *, counts: bool) -> tuple[np.ndarray, np.ndarray]:
    """Read steps in mV, and the sum of each signal's stored numbers if ``counts``."""
    wfdb = wfdb_package()
    try:
        record = wfdb.rdrecord(
            str(header.path.with_suffix("")),
            sampfrom=start,
            # wfdb compares this with the length stated in the header, and fails when none is stated.
            sampto=stop if header.stated else None,
            channels=list(header.channels),
            physical=not counts,
            return_res=32,
            force_channels=True,
        )
        sums = record.d_signal.sum(0, dtype=np.int64) if counts else np.zeros(0, np.int64)
        values = record.dac(return_res=32) if counts else record.p_signal
        signal = np.asarray(values, np.float32).T[:, : stop - start]
    except Exception as e:  # noqa: BLE001 - wfdb raises many types for other files
        why = cause(e)
        raise SamplesError(
            f"the signals of record {header.path.stem!r} cannot be read ({why}); restore its files."
        ) from None
    if signal.shape != (len(header.leads), stop - start):
        raise SamplesError(
            f"record {header.path.stem!r} holds signals of shape {list(signal.shape)} and its header describes "
            f"{[len(header.leads), stop - start]}; restore its files."
        )
    return signal * np.asarray(header.units, np.float32)[:, None], sums
