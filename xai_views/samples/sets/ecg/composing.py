"""Records composed of known waves: five classes whose evidence is known in time and lead.

All classes are composed in the same way, so that only the transform of a class distinguishes it:

* ``normal``: sinus rhythm with some variation of the intervals; P waves may be small.
* ``atrial fibrillation``: no P waves, irregular intervals, fibrillatory waves. Evidence: all leads from the end of T to
  the next QRS, where P is missing and fibrillation is visible.
* ``anterior ST elevation``: the segment from the end of QRS to the end of T is lifted in V1 to V4. Evidence: there.
* ``wide QRS``: QRS stretched with a slurred end, T turned against it unless hard. Evidence: QRS, and T where it is
  turned, in all leads.
* ``premature beats``: one to three beats come early and without P, wide unless hard, followed by a pause. Evidence:
  their QRS and T in all leads.

A third of the records of each class is easy, a third medium, a third hard: weaker evidence and more noise.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

from xai_views.kinds.signal_schema import LANDMARKS, LEADS
from xai_views.samples.sets.ecg.templates import BEFORE, DRAWN, RATE, Template

CLASSES = ("normal", "atrial fibrillation", "anterior ST elevation", "wide QRS", "premature beats")
AF, ELEVATION, WIDE, PREMATURE = CLASSES[1:]
DIFFICULTIES = ("easy", "medium", "hard")
STEPS = 10 * RATE
STEP_MV = 0.005  # the resolution of most recorders
ANTERIOR = tuple(LEADS.index(x) for x in ("V1", "V2", "V3", "V4"))
#: Per difficulty: lift of ST in mV, stretch of a wide QRS, fibrillatory waves in mV and spread of the intervals, premature
#: intervals as a share of the usual one, noise in mV.
LIFT = ((0.2, 0.35), (0.1, 0.18), (0.04, 0.09))
WIDEN = ((1.6, 1.9), (1.3, 1.5), (1.12, 1.25))
FIBRILLATION = ((0.05, 0.1), (0.02, 0.05), (0.0, 0.02))
IRREGULAR = (0.22, 0.16, 0.09)
EARLY = ((0.55, 0.65), (0.6, 0.75), (0.75, 0.88))
NOISE = ((0.004, 0.012), (0.015, 0.035), (0.04, 0.08))
#: The shortest interval in s of atrial fibrillation that a premature beat may shorten.
ROOM = 0.6
#: Variation of every record, independent of its class: breathing in the intervals, ST in mV, width of QRS, size of P.
BREATHING, ST_SHIFT, WIDTH, P_SIZE = (0.0, 0.07), (-0.02, 0.04), (0.9, 1.1), (0.3, 1.3)


@dataclass(frozen=True, eq=False)
class Heart:
    """Random parameters of a record, before waves are placed.

    Attributes
    ----------
    findings : frozenset of str
        Of :data:`CLASSES`; empty for a normal record.
    level : int
        Index into :data:`DIFFICULTIES`.
    times, early : ndarray
        R peaks in s, and which of the beats are premature.
    sizes : dict
        Factors of "P", "T" and "all" waves.
    widen, lift, breath : float
        Stretch of QRS, lift of ST in V1 to V4 in mV, breaths per second.
    ectopic : ndarray
        ``[8]`` shape of a ventricular beat in each lead.
    fibrillation : ndarray or None
        ``[8, 4000]`` mV, with atrial fibrillation.
    noise : ndarray
        ``[8, 4000]`` mV.
    """

    findings: frozenset[str]
    level: int
    times: np.ndarray
    early: np.ndarray
    sizes: dict[str, float]
    widen: float
    lift: float
    breath: float
    ectopic: np.ndarray
    fibrillation: np.ndarray | None
    noise: np.ndarray


@dataclass(frozen=True, eq=False)
class Record:
    """A composed record of 10 s at 400 Hz.

    Attributes
    ----------
    signal : ndarray
        ``[12, 4000]`` float32 mV.
    class_mask : ndarray
        ``[5, 12, 4000]`` bool: where the evidence of each class lies.
    landmark : ndarray
        ``[4000]`` int8, ids of :data:`xai_views.samples.signals.LANDMARKS`.
    peaks : ndarray
        Steps of R.
    """

    signal: np.ndarray
    class_mask: np.ndarray
    landmark: np.ndarray
    peaks: np.ndarray

    @property
    def mask(self) -> np.ndarray:
        """``[12, 4000]`` bool: the evidence of all classes."""
        return np.any(self.class_mask, axis=0)


def twelve(eight: np.ndarray) -> np.ndarray:
    """Add III, aVR, aVL and aVF to ``[8, steps]`` of I, II, V1 to V6 (Einthoven, Goldberger): ``[12, steps]``."""
    one, two = eight[0], eight[1]
    return np.concatenate([[one, two, two - one, -(one + two) / 2, one - two / 2, two - one / 2], eight[2:]])


def rhythm(
    findings: Collection[str], level: int, rng: np.random.Generator, early_rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Return the times of the R peaks in s over a little more than ten seconds, and which beats are premature."""
    rr = rng.uniform(0.62, 1.1)
    n = int(12 / rr) + 4
    if AF in findings:
        intervals = np.clip(rng.normal(rr, IRREGULAR[level] * rr, 2 * n), 0.34, 1.9)
    else:
        slow = rng.uniform(*BREATHING) * np.sin(
            2 * np.pi * np.cumsum(np.full(n, rr)) * 0.25 + rng.uniform(0, 6.3)
        )
        intervals = rr * (1 + slow + rng.normal(0, 0.01, n))
    early = np.zeros(len(intervals) + 1, bool)
    if PREMATURE in findings:
        # An interval shortened by fibrillation leaves no room: ventricles cannot be excited again so soon.
        long = intervals >= (ROOM if AF in findings else 0)
        inside = np.flatnonzero((np.cumsum(intervals) > 1.2) & (np.cumsum(intervals) < 8.6) & long)
        for i in sorted(
            early_rng.choice(
                inside[1::2], min(len(inside[1::2]), int(early_rng.integers(1, 4))), replace=False
            )
        ):
            cut = early_rng.uniform(*EARLY[level])
            lost = intervals[i] * (1 - cut)
            intervals[i] -= lost
            intervals[i + 1] += lost  # compensatory pause: the next sinus beat comes at its regular time
            early[i + 1] = True
    times = np.concatenate([[0.0], np.cumsum(intervals)]) - rng.uniform(0, rr)
    return times, early


def _place(out: np.ndarray, wave: np.ndarray, at: float, stretch: float = 1.0, about: float = 0.0) -> None:
    """Add a wave ``[8, steps]`` whose R lies at ``at`` s, stretched by ``stretch`` about ``about`` s after R."""
    origin = BEFORE * RATE
    first = int(np.floor(at * RATE - stretch * origin - RATE * 0.2))
    steps = np.arange(max(0, first), min(out.shape[1], first + int(1.6 * stretch * wave.shape[1])))
    if not len(steps):
        return
    source = ((steps / RATE - at) - about) / stretch + about
    position = source * RATE + origin
    for lead in range(len(wave)):
        out[lead, steps] += np.interp(position, np.arange(wave.shape[1]), wave[lead], left=0, right=0)


def _steps(at: float, start: float, stop: float) -> slice:
    """Return the steps of a record between two times relative to R."""
    first, last = (int(np.clip(round((at + s) * RATE), 0, STEPS)) for s in (start, stop))
    return slice(first, max(first, last))


def drawn(findings: Collection[str], level: int, rng: np.random.Generator, apart: bool = False) -> Heart:
    """Draw all random parameters of a record except the person.

    Parameters
    ----------
    findings : collection of str
        Of :data:`CLASSES`; "normal" and an empty collection are the same.
    level : int
        0 (easy), 1 or 2 (hard).
    rng : numpy.random.Generator
        Source of all randomness.
    apart : bool
        Whether rhythm, premature beats and fibrillation have separate generators. The same seed without one of the
        findings then gives a record that differs only in this finding.
    """
    findings = frozenset(findings) - {"normal"}
    rhythm_rng, early_rng, wave_rng = rng.spawn(3) if apart else (rng, rng, rng)
    times, early = rhythm(findings, level, rhythm_rng, early_rng)
    sizes = {"P": rng.uniform(*P_SIZE), "T": rng.uniform(0.7, 1.2), "all": rng.uniform(0.75, 1.3)}
    widen = rng.uniform(*(WIDEN[level] if WIDE in findings else WIDTH))
    lift = rng.uniform(*(LIFT[level] if ELEVATION in findings else ST_SHIFT))
    ectopic = rng.uniform(-1, 1, len(DRAWN))
    breath = rng.uniform(0.2, 0.35)
    waves = _fibrillation(wave_rng, wave_rng.uniform(*FIBRILLATION[level])) if AF in findings else None
    noise = _noise(rng, rng.uniform(*NOISE[level]))
    return Heart(findings, level, times, early, sizes, widen, lift, breath, ectopic, waves, noise)


def compose(kind: str, level: int, beat: Template, rng: np.random.Generator) -> Record:
    """Compose one record with one finding or none.

    Parameters
    ----------
    kind : str
        One of :data:`CLASSES`.
    level : int
        0 (easy), 1 or 2 (hard).
    beat : Template
        The beat to use.
    rng : numpy.random.Generator
        Source of all other randomness.
    """
    return placed(drawn({kind}, level, rng), beat)


def placed(heart: Heart, beat: Template) -> Record:
    """Place the waves of a beat according to the parameters of a heart.

    Ventricular premature beats are not changed by other findings: they are not lifted or widened again.

    Parameters
    ----------
    heart : Heart
        The random parameters.
    beat : Template
        The beat to use.
    """
    times, findings, level = heart.times, heart.findings, heart.level
    out, mask = np.zeros((len(DRAWN), STEPS)), np.zeros((len(CLASSES), len(LEADS), STEPS), bool)
    evidence = dict(zip(CLASSES, mask, strict=True))
    landmark = np.full(STEPS, LANDMARKS.index("TP"), np.int8)
    spans = {k: (a / RATE, b / RATE) for k, (a, b) in beat.spans.items()}
    for i, at in enumerate(times[:-1]):
        before = at - times[i - 1] if i else times[1] - times[0]
        gain = heart.sizes["all"] * (1 + 0.06 * np.sin(2 * np.pi * heart.breath * at))
        premature = bool(heart.early[i])
        ventricular = premature and level < 2  # hard ones are supraventricular: early and narrow
        wide = 1.9 if ventricular else heart.widen
        late = spans["QRS"][1] * (wide - 1)
        qt = float(np.clip(np.sqrt(min(before, 1.1) / 0.85), 0.8, 1.12))
        t_span = (spans["T"][0] * qt + late, spans["T"][1] * qt + late)
        q_span = (spans["QRS"][0] * wide, spans["QRS"][1] * wide)
        if ventricular:
            shape = heart.ectopic[:, None]
            wave = 1.5 * np.sign(shape) * np.abs(beat.qrs) + 0.3 * shape * beat.qrs
            _place(out, gain * wave, at, wide)
            _place(out, -1.2 * gain * heart.sizes["T"] * np.sign(shape) * np.abs(beat.t), at + late, qt)
        else:
            _place(out, gain * beat.qrs, at, wide)
            turn = -0.8 if WIDE in findings and level < 2 else 1.0
            _place(out, turn * gain * heart.sizes["T"] * beat.t, at + late, qt)
            if WIDE in findings:
                _slur(out, beat, gain, at, q_span)
            if AF not in findings and not premature:
                _place(out, gain * heart.sizes["P"] * beat.p, at)
                landmark[_steps(at, *spans["P"])] = LANDMARKS.index("P")
            _lift(out, heart.lift, at, q_span[1], t_span[1])
        landmark[_steps(at, *q_span)] = LANDMARKS.index("QRS")
        landmark[_steps(at, q_span[1], t_span[0])] = LANDMARKS.index("none")  # the ST segment
        landmark[_steps(at, *t_span)] = LANDMARKS.index("T")
        if premature:
            evidence[PREMATURE][:, _steps(at, q_span[0], t_span[1])] = True
        if WIDE in findings and not ventricular:
            evidence[WIDE][:, _steps(at, q_span[0], t_span[1] if level < 2 else q_span[1])] = True
        if ELEVATION in findings and not ventricular:
            evidence[ELEVATION][ANTERIOR, _steps(at, q_span[1], t_span[1])] = True
    if heart.fibrillation is not None:
        out += heart.fibrillation
        evidence[AF][:, landmark == LANDMARKS.index("TP")] = True
    out += heart.noise
    peaks = np.round(times * RATE).astype(int)
    rounded = np.round(out / STEP_MV).astype(np.float32) * np.float32(STEP_MV)
    return Record(twelve(rounded), mask, landmark, peaks[(peaks >= 0) & (peaks < STEPS)])


def _slur(out: np.ndarray, beat: Template, gain: float, at: float, span: tuple[float, float]) -> None:
    """Add a slurred second half to a wide QRS: its end, drawn out."""
    steps = np.arange(STEPS)[_steps(at, 0.02, span[1])]
    if len(steps):
        shape = np.sin(np.pi * (steps / RATE - at - 0.02) / (span[1] - 0.02)) ** 2
        out[:, steps] += (
            0.25 * gain * np.sign(beat.qrs.sum(1))[:, None] * np.abs(beat.qrs).max(1)[:, None] * shape
        )


def _lift(out: np.ndarray, lift: float, at: float, start: float, stop: float) -> None:
    """Lift V1 to V4 from the end of QRS to the end of T, most at a third of the way."""
    steps = np.arange(STEPS)[_steps(at, start, stop)]
    if len(steps):
        x = np.clip((steps / RATE - at - start) / (stop - start), 0, 1)
        shape = np.minimum(x / 0.12, 1) * (1 - x) ** 0.7
        for lead, share in zip((2, 3, 4, 5), (0.6, 1.0, 1.0, 0.7), strict=True):
            out[lead, steps] += lift * share * shape


def _fibrillation(rng: np.random.Generator, size: float) -> np.ndarray:
    """Return fibrillatory waves at 4 to 8 per second with a wandering rate, largest in V1."""
    phase = np.cumsum(rng.uniform(4.5, 7) + 0.8 * _wander(rng, 1.0)) / RATE * 2 * np.pi
    wave = np.sin(phase) + 0.4 * np.sin(2 * phase + rng.uniform(0, 6.3))
    share = np.array([0.4, 0.8, 1.6, 1.0, 0.5, 0.4, 0.4, 0.4]) * rng.uniform(0.8, 1.2, len(DRAWN))
    return size * share[:, None] * wave * (1 + 0.3 * _wander(rng, 0.7))


def _wander(rng: np.random.Generator, rate: float) -> np.ndarray:
    """Return a slow random curve ``[4000]`` of about unit size that changes ``rate`` times per second."""
    knots = rng.normal(0, 1, int(10 * rate) + 4)
    return np.interp(np.arange(STEPS) / RATE * rate, np.arange(len(knots)), knots)


def _noise(rng: np.random.Generator, size: float) -> np.ndarray:
    """Return baseline wander, muscle and mains noise, different in each lead."""
    base = np.stack([_wander(rng, 0.4) for _ in DRAWN]) * 2.0 * size
    muscle = rng.normal(0, size, (len(DRAWN), STEPS)) * (0.6 + 0.4 * np.abs(_wander(rng, 1.5)))
    mains = np.sin(2 * np.pi * 50 * np.arange(STEPS) / RATE + rng.uniform(0, 6.3)) * rng.uniform(
        0, 0.6, (len(DRAWN), 1)
    )
    return base + muscle + mains * size
