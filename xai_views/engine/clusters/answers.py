"""Effects of an image's clusters on the logits: contributions, ablations, Shapley values, and optional extra maps."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import numpy as np
import torch
import xarray as xr

from xai_views.engine.clusters import ablation as ablate
from xai_views.engine.clusters import contribution, dff
from xai_views.engine.clusters.features import Features
from xai_views.engine.clusters.kmeans import kmeans
from xai_views.engine.clusters.labels import resize_labels
from xai_views.engine.clusters.observed import Ablation, Observed
from xai_views.engine.clusters.observing import bias_of
from xai_views.errors import MethodError
from xai_views.models.heads import Head, find_head

NAMES = 2  # number of classes that name a cluster


def needs_pass(model: Any, wanted: Ablation | None) -> bool:
    """Return whether an ablation needs a pass: always on the image, and on feature maps if the head is not linear."""
    return wanted is not None and (wanted.where == "input" or not find_head(model).exact)


#: Parameters that the ablated logits depend on.
ABLATED_BY = (
    "ablated", "keep", "fill", "where", "taps", "weights", "grid", "interp", "k", "mode", "assigner", "seed", "codebook",
)  # fmt: skip


def key(ask: Any) -> Hashable:
    """Return the key of the ablated logits of a request."""
    return tuple(ask.values[name] for name in ABLATED_BY)


def chosen(wanted: Ablation, k: int) -> list[int]:
    """Return the ids of the clusters that an ablation removes."""
    asked = {c for c in wanted.clusters if 0 <= c < k}
    return [c for c in range(k) if (c in asked) != wanted.keep]


def edited_image(image: np.ndarray, labels: torch.Tensor, wanted: Ablation) -> np.ndarray:
    """Return the image ``[H, W, C]`` with the removed clusters' pixels blurred or filled."""
    ids = resize_labels(labels.cpu(), image.shape[:2])[0]
    mask = np.isin(ids, chosen(wanted, int(labels.max()) + 1))
    return ablate.input_ablation(image[None], mask[None], wanted.fill)[0]


def ablated(last: torch.Tensor, labels: torch.Tensor, ask: Any) -> torch.Tensor:
    """Return the last feature map ``[1, C, *grid]`` with some clusters replaced."""
    wanted, k = Ablation.of(ask), int(labels.max()) + 1
    if wanted is None:
        return last
    share = contribution.membership(labels, tuple(last.shape[2:]), k, last)
    mean = None
    if wanted.fill == "data":
        mean = ask.codebook.last_mean if ask.codebook is not None else torch.zeros(0)
        if mean.numel() != last.shape[1]:
            raise MethodError(
                "fill 'data' needs the mean of the data set, which is stored in a codebook; fit a codebook, or choose 'mean'."
            )
    return ablate.ablate(last, share, chosen(wanted, k), fill=wanted.fill, mean=mean)


def answer(
    model: Any,
    observation: Observed,
    ask: Any,
    targets: list[int],
    head: Head,
    labels: torch.Tensor,
    k: int,
) -> xr.Dataset:
    """Return logits, the clusters' contributions to those of ``targets``, and the ablated logits on request."""
    logit, last = observation.logit, observation.last
    if head.exact:
        parts = contribution.cluster_contribution(last, labels, head, k)[:, targets]
    else:
        gradient = torch.stack([observation.gradients[c] for c in targets])[None]
        parts = contribution.gradient_contribution(last, gradient, labels, k)
    bias = bias_of(model, head, logit)
    phi = parts.cpu().numpy().astype(logit.dtype)
    residual = logit[targets] - bias[targets] - phi[0].sum(1, dtype=np.float64).astype(logit.dtype)
    ds = xr.Dataset(
        {
            "logit": (("sample", "class"), logit[None]),
            "probability": (("sample", "class"), model.probability(logit)[None]),
            "bias": ("class", bias),
            "cluster_contribution": (("sample", "target", "cluster"), parts),
            "residual": (("sample", "target"), residual[None]),
        },
        coords={
            "class": np.asarray(model.classes, str),
            "target_class": (("sample", "target"), np.asarray([targets])),
        },
    )
    if head.exact:
        ds = ds.assign(named(head, last, labels, k))
    if ask.ablated:
        without = _without(observation, ask, head, labels)
        ds["ablated_logit"] = (("sample", "class"), without[None])
        ds["ablated_probability"] = (("sample", "class"), model.probability(without)[None])
    if ask.shapley:
        ds["cluster_shapley"] = (("sample", "target", "cluster"), _shapley(last, labels, head, k, targets))
    return ds


def _without(observation: Observed, ask: Any, head: Head, labels: torch.Tensor) -> np.ndarray:
    if head.exact and ask.where == "latent":
        return (
            head.logits(ablated(observation.last, labels, ask))[0]
            .cpu()
            .numpy()
            .astype(observation.logit.dtype)
        )
    return observation.answers[key(ask)]


def _shapley(last: torch.Tensor, labels: torch.Tensor, head: Head, k: int, targets: list[int]) -> np.ndarray:
    share = contribution.membership(labels, tuple(last.shape[2:]), k, last)
    return ablate.latent_shapley(last, share, head, "mean")[:, targets].cpu().numpy()


def named(head: Head, last: torch.Tensor, labels: torch.Tensor, k: int) -> dict[str, Any]:
    """Classes that the head reads from each cluster's mean activation alone, with their probabilities."""
    share = contribution.membership(labels, tuple(last.shape[2:]), k, last)[0].reshape(k, -1)
    mean = share @ last[0].reshape(len(last[0]), -1).T / share.sum(1, keepdim=True).clamp_min(1e-12)
    spread = mean.reshape(k, -1, *[1] * (last.ndim - 2)).expand(k, -1, *last.shape[2:])
    probability = torch.softmax(head.logits(spread).double(), 1)
    best, at = probability.topk(min(NAMES, probability.shape[1]), 1)
    dims = ("sample", "cluster", "rank")
    return {
        "cluster_class": (dims, at.cpu().numpy()[None]),
        "cluster_class_probability": (dims, best.cpu().numpy().astype(np.float32)[None]),
    }


def extras(observation: Observed, ask: Any, features: Features) -> dict[str, Any]:
    """Compute optional maps on request: similarity, norms of activations, clusters of each layer, and the DFF peer."""
    found: dict[str, Any] = {}
    layers = ("sample", "layer", "row", "column")
    if ask.at:
        at = [
            min(int(p * g / s), g - 1)
            for p, g, s in zip(ask.at, features.grid, observation.size, strict=True)
        ]
        found["similarity"] = (
            layers,
            features.similarity(0, tuple(at)).transpose(0, 1).numpy().astype(np.float32),
        )
    if ask.norms:
        maps = [observation.activations[p].norm(dim=1, keepdim=True) for p in ask.taps]
        resized = [
            torch.nn.functional.interpolate(m, size=features.grid, mode="nearest-exact")[:, 0] for m in maps
        ]
        found["token_norm"] = (layers, torch.stack(resized, 1).numpy().astype(np.float32))
    if ask.peer:
        found.update(_peer(observation, ask))
    if ask.sweep:
        maps, sizes, explained = [], [], []
        for path in observation.activations:
            alone = Features.of([observation.activations[path]], size=observation.size)
            k = min(ask.k or 5, alone.positions)
            one = kmeans(alone, k, seed=ask.seed)
            spread = kmeans(alone, 1, restarts=1).inertia
            maps.append(resize_labels(one.labels.cpu(), observation.size)[0].astype(np.int16))
            share = one.counts.double() / one.counts.sum()
            sizes.append(float(torch.exp(-(share * share.clamp_min(1e-12).log()).sum())))
            explained.append(1 - one.inertia / spread if spread > 0 else 0.0)
        found["depth_segment"] = (("sample", "depth", "y", "x"), np.stack(maps)[None])
        found["effective_number"] = (("sample", "depth"), np.array([sizes]))
        found["explained"] = (("sample", "depth"), np.array([explained]))
        found["depth"] = ("depth", list(observation.activations))
    return found


def _peer(observation: Observed, ask: Any) -> dict[str, Any]:
    """Compare with Deep Feature Factorization on the first tap: its label map, and scores of all three methods."""
    activation = observation.activations[ask.taps[0]]
    k = min(ask.k or 5, activation[0, 0].numel())
    labels = torch.from_numpy(dff.dff(activation, k, ask.seed).labels)
    figures = dff.compare(activation, k, ask.seed, seeds=3)
    columns = ("explained", "seconds", "stability", "agreement")
    table = np.array([[row.get(c, 0.0) for c in columns] for row in figures.values()])
    return {
        "peer_segment": (("sample", "y", "x"), resize_labels(labels, observation.size).astype(np.int16)),
        "peer_figures": (("sample", "peer", "figure"), table[None]),
        "peer": ("peer", list(figures)),
    }
