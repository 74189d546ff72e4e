"""Intervals of a record replaced before the network sees it, to ask what the answer hangs on."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from xai_views.errors import MethodError, nearest

FILLS = ("zero", "mean", "line")
#: Index that stands for all leads.
ALL_LEADS = -1

#: Lead index or ``ALL_LEADS``, start and stop in s, one of ``FILLS``.
Mute = tuple[int, float, float, str]


def muted(
    signal: np.ndarray, mutes: Sequence[Mute], rate: float, length: int | None = None, start: float = 0.0
) -> np.ndarray:
    """Replace intervals of a record, one after another.

    Parameters
    ----------
    signal : ndarray
        ``[lead, time]`` in mV; it is left alone.
    mutes : sequence of (int, float, float, str)
        Lead index (-1 = all leads), start and stop in s, and what is put there: "zero"; "mean", the lead's mean over its
        own steps (of the record as given, padding excluded); "line", the straight line between the two steps beside the
        interval (at an end of the record, from the one step that there is).
    rate : float
        Steps per second (Hz).
    length : int, optional
        Steps that are signal; what follows is padding and stays as it is.
    start : float
        Time of the first step in s.

    Returns
    -------
    ndarray
        ``[lead, time]``, of the dtype that was given (float32 for integers).

    Raises
    ------
    MethodError
        In one sentence, for a lead that is not there, an interval without length, or another fill.
    """
    signal = np.asarray(signal)
    out = np.array(signal, signal.dtype if signal.dtype.kind == "f" else np.float32)
    leads, steps = out.shape
    length = steps if length is None else length
    for mute in mutes:
        lead, begin, end, fill = checked(mute, leads)
        first, last = (int(np.clip(round((t - start) * rate), 0, length)) for t in (begin, end))
        if last <= first:
            continue  # beyond the record, or shorter than half a step
        for row in range(leads) if lead == ALL_LEADS else [lead]:
            out[row, first:last] = _filled(out[row], signal[row, :length], first, last, fill)
    return out


def checked(mute: Mute, leads: int) -> Mute:
    """Return an interval in its normal form; :class:`MethodError` when it is none."""
    try:
        lead, begin, end, fill = int(mute[0]), float(mute[1]), float(mute[2]), str(mute[3])
    except (TypeError, ValueError, IndexError):
        raise MethodError(
            f"an interval to mute came as {mute!r}; give (lead index or -1, start in s, stop in s, fill)."
        ) from None
    if not (lead == ALL_LEADS or 0 <= lead < leads):
        raise MethodError(
            f"lead {lead} was to be muted and there are the leads 0 to {leads - 1}; give one, or -1 for all."
        )
    if not (math.isfinite(begin) and math.isfinite(end) and begin < end):
        raise MethodError(
            f"an interval from {begin:g} s to {end:g} s cannot be muted; give a start and a later stop."
        )
    if fill not in FILLS:
        raise MethodError(f"fill {fill!r} is not known for signals; there is {nearest(fill, FILLS)}.")
    return lead, begin, end, fill


def _filled(row: np.ndarray, plain: np.ndarray, first: int, last: int, fill: str) -> np.ndarray | float:
    """What is put into ``row[first:last]``; ``plain`` is the lead as it was given, without padding."""
    if fill == "zero":
        return 0.0
    if fill == "mean":
        return float(plain.mean(dtype=np.float64))
    before = row[first - 1] if first > 0 else None
    after = row[last] if last < len(plain) else None
    if before is None and after is None:
        return 0.0
    ends = [float(before if after is None else after) if e is None else float(e) for e in (before, after)]
    return np.linspace(*ends, last - first + 2)[1:-1]
