"""The linear layer at the end of a network and the map that it reads, found in one pass and verified numerically.

When a linear layer reads the last map or its mean, each position's contribution to a logit is exact.
"""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from xai_views.models.tap_defaults import blocks
from xai_views.models.taps import capture, replace_activation
from xai_views.models.tensor_layout import Tap
from xai_views.models.tracing import IN, Scan, asked_size, example, module_of, scan_of

_KEPT = 64
_LAST = 40  # number of taps before the head that are searched for its map


@dataclass(frozen=True, eq=False)
class Head:
    """Rule that computes the logits from the last map.

    Attributes
    ----------
    kind : {"gap", "flatten", "none"}
        ``b + W mean(a)``, ``b + W vec(a)``, or an output that is not linear in a map.
    tap : str
        Path of the map a. For "none", where gradients should be taken: the deepest default tap, or the
        input of the first block of a transformer.
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
        """Return logits ``[n, Q]`` of maps ``[n, C, *grid]``.

        Raises
        ------
        ValueError
            For the kind "none".
        """
        weight, bias = self.weight.to(activation), self.bias.to(activation)
        if self.kind == "gap":
            return activation.flatten(2).mean(2) @ weight.T + bias
        if self.kind == "flatten":
            return activation.flatten(1) @ weight.flatten(1).T + bias
        raise ValueError("a head of the kind 'none' is not linear, so it cannot compute logits from a map")

    def parts(self, activation: torch.Tensor) -> torch.Tensor:
        """Return the contribution ``[n, Q, *grid]`` of every position to each logit; sums to the logit without the bias.

        Raises
        ------
        ValueError
            For the kind "none".
        """
        weight = self.weight.to(activation)
        if self.kind == "gap":
            cells = math.prod(activation.shape[2:])
            return torch.einsum("qc,nc...->nq...", weight, activation) / cells
        if self.kind == "flatten":
            return torch.einsum("qc...,nc...->nq...", weight, activation)
        raise ValueError("a head of the kind 'none' is not linear, so it has no contributions")


_known: OrderedDict[tuple, Head] = OrderedDict()
_lock = threading.Lock()


def find_head(model: Any, size: tuple[int, ...] | None = None) -> Head:
    """Return the head of a network, verified on two random images.

    Parameters
    ----------
    model : Model or nn.Module
        The network.
    size : tuple of int, optional
        Size of the input.

    Returns
    -------
    Head
        Of kind "gap" or "flatten" when the logits of both images follow from a map and a linear layer; cached by the
        model's content key.

    Raises
    ------
    ModelError
        When the network rejects the input.
    """
    like = next((p for p in module_of(model).parameters() if p.is_floating_point()), torch.zeros(()))
    key = (getattr(model, "sha256", None), asked_size(model, size), like.dtype, like.device)
    with _lock:
        if key[0] and key in _known:
            _known.move_to_end(key)
            return _known[key]
    head = _search(model, size)
    with _lock:
        if key[0]:
            _known[key] = head
            while len(_known) > _KEPT:
                _known.popitem(last=False)
    return head


def _tolerance(dtype: torch.dtype) -> float:
    """Return the relative difference that rounding can cause between two orders of a sum."""
    return min(200 * torch.finfo(dtype).eps, 2e-2)


def _search(model: Any, size: tuple[int, ...] | None) -> Head:
    module, x = module_of(model), example(model, size, n=2, seed=1)
    scan = scan_of(model, size)
    q = scan.logits[-1]
    linear = {p: m for p, m in module.named_modules() if isinstance(m, nn.Linear) and m.out_features == q}
    widths = {m.in_features for m in linear.values()} | {q}  # q: maps with one channel per class
    wanted = [t for t in scan.taps[-_LAST:] if t.channels in widths or t.channels * t.cells in widths]
    wanted.sort(key=lambda t: _preference(t, scan), reverse=True)
    reads: dict[str, tuple[torch.Tensor, torch.Tensor]] = {}

    def read(path: str) -> Any:
        return lambda _m, args, out: (
            reads.__setitem__(path, (args[0].detach(), out.detach())) if args else None
        )

    handles = [m.register_forward_hook(read(p)) for p, m in linear.items()]
    try:
        logits, maps = capture(model, x, [t.path for t in wanted])
    finally:
        for handle in handles:
            handle.remove()
    for path, (features, out) in reversed(reads.items()):
        if features.ndim == 2 and out.shape == logits.shape and torch.equal(out, logits):
            for head in _reading(linear[path], features, maps):
                if _true(model, x, head, maps[head.tap]):
                    return head
    for path, a in maps.items():
        if a.shape[1] == q and _same(a.flatten(2).mean(2), logits):  # the last map has one channel per class
            eye = torch.eye(q, dtype=logits.dtype, device=logits.device)
            head = Head("gap", path, eye, logits.new_zeros(q))
            if _true(model, x, head, a):
                return head
    return Head("none", _entry(module, scan), logits.new_zeros(0), logits.new_zeros(logits.shape[1:]))


def _preference(tap: Tap, scan: Scan) -> tuple:
    """Sort key of equal maps: default taps first, then modules that run once, then outputs of modules, then later ones."""
    module = tap.path.removesuffix(IN)
    return tap.default, scan.calls[module] == 1, not tap.path.endswith(IN), scan.taps.index(tap)


def _reading(linear: nn.Linear, features: torch.Tensor, maps: dict[str, torch.Tensor]) -> Iterator[Head]:
    """Yield heads with that linear layer for the maps whose mean or flattening is its input."""
    weight = linear.weight.detach()
    bias = weight.new_zeros(len(weight)) if linear.bias is None else linear.bias.detach()
    for path, a in maps.items():
        if a.shape[1] == features.shape[1] and _same(a.flatten(2).mean(2), features):
            yield Head("gap", path, weight, bias)
        elif a[0].numel() == features.shape[1] and _same(a.flatten(1), features):
            yield Head("flatten", path, weight.reshape(-1, *a.shape[1:]), bias)


def _true(model: Any, x: torch.Tensor, head: Head, a: torch.Tensor) -> bool:
    """Return whether the network agrees with the head when the map is changed.

    Every activation is scaled by a random number below 1, which modules such as a second ReLU leave unchanged.
    """
    scale = torch.rand(a.shape, generator=torch.Generator().manual_seed(2)).to(a)
    other = a * scale if a.count_nonzero() else scale
    return _same(head.logits(other), replace_activation(model, x, head.tap, other))


def _same(a: torch.Tensor, b: torch.Tensor) -> bool:
    """Return whether two tensors are equal up to the order of sums."""
    scale = b.abs().max().clamp_min(torch.finfo(b.dtype).tiny)
    return bool((a - b).abs().max() <= min(200 * torch.finfo(b.dtype).eps, 2e-2) * scale)


def _entry(module: nn.Module, scan: Scan) -> str:
    """Return where to take gradients in a network without a linear head: its deepest tap, or before a transformer's blocks.

    From the first block on, a transformer's class token collects information from the patches; after the last block no
    patch is read any more, so gradients there would be zero.
    """
    deepest = next((t for t in reversed(scan.taps) if t.default), None)
    if deepest is None or deepest.kind != "tokens":
        return "" if deepest is None else deepest.path
    tokens = [t for t in scan.taps if t.kind == "tokens" and not t.path.endswith(IN)]
    first = next(iter(blocks(module, tokens)), None)
    return deepest.path if first is None else first.path + IN
