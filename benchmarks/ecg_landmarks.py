"""Compare the landmarks that NeuroKit2 finds with the known ones.

    python benchmarks/ecg_landmarks.py [--records 30]

First the bounds of the waves in records of ``ecg/test``, which were composed at known places, in ms: median of the
differences (found - known), and the 90th percentile of the absolute difference. Then the intervals of the real record
``ecg/dicom`` and those printed by the machine that recorded it (its annotation sequence).
"""

from __future__ import annotations

import argparse

import numpy as np

from xai_views import open_samples
from xai_views.methods.ecg_clusters.landmarks import METHODS, QRS, Delineation, P, T, delineate, intervals

MACHINE = {"RR": 982, "PR": 161, "QRS": 75, "QT": 368}
BOUNDS = ("p_onset", "p_offset", "qrs_onset", "qrs_offset", "t_onset", "t_offset")
NEAR_S = 0.05  # between an R peak and its QRS
FIBRILLATION = 1


def runs(ids: np.ndarray, what: int) -> np.ndarray:
    """Return the first and last step ``[runs, 2]`` of every stretch of a segment."""
    turns = np.diff(np.concatenate([[0], (ids == what).astype(int), [0]]))
    return np.stack([np.flatnonzero(turns == 1), np.flatnonzero(turns == -1) - 1], 1)


def known(ids: np.ndarray, r_peak: int, rate: float) -> dict[str, int]:
    """Return the known bounds of the beat at an R peak, without P where it has none."""
    near = NEAR_S * rate
    beat = [q for q in runs(ids, QRS) if q[0] - near <= r_peak <= q[1] + near]
    if not beat:
        return {}
    q = beat[0]
    out = {"qrs_onset": q[0], "qrs_offset": q[1]}
    p = [w for w in runs(ids, P) if 0 <= q[0] - w[1] < 0.3 * rate]
    t = [w for w in runs(ids, T) if 0 <= w[0] - q[1] < 0.4 * rate]
    for name, found in (("p", p[-1:]), ("t", t[:1])):
        for wave in found:
            out |= {f"{name}_onset": wave[0], f"{name}_offset": wave[1]}
    return out


def compare(found: Delineation, ids: np.ndarray, errors: dict[str, list[float]]) -> tuple[int, int]:
    """Collect the differences in ms; return the number of beats without P, and for how many of them one was found."""
    without = named = 0
    for beat, r in enumerate(found.r_peaks):
        truth = known(ids, r, found.rate)
        for key in truth:
            if np.isfinite(found.bounds[key][beat]):
                errors[key].append((found.bounds[key][beat] - truth[key]) * 1000 / found.rate)
        if truth and "p_onset" not in truth:
            without += 1
            named += bool(np.isfinite(found.bounds["p_onset"][beat]))
    return without, named


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--records", type=int, default=30, help="number of records of ecg/test, evenly spaced"
    )
    args = parser.parse_args()
    ds = open_samples("ecg/test")
    rows = np.linspace(0, ds.sizes["sample"] - 1, args.records).astype(int)
    leads = [str(x) for x in ds["lead"].values]
    print(
        f"{len(rows)} records of ecg/test: difference in ms, median (90th percentile of the absolute difference)"
    )
    print(f"{'method':8}" + "".join(f"{b:>14}" for b in BOUNDS))
    for method in METHODS:
        errors: dict[str, list[float]] = {b: [] for b in BOUNDS}
        without = named = failed = 0
        for i in rows:
            found = delineate(ds["signal"].values[i], leads, ds.attrs["rate"], method=method)
            failed += bool(found.reason)
            ids = ds["landmark"].values[i]
            counts = compare(found, ids, errors) if not found.reason else (0, 0)
            if ds["label"].values[i] == FIBRILLATION:
                without, named = without + counts[0], named + counts[1]
        cells = [
            f"{np.median(v):+.0f} ({np.percentile(np.abs(v), 90):.0f})"
            for v in (np.array(errors[b]) for b in BOUNDS)
        ]
        print(f"{method:8}" + "".join(f"{c:>14}" for c in cells))
        print(
            f"  {failed} records not delineated; P found in {named} of {without} fibrillating beats without P"
        )
    ds = open_samples("ecg/dicom")
    leads = [str(x) for x in ds["lead"].values]
    print("ecg/dicom, ms: " + ", ".join(f"{k} {v}" for k, v in MACHINE.items()) + " (the machine)")
    for method in METHODS:
        read = intervals(delineate(ds["signal"].values[0], leads, ds.attrs["rate"], method=method))
        print(f"{method:8}" + ", ".join(f"{k} {read[k][0]:.0f}" for k in MACHINE))


if __name__ == "__main__":
    main()
