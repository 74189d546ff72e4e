"""Training sets: images, multi-hot targets, and which images are clean enough to be supports."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

from ..errors import SamplesError


@dataclass(frozen=True, eq=False)
class TrainingSet:
    """What a trainer needs.

    Attributes
    ----------
    images : ndarray
        ``[N, H, W, C]`` uint8.
    targets : ndarray
        ``[N, classes]`` float32, 0/1 per class.
    label : ndarray
        ``[N]`` int64; -1 where the image is compatible with several classes and cannot be a support.
    classes : list of str
        Class names.
    samples : str
        Catalogue name of the samples.
    flips : tuple of str
        Symmetries the data allows: "x", "y" mirror, "t" transposes (with both: all eight orientations).
    shift : int
        Largest shift in pixels that keeps the label.
    index : ndarray, optional
        ``[N]`` positions of the images in ``samples``; 0 to N - 1 when not given.
    """

    images: np.ndarray
    targets: np.ndarray
    label: np.ndarray
    classes: list[str]
    samples: str
    flips: tuple[str, ...] = ()
    shift: int = 0
    index: np.ndarray | None = None

    def augmented(self, index: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """Images ``[n, C, H, W]`` in [0, 1] at ``index``, randomly mirrored and shifted with repeated borders."""
        x = torch.from_numpy(self.images[index.numpy()]).permute(0, 3, 1, 2).float() / 255
        for flip, dims in (("x", (3,)), ("y", (2,))):
            if flip in self.flips:
                chosen = torch.rand(len(x), generator=generator) < 0.5
                x[chosen] = x[chosen].flip(dims)
        if "t" in self.flips:
            chosen = torch.rand(len(x), generator=generator) < 0.5
            x[chosen] = x[chosen].transpose(2, 3)
        return shifted(x, self.shift, generator) if self.shift else x


def shifted(x: torch.Tensor, reach: int, generator: torch.Generator) -> torch.Tensor:
    """Shift every image of ``[n, C, H, W]`` by up to ``reach`` pixels in each direction; borders are repeated."""
    n, _, h, w = x.shape
    padded = F.pad(x, (reach,) * 4, mode="replicate")
    dy, dx = torch.randint(0, 2 * reach + 1, (2, n), generator=generator)
    rows = dy[:, None] + torch.arange(h)
    cols = dx[:, None] + torch.arange(w)
    return padded[torch.arange(n)[:, None, None], :, rows[:, :, None], cols[:, None, :]].permute(0, 3, 1, 2)


def in_bytes(images: np.ndarray) -> np.ndarray:
    """Images as uint8: unchanged, or rounded from floats in [0, 1]."""
    return images if images.dtype == np.uint8 else np.round(images * 255).astype(np.uint8)


def single_label(label: np.ndarray) -> np.ndarray:
    """One class per image: ``[N]`` unchanged; of 0/1 rows ``[N, C]`` the only class, -1 where there are several."""
    return label if label.ndim == 1 else np.where(label.sum(1) == 1, label.argmax(1), -1)


def training_set(name: str) -> TrainingSet:
    """Build the training set of the catalogue family ``name`` ("birds", "digits", "nuclei", or a samples path).

    Raises
    ------
    SamplesError
        When the samples carry no labels.
    """
    from ..samples import images, open_samples

    if name == "birds":
        return _birds()
    known = name in ("digits", "nuclei")
    ds = open_samples(f"{name}/train" if known else name)
    label = np.asarray(ds["label"].values)
    n_classes = len(ds.attrs.get("classes", ()))
    if not n_classes or (label.ndim == 1 and (label < 0).any()):
        raise SamplesError(
            f"samples {name!r} have no label for every image; training needs labels and class names."
        )
    targets = label if label.ndim == 2 else np.eye(n_classes)[label]
    image = images(ds, np.arange(ds.sizes["sample"]))
    flips, shift = {"digits": ((), 2), "nuclei": (("x", "y", "t"), 4)}.get(name, (("x",), 2))
    return TrainingSet(
        in_bytes(image),
        targets.astype(np.float32),
        single_label(label),
        list(ds.attrs["classes"]),
        f"{name}/train" if known else name,
        flips,
        shift,
    )


def _birds() -> TrainingSet:
    """Full birds for queries and supports, and birds with dropped parts as further queries with soft targets."""
    from ..samples import birds, images, open_samples

    ds = open_samples("birds/train")
    full = images(ds, np.arange(ds.sizes["sample"]))
    label = np.asarray(ds["label"].values)
    classes = list(ds.attrs["classes"])
    dropped, targets = birds.training_arrays(2000, seed=3, parts_dropped=1.0)
    return TrainingSet(
        np.concatenate([full, dropped]),
        np.concatenate([np.eye(len(classes))[label], targets]).astype(np.float32),
        np.concatenate([label, np.full(len(dropped), -1)]),
        classes,
        "birds/train",
        ("x",),
        3,
    )
