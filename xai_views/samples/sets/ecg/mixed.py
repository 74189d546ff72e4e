"""``ecg/mixed``: composed records with two findings each, to test which of them a network uses, and where.

Each finding is the same transform of the known waves as in :mod:`xai_views.samples.sets.ecg.composing`. Rhythm, premature beats
and fibrillation have separate random generators: the same record without one of its findings
(:func:`mixed_heart` with fewer findings) differs only in that finding.

All six pairs of the four findings occur in real hearts. One of them has no hard records: hard premature beats are early,
narrow beats from the atria, which cannot be distinguished in atrial fibrillation. Those of the easy and medium records come
from the ventricles and have another shape.
"""

from __future__ import annotations

from collections.abc import Collection
from functools import lru_cache, partial
from itertools import combinations

import numpy as np
import xarray as xr

from xai_views.kinds.signal_schema import LEADS, signal_dataset
from xai_views.samples.sets.ecg.composing import (
    AF,
    CLASSES,
    DIFFICULTIES,
    PREMATURE,
    STEPS,
    Heart,
    Record,
    drawn,
    placed,
)
from xai_views.samples.sets.ecg.drawing import NOTE, ORIGIN, lazy_field, persons, template_of
from xai_views.samples.sets.ecg.templates import RATE

SEED, PEOPLE = 13, 30
PAIRS = tuple(frozenset(pair) for pair in combinations(CLASSES[1:], 2))
#: Rounds over the pairs, each of one difficulty: easy, medium and hard in turn.
ROUNDS = 9


def senseless(findings: Collection[str], level: int) -> bool:
    """Return whether a record would be impossible: an early narrow beat among intervals that are irregular anyway."""
    return level == 2 and {AF, PREMATURE} <= set(findings)


def _plan() -> list[tuple[frozenset[str], int]]:
    plan: list[tuple[frozenset[str], int]] = []
    for turn in range(ROUNDS):
        level = turn % len(DIFFICULTIES)
        plan += [(pair, level) for pair in PAIRS if not senseless(pair, level)]
        plan.append(
            (frozenset({CLASSES[(turn + 1) % len(CLASSES)]}), level)
        )  # and one with one finding or none
    return plan


#: Classes and difficulty of each record.
RECORDS = tuple(_plan())


def mixed_heart(i: int, findings: Collection[str] | None = None) -> Heart:
    """Return the random parameters of record ``i``; with other ``findings``, those of the same seed for them."""
    rng = np.random.default_rng([SEED, i])
    rng.integers(PEOPLE)  # the person, drawn as in `person`
    own, level = RECORDS[i]
    return drawn(own if findings is None else findings, level, rng, apart=True)


@lru_cache(maxsize=32)
def mixed_record(i: int) -> Record:
    """Compose record ``i``."""
    return placed(mixed_heart(i), template_of(i, PEOPLE, SEED))


def without(i: int, finding: str) -> Record:
    """Compose record ``i`` without one of its findings and otherwise unchanged: beat, rhythm, size of waves and noise.

    Without atrial fibrillation the rhythm is regular, so all beats move.

    Parameters
    ----------
    i : int
        Position in ``ecg/mixed``.
    finding : str
        One of :data:`xai_views.samples.sets.ecg.composing.CLASSES`.
    """
    return placed(mixed_heart(i, RECORDS[i][0] - {finding}), template_of(i, PEOPLE, SEED))


def mixed_samples() -> xr.Dataset:
    """Open ``ecg/mixed``: 60 records of 10 s at 400 Hz, composed on access.

    Returns
    -------
    xarray.Dataset
        ``label (sample, class)`` 0/1, ``class_mask (sample, class, lead, time)`` and their union ``mask``; ``difficulty``
        and ``person`` as in ``ecg/test``.

    Raises
    ------
    SamplesError
        On access, when the package deepfake-ecg is not installed.
    """
    n = len(RECORDS)
    lazy = partial(lazy_field, mixed_record, which=[(i,) for i in range(n)])
    label = np.array([[int(c in classes) for c in CLASSES] for classes, _ in RECORDS])
    whole = (len(LEADS), STEPS)
    ds = signal_dataset(
        lazy("signal", dtype=np.float32, tail=whole),
        RATE,
        LEADS,
        label,
        [f"ecg-mixed-{i:05d}" for i in range(n)],
        CLASSES,
        mask=lazy("mask", dtype=bool, tail=whole),
        landmark=lazy("landmark", dtype=np.int8, tail=(STEPS,)),
        class_mask=lazy("class_mask", dtype=bool, tail=(len(CLASSES), *whole)),
        title="ecg/mixed",
        synthetic=1,
        note=f"Most records have two findings at once. {NOTE}",
        licence="BSD-3-Clause",
        origin=ORIGIN,
        difficulties=list(DIFFICULTIES),
    )
    level = np.array([level for _, level in RECORDS], np.int8)
    return ds.assign(difficulty=("sample", level), person=("sample", persons(n, PEOPLE, SEED)))
