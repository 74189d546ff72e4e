"""Positions drawn at random from consecutive images: the streamed part of a codebook."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import torch
import yaml
from safetensors.torch import load_file, save_file

from xai_views.engine.clusters.features import Centroids, Features
from xai_views.engine.clusters.kmeans import kmeans
from xai_views.errors import MethodError

ROWS, CARD = "sample.safetensors", "sample.yaml"
#: Maximum size of the stored rows in bytes; above it, images keep fewer positions each, evenly.
MOST_BYTES = 256 * 2**20


class Sample:
    """Positions drawn at random from consecutive images.

    Every image has a number, and every position a random key that depends only on seed, image number and position. The positions
    with the smallest keys are kept. The sample therefore does not depend on chunks, on the order of the images, or on whether
    parts were merged: the same images give the same sample.

    Parameters
    ----------
    per_image : int
        Number of positions per image.
    seed : int
        Random seed of the keys, and of k-means later.
    weights, grid, interp
        As in :meth:`Features.of`.
    most : int
        Maximum number of positions; 0: as many as fit into ``MOST_BYTES``.
    """

    def __init__(
        self,
        per_image: int = 400,
        seed: int = 0,
        weights: str | Sequence[float] = "authors",
        grid: str | tuple[int, ...] = "shallowest",
        interp: str = "bicubic",
        most: int = 0,
    ) -> None:
        if per_image < 1:
            raise MethodError(f"{per_image} positions per image were requested; request at least 1.")
        self.per_image, self.seed, self.most = per_image, seed, most
        self.weights, self.grid, self.interp = weights, grid, interp
        self.values: tuple[float, ...] = ()
        self.sizes: list[int] = []
        self.images = 0
        self._origin = torch.zeros(0, 2, dtype=torch.long)
        self._keys = torch.zeros(0, dtype=torch.float64)
        self._rows = torch.zeros(0, 0)
        self._new: list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]] = []

    def __len__(self) -> int:
        self._settle()
        return len(self._keys)

    def features(self, activations: Sequence[torch.Tensor], size: tuple[int, ...] | None = None) -> Features:
        """Compute features in the full channels, as the codebook uses them."""
        return Features.of(
            activations, grid=self.grid, interp=self.interp, weights=self.weights, size=size, compress=False
        )

    def add(
        self,
        activations: Sequence[torch.Tensor],
        size: tuple[int, ...] | None = None,
        keep: torch.Tensor | None = None,
        numbers: Sequence[int] | None = None,
    ) -> None:
        """Draw positions from images.

        Parameters
        ----------
        activations : sequence of Tensor
            ``[n, C_l, *grid_l]``.
        size : tuple of int, optional
            Size of the input, for the grid "input".
        keep : Tensor, optional
            ``[n, *any grid]`` bool: False for padding, which is not drawn.
        numbers : sequence of int, optional
            Numbers of the images; consecutive by default. Parts to be merged later need distinct numbers.

        Raises
        ------
        MethodError
            When layers, mask or numbers do not fit.
        """
        features = self.features(activations, size)
        if self.sizes and features.channels != self.sizes:
            raise MethodError(
                f"layers of {features.channels} channels were given after layers of {self.sizes} channels; use the same taps."
            )
        numbers = range(self.images, self.images + features.n) if numbers is None else numbers
        if len(numbers) != features.n:
            raise MethodError(
                f"{len(numbers)} image numbers were given for {features.n} images; give one per image."
            )
        self.values, self.sizes = tuple(float(w) for w in features.weights), features.channels
        allowed = self._allowed(features, keep)
        cells = features.positions // features.n
        for i, number in enumerate(numbers):
            keys = _keys(self.seed, int(number), cells)
            keys[~allowed[i]] = 2
            taken = torch.argsort(keys, stable=True)[: self.per_image]
            taken = taken[keys[taken] < 2].sort().values
            if len(taken):
                rows = features.rows(taken + i * cells).cpu()
                origin = torch.stack([torch.full_like(taken, int(number)), taken], 1)
                self._new.append((keys[taken], rows, origin))
        self.images += features.n
        if sum(len(k) for k, _, _ in self._new) > self._room():
            self._settle()

    @staticmethod
    def _allowed(features: Features, keep: torch.Tensor | None) -> torch.Tensor:
        """Cells ``[n, cells]`` that may be drawn: not padding, and not dead in every layer."""
        alive = features.square.flatten(1).cpu() > 0
        if keep is None:
            return alive
        if len(keep) != features.n or keep.ndim != features.rank + 1:
            raise MethodError(
                f"a mask of shape {list(keep.shape)} does not fit {features.n} images of grid {features.grid}; give [n, *grid]."
            )
        resized = torch.nn.functional.interpolate(
            keep[:, None].float(), size=features.grid, mode="nearest-exact"
        )
        return alive & (resized.flatten(1).cpu() > 0.5)

    def _room(self) -> int:
        return self.most or max(1, MOST_BYTES // (4 * max(1, sum(self.sizes))))

    def _settle(self) -> None:
        """Keep the positions with the smallest keys, sorted by image and position."""
        if not self._new:
            return
        old = [(self._keys, self._rows, self._origin)] if len(self._keys) else []
        keys, rows, origin = (torch.cat(parts) for parts in zip(*old, *self._new, strict=True))
        taken = torch.argsort(keys, stable=True)[: self._room()]
        place = origin[taken]
        # by image, then by position, so that the result does not depend on the order of arrival
        order = torch.argsort(place[:, 1], stable=True)
        taken = taken[order[torch.argsort(place[order, 0], stable=True)]]
        self._keys, self._rows, self._origin, self._new = keys[taken], rows[taken], origin[taken], []

    @property
    def rows(self) -> torch.Tensor:
        """Rows ``[m, D]``, scaled by the weights."""
        self._settle()
        return self._rows

    @property
    def origin(self) -> torch.Tensor:
        """``[m, 2]`` int64: image number and cell of each row."""
        self._settle()
        return self._origin

    def merge(self, other: Sample) -> None:
        """Add the positions that another sample drew from other images.

        Raises
        ------
        MethodError
            When the two were drawn with different settings, or both contain an image number.
        """
        ours, theirs = ((s.seed, s.per_image, s.weights, s.grid, s.interp, s.most) for s in (self, other))
        if ours != theirs or (self.sizes and other.sizes and self.sizes != other.sizes):
            raise MethodError(
                "samples drawn with different settings cannot be merged; use the same seed, settings and taps."
            )
        rows = other.rows
        self._settle()
        common = set(self._origin[:, 0].tolist()) & set(other._origin[:, 0].tolist())
        if common:
            raise MethodError(
                f"image number {min(common)} is in both samples; give the images of different parts distinct numbers."
            )
        if len(rows):
            self._new.append((other._keys, rows, other._origin))
            self._settle()
        self.images += other.images
        self.values, self.sizes = other.values or self.values, other.sizes or self.sizes

    def clusters(self, k: int, restarts: int = 5) -> tuple[Centroids, torch.Tensor]:
        """Cluster the drawn positions: centroids as blocks ``[K, C_l]`` and number of positions ``[K]``, largest first.

        Raises
        ------
        MethodError
            When there are fewer positions than clusters.
        """
        rows = self.rows
        if not 1 <= k <= len(rows):
            raise MethodError(
                f"{k} clusters were requested and {len(rows)} positions were drawn; give more images or request fewer clusters."
            )
        found = kmeans(Features.raw(rows), k, restarts=restarts, seed=self.seed)
        return list(found.centroids[0].split(self.sizes, 1)), found.counts

    def save(self, folder: str | Path) -> Path:
        """Write the current sample, so that another process can continue."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        rows = self.rows
        tensors = {"rows": rows, "keys": self._keys, "origin": self._origin}
        save_file({n: t.contiguous() for n, t in tensors.items()}, folder / ROWS)
        card = {
            "kind": "sample",
            "per_image": self.per_image,
            "seed": self.seed,
            "most": self.most,
            "weights": self.weights if isinstance(self.weights, str) else [float(w) for w in self.weights],
            "grid": self.grid if isinstance(self.grid, str) else list(self.grid),
            "interp": self.interp,
            "values": list(self.values),
            "sizes": list(self.sizes),
            "images": self.images,
        }
        (folder / CARD).write_text(yaml.safe_dump(card, sort_keys=False), "utf-8")
        return folder

    @classmethod
    def load(cls, folder: str | Path) -> Sample:
        """Load from :meth:`save`.

        Raises
        ------
        MethodError
            In one sentence, when files are missing or damaged.
        """
        folder = Path(folder)
        try:
            card = yaml.safe_load((folder / CARD).read_text("utf-8"))
            t = load_file(folder / ROWS)
            grid, weights = card["grid"], card["weights"]
            out = cls(
                card["per_image"],
                card["seed"],
                weights if isinstance(weights, str) else tuple(weights),
                grid if isinstance(grid, str) else tuple(grid),
                card["interp"],
                card["most"],
            )
            out.values, out.sizes, out.images = (
                tuple(card["values"]),
                list(card["sizes"]),
                int(card["images"]),
            )
            out._rows, out._keys, out._origin = t["rows"], t["keys"], t["origin"]
        except Exception as e:  # noqa: BLE001 - a damaged file may raise anything; one message covers all
            raise MethodError(
                f"{folder.name!r} contains no readable sample ({type(e).__name__}); draw it again."
            ) from None
        return out


def _keys(seed: int, number: int, cells: int) -> torch.Tensor:
    """Random keys ``[cells]`` in [0, 1) of the positions of one image."""
    digest = hashlib.sha256(f"{seed} {number}".encode()).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(digest[:8], "little") >> 1)
    return torch.rand(cells, generator=generator, dtype=torch.float64)
