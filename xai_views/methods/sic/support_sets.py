"""Support sets: the model's original supports, or others selected by a request.

Other sets are selected from the cached evidence vectors of the training samples, which needs no pass of the network.
A set depends on the request and the model only.
"""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

import numpy as np
import xarray as xr

from xai_views.contract.ask import Ask
from xai_views.errors import MethodError, XaiViewsError
from xai_views.models.supports import RULES as CHOOSING
from xai_views.models.supports import Latents, Supports, select

#: Selection rules; "model" keeps the original supports, and selects another number of them by k-means, as in training.
RULES = ("model", *CHOOSING)
#: Parameter values that leave the original supports unchanged.
UNCHANGED: dict[str, Any] = {"per_class": 0, "rule": "model", "excluded": [], "added": []}

#: Leads, rate and size to which signal records are converted; () for images.
Preparation = tuple[tuple[str, ...], float | None, tuple[int, ...]] | tuple[()]


def support_set(model: Any, ask: Ask) -> Supports:
    """Return the support set of a request; no pass of the network.

    Parameters
    ----------
    model : Model
        A SIC network with supports.
    ask : Ask
        With ``per_class``, ``rule``, ``excluded`` and ``added``.

    Returns
    -------
    Supports
        Ordered by class. Own contribution maps that are not in the checkpoint are NaN; the method computes them on
        observation. Where the training samples are not available, other supports have grey images and zero maps.

    Raises
    ------
    MethodError
        When the model has no cached vectors of its training samples to select from, or a sample or class to add does not
        exist.
    """
    added = check_supports(model, ask)
    excluded = frozenset(ask.excluded)
    if (ask.per_class, ask.rule, excluded, added) == (0, "model", frozenset(), ()):
        return model.supports
    return _made(
        model.supports, model.latents, _preparation(model), model.module.classes, ask.per_class, ask.rule, excluded, added
    )  # fmt: skip


def check_supports(model: Any, ask: Ask) -> tuple[tuple[int, int], ...]:
    """Check that the supports of a request can be selected, without selecting them; return the added ones.

    Raises
    ------
    MethodError
        As :func:`support_set`.
    """
    added = tuple(dict.fromkeys(map(_pair, ask.added)))
    if model.latents is None and (added or ask.per_class or ask.rule != "model"):
        raise MethodError(
            f"model {model.name!r} has no cached training vectors to select supports from; only exclude supports."
        )
    for position, label in added:
        _exists(model, position, label)
    return added


def _pair(value: Any) -> tuple[int, int]:
    try:
        position, label = value
        return int(position), int(label)
    except (TypeError, ValueError):
        raise MethodError(
            f"{value!r} cannot be added to the supports; give pairs [training position, class]."
        ) from None


def _exists(model: Any, position: int, label: int) -> None:
    classes = model.module.classes
    if not 0 <= label < classes:
        raise MethodError(
            f"class {label} was given for a support and {model.name!r} has the classes 0 to {classes - 1}; choose one of those."
        )
    if position not in model.latents.index:
        raise MethodError(
            f"training position {position} was given as a support and {model.name!r} has no cached vector of it; choose one of "
            f"the {len(model.latents.index)} positions in its latents."
        )


@lru_cache(maxsize=8)
def _made(
    own: Supports,
    latents: Latents | None,
    preparation: Preparation,
    classes: int,
    per_class: int,
    rule: str,
    excluded: frozenset[int],
    added: tuple[tuple[int, int], ...],
) -> Supports:
    if rule == "model" and not per_class:
        chosen = own.take(~np.isin(own.index, list(excluded)))
    else:
        number = per_class or int(np.bincount(own.label).max(initial=1))
        by = "k-means" if rule == "model" else rule
        assert latents is not None  # check_supports allows only the rule "model" without latents
        rows, label = _selected(latents, number, classes, by, excluded)
        chosen = _assembled(own, latents, preparation, rows, label)
    there = set(zip(chosen.index.tolist(), chosen.label.tolist(), strict=True))
    pairs = [pair for pair in added if pair not in there]
    if not pairs or latents is None:
        return chosen
    row_of = {int(p): r for r, p in enumerate(latents.index)}
    rows, label = np.array([row_of[p] for p, _ in pairs]), np.array([c for _, c in pairs])
    return _joined(chosen, _assembled(own, latents, preparation, rows, label))


@lru_cache(maxsize=64)
def _selected(
    latents: Latents, number: int, classes: int, rule: str, excluded: frozenset[int]
) -> tuple[np.ndarray, np.ndarray]:
    return select(latents, number, classes, rule, exclude=excluded)


def _assembled(
    own: Supports, latents: Latents, preparation: Preparation, rows: np.ndarray, label: np.ndarray
) -> Supports:
    """Build supports from rows of the cached vectors; images and maps come from the checkpoint where it has them."""
    index = latents.index[rows]
    known = {
        int(p): r for r, p in enumerate(own.index)
    }  # an image and its own map do not depend on the class
    have = np.array([known.get(int(p), -1) for p in index], int)
    image = np.zeros((len(rows), *own.image.shape[1:]), own.image.dtype)
    maps = np.zeros((len(rows), *own.self_contribution.shape[1:]), own.self_contribution.dtype)
    image[have >= 0], maps[have >= 0] = own.image[have[have >= 0]], own.self_contribution[have[have >= 0]]
    if (have < 0).any():
        read = _read(latents.samples, index[have < 0].tolist(), preparation, own.image.shape[1:])
        image[have < 0] = _grey(own) if read is None else read
        maps[have < 0] = 0 if read is None else np.nan
    return Supports(latents.z[rows], np.asarray(label, np.int64), index, image, maps)


def _joined(a: Supports, b: Supports) -> Supports:
    """Return the union of both sets, ordered by class."""
    names = ("vectors", "label", "index", "image", "self_contribution")
    both = replace(a, **{n: np.concatenate([getattr(a, n), getattr(b, n)]) for n in names})
    return both.take(np.argsort(both.label, kind="stable"))


# -- training samples ---------------------------------------------------------------------------------------------


def training_inputs(model: Any, positions: Sequence[int]) -> np.ndarray | None:
    """Return images or signals of training samples, in the format of the supports.

    Parameters
    ----------
    model : Model
        A SIC network with cached vectors of its training samples.
    positions : sequence of int
        Positions in the training set.

    Returns
    -------
    ndarray or None
        ``[n, H, W, C]`` uint8, or ``[n, lead, time]`` float32 in mV; None where the training samples are not available.
    """
    shape = model.supports.image.shape[1:]
    return _read(model.latents.samples, list(positions), _preparation(model), shape)


def _preparation(model: Any) -> Preparation:
    return (tuple(model.leads), model.rate, tuple(model.size)) if model.kind == "signal" else ()


def _grey(own: Supports) -> int:
    return 128 if own.image.dtype == np.uint8 else 0


def _read(
    samples: str, positions: Sequence[int], preparation: Preparation, shape: tuple[int, ...]
) -> np.ndarray | None:
    try:
        read = [_read_one(samples, int(p), preparation) for p in positions]
    except XaiViewsError:
        return None
    if any(r.shape != shape for r in read):
        return None
    return np.stack(read) if read else np.zeros((0, *shape))


@lru_cache(maxsize=4)
def _opened(samples: str) -> xr.Dataset:
    from xai_views.samples import open_samples

    return open_samples(samples)


@lru_cache(maxsize=512)
def _read_one(samples: str, position: int, preparation: Preparation) -> np.ndarray:
    from xai_views.samples import inputs
    from xai_views.samples.prepare import prepare

    one = _opened(samples).isel(sample=[position])
    if preparation:  # checkpoints store records as float16, and evidence vectors were computed from those
        leads, rate, size = preparation
        return inputs(prepare(one, leads, rate, size[0]), [0])[0].astype(np.float16).astype(np.float32)
    image = inputs(one, [0])[0]
    return image if image.dtype == np.uint8 else np.rint(image * 255).astype(np.uint8)


# -- own contribution maps ----------------------------------------------------------------------------------------


def own_map(model: Any, position: int, given: np.ndarray) -> np.ndarray:
    """Compute the contribution map of a training sample to the norm of its own evidence vector; 1 forward, 1 backward pass.

    Each map is computed alone, so that it does not depend on the batch.

    Parameters
    ----------
    model : Model
        A SIC network.
    position : int
        Position in the training set, under which the latest maps are cached.
    given : ndarray
        ``[H, W, C]`` or ``[lead, time]``: the training sample.

    Returns
    -------
    ndarray
        ``[H, W]`` or ``[lead, time]`` float32, read-only.
    """
    return _own_map(weakref.ref(model), model.sha256, _Given(position, given))


@dataclass(frozen=True)
class _Given:
    """A training sample, identified by its position."""

    position: int
    given: np.ndarray = field(compare=False)


@lru_cache(maxsize=512)
def _own_map(model: Any, sha256: str, sample: _Given) -> np.ndarray:  # noqa: ARG001 - the sha256 is a key
    from xai_views.engine.attribution.bcos import self_contributions  # loads torch

    (found,) = self_contributions(model().module, sample.given[None])
    found.flags.writeable = False
    return found
