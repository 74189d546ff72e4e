"""Seeded random masks in blocks, independent of batch size, image, network and device.

A grid of cells is drawn, each kept with the same probability; it is enlarged by linear interpolation and cropped at a random
offset. Sources: Petsiuk, Das and Saenko, RISE (BMVC 2018), and Wickstrøm et al., RELAX (arXiv 2112.10161).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
import torch.nn.functional as F

from xai_views.errors import MethodError, nearest

KINDS = ("rise", "relax")
#: Masks per block. A block depends only on the seed and its number, so that a run can be resumed.
BLOCK = 50


@dataclass(frozen=True)
class Masks:
    """An endless stream of masks.

    Attributes
    ----------
    size : tuple of int
        ``(H, W)`` for images, ``(T,)`` for signals, whose leads share a mask.
    kind : {"rise", "relax"}
        "rise": cells are enlarged to one cell more than the image and shifted by less than a cell.
        "relax": cells are enlarged to the image size, extended by reflection and shifted by at most half as many pixels as
        there are cells, so that the grid is visible in the results.
    cells : int or tuple of int
        Number of cells along each axis.
    keep : float
        Probability that a cell is kept; also the mean of every pixel.
    seed : int
        Random seed; equal seeds give equal masks.

    Raises
    ------
    MethodError
        For an unknown kind, or numbers for which no mask exists.
    """

    size: tuple[int, ...]
    kind: str = "rise"
    cells: int | tuple[int, ...] = 7
    keep: float = 0.5
    seed: int = 0

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise MethodError(f"mask kind {self.kind!r} is not known; choose {nearest(self.kind, KINDS)}.")
        if len(self.size) not in (1, 2) or len(self.grid) != len(self.size):
            raise MethodError(
                f"masks of size {list(self.size)} with {list(self.grid)} cells were requested; give one or two sides and as many "
                "numbers of cells."
            )
        if any(not 1 <= c <= n for c, n in zip(self.grid, self.size, strict=True)):
            raise MethodError(
                f"{list(self.grid)} cells do not fit into {list(self.size)} steps; give at least 1 and at most as many "
                "cells as steps."
            )
        if not 0 < self.keep <= 1 or self.seed < 0:
            raise MethodError(
                f"keep={self.keep} and seed={self.seed} were given for masks; give keep above 0 and at most 1, and a seed "
                "of at least 0."
            )

    @property
    def grid(self) -> tuple[int, ...]:
        """Cells along each axis."""
        return (self.cells,) * len(self.size) if isinstance(self.cells, int) else tuple(self.cells)

    @cached_property
    def _axes(self) -> list[tuple[int, torch.Tensor]]:
        """For each axis: enlarged length, and the steps ``[offsets, length]`` visible at every shift."""
        return [_axis(self.kind, n, c) for n, c in zip(self.size, self.grid, strict=True)]

    def block(
        self,
        index: int,
        start: int = 0,
        stop: int = BLOCK,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> torch.Tensor:
        """Return the masks ``start`` to ``stop`` of a block, ``[stop - start, *size]`` in [0, 1].

        Parameters
        ----------
        index : int
            Index of the block.
        start, stop : int
            Part of the block; masks do not depend on which part is requested.
        device, dtype
            Device and precision of the masks. Random numbers are drawn on the CPU in float64, so that they are the same
            everywhere.
        """
        state = np.random.SeedSequence((self.seed, index)).generate_state(1, np.uint64)
        generator = torch.Generator().manual_seed(int(state[0] >> np.uint64(1)))
        kept = torch.rand(BLOCK, *self.grid, generator=generator, dtype=torch.float64) < self.keep
        shift = torch.rand(BLOCK, len(self.size), generator=generator, dtype=torch.float64)
        kept = kept[start:stop, None].to(device, dtype)
        long = F.interpolate(kept, size=tuple(n for n, _ in self._axes), mode=_MODE[len(self.size)])[:, 0]
        at = [torch.arange(len(long), device=device)]
        for axis, (_, steps) in enumerate(self._axes):
            offset = (shift[start:stop, axis] * len(steps)).long()
            at.append(steps[offset].to(device))
        for axis in range(len(at)):  # [B, 1, 1], [B, H, 1], [B, 1, W]
            shape = [len(long)] + [1] * len(self.size)
            if axis:
                shape[axis] = -1
            at[axis] = at[axis].view(shape)
        return long[tuple(at)]

    def variance(self) -> torch.Tensor:
        """Exact variance of every pixel over all masks, ``[*size]`` float64, from the weights and the shifts.

        The importance is the covariance with the mask over its mean: where the mask varies less, contrast is lower.
        """
        out = torch.ones((), dtype=torch.float64)
        for (long, steps), cells in zip(self._axes, self.grid, strict=True):
            unit = torch.eye(cells, dtype=torch.float64)[:, None]
            weight = F.interpolate(unit, size=long, mode="linear")[:, 0]  # of each cell in each step
            out = out[..., None] * weight.square().sum(0)[steps].mean(0)
        return out * self.keep * (1 - self.keep)


_MODE = {1: "linear", 2: "bilinear"}


def _axis(kind: str, n: int, cells: int) -> tuple[int, torch.Tensor]:
    if kind == "rise":
        cell = -(-n // cells)
        return (cells + 1) * cell, torch.arange(cell)[:, None] + torch.arange(n)
    pad = cells // 2
    step = torch.arange(2 * pad + 1)[:, None] + torch.arange(n) - pad
    turn = max(2 * (n - 1), 1)  # reflection without repeating the end, repeated as needed
    step = step.remainder(turn)
    return n, torch.minimum(step, turn - step) if n > 1 else torch.zeros_like(step)


def hoeffding(error: float, risk: float) -> int:
    """Number of masks for which a mean of values in [0, 1] errs by ``error`` or more with probability at most ``risk``.

    The bound is for the plain mean and absolute; contrasts of importance are often far smaller.
    """
    return math.ceil(-math.log(risk / 2) / (2 * error**2))
