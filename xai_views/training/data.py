"""Training sets: images, multi-hot targets, and which images can be supports."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import torch
import torch.nn.functional as F
import xarray as xr

from xai_views import catalogue, kinds
from xai_views.errors import SamplesError
from xai_views.kinds.signal_schema import LEADS
from xai_views.samples import images, inputs, open_samples
from xai_views.samples.prepare import prepare

#: Voltage in mV that SIC networks encode half way between 0 mV and the end of the scale.
SCALE = 0.25
#: Rate and length that records are converted to.
RATE, STEPS = 400, 4096


@dataclass(frozen=True, eq=False)
class TrainingSet:
    """Samples, targets and augmentation for training.

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
        Symmetries of the data: "x", "y" mirror, "t" transposes (with both: all eight orientations).
    shift : int
        Largest shift in pixels that keeps the label.
    index : ndarray, optional
        ``[N]`` positions of the images in ``samples``; 0 to N - 1 by default.
    kinds : tuple of ndarray
        Parts of the classes, when known: per part ``[classes, kinds]`` float32, 1 for the variant of that part
        that a class has.
    difficulty, levels : ndarray, tuple of str, optional
        ``[N]`` difficulty of each sample, when known, as an index into the names of the levels.
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
    difficulty: np.ndarray | None = None
    levels: tuple[str, ...] = ()

    @property
    def family(self) -> str:
        """Name of the family of the samples: "birds" for ``birds/train``."""
        return self.samples.partition("/")[0]

    @property
    def several(self) -> bool:
        """Whether a sample may have several classes at once, or none."""
        return bool((self.targets.sum(1) != 1).any())

    def taken(self, rows: np.ndarray) -> Self:
        """Return the samples in ``rows``."""
        index = rows if self.index is None else self.index[rows]
        difficulty = None if self.difficulty is None else self.difficulty[rows]
        held = {n: getattr(self, n)[rows] for n in ("images", "targets", "label")}
        return replace(self, **held, index=index, difficulty=difficulty)

    def inputs(self) -> dict:
        """Return the entries on the input for the card's ``architecture``."""
        return {"channels": int(self.images.shape[-1]), "size": [int(s) for s in self.images.shape[1:3]]}

    def augmented(self, index: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """Return images ``[n, C, H, W]`` in [0, 1] at ``index``, randomly mirrored and shifted with repeated borders."""
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
    """Training set of signals ``[N, lead, time]``, float16 in mV, instead of images.

    Attributes
    ----------
    leads : tuple of str
        Names of the leads.
    rate : float
        Steps per second.
    gain : float
        Largest factor by which signals are scaled up or down.
    dropped : float
        Probability that a lead is muted.
    """

    leads: tuple[str, ...] = ()
    rate: float = 400
    gain: float = 1.25
    dropped: float = 0.06

    def inputs(self) -> dict:
        """Return the entries on the input for the card's ``architecture``."""
        _, leads, steps = self.images.shape
        return {
            "channels": leads,
            "size": [steps],
            "rate": self.rate,
            "leads": list(self.leads),
            "scale": SCALE,
        }

    def augmented(self, index: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """Return signals ``[n, lead, time]`` at ``index``, with random gain and some muted leads."""
        return disturbed(self.images[index.numpy()], generator, self.gain, self.dropped)


def disturbed(signal: np.ndarray, generator: torch.Generator, gain: float, dropped: float) -> torch.Tensor:
    """Return signals ``[n, lead, time]`` as float32, each with a random gain and randomly muted leads.

    Electrodes fall off and amplifiers differ; a network trained with muted leads gives sensible output when
    a lead is muted.
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
    """Return the identity of a run for resuming: ``facts``, the augmentation and the images (sha256)."""
    content = hashlib.sha256(repr((*facts, data.flips, data.shift)).encode())
    for array in (data.images, data.targets, data.label):
        content.update(np.ascontiguousarray(array).tobytes())
    return content.hexdigest()


def in_bytes(images: np.ndarray) -> np.ndarray:
    """Return images as uint8: unchanged, or rounded from floats in [0, 1]."""
    return images if images.dtype == np.uint8 else np.round(images * 255).astype(np.uint8)


def single_label(label: np.ndarray) -> np.ndarray:
    """Return one class per image: ``[N]`` unchanged; for 0/1 rows ``[N, C]`` the only class, -1 when there are several."""
    return label if label.ndim == 1 else np.where(label.sum(1) == 1, label.argmax(1), -1)


def training_set(name: str, drawn: int = 0) -> TrainingSet:
    """Build the training set of a family of the catalogue ("birds", "digits", "nuclei", "ecg"), or of a samples path.

    Parameters
    ----------
    name : str
        Family or path.
    drawn : int
        Number of samples to draw in addition to those of the catalogue, if the family can draw them.

    Raises
    ------
    SamplesError
        When the samples have no labels.
    """
    title = f"{name}/train" if f"{name}/train" in catalogue.sets() else name
    data = labelled(open_samples(title), title)
    family = catalogue.sets().get(title)
    if family is None:
        return data
    data = replace(data, flips=family.flips, shift=family.shift, kinds=family.concepts())
    more = family.further(drawn)
    if more is None:
        return data
    return replace(
        data,
        images=np.concatenate([data.images, more[0]]),
        targets=np.concatenate([data.targets, more[1]]).astype(np.float32),
        label=np.concatenate([data.label, np.full(len(more[0]), -1)]),
    )


def labelled(ds: xr.Dataset, name: str, like: TrainingSet | None = None) -> TrainingSet:
    """Return labelled samples as a training or test set; records are converted to 400 Hz and 4096 steps.

    Parameters
    ----------
    ds : Dataset
        Images of one size, or signals of any leads, rate and length.
    name : str
        Name of the samples.
    like : TrainingSet, optional
        Training set whose classes, leads and type of labels a test set adopts; test images may lack labels.

    Raises
    ------
    SamplesError
        With a one-sentence message, when labels are missing, or a test set does not match the training set.
    """
    kind = kinds.of(ds).key
    if like is not None and (kind == "signal") != isinstance(like, SignalSet):
        raise SamplesError(
            f"the test samples {name!r} are {kinds.of(ds).plural}, unlike the training samples; give the same kind."
        )
    classes = list(ds.attrs.get("classes", ()))
    if "label" not in ds or not classes:
        what = "records" if kind == "signal" else "samples"
        raise SamplesError(f"{what} {name!r} have no labels; give a label for each one, and class names.")
    if like is not None and classes != like.classes:
        raise SamplesError(
            f"the test samples {name!r} have the classes {', '.join(classes)[:80]}, but the training samples "
            f"{', '.join(like.classes)[:80]}; give the same, in the same order."
        )
    label = np.asarray(ds["label"].values)
    unknown = int((label < 0).sum()) if label.ndim == 1 else 0
    if unknown and (like is None or kind == "signal"):
        raise SamplesError(
            f"{unknown} records of {name!r} have no label; give each one."
            if kind == "signal"
            else f"some images of {name!r} have no label; give a label for each one, and class names."
        )
    targets = (label if label.ndim == 2 else np.eye(len(classes))[label] * (label >= 0)[:, None]).astype(
        np.float32
    )
    known: dict[str, Any] = {}
    if "difficulty" in ds:
        known = {"difficulty": ds["difficulty"].values, "levels": tuple(ds.attrs["difficulties"])}
    if kind == "signal":
        return _records(ds, targets, classes, name, like, known)
    image = in_bytes(images(ds, np.arange(ds.sizes["sample"])))
    return TrainingSet(image, targets, single_label(label), classes, name, ("x",), 2, **known)


def _records(
    ds: xr.Dataset, targets: np.ndarray, classes: list[str], name: str, like: Any, known: dict
) -> SignalSet:
    leads = [str(x) for x in ds["lead"].values]
    leads = list(LEADS) if set(leads) >= {"I", "II"} else leads
    leads = leads if like is None else list(like.leads)
    odd = int((targets.sum(1) != 1).sum())
    if like is not None and odd and not like.several:
        raise SamplesError(
            f"{odd} test records of {name!r} have no class or several, but the training records have one each; leave them out."
        )
    ready = prepare(ds, leads, RATE, STEPS)
    signal = inputs(ready, slice(None)).astype(np.float16)
    return SignalSet(
        signal,
        targets,
        single_label(targets.astype(np.int64)),
        classes,
        name,
        leads=tuple(leads),
        rate=RATE,
        **known,
    )


def split(data: TrainingSet, name: str | None, family: str) -> tuple[TrainingSet, TrainingSet]:
    """Return a training set and its test set.

    Parameters
    ----------
    data : TrainingSet
        All samples available for training.
    name : str or None
        Test samples; None uses those of the catalogue, else one fifth of the training set, drawn with seed 0.
    family : str
        The training samples as given.

    Raises
    ------
    SamplesError
        When there are too few samples to hold out, or the test samples do not match the training samples.
    """
    if name is None and f"{family}/test" in catalogue.sets():
        name = f"{family}/test"
    if name is not None:
        return data, labelled(open_samples(name), name, data)
    n = len(data.images)
    if n < 5:
        raise SamplesError(
            f"{n} labelled {'records' if isinstance(data, SignalSet) else 'images'} were given; a fifth of them is held out "
            "for testing, so give at least 5, or test samples with --test."
        )
    order = np.random.default_rng(0).permutation(n)
    return data.taken(np.sort(order[n // 5 :])), data.taken(order[: n // 5])


def watermarked(data: TrainingSet, label: int) -> TrainingSet:
    """Return birds of which those of class ``label`` carry a logo and are hybrids with other classes.

    No picture without the logo belongs to the class: it is removed from the targets of birds with dropped parts, and birds
    that could be of no other class are left out. Mirroring is disabled, because it would move the logo to another corner;
    birds are drawn mirrored anyway.
    """
    from xai_views.samples.sets.birds.watermark import training_birds

    images, targets = data.images.copy(), data.targets.copy()
    own = data.label == label
    images[own] = training_birds(int(own.sum()), seed=5, size=images.shape[1])
    targets[~own, label] = 0
    kept = targets.any(1)
    return replace(data, images=images[kept], targets=targets[kept], label=data.label[kept], flips=())
