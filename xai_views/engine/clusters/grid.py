"""The common grid of several layers, and the linear maps that resample a layer to it.

Resampling is linear and separable: one small matrix per axis is enough, and up-sampled features are never built.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import torch

from xai_views.errors import MethodError, nearest

MODES = ("bicubic", "bilinear", "nearest")
CHOICES = ("shallowest", "input", "double")


@lru_cache(maxsize=256)
def _matrix(n_from: int, n_to: int, mode: str) -> torch.Tensor:
    eye = torch.eye(n_from, dtype=torch.float64)
    if mode == "bicubic":
        # As columns of one image: the other axis has one cell and is not changed.
        out = torch.nn.functional.interpolate(
            eye[:, None, :, None], size=(n_to, 1), mode="bicubic", align_corners=False
        )
        return out[:, 0, :, 0].T.contiguous()
    if mode == "bilinear":
        out = torch.nn.functional.interpolate(eye[:, None], size=n_to, mode="linear", align_corners=False)
    else:
        out = torch.nn.functional.interpolate(eye[:, None], size=n_to, mode="nearest")
    return out[:, 0].T.contiguous()


def interpolation(
    n_from: int, n_to: int, mode: str = "bicubic", like: torch.Tensor | None = None
) -> torch.Tensor:
    """Matrix ``[n_to, n_from]`` that resamples one axis like ``torch.nn.functional.interpolate``.

    Parameters
    ----------
    n_from, n_to : int
        Number of cells before and after.
    mode : {"bicubic", "bilinear", "nearest"}
        With ``align_corners=False`` and without antialiasing.
    like : Tensor, optional
        Tensor whose dtype and device are used; default float32 on the CPU.

    Raises
    ------
    MethodError
        For an unknown mode.
    """
    if mode not in MODES:
        raise MethodError(f"interpolation {mode!r} is not known; choose {nearest(mode, MODES)}.")
    matrix = _matrix(int(n_from), int(n_to), mode)
    return matrix.to(torch.float32) if like is None else matrix.to(like)


def common_grid(
    grids: Sequence[tuple[int, ...]],
    size: tuple[int, ...] | None,
    choice: str | tuple[int, ...] = "shallowest",
) -> tuple[int, ...]:
    """Return the grid to which all layers are resampled.

    Parameters
    ----------
    grids : sequence of tuple of int
        Grids of the layers, shallow to deep.
    size : tuple of int or None
        Height and width (or length) of the input; needed for "input".
    choice : str or tuple of int
        "shallowest" (the authors' code), "input" (another reading of the paper), "double" (twice the first layer's grid,
        for tokens of a transformer), or the grid itself.

    Raises
    ------
    MethodError
        In one sentence, for an invalid choice.
    """
    first = tuple(grids[0])
    if choice == "shallowest":
        return first
    if choice == "double":
        return tuple(2 * g for g in first)
    if choice == "input":
        if size is None or len(size) != len(first):
            raise MethodError(
                f"grid 'input' needs the size of the input with {len(first)} axes and {size} was given; give one size per axis."
            )
        return tuple(int(s) for s in size)
    if isinstance(choice, str):
        raise MethodError(f"grid {choice!r} is not known; choose {nearest(choice, CHOICES)}.")
    if len(choice) != len(first) or min(choice) < 1:
        raise MethodError(
            f"a grid of {tuple(choice)} cells was given and the layers have {len(first)} axes; give at least 1 cell per axis."
        )
    return tuple(int(g) for g in choice)
