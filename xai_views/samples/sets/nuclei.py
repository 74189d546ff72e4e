"""Real H&E nuclei: crops around each nucleus of a shipped slide region, cut on opening.

The region, the outlines and the classes are from the package histolytics (BSD-3-Clause). Training and test
crops come from different blocks of the region and share no pixel.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import xarray as xr
from PIL import Image

from xai_views.contract.sample_set import SampleFamily
from xai_views.kinds.image import dataset
from xai_views.samples.sets.shipped import there, words_of
from xai_views.samples.sets.writing import package_folder, write_set

CLASSES = ("connective", "inflammatory", "neoplastic")  # types 1, 2, 3 of the source
#: Side of a crop and of a block of the split, in pixels.
SIDE = 64
BLOCK = 375
#: Number of test blocks, of the 16 of the shipped region: 23 % of the crops that stay clear of the borders.
TEST_BLOCKS = 4


def centres(instance: np.ndarray, kind: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return id, centre and type of every nucleus of a region.

    Parameters
    ----------
    instance, kind : ndarray
        ``[H, W]`` integers: id of the nucleus and its type, 0 = none.

    Returns
    -------
    ids, centre, types : ndarray
        ``[n]`` ids, ``[n, 2]`` row and column of the bounding box's centre in pixels, ``[n]`` most frequent
        type inside. Nuclei without a type are left out.
    """
    from scipy import ndimage

    ids, centre, types = [], [], []
    for i, box in enumerate(ndimage.find_objects(instance), start=1):
        if box is None:
            continue
        inside = kind[box][instance[box] == i]
        inside = inside[inside > 0]
        if len(inside):
            ids.append(i)
            centre.append([(s.start + s.stop) // 2 for s in box])
            types.append(np.bincount(inside).argmax())
    return np.asarray(ids), np.asarray(centre), np.asarray(types)


def split_blocks(
    centre: np.ndarray, label: np.ndarray, shape: tuple[int, int], test_blocks: int = TEST_BLOCKS
) -> np.ndarray:
    """Assign every nucleus to training (0) or test (1), or to neither (-1) when its crop crosses into the other part.

    Neighbouring nuclei look alike and their crops overlap, so a random split would test on training
    data. The ``test_blocks`` blocks are those whose share of every class is closest to their share of all
    blocks.

    Parameters
    ----------
    centre, label : ndarray
        ``[n, 2]`` row and column, ``[n]`` class.
    shape : (int, int)
        Height and width of the region.
    test_blocks : int
        Number of blocks for testing.

    Returns
    -------
    ndarray
        ``[n]`` of 0, 1 and -1; no crop of a 0 shares a pixel with the crop of a 1.
    """
    half = SIDE // 2
    rows, cols = -(-shape[0] // BLOCK), -(-shape[1] // BLOCK)
    block = centre[:, 0] // BLOCK * cols + centre[:, 1] // BLOCK
    want = test_blocks / (rows * cols)

    def deviation(chosen: tuple[int, ...]) -> float:
        inside = np.isin(block, chosen)
        return max(abs(inside[label == c].mean() - want) for c in np.unique(label))

    best = min(combinations(range(rows * cols), test_blocks), key=deviation)
    part = np.zeros(shape, np.int8)
    for b in best:
        y, x = b // cols * BLOCK, b % cols * BLOCK
        part[y : y + BLOCK, x : x + BLOCK] = 1
    out = np.full(len(centre), -1)
    for i, (y, x) in enumerate(centre):
        top, left = y - half, x - half
        if top < 0 or left < 0 or top + SIDE > shape[0] or left + SIDE > shape[1]:
            continue
        crop = part[top : top + SIDE, left : left + SIDE]
        if crop.min() == crop.max():
            out[i] = crop[0, 0]
    return out


def nuclei_samples(folder: Path, split: str, card: Mapping[str, Any]) -> xr.Dataset:
    """Open the training or test crops from the shipped region.

    Parameters
    ----------
    folder : Path
        Holds ``region.jpg`` and ``nuclei.npz`` (``instance [H, W]``, and ``id``, ``centre``, ``label``,
        ``split`` per nucleus).
    split : {"train", "test"}
        Which crops.
    card : mapping
        Texts for the attributes.

    Returns
    -------
    xarray.Dataset
        ``[n, 64, 64, 3]`` uint8 crops; ``mask`` is the nucleus in the middle and excludes others in view.
    """
    region = np.asarray(Image.open(folder / "region.jpg").convert("RGB"))
    with np.load(folder / "nuclei.npz", allow_pickle=False) as file:
        instance, ids, centre = file["instance"], file["id"], file["centre"]
        label, where = file["label"], file["split"]
    chosen = np.flatnonzero(where == (split == "test"))
    corners = centre[chosen] - SIDE // 2
    crop = [(slice(y, y + SIDE), slice(x, x + SIDE)) for y, x in corners]
    image = np.stack([region[c] for c in crop])
    mask = np.stack([instance[c] == i for c, i in zip(crop, ids[chosen], strict=True)])
    return dataset(
        image,
        label[chosen],
        [f"nucleus-{i:04d}" for i in ids[chosen]],
        CLASSES,
        mask=mask,
        title=f"nuclei/{split}",
        synthetic=0,
        **words_of(card),
    )


class Nuclei(SampleFamily):
    """H&E nuclei of one ovarian cancer region, cut from it on opening."""

    names: ClassVar = ("nuclei/train", "nuclei/test")
    flips: ClassVar = ("x", "y", "t")
    shift: ClassVar = 4
    trained: ClassVar = (
        "Trained on nuclei of one slide region with model-assisted labels. Not for clinical use."
    )

    def open(self, name: str, folder: Path | None, card: Mapping[str, Any]) -> xr.Dataset:
        """Cut the crops of one split."""
        return nuclei_samples(there(folder, name), name.partition("/")[2], card)

    def build(self, out: Path) -> None:
        """Write the slide region, outlines, classes and the block split of the package histolytics."""
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
        write_set(folder, card | {"samples": counts}, crops["image"].values[first])
