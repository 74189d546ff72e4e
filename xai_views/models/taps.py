"""Taps: the modules of a network whose activations have positions, found by one forward pass.

A tap is a module path, as ``named_modules`` gives it; ``"path@in"`` is the input of that module. Maps are
``[N, C, h, w]``, signals ``[N, C, t]``; the tokens ``[N, T, D]`` of a transformer become maps once its prefix tokens
(CLS, registers) are dropped.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from ..errors import ModelError, nearest
from . import passes

IN = "@in"
#: Names under which modules say how many tokens precede the grid, apart from those that are counted below.
PREFIX_NAMES = ("num_prefix_tokens", "prefix")
_SIZE = (64, 64)  # asked when a model takes any size


@dataclass(frozen=True)
class Tap:
    """One module with spatial activations.

    Attributes
    ----------
    path : str
        Module path, or ``path@in``.
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
    """

    path: str
    kind: str
    channels: int
    grid: tuple[int, ...]
    prefix: int = 0
    default: bool = False


def module_of(model: Any) -> nn.Module:
    """The module of a Model, or the module itself."""
    return model if isinstance(model, nn.Module) else model.module


def _asked_size(model: Any, size: tuple[int, ...] | None) -> tuple[int, ...]:
    return tuple(size or getattr(model, "size", None) or _SIZE)


def example(model: Any, size: tuple[int, ...] | None = None, n: int = 1, seed: int = 0) -> torch.Tensor:
    """A random input ``[n, C, *size]`` in [0, 1] as ``model.tensor`` would give it, for looking at shapes."""
    module = module_of(model)
    like = next((p for p in module.parameters() if p.is_floating_point()), torch.zeros(()))
    shape = (n, getattr(model, "channels", 3), *_asked_size(model, size))
    x = torch.rand(shape, generator=torch.Generator().manual_seed(seed))
    return x.to(like.device, like.dtype)


def prefix_tokens(module: nn.Module) -> int | None:
    """Tokens before the grid, as far as the network says so; None when it does not."""
    config = getattr(module, "config", None)
    for inner in module.modules():
        config = config or getattr(inner, "config", None)
        for name in PREFIX_NAMES:
            value = getattr(inner, name, None)
            if isinstance(value, int) and not isinstance(value, bool):
                return value
    if config is not None and getattr(config, "patch_size", None):
        return 1 + int(getattr(config, "num_register_tokens", 0) or 0)
    return None


def _first(value: Any) -> torch.Tensor | None:
    """The tensor in what a module returns: itself, or the first of a tuple."""
    while isinstance(value, (tuple, list)) and value:
        value = value[0]
    return value if isinstance(value, torch.Tensor) else None


def _token_grid(
    tokens: int, size: tuple[int, ...], prefix: int | None, path: str
) -> tuple[tuple[int, ...], int]:
    """Grid and prefix of T tokens of an image; the grid has the aspect of the image.

    Raises
    ------
    ModelError
        When T does not fit any grid.
    """
    height, width = size[-2:]
    for p in [prefix] if prefix is not None else [0, 1, 5, 2, 3, 4, 9]:
        cells = tokens - p
        if cells < 1:
            continue
        h = round(math.sqrt(cells * height / width))
        for rows in (h, h - 1, h + 1):
            if (
                rows > 0
                and cells % rows == 0
                and abs(rows / (cells // rows) - height / width) < 0.51 / min(rows, cells // rows) + 1e-9
            ):
                return (rows, cells // rows), p
    known = f"{prefix} prefix tokens" if prefix is not None else "any usual number of prefix tokens"
    raise ModelError(
        f"{path!r} gives {tokens} tokens for an image of {height}x{width} pixels, which is no grid with {known}; set the "
        "attribute 'prefix' of your module to the number of tokens before the grid."
    )


@contextmanager
def _hooked(handles: list) -> Iterator[None]:
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def forward(module: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """Call the network, count it, and turn what it cannot take into one sentence.

    Raises
    ------
    ModelError
        When the network refuses the input, for instance an image smaller than its stride.
    """
    passes.count_forward(len(x))
    try:
        out = module(x)
    except (RuntimeError, ValueError, IndexError, AssertionError, ZeroDivisionError) as e:
        if isinstance(e, RuntimeError) and "out of memory" in str(e).lower():
            raise
        said = str(e).partition("\n")[0][:140]
        raise ModelError(
            f"{type(module).__name__} cannot take an input of shape {list(x.shape)} ({said}); give it a larger image, or one "
            "of the size that it was made for."
        ) from None
    out = getattr(out, "logits", out)
    return _first(out)


_known: dict[tuple, list[Tap]] = {}
_lock = threading.Lock()


def taps(model: Any, size: tuple[int, ...] | None = None) -> list[Tap]:
    """The modules with spatial activations, in the order in which they run.

    Parameters
    ----------
    model : Model or nn.Module
        Any network that takes images ``[N, C, H, W]`` (or signals ``[N, C, T]``).
    size : tuple of int, optional
        Size of the input; the model's own, or 64x64.

    Returns
    -------
    list of Tap
        With shapes found by one forward pass; those that :func:`default_taps` picks are marked.

    Raises
    ------
    ModelError
        When the network refuses the input.
    """
    size = _asked_size(model, size)
    key = (getattr(model, "sha256", None), size)
    with _lock:
        if key[0] is not None and key in _known:
            return list(_known[key])
    module = module_of(model)
    x = example(model, size)
    found: dict[str, Tap] = {}
    prefix = prefix_tokens(module)

    def note(path: str, value: Any) -> None:
        tensor = _first(value)
        tap = None if tensor is None else _tap(path, tensor, size, prefix)
        if tap is not None:
            found.pop(path, None)  # the last call counts, and its place in the order
            found[path] = tap

    handles = []
    for path, inner in module.named_modules():
        if path:
            handles.append(inner.register_forward_hook(lambda _m, _i, out, path=path: note(path, out)))
        if path and _pools(inner):
            handles.append(inner.register_forward_pre_hook(lambda _m, args, path=path: note(path + IN, args)))
    with _hooked(handles), torch.no_grad():
        forward(module, x)
    chosen = set(_defaults(module, list(found.values())))
    result = [replace(t, default=t.path in chosen) for t in found.values()]
    with _lock:
        if key[0] is not None:
            _known[key] = result
    return list(result)


def _pools(inner: nn.Module) -> bool:
    """Whether a module brings maps to one position, so that its input may be what a linear head reads."""
    return "Pool" in type(inner).__name__ or isinstance(inner, nn.Flatten)


def _tap(path: str, tensor: torch.Tensor, size: tuple[int, ...], prefix: int | None) -> Tap | None:
    """Describe an activation; None when it has no positions."""
    if not tensor.is_floating_point():
        return None
    if tensor.ndim == 4 and len(size) == 2 and min(tensor.shape[2:]) >= 1 and math.prod(tensor.shape[2:]) > 1:
        return Tap(path, "map", tensor.shape[1], tuple(tensor.shape[2:]))
    if tensor.ndim == 3 and len(size) == 1 and tensor.shape[2] > 1:
        return Tap(path, "sequence", tensor.shape[1], tuple(tensor.shape[2:]))
    if tensor.ndim == 3 and len(size) == 2 and tensor.shape[1] > 1 and tensor.shape[1] <= math.prod(size):
        try:
            grid, p = _token_grid(tensor.shape[1], size, prefix, path)
        except ModelError:
            return None
        return Tap(path, "tokens", tensor.shape[2], grid, p) if math.prod(grid) > 1 else None
    return None


def _defaults(module: nn.Module, found: list[Tap]) -> tuple[str, ...]:
    """Two to four taps, shallow to deep, as people of the field would choose them."""
    plain = [t for t in found if not t.path.endswith(IN)]
    by_path = {t.path: t for t in plain}
    stages = [p for p in ("layer2", "layer3", "layer4") if p in by_path]
    if len(stages) == 3:  # a ResNet
        return tuple(stages)
    tokens = [t for t in plain if t.kind == "tokens"]
    if tokens:
        return _token_defaults(module, tokens)
    repeated = _repeated(plain)
    pool = repeated if len({t.grid for t in repeated}) >= 2 else plain
    last = {t.grid: t.path for t in pool}  # the deepest map of each resolution
    return tuple(sorted(last.values(), key=[t.path for t in plain].index)[-3:])


def _repeated(found: list[Tap]) -> list[Tap]:
    """The members of the longest numbered list of modules, such as ``_blocks.0`` to ``_blocks.15``; [] when there is none."""
    lists: dict[str, list[Tap]] = {}
    for t in found:
        stem, _, number = t.path.rpartition(".")
        if number.isdigit():
            lists.setdefault(stem, []).append(t)
    # Members of the outermost list: a block is worth more than the layers inside it.
    best = sorted(lists.items(), key=lambda item: (item[0].count("."), -len(item[1])))
    return best[0][1] if best and len(best[0][1]) >= 3 else []


def _token_defaults(module: nn.Module, tokens: list[Tap]) -> tuple[str, ...]:
    """Blocks at thirds of the depth, the last one included."""
    lists: dict[str, list[str]] = {}
    for t in tokens:
        stem, _, number = t.path.rpartition(".")
        if number.isdigit() and not isinstance(
            module.get_submodule(t.path), (nn.Linear, nn.LayerNorm, nn.Dropout)
        ):
            lists.setdefault(stem, []).append(t.path)
    blocks = max(lists.values(), key=len, default=[])
    if len(blocks) < 2:
        return (tokens[-1].path,)
    n = len(blocks)
    picked = sorted({math.ceil(n * i / 3) - 1 for i in (1, 2, 3)} - {-1})
    return tuple(blocks[i] for i in picked)


def default_taps(model: Any, size: tuple[int, ...] | None = None) -> tuple[str, ...]:
    """Paths of two to four taps, shallow to deep: stages of a ResNet, ends of resolutions of other CNNs, blocks of a ViT.

    Raises
    ------
    ModelError
        When the network refuses the input.
    """
    return tuple(t.path for t in taps(model, size) if t.default)


def _checked(model: Any, paths: Sequence[str], size: tuple[int, ...]) -> dict[str, Tap]:
    known = {t.path: t for t in taps(model, size)}
    for path in paths:
        if path not in known and not path.endswith(IN):
            name = getattr(model, "name", type(model).__name__)
            raise ModelError(
                f"model {name!r} has no layer {path!r} with positions; the nearest: {nearest(path, known)}."
            )
    return known


def _attach(module: nn.Module, path: str, take: Callable[[torch.Tensor], Any]) -> Any:
    """Hook a path; ``take`` may return a tensor that replaces what was there."""
    if path.endswith(IN):
        inner = module.get_submodule(path.removesuffix(IN))

        def before(_m: nn.Module, args: tuple) -> tuple | None:
            new = take(_first(args))
            return None if new is None else (new, *args[1:])

        return inner.register_forward_pre_hook(before)

    def after(_m: nn.Module, _i: tuple, out: Any) -> Any:
        new = take(_first(out))
        if new is None:
            return None
        return (new, *out[1:]) if isinstance(out, tuple) else new

    return module.get_submodule(path).register_forward_hook(after)


def _spatial(tensor: torch.Tensor, tap: Tap) -> torch.Tensor:
    """Activations as ``[N, C, *grid]``: prefix tokens dropped."""
    if tap.kind != "tokens":
        return tensor
    return tensor[:, tap.prefix :].transpose(1, 2).reshape(len(tensor), tap.channels, *tap.grid)


def capture(
    model: Any, x: torch.Tensor, paths: Sequence[str]
) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Ask the network once and keep some activations; no graph.

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
        ``[N, C, *grid]`` by path.

    Raises
    ------
    ModelError
        For an unknown path, or an input that the network refuses.
    """
    module, known = module_of(model), _checked(model, paths, tuple(x.shape[2:]))
    kept: dict[str, torch.Tensor] = {}
    handles = [
        _attach(module, p, lambda t, p=p: kept.__setitem__(p, t.detach())) for p in dict.fromkeys(paths)
    ]
    with _hooked(handles), torch.no_grad():
        logits = forward(module, x)
    return logits, {p: _spatial(kept[p], known[p]) for p in paths}


def capture_with_grad(
    model: Any, x: torch.Tensor, path: str, targets: Sequence[int]
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Activation of one tap and the gradient of some logits with respect to it.

    Returns
    -------
    logits : Tensor
        ``[N, classes]``.
    activation : Tensor
        ``[N, C, *grid]``.
    gradient : Tensor
        ``[N, T, C, *grid]`` for the T targets; one forward pass and T backward passes.
    """
    module, known = module_of(model), _checked(model, [path], tuple(x.shape[2:]))
    kept: list[torch.Tensor] = []

    def cut(t: torch.Tensor) -> torch.Tensor:
        leaf = t.detach().requires_grad_()
        kept[:] = [leaf]
        return leaf.clone()  # so that a module working in place leaves the leaf alone

    with _hooked([_attach(module, path, cut)]), torch.enable_grad():
        logits = forward(module, x)
        gradients = []
        for i, c in enumerate(targets):
            passes.count_backward(len(x))
            g = torch.autograd.grad(
                logits[:, c].sum(), kept[0], retain_graph=i + 1 < len(targets), allow_unused=True
            )[0]
            gradients.append(_spatial(torch.zeros_like(kept[0]) if g is None else g, known[path]))
    return logits.detach(), _spatial(kept[0].detach(), known[path]), torch.stack(gradients, 1)


def replace_activation(model: Any, x: torch.Tensor, path: str, activation: torch.Tensor) -> torch.Tensor:
    """Logits ``[N, classes]`` with a tap's activation ``[N, C, *grid]`` put in place of its own; prefix tokens stay."""
    module, known = module_of(model), _checked(model, [path], tuple(x.shape[2:]))

    def put(t: torch.Tensor) -> torch.Tensor:
        tap = known[path]
        if tap.kind != "tokens":
            return activation.to(t)
        return torch.cat([t[:, : tap.prefix], activation.flatten(2).transpose(1, 2).to(t)], 1)

    with _hooked([_attach(module, path, put)]), torch.no_grad():
        return forward(module, x)
