"""Quality checks of a record, as plain remarks: gaps, flat leads, clipping, implausible amplitudes, contradicting leads."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from xai_views.kinds.signal_schema import LEADS

#: Seconds of missing values that are bridged by a straight line; a longer gap makes the lead unusable.
BRIDGE_S = 0.1
#: Plausible range in mV of the median height of a QRS complex.
QRS_MV = (0.02, 20.0)
#: mV below which a lead counts as flat: under one step of any recorder (PTB-XL stores steps of 0.001 mV).
FLAT_MV = 5e-4
#: Seconds without any change, in an otherwise moving lead, that cause a remark.
FLAT_S = 1.0
#: Seconds of zeros in all leads at either end that count as padding.
PAD_S = 0.25
#: Seconds at the extreme value that count as clipped; the peak of a QRS complex is narrower.
CLIP_S = 0.01


@dataclass(frozen=True)
class Checked:
    """One record after its quality check.

    Attributes
    ----------
    signal : ndarray
        ``[lead, time]`` float32 in mV without NaN; unusable leads are zeros.
    present : ndarray
        ``[lead]`` bool.
    length : int
        Steps until the last value of any lead.
    remarks : tuple of str
        Phrases for ``flag``.
    """

    signal: np.ndarray
    present: np.ndarray
    length: int
    remarks: tuple[str, ...]


def check(signal: np.ndarray, rate: float, leads: Sequence[str], gain: str = "") -> Checked:
    """Check the quality of one record.

    Parameters
    ----------
    signal : ndarray
        ``[lead, time]`` in mV, NaN or infinite where values are missing.
    rate : float
        Hz.
    leads : sequence of str
        Standard names.
    gain : str, optional
        Conversion of the file's numbers to mV ("200 units per mV"), named when the amplitude is implausible.

    Returns
    -------
    Checked
        Gaps under 0.1 s are bridged by a line; leads with longer gaps, without values or without any movement are
        marked absent and set to zeros. Clipping, gains, padding and contradicting limb leads are remarked on and
        left unchanged.
    """
    signal = np.array(signal, np.float32)
    remarks: list[str] = []
    there = np.isfinite(signal)
    any_there = there.any(0)
    length = int(np.flatnonzero(any_there)[-1]) + 1 if any_there.any() else 0
    if 0 < length < signal.shape[1]:
        remarks.append(f"the record ends after {length / rate:.2f} s")
    present = np.ones(len(signal), bool)
    bridged: dict[str, float] = {}
    for i, name in enumerate(leads):
        problem, gap = _filled(signal[i, :length], there[i, :length], rate)
        if not problem and _flat(signal[i, :length]):
            problem = "is flat"
        if problem:
            present[i] = False
            remarks.append(f"{name} {problem}")
        elif gap:
            bridged[name] = gap / rate
    signal[~present] = 0
    signal[:, length:] = 0
    if bridged:
        longest = max(bridged.values())
        remarks.append(f"gaps of up to {1000 * longest:.0f} ms in {listed(bridged)} are bridged by a line")
    remarks += _padding(signal[:, :length], rate)
    for i in np.flatnonzero(present).tolist():
        remarks += _stuck(leads[i], signal[i, :length], rate)
    remarks += _height(signal[:, :length], present, rate, gain)
    remarks += _einthoven(signal[:, :length], present, leads)
    if not 50 <= rate <= 10000:
        remarks.append(f"a sampling rate of {rate:g} Hz is unusual for an ECG")
    return Checked(signal, present, length, tuple(remarks))


def runs(where: np.ndarray) -> np.ndarray:
    """Return ``[n, 2]`` int64 start and end (exclusive) of the runs of True in a 1-D array."""
    edges = np.diff(np.concatenate([[0], np.asarray(where, np.int8), [0]]))
    return np.stack([np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)], 1)


def _filled(lead: np.ndarray, there: np.ndarray, rate: float) -> tuple[str, int]:
    """Bridge short gaps in place; return the reason why the lead is unusable, or "" and the longest gap in steps."""
    if there.all():
        return "", 0
    if not there.any():
        return "has no values", 0
    gaps = runs(~there)
    start, end = max(gaps, key=lambda g: g[1] - g[0])
    if (end - start) / rate >= BRIDGE_S:
        return f"lacks {(end - start) / rate:.2f} s from {start / rate:.2f} s on", 0
    lead[~there] = np.interp(np.flatnonzero(~there), np.flatnonzero(there), lead[there])
    return "", int(end - start)


def _flat(lead: np.ndarray) -> bool:
    return lead.size == 0 or float(lead.max() - lead.min()) < FLAT_MV


def _padding(signal: np.ndarray, rate: float) -> list[str]:
    """Remark on zeros in all leads at the beginning or the end, with which some sets pad their records."""
    used = np.flatnonzero(signal.any(0))
    if not used.size:
        return []
    said = []
    for seconds, where in ((used[0] / rate, "first"), ((signal.shape[1] - 1 - used[-1]) / rate, "last")):
        if seconds >= PAD_S:
            said.append(f"the {where} {seconds:.2f} s are zeros in all leads")
    return said


def _stuck(name: str, lead: np.ndarray, rate: float) -> list[str]:
    """Remark on a lead that is clipped at an extreme value, or unchanged for a while."""
    said = []
    same = runs(np.diff(lead) == 0)
    if not same.size:
        return []
    same = same[same[:, 1] - same[:, 0] + 1 >= max(3, round(CLIP_S * rate))]
    least = np.abs(np.diff(lead))
    quantum = float(least[least > 0].min(initial=np.inf))
    for extreme in (float(lead.max()), float(lead.min())):
        steps = sum(
            int(b - a + 1)
            for a, b in same
            if lead[a] == extreme and _steep(lead, a, b, quantum) and extreme != 0
        )
        if steps:
            said.append(f"{name} is clipped at {extreme:.2f} mV for {steps / rate:.2f} s")
    used = np.flatnonzero(lead)
    flat = [(a, b) for a, b in same if (b - a + 1) / rate >= FLAT_S and a > used[0] and b < used[-1]]
    if flat:
        a, b = max(flat, key=lambda r: r[1] - r[0])
        said.append(f"{name} is flat for {(b - a + 1) / rate:.1f} s from {a / rate:.1f} s on")
    return said


def _steep(lead: np.ndarray, a: int, b: int, quantum: float) -> bool:
    """Return whether the lead jumps into or out of a plateau; a slow wave at its peak does not."""
    before = abs(float(lead[a] - lead[a - 1])) if a > 0 else 0.0
    after = abs(float(lead[b + 1] - lead[b])) if b + 1 < len(lead) else 0.0
    return max(before, after) > 3.5 * quantum


def qrs_height(signal: np.ndarray, rate: float) -> float:
    """Return the median over windows of 1.5 s and leads of the largest distance from the lead's median, in mV.

    At any heart rate above 40 per minute, every window contains a QRS complex.
    """
    steps = min(signal.shape[-1], max(1, round(1.5 * rate)))
    count = signal.shape[-1] // steps
    if not count or not len(signal):
        return 0.0
    centred = signal - np.median(signal, -1, keepdims=True)
    windows = np.abs(centred[:, : count * steps]).reshape(len(signal), count, steps).max(-1)
    return float(np.median(windows))


def _height(signal: np.ndarray, present: np.ndarray, rate: float, gain: str) -> list[str]:
    if not present.any():
        return []
    height = qrs_height(signal[present], rate)
    if QRS_MV[0] <= height <= QRS_MV[1]:
        return []
    reason = f" ({gain})" if gain else ""
    return [f"the median QRS is {height:.3g} mV high: the gain or the unit{reason} looks wrong"]


def _einthoven(signal: np.ndarray, present: np.ndarray, leads: Sequence[str]) -> list[str]:
    """Check II = I + III and aVR = -(I + II) / 2, which hold in every record with correctly named leads."""
    at = {name: signal[i] for i, name in enumerate(leads) if name in LEADS[:6] and present[i]}
    said = []
    for name, needs, value in (
        ("III", ("I", "II"), lambda: at["II"] - at["I"]),
        ("aVR", ("I", "II"), lambda: -(at["I"] + at["II"]) / 2),
    ):
        if name not in at or not all(x in at for x in needs):
            continue
        got, want = at[name] - np.median(at[name]), value()
        off = float(np.sqrt(np.mean((got - (want - np.median(want))) ** 2)))
        if off > 0.05 and off > 0.5 * float(got.std() + 1e-9):
            rule = "II - I" if name == "III" else "-(I + II) / 2"
            said.append(f"{name} ≠ {rule} (RMS {off:.2f} mV): check the lead order")
    return said


def listed(names: Iterable[str]) -> str:
    """Join names as in a sentence: "I", "I and II", "I, II and III"."""
    names = list(names)
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
