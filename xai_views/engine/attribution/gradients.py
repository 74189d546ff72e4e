"""Attribution methods on tensors for :mod:`xai_views.engine.attribution.maps`: gradients, occlusion, Grad-CAM."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F

from xai_views.engine.attribution.steps import (
    Asked,
    Steps,
    exact,
    integrated_steps,
    occlusion_steps,
    whole,
)
from xai_views.engine.kept import Kept
from xai_views.errors import MethodError
from xai_views.models import passes
from xai_views.models.heads import find_head
from xai_views.models.taps import capture, capture_with_grad, default_taps, taps
from xai_views.models.tracing import example

Progress = Callable[[int, int], None]

#: Number of pixels that pass through a network together (CPU, other devices).
AT_ONCE = (210_000, 1_680_000)


def comfortable(device: torch.device | str, shape: tuple[int, ...]) -> int:
    """Return the batch size for images ``[H, W]``: 1 to 64 on the CPU, up to 256 elsewhere.

    On the CPU larger batches are slower: with EfficientNet-Lite0 at 224x224 an image takes 25 ms in batches of 4 and 70 ms in
    batches of 32, because activations no longer fit into the caches and memory is mapped anew for each call.
    """
    cpu = torch.device(device).type == "cpu"
    return min(max(AT_ONCE[not cpu] // (shape[0] * shape[1]), 1), 64 if cpu else 256)


# -- methods on tensors: (asked, x [N, C, H, W], targets [N], options) -> [N, C, H, W] -------------------------------


def _gradient(asked: Asked, x: torch.Tensor, targets: torch.Tensor, _: dict) -> torch.Tensor:
    leaf = x.clone().requires_grad_()
    score = asked.of(leaf, targets).sum()
    passes.count_backward(len(x))
    return torch.autograd.grad(score, leaf)[0]


def _gradient_x_input(asked: Asked, x: torch.Tensor, targets: torch.Tensor, options: dict) -> torch.Tensor:
    return _gradient(asked, x, targets, options) * x


def _relus(score: torch.Tensor) -> list[Any]:
    """Find the graph nodes that act as ReLUs: modules, functions, in-place ReLUs, capped ReLUs, and clamps at 0."""
    found, seen, queue = [], set(), [score.grad_fn]
    while queue:
        node = queue.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        name = node.name()
        low = {"Hardtanh": "_saved_min_val", "Clamp": "_saved_min", "Threshold": "_saved_threshold"}
        field = next((f for n, f in low.items() if name.startswith(n)), "")
        if name.startswith("ReluBackward") or (field and getattr(node, field, None) == 0):
            found.append(node)
        queue += [n for n, _ in node.next_functions]
    return found


def guided(asked: Asked, x: torch.Tensor, targets: torch.Tensor, options: dict) -> torch.Tensor:
    """Guided backpropagation (Springenberg et al., 2015): every ReLU also drops negative gradients in the backward pass."""
    leaf = x.clone().requires_grad_()
    score = asked.of(leaf, targets).sum()
    relus = _relus(score)
    if not relus:
        raise MethodError(
            f"guided backpropagation needs ReLUs and {options['name']!r} has none; choose 'gradient x input'."
        )
    for node in relus:  # a ReLU multiplies the gradient by 0 or 1, so the order does not matter
        node.register_hook(lambda grads, _: tuple(None if g is None else g.clamp(min=0) for g in grads))
    passes.count_backward(len(x))
    return torch.autograd.grad(score, leaf)[0]


def _at_once(function: Callable[..., torch.Tensor]) -> Callable[..., Steps]:
    """Wrap an attribution that is a single call as a generator with one step."""

    def steps(asked: Asked, x: torch.Tensor, targets: torch.Tensor, options: dict) -> Steps:
        yield asked.so_far()
        with exact(x.device):
            return function(asked, x, targets, options)

    return steps


#: name -> generator that yields its progress before each call of the network, and returns the attribution.
STEPS: dict[str, Callable[..., Steps]] = {
    "gradient": _at_once(_gradient),
    "gradient x input": _at_once(_gradient_x_input),
    "integrated gradients": integrated_steps,
    "guided backprop": _at_once(guided),
    "occlusion": occlusion_steps,
}


def _without_stopping(name: str, *given: Any) -> torch.Tensor:
    return whole(STEPS[name](*given))


#: name -> the same, run to the end.
TENSOR = {name: partial(_without_stopping, name) for name in STEPS}


# -- Grad-CAM --------------------------------------------------------------------------------------------------------

_cam_paths = Kept(64)


def cam_path(model: Any, size: tuple[int, ...] | None = None) -> str:
    """Return the default layer of Grad-CAM: the deepest one that has positions and a gradient from the logits.

    For a linear head this is the map that the head reads. A transformer that classifies from its class token does not use the
    patch tokens of its last block, whose gradient is zero; the previous block is used.

    Raises
    ------
    MethodError
        When no such layer exists.
    """
    key = (getattr(model, "sha256", None), tuple(size or getattr(model, "size", None) or ()))
    return _cam_paths.once(key, lambda: _looked_for(model, size)) if key[0] else _looked_for(model, size)


def _looked_for(model: Any, size: tuple[int, ...] | None) -> str:
    head = find_head(model, size)
    return head.tap if head.exact else _reaching(model, head.tap, size)


def _reaching(model: Any, last: str, size: tuple[int, ...] | None) -> str:
    known = [t.path for t in taps(model, size)]
    stem, _, number = last.rpartition(".")
    before = f"{stem}.{int(number) - 1}" if number.isdigit() and int(number) else ""
    x = example(model, size, seed=1)
    for path in dict.fromkeys([last, before, *reversed(default_taps(model, size))]):
        if path not in known:
            continue
        logits = capture(model, x, [])[0]
        gradient = capture_with_grad(model, x, path, [int(logits.argmax())])[2]
        if gradient.abs().max() > 0:
            return path
    raise MethodError(
        f"Grad-CAM needs a layer with positions and a gradient and {getattr(model, 'name', 'this network')!r} has none; "
        "choose 'gradient x input'."
    )


def _cam(model: Any, x: torch.Tensor, targets: torch.Tensor, tap: str) -> torch.Tensor:
    """Grad-CAM (Selvaraju et al., 2017): ReLU of the channels weighted by their mean gradient; ``[N, h, w]``."""
    size = tuple(x.shape[2:])
    head = find_head(model, size)
    path = tap or cam_path(model, size)
    if head.exact and path == head.tap:  # the gradient is the head's weight: no backward pass
        activation = capture(model, x, [path])[1][path]
        weight = head.weight[targets].to(activation)
        cells = activation.flatten(2).shape[2]
        weight = weight / cells if head.kind == "gap" else weight.flatten(2).mean(2)
        return torch.einsum("nc,nchw->nhw", weight, activation).clamp(min=0)
    out = x.new_zeros(len(x), 0, 0)
    for c in targets.unique().tolist():  # one call per class with the images of that class
        own = torch.nonzero(targets == c)[:, 0]
        _, activation, gradient = capture_with_grad(model, x[own], path, [c])
        if not out.numel():
            out = x.new_zeros(len(x), *activation.shape[2:])
        weight = gradient[:, 0].flatten(2).mean(2)
        out[own] = torch.einsum("nc,nchw->nhw", weight, activation).clamp(min=0)
    return out


def grad_cam(model: Any, x: torch.Tensor, targets: torch.Tensor, tap: str) -> torch.Tensor:
    """Grad-CAM resized to the images, ``[N, 1, H, W]``."""
    small = _cam(model, x, targets, tap)
    return F.interpolate(small[:, None], size=x.shape[2:], mode="bilinear", align_corners=False)
