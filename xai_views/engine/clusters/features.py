"""Composite features of several layers in factored form: distances, means and similarities without building them.

Source: Boubekki, Fadel and Mair, NAVE (arXiv 2411.19700) for the features: activations of several layers on one grid,
normalised per position and layer, weighted, concatenated. Because resampling is linear they need not be built: scores are
products at a layer's own resolution, resampled afterwards; means use the adjoint.

Centroids are lists of blocks ``[K, .]``, one per layer. A block is in the internal basis of the features (C'_l columns) or
in the channels of the layer (C_l columns, see :meth:`Features.lift`); all functions here accept both.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import reduce

import torch

from xai_views.engine.clusters.blocks import Block
from xai_views.engine.clusters.blocks import compress as compressed
from xai_views.engine.clusters.grid import MODES, common_grid
from xai_views.engine.clusters.weights import PRESETS
from xai_views.errors import MethodError, nearest

Centroids = list[torch.Tensor]


def preset_weights(channels: Sequence[int], name: str = "authors") -> list[float]:
    """Return preset weights of the layers.

    "authors": (1 + C_1) / (1 + C_l), which favours the shallowest layer; "equal"; "deep-first": the share in the squared
    distance doubles from layer to layer, with weight 1 for the deepest.

    Raises
    ------
    MethodError
        For an unknown preset.
    """
    if name == "authors":
        return [(1 + channels[0]) / (1 + c) for c in channels]
    if name == "equal":
        return [1.0] * len(channels)
    if name == "deep-first":
        return [0.5 ** ((len(channels) - 1 - i) / 2) for i in range(len(channels))]
    raise MethodError(
        f"weights {name!r} are not known; choose {nearest(name, PRESETS)}, or give one number per layer."
    )


class Features:
    """Factored composite features of n images (or signals).

    Create with :meth:`of`. All labels, distances and maps have the shape ``[n, (K,) *grid]``.

    Attributes
    ----------
    n : int
        Number of images, clustered jointly.
    grid : tuple of int
        Number of positions per axis; one axis for signals.
    rank : int
        1 or 2.
    channels : list of int
        Channels of each layer, before compression.
    weights : Tensor
        ``[L]`` layer weights.
    """

    def __init__(
        self, blocks: list[Block], channels: list[int], grid: tuple[int, ...], weights: torch.Tensor
    ) -> None:
        self.blocks, self.channels, self.grid, self.weights = blocks, channels, grid, weights
        self.n, self.rank = len(blocks[0].values), len(grid)
        self._shape = _plane(grid)
        self._used = [(float(w), i) for i, w in enumerate(weights) if w > 0]
        # squared length of every row, [n, g_h, g_w]: sum of the squared weights of the layers that are not dead there
        self._square = reduce(torch.add, (w**2 * blocks[i].square for w, i in self._used))

    @classmethod
    def of(
        cls,
        activations: Sequence[torch.Tensor],
        *,
        grid: str | tuple[int, ...] = "shallowest",
        interp: str = "bicubic",
        weights: str | Sequence[float] = "authors",
        size: tuple[int, ...] | None = None,
        compress: bool = True,
    ) -> Features:
        """Factor activations.

        Parameters
        ----------
        activations : sequence of Tensor
            ``[n, C_l, *grid_l]``, shallow to deep; float32 or float64 (others become float32), one device.
        grid, interp
            See :func:`xai_views.engine.clusters.grid.common_grid` and ``interpolation``; for signals "bicubic" means linear
            interpolation.
        weights : str or sequence of float
            A preset or one number per layer.
        size : tuple of int, optional
            Size of the input, for the grid "input".
        compress : bool
            Whether to compress layers with more channels than positions. Lossless, but the internal basis is then specific to
            these images, and centroids for other images have to be lifted.

        Raises
        ------
        MethodError
            In one sentence, when layers do not fit together, contain non-finite values, or weights do not fit.
        """
        if not activations:
            raise MethodError("no layer was given to cluster; give at least one.")
        ranks = {a.ndim - 2 for a in activations}
        n = len(activations[0])
        if len(ranks) > 1 or not ranks <= {1, 2} or any(len(a) != n or not a.numel() for a in activations):
            shapes = ", ".join(str(list(a.shape)) for a in activations)
            raise MethodError(
                f"activations of shapes {shapes} cannot be clustered together; give [n, C, h, w] or [n, C, t] for each layer."
            )
        common = common_grid([tuple(a.shape[2:]) for a in activations], size, grid)
        if interp not in MODES:
            raise MethodError(f"interpolation {interp!r} is not known; choose {nearest(interp, MODES)}.")
        mode = "bilinear" if len(common) == 1 and interp == "bicubic" else interp
        shape = _plane(common)
        blocks = []
        for i, a in enumerate(activations):
            a = a.detach()
            a = a if a.dtype in (torch.float32, torch.float64) else a.float()
            values = a[:, :, None] if a.ndim == 3 else a
            values, basis = compressed(values) if compress else (values.contiguous(), None)
            blocks.append(Block.of(values, basis, shape, mode))
            if not bool(torch.isfinite(blocks[-1].norm).all()):
                raise MethodError(
                    f"layer {i + 1} of {len(activations)} contains values that are not finite; check the input and the weights."
                )
        plain = cls(blocks, [a.shape[1] for a in activations], common, blocks[0].values.new_ones(len(blocks)))
        return plain.reweighted(weights)

    @classmethod
    def raw(cls, rows: torch.Tensor) -> Features:
        """Wrap plain rows ``[m, D]`` as one signal of m positions, without normalisation or weights."""
        return cls([Block.raw(rows)], [rows.shape[1]], (len(rows),), rows.new_ones(1))

    def reweighted(self, weights: str | Sequence[float]) -> Features:
        """Return the same features with other weights; nothing else is recomputed.

        Raises
        ------
        MethodError
            For a wrong number of weights, negative ones, or none above zero.
        """
        values = (
            preset_weights(self.channels, weights)
            if isinstance(weights, str)
            else [float(w) for w in weights]
        )
        if len(values) != len(self.blocks):
            raise MethodError(
                f"{len(values)} weights were given for {len(self.blocks)} layers; give one per layer."
            )
        if not all(w >= 0 and math.isfinite(w) for w in values) or not any(values):
            raise MethodError(
                f"weights {values} were given; give numbers of at least 0, at least one of them above 0."
            )
        return Features(self.blocks, self.channels, self.grid, self.blocks[0].values.new_tensor(values))

    def on(self, grid: tuple[int, ...]) -> Features:
        """Return the same layers, basis and weights on another grid."""
        shape = _plane(grid)
        return Features([b.on(shape) for b in self.blocks], self.channels, tuple(grid), self.weights)

    @property
    def positions(self) -> int:
        """Number of rows of the data matrix: n times the cells of the grid."""
        return self.n * math.prod(self.grid)

    @property
    def nbytes(self) -> int:
        """Size in bytes; features that differ only in their weights share most of it."""
        held = [
            t for b in self.blocks for t in (b.values, b.norm, b.inverse, b.square, b.basis) if t is not None
        ]
        return sum(t.numel() * t.element_size() for t in [*held, self._square])

    @property
    def square(self) -> torch.Tensor:
        """Squared norm of every row ``[n, *grid]``: sum of the squared weights of the layers that are not dead there."""
        return self._square.reshape(self.n, *self.grid)

    @property
    def norms(self) -> torch.Tensor:
        """Norms ``[L, n, *grid]`` of the resampled activations before normalisation."""
        return torch.stack([b.norm for b in self.blocks]).reshape(-1, self.n, *self.grid)

    @property
    def noise(self) -> float:
        """Threshold below which squared distances are rounding noise."""
        return 16 * torch.finfo(self.weights.dtype).eps * float(self._square.max())

    # -- operations of k-means ----------------------------------------------------------------------------------

    def _scores(self, centroids: Centroids, piece: slice) -> torch.Tensor:
        """Inner products ``[b, K, g_h, g_w]`` of some images with centroids in the internal basis."""
        parts = (self.blocks[i].products(w * centroids[i], piece) for w, i in self._used)
        return reduce(torch.Tensor.add_, parts)

    def _pieces(self, k: int) -> list[slice]:
        return self.blocks[0].pieces(k)

    def scores(self, centroids: Centroids) -> torch.Tensor:
        """Inner products ``[n, K, *grid]`` of every row with every centroid."""
        inside, k = self.drop(centroids), len(centroids[0])
        parts = [self._scores(inside, piece) for piece in self._pieces(k)]
        return (parts[0] if len(parts) == 1 else torch.cat(parts)).reshape(self.n, k, *self.grid)

    def distances(self, centroids: Centroids) -> torch.Tensor:
        """Squared distances ``[n, K, *grid]``, at least 0."""
        length = lengths(centroids).reshape(1, -1, *[1] * self.rank)
        return self.scores(centroids).mul_(-2).add_(length).add_(self.square[:, None]).clamp_min_(0)

    def nearest(self, centroids: Centroids, groups: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
        """Find the nearest centroid of every row without storing all distances.

        Parameters
        ----------
        centroids : list of Tensor
            Blocks ``[groups * k, .]``: several sets of k centroids, searched separately.
        groups : int
            Number of sets.

        Returns
        -------
        best : Tensor
            ``[n, groups, *grid]`` smallest squared distance.
        labels : Tensor
            ``[n, groups, *grid]`` int64: index within the set; the first one if several are equally near.
        """
        inside, half = self.drop(centroids), lengths(centroids)[:, None, None] / 2
        k = len(half) // groups
        order = torch.arange(k, 0, -1, dtype=self.weights.dtype, device=self.weights.device)[:, None, None]
        best, labels = [], []
        for piece in self._pieces(len(half)):
            # half the distance without the row's own length, which does not affect the comparison
            gap = self._scores(inside, piece).neg_().add_(half).unflatten(1, (groups, k))
            least = gap.amin(2, keepdim=True)
            # The first index of the minimum. torch.min(dim) finds it too, ten times slower on a CPU.
            torch.le(gap, least, out=gap)
            labels.append(k - gap.mul_(order).amax(2))
            best.append((self._square[piece, None] + 2 * least[:, :, 0]).clamp_min_(0))
        shape = (self.n, groups, *self.grid)
        return torch.cat(best).reshape(shape), torch.cat(labels).reshape(shape).long()

    def sums(self, labels: torch.Tensor, k: int, groups: int = 1) -> Centroids:
        """Sum the rows of each label: blocks ``[groups * k, C'_l]``, by the adjoint of the resampling.

        Parameters
        ----------
        labels : Tensor
            ``[n, groups, *grid]`` ids below k.
        k, groups : int
            As in :meth:`nearest`.
        """
        index = labels.reshape(self.n, groups, *self._shape)
        out = [b.values.new_zeros(groups * k, b.values.shape[1]) for b in self.blocks]
        for piece in self._pieces(groups * k):
            own = index[piece]
            one = self.weights.new_zeros(len(own), groups, k, *self._shape).scatter_(2, own[:, :, None], 1)
            for w, i in self._used:
                out[i] += w * self.blocks[i].sums(one.flatten(1, 2), piece)
        return out

    def means(self, labels: torch.Tensor, k: int) -> tuple[Centroids, torch.Tensor]:
        """Mean row of each label ``[n, *grid]``: blocks ``[k, C'_l]`` and number of rows ``[k]``; zeros for empty labels."""
        counts = torch.bincount(labels.flatten(), minlength=k)
        share = 1 / counts.clamp_min(1).to(self.weights)[:, None]
        return [m * share for m in self.sums(labels[:, None], k)], counts

    # -- rows ---------------------------------------------------------------------------------------------------

    def rows(self, index: torch.Tensor) -> torch.Tensor:
        """Return rows ``[m, D']`` at flat positions (image, row, column), in the internal basis."""
        gh, gw = self._shape
        index = index.to(self.weights.device)
        image, rest = index // (gh * gw), index % (gh * gw)
        parts = [
            w * b.at(image, rest // gw, rest % gw) for w, b in zip(self.weights, self.blocks, strict=True)
        ]
        return torch.cat(parts, 1)

    def split(self, rows: torch.Tensor) -> Centroids:
        """Split rows ``[m, D']`` into blocks ``[m, C'_l]``."""
        return list(rows.split([b.values.shape[1] for b in self.blocks], 1))

    def explicit(self, full: bool = False) -> torch.Tensor:
        """Build the whole data matrix ``[positions, D']``; for tests, comparisons and small grids.

        Parameters
        ----------
        full : bool
            Whether to use the channels of the layers (D columns) even where they were compressed.
        """
        images = []
        for image in range(self.n):
            parts = [w * b.columns_of(image) for w, b in zip(self.weights, self.blocks, strict=True)]
            images.append(torch.cat(self.lift(parts) if full else parts, 1))
        return torch.cat(images)

    def lift(self, centroids: Centroids) -> Centroids:
        """Convert to blocks ``[K, C_l]`` in the channels of the layers, which are valid for other images."""
        pairs = zip(self.blocks, centroids, strict=True)
        return [
            m @ b.basis.T if b.basis is not None and m.shape[1] == b.basis.shape[1] else m for b, m in pairs
        ]

    def drop(self, centroids: Centroids) -> Centroids:
        """Convert to blocks ``[K, C'_l]`` in the internal basis. Inner products with rows are preserved; lengths may shrink.

        Raises
        ------
        MethodError
            When the blocks are of other layers.
        """
        if len(centroids) != len(self.blocks):
            raise MethodError(
                f"centroids of {len(centroids)} layers were given for features of {len(self.blocks)} layers; use the same taps."
            )
        out = []
        for b, c, m in zip(self.blocks, self.channels, centroids, strict=True):
            inside = b.values.shape[1]
            if m.shape[1] not in (inside, c):
                raise MethodError(
                    f"centroids with {m.shape[1]} channels were given for a layer with {c} channels; use the same taps."
                )
            m = m.to(b.values)
            out.append(m if b.basis is None or m.shape[1] == inside else m @ b.basis)
        return out

    # -- values for display ------------------------------------------------------------------------------------------

    def shares(self, centroids: Centroids, labels: torch.Tensor) -> torch.Tensor:
        """Share of each layer in the squared distance to the own centroid.

        Returns
        -------
        Tensor
            ``[L, n, *grid]``, sums to 1 over the layers. If a row coincides with its centroid, the shares are those of the
            squared weights.
        """
        inside, index = self.drop(centroids), labels.reshape(self.n, 1, *self._shape)
        parts = self.weights.new_zeros(len(self.blocks), self.n, *self._shape)
        for w, i in self._used:
            block, length = self.blocks[i], centroids[i].to(self.weights).square().sum(1)
            for piece in self._pieces(len(length)):
                own = index[piece]
                score = block.products(w * inside[i], piece).gather(1, own)[:, 0]
                parts[i, piece] = (w**2 * block.square[piece] - 2 * score + length[own[:, 0]]).clamp_min_(0)
        total = parts.sum(0)
        flat = (self.weights.square() / self.weights.square().sum())[:, None, None, None]
        shares = torch.where(total > self.noise, parts / total.clamp_min(self.noise), flat)
        return shares.reshape(-1, self.n, *self.grid)

    def similarity(self, image: int, position: tuple[int, ...]) -> torch.Tensor:
        """Cosine similarity ``[L, n, *grid]`` of every position with one position, per layer; 0 where a layer is dead.

        Parameters
        ----------
        image : int
            Index of the image of the reference position.
        position : tuple of int
            Reference position on the grid.

        Raises
        ------
        MethodError
            For a position that is not on the grid.
        """
        inside = all(0 <= p < g for p, g in zip((image, *position), (self.n, *self.grid), strict=False))
        if len(position) != self.rank or not inside:
            raise MethodError(
                f"position {tuple(position)} of image {image} is not on the grid {self.grid} of {self.n} images; choose one "
                "that is."
            )
        y, x = (0, *position) if self.rank == 1 else position
        place = [torch.tensor([p], device=self.weights.device) for p in (image, y, x)]
        maps = [b.products(b.at(*place), slice(None))[:, 0] for b in self.blocks]
        return torch.stack(maps).clamp_(-1, 1).reshape(-1, self.n, *self.grid)


def _plane(grid: Sequence[int]) -> tuple[int, int]:
    """Return a grid of one or two axes as rows and columns; a signal is one row."""
    return (1, grid[0]) if len(grid) == 1 else (grid[0], grid[1])


def lengths(centroids: Centroids) -> torch.Tensor:
    """Squared lengths ``[K]`` of centroids."""
    return reduce(torch.add, (m.square().sum(1) for m in centroids))
