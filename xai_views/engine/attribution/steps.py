"""Attribution methods that run a network many times, in steps: occlusion and integrated gradients.

They are generators, so that the caller may stop, serve other requests or show partial results between two calls of the
network. A call is bounded by the batch size ``options["batch"]``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from xai_views.contract.method import Progress
from xai_views.errors import MethodError
from xai_views.models import passes
from xai_views.models.tracing import forward, module_of

#: Generator of a step-wise attribution: yields its progress before each call, and returns ``[N, C, H, W]``.
Steps = Generator[Progress, None, torch.Tensor]


@contextmanager
def exact(device: torch.device) -> Iterator[None]:
    """Enable gradients and disable autocast rounding, whatever mode the caller is in."""
    with torch.inference_mode(False), torch.enable_grad(), torch.autocast(device.type, enabled=False):
        yield


class Asked:
    """Wrapper of the network for attributions: counts images, reports progress, and raises one-sentence errors.

    Parameters
    ----------
    model : Model
        The network.
    total : int
        Total number of images that will be run.
    progress : callable, optional
        ``progress(done, total)``, called before each pass; may raise to stop.
    """

    def __init__(self, model: Any, total: int, progress: Callable[[int, int], None] | None = None) -> None:
        self.module, self.total, self.done, self.progress = module_of(model), total, 0, progress

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """Return the logits of ``x``."""
        if self.progress is not None:
            self.progress(self.done, self.total)
        self.done += len(x)
        return forward(self.module, x)

    def of(self, x: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Return the logits ``[N]`` of the classes ``targets [N]``, one per input."""
        return self(x).gather(1, targets[:, None])[:, 0]

    def so_far(self, partial: list[Any] | None = None) -> Progress:
        """Return the current progress."""
        return Progress(self.done, max(self.total, self.done), partial)


def whole(steps: Generator[Progress, None, Any], progress: Callable[[int, int], Any] | None = None) -> Any:
    """Run a generator to its end and return its value; ``progress(done, total)`` is called at each step, may raise to stop."""
    while True:
        try:
            step = next(steps)
        except StopIteration as end:
            return end.value
        if progress is not None:
            progress(step.done, step.total)


def relayed(
    steps: Generator[Progress, None, Any], told: Callable[[Progress], Progress]
) -> Generator[Progress, None, Any]:
    """Yield the steps of a generator, each mapped by ``told``; returns its value."""
    while True:
        try:
            step = next(steps)
        except StopIteration as end:
            return end.value
        yield told(step)


def occlusion_windows(
    shape: tuple[int, ...], window: tuple[int, int] | None = None, stride: tuple[int, int] | None = None
) -> list[tuple[slice, slice]]:
    """Return windows ``(rows, columns)`` that cover an image, as in captum: windows at the far borders are cut off.

    Parameters
    ----------
    shape : (int, int)
        Height and width of the image.
    window, stride : (int, int), optional
        By default an eighth of the sides, and half the window.

    Raises
    ------
    MethodError
        When windows do not fit into the image, or leave gaps.
    """
    sides = tuple(window or (-(-side // 8) for side in shape))
    steps = tuple(stride or (-(-side // 2) for side in sides))
    if any(not 1 <= t <= w <= side for t, w, side in zip(steps, sides, shape, strict=True)):
        raise MethodError(
            f"windows of {list(sides)} with strides of {list(steps)} were given for occlusion of {shape[0]}x{shape[1]} pixels; "
            "give windows that fit into the image and strides that fit into windows."
        )
    rows, columns = (
        [slice(at, min(at + w, side)) for at in range(0, math.ceil((side - w) / t) * t + 1, t)]
        for side, w, t in zip(shape, sides, steps, strict=True)
    )
    return [(y, x) for y in rows for x in columns]


def occlusion_steps(
    asked: Asked, x: torch.Tensor, targets: torch.Tensor, options: Mapping[str, Any]
) -> Steps:
    """Occlusion: the mean drop of the logit over all windows that cover a pixel, with the window set to the baseline.

    Source: Zeiler and Fergus, Visualizing and Understanding Convolutional Networks (2014); equal to captum's.

    Parameters
    ----------
    asked : Asked
        Wrapper of the network.
    x, targets : Tensor
        ``[N, C, H, W]`` images and the class index ``[N]`` of each.
    options : mapping
        ``window``, ``stride``, ``baseline`` (a tensor like ``x``) and ``batch``, the number of images per call.

    Yields
    ------
    Progress
        Before each call; the partial maps ``[H, W]`` use the windows so far and are 0 elsewhere.

    Returns
    -------
    Tensor
        ``[N, 1, H, W]``: channels are occluded together, and their common value must not be counted per channel.
    """
    windows = occlusion_windows(tuple(x.shape[2:]), options["window"], options["stride"])
    n, baseline = len(x), options["baseline"]
    together = max(1, options["batch"] // n)
    asked.total = max(asked.total, asked.done + n * (1 + len(windows)))
    yield asked.so_far()
    with exact(x.device), torch.no_grad():
        logit = asked.of(x, targets)
        sums, times = x.new_zeros(n, *x.shape[2:]), x.new_zeros(x.shape[2:])
    for start in range(0, len(windows), together):
        yield asked.so_far(list(sums / times.clamp_min(1)) if start else None)
        some = windows[start : start + together]
        with exact(x.device), torch.no_grad():
            hidden = x.repeat(len(some), 1, 1, 1).unflatten(0, (len(some), n))
            for image, (rows, columns) in zip(hidden, some, strict=True):
                image[:, :, rows, columns] = baseline[:, :, rows, columns]
            fall = logit - asked.of(hidden.flatten(0, 1), targets.repeat(len(some))).view(len(some), n)
            for own, (rows, columns) in zip(fall, some, strict=True):
                sums[:, rows, columns] += own[:, None, None]
                times[rows, columns] += 1
    return (sums / times)[:, None]


def integrated_steps(
    asked: Asked, x: torch.Tensor, targets: torch.Tensor, options: Mapping[str, Any]
) -> Steps:
    """Integrated gradients from the baseline to the image by Gauss-Legendre quadrature, times the difference.

    Source: Sundararajan, Taly and Yan, Axiomatic Attribution for Deep Networks (2017); equal to captum's, except that the
    quadrature weights have the network's precision.

    Parameters
    ----------
    asked, x, targets
        As in :func:`occlusion_steps`.
    options : mapping
        ``steps``, ``baseline`` and ``batch``.

    Yields
    ------
    Progress
        Before each call, without partial maps, because part of an integral is not meaningful.

    Returns
    -------
    Tensor
        ``[N, C, H, W]``.
    """
    nodes, weights = np.polynomial.legendre.leggauss(options["steps"])
    n = len(x)
    together = max(1, options["batch"] // n)
    with exact(x.device):  # in-place sums fail on tensors made in inference mode
        at, share = x.new_tensor((1 + nodes) / 2), x.new_tensor(weights / 2)
        way, total = x - options["baseline"], torch.zeros_like(x)
    for start in range(0, len(nodes), together):
        yield asked.so_far()
        some = slice(start, start + together)
        with exact(x.device):
            place = at[some].view(-1, *[1] * x.ndim)
            points = (options["baseline"] + place * way).flatten(0, 1).detach().requires_grad_()
            score = asked.of(points, targets.repeat(len(place))).sum()
            passes.count_backward(len(points))
            slope = torch.autograd.grad(score, points)[0].view(len(place), *x.shape)
            total += torch.tensordot(share[some], slope, 1)
    return total * way
