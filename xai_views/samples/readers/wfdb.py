"""Signals of WFDB records (header ``.hea`` with ``.dat`` or ``.mat``) through the package wfdb."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from xai_views.errors import SamplesError
from xai_views.samples.readers.ecg_header import Header, read_header
from xai_views.samples.readers.raw_record import Source
from xai_views.samples.signal_quality import listed


def wfdb_package() -> Any:
    """Import wfdb, or say how to install it."""
    try:
        import wfdb
    except ImportError:
        raise SamplesError(
            'WFDB records are read with the package wfdb, which is missing; pip install "xai-views[ecg]" brings it.'
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
        ``[lead, steps]`` float32 in mV, NaN where the record says that there is no value.
    remarks : tuple of str
        The leads whose checksum differs.

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
        ``[lead, stop - start]`` float32 in mV, NaN where the record says that there is no value.

    Raises
    ------
    SamplesError
        When the signal file cannot be read.
    """
    return _read(header, start, stop, counts=False)[0]


def _read(header: Header, start: int, stop: int, *, counts: bool) -> tuple[np.ndarray, np.ndarray]:
    """Read steps in mV, and the sum of each signal's numbers as stored if ``counts``."""
    wfdb = wfdb_package()
    try:
        record = wfdb.rdrecord(
            str(header.path.with_suffix("")),
            sampfrom=start,
            # wfdb compares this with the length that the header states, and fails where it states none.
            sampto=stop if header.stated else None,
            channels=list(header.channels),
            physical=not counts,
            return_res=32,
            force_channels=True,
        )
        sums = record.d_signal.sum(0, dtype=np.int64) if counts else np.zeros(0, np.int64)
        values = record.dac(return_res=32) if counts else record.p_signal
        signal = np.asarray(values, np.float32).T[:, : stop - start]
    except Exception as e:  # noqa: BLE001 - wfdb raises many kinds for files that are none
        why = (str(e).splitlines()[0][:80] if str(e) else "").rstrip(".") or type(e).__name__
        raise SamplesError(
            f"the signals of record {header.path.stem!r} cannot be read ({why}); restore its files."
        ) from None
    if signal.shape != (len(header.leads), stop - start):
        raise SamplesError(
            f"record {header.path.stem!r} holds signals of shape {list(signal.shape)} and its header describes "
            f"{[len(header.leads), stop - start]}; restore its files."
        )
    return signal * np.asarray(header.units, np.float32)[:, None], sums
