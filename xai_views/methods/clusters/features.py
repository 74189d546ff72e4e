"""Composite features of several layers, factored: distances, means and similarities without building them.

Source: Boubekki, Fadel and Mair, NAVE (arXiv 2411.19700) for the features: activations of several depths on one grid, normalised
at each position and layer, weighted, concatenated. Resampling is linear, so that they need not be built: scores are products
in a layer's own resolution, brought to the grid afterwards; means use the adjoint.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from ...errors import MethodError, nearest
from .grid import common_grid, interpolation

#: Columns shorter than this count as dead and stay the zero vector.
DEAD = 1e-8
PRESETS = ("authors", "equal", "deep-first")
#: Elements in one piece of work on up-sampled channels or scores.
PIECE = 16_000_000

Centroids = list[torch.Tensor]


def preset_weights(channels: Sequence[int], name: str = "authors") -> list[float]:
    """Weights of the layers: "authors" (1 + C_1) / (1 + C_l), "equal", or "deep-first" (the authors' in reverse).

    Raises
    ------
    MethodError
        For another name.
    """
    if name == "authors":
        return [(1 + channels[0]) / (1 + c) for c in channels]
    if name == "equal":
        return [1.0] * len(channels)
    if name == "deep-first":
        # The share of the distance grows with depth, halving from the deepest up.
        return [0.5 ** ((len(channels) - 1 - i) / 2) for i in range(len(channels))]
    raise MethodError(
        f"weights {name!r} are not known; there is {nearest(name, PRESETS)}, or give one number per layer."
    )


@dataclass(eq=False)
class Block:
    """One layer: activations in an orthonormal basis, and how its grid is brought to the common one.

    Attributes
    ----------
    values : Tensor
        ``[n, C', h, w]`` (signals have h = 1).
    basis : Tensor or None
        ``[C, C']`` with orthonormal columns when channels were compressed; exact.
    rows, columns : Tensor
        ``[g_h, h]`` and ``[g_w, w]``.
    inverse : Tensor
        ``[n, g_h, g_w]``: one over the norm of the resampled column, 0 where it is dead.
    """

    values: torch.Tensor
    basis: torch.Tensor | None
    rows: torch.Tensor
    columns: torch.Tensor
    inverse: torch.Tensor

    def spread(self, small: torch.Tensor) -> torch.Tensor:
        """Bring maps ``[..., h, w]`` to the grid ``[..., g_h, g_w]``."""
        return self.rows @ (small @ self.columns.T)

    def gather(self, large: torch.Tensor) -> torch.Tensor:
        """The adjoint: ``[..., g_h, g_w]`` to ``[..., h, w]``."""
        return self.rows.T @ (large @ self.columns)

    def at(self, image: torch.Tensor, y: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """Normalised columns ``[m, C']`` at positions of the grid."""
        weights = (self.rows[y][:, :, None] * self.columns[x][:, None, :]).flatten(1)
        out = self.values.new_empty(len(image), self.values.shape[1])
        for i in image.unique().tolist():
            own = image == i
            out[own] = weights[own] @ self.values[i].flatten(1).T
        return out * self.inverse[image, y, x][:, None]


def _compress(values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Express channels in a basis of the positions' span when that is smaller (thin QR, an isometry)."""
    n, c, h, w = values.shape
    if c <= n * h * w:
        return values, None
    flat = values.permute(1, 0, 2, 3).reshape(c, -1)
    basis, r = torch.linalg.qr(flat)
    return r.reshape(len(r), n, h, w).permute(1, 0, 2, 3).contiguous(), basis


def _norms(values: torch.Tensor, rows: torch.Tensor, columns: torch.Tensor) -> torch.Tensor:
    """Norm of the resampled column at every position of the grid, over channels in pieces."""
    n, c = values.shape[:2]
    total = values.new_zeros(n, len(rows), len(columns))
    step = max(1, PIECE // max(1, n * len(rows) * len(columns)))
    for start in range(0, c, step):
        part = rows @ (values[:, start : start + step] @ columns.T)
        total += part.square_().sum(1)
    return total.sqrt_()


class Features:
    """Factored composite features of n images (or signals).

    Make them with :meth:`of`. All labels, distances and maps have the shape ``[n, (K,) *grid]``.

    Attributes
    ----------
    n : int
        Images, clustered jointly.
    grid : tuple of int
        Positions per axis; one axis for signals.
    rank : int
        1 or 2.
    channels : list of int
        Channels of each layer, before compression.
    weights : Tensor
        ``[L]``.
    positions : int
        n times the cells of the grid.
    """

    def __init__(
        self, blocks: list[Block], channels: list[int], grid: tuple[int, ...], weights: torch.Tensor
    ) -> None:
        self.blocks, self.channels, self.grid, self.weights = blocks, channels, grid, weights
        self.n = len(blocks[0].values)
        self.rank = len(grid)
        self._shape = (1, *grid) if self.rank == 1 else grid

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
            ``[n, C_l, *grid_l]``, shallow to deep; float32 or float64, one device.
        grid, interp
            See :func:`xai_views.methods.clusters.grid.common_grid` and ``interpolation``; a signal is interpolated linearly
            for "bicubic" too.
        weights : str or sequence of float
            A preset or one number per layer.
        size : tuple of int, optional
            Size of the input, for the grid "input".
        compress : bool
            Whether layers with more channels than positions may be compressed; exact, but two calls then have different
            bases.

        Raises
        ------
        MethodError
            In one sentence, when layers do not belong together or weights do not fit.
        """
        if not activations:
            raise MethodError("no layer was given to cluster; choose at least one.")
        ranks = {a.ndim - 2 for a in activations}
        if len(ranks) > 1 or not ranks <= {1, 2} or len({len(a) for a in activations}) > 1:
            shapes = ", ".join(str(list(a.shape)) for a in activations)
            raise MethodError(
                f"activations of shapes {shapes} cannot be clustered together; give [n, C, h, w] or [n, C, t] each."
            )
        grids = [tuple(a.shape[2:]) for a in activations]
        common = common_grid(grids, size, grid)
        rank = len(common)
        mode = "bilinear" if rank == 1 and interp == "bicubic" else interp
        shape = (1, *common) if rank == 1 else common
        blocks = []
        for a in activations:
            a = a.detach()
            a = a if a.dtype in (torch.float32, torch.float64) else a.float()
            values = a[:, :, None] if rank == 1 else a
            values, basis = _compress(values) if compress else (values, None)
            rows = interpolation(values.shape[2], shape[0], mode, values)
            columns = interpolation(values.shape[3], shape[1], mode, values)
            norm = _norms(values, rows, columns)
            inverse = torch.where(norm < DEAD, torch.zeros_like(norm), 1 / norm.clamp_min(DEAD))
            blocks.append(Block(values, basis, rows, columns, inverse))
        channels = [a.shape[1] for a in activations]
        plain = cls(blocks, channels, common, blocks[0].values.new_ones(len(blocks)))
        return plain.reweighted(weights)

    def reweighted(self, weights: str | Sequence[float]) -> Features:
        """The same features with other weights; nothing is computed again.

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
                f"{len(values)} weights were given for {len(self.blocks)} layers; give one for each."
            )
        if not all(w >= 0 and w < float("inf") for w in values) or not any(values):
            raise MethodError(
                f"the weights {values} are not possible; give numbers of at least 0, one of them above 0."
            )
        return Features(self.blocks, self.channels, self.grid, self.blocks[0].values.new_tensor(values))

    @property
    def positions(self) -> int:
        """Rows of the data matrix."""
        count = self.n
        for g in self.grid:
            count *= g
        return count

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        tensors = [t for b in self.blocks for t in (b.values, b.inverse, b.basis) if t is not None]
        return sum(t.numel() * t.element_size() for t in tensors)

    @property
    def square(self) -> torch.Tensor:
        """Squared norm of every row ``[n, *grid]``: the sum of the squared weights of the layers that are not dead there."""
        total = sum(
            w**2 * (b.inverse > 0).to(b.inverse) for w, b in zip(self.weights, self.blocks, strict=True)
        )
        return total.reshape(self.n, *self.grid)

    # -- what k-means needs -------------------------------------------------------------------------------------

    def scores(self, centroids: Centroids) -> torch.Tensor:
        """Inner products ``[n, K, *grid]`` of every row with every centroid (blocks ``[K, C'_l]``)."""
        out = None
        for w, b, m in zip(self.weights, self.blocks, centroids, strict=True):
            if not w:
                continue
            small = torch.einsum("kc,nchw->nkhw", m, b.values)
            part = b.spread(small).mul_((w * b.inverse)[:, None])
            out = part if out is None else out.add_(part)
        return out.reshape(self.n, -1, *self.grid)

    def distances(self, centroids: Centroids) -> torch.Tensor:
        """Squared distances ``[n, K, *grid]``, at least 0."""
        length = sum(m.square().sum(1) for m in centroids)
        length = length.reshape(1, -1, *[1] * self.rank)
        return (self.square[:, None] - 2 * self.scores(centroids) + length).clamp_min_(0)

    def means(self, labels: torch.Tensor, k: int) -> tuple[Centroids, torch.Tensor]:
        """Mean row of each label: blocks ``[k, C'_l]`` and the number of rows ``[k]``; empty labels have zeros."""
        one = (
            torch.nn.functional.one_hot(labels.reshape(self.n, *self._shape), k)
            .movedim(-1, 1)
            .to(self.weights)
        )
        counts = one.sum((0, 2, 3))
        return [m / counts.clamp_min(1)[:, None] for m in self.sums(one)], counts

    def sums(self, one: torch.Tensor) -> Centroids:
        """Sums of rows weighted by ``[n, k, g_h, g_w]``: blocks ``[k, C'_l]``, by the adjoint of the resampling."""
        return [
            w * torch.einsum("nkhw,nchw->kc", b.gather(one * b.inverse[:, None]), b.values)
            for w, b in zip(self.weights, self.blocks, strict=True)
        ]

    def rows(self, index: torch.Tensor) -> torch.Tensor:
        """Rows ``[m, D']`` at flat positions (image, then row, then column), in the internal basis."""
        gh, gw = self._shape
        image, rest = index // (gh * gw), index % (gh * gw)
        parts = [
            w * b.at(image, rest // gw, rest % gw) for w, b in zip(self.weights, self.blocks, strict=True)
        ]
        return torch.cat(parts, 1)

    def split(self, rows: torch.Tensor) -> Centroids:
        """Blocks ``[m, C'_l]`` of rows ``[m, D']``."""
        return list(rows.split([b.values.shape[1] for b in self.blocks], 1))

    def explicit(self) -> torch.Tensor:
        """The whole data matrix ``[positions, D']``; for tests and comparisons, since it is what the factoring avoids."""
        return self.rows(torch.arange(self.positions, device=self.weights.device))

    # -- the basis ----------------------------------------------------------------------------------------------

    def lift(self, centroids: Centroids) -> Centroids:
        """Blocks ``[K, C_l]`` in the channels of the layers."""
        pairs = zip(self.blocks, centroids, strict=True)
        return [m if b.basis is None else m @ b.basis.T for b, m in pairs]

    def drop(self, centroids: Centroids) -> Centroids:
        """Blocks in the internal basis, projected onto what occurs here; inner products with rows stay the same."""
        pairs = zip(self.blocks, centroids, strict=True)
        return [m if b.basis is None else m @ b.basis for b, m in pairs]

    # -- what is shown ------------------------------------------------------------------------------------------

    def shares(self, centroids: Centroids, labels: torch.Tensor) -> torch.Tensor:
        """Share ``[L, n, *grid]`` of each layer in the squared distance to the own centroid; sums to 1 unless that is 0."""
        index = labels[:, None]
        parts = []
        for i, (w, b, m) in enumerate(zip(self.weights, self.blocks, centroids, strict=True)):
            only = [c if j == i else torch.zeros_like(c) for j, c in enumerate(centroids)]
            alive = (w**2 * (b.inverse > 0).to(b.inverse)).reshape(self.n, *self.grid)
            score = self.scores(only).gather(1, index)[:, 0] if w else torch.zeros_like(alive)
            parts.append((alive - 2 * score + m.square().sum(1)[labels]).clamp_min(0))
        stacked = torch.stack(parts)
        return stacked / stacked.sum(0).clamp_min(torch.finfo(stacked.dtype).tiny)

    def similarity(self, image: int, position: tuple[int, ...]) -> torch.Tensor:
        """Cosine ``[L, n, *grid]`` of every position with one position, in each layer alone.

        Parameters
        ----------
        image : int
            Image of the reference.
        position : tuple of int
            Its position on the grid.
        """
        y, x = (0, *position) if self.rank == 1 else position
        place = [torch.tensor([p], device=self.weights.device) for p in (image, y, x)]
        out = []
        for b in self.blocks:
            small = torch.einsum("c,nchw->nhw", b.at(*place)[0], b.values)
            out.append((b.spread(small) * b.inverse).reshape(self.n, *self.grid))
        return torch.stack(out).clamp_(-1, 1)
