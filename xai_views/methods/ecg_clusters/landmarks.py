"""Delineation of P, QRS and T with NeuroKit2: segment of every step, R peaks, and clinical intervals.

Source: Makowski et al., NeuroKit2 (Behavior Research Methods 53, 2021); its methods "prominence" (Emrich et al., EUSIPCO 2024)
and "dwt" (Martinez et al., IEEE TBME 51, 2004). Their combination is ours; ``docs/methods/ecg_clusters.md`` gives the
numbers behind it.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from xai_views.errors import MethodError
from xai_views.samples.signals import LANDMARKS

NONE, P, QRS, T, TP = range(len(LANDMARKS))
METHODS = ("mixed", "dwt")
#: Reference leads, in order of preference.
PREFERRED = ("II", "MLII")
WHOLE = "root mean square of the leads"
#: NeuroKit2 names of the wave bounds.
BOUNDS = {
    "p_onset": "ECG_P_Onsets",
    "p_offset": "ECG_P_Offsets",
    "qrs_onset": "ECG_R_Onsets",
    "qrs_offset": "ECG_R_Offsets",
    "t_onset": "ECG_T_Onsets",
    "t_peak": "ECG_T_Peaks",
    "t_offset": "ECG_T_Offsets",
}
LEAST_S = 2.0  # shorter records rarely contain two beats
LATEST_T_S = 0.04  # largest accepted delay of the T offset by "dwt" after that by "prominence"


@dataclass(frozen=True, eq=False)
class Delineation:
    """Landmarks of one record.

    Attributes
    ----------
    ids : ndarray
        ``[time]`` int8, index into :data:`xai_views.samples.signals.LANDMARKS`; all "none" when ``reason`` is not empty.
    r_peaks : ndarray
        ``[beats]`` int64 steps of the R peaks.
    bounds : dict of str to ndarray
        ``[beats]`` float64 steps, with the keys of :data:`BOUNDS`; NaN where a wave was not found.
    rate : float
        Hz.
    lead : str
        Signal on which R peaks were found: a lead, or :data:`WHOLE`.
    reason : str
        Why the record could not be delineated, in one sentence; "" on success.
    """

    ids: np.ndarray
    r_peaks: np.ndarray
    bounds: dict[str, np.ndarray] = field(default_factory=dict)
    rate: float = 0.0
    lead: str = ""
    reason: str = ""


def segments(
    signal: np.ndarray, leads: Sequence[str], rate: float, **options: Any
) -> tuple[np.ndarray, np.ndarray]:
    """Ids ``[time]`` int8 and R peaks ``[beats]`` int64 of a record ``[lead, time]`` in mV, see :func:`delineate`."""
    found = delineate(signal, leads, rate, **options)
    return found.ids, found.r_peaks


def delineate(
    signal: np.ndarray,
    leads: Sequence[str],
    rate: float,
    length: int | None = None,
    present: np.ndarray | None = None,
    method: str = "mixed",
) -> Delineation:
    """Find P, QRS and T of a record.

    Parameters
    ----------
    signal : ndarray
        ``[lead, time]`` in mV.
    leads : sequence of str
        Standard lead names.
    rate : float
        Hz.
    length : int, optional
        Number of steps that are signal; the rest is "none".
    present : ndarray, optional
        ``[lead]`` bool: leads to use; empty or flat leads are never used.
    method : str
        "mixed": every bound is the median over the leads by "prominence"; the T offset is that of "dwt" on the reference
        lead if it is after the T peak and at most 40 ms later than by prominence. "dwt": all bounds by "dwt" on the
        reference lead, which is II, else MLII, else the root mean square of the leads.

    Returns
    -------
    Delineation
        With a ``reason`` instead of landmarks if there is no usable lead, the record is shorter than two seconds, or fewer
        than two beats or QRS complexes are found. NeuroKit2 reports a P wave before nearly every QRS, even in atrial
        fibrillation.

    Raises
    ------
    MethodError
        When NeuroKit2 is not installed, or shapes, rate or method are invalid.
    """
    x, used = _checked(signal, leads, rate, length, present, method)
    steps = np.shape(signal)[1]

    def failed(reason: str, lead: str = "") -> Delineation:
        return Delineation(np.zeros(steps, np.int8), np.zeros(0, np.int64), {}, float(rate), lead, reason)

    if not len(used):
        return failed("No lead contains a signal.")
    if x.shape[1] < LEAST_S * rate:
        return failed(
            f"The record has {x.shape[1] / rate:.1f} s of signal; at least {LEAST_S:g} s are needed."
        )
    nk = _neurokit()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # NaN in means, where a wave is not found
        try:
            lead, peaks, bounds = _found(nk, x, used, rate, method)
        except Exception as e:  # noqa: BLE001 - NeuroKit2 raises many kinds of errors on signals that are not ECGs
            return failed(
                f"NeuroKit2 cannot delineate the record ({type(e).__name__}: {str(e).splitlines()[0][:80] if str(e) else ''})."
            )
    if len(peaks) < 2:
        return failed(f"NeuroKit2 finds {len(peaks)} R peaks; at least two are needed.", lead)
    if np.isfinite(bounds["qrs_onset"] + bounds["qrs_offset"]).sum() < 2:
        return failed("NeuroKit2 finds fewer than two QRS complexes; at least two are needed.", lead)
    return Delineation(_paint(bounds, x.shape[1], steps), peaks, bounds, float(rate), lead)


def intervals(found: Delineation) -> dict[str, tuple[float, int]]:
    """Median intervals over the beats, each with its number of beats.

    Returns
    -------
    dict
        "RR", "PR", "QRS", "QT", "QTc Bazett", "QTc Fridericia" in ms and "heart rate" in beats per minute; (NaN, 0) where
        it is unknown. PR is from P onset to QRS onset. The corrected QT uses the median QT and RR:
        ``QT / (RR / 1 s)^(1/2)`` (Bazett 1920) and ``^(1/3)`` (Fridericia 1920).
    """
    ms, b = 1000 / (found.rate or np.nan), found.bounds
    nothing = np.zeros(0)
    rr, rr_n = _median(np.diff(found.r_peaks) * ms)
    pr = _median((b["qrs_onset"] - b["p_onset"]) * ms if b else nothing)
    qrs = _median((b["qrs_offset"] - b["qrs_onset"]) * ms if b else nothing)
    qt, qt_n = _median((b["t_offset"] - b["qrs_onset"]) * ms if b else nothing)
    both = min(rr_n, qt_n)
    return {
        "RR": (rr, rr_n),
        "heart rate": (60_000 / rr, rr_n),
        "PR": pr,
        "QRS": qrs,
        "QT": (qt, qt_n),
        "QTc Bazett": (qt / (rr / 1000) ** (1 / 2), both),
        "QTc Fridericia": (qt / (rr / 1000) ** (1 / 3), both),
    }


def _median(values: np.ndarray) -> tuple[float, int]:
    values = values[np.isfinite(values)]
    return (float(np.median(values)), len(values)) if len(values) else (float("nan"), 0)


def _checked(
    signal: np.ndarray,
    leads: Sequence[str],
    rate: float,
    length: int | None,
    present: np.ndarray | None,
    method: str,
) -> tuple[np.ndarray, list[str]]:
    """Check the input and return the usable leads ``[used, steps]`` float64 with their names."""
    x = np.asarray(signal, np.float64)
    if x.ndim != 2 or len(x) != len(leads):
        raise MethodError(
            f"a record of shape {list(x.shape)} and {len(leads)} lead names were given; give [lead, time] and one name per lead."
        )
    if not (np.isfinite(rate) and rate > 0):
        raise MethodError(f"a rate of {rate} Hz was given; give a positive number.")
    if method not in METHODS:
        raise MethodError(f"method {method!r} is not known; choose one of {', '.join(METHODS)}.")
    x = x[:, : x.shape[1] if length is None else length]
    there = np.isfinite(x).all(1) & (np.ptp(x, axis=1) > 0) if x.shape[1] else np.zeros(len(x), bool)
    if present is not None:
        there &= np.asarray(present, bool)
    return x[there], [str(name) for name, use in zip(leads, there, strict=True) if use]


def _found(
    nk: Any, x: np.ndarray, leads: list[str], rate: float, method: str
) -> tuple[str, np.ndarray, dict[str, np.ndarray]]:
    """Return the reference lead, the R peaks, and the bounds of each beat."""
    clean = np.stack([nk.ecg_clean(lead, sampling_rate=rate, method="neurokit") for lead in x])
    lead = next((name for name in PREFERRED if name in leads), WHOLE)
    reference = np.sqrt((clean**2).mean(0)) if lead == WHOLE else clean[leads.index(lead)]
    peaks = np.asarray(nk.ecg_peaks(reference, sampling_rate=rate)[1]["ECG_R_Peaks"]).astype(np.int64)
    if len(peaks) < 2:
        return lead, peaks, {}
    waves = _waves(nk, reference, peaks, rate, "dwt")
    if method == "dwt":
        return lead, peaks, waves
    per_lead = [_waves(nk, one, peaks, rate, "prominence") for one in clean]
    bounds = {key: np.nanmedian([w[key] for w in per_lead], axis=0) for key in BOUNDS}
    late = bounds["t_offset"] + LATEST_T_S * rate
    better = (waves["t_offset"] > bounds["t_peak"]) & (waves["t_offset"] <= late)
    bounds["t_offset"] = np.where(better, waves["t_offset"], bounds["t_offset"])
    return lead, peaks, bounds


def _waves(nk: Any, lead: np.ndarray, peaks: np.ndarray, rate: float, method: str) -> dict[str, np.ndarray]:
    """Return bounds ``[beats]`` float64 of one lead; all NaN where NeuroKit2 fails or returns another number of beats."""
    try:
        found = nk.ecg_delineate(lead, peaks, sampling_rate=rate, method=method)[1]
    except Exception:  # noqa: BLE001 - other leads may still succeed
        found = {}
    out = {}
    for key, name in BOUNDS.items():
        values = np.asarray(found.get(name, ()), np.float64)
        out[key] = values if len(values) == len(peaks) else np.full(len(peaks), np.nan)
    return out


def _paint(bounds: dict[str, np.ndarray], length: int, steps: int) -> np.ndarray:
    """Segment ids ``[steps]`` int8 from onset to offset; QRS overrides P and T where they overlap; TP is from T to the next P."""
    ids = np.zeros(steps, np.int8)

    def span(start: float, stop: float, what: int) -> None:
        if np.isfinite(start) and np.isfinite(stop) and start <= stop:
            ids[max(0, round(start)) : min(length, round(stop) + 1)] = what

    for end, onset in zip(bounds["t_offset"][:-1], bounds["p_onset"][1:], strict=True):
        span(end, onset, TP)
    for wave, what in (("p", P), ("t", T), ("qrs", QRS)):
        for start, stop in zip(bounds[f"{wave}_onset"], bounds[f"{wave}_offset"], strict=True):
            span(start, stop, what)
    return ids


def _neurokit() -> Any:
    try:
        import neurokit2
    except ImportError:
        raise MethodError(
            'landmarks need the package neurokit2, which is not installed; run pip install "xai-views[ecg]".'
        ) from None
    return neurokit2
