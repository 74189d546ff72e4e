"""Tracings in HDF5, as in CODE-15: ``tracings [record, step, lead]`` beside ``exam_id [record]``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from xai_views.errors import SamplesError, cause
from xai_views.kinds.signal_schema import LEADS
from xai_views.samples.readers.raw_record import Source, chosen, positive_rate, unique_leads

SUFFIXES = (".hdf5", ".h5")
SIGNATURE = b"\x89HDF\r\n\x1a\n"
#: Sampling rate of the CODE studies (Ribeiro et al. 2020), which is not stated in their files.
RATE = 400.0
#: Lead orders of the CODE studies: that of CODE-15, and that of the test set published with the paper.
ORDERS = (LEADS, (*LEADS[:3], "aVL", "aVF", "aVR", *LEADS[6:]))
#: Number of records used to determine the order, and largest share of limb leads that may not follow from I and II.
LOOKED_AT, OFF = 8, 0.2


def looks_like_tracings(path: Path) -> bool:
    """Return whether a file is HDF5 with tracings; for other files eight bytes are read."""
    if path.suffix.lower() not in SUFFIXES or not path.is_file():
        return False
    with path.open("rb") as file:
        if file.read(len(SIGNATURE)) != SIGNATURE:
            return False
    try:
        return _with(path, lambda file: getattr(file.get("tracings"), "ndim", 0) == 3)
    except SamplesError:
        return False


def hdf5_sources(path: Path, rate: float | None = None, leads: Sequence[str] | None = None) -> list[Source]:
    """Return the records of a file of tracings; each is read on access.

    The files name no unit, leads or rate: mV and 400 Hz are assumed, and of the two lead orders of the CODE
    studies the one in which III, aVR, aVL and aVF follow from I and II; this is noted in ``flag``. The zeros that
    pad the tracings at both ends are removed. The last row of a part of CODE-15, which has the
    ``exam_id`` 0 and no signal, is skipped.

    Parameters
    ----------
    path : Path
        A ``.hdf5`` or ``.h5`` file.
    rate : float, optional
        Rate in Hz, if it is not 400.
    leads : sequence of str, optional
        Names of the leads in file order if there are not twelve, else the leads to keep.

    Raises
    ------
    SamplesError
        When the file is damaged, has no tracings, or has leads without known names.
    """
    known = RATE if rate is None else positive_rate(rate, "rate=")
    shape, ids, some = _with(path, _glance)
    if shape[2] == len(LEADS):
        names, said = _order(some)
        wanted = leads
    else:
        if leads is None or len(leads) != shape[2]:
            raise SamplesError(
                f"{path.name!r} holds tracings of {shape[2]} leads without names; give leads=, the name of each."
            )
        names, said, wanted = unique_leads(leads), "", None
    rated = "" if rate else "no rate given: 400 Hz assumed"
    remarks = tuple(filter(None, (rated, "no unit given: mV assumed", said)))
    return [
        chosen(
            Source(name, tuple(names), known, shape[1], _reader(path, i), remarks, "the file's own numbers"),
            None,
            wanted,
        )
        for i, name in enumerate(ids)
        if name != "0"
    ]


def _glance(file: Any) -> tuple[tuple[int, int, int], list[str], np.ndarray]:
    """Return shape, names, and a few tracings ``[record, step, lead]`` with a signal."""
    tracings = file.get("tracings")
    if getattr(tracings, "ndim", 0) != 3 or tracings.dtype.kind not in "fiu":
        raise SamplesError(
            f"{Path(file.filename).name!r} has the entries {sorted(file)[:6]} and should have numbers 'tracings' "
            "[record, step, lead]; give a file laid out as CODE-15."
        )
    ids = file.get("exam_id")
    if ids is not None and len(ids) == len(tracings):
        names = [str(int(x)) for x in ids[:]]
    else:
        names = [f"{Path(file.filename).stem}-{i:05d}" for i in range(len(tracings))]
    some = tracings[:LOOKED_AT].astype(np.float64)
    return tracings.shape, names, some[some.any((1, 2))]


def _order(some: np.ndarray) -> tuple[tuple[str, ...], str]:
    """Return the lead order in which the limb leads follow from I and II, and a remark on it."""
    off = [_off(some[:, :, [order.index(x) for x in LEADS]]) for order in ORDERS]
    best = int(np.argmin(off))
    if off[best] > OFF:
        return ORDERS[
            0
        ], "no lead names given: order of CODE-15 assumed, although its limb leads do not confirm it"
    known = ("CODE-15", "the CODE test set")[best]
    return ORDERS[best], f"no lead names given: order of {known} assumed, confirmed by the limb leads"


def _off(leads: np.ndarray) -> float:
    """Return the relative difference of III, aVR, aVL and aVF from those computed from I and II; ``[record, step, lead]``."""
    one, two = leads[..., 0], leads[..., 1]
    derived = np.stack([two - one, -(one + two) / 2, one - two / 2, two - one / 2], -1)
    size = np.abs(derived).sum()
    return float(np.abs(leads[..., 2:6] - derived).sum() / size) if size else 0.0


def _reader(path: Path, i: int) -> Callable[[], tuple[np.ndarray, tuple[str, ...]]]:
    def read() -> tuple[np.ndarray, tuple[str, ...]]:
        tracing = _with(path, lambda file: file["tracings"][i]).astype(np.float32).T
        held = np.flatnonzero(tracing.any(0))
        if not len(held):
            return tracing, ()
        part = tracing[:, held[0] : held[-1] + 1]
        cut = tracing.shape[1] - part.shape[1]
        return part, (f"{cut} steps of zeros at the ends removed",) if cut else ()

    return read


def _with(path: Path, look: Callable[[Any], Any]) -> Any:
    """Open the file, apply a function and close it, so that several threads can read thousands of records."""
    try:
        import h5py
    except ImportError:
        raise SamplesError(
            "HDF5 files need the package h5py, which is not installed; run pip install 'xai-views[ecg]'."
        ) from None
    try:
        with h5py.File(path, "r") as file:
            return look(file)
    except (OSError, KeyError, RuntimeError) as e:
        why = cause(e)
        raise SamplesError(f"{path.name!r} cannot be read as HDF5 ({why}); restore the file.") from None
