"""Taps: modules of a network whose activations have positions; finding, capturing and replacing activations.

A tap is a module path, as ``named_modules`` gives it; ``"path@in"`` is the input of that module. For a module that runs
several times in one pass, the last call counts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch

from xai_views.errors import ModelError, nearest
from xai_views.models import passes
from xai_views.models.bcos import explanation_mode
from xai_views.models.tensor_layout import Tap
from xai_views.models.tracing import IN, Scan, Take, ask, module_of, scan_of

__all__ = [
    "Tap",
    "capture",
    "capture_with_grad",
    "default_taps",
    "integrate",
    "replace",
    "replace_activation",
    "taps",
]


def taps(model: Any, size: tuple[int, ...] | None = None) -> list[Tap]:
    """Return the modules with spatial activations, in order of execution.

    Parameters
    ----------
    model : Model or nn.Module
        Any network that takes images ``[N, C, H, W]`` or signals ``[N, C, T]``.
    size : tuple of int, optional
        Size of the input; by default the model's own, or 64x64 (1024 for signals).

    Returns
    -------
    list of Tap
        With shapes found by one forward pass; those in :func:`default_taps` are marked. The result is cached by the
        model's content key (for a bare module, as long as it lives).

    Raises
    ------
    ModelError
        When the network rejects the input, or its tokens fit no grid.
    """
    return list(scan_of(model, size).taps)


def default_taps(model: Any, size: tuple[int, ...] | None = None) -> tuple[str, ...]:
    """Return paths of up to four taps, shallow to deep: stages of a ResNet, ends of resolutions of other CNNs, blocks of a ViT.

    Raises
    ------
    ModelError
        As for :func:`taps`.
    """
    return tuple(t.path for t in taps(model, size) if t.default)


def _check_exist(model: Any, paths: Sequence[str], size: tuple[int, ...]) -> None:
    module = module_of(model)
    for path in paths:
        name = path.removesuffix(IN)
        try:
            if not name:
                raise AttributeError
            module.get_submodule(name)
        except AttributeError:
            raise _no_layer(model, path, size) from None


def _no_layer(model: Any, path: str, size: tuple[int, ...]) -> ModelError:
    name = getattr(model, "name", type(model).__name__)
    known = [t.path for t in taps(model, size)]
    return ModelError(
        f"model {name!r} has no layer {path!r} with positions; the nearest layers: {nearest(path, known)}."
    )


def _tap(model: Any, scan: Scan, path: str, tensor: torch.Tensor | None, size: tuple[int, ...]) -> Tap:
    """Return the tap of a path if it is known, else read it from its tensor."""
    if tensor is None:
        raise _no_layer(model, path, size)
    found = next((t for t in scan.taps if t.path == path), None)
    if found is not None:
        return found
    reader = scan.reader.again(len(tensor))
    found = reader.read(path, tensor, module_of(model).get_submodule(path.removesuffix(IN)))
    if found is None:
        raise reader.problem or _no_layer(model, path, size)
    return found


# -- running ----------------------------------------------------------------------------------------------------


def capture(
    model: Any, x: torch.Tensor, paths: Sequence[str]
) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Run the network once and return some activations, without a graph.

    Parameters
    ----------
    model : Model or nn.Module
        The network.
    x : Tensor
        ``[N, C, *size]`` in [0, 1], as ``model.tensor`` returns it.
    paths : sequence of str
        Taps.

    Returns
    -------
    logits : Tensor
        ``[N, classes]``.
    activations : dict
        ``[N, C, *grid]`` by path; copies, so that modules working in place do not change them.

    Raises
    ------
    ModelError
        For a path that does not exist or has no positions, and for an input that the network rejects.
    """
    paths, size = list(dict.fromkeys(paths)), tuple(x.shape[2:])
    _check_exist(model, paths, size)
    kept: dict[str, torch.Tensor] = {}

    def keep(path: str) -> Take:
        return lambda t: kept.__setitem__(path, t.detach().clone())

    with torch.no_grad():
        logits, scan = ask(model, x, [(p, keep(p)) for p in paths])
    return logits, {p: _tap(model, scan, p, kept[p], size).spatial(kept[p]) for p in paths}


def capture_with_grad(
    model: Any, x: torch.Tensor, path: str, targets: Sequence[int]
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return the activation of one tap and the gradients of some logits with respect to it.

    Parameters
    ----------
    model, x
        As in :func:`capture`.
    path : str
        The tap.
    targets : sequence of int
        T classes.

    Returns
    -------
    logits : Tensor
        ``[N, classes]``.
    activation : Tensor
        ``[N, C, *grid]``.
    gradient : Tensor
        ``[N, T, C, *grid]``; one forward pass and T backward passes.

    Raises
    ------
    ModelError
        As for :func:`capture`.

    Notes
    -----
    B-cos layers are put into explanation mode: their gradient is the weight that they computed, so that gradient times
    activation sums to the logit without its bias.
    """
    module, size = module_of(model), tuple(x.shape[2:])
    _check_exist(model, [path], size)
    kept: list[torch.Tensor] = []

    def cut(t: torch.Tensor) -> torch.Tensor:
        kept[:] = [t.detach().clone().requires_grad_()]
        return kept[0].clone()  # so that modules working in place do not change the leaf

    with explanation_mode(module), torch.enable_grad():
        logits, scan = ask(model, x, [(path, cut)])
        tap = _tap(model, scan, path, kept[0].detach() if kept else None, size)
        gradients = [tap.spatial(g) for g in _gradients(logits, kept[0], targets)]
    activation = tap.spatial(kept[0].detach())
    gradient = torch.stack(gradients, 1) if gradients else activation[:, None][:, :0]
    return logits.detach(), activation, gradient


def _gradients(logits: torch.Tensor, leaf: torch.Tensor, targets: Sequence[int]) -> Iterator[torch.Tensor]:
    for i, c in enumerate(targets):
        passes.count_backward(len(leaf))
        total, more = logits[:, c].sum(), i + 1 < len(targets)
        if not total.requires_grad:  # the logits do not depend on the tap
            yield torch.zeros_like(leaf)
            continue
        g = torch.autograd.grad(total, leaf, retain_graph=more, allow_unused=True)[0]
        yield torch.zeros_like(leaf) if g is None else g


def integrate(
    model: Any,
    x: torch.Tensor,
    path: str,
    targets: Sequence[int],
    steps: int = 16,
    start: str = "mean",
    batch: int = 32,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return gradients of some logits, averaged on the straight path from a baseline activation of a tap to its own.

    A transformer normalises every token, so its gradient has almost no component along the token itself; the path from
    the mean token to the token does. Source: Sundararajan, Taly and Yan, Axiomatic Attribution for Deep Networks (ICML 2017).

    Parameters
    ----------
    model, x, path, targets
        As in :func:`capture_with_grad`.
    steps : int
        Nodes of a Gauss-Legendre rule.
    start : {"mean", "zero"}
        Start of the path: each image's mean over positions, or zero. Prefix tokens are unchanged.
    batch : int
        Number of images per pass.

    Returns
    -------
    logits : Tensor
        ``[N, classes]``.
    began : Tensor
        ``[N, T]`` logits at the start.
    way : Tensor
        ``[N, C, *grid]``: activation minus start.
    gradient : Tensor
        ``[N, T, C, *grid]``; its product with ``way`` sums to logit minus ``began``, up to the error of the rule.

    Raises
    ------
    ModelError
        As for :func:`capture`.
    """
    logits, kept = capture(model, x, [path])
    end = kept[path]
    first = torch.zeros_like(end) if start == "zero" else _mean_position(end)
    began = replace_activation(model, x, path, first)[:, list(targets)]
    way = end - first
    nodes, weights = np.polynomial.legendre.leggauss(steps)
    n = len(x)
    jobs = [(row, (1 + node) / 2, w / 2) for node, w in zip(nodes, weights, strict=True) for row in range(n)]
    gradient = end.new_zeros(n, len(targets), *end.shape[1:])
    for i in range(0, len(jobs), batch):
        rows, at, share = (list(column) for column in zip(*jobs[i : i + batch], strict=True))
        shape = (-1, *[1] * (end.ndim - 1))
        here = first[rows] + end.new_tensor(at).view(shape) * way[rows]
        slope = _slope(model, x[rows], path, here, targets)
        gradient.index_add_(
            0, torch.tensor(rows, device=end.device), slope * end.new_tensor(share).view(-1, 1, *shape[1:])
        )
    return logits, began, way, gradient


def _mean_position(a: torch.Tensor) -> torch.Tensor:
    return a.mean(tuple(range(2, a.ndim)), keepdim=True).expand_as(a).contiguous()


def _slope(
    model: Any, x: torch.Tensor, path: str, activation: torch.Tensor, targets: Sequence[int]
) -> torch.Tensor:
    """Return the gradient ``[N, T, C, *grid]`` of logits at that activation of the tap."""
    leaf = activation.detach().requires_grad_()
    with explanation_mode(module_of(model)), torch.enable_grad():
        logits = _replaced(model, x, path, leaf)
        return torch.stack(list(_gradients(logits, leaf, targets)), 1)


def replace_activation(model: Any, x: torch.Tensor, path: str, activation: torch.Tensor) -> torch.Tensor:
    """Return the logits with the activation of a tap replaced.

    Parameters
    ----------
    model, x, path
        As in :func:`capture_with_grad`.
    activation : Tensor
        ``[N, C, *grid]``; prefix tokens are unchanged.

    Returns
    -------
    Tensor
        ``[N, classes]``, without a graph; one forward pass.

    Raises
    ------
    ModelError
        As for :func:`capture`, and when the activation differs in shape from the tap.
    """
    with torch.no_grad():
        return _replaced(model, x, path, activation)


def _replaced(model: Any, x: torch.Tensor, path: str, activation: torch.Tensor) -> torch.Tensor:
    """Return the logits with another activation, in the caller's grad mode."""
    size = tuple(x.shape[2:])
    _check_exist(model, [path], size)
    scan = scan_of(model, size)  # the number of calls of the module must be known first
    module_path = path.removesuffix(IN)
    turn = 0

    def put(t: torch.Tensor) -> torch.Tensor | None:
        nonlocal turn
        turn += 1
        if turn < scan.calls[module_path]:
            return None
        tap = _tap(model, scan, path, t.detach(), size)
        want = (len(t), tap.channels, *tap.grid)
        if tuple(activation.shape) != want:
            raise ModelError(
                f"layer {path!r} has activations of shape {list(want)} and got {list(activation.shape)}; give the same shape."
            )
        return tap.native(activation, t)

    logits, _ = ask(model, x, [(path, put)])
    if not turn:
        raise _no_layer(model, path, size)
    return logits


replace = replace_activation
