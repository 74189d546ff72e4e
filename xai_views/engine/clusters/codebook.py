"""One set of clusters for a whole data set: the same colour means the same concept in every image.

Positions are sampled from every image, clustered once, and every image is assigned with the factored scores. Blocks are in
the full channels of the layers, because a basis compressed for one image means nothing in another.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import torch
import yaml
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from xai_views.contract.content import checksum, packed, unpacked
from xai_views.engine.clusters.features import Centroids, Features
from xai_views.engine.clusters.grid import CHOICES, MODES
from xai_views.engine.clusters.kmeans import Clustering, assign
from xai_views.engine.clusters.sample import Sample
from xai_views.errors import MethodError

WEIGHTS, CARD = "codebook.safetensors", "card.yaml"


@dataclass(eq=False)
class Codebook:
    """Clusters of a data set. The id of a cluster is its colour, everywhere.

    Attributes
    ----------
    centroids : list of Tensor
        Blocks ``[K, C_l]`` in the channels of the layers, weights included.
    taps : tuple of str
        The layers.
    weights : tuple of float
        Their weights.
    grid, interp : str or tuple of int, str
        How they are brought together.
    model_sha256, samples : str
        What it was fitted on.
    seed : int
        Of the sampling and the starts.
    names : list of str
        One per cluster, "" where none was given.
    last_mean : Tensor
        ``[C]`` mean of the last map over the data set; empty when unknown.
    counts : Tensor
        ``[K]`` sampled positions of each cluster; empty when unknown.
    spread : float
        Mean squared distance of the sampled positions to their centroid, a temperature that is the same for every image;
        0 when unknown.
    """

    centroids: Centroids
    taps: tuple[str, ...]
    weights: tuple[float, ...]
    grid: str | tuple[int, ...] = "shallowest"
    interp: str = "bicubic"
    model_sha256: str = ""
    samples: str = ""
    seed: int = 0
    names: list[str] = field(default_factory=list)
    last_mean: torch.Tensor = field(default_factory=lambda: torch.zeros(0))
    counts: torch.Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.long))
    spread: float = 0.0

    def __post_init__(self) -> None:
        self.names = [*self.names, *[""] * (self.k - len(self.names))][: self.k]
        about = (self.taps, self.weights, self.grid, self.interp, self.model_sha256, float(self.spread))
        #: Of everything that explanations depend on; names are not among it.
        self.key = checksum(*about, *(m.cpu().numpy() for m in (*self.centroids, self.last_mean)))

    def __hash__(self) -> int:
        return hash(self.key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Codebook) and other.key == self.key

    @property
    def k(self) -> int:
        """Number of clusters."""
        return len(self.centroids[0])

    @classmethod
    def fit(
        cls,
        chunks: Iterable[Sequence[torch.Tensor]],
        k: int,
        *,
        taps: Sequence[str] = (),
        per_image: int = 400,
        seed: int = 0,
        weights: str | Sequence[float] = "authors",
        grid: str | tuple[int, ...] = "shallowest",
        interp: str = "bicubic",
        size: tuple[int, ...] | None = None,
        **about: Any,
    ) -> Codebook:
        """Fit in one go what :class:`Sample` does step by step.

        Parameters
        ----------
        chunks : iterable of sequence of Tensor
            Activations ``[n, C_l, *grid_l]`` of some images after others; each chunk is used once and let go.
        k : int
            Number of clusters.
        taps : sequence of str
            Names of the layers.
        per_image, seed, weights, grid, interp, size
            See :class:`Sample`.
        **about
            See :meth:`Sample.fit`.
        """
        sample = Sample(per_image, seed, weights, grid, interp)
        for activations in chunks:
            sample.add(activations, size)
        return cls.of(sample, k, taps, **about)

    @classmethod
    def of(
        cls, sample: Sample, k: int, taps: Sequence[str] = (), restarts: int = 5, **about: Any
    ) -> Codebook:
        """Cluster what a :class:`Sample` drew.

        Parameters
        ----------
        sample : Sample
            Of one data set, or of its parts, merged.
        k : int
            Number of clusters; fewer are found where fewer different positions were drawn.
        taps : sequence of str
            Names of the layers.
        restarts : int
            Of k-means.
        **about
            ``model_sha256``, ``samples``, ``names``, ``last_mean`` of the codebook.

        Raises
        ------
        MethodError
            When fewer positions were drawn than clusters are wanted.
        """
        blocks, counts = sample.clusters(k, restarts)
        taps = tuple(taps) or tuple(f"layer {i + 1}" for i in range(len(blocks)))
        if len(taps) != len(blocks):
            raise MethodError(f"{len(taps)} names of layers were given for {len(blocks)}; give one for each.")
        own = assign(Features.raw(sample.rows), [torch.cat(blocks, 1)])
        about |= {"seed": sample.seed, "counts": counts, "spread": own.inertia / len(sample.rows)}
        return cls(blocks, taps, sample.values, sample.grid, sample.interp, **about)

    def assign(self, features: Features) -> Clustering:
        """Give every position to its cluster of the data set.

        Parameters
        ----------
        features : Features
            Of the same layers; with any weights (those of the codebook are used), compressed or not.

        Raises
        ------
        MethodError
            When the layers are others than those of the codebook.
        """
        channels = [m.shape[1] for m in self.centroids]
        if features.channels != channels:
            raise MethodError(
                f"the codebook has layers of {channels} channels and got {features.channels}; use the layers it was fitted on."
            )
        weighted = features.reweighted(self.weights)
        return assign(weighted, [m.to(weighted.weights) for m in self.centroids])

    def named(self, names: Sequence[str]) -> Codebook:
        """The same clusters with other names."""
        return replace(self, names=list(names))

    def tensors(self) -> dict[str, torch.Tensor]:
        """All tensors by the names that files give them."""
        layers = {f"layer-{i}": m for i, m in enumerate(self.centroids)}
        return layers | {"last_mean": self.last_mean, "counts": self.counts}

    def about(self) -> dict[str, Any]:
        """Everything but the tensors, as values that JSON knows."""
        return {
            "taps": list(self.taps),
            "weights": [float(w) for w in self.weights],
            "grid": self.grid if isinstance(self.grid, str) else list(self.grid),
            "interp": self.interp,
            "model_sha256": self.model_sha256,
            "samples": self.samples,
            "seed": self.seed,
            "spread": float(self.spread),
            "names": list(self.names),
        }

    @classmethod
    def made(cls, about: Mapping[str, Any], tensors: Mapping[str, torch.Tensor]) -> Self:
        """Make it of what :meth:`about` and :meth:`tensors` gave.

        Raises
        ------
        ValueError, KeyError, TypeError
            When they are incomplete or do not belong together.
        """
        taps, grid = tuple(str(n) for n in about["taps"]), about["grid"]
        book = cls(
            [tensors[f"layer-{i}"] for i in range(len(taps))],
            taps,
            tuple(float(w) for w in about["weights"]),
            grid if isinstance(grid, str) else tuple(int(g) for g in grid),
            str(about["interp"]),
            str(about["model_sha256"]),
            str(about["samples"]),
            int(about["seed"]),
            [str(n) for n in about["names"]],
            tensors["last_mean"],
            tensors["counts"],
            float(about.get("spread", 0.0)),
        )
        _check(book, tensors)
        return book

    def to_json(self) -> dict[str, Any]:
        """Everything that :meth:`from_json` needs, as values that JSON knows."""
        return self.about() | {"tensors": {n: packed(t.cpu().numpy()) for n, t in self.tensors().items()}}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Make again what :meth:`to_json` gave, bit for bit.

        Raises
        ------
        ValueError, KeyError, TypeError
            When it is no codebook.
        """
        return cls.made(value, {n: torch.from_numpy(unpacked(t)) for n, t in value["tensors"].items()})

    def save(self, folder: str | Path) -> Path:
        """Write ``codebook.safetensors`` and ``card.yaml``; the card is last, so that an interrupted save is seen."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / CARD).unlink(missing_ok=True)
        save_file({n: t.cpu().contiguous().clone() for n, t in self.tensors().items()}, folder / WEIGHTS)
        sha256 = hashlib.sha256((folder / WEIGHTS).read_bytes()).hexdigest()
        card = {"kind": "codebook", **self.about(), "sha256": sha256}
        (folder / CARD).write_text(yaml.safe_dump(card, sort_keys=False, allow_unicode=True), "utf-8")
        return folder

    @classmethod
    def load(cls, folder: str | Path) -> Codebook:
        """Open what :meth:`save` wrote.

        Raises
        ------
        MethodError
            In one sentence, when files are missing, damaged or of another kind.
        """
        folder = Path(folder)
        try:
            card = yaml.safe_load((folder / CARD).read_text("utf-8"))
            data = (folder / WEIGHTS).read_bytes()
        except (OSError, yaml.YAMLError, UnicodeDecodeError):
            raise MethodError(
                f"{folder.name!r} is not a codebook: it needs {WEIGHTS} and {CARD}, as save writes them."
            ) from None
        if not isinstance(card, dict) or card.get("kind") != "codebook":
            raise MethodError(f"the card in {folder.name!r} does not describe a codebook; restore it.")
        if hashlib.sha256(data).hexdigest() != card.get("sha256"):
            raise MethodError(
                f"{WEIGHTS} in {folder.name!r} has another sha256 than its card says; restore it."
            )
        try:
            return cls.made(card, load_file(folder / WEIGHTS))
        except (KeyError, TypeError, ValueError, IndexError, SafetensorError):
            raise MethodError(f"the card in {folder.name!r} does not fit {WEIGHTS}; restore both.") from None


def _check(book: Codebook, tensors: Mapping[str, torch.Tensor]) -> None:
    """Raise ``ValueError`` where its card and tensors do not belong together, as the sha256 is of the tensors alone."""
    layers = {f"layer-{i}" for i in range(len(book.taps))}
    grid, weights = book.grid, book.weights
    known = grid in CHOICES if isinstance(grid, str) else grid and min(grid) >= 1
    fits = (
        layers == {n for n in tensors if n.startswith("layer-")}
        and all(m.ndim == 2 and len(m) == book.k for m in book.centroids)
        and len(weights) == len(layers)
        and all(0 <= w < math.inf for w in weights)
        and any(weights)
        and len(book.counts) in (0, book.k)
        and 0 <= book.spread < math.inf
        and book.interp in MODES
        and known
    )
    if not fits:
        raise ValueError


__all__ = ["CARD", "WEIGHTS", "Codebook", "Sample"]
