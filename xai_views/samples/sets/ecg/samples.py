"""The ECG records of the catalogue.

``ecg/test`` is shipped, ``ecg/train`` and ``ecg/mixed`` are composed on access, ``ecg/dicom`` is real.
"""

from __future__ import annotations

from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from xai_views.errors import SamplesError
from xai_views.kinds.signal_schema import LEADS, signal_dataset
from xai_views.samples.sets.ecg.composing import (
    CLASSES,
    DIFFICULTIES,
    STEP_MV,
    STEPS,
    Record,
    compose,
    twelve,
)
from xai_views.samples.sets.ecg.drawing import NOTE, ORIGIN, lazy_field, persons, template_of
from xai_views.samples.sets.ecg.templates import RATE

#: Number of records, seed of the persons' beats and of everything else. No beat is in both sets.
SETS = {"train": (2500, 11), "test": (150, 12)}
PEOPLE = {"train": 320, "test": 60}
EIGHT = [LEADS.index(x) for x in ("I", "II", "V1", "V2", "V3", "V4", "V5", "V6")]
DICOM = {
    "note": "A real record whose origin the package does not state; no diagnosis is known. Not for clinical use.",
    "licence": "MIT (package pydicom)",
    "origin": "waveform_ecg.dcm of the package pydicom",
}


@lru_cache(maxsize=32)
def one_record(i: int, people: int, seed: int) -> Record:
    """Compose record ``i`` of a set: its class is ``i`` modulo 5, and each third of a class easy, medium and hard."""
    rng = np.random.default_rng([seed, i])
    rng.integers(people)  # the person, drawn as in `person`
    return compose(CLASSES[i % len(CLASSES)], difficulty(i), template_of(i, people, seed), rng)


def difficulty(i: Any) -> Any:
    """Return the index into :data:`DIFFICULTIES` of record ``i``."""
    return (i // len(CLASSES)) % len(DIFFICULTIES)


def composed(n: int, people: int, seed: int) -> dict[str, np.ndarray]:
    """Compose records, classes in turn, each third of a class easy, medium and hard.

    Returns
    -------
    dict
        ``signal [n, 12, 4000]`` float32 in mV at 400 Hz, ``mask`` bool of that shape, ``landmark [n, 4000]`` int8, ``label`` and
        ``difficulty`` ``[n]``.
    """
    made = [one_record(i, people, seed) for i in range(n)]
    index = np.arange(n)
    return {
        "signal": np.stack([r.signal for r in made]),
        "mask": np.stack([r.mask for r in made]),
        "landmark": np.stack([r.landmark for r in made]),
        "label": (index % len(CLASSES)).astype(np.int64),
        "difficulty": difficulty(index).astype(np.int8),
    }


def lazily(split: str) -> dict[str, Any]:
    """Compose as :func:`composed` does, but as dask arrays with one record per chunk, computed on access."""
    n, seed = SETS[split]
    index = np.arange(n)
    lazy = partial(lazy_field, one_record, which=[(i, PEOPLE[split], seed) for i in range(n)])
    return {
        "signal": lazy("signal", dtype=np.float32, tail=(len(LEADS), STEPS)),
        "mask": lazy("mask", dtype=bool, tail=(len(LEADS), STEPS)),
        "landmark": lazy("landmark", dtype=np.int8, tail=(STEPS,)),
        "label": (index % len(CLASSES)).astype(np.int64),
        "difficulty": difficulty(index).astype(np.int8),
    }


def dataset_of(split: str, arrays: dict[str, Any]) -> xr.Dataset:
    """Build samples from composed records.

    ``difficulty (sample)`` indexes the attribute ``difficulties``; ``person (sample)`` identifies whose beat a record uses.
    """
    ds = signal_dataset(
        arrays["signal"],
        RATE,
        LEADS,
        arrays["label"],
        [f"ecg-{split}-{i:05d}" for i in range(len(arrays["label"]))],
        CLASSES,
        mask=arrays["mask"],
        landmark=arrays["landmark"],
        title=f"ecg/{split}",
        synthetic=1,
        note=NOTE,
        licence="BSD-3-Clause",
        origin=ORIGIN,
        difficulties=list(DIFFICULTIES),
    )
    n, seed = SETS[split]
    return ds.assign(
        difficulty=("sample", arrays["difficulty"]), person=("sample", persons(n, PEOPLE[split], seed))
    )


def packed(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Encode records for storage: eight leads as differences of 5 uV steps, masks as bits; III to aVF follow from I, II."""
    steps = np.round(arrays["signal"][:, EIGHT] / STEP_MV).astype(np.int16)
    return {
        "difference": np.diff(steps, axis=2, prepend=np.int16(0)),
        "mask": np.packbits(arrays["mask"][:, EIGHT], axis=2),
        "rest": np.packbits(
            arrays["mask"][:, [LEADS.index(x) for x in ("III", "aVR", "aVL", "aVF")]], axis=2
        ),
        "landmark": arrays["landmark"],
        "label": arrays["label"],
        "difficulty": arrays["difficulty"],
    }


def unpacked(stored: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Undo :func:`packed`."""
    eight = np.cumsum(stored["difference"], axis=2, dtype=np.int32) * np.float32(STEP_MV)
    order = [*EIGHT, *(LEADS.index(x) for x in ("III", "aVR", "aVL", "aVF"))]
    bits = np.concatenate([stored["mask"], stored["rest"]], 1)
    mask = np.empty((len(eight), len(LEADS), STEPS), bool)
    mask[:, order] = np.unpackbits(bits, axis=2, count=STEPS).astype(bool)
    signal = np.stack([twelve(record) for record in eight]).astype(np.float32)
    return {"signal": signal, "mask": mask} | {k: stored[k] for k in ("landmark", "label", "difficulty")}


def ecg_samples(split: str, folder: Path | None) -> xr.Dataset:
    """Open the ECG records of the catalogue.

    Parameters
    ----------
    split : {"train", "mixed", "test", "dicom"}
        Composed record by record on access (the second with two findings each), shipped, or the real record in the
        package pydicom.
    folder : Path or None
        Folder of the shipped records.

    Raises
    ------
    SamplesError
        When a package or file is missing.
    """
    if split == "train":
        return dataset_of("train", lazily("train"))
    if split == "mixed":
        from xai_views.samples.sets.ecg.mixed import mixed_samples

        return mixed_samples()
    if split == "dicom":
        return _dicom()
    from xai_views.samples.readers.arrays import load_npz

    stored = load_npz(folder / "samples.npz") if folder else {}
    missing = {"difference", "mask", "rest", "landmark", "label", "difficulty"} - set(stored)
    if missing:
        raise SamplesError(
            f"the shipped ECG records lack {min(missing)!r}; restore samples.npz from its source."
        )
    return dataset_of(split, unpacked(stored))


def _dicom() -> xr.Dataset:
    try:
        from pydicom.data import get_testdata_file
    except ImportError:
        raise SamplesError(
            'the samples ecg/dicom are in the package pydicom, which is not installed; run pip install "xai-views[ecg]".'
        ) from None
    from xai_views.samples.readers.ecg_files import open_ecg

    ds = open_ecg(str(get_testdata_file("waveform_ecg.dcm")))
    return ds.assign(name=("sample", np.asarray(["pydicom-ecg"]))).assign_attrs(
        title="ecg/dicom", synthetic=0, **DICOM
    )
