"""One set of clusters for a whole data set: the same colour means the same concept in every image.

Positions are sampled from every image, clustered once, and every image is assigned with the factored scores. Blocks are in
the full channels of the layers, because a basis compressed for one image means nothing in another.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
import yaml
from safetensors.torch import load_file, save_file

from ...errors import MethodError
from .features import Features
from .kmeans import Clustering, _lloyd_rows, assign, plus_plus

WEIGHTS, CARD = "codebook.safetensors", "card.yaml"


@dataclass(eq=False)
class Codebook:
    """Clusters of a data set.

    Attributes
    ----------
    centroids : list of Tensor
        Blocks ``[K, C_l]`` in the channels of the layers.
    taps : tuple of str
        The layers.
    weights : tuple of float
        Their weights.
    grid, interp : str
        How they are brought together.
    model_sha256, samples : str
        What it was fitted on.
    seed : int
        Of the sampling and the starts.
    names : list of str
        One per cluster, "" where none was given.
    last_mean : Tensor
        ``[C]`` mean of the last map over the data set; empty when unknown.
    """

    centroids: list[torch.Tensor]
    taps: tuple[str, ...]
    weights: tuple[float, ...]
    grid: str = "shallowest"
    interp: str = "bicubic"
    model_sha256: str = ""
    samples: str = ""
    seed: int = 0
    names: list[str] = field(default_factory=list)
    last_mean: torch.Tensor = field(default_factory=lambda: torch.zeros(0))

    def __post_init__(self) -> None:
        self.names = [*self.names, *[""] * (self.k - len(self.names))][: self.k]
        digest = hashlib.sha256(
            repr((self.taps, self.weights, self.grid, self.interp, self.model_sha256)).encode()
        )
        for m in self.centroids:
            digest.update(m.cpu().contiguous().numpy().tobytes())
        self.key = digest.hexdigest()

    def __hash__(self) -> int:
        return hash(self.key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Codebook) and other.key == self.key

    @property
    def k(self) -> int:
        """Number of clusters."""
        return len(self.centroids[0])

    def assign(self, features: Features) -> Clustering:
        """Give every position to its cluster of the data set.

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
        return assign(
            weighted,
            [m.to(weighted.weights) for m in weighted.drop([m.to(weighted.weights) for m in self.centroids])],
        )

    def named(self, names: Sequence[str]) -> Codebook:
        """The same clusters with other names."""
        return replace(self, names=list(names))

    def save(self, folder: str | Path) -> Path:
        """Write ``codebook.safetensors`` and ``card.yaml``."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        tensors = {f"layer-{i}": m.cpu().contiguous() for i, m in enumerate(self.centroids)}
        save_file({**tensors, "last_mean": self.last_mean.cpu().contiguous()}, folder / WEIGHTS)
        card = {
            "kind": "codebook", "taps": list(self.taps), "weights": list(self.weights), "grid": self.grid, "interp": self.interp,
            "model_sha256": self.model_sha256, "samples": self.samples, "seed": self.seed, "names": self.names,
            "sha256": hashlib.sha256((folder / WEIGHTS).read_bytes()).hexdigest(),
        }  # fmt: skip
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
        t = load_file(folder / WEIGHTS)
        blocks = [t[f"layer-{i}"] for i in range(len(card["taps"]))]
        return cls(
            blocks, tuple(card["taps"]), tuple(card["weights"]), card["grid"], card["interp"], card["model_sha256"],
            card["samples"], int(card["seed"]), [str(n) for n in card["names"]], t["last_mean"],
        )  # fmt: skip


class Sample:
    """Positions drawn from image after image: the streamed part of a codebook.

    Parameters
    ----------
    per_image : int
        Positions of each image.
    seed : int
        Equal seeds draw equal positions, in whatever chunks the images come.
    weights, grid, interp
        As in :meth:`Features.of`.

    Notes
    -----
    Samples of disjoint parts of a data set merge by :meth:`merge`, so that a fit can be resumed or spread.
    """

    def __init__(
        self, per_image: int = 400, seed: int = 0, weights: str | Sequence[float] = "authors", grid: str = "shallowest",
        interp: str = "bicubic",
    ) -> None:  # fmt: skip
        self.per_image, self.seed, self.weights, self.grid, self.interp = (
            per_image,
            seed,
            weights,
            grid,
            interp,
        )
        self.rows: list[torch.Tensor] = []
        self.images = 0
        self.values: tuple[float, ...] = ()
        self.sizes: list[int] = []

    def features(self, activations: Sequence[torch.Tensor], size: tuple[int, ...] | None = None) -> Features:
        """Features in the full channels, as the codebook uses them."""
        return Features.of(
            activations, grid=self.grid, interp=self.interp, weights=self.weights, size=size, compress=False
        )

    def add(
        self,
        activations: Sequence[torch.Tensor],
        size: tuple[int, ...] | None = None,
        keep: torch.Tensor | None = None,
    ) -> None:
        """Draw positions from images ``[n, C_l, *grid_l]``; ``keep [n, *grid]`` leaves out padding."""
        features = self.features(activations, size)
        self.values = tuple(float(w) for w in features.weights)
        self.sizes = features.channels
        cells = features.positions // features.n
        for i in range(features.n):
            allowed = torch.arange(cells) if keep is None else torch.nonzero(keep[i].flatten()).flatten()
            generator = torch.Generator().manual_seed(self.seed * 1_000_003 + self.images)
            chosen = allowed[
                torch.randperm(len(allowed), generator=generator)[: self.per_image].sort().values
            ]
            if len(chosen):
                self.rows.append(features.rows(chosen + i * cells))
            self.images += 1

    def merge(self, other: Sample) -> None:
        """Take over what another sample drew."""
        self.rows += other.rows
        self.images += other.images
        self.values, self.sizes = other.values or self.values, other.sizes or self.sizes

    def fit(self, k: int, taps: Sequence[str], restarts: int = 5, **about: object) -> Codebook:
        """Cluster what was drawn.

        Raises
        ------
        MethodError
            When fewer positions were drawn than clusters are wanted.
        """
        rows = torch.cat(self.rows) if self.rows else torch.zeros(0, 1)
        if len(rows) < k:
            raise MethodError(
                f"{k} clusters were asked for and {len(rows)} positions were drawn; give more images."
            )
        generator = torch.Generator().manual_seed(self.seed)
        centres, inertia = _lloyd_rows(rows, plus_plus(rows, k, restarts, generator), 60)
        best = centres[int(inertia.argmin())]
        size = torch.bincount(torch.cdist(rows, best).argmin(1), minlength=k)
        best = best[torch.argsort(size, descending=True, stable=True)]
        return Codebook(
            list(best.split(self.sizes, 1)),
            tuple(taps),
            self.values,
            self.grid,
            self.interp,
            seed=self.seed,
            **about,
        )
