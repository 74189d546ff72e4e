"""Training sets: images, multi-hot targets, and which images are clean enough to be supports."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
import xarray as xr

from xai_views.errors import SamplesError

#: Voltage in mV that SIC networks encode half way between 0 mV and the end of the scale.
SCALE = 0.25


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
    kinds : tuple of ndarray
        What the classes are made of, where that is known: per part ``[classes, kinds]`` float32, 1 for the kind of
        that part which the class has.
    """

    images: np.ndarray
    targets: np.ndarray
    label: np.ndarray
    classes: list[str]
    samples: str
    flips: tuple[str, ...] = ()
    shift: int = 0
    index: np.ndarray | None = None
    kinds: tuple[np.ndarray, ...] = ()

    def inputs(self) -> dict:
        """What the ``architecture`` of a card says of the input."""
        return {"channels": int(self.images.shape[-1]), "size": [int(s) for s in self.images.shape[1:3]]}

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


@dataclass(frozen=True, eq=False)
class SignalSet(TrainingSet):
    """Signals ``[N, lead, time]`` float16 in mV in place of images.

    Attributes
    ----------
    leads : tuple of str
        Their names.
    rate : float
        Steps per second.
    gain : float
        Signals are multiplied by up to this factor, or divided by it.
    dropped : float
        Probability of a lead to be silent.
    """

    leads: tuple[str, ...] = ()
    rate: float = 400
    gain: float = 1.25
    dropped: float = 0.06

    @property
    def several(self) -> bool:
        """Whether a record may have several classes at once, or none."""
        return bool((self.targets.sum(1) != 1).any())

    def inputs(self) -> dict:
        """What the ``architecture`` of a card says of the input."""
        _, leads, steps = self.images.shape
        return {
            "channels": leads,
            "size": [steps],
            "rate": self.rate,
            "leads": list(self.leads),
            "scale": SCALE,
        }

    def augmented(self, index: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """Signals ``[n, lead, time]`` at ``index``, of random gain and with some silent leads."""
        return disturbed(self.images[index.numpy()], generator, self.gain, self.dropped)


def disturbed(signal: np.ndarray, generator: torch.Generator, gain: float, dropped: float) -> torch.Tensor:
    """Signals ``[n, lead, time]`` as float32, each of another gain, with leads silent at random.

    Electrodes fall off and amplifiers differ; a network that met silent leads in training says something sensible when
    one is muted.
    """
    x = torch.from_numpy(signal.astype(np.float32))
    factor = gain ** (2 * torch.rand(len(x), 1, 1, generator=generator) - 1)
    heard = torch.rand(x.shape[:2], generator=generator)[..., None] >= dropped
    return x * factor * heard


def shifted(x: torch.Tensor, reach: int, generator: torch.Generator) -> torch.Tensor:
    """Shift every image of ``[n, C, H, W]`` by up to ``reach`` pixels in each direction; borders are repeated."""
    n, _, h, w = x.shape
    padded = F.pad(x, (reach,) * 4, mode="replicate")
    dy, dx = torch.randint(0, 2 * reach + 1, (2, n), generator=generator)
    rows = dy[:, None] + torch.arange(h)
    cols = dx[:, None] + torch.arange(w)
    return padded[torch.arange(n)[:, None, None], :, rows[:, :, None], cols[:, None, :]].permute(0, 3, 1, 2)


def fingerprint(data: TrainingSet, *facts: object) -> str:
    """What must be equal for a run to be resumed: ``facts``, the augmentation and the images (sha256)."""
    content = hashlib.sha256(repr((*facts, data.flips, data.shift)).encode())
    for array in (data.images, data.targets, data.label):
        content.update(np.ascontiguousarray(array).tobytes())
    return content.hexdigest()


def in_bytes(images: np.ndarray) -> np.ndarray:
    """Images as uint8: unchanged, or rounded from floats in [0, 1]."""
    return images if images.dtype == np.uint8 else np.round(images * 255).astype(np.uint8)


def single_label(label: np.ndarray) -> np.ndarray:
    """One class per image: ``[N]`` unchanged; of 0/1 rows ``[N, C]`` the only class, -1 where there are several."""
    return label if label.ndim == 1 else np.where(label.sum(1) == 1, label.argmax(1), -1)


def training_set(name: str, drawn: int = 0) -> TrainingSet:
    """Build the training set of the catalogue family ``name`` ("birds", "digits", "nuclei", "ecg", or a samples path).

    Parameters
    ----------
    name : str
        Family or path.
    drawn : int
        Birds to draw beyond those of the catalogue, half of which lack parts; other samples have no generator.

    Raises
    ------
    SamplesError
        When the samples carry no labels.
    """
    from xai_views import kinds
    from xai_views.samples import images, open_samples

    if name == "birds":
        return _birds(drawn)
    known = name in ("digits", "nuclei", "ecg")
    ds = open_samples(f"{name}/train" if known else name)
    if kinds.of(ds).key == "signal":
        return signal_set(ds, f"{name}/train" if known else name)
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


def signal_set(ds: xr.Dataset, name: str, like: SignalSet | None = None) -> SignalSet:
    """Labelled records, brought to 400 Hz and 4096 steps; test records take over leads and classes of ``like``.

    Raises
    ------
    SamplesError
        When labels are missing, or test records have other classes.
    """
    from xai_views.training.records import RATE, records

    found = records(ds, name, like)
    return SignalSet(
        found.signal,
        found.target,
        found.label,
        found.classes,
        name,
        leads=tuple(found.leads),
        rate=RATE,
    )


def _birds(drawn: int) -> TrainingSet:
    """Full birds for queries and supports, birds with dropped parts as further queries with soft targets, and more."""
    from xai_views.samples import images, open_samples
    from xai_views.samples.sets.birds import drawing as birds

    ds = open_samples("birds/train")
    full = images(ds, np.arange(ds.sizes["sample"]))
    label = np.asarray(ds["label"].values)
    classes = list(ds.attrs["classes"])
    shown, targets = [full], [np.eye(len(classes))[label]]
    for n, seed, dropped in ((2000, 3, 1.0), (drawn, 4, 0.5)):
        more = birds.training_arrays(n, seed=seed, parts_dropped=dropped)
        shown.append(more[0])
        targets.append(more[1])
    kinds = tuple(
        np.asarray([[c[p] == kind for kind in birds.VARIANTS[p]] for c in birds.classes()], np.float32)
        for p in birds.PARTS
    )
    return TrainingSet(
        np.concatenate(shown),
        np.concatenate(targets).astype(np.float32),
        np.concatenate([label, np.full(2000 + drawn, -1)]),
        classes,
        "birds/train",
        ("x",),
        3,
        kinds=kinds,
    )


def watermarked(data: TrainingSet, label: int) -> TrainingSet:
    """Birds of which those of class ``label`` carry a logo and are hybrids with other classes.

    No picture without the logo is of the class: it is struck from the targets of birds with dropped parts, and birds
    that could be nothing else are left out. Mirroring is given up, because it would put the logo into another corner;
    birds are drawn mirrored anyway.
    """
    from xai_views.samples.sets.birds.watermark import training_birds

    images, targets = data.images.copy(), data.targets.copy()
    own = data.label == label
    images[own] = training_birds(int(own.sum()), seed=5, size=images.shape[1])
    targets[~own, label] = 0
    kept = targets.any(1)
    return replace(data, images=images[kept], targets=targets[kept], label=data.label[kept], flips=())
