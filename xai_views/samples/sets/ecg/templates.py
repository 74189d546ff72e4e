"""Heartbeats to compose records from: median beats of records drawn from a generative network.

The records come from the package ``deepfake-ecg`` 1.1.2 (MIT): Thambawita et al., DeepFake electrocardiograms using
generative adversarial networks are the beginning of the end for privacy issues in medicine (Scientific Reports 11,
2021). They have no labels and look like sinus rhythm. A median beat is cut into P, QRS and T, so that records can be
composed in which the place of every wave is known (:mod:`xai_views.samples.sets.ecg.composing`).
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from xai_views.errors import SamplesError

#: The leads that the generator draws; the other four follow from I and II.
DRAWN = ("I", "II", "V1", "V2", "V3", "V4", "V5", "V6")
RATE = 400  # Hz of templates and records
BEFORE, AFTER = 0.42, 0.62  # seconds of a template before and after R


@dataclass(frozen=True, eq=False)
class Template:
    """One person's beat in eight leads, cut into its waves.

    Attributes
    ----------
    p, qrs, t : ndarray
        ``[8, steps]`` float64 in mV at 400 Hz, each zero outside its wave; R is at step ``BEFORE * RATE``.
    spans : dict
        Of "P", "QRS" and "T": first and last step of the wave relative to R.
    """

    p: np.ndarray
    qrs: np.ndarray
    t: np.ndarray
    spans: dict[str, tuple[int, int]]


def drawn_records(n: int, seed: int) -> np.ndarray:
    """Draw ``[n, 8, 4000]`` mV at 400 Hz (10 s) from the generative network; deterministic for a seed.

    Raises
    ------
    SamplesError
        When ``deepfake-ecg`` is not installed.
    """
    import torch
    from scipy.signal import resample_poly

    try:
        import deepfakeecg
        from deepfakeecg.models import Generator
    except ImportError:
        raise SamplesError(
            "drawing ECG records needs the package deepfake-ecg, which is not installed; "
            'run pip install "xai-views[ecg-demo]".'
        ) from None
    path = Path(deepfakeecg.__file__).parent / "checkpoints" / "g_stat.pt"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # the package uses a deprecated name of torch
        network = Generator()
    network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True)["stat_dict"])
    network.eval()
    noise = torch.Generator().manual_seed(seed)
    out = []
    with torch.no_grad():
        for start in range(0, n, 16):
            x = torch.empty(min(16, n - start), 8, 5000).uniform_(-1, 1, generator=noise)
            out.append(network(x).numpy() * 6.0)  # the network's unit is 6000 uV
    return resample_poly(np.concatenate(out).astype(np.float64), 4, 5, axis=2)


def r_peaks(signal: np.ndarray, rate: float = RATE) -> np.ndarray:
    """Return the steps of the R peaks of ``[leads, steps]``: maxima of the joint slope, moved to the largest deflection."""
    from scipy.signal import butter, find_peaks, sosfiltfilt

    band = sosfiltfilt(butter(2, (5, 25), "band", fs=rate, output="sos"), signal, axis=1)
    energy = np.sqrt((np.gradient(band, axis=1) ** 2).mean(0))
    width = max(1, int(0.05 * rate))
    energy = np.convolve(energy, np.ones(width) / width, "same")
    found, _ = find_peaks(energy, height=0.35 * np.percentile(energy, 99), distance=int(0.3 * rate))
    size = np.sqrt((band**2).mean(0))
    reach = int(0.06 * rate)
    return np.array([max(0, i - reach) + int(size[max(0, i - reach) : i + reach].argmax()) for i in found])


def templates(n: int, seed: int) -> list[Template]:
    """Return ``n`` beats of different drawn records; records without a clear beat are left out."""
    made: list[Template] = []
    for turn in range(20):
        for record in drawn_records(max(32, n), seed * 1000 + turn):
            beat = template(record)
            if beat is not None:
                made.append(beat)
            if len(made) == n:
                return made
    raise SamplesError(
        f"only {len(made)} of {n} drawn records have a clear beat; restore the package deepfake-ecg."
    )


def template(record: np.ndarray) -> Template | None:
    """Return the median beat of a record ``[8, 4000]`` cut into its waves; None when it has no clear beat."""
    peaks = r_peaks(record)
    before, after = int(BEFORE * RATE), int(AFTER * RATE)
    peaks = peaks[(peaks >= before) & (peaks + after <= record.shape[1])]
    if len(peaks) < 5 or np.std(np.diff(peaks)) > 0.12 * np.mean(np.diff(peaks)):
        return None
    beat = np.median([record[:, i - before : i + after] for i in peaks], axis=0)
    spans = _spans(beat, min(float(np.median(np.diff(peaks))) / RATE, 1.0))
    if spans is None:
        return None
    waves = {}
    for name, (first, last) in spans.items():
        waves[name] = _cut(beat, before + first, before + last)
    qrs = np.abs(waves["QRS"]).max()
    if not 0.4 < qrs < 4.0 or np.abs(waves["P"]).max() < 0.03 or np.abs(waves["T"]).max() < 0.06:
        return None
    return Template(waves["P"], waves["QRS"], waves["T"], spans)


def _spans(beat: np.ndarray, rr: float) -> dict[str, tuple[int, int]] | None:
    """Return the first and last step of each wave relative to R, from the size of the beat over all leads."""
    at = int(BEFORE * RATE)
    ms = lambda t: round(t * RATE / 1000)  # noqa: E731
    slope = np.sqrt((np.gradient(beat, axis=1) ** 2).mean(0))
    slope = np.convolve(slope, np.ones(5) / 5, "same")
    low = 0.08 * slope[at - ms(60) : at + ms(60)].max()
    first = next(
        (i for i in range(at - ms(20), at - ms(90), -1) if slope[i - ms(10) : i + 1].max() < low), None
    )
    last = next((i for i in range(at + ms(25), at + ms(110)) if slope[i : i + ms(10) + 1].max() < low), None)
    if first is None or last is None or last - first > ms(130):
        return None
    p = _bump(beat, first - ms(170), first - ms(15), ms(130))
    t = _bump(beat, last + ms(70), min(at + ms(440), at + ms(rr * 1000) - ms(240)), ms(240))
    if p is None or t is None:
        return None
    return {
        "P": (p[0] - at, min(p[1], first - 2) - at),
        "QRS": (first - at, last - at),
        "T": (max(t[0], last + 2) - at, t[1] - at),
    }


def _bump(beat: np.ndarray, start: int, stop: int, width: int) -> tuple[int, int] | None:
    """Return the bump between two steps: around its largest deflection from the line between them, down to a tenth of it."""
    if start < 0 or stop - start < 12:
        return None
    part = beat[:, start:stop]
    line = part[:, :1] + (part[:, -1:] - part[:, :1]) * np.linspace(0, 1, stop - start)
    size = np.sqrt(((part - line) ** 2).mean(0))
    peak = int(size[3:-3].argmax()) + 3
    low = 0.1 * size[peak]
    first = next((i for i in range(peak, -1, -1) if size[i] < low), 0)
    last = next((i for i in range(peak, len(size)) if size[i] < low), len(size) - 1)
    first, last = max(first, peak - width // 2), min(last, peak + width // 2)
    return start + first, start + last


def _cut(beat: np.ndarray, first: int, last: int) -> np.ndarray:
    """Return one wave alone: its height above the line between its ends, faded over three steps, zero elsewhere."""
    out = np.zeros_like(beat)
    part = beat[:, first : last + 1]
    line = part[:, :1] + (part[:, -1:] - part[:, :1]) * np.linspace(0, 1, last - first + 1)
    out[:, first : last + 1] = part - line
    return out
