"""Layout of the tensors inside a network: channels, positions, and tokens before the grid.

Maps are ``[N, C, h, w]`` (or ``[N, h, w, C]`` in networks that normalise the last dimension), signals ``[N, C, t]``, the
tokens of a transformer ``[N, prefix + cells, D]``. The number of tokens before the grid is read from the network, or is
the number by which tokens exceed the last map, or the only usual number that leaves a grid of the image's proportions.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from copy import copy
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from xai_views.errors import ModelError

#: Attributes in which modules state the number of tokens before the grid (timm; this package).
PREFIX_NAMES = ("num_prefix_tokens", "prefix")
#: Learned tokens that represent no patch, as named by transformers, timm, torchvision and DINO.
LEARNED_TOKENS = (
    "cls_token",
    "class_token",
    "class_embedding",
    "dist_token",
    "distillation_token",
    "reg_token",
    "register_tokens",
    "storage_tokens",
)
USUAL = (0, 1, 2, 5)  # nothing, CLS, CLS and distillation, CLS and four registers
MOST = 16  # a larger number of tokens before a grid is not accepted
_SKEW = math.log(
    1.5
)  # largest difference between the proportions of a map and of the image: few cells, no padding


@dataclass(frozen=True)
class Tap:
    """A module with spatial activations.

    Attributes
    ----------
    path : str
        Module path, or ``path@in`` for the input of the module.
    kind : str
        "map" ``[N, C, h, w]``, "tokens" ``[N, T, D]`` or "sequence" ``[N, C, t]``.
    channels : int
        C or D.
    grid : tuple of int
        Positions per axis.
    prefix : int
        Tokens before the grid.
    default : bool
        Whether it is among the defaults of its architecture.
    channels_last : bool
        Whether the network stores the map as ``[N, h, w, C]``.
    """

    path: str
    kind: str
    channels: int
    grid: tuple[int, ...]
    prefix: int = 0
    default: bool = False
    channels_last: bool = False

    @property
    def cells(self) -> int:
        """Number of positions."""
        return math.prod(self.grid)

    def spatial(self, tensor: torch.Tensor) -> torch.Tensor:
        """Return the module's tensor as ``[N, C, *grid]``: prefix tokens dropped, channels first."""
        if self.kind == "tokens":
            return tensor[:, self.prefix :].transpose(1, 2).reshape(len(tensor), self.channels, *self.grid)
        return tensor.movedim(-1, 1) if self.channels_last else tensor

    def native(self, activation: torch.Tensor, instead_of: torch.Tensor) -> torch.Tensor:
        """Return ``[N, C, *grid]`` in the module's own layout, with the prefix tokens of ``instead_of``."""
        new = activation.to(instead_of)
        if self.kind == "tokens":
            return torch.cat([instead_of[:, : self.prefix], new.flatten(2).transpose(1, 2)], 1)
        return new.movedim(1, -1) if self.channels_last else new


def first_tensor(value: Any) -> torch.Tensor | None:
    """Return the tensor in the input or output of a module: itself, or the first in a tuple, list or mapping."""
    if isinstance(value, torch.Tensor):
        return value
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, (tuple, list)):
        return next((t for t in map(first_tensor, value) if t is not None), None)
    return None


def with_first(value: Any, new: torch.Tensor) -> Any:
    """Return a copy of ``value`` with ``new`` in place of its :func:`first_tensor`."""
    if isinstance(value, torch.Tensor):
        return new
    if isinstance(value, Mapping):
        changed: Any = copy(value)
        key = next(k for k, v in value.items() if first_tensor(v) is not None)
        changed[key] = with_first(value[key], new)
        return changed
    at = next(i for i, v in enumerate(value) if first_tensor(v) is not None)
    items = [*value[:at], with_first(value[at], new), *value[at + 1 :]]
    return type(value)(*items) if hasattr(value, "_fields") else type(value)(items)


def prefix_tokens(module: nn.Module) -> int | None:
    """Return the number of tokens before the grid, from an attribute or from learned tokens; None when unknown."""
    for inner in module.modules():
        for name in PREFIX_NAMES:
            value = getattr(inner, name, None)
            if isinstance(value, int) and not isinstance(value, bool):
                return value
    learned = {}
    for path, p in module.named_parameters():
        name = path.rpartition(".")[2]
        if name in LEARNED_TOKENS:
            learned[name] = 1 if p.ndim == 1 else p.shape[-2]
    if not learned:
        return None
    registers = next(
        (
            int(c.num_register_tokens or 0)
            for c in (getattr(m, "config", None) for m in module.modules())
            if c is not None and hasattr(c, "num_register_tokens")
        ),
        0,
    )
    counted = any(name in learned for name in ("register_tokens", "reg_token", "storage_tokens"))
    return sum(learned.values()) + (0 if counted else registers)


class Reader:
    """Reads the shapes of one forward pass, in the order of the pass.

    Parameters
    ----------
    module : nn.Module
        The network.
    images, size : int, tuple of int
        Input of the pass: N and the size of an image ``(H, W)`` or signal ``(T,)``.
    """

    def __init__(self, module: nn.Module, images: int, size: tuple[int, ...]) -> None:
        self.images, self.size = images, tuple(size)  # not the module, which readers outlive
        self.prefix = prefix_tokens(module)
        self.seen_prefix: int | None = None  # derived from maps
        self.maps: dict[int, tuple[int, ...]] = {}  # channels -> grid of the last map with that many
        self.counts: set[int] = set()  # possible numbers of tokens
        self.problem: ModelError | None = None
        self.unread = 0  # number of tensors that look like tokens and have that problem
        self._normed = {
            shape[-1]
            for shape in (getattr(m, "normalized_shape", None) for m in module.modules())
            if isinstance(shape, tuple)
        }
        linear = [m for m in module.modules() if hasattr(m, "in_features") and hasattr(m, "out_features")]
        self._widths = self._normed | {n for m in linear for n in (m.in_features, m.out_features)}

    def again(self, images: int) -> Reader:
        """Return a reader for more tensors of N inputs of the same size; this one is unchanged."""
        other = copy(self)
        other.images, other.problem, other.maps, other.counts = (
            images,
            None,
            dict(self.maps),
            set(self.counts),
        )
        return other

    def read(self, path: str, tensor: torch.Tensor, inner: nn.Module | None = None) -> Tap | None:
        """Describe an activation; None when it has no positions or they are ambiguous (see ``problem``)."""
        shape = tuple(tensor.shape)
        if not tensor.is_floating_point() or not shape or shape[0] != self.images or min(shape) < 1:
            return None
        if len(self.size) == 2 and len(shape) == 4:
            return self._map(path, shape, inner)
        if len(shape) != 3:
            return None
        if len(self.size) == 2:
            if shape[2] not in self._widths:
                return None
            self.counts.add(shape[1])
            return self._tokens(path, shape)
        if self._last_is_width(shape, inner):
            return self._tokens(path, shape)
        self.maps[shape[1]] = shape[2:]
        return Tap(path, "sequence", shape[1], shape[2:])

    def _last_is_width(self, shape: tuple[int, ...], inner: nn.Module | None) -> bool:
        """Return whether ``[N, a, b]`` of a signal is tokens of width b: a module normalises or maps the last dimension."""
        if shape[2] not in self._widths or isinstance(inner, (nn.Conv1d, nn.modules.batchnorm._BatchNorm)):
            return False
        return self.maps.get(shape[1]) != shape[2:]

    def _map(self, path: str, shape: tuple[int, ...], inner: nn.Module | None) -> Tap | None:
        first, last = shape[2:], shape[1:3]
        if shape[3] in self._normed and self._skew(last) < min(self._skew(first), _SKEW):
            self.maps[shape[3]] = last
            return Tap(path, "map", shape[3], last, channels_last=True)
        if isinstance(inner, (nn.Softmax, nn.Dropout, nn.Identity, nn.LayerNorm)) and first[0] in self.counts:
            return None  # attention weights, queries or keys of the tokens
        self.maps[shape[1]] = first
        return Tap(path, "map", shape[1], first)

    def _skew(self, grid: tuple[int, ...]) -> float:
        """Return the difference between the proportions of a grid and of the image."""
        return abs(math.log(grid[0] * self.size[1] / (grid[1] * self.size[0])))

    def _tokens(self, path: str, shape: tuple[int, ...]) -> Tap | None:
        try:
            grid, prefix = self.grid(shape[1], shape[2], path)
        except ModelError as e:
            self.problem = self.problem or e
            self.unread += 1
            return None
        return Tap(path, "tokens", shape[2], grid, prefix)

    def grid(self, tokens: int, width: int, path: str) -> tuple[tuple[int, ...], int]:
        """Return grid and prefix of ``tokens`` tokens of some width.

        Raises
        ------
        ModelError
            When no grid is possible, or several are.
        """
        told = [p for p in (self.prefix, self.seen_prefix, 0) if p is not None]
        same = [self.maps[width]] if width in self.maps else []
        for grid in (*same, *reversed(self.maps.values())):
            if tokens - math.prod(grid) in told:
                self.seen_prefix = tokens - math.prod(grid) or self.seen_prefix
                return grid, tokens - math.prod(grid)
        for grid in same:
            over = tokens - math.prod(grid)
            if over < 0:
                raise ModelError(
                    f"{path!r} has {tokens} tokens for {math.prod(grid)} patches; a network that drops or merges patches "
                    "has no grid, so choose a layer before that."
                )
            if self.prefix is None and over <= min(MOST, math.prod(grid)):
                self.seen_prefix = over
                return grid, over
        return self._by_proportions(tokens, path)

    def _by_proportions(self, tokens: int, path: str) -> tuple[tuple[int, ...], int]:
        known = [p for p in (self.prefix, self.seen_prefix) if p is not None]
        for tried in [known[:1], [0]] if known else [USUAL, range(MOST + 1)]:
            found = [(g, p) for p in tried if (g := self._proportioned(tokens - p, p)) is not None]
            if len(found) == 1:
                return found[0]
            if len(found) > 1:
                break
        else:
            found = []
        what = "x".join(map(str, self.size))
        why = (
            "might have " + " or ".join(str(p) for _, p in found) + " tokens before its grid"
            if found
            else f"fits no grid after {known[0]} tokens"
            if known
            else "fits no grid"
        )
        raise ModelError(
            f"{path!r} has {tokens} tokens for an input of {what}, which {why}; set the attribute 'prefix' of your module "
            "to the number of tokens before the grid."
        )

    def _proportioned(self, cells: int, prefix: int) -> tuple[int, ...] | None:
        """Return the grid with that many cells and exactly the image's proportions, if there is one."""
        if cells < 2 or (prefix not in USUAL and prefix >= cells):
            return None
        if len(self.size) == 1:
            return (cells,) if self.prefix is not None or self.size[0] % cells == 0 else None
        height, width = self.size
        rows = math.isqrt(cells * height // width)
        if not rows or cells % rows or rows * rows * width != cells * height:
            return None
        return rows, cells // rows
