"""P, QRS and T of a record by NeuroKit2: where every step belongs, R peaks, and the intervals that clinicians read.

Source: Makowski et al., NeuroKit2 (Behavior Research Methods 53, 2021); its methods "prominence" (Emrich et al., EUSIPCO 2024)
and "dwt" (Martinez et al., IEEE TBME 51, 2004). Which bound is taken from which is ours; ``docs/methods/ecg_clusters.md`` has
the figures behind it.
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
#: Leads that are delineated alone where they are there.
PREFERRED = ("II", "MLII")
WHOLE = "root mean square of the leads"
#: Variables of a delineation, by their names in NeuroKit2.
BOUNDS = {
    "p_onset": "ECG_P_Onsets",
    "p_offset": "ECG_P_Offsets",
    "qrs_onset": "ECG_R_Onsets",
    "qrs_offset": "ECG_R_Offsets",
    "t_onset": "ECG_T_Onsets",
    "t_peak": "ECG_T_Peaks",
    "t_offset": "ECG_T_Offsets",
}
LEAST_S = 2.0  # a shorter record has no two beats to measure
LATEST_T_S = 0.04  # how much later than by prominence T may end by wavelets


@dataclass(frozen=True, eq=False)
class Delineation:
    """Landmarks of one record.

    Attributes
    ----------
    ids : ndarray
        ``[time]`` int8, index into :data:`xai_views.samples.signals.LANDMARKS`; all "none" where ``reason`` is not "".
    r_peaks : ndarray
        ``[beats]`` int64 steps of the R peaks.
    bounds : dict of str to ndarray
        ``[beats]`` float64 steps by the keys of :data:`BOUNDS`; NaN where a wave was not found.
    rate : float
        Hz.
    lead : str
        What R peaks were found on: a lead, or :data:`WHOLE`.
    reason : str
        Why the record could not be delineated, in a sentence; "" when it could.
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
    """Find the waves of a record.

    Parameters
    ----------
    signal : ndarray
        ``[lead, time]`` in mV.
    leads : sequence of str
        Standard names.
    rate : float
        Hz.
    length : int, optional
        Steps that are signal; what follows is "none".
    present : ndarray, optional
        ``[lead]`` bool; leads that are missing or flat are not used in any case.
    method : str
        "mixed": every bound is the median over the leads by "prominence"; T ends where "dwt" says on the reference lead, if
        that is after the peak of T and at most 40 ms later than by prominence. "dwt": everything by "dwt" on the reference
        lead, which is II, else MLII, else the root mean square of the leads.

    Returns
    -------
    Delineation
        With a ``reason`` instead of landmarks where there is no usable lead, the record is shorter than two seconds, or
        fewer than two beats or QRS complexes are found. NeuroKit2 names a P in front of nearly every QRS, fibrillation
        or not.

    Raises
    ------
    MethodError
        When NeuroKit2 is not installed, or shapes, rate or method make no sense.
    """
    x, used = _checked(signal, leads, rate, length, present, method)
    steps = np.shape(signal)[1]

    def failed(reason: str, lead: str = "") -> Delineation:
        return Delineation(np.zeros(steps, np.int8), np.zeros(0, np.int64), {}, float(rate), lead, reason)

    if not len(used):
        return failed("No lead holds a signal.")
    if x.shape[1] < LEAST_S * rate:
        return failed(f"The record has {x.shape[1] / rate:.1f} s of signal; {LEAST_S:g} s are needed.")
    nk = _neurokit()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of NaN in means, where a wave is not found
        try:
            lead, peaks, bounds = _found(nk, x, used, rate, method)
        except Exception as e:  # noqa: BLE001 - NeuroKit2 fails in many ways on what is no ECG
            return failed(
                f"NeuroKit2 cannot delineate it ({type(e).__name__}: {str(e).splitlines()[0][:80] if str(e) else ''})."
            )
    if len(peaks) < 2:
        return failed(f"NeuroKit2 finds {len(peaks)} R peaks; two are needed.", lead)
    if np.isfinite(bounds["qrs_onset"] + bounds["qrs_offset"]).sum() < 2:
        return failed("NeuroKit2 finds fewer than two QRS complexes.", lead)
    return Delineation(_paint(bounds, x.shape[1], steps), peaks, bounds, float(rate), lead)


def intervals(found: Delineation) -> dict[str, tuple[float, int]]:
    """Medians over the beats, each with the number of beats it is of.

    Returns
    -------
    dict
        "RR", "PR", "QRS", "QT", "QTc Bazett", "QTc Fridericia" in ms and "heart rate" in beats per minute; (NaN, 0) where
        nothing was found. PR is from the onset of P to that of QRS. The corrected QT is that of the median QT and RR:
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
    """The leads that hold something ``[used, steps]`` float64, and their names."""
    x = np.asarray(signal, np.float64)
    if x.ndim != 2 or len(x) != len(leads):
        raise MethodError(
            f"a record came with shape {list(x.shape)} and {len(leads)} leads; give [lead, time] and a name for each lead."
        )
    if not (np.isfinite(rate) and rate > 0):
        raise MethodError(f"the rate came as {rate} and should be a positive number of steps per second.")
    if method not in METHODS:
        raise MethodError(f"the method came as {method!r} and should be one of {', '.join(METHODS)}.")
    x = x[:, : x.shape[1] if length is None else length]
    there = np.isfinite(x).all(1) & (np.ptp(x, axis=1) > 0) if x.shape[1] else np.zeros(len(x), bool)
    if present is not None:
        there &= np.asarray(present, bool)
    return x[there], [str(name) for name, use in zip(leads, there, strict=True) if use]


def _found(
    nk: Any, x: np.ndarray, leads: list[str], rate: float, method: str
) -> tuple[str, np.ndarray, dict[str, np.ndarray]]:
    """Reference lead, R peaks, and bounds of each beat."""
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
    """Bounds ``[beats]`` float64 of one lead; NaN throughout where NeuroKit2 fails or returns another number of beats."""
    try:
        found = nk.ecg_delineate(lead, peaks, sampling_rate=rate, method=method)[1]
    except Exception:  # noqa: BLE001 - one lead that fails leaves the others
        found = {}
    out = {}
    for key, name in BOUNDS.items():
        values = np.asarray(found.get(name, ()), np.float64)
        out[key] = values if len(values) == len(peaks) else np.full(len(peaks), np.nan)
    return out


def _paint(bounds: dict[str, np.ndarray], length: int, steps: int) -> np.ndarray:
    """Ids ``[steps]`` int8: from onset to offset, QRS over P and T where they overlap; TP from T to the next P."""
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
            'landmarks are found with the package neurokit2, which is missing; pip install "xai-views[ecg]" brings it.'
        ) from None
    return neurokit2
