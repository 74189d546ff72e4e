"""What :mod:`xai_views.engine.attribution.maps` computes on tensors: gradients, occlusion, Grad-CAM."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from xai_views.errors import MethodError
from xai_views.models import passes
from xai_views.models.heads import find_head
from xai_views.models.taps import capture, capture_with_grad, default_taps, taps
from xai_views.models.tracing import example, forward, module_of

Progress = Callable[[int, int], None]


#: Pixels that go through a network together, on the CPU and on other devices.
AT_ONCE = (210_000, 1_680_000)


def comfortable(device: torch.device | str, shape: tuple[int, ...]) -> int:
    """How many images ``[H, W]`` to put into one call: from 1 to 64 on the CPU, to 256 elsewhere.

    On the CPU more is slower: with EfficientNet-Lite0 at 224x224 an image costs 25 ms in calls of 4 and 70 ms in calls of
    32, because activations no longer fit into caches and are mapped anew in each call.
    """
    cpu = torch.device(device).type == "cpu"
    return min(max(AT_ONCE[not cpu] // (shape[0] * shape[1]), 1), 64 if cpu else 256)


class Asked:
    """The network as captum calls it: counted, with errors in one sentence, and with a say in going on."""

    def __init__(self, model: Any, total: int, progress: Progress | None) -> None:
        self.module, self.total, self.done, self.progress = module_of(model), total, 0, progress

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """Logits of ``x``."""
        if self.progress is not None:
            self.progress(self.done, self.total)
        self.done += len(x)
        return forward(self.module, x)


@contextmanager
def exact(device: torch.device) -> Iterator[None]:
    """Graphs whatever the caller is in the middle of; no rounding by autocast."""
    with torch.inference_mode(False), torch.enable_grad(), torch.autocast(device.type, enabled=False):
        yield


def _counted(gradient: Callable) -> Callable:
    """A gradient function of captum that also counts."""

    def counted(*args: Any, **options: Any) -> Any:
        inputs = options["inputs"] if "inputs" in options else args[1]
        passes.count_backward(len(inputs[0]))
        return gradient(*args, **options)

    return counted


# -- methods on tensors: (asked, x [N, C, H, W], targets [N], options) -> [N, C, H, W] -------------------------------


def _gradient(asked: Asked, x: torch.Tensor, targets: torch.Tensor, _: dict) -> torch.Tensor:
    from captum.attr import Saliency

    method = Saliency(asked)
    method.gradient_func = _counted(method.gradient_func)
    return method.attribute(x.clone().requires_grad_(), target=targets, abs=False)


def _gradient_x_input(asked: Asked, x: torch.Tensor, targets: torch.Tensor, options: dict) -> torch.Tensor:
    return _gradient(asked, x, targets, options) * x


def _integrated(asked: Asked, x: torch.Tensor, targets: torch.Tensor, options: dict) -> torch.Tensor:
    from captum.attr import IntegratedGradients

    method = IntegratedGradients(asked)
    method.gradient_func = _counted(method.gradient_func)
    return method.attribute(
        x.clone().requires_grad_(),
        baselines=options["baseline"],
        target=targets,
        n_steps=options["steps"],
        internal_batch_size=max(options["batch"], len(x)),
    ).to(x)


def _relus(score: torch.Tensor) -> list[Any]:
    """Nodes of the graph that are ReLUs, whatever made them: modules, functions, in place, capped, clamps at 0."""
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
    """Guided backpropagation (Springenberg et al., 2015): every ReLU also drops negative gradients on their way back."""
    leaf = x.clone().requires_grad_()
    score = asked(leaf).gather(1, targets[:, None]).sum()
    relus = _relus(score)
    if not relus:
        raise MethodError(
            f"guided backpropagation needs ReLUs and {options['name']!r} has none; choose 'gradient x input'."
        )
    for (
        node
    ) in relus:  # a ReLU's own gradient is the incoming one times 0 or 1, so that the order does not matter
        node.register_hook(lambda grads, _: tuple(None if g is None else g.clamp(min=0) for g in grads))
    passes.count_backward(len(x))
    return torch.autograd.grad(score, leaf)[0]


def _window(options: dict, shape: tuple[int, ...]) -> tuple[tuple[int, int], tuple[int, int]]:
    window = tuple(options["window"] or (-(-side // 8) for side in shape))
    stride = tuple(options["stride"] or (-(-side // 2) for side in window))
    if any(not 1 <= t <= w <= side for t, w, side in zip(stride, window, shape, strict=True)):
        raise MethodError(
            f"occlusion of {shape[0]}x{shape[1]} pixels got windows of {list(window)} and strides of {list(stride)}; windows "
            "have to fit into the image and strides into windows."
        )
    return window, stride


def _occlusion(asked: Asked, x: torch.Tensor, targets: torch.Tensor, options: dict) -> torch.Tensor:
    from captum.attr import Occlusion

    window, stride = _window(options, tuple(x.shape[2:]))
    windows = np.prod(
        [-(-max(s - w, 0) // t) + 1 for s, w, t in zip(x.shape[2:], window, stride, strict=True)]
    )
    asked.total = asked.done + len(x) * (1 + int(windows))
    with torch.no_grad():
        found = Occlusion(asked).attribute(
            x,
            sliding_window_shapes=(x.shape[1], *window),
            strides=(x.shape[1], *stride),
            baselines=options["baseline"],
            target=targets,
            perturbations_per_eval=max(1, options["batch"] // len(x)),
        )
    return found[:, :1]  # all channels go together: their common figure must not be counted once per channel


TENSOR = {
    "gradient": _gradient,
    "gradient x input": _gradient_x_input,
    "integrated gradients": _integrated,
    "guided backprop": guided,
    "occlusion": _occlusion,
}


# -- Grad-CAM --------------------------------------------------------------------------------------------------------

_cam_paths: dict[tuple, str] = {}
_lock = threading.Lock()


def cam_path(model: Any, size: tuple[int, ...] | None = None) -> str:
    """The deepest layer whose map both has positions and reaches the logits: where Grad-CAM looks.

    That is the map that a linear head reads. A transformer that answers from its class token reads no patch token of its
    last block, so that there the gradient is zero everywhere; the block before it is taken.

    Raises
    ------
    MethodError
        When there is none.
    """
    key = (getattr(model, "sha256", None), tuple(size or getattr(model, "size", None) or ()))
    with _lock:
        if key[0] is not None and key in _cam_paths:
            return _cam_paths[key]
    head = find_head(model, size)
    path = head.tap if head.exact else _reaching(model, head.tap, size)
    with _lock:
        if key[0] is not None:
            _cam_paths[key] = path
    return path


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
        f"Grad-CAM finds no layer with positions that reaches the logits of {getattr(model, 'name', 'this network')!r}; "
        "choose 'gradient x input'."
    )


def _cam(model: Any, x: torch.Tensor, targets: torch.Tensor, tap: str) -> torch.Tensor:
    """Grad-CAM (Selvaraju et al., 2017): ReLU of the map, channels weighted by their mean gradient; ``[N, h, w]``."""
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
    for c in targets.unique().tolist():  # one call per class, each image in one of them
        own = torch.nonzero(targets == c)[:, 0]
        _, activation, gradient = capture_with_grad(model, x[own], path, [c])
        if not out.numel():
            out = x.new_zeros(len(x), *activation.shape[2:])
        weight = gradient[:, 0].flatten(2).mean(2)
        out[own] = torch.einsum("nc,nchw->nhw", weight, activation).clamp(min=0)
    return out


def grad_cam(model: Any, x: torch.Tensor, targets: torch.Tensor, tap: str) -> torch.Tensor:
    """Grad-CAM brought to the size of the images, ``[N, 1, H, W]``."""
    small = _cam(model, x, targets, tap)
    return F.interpolate(small[:, None], size=x.shape[2:], mode="bilinear", align_corners=False)
