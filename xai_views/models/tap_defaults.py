"""Default taps, as practitioners would choose them: ends of the last three resolutions, or blocks at thirds of the depth."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import nn
from torch.nn.modules import pooling

from xai_views.models.tensor_layout import Tap

STAGES = 3
BLOCKS = 3  # number of equal modules that count as a list of blocks
_IDLE = (nn.Identity, nn.Flatten, nn.Dropout, nn.Dropout2d)


def pools(inner: nn.Module) -> bool:
    """Return whether a module only reduces the number of positions of a map."""
    return type(inner).__module__ == pooling.__name__ or "Pool" in type(inner).__name__


def choose(module: nn.Module, found: Sequence[Tap]) -> tuple[str, ...]:
    """Return the paths of the defaults among all taps, which are given in order of execution.

    Transformers: the outermost list of equal blocks, at thirds of the depth, including the last one. Networks with
    several resolutions: the deepest tap of each of the last three, at the outermost level of modules that distinguishes
    three (``layer2`` to ``layer4`` of a ResNet, members of the list of blocks where there is one).
    """
    tokens = blocks(module, [t for t in found if t.kind == "tokens"])
    level = _level(module, [t for t in found if t.kind != "tokens"])
    if tokens and not _outside(level, tokens):
        return _ends(tokens, {})
    if not level:
        return (found[-1].path,) if found else ()
    inner = {t.path: module.get_submodule(t.path) for t in level}
    rich = [t for t in level if not (pools(inner[t.path]) or isinstance(inner[t.path], _IDLE))] or level
    worth = {t.path: 1 for t in rich if next(inner[t.path].children(), None) is not None}
    return _ends(rich, worth | {t.path: 2 for t in blocks(module, rich, BLOCKS)})


def _outside(level: Sequence[Tap], tokens: Sequence[Tap]) -> bool:
    """Return whether maps connect the stages, and tokens only the blocks within one stage."""
    return len({t.grid for t in level}) > 1 and level[-1].path.count(".") < tokens[-1].path.count(".")


def blocks(module: nn.Module, found: Sequence[Tap], least: int = 2) -> list[Tap]:
    """Return the longest group of equal modules with children under one parent; outer parents first."""
    groups: dict[tuple[str, type], list[Tap]] = {}
    for t in found:
        inner = module.get_submodule(t.path)
        if next(inner.children(), None) is not None:
            groups.setdefault((t.path.rpartition(".")[0], type(inner)), []).append(t)
    good = [(parent.count(".") + bool(parent), -len(g), g) for (parent, _), g in groups.items()]
    return min((g for g in good if -g[1] >= least), default=(0, 0, []), key=lambda g: g[:2])[2]


def _thirds(found: Sequence[Tap]) -> tuple[str, ...]:
    n = len(found)
    return tuple(found[i].path for i in sorted({max(math.ceil(n * i / 3) - 1, 0) for i in (1, 2, 3)}))


def _ends(found: Sequence[Tap], worth: dict[str, int]) -> tuple[str, ...]:
    """Return the last tap of each of the last three resolutions; blocks are preferred to modules with children, then layers."""
    if len({t.grid for t in found}) == 1:
        most = max(worth.get(t.path, 0) for t in found)
        return _thirds([t for t in found if worth.get(t.path, 0) == most])
    last: dict[tuple[int, ...], Tap] = {}
    for t in found:
        old = last.get(t.grid)
        if old is None or worth.get(t.path, 0) >= worth.get(old.path, 0):
            last[t.grid] = t
    order = {t.path: i for i, t in enumerate(found)}
    return tuple(sorted((t.path for t in last.values()), key=order.__getitem__)[-STAGES:])


def _level(module: nn.Module, found: Sequence[Tap]) -> list[Tap]:
    """Return the taps of the outermost level of modules that distinguishes most resolutions, up to three."""
    known = {t.path: t for t in found}
    order = {t.path: i for i, t in enumerate(found)}
    nodes = _opened(module, known, _children(module, ""))
    best: list[Tap] = []
    while True:
        level = sorted((known[p] for p in nodes if p in known), key=lambda t: order[t.path])
        if _told_apart(level) > _told_apart(best):
            best = level
        inside = {p: [c for c in _children(module, p) if any(_within(k, c) for k in known)] for p in nodes}
        if _told_apart(best) >= STAGES or not any(inside.values()):
            return best
        nodes = _opened(module, known, [c for p in nodes for c in (inside[p] or [p])])


def _opened(module: nn.Module, known: dict[str, Tap], nodes: list[str]) -> list[str]:
    """Replace modules without an activation of their own, such as lists, by their children."""
    out = []
    for p in nodes:
        if p in known:
            out.append(p)
        elif any(_within(k, p) for k in known):
            out += _opened(module, known, _children(module, p))
    return out


def _told_apart(level: Sequence[Tap]) -> int:
    return len({t.grid for t in level})


def _within(path: str, parent: str) -> bool:
    return path == parent or path.startswith(parent + ".")


def _children(module: nn.Module, path: str) -> list[str]:
    inner = module.get_submodule(path) if path else module
    return [f"{path}.{name}" if path else name for name, _ in inner.named_children()]
