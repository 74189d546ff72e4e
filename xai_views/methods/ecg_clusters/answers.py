"""Contributions of clusters and time steps of a record to the logits; padding is reported separately.

A linear head is a sum over the steps of the last feature map, and a step belongs to the clusters that cover it; for
records this is our extension. ``docs/methods/ecg_clusters.md`` states what is exact.
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
    """Return whether removing clusters needs a pass, because the head is not linear in the last feature map."""
    return bool(ask.ablated) and not head.exact


def answer_key(ask: Ask) -> Hashable:
    """Return the key of the logits with some clusters removed."""
    return ask.ablated, ask.keep, ask.fill, clusters_key(ask)


def gone(ask: Ask, k: int) -> list[int]:
    """Return the ids of the clusters to remove."""
    return [c for c in range(k) if (c in ask.ablated) != ask.keep]


def ablated(observation: Observed, ask: Ask, book: Codebook | None, found: Sequence) -> torch.Tensor:
    """Return the last feature map ``[1, C, T]`` with some clusters replaced; padding stays and counts in no mean."""
    last = observation.last
    share = _share(last, found)[:, : found.k]
    mean = None
    if ask.fill == "data":
        mean = torch.zeros(0) if book is None else book.last_mean
        if mean.numel() != last.shape[1]:
            raise MethodError(
                "fill 'data' needs the mean of the data set, which is stored in a fitted codebook; give a codebook, or choose "
                "'mean'."
            )
    return ablate.ablate(last, share, gone(ask, found.k), fill=ask.fill, mean=mean)


def _share(last: torch.Tensor, found: Sequence) -> torch.Tensor:
    """Share ``[1, K + 1, *grid]`` of every cell of the last map that each cluster covers; the last entry is padding."""
    return contribution.membership(found.with_padding(), tuple(last.shape[2:]), found.k + 1, last)


def parts(observation: Observed, targets: list[int], head: Head) -> torch.Tensor:
    """Contribution ``[target, T_last]`` of each step of the last feature map to each explained logit.

    Exact for a linear head; otherwise gradient times activation, which leaves a residual. For SIC networks it is exact too:
    with the weights they compute for the record they are linear in every map.
    """
    last = observation.last
    if head.exact:
        return head.parts(last)[0, targets]
    gradient = torch.stack([observation.gradients[c] for c in targets])
    return (gradient * last).sum(1)


def over_time(steps: torch.Tensor, cells: int) -> torch.Tensor:
    """Spread contributions ``[..., T_last]`` of steps evenly over the cluster cells that they cover: ``[..., cells]``."""
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
    """Return logits, and the contribution of every cluster, every step and the padding to the logits of ``targets``.

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
