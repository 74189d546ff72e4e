"""The common grid of several layers, and the linear maps that bring a layer to it.

Resampling is linear and separable: one small matrix per axis stands for it, so that up-sampled features are never built.
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
        # As columns of one image: the other axis has one cell and is left alone.
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
    """The matrix ``[n_to, n_from]`` that resamples one axis, as ``torch.nn.functional.interpolate`` does.

    Parameters
    ----------
    n_from, n_to : int
        Cells before and after.
    mode : {"bicubic", "bilinear", "nearest"}
        With ``align_corners=False`` and without antialiasing.
    like : Tensor, optional
        Gives dtype and device; float32 on the CPU otherwise.

    Raises
    ------
    MethodError
        For another mode.
    """
    if mode not in MODES:
        raise MethodError(f"interpolation {mode!r} is not known; there is {nearest(mode, MODES)}.")
    matrix = _matrix(int(n_from), int(n_to), mode)
    return matrix.to(torch.float32) if like is None else matrix.to(like)


def common_grid(
    grids: Sequence[tuple[int, ...]],
    size: tuple[int, ...] | None,
    choice: str | tuple[int, ...] = "shallowest",
) -> tuple[int, ...]:
    """The grid that all layers are brought to.

    Parameters
    ----------
    grids : sequence of tuple of int
        Grids of the layers, shallow to deep.
    size : tuple of int or None
        Height and width (or length) of the input; needed for "input".
    choice : str or tuple of int
        "shallowest" (the authors' code), "input" (the paper as others read it), "double" (twice the first layer's, as for
        tokens of a transformer), or the grid itself.

    Raises
    ------
    MethodError
        In one sentence, for another choice.
    """
    first = tuple(grids[0])
    if choice == "shallowest":
        return first
    if choice == "double":
        return tuple(2 * g for g in first)
    if choice == "input":
        if size is None or len(size) != len(first):
            raise MethodError(
                f"grid 'input' needs the size of the input with {len(first)} axes and got {size}."
            )
        return tuple(int(s) for s in size)
    if isinstance(choice, str):
        raise MethodError(f"grid {choice!r} is not known; there is {nearest(choice, CHOICES)}.")
    if len(choice) != len(first) or min(choice) < 1:
        raise MethodError(
            f"a grid of {tuple(choice)} cells was asked for and the layers have {len(first)} axes."
        )
    return tuple(int(g) for g in choice)
