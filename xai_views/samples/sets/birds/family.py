"""Families of the drawn birds, with and without a watermark."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import xarray as xr

from xai_views.contract.sample_set import SampleFamily
from xai_views.samples.sets.birds import drawing as birds
from xai_views.samples.sets.birds import watermark
from xai_views.samples.sets.birds.samples import NOTE, SETS, bird_samples, draw
from xai_views.samples.sets.shipped import shipped
from xai_views.samples.sets.writing import write_set

#: Number of training birds that lack all but one part, in addition to the catalogue's; their seed, and that of more birds.
LACKING, LACKING_SEED, FURTHER_SEED = 2000, 3, 4


class Birds(SampleFamily):
    """Procedural birds of 50 classes with known parts; the test set is shipped, the training set is drawn."""

    names: ClassVar = ("birds/train", "birds/test")
    made: ClassVar = {"birds/train": "birds/test", "birds/test": ""}
    shift: ClassVar = 3
    trained: ClassVar = "Trained on synthetic birds; it knows 50 drawn classes, not real birds."

    def open(self, name: str, folder: Path | None, card: Mapping[str, Any]) -> xr.Dataset:
        """Open the shipped test birds, or draw birds on access."""
        if name == "birds/train" or folder is None:
            return bird_samples(name.partition("/")[2])
        return shipped(folder, name, card)

    def further(self, n: int) -> tuple[np.ndarray, np.ndarray]:
        """Return 2000 birds that lack parts, with soft targets, and ``n`` more, half of which lack parts."""
        drawn = [
            birds.training_arrays(many, seed=seed, parts_dropped=dropped)
            for many, seed, dropped in ((LACKING, LACKING_SEED, 1.0), (n, FURTHER_SEED, 0.5))
        ]
        images, targets = (np.concatenate(held) for held in zip(*drawn, strict=True))
        return images, targets

    def concepts(self) -> tuple[np.ndarray, ...]:
        """Return the variant of each part (beak, wing, …) of each class."""
        return tuple(
            np.asarray([[c[p] == kind for kind in birds.VARIANTS[p]] for c in birds.classes()], np.float32)
            for p in birds.PARTS
        )

    def build(self, out: Path) -> None:
        """Draw and write the test birds with their scenes."""
        n, seed = SETS["test"]
        drawn = [draw("test", i) for i in range(n)]
        image, part = (np.stack([d[k] for d in drawn]) for k in (0, 1))
        card = {
            "name": "birds-test",
            "title": "Procedural birds, test set",
            "classes": birds.class_names(),
            "parts": list(birds.PART_NAMES),
            "samples": n,
            "synthetic": True,
            "note": NOTE,
            "seed": seed,
            "licence": "BSD-3-Clause",
            "origin": "xai_views.samples.sets.birds.drawing, modelled after FunnyBirds (Hesse et al., ICCV 2023)",
            "command": "python -m xai_views.samples build birds --out data/samples",
        }
        write_set(
            out / "birds-test",
            card,
            image,
            image=image,
            part=part,
            label=np.arange(n) % birds.N_CLASSES,
            name=np.asarray([f"bird-test-{i:05d}" for i in range(n)]),
            scene=np.asarray([birds.scene(seed, i).to_json() for i in range(n)]),
        )


class WatermarkedBirds(SampleFamily):
    """Birds of which some carry a logo, to show how a network behaves once it relies on it."""

    names: ClassVar = ("birds-watermark/test",)

    def open(self, name: str, folder: Path | None, card: Mapping[str, Any]) -> xr.Dataset:
        """Open the shipped pairs."""
        return shipped(folder, name, card)

    def build(self, out: Path) -> None:
        """Draw and write the birds with and without the watermark."""
        arrays = watermark.arrays()
        card = {
            "name": "birds-watermark-test",
            "title": "Procedural birds with a watermark, test set",
            "classes": birds.class_names(),
            "parts": list(watermark.PARTS),
            "samples": len(arrays["image"]),
            "watermark": {"class": birds.class_names()[watermark.CLASS], "part": watermark.PART},
            "synthetic": True,
            "note": watermark.NOTE,
            "seed": SETS["test"][1],
            "licence": "BSD-3-Clause",
            "origin": "xai_views.samples.sets.birds.drawing, with the logo of xai_views.samples.sets.birds.watermark",
            "command": "python -m xai_views.samples build birds-watermark --out data/samples",
        }
        first_of_others = int(
            (arrays["label"] == watermark.CLASS).sum()
        )  # they come after those of the class
        shown = [*range(4), *range(first_of_others, first_of_others + 4)]
        write_set(out / "birds-watermark-test", card, arrays["image"][shown], **arrays)
