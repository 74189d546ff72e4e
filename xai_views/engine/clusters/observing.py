"""Observations of the methods on activation clusters: taps in one forward pass, gradients if the head is not linear."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from xai_views.engine.clusters.observed import PREDICTED, Observed
from xai_views.errors import MethodError
from xai_views.models.heads import Head
from xai_views.models.taps import capture, capture_with_grad


def asked_classes(logit: np.ndarray, targets: Sequence[int]) -> list[int]:
    """Resolve the explained classes: ``PREDICTED`` becomes the index of the largest logit in ``[classes]``.

    Raises
    ------
    MethodError
        When no class was given, or one that the model does not have.
    """
    n = len(logit)
    wrong = [c for c in targets if c != PREDICTED and not 0 <= c < n]
    if wrong or not targets:
        what = f"class {wrong[0]} was" if wrong else "no class was"
        raise MethodError(
            f"{what} requested and the model has the classes 0 to {n - 1}; choose one of those."
        )
    top = int(logit.argmax())
    return [top if c == PREDICTED else c for c in targets]


def bias_of(model: Any, head: Head, like: np.ndarray) -> np.ndarray:
    """Part of the logits ``[classes]`` that belongs to no position: the bias of the head, in the dtype of ``like``.

    Zero where the head is not linear, except for SIC networks, which have one scalar bias.
    """
    if head.exact:
        return head.bias.cpu().numpy().astype(like.dtype)
    return np.full_like(like, getattr(model.module, "bias", 0.0) if model.supports is not None else 0.0)


def observe_taps(
    model: Any, x: torch.Tensor, head: Head, paths: Sequence[str], known: Sequence[Observed | None]
) -> list[Observed]:
    """Run the network on the samples that lack a tap, in one call.

    Parameters
    ----------
    model : Model
        The network.
    x : Tensor
        ``[N, C, *size]`` images or signals, as ``model.tensor`` returns them.
    head : Head
        Head of the network; the map that it reads is stored too.
    paths : sequence of str
        Taps.
    known : sequence
        ``[N]`` earlier observations or None. Not modified.

    Returns
    -------
    list of Observed
        Known observations are returned as they are if they have all taps.
    """
    found = {i: old for i, old in enumerate(known) if old is not None}
    missing = [
        i for i, old in enumerate(known) if old is None or any(p not in old.activations for p in paths)
    ]
    if not missing:
        return list(found.values())
    logit, activations = capture(model, x[missing], list(dict.fromkeys([*paths, head.tap])))
    for row, i in enumerate(missing):
        own = {p: activations[p][row : row + 1].cpu().clone() for p in paths}
        found[i] = Observed(
            logit[row].cpu().numpy().copy(),
            own,
            x.shape[2:],
            activations[head.tap][row : row + 1].cpu().clone(),
            dict(found[i].gradients) if i in found else {},
            dict(found[i].answers) if i in found else {},
        )
    return [found[i] for i in range(len(known))]


def observe_gradients(
    model: Any, x: torch.Tensor, head: Head, targets: Sequence[Sequence[int]], found: Sequence[Observed]
) -> None:
    """Compute missing gradients at the last tap, with one graph for the batch.

    Parameters
    ----------
    model, x, head
        As in :func:`observe_taps`.
    targets : sequence
        ``[N]`` explained classes of each sample.
    found : sequence of Observed
        Observations to which the gradients are added.
    """
    wanted = [[c for c in row if c not in o.gradients] for o, row in zip(found, targets, strict=True)]
    classes = sorted({c for row in wanted for c in row})
    if not classes:
        return
    _, _, gradient = capture_with_grad(model, x, head.tap, classes)
    for i, observation in enumerate(found):
        for t, c in enumerate(classes):
            observation.gradients[c] = gradient[i, t].cpu().clone()
