"""What the clusters of a record, and its steps, contribute to the network's answer; padding is told apart.

Our reading at the level of a record: a linear head is a sum over the steps of the last map, and a step belongs to the clusters
that cover it. ``docs/methods/ecg_clusters.md`` says what is exact.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import numpy as np
import torch
import xarray as xr

from xai_views.contract.ask import Ask
from xai_views.engine.clusters import ablation as ablate
from xai_views.engine.clusters import contribution
from xai_views.engine.clusters.answers import named
from xai_views.engine.clusters.codebook import Codebook
from xai_views.engine.clusters.observed import Observed
from xai_views.engine.clusters.observing import bias_of
from xai_views.errors import MethodError
from xai_views.methods.ecg_clusters.observation import clusters_key
from xai_views.methods.ecg_clusters.sequence import Sequence
from xai_views.models.heads import Head


def needs_pass(head: Head, ask: Ask) -> bool:
    """Whether taking clusters away needs the network, because its head is not linear in the last map."""
    return bool(ask.ablated) and not head.exact


def answer_key(ask: Ask) -> Hashable:
    """What the answer without some clusters depends on."""
    return ask.ablated, ask.keep, ask.fill, clusters_key(ask)


def gone(ask: Ask, k: int) -> list[int]:
    """Ids of the clusters that are taken away."""
    return [c for c in range(k) if (c in ask.ablated) != ask.keep]


def ablated(observation: Observed, ask: Ask, book: Codebook | None, found: Sequence) -> torch.Tensor:
    """The last map ``[1, C, T]`` with some clusters replaced; padding stays, and counts in no mean."""
    last = observation.last
    share = _share(last, found)[:, : found.k]
    mean = None
    if ask.fill == "data":
        mean = torch.zeros(0) if book is None else book.last_mean
        if mean.numel() != last.shape[1]:
            raise MethodError(
                "fill 'data' needs the mean of the data set, which a codebook knows once it was fitted; give one, or choose "
                "'mean'."
            )
    return ablate.ablate(last, share, gone(ask, found.k), fill=ask.fill, mean=mean)


def _share(last: torch.Tensor, found: Sequence) -> torch.Tensor:
    """Share ``[1, K + 1, *grid]`` of every cell of the last map that each cluster covers; the last one is padding."""
    return contribution.membership(found.with_padding(), tuple(last.shape[2:]), found.k + 1, last)


def parts(observation: Observed, targets: list[int], head: Head) -> torch.Tensor:
    """What each step of the last map adds to each asked logit, ``[target, T_last]``.

    Exact for a linear head; otherwise the gradient times the activation, which leaves a residual, but for SIC networks:
    with their weights frozen at the record they are linear in every map.
    """
    last = observation.last
    if head.exact:
        return head.parts(last)[0, targets]
    gradient = torch.stack([observation.gradients[c] for c in targets])
    return (gradient * last).sum(1)


def over_time(steps: torch.Tensor, cells: int) -> torch.Tensor:
    """Spread what steps ``[..., T_last]`` add evenly over the cells of the clusters that they cover: ``[..., cells]``."""
    return steps @ contribution.overlap(cells, steps.shape[-1], steps)


def answers(
    model: Any,
    observation: Observed,
    ask: Ask,
    book: Codebook | None,
    targets: list[int],
    head: Head,
    found: Sequence,
) -> xr.Dataset:
    """Logits, and what every cluster, every step and the padding add to those of ``targets``.

    Returns
    -------
    Dataset
        ``cluster_contribution``, ``padding_contribution`` and ``residual`` sum to logit - bias, as do
        ``time_contribution`` (padding included) and ``residual``.
    """
    logit = observation.logit
    steps = parts(observation, targets, head)
    fine = over_time(steps, len(found.labels))
    ids = found.with_padding()[0]
    sums = torch.zeros(len(targets), found.k + 1, dtype=fine.dtype).index_add_(1, ids, fine)
    bias = bias_of(model, head, logit)
    left = logit[targets].astype(np.float64) - bias[targets] - sums.double().sum(1).numpy()
    target = ("sample", "target")
    ds = xr.Dataset(
        {
            "logit": (("sample", "class"), logit[None]),
            "probability": (("sample", "class"), model.probability(logit)[None]),
            "bias": ("class", bias),
            "cluster_contribution": ((*target, "cluster"), _as(sums[None, :, : found.k], logit)),
            "padding_contribution": (target, _as(sums[None, :, found.k], logit)),
            "time_contribution": ((*target, "time"), _as(fine[None], logit)),
            "residual": (target, left[None].astype(logit.dtype)),
        },
        coords={
            "class": np.asarray(model.classes, str),
            "target_class": (target, np.asarray([targets])),
        },
    )
    if head.exact:
        names = named(head, observation.last, found.with_padding(), found.k + 1)
        ds = ds.assign({n: (dims, values[:, : found.k]) for n, (dims, values) in names.items()})
    if ask.ablated:
        without = _without(observation, ask, book, head, found)
        ds["ablated_logit"] = (("sample", "class"), without[None])
        ds["ablated_probability"] = (("sample", "class"), model.probability(without)[None])
    if ask.shapley:
        share = _share(observation.last, found)[:, : found.k]
        fair = ablate.latent_shapley(observation.last, share, head, "mean", targets=targets)
        ds["cluster_shapley"] = ((*target, "cluster"), _as(fair, logit))
    return ds


def _without(
    observation: Observed, ask: Ask, book: Codebook | None, head: Head, found: Sequence
) -> np.ndarray:
    if needs_pass(head, ask):
        return observation.answers[answer_key(ask)]
    return _as(head.logits(ablated(observation, ask, book, found))[0], observation.logit)


def _as(values: torch.Tensor, like: np.ndarray) -> np.ndarray:
    return values.detach().cpu().numpy().astype(like.dtype)
