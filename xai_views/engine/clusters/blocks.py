"""One layer of the composite features: its activations, and their resampling to the common grid."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from xai_views.engine.clusters.grid import interpolation

#: Activation vectors shorter than this count as dead and stay zero.
DEAD = 1e-8
#: Elements per chunk of work: small enough for CPU caches, large enough for efficient matrix products.
PIECE = 4_000_000
RAW = "raw"


@dataclass(eq=False)
class Block:
    """One layer: activations in an orthonormal basis, and their resampling to the common grid.

    Attributes
    ----------
    values : Tensor
        ``[n, C', h, w]`` (h = 1 for signals).
    basis : Tensor or None
        ``[C, C']`` with orthonormal columns if channels were compressed (lossless).
    mode : str
        Interpolation, kept for resampling to another grid; ``RAW`` for plain rows.
    rows, columns : Tensor or None
        ``[g_h, h]`` and ``[g_w, w]``; None where an axis is unchanged.
    norm : Tensor
        ``[n, g_h, g_w]``: norm of the resampled activation vectors.
    inverse : Tensor
        Inverse of the norm, 0 where the vector is dead.
    square : Tensor
        ``[n, g_h, g_w]``: squared norm of this layer's part of a row, before its weight: 1, or 0 where it is dead.
    """

    values: torch.Tensor
    basis: torch.Tensor | None
    mode: str
    rows: torch.Tensor | None
    columns: torch.Tensor | None
    norm: torch.Tensor
    inverse: torch.Tensor
    square: torch.Tensor

    @classmethod
    def of(cls, values: torch.Tensor, basis: torch.Tensor | None, grid: tuple[int, int], mode: str) -> Block:
        """Resample ``[n, C', h, w]`` to a grid and normalise each position."""
        rows = _axis(values.shape[2], grid[0], mode, values)
        columns = _axis(values.shape[3], grid[1], mode, values)
        norm = _norms(values, rows, columns)
        alive = norm >= DEAD
        inverse = torch.where(alive, 1 / norm.clamp_min(DEAD), torch.zeros_like(norm))
        return cls(values, basis, mode, rows, columns, norm, inverse, alive.to(norm))

    @classmethod
    def raw(cls, rows: torch.Tensor) -> Block:
        """Wrap plain rows ``[m, D]`` as one signal of m positions."""
        values = rows.T[None, :, None].contiguous()
        square = rows.square().sum(1)[None, None]
        one = torch.ones_like(square)
        return cls(values, None, RAW, None, None, square.sqrt(), one, square)

    def on(self, grid: tuple[int, int]) -> Block:
        """Return the layer on another grid; of plain rows an evenly spaced subset."""
        if self.mode == RAW:
            m, few = self.values.shape[3], grid[1]
            taken = ((torch.arange(few, device=self.values.device) + 0.5) * m / few).long()
            return Block.raw(self.values[0, :, 0, taken].T)
        return Block.of(self.values, self.basis, grid, self.mode)

    def pieces(self, k: int) -> list[slice]:
        """Split the images into chunks, so that k maps on the grid of one chunk fit into memory."""
        n = len(self.values)
        step = max(1, PIECE // max(1, k * self.norm[0].numel()))
        return [slice(start, start + step) for start in range(0, n, step)]

    def spread(self, small: torch.Tensor) -> torch.Tensor:
        """Resample maps ``[..., h, w]`` to the grid ``[..., g_h, g_w]``."""
        return resample(small, self.rows, self.columns)

    def gather(self, large: torch.Tensor) -> torch.Tensor:
        """Apply the adjoint of :meth:`spread`: ``[..., g_h, g_w]`` to ``[..., h, w]``."""
        # Rows first: with few cells per side, multiplying from the left is up to four times as fast.
        out = large if self.rows is None else self.rows.T @ large
        return out if self.columns is None else out @ self.columns

    def products(self, centroids: torch.Tensor, piece: slice) -> torch.Tensor:
        """Inner products ``[b, K, g_h, g_w]`` of the normalised vectors of some images with ``[K, C']``."""
        values = self.values[piece]
        b, _, h, w = values.shape
        small = torch.matmul(centroids, values.flatten(2)).view(b, -1, h, w)
        out = self.spread(small)
        # in place: products is fresh here even when resampling to the same grid returns its input
        return out.mul_(self.inverse[piece, None])

    def sums(self, maps: torch.Tensor, piece: slice) -> torch.Tensor:
        """Sums ``[K, C']`` of the vectors of some images, weighted by maps ``[b, K, g_h, g_w]``."""
        small = self.gather(maps * self.inverse[piece, None]).flatten(2)
        return torch.matmul(small, self.values[piece].flatten(2).mT).sum(0)

    def at(self, image: torch.Tensor, y: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """Normalised vectors ``[m, C']`` at positions of the grid."""
        h, w = self.values.shape[2:]
        out = self.values.new_empty(len(image), self.values.shape[1])
        plain = self.rows is None and self.columns is None
        for i in image.unique().tolist():
            own = image == i
            if plain:
                out[own] = self.values[i][:, y[own], x[own]].T
                continue
            up = _taken(self.rows, y[own], h, out)
            across = _taken(self.columns, x[own], w, out)
            weights = (up[:, :, None] * across[:, None, :]).flatten(1)
            out[own] = weights @ self.values[i].flatten(1).T
        return out * self.inverse[image, y, x][:, None]

    def columns_of(self, image: int) -> torch.Tensor:
        """All normalised vectors ``[g_h * g_w, C']`` of one image, built explicitly."""
        return (self.spread(self.values[image]) * self.inverse[image]).flatten(1).T


def _axis(n_from: int, n_to: int, mode: str, like: torch.Tensor) -> torch.Tensor | None:
    return None if n_from == n_to else interpolation(n_from, n_to, mode, like)


def _taken(matrix: torch.Tensor | None, index: torch.Tensor, size: int, like: torch.Tensor) -> torch.Tensor:
    if matrix is not None:
        return matrix[index]
    return torch.nn.functional.one_hot(index, size).to(like)


def resample(small: torch.Tensor, rows: torch.Tensor | None, columns: torch.Tensor | None) -> torch.Tensor:
    """Resample maps ``[..., h, w]`` to ``[..., g_h, g_w]``, one axis after the other; None leaves an axis unchanged."""
    out = small if columns is None else small @ columns.T
    return out if rows is None else rows @ out


def _norms(values: torch.Tensor, rows: torch.Tensor | None, columns: torch.Tensor | None) -> torch.Tensor:
    """Norm of the resampled vectors at every position of the grid, computed over chunks of channels."""
    n, c, h, w = values.shape
    gh, gw = h if rows is None else len(rows), w if columns is None else len(columns)
    total = values.new_zeros(n, gh, gw)
    step = max(1, PIECE // (gh * gw))
    for image in range(n):
        for start in range(0, c, step):
            part = resample(values[image, start : start + step], rows, columns)
            total[image] += part.square().sum(0)
    return total.sqrt_()


def compress(values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Express channels in a basis of the span of the positions if that is smaller (thin QR, an isometry).

    Parameters
    ----------
    values : Tensor
        ``[n, C, h, w]``; all images share one basis.

    Returns
    -------
    values : Tensor
        ``[n, C', h, w]`` with C' the minimum of C and n * h * w.
    basis : Tensor or None
        ``[C, C']``, None if nothing was compressed.
    """
    n, c, h, w = values.shape
    if c <= n * h * w:
        return values.contiguous(), None
    flat = values.movedim(1, 0).reshape(c, -1)
    basis, r = torch.linalg.qr(flat)
    return r.reshape(len(r), n, h, w).movedim(0, 1).contiguous(), basis
