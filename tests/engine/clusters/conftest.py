"""Activations with known clusters, and slow reference versions of the engine's computations."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
import torch

# A resolution of 12 x 16 at three depths, as in a convolutional network; and a signal.
IMAGE = ((6, (12, 16)), (10, (6, 8)), (90, (3, 4)))
SIGNAL = ((5, (48,)), (7, (24,)), (40, (6,)))


def layers(
    shapes: Sequence[tuple[int, tuple[int, ...]]],
    n: int = 1,
    dtype: torch.dtype = torch.float32,
    seed: int = 0,
) -> list[torch.Tensor]:
    """Smooth activations after a ReLU, so that some columns are dead or nearly dead."""
    generator = torch.Generator().manual_seed(seed)
    out = []
    for channels, grid in shapes:
        parts = torch.randn(n, 4, channels, generator=generator, dtype=torch.float64)
        where = torch.randn(n, 4, *[3] * len(grid), generator=generator, dtype=torch.float64)
        mode = "bilinear" if len(grid) == 2 else "linear"
        share = torch.nn.functional.interpolate(where, size=grid, mode=mode).mul(4).softmax(1)
        noise = torch.randn(n, channels, *grid, generator=generator, dtype=torch.float64)
        out.append((torch.einsum("npc,np...->nc...", parts, share) + 0.2 * noise).relu().to(dtype))
    return out


def naive(
    activations: Sequence[torch.Tensor], grid: tuple[int, ...], interp: str, weights: Sequence[float]
) -> torch.Tensor:
    """The data matrix as the authors build it: resample, normalise each layer at each position, weigh, concatenate."""
    blocks = []
    for a, w in zip(activations, weights, strict=True):
        mode = {"bicubic": "linear", "bilinear": "linear"}.get(interp, interp) if a.ndim == 3 else interp
        align = {} if mode == "nearest" else {"align_corners": False}
        z = torch.nn.functional.interpolate(a, size=grid, mode=mode, **align)
        norm = z.norm(dim=1, keepdim=True)
        z = torch.where(norm < 1e-8, torch.zeros_like(z), z / norm.clamp_min(1e-8))
        blocks.append(w * z.movedim(1, -1).reshape(-1, a.shape[1]))
    return torch.cat(blocks, 1)


def repeated(labels: torch.Tensor, grid: tuple[int, ...]) -> torch.Tensor:
    """Labels ``[n, *small]`` on a grid that is a multiple."""
    for axis, size in enumerate(grid, 1):
        labels = labels.repeat_interleave(size // labels.shape[axis], axis)
    return labels


def planted(
    shapes: Sequence[tuple[int, tuple[int, ...]]], dtype: torch.dtype, n: int = 1, parts: int = 4
) -> tuple[list[torch.Tensor], torch.Tensor]:
    """Piecewise constant activations with a distinct direction for every part and layer; and the parts ``[n, *grid]``."""
    generator = torch.Generator().manual_seed(8)
    truth = torch.randint(parts, (n, *shapes[-1][1]), generator=generator)
    truth.view(n, -1)[:, :parts] = torch.arange(parts)
    layers = []
    for c, grid in shapes:
        directions = torch.rand(parts, c, generator=generator, dtype=torch.float64) + 3 * torch.eye(parts, c)
        layers.append(directions[repeated(truth, grid)].movedim(-1, 1).to(dtype))
    return layers, repeated(truth, shapes[0][1])


@pytest.fixture
def make_layers() -> Callable[..., list[torch.Tensor]]:
    return layers


@pytest.fixture
def make_naive() -> Callable[..., torch.Tensor]:
    return naive


@pytest.fixture
def make_planted() -> Callable[..., tuple[list[torch.Tensor], torch.Tensor]]:
    return planted


@pytest.fixture(params=[torch.float32, torch.float64], ids=["float32", "float64"])
def dtype(request: pytest.FixtureRequest) -> torch.dtype:
    return request.param


@pytest.fixture(params=[IMAGE, SIGNAL], ids=["image", "signal"])
def shapes(request: pytest.FixtureRequest) -> tuple:
    return request.param
