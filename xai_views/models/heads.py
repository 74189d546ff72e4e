"""The linear layer at the end of a network and the map that it reads: found in one pass, and checked by numbers.

Where a linear layer reads the mean of the last map (or all of it), each position's share in a logit is exact.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from .taps import IN, _asked_size, _first, _hooked, _pools, default_taps, example, forward, module_of

TOLERANCE = 1e-4


@dataclass(frozen=True, eq=False)
class Head:
    """How logits follow from the last map.

    Attributes
    ----------
    kind : {"gap", "flatten", "none"}
        ``b + W mean(a)``, ``b + W vec(a)``, or something that is not linear in a map.
    tap : str
        Path of the map a (for "none" the deepest default tap).
    weight : Tensor
        ``[Q, C]`` for "gap", ``[Q, C, *grid]`` for "flatten", empty for "none".
    bias : Tensor
        ``[Q]``.
    """

    kind: str
    tap: str
    weight: torch.Tensor
    bias: torch.Tensor

    @property
    def exact(self) -> bool:
        """Whether contributions of positions add up to the logits."""
        return self.kind != "none"

    def logits(self, activation: torch.Tensor) -> torch.Tensor:
        """Logits ``[n, Q]`` of maps ``[n, C, *grid]``."""
        if self.kind == "gap":
            return activation.flatten(2).mean(2) @ self.weight.T.to(activation) + self.bias.to(activation)
        if self.kind == "flatten":
            return activation.flatten(1) @ self.weight.flatten(1).T.to(activation) + self.bias.to(activation)
        raise ValueError("a head that is not linear has no logits of its own")

    def parts(self, activation: torch.Tensor) -> torch.Tensor:
        """Share ``[n, Q, *grid]`` of every position in each logit; sums to the logit without the bias."""
        weight = self.weight.to(activation)
        if self.kind == "gap":
            cells = activation.flatten(2).shape[2]
            return torch.einsum("qc,nc...->nq...", weight, activation) / cells
        if self.kind == "flatten":
            return torch.einsum("qc...,nc...->nq...", weight, activation)
        raise ValueError("a head that is not linear has no parts")


_known: dict[tuple, Head] = {}
_lock = threading.Lock()


def find_head(model: Any, size: tuple[int, ...] | None = None) -> Head:
    """The head of a network, verified on two random images.

    Parameters
    ----------
    model : Model or nn.Module
        The network.
    size : tuple of int, optional
        Size of the input.

    Raises
    ------
    ModelError
        When the network refuses the input.
    """
    key = (getattr(model, "sha256", None), _asked_size(model, size))
    with _lock:
        if key[0] is not None and key in _known:
            return _known[key]
    head = _search(model, size)
    with _lock:
        if key[0] is not None:
            _known[key] = head
    return head


def _search(model: Any, size: tuple[int, ...] | None) -> Head:
    module, x = module_of(model), example(model, size, n=2, seed=1)
    maps: dict[str, torch.Tensor] = {}
    reads: dict[str, tuple[torch.Tensor, torch.Tensor]] = {}
    handles = []

    def note(path: str, value: Any) -> None:
        tensor = _first(value)
        if tensor is not None and tensor.is_floating_point() and tensor.ndim in (3, 4):
            maps.pop(path, None)
            maps[path] = tensor.detach().clone()  # a copy: the next module may work in place

    def read(path: str, args: tuple, out: torch.Tensor) -> None:
        reads[path] = (_first(args).detach(), out.detach())

    for path, inner in module.named_modules():
        if isinstance(inner, nn.Linear):
            handles.append(
                inner.register_forward_hook(lambda _m, args, out, path=path: read(path, args, out))
            )
        elif path:
            handles.append(inner.register_forward_hook(lambda _m, _i, out, path=path: note(path, out)))
            if _pools(inner):
                handles.append(
                    inner.register_forward_pre_hook(lambda _m, args, path=path: note(path + IN, args))
                )
    with _hooked(handles), torch.no_grad():
        logits = forward(module, x)
    for path, (features, out) in reversed(reads.items()):
        if out.shape == logits.shape and torch.equal(out, logits) and features.ndim == 2:
            return _matching(module.get_submodule(path), features, maps) or _none(model, size, logits)
    return _none(model, size, logits)


def _matching(linear: nn.Linear, features: torch.Tensor, maps: dict[str, torch.Tensor]) -> Head | None:
    """The last map whose mean or flattening is what the linear layer reads."""
    bias = linear.bias if linear.bias is not None else linear.weight.new_zeros(linear.out_features)
    bias = bias.detach()
    weight = linear.weight.detach()
    for path, a in reversed(maps.items()):
        if a.flatten(2).shape[2] < 2:
            continue
        if a.shape[1] == features.shape[1] and _close(a.flatten(2).mean(2), features):
            return Head("gap", path, weight, bias)
        if a[0].numel() == features.shape[1] and _close(a.flatten(1), features):
            return Head("flatten", path, weight.reshape(-1, *a.shape[1:]), bias)
    return None


def _close(a: torch.Tensor, b: torch.Tensor) -> bool:
    scale = float(b.abs().max().clamp_min(1e-12))
    return float((a - b).abs().max()) <= TOLERANCE * scale


def _none(model: Any, size: tuple[int, ...] | None, logits: torch.Tensor) -> Head:
    paths = default_taps(model, size)
    return Head("none", paths[-1] if paths else "", logits.new_zeros(0), logits.new_zeros(logits.shape[1]))
