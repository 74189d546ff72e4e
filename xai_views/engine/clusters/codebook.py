"""Codebook: one set of clusters for a whole data set, so that a colour means the same cluster in every image.

Positions are sampled from every image and clustered once; every image is then assigned with the factored scores. Centroids
use the full channels of the layers, because a basis compressed for one image is meaningless for another.
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
    """Clusters of a data set. The id of a cluster determines its colour everywhere.

    Attributes
    ----------
    centroids : list of Tensor
        Blocks ``[K, C_l]`` in the channels of the layers, scaled by the weights.
    taps : tuple of str
        Layers.
    weights : tuple of float
        Layer weights.
    grid, interp : str or tuple of int, str
        Common grid of the layers, and interpolation.
    model_sha256, samples : str
        Model and data set that it was fitted on.
    seed : int
        Random seed of the sampling and of k-means.
    names : list of str
        One name per cluster; "" = none.
    last_mean : Tensor
        ``[C]`` mean of the last feature map over the data set; empty if unknown.
    counts : Tensor
        ``[K]`` sampled positions of each cluster; empty if unknown.
    spread : float
        Mean squared distance of the sampled positions to their centroids, used as a temperature shared by all images;
        0 if unknown.
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
        #: Checksum of everything that explanations depend on; names are not included.
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
        """Fit in one call what :class:`Sample` does step by step.

        Parameters
        ----------
        chunks : iterable of sequence of Tensor
            Activations ``[n, C_l, *grid_l]`` of consecutive images; each chunk is used once and released.
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
        """Cluster the positions drawn by a :class:`Sample`.

        Parameters
        ----------
        sample : Sample
            Sample of one data set, possibly merged from parts.
        k : int
            Number of clusters; fewer if there are fewer distinct positions.
        taps : sequence of str
            Names of the layers.
        restarts : int
            Restarts of k-means.
        **about
            ``model_sha256``, ``samples``, ``names`` and ``last_mean`` of the codebook.

        Raises
        ------
        MethodError
            When there are fewer positions than clusters.
        """
        blocks, counts = sample.clusters(k, restarts)
        taps = tuple(taps) or tuple(f"layer {i + 1}" for i in range(len(blocks)))
        if len(taps) != len(blocks):
            raise MethodError(
                f"{len(taps)} layer names were given for {len(blocks)} layers; give one per layer."
            )
        own = assign(Features.raw(sample.rows), [torch.cat(blocks, 1)])
        about |= {"seed": sample.seed, "counts": counts, "spread": own.inertia / len(sample.rows)}
        return cls(blocks, taps, sample.values, sample.grid, sample.interp, **about)

    def assign(self, features: Features) -> Clustering:
        """Assign every position to a cluster of the data set.

        Parameters
        ----------
        features : Features
            Features of the same layers, with any weights (replaced by those of the codebook), compressed or not.

        Raises
        ------
        MethodError
            When the layers differ from those of the codebook.
        """
        channels = [m.shape[1] for m in self.centroids]
        if features.channels != channels:
            raise MethodError(
                f"layers of {features.channels} channels were given and the codebook has {channels}; use the layers it was "
                "fitted on."
            )
        weighted = features.reweighted(self.weights)
        return assign(weighted, [m.to(weighted.weights) for m in self.centroids])

    def named(self, names: Sequence[str]) -> Codebook:
        """Return the same clusters with other names."""
        return replace(self, names=list(names))

    def tensors(self) -> dict[str, torch.Tensor]:
        """Return all tensors by their names in files."""
        layers = {f"layer-{i}": m for i, m in enumerate(self.centroids)}
        return layers | {"last_mean": self.last_mean, "counts": self.counts}

    def about(self) -> dict[str, Any]:
        """Return everything except the tensors, as JSON-compatible values."""
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
        """Restore from the values of :meth:`about` and :meth:`tensors`.

        Raises
        ------
        ValueError, KeyError, TypeError
            When they are incomplete or inconsistent.
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
        """Return everything that :meth:`from_json` needs, as JSON-compatible values."""
        return self.about() | {"tensors": {n: packed(t.cpu().numpy()) for n, t in self.tensors().items()}}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Restore from :meth:`to_json`, bit for bit.

        Raises
        ------
        ValueError, KeyError, TypeError
            When the value is not a codebook.
        """
        return cls.made(value, {n: torch.from_numpy(unpacked(t)) for n, t in value["tensors"].items()})

    def save(self, folder: str | Path) -> Path:
        """Write ``codebook.safetensors`` and ``card.yaml``; the card last, so that an interrupted save is detected."""
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
        """Load from :meth:`save`.

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
                f"{folder.name!r} is not a codebook: it needs {WEIGHTS} and {CARD}; give a folder written by save."
            ) from None
        if not isinstance(card, dict) or card.get("kind") != "codebook":
            raise MethodError(f"the card in {folder.name!r} does not describe a codebook; restore the card.")
        if hashlib.sha256(data).hexdigest() != card.get("sha256"):
            raise MethodError(
                f"{WEIGHTS} in {folder.name!r} does not match the sha256 in its card; restore the file."
            )
        try:
            return cls.made(card, load_file(folder / WEIGHTS))
        except (KeyError, TypeError, ValueError, IndexError, SafetensorError):
            raise MethodError(
                f"the card in {folder.name!r} does not match {WEIGHTS}; restore both files."
            ) from None


def _check(book: Codebook, tensors: Mapping[str, torch.Tensor]) -> None:
    """Raise ``ValueError`` when card and tensors are inconsistent (the sha256 covers the tensors only)."""
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
