"""Family of the ECG records: composed ones, and a real one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import xarray as xr

from xai_views.contract.sample_set import SampleFamily
from xai_views.kinds.signal_schema import trace_tile
from xai_views.samples.sets.ecg.samples import (
    CLASSES,
    DICOM,
    NOTE,
    ORIGIN,
    PEOPLE,
    SETS,
    composed,
    ecg_samples,
    packed,
)
from xai_views.samples.sets.writing import write_card, write_set


class Ecg(SampleFamily):
    """Composed 12-lead records with known findings, and a real record from the package pydicom."""

    names: ClassVar = ("ecg/train", "ecg/mixed", "ecg/test", "ecg/dicom")
    made: ClassVar = {"ecg/train": "ecg/test", "ecg/mixed": "ecg/test"}
    trained: ClassVar = (
        "Trained on synthetic records composed by rules, so it says nothing about patients: it labels the one real record "
        "(ecg/dicom; machine reading: normal) as anterior ST elevation. Not for clinical use."
    )

    def open(self, name: str, folder: Path | None, card: Mapping[str, Any]) -> xr.Dataset:
        """Compose records on access, or open the shipped ones."""
        return ecg_samples(name.partition("/")[2], folder)

    def build(self, out: Path) -> None:
        """Compose and write the test records, and the card of the real record, which stays in its package."""
        n, seed = SETS["test"]
        people = PEOPLE["test"]
        arrays = composed(n, people, seed)
        card = {
            "name": "ecg-test",
            "title": "Composed 12-lead ECG records, test set",
            "classes": list(CLASSES),
            "samples": n,
            "synthetic": True,
            "note": NOTE,
            "seed": seed,
            "people": people,
            "licence": "BSD-3-Clause",
            "origin": ORIGIN,
            "command": "python -m xai_views.samples build ecg --out data/samples",
        }
        tiles = [trace_tile(arrays["signal"][i, 1, : 3 * 400], 80) for i in range(8)]
        write_set(out / "ecg-test", card, tiles, **packed(arrays))
        real = {
            "name": "ecg-dicom",
            "title": "A real 12-lead ECG record",
            "classes": [],
            "samples": 1,
            "synthetic": False,
            **DICOM,
            "command": "python -m xai_views.samples build ecg --out data/samples",
            "sha256": {},
        }
        write_card(out / "ecg-dicom", real)
