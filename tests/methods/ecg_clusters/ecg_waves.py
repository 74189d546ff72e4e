"""Records of Gaussian P, QRS and T at known times."""

from __future__ import annotations

import numpy as np

LEADS = ("I", "II", "V1")
#: Centre after R in s, width (standard deviation) in s, height in mV per lead.
WAVES = {
    "P": (-0.16, 0.02, (0.1, 0.15, 0.06)),
    "QRS": (0.0, 0.012, (0.6, 1.1, -0.8)),
    "T": (0.28, 0.035, (0.2, 0.3, 0.15)),
}
REACH = 2.5  # standard deviations that count as the wave


def record(rate=400.0, seconds=10.0, rr=0.9, first=0.5, noise=0.002, seed=0):
    """Signal ``[3, steps]`` mV, ids ``[steps]`` (none, P, QRS, T, TP), R peaks in s."""
    rng = np.random.default_rng(seed)
    t = np.arange(round(rate * seconds)) / rate
    peaks = np.arange(first, seconds - 0.45, rr)
    signal, ids = rng.normal(0, noise, (3, len(t))), np.zeros(len(t), np.int8)
    for i, r in enumerate(peaks):
        end, start = r + 0.28 + REACH * 0.035, r + rr - 0.16 - REACH * 0.02
        if i + 1 < len(peaks):
            ids[(t > end) & (t < start)] = 4
        for wave, (name, (at, width, height)) in enumerate(WAVES.items(), 1):
            signal += np.outer(height, np.exp(-(((t - r - at) / width) ** 2) / 2))
            ids[np.abs(t - r - at) <= REACH * WAVES[name][1]] = wave
    return signal.astype(np.float32), ids, peaks
