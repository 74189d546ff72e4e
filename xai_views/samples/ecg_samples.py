"""The ECG records of the catalogue: ``ecg/test`` ships, ``ecg/train`` is composed when it is opened, ``ecg/dicom`` is real."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import xarray as xr

from xai_views.errors import SamplesError

from .ecg_records import CLASSES, DIFFICULTIES, STEP_MV, STEPS, compose, twelve
from .ecg_templates import RATE, templates
from .signals import LEADS, signal_dataset

#: Number of records, seed of their people's beats and of everything else. No beat is in both sets.
SETS = {"train": (2500, 11), "test": (150, 12)}
PEOPLE = {"train": 320, "test": 60}
EIGHT = [LEADS.index(x) for x in ("I", "II", "V1", "V2", "V3", "V4", "V5", "V6")]
NOTE = "Synthetic: beats of a generative network (deepfake-ecg), rhythm and findings composed by rules. Not for clinical use."
ORIGIN = "xai_views.samples.ecg_records on beats of the package deepfake-ecg 1.1.2"


def composed(n: int, people: int, seed: int) -> dict[str, np.ndarray]:
    """Compose records, classes in turn, each third of a class easy, medium and hard.

    Returns
    -------
    dict
        ``signal [n, 12, 4000]`` float32 mV at 400 Hz, ``mask`` bool alike, ``landmark [n, 4000]`` int8, ``label`` and
        ``difficulty`` ``[n]``.
    """
    beats = templates(people, seed)
    made = []
    for i in range(n):
        rng = np.random.default_rng([seed, i])
        level = (i // len(CLASSES)) % len(DIFFICULTIES)
        made.append(compose(CLASSES[i % len(CLASSES)], level, beats[int(rng.integers(people))], rng))
    index = np.arange(n)
    return {
        "signal": np.stack([r.signal for r in made]),
        "mask": np.stack([r.mask for r in made]),
        "landmark": np.stack([r.landmark for r in made]),
        "label": (index % len(CLASSES)).astype(np.int64),
        "difficulty": ((index // len(CLASSES)) % len(DIFFICULTIES)).astype(np.int8),
    }


def dataset_of(split: str, arrays: dict[str, np.ndarray]) -> xr.Dataset:
    """Put composed records into the schema; ``difficulty (sample)`` indexes the attribute ``difficulties``."""
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
    return ds.assign(difficulty=("sample", arrays["difficulty"]))


def packed(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Records as they are written: eight leads as differences of 5 uV steps, truths as bits; III to aVF follow from I, II."""
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
    split : {"train", "test", "dicom"}
        Composed when asked for (about a minute), shipped, or the real record that the package pydicom holds.
    folder : Path or None
        Where the shipped ones are.

    Raises
    ------
    SamplesError
        When a package or file is missing.
    """
    if split == "train":
        n, seed = SETS["train"]
        return dataset_of("train", composed(n, PEOPLE["train"], seed))
    if split == "dicom":
        return _dicom()
    from .opening import load_npz

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
            'samples ecg/dicom are in the package pydicom; pip install "xai-views[ecg]" brings it.'
        ) from None
    from .ecg_files import open_ecg

    ds = open_ecg(get_testdata_file("waveform_ecg.dcm"))
    note = (
        "A real record whose origin the package does not state; no diagnosis is known. Not for clinical use."
    )
    words = {
        "title": "ecg/dicom",
        "note": note,
        "licence": "MIT (package pydicom)",
        "origin": "waveform_ecg.dcm of pydicom",
    }
    return ds.assign(name=("sample", np.asarray(["pydicom-ecg"]))).assign_attrs(**words, synthetic=0)
