"""Method ``nave``: clusters of a network's activations, their composition, and their contributions to a logit.

Source: Boubekki, Fadel and Mair, Neuro-Activated Vision Explanations (arXiv 2411.19700). Merge tree, soft assignments,
contributions and ablations are our extensions; ``docs/methods/nave.md`` lists each choice.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import param
import torch
import xarray as xr

from xai_views.contract.ask import Ask
from xai_views.contract.content import Content
from xai_views.contract.method import PREDICTED, Method
from xai_views.engine.clusters import answers, kmeans, pca, soft, tree
from xai_views.engine.clusters.assigners import cluster
from xai_views.engine.clusters.features import Features
from xai_views.engine.clusters.labels import resize_labels
from xai_views.engine.clusters.observed import FINE_TOLERANCE, LEAVES, SMALL_GRID, Ablation, Observed
from xai_views.engine.clusters.observing import asked_classes, observe_gradients, observe_taps
from xai_views.engine.clusters.weights import Weights
from xai_views.errors import MethodError, ModelError
from xai_views.models.heads import Head, find_head
from xai_views.models.taps import capture, default_taps, replace_activation

MODES = ("nested", "exact", "codebook")
GRIDS = ("shallowest", "input", "double")
INTERPOLATIONS = ("bicubic", "bilinear", "nearest")
ASSIGNERS = ("k-means", "pca", "agglomerative", "clustering module")
SOFT = ("tempered", "gmm", "fuzzy")
WHERE = ("latent", "input")
FILLS = ("mean", "zero", "data", "blur")


class NaveMethod(Method):
    """Clusters of activations: image regions that the network represents alike."""

    key: ClassVar[str] = "nave"
    title: ClassVar[str] = "Activation clusters"
    question: ClassVar[str] = "why"
    preference: ClassVar[int] = 10
    cost: ClassVar[str] = (
        "1 forward pass; 1 backward pass per class if the head is not linear; changing K, weights or taps needs no pass"
    )

    taps = param.List(
        [], item_type=str, doc="Layers to cluster (module paths, shallow to deep); [] = the default layers."
    )

    k = param.Integer(5, bounds=(0, LEAVES), doc="Number of clusters K; 0 = automatic (elbow).")
    mode = param.Selector(
        default="nested",
        objects=list(MODES),
        doc="Clustering: nested cuts of one merge tree, separate k-means for each K, or a codebook shared by all samples.",
    )
    assigner = param.Selector(
        default="k-means",
        objects=list(ASSIGNERS),
        doc="Clustering algorithm; only k-means gives nested clusters.",
    )
    weights = Weights("authors", doc="Layer weights: a preset, or one number per layer.")
    grid = param.Selector(
        default="shallowest", objects=list(GRIDS), doc="Common grid to which all layers are resampled."
    )
    interp = param.Selector(
        default="bicubic", objects=list(INTERPOLATIONS), doc="Interpolation used to resample the layers."
    )
    soft = param.Selector(
        default="tempered", objects=list(SOFT), doc="Soft assignment from which the entropy is computed."
    )
    temperature = param.Number(
        0.0, bounds=(0, None), doc="Temperature of the soft assignment; 0 = mean squared distance."
    )
    seed = param.Integer(0, bounds=(0, None), doc="Random seed of k-means.")
    targets = param.List(
        [PREDICTED],
        item_type=int,
        doc="Explained classes; -1 = the predicted class.",
    )
    codebook = Content(
        kind="xai_views.engine.clusters.codebook:Codebook",
        doc="Codebook (clusters of a data set) for the mode 'codebook'; also gives the mean for the fill 'data'.",
    )
    ablated = param.List(
        [],
        item_type=int,
        doc="Clusters to remove, by id; [] = none, [-1] = run the ablation but remove nothing.",
    )
    keep = param.Boolean(False, doc="Remove all clusters except the listed ones.")
    where = param.Selector(
        default="latent",
        objects=list(WHERE),
        doc="Where clusters are removed: the last feature map, or the image.",
    )
    fill = param.Selector(
        default="mean",
        objects=list(FILLS),
        doc="Replacement: mean of the rest, zero, mean of the data set (feature map only), or blur (image only).",
    )
    shapley = param.Boolean(False, doc="Compute exact Shapley values of the clusters (at most 10).")
    at = param.List(
        [],
        item_type=int,
        bounds=(0, 2),
        doc="Position [y, x] in pixels to compare with every other position (cosine similarity); [] = none.",
    )
    sweep = param.Boolean(False, doc="Cluster each default layer on its own as well.")
    norms = param.Boolean(False, doc="Add the norm of the activations at every position of each layer.")
    peer = param.Boolean(
        False, doc="Add Deep Feature Factorization of the first layer, with scores beside k-means and PCA."
    )

    def reason(self, model: Any) -> str:
        """Return "" for a network with spatial activations, else the reason."""
        try:
            found = default_taps(model)
        except ModelError as e:
            return str(e)
        return (
            ""
            if found
            else f"method {self.key!r} needs spatial activations and {model.name!r} has none; choose another method."
        )

    def ready(self, model: Any, ask: Ask) -> Ask:
        """Fill in the default taps, so that equal requests have equal keys."""
        return ask if ask.taps else ask.replace(taps=default_taps(model))

    # -- is another pass needed? -----------------------------------------------------------------------------------------

    @staticmethod
    def classes(observation: Observed, ask: Ask) -> list[int]:
        """Return the explained classes as indices."""
        return asked_classes(observation.logit, ask.targets)

    def covers(self, model: Any, observation: Observed, ask: Ask) -> bool:
        """Return whether the observation answers the request without another pass."""
        ask = self.ready(model, ask)
        if any(path not in observation.activations for path in ask.taps):
            return False
        if not find_head(model).exact and any(
            c not in observation.gradients for c in self.classes(observation, ask)
        ):
            return False
        return not answers.needs_pass(model, Ablation.of(ask)) or answers.key(ask) in observation.answers

    # -- the network --------------------------------------------------------------------------------------------

    def observe(
        self, model: Any, inputs: np.ndarray, asks: Sequence[Ask], known: Sequence[Observed | None]
    ) -> list[Observed]:
        """Run one forward pass for all taps; gradients and ablated logits only where the head is not linear."""
        head = find_head(model)
        asks = [self.ready(model, ask) for ask in asks]
        x = model.tensor(inputs)
        paths = list(dict.fromkeys([*default_taps(model), *(p for ask in asks for p in ask.taps)]))
        found = observe_taps(model, x, head, paths, known)
        if not head.exact:
            targets = [self.classes(o, ask) for o, ask in zip(found, asks, strict=True)]
            observe_gradients(model, x, head, targets, found)
        for i, ask in enumerate(asks):
            if answers.needs_pass(model, Ablation.of(ask)) and answers.key(ask) not in found[i].answers:
                found[i].answers[answers.key(ask)] = self._without(
                    model, head, inputs[i], x[i : i + 1], found[i], ask
                )
        return found

    def _without(
        self, model: Any, head: Head, image: np.ndarray, x: torch.Tensor, observation: Observed, ask: Ask
    ) -> np.ndarray:
        """Return the logits with some clusters removed, from a pass of the network."""
        labels = self.clustering(observation, ask).labels
        wanted = Ablation.of(ask)
        if wanted is not None and wanted.where == "input":
            edited = answers.edited_image(image, labels, wanted)
            logit, _ = capture(model, model.tensor(edited[None]), [])
        else:
            changed = answers.ablated(observation.last, labels, ask)
            logit = replace_activation(model, x, head.tap, changed.to(x))
        return logit[0].cpu().numpy().copy()

    # -- the clusters -------------------------------------------------------------------------------------------

    def features(self, observation: Observed, ask: Ask) -> Features:
        """Return the activations of the requested taps on their common grid, weighted; nothing is up-sampled."""
        key = (ask.taps, ask.grid, ask.interp)
        plain = observation.once(
            ("features", *key),
            lambda: Features.of(
                [observation.activations[p] for p in ask.taps],
                grid=ask.grid,
                interp=ask.interp,
                weights="equal",
                size=observation.size,
                compress=ask.mode != "codebook",
            ),
        )
        return plain.reweighted(ask.weights)

    def clustering(self, observation: Observed, ask: Ask) -> Any:
        """Return the clusters of one image, cached for later requests with the same clustering."""
        features = self.features(observation, ask)
        if ask.mode == "codebook":
            if ask.codebook is None:
                raise MethodError(
                    "mode 'codebook' needs a codebook and none was given; fit one with xai_views.engine.clusters.codebook."
                )
            return ask.codebook.assign(features)
        shared = (ask.taps, ask.weights, ask.grid, ask.interp, ask.seed, ask.assigner)
        if ask.mode == "nested" and ask.assigner == "k-means":
            grown = observation.once(("tree", *shared), lambda: self._grown(features, ask.seed))
            return grown.cut(min(ask.k or self._elbow(observation, features, ask), grown.k0))
        k = ask.k or self._elbow(observation, features, ask)
        return observation.once(
            ("clusters", k, *shared), lambda: cluster(features, k, ask.assigner, seed=ask.seed)
        )

    @staticmethod
    def _grown(features: Features, seed: int) -> Any:
        leaves = min(LEAVES, features.positions)
        # On a fine grid the last iterations cost most of the time and barely change the leaves, which are merged anyway.
        tolerance = 1e-6 if features.positions <= kmeans.TRIAL else FINE_TOLERANCE
        found = kmeans.kmeans(features, leaves, restarts=1, iterations=25, tolerance=tolerance, seed=seed)
        return tree.build(found, features)

    @staticmethod
    def _axes(observation: Observed, found: Any, ask: Ask) -> Any:
        """Principal components of the clustered features; independent of K."""
        weights = ask.codebook if ask.mode == "codebook" else ask.weights
        key = ("axes", ask.taps, ask.grid, ask.interp, ask.mode == "codebook", weights)
        return observation.once(key, lambda: pca.components(found.features, soft.DIMENSIONS))

    @staticmethod
    def _elbow(observation: Observed, features: Features, ask: Ask) -> int:
        key = ("elbow", ask.taps, ask.weights, ask.grid, ask.interp, ask.seed)
        return observation.once(key, lambda: kmeans.elbow(features, seed=ask.seed)[0])

    # -- the explanation ----------------------------------------------------------------------------------------

    def interpret(self, model: Any, observation: Observed, ask: Ask) -> xr.Dataset:
        """Compute clusters, uncertainty, layer shares and contributions of one image; no pass of the network."""
        ask = self.ready(model, ask)
        head = find_head(model)
        features = self.features(observation, ask)
        found = self.clustering(observation, ask)
        labels, k = found.labels, len(found.counts)
        axes = self._axes(observation, found, ask) if ask.soft == "gmm" else None
        gamma, temperature = soft.shares(found, ask.soft, ask.temperature or None, axes)
        grid, layered = ("sample", "row", "column"), ("sample", "layer", "row", "column")
        ds = answers.answer(model, observation, ask, self.classes(observation, ask), head, labels, k)
        ds = ds.assign(
            {
                "segment": (
                    ("sample", "y", "x"),
                    resize_labels(labels.cpu(), observation.size).astype(np.int16),
                ),
                "assignment": (grid, labels.numpy().astype(np.int16)),
                "entropy": (grid, _f32(soft.entropy(gamma))),
                "margin": (grid, _f32(soft.margin(found.distances, labels))),
                "second": (grid, soft.second(found.distances, labels).numpy().astype(np.int16)),
                "layer_share": (layered, _f32(features.shares(found.centroids, labels).transpose(0, 1))),
                "proportion": (("sample", "cluster"), _f32(found.counts / found.counts.sum())[None]),
                "inertia": ("sample", [float(found.inertia)]),
                "inertia_exact": ("sample", [self._exact(observation, features, ask, k, found)]),
                "temperature": ("sample", [float(temperature)]),
            }
        ).assign_coords(layer=list(ask.taps), layer_weight=("layer", _f32(features.weights)))
        return ds.assign(answers.extras(observation, ask, features))

    def _exact(self, observation: Observed, features: Features, ask: Ask, k: int, found: Any) -> float:
        """Inertia of independent k-means at the same K, started from this cut unless already known; -1 if not applicable."""
        if ask.mode != "nested" or ask.assigner != "k-means":
            return float(found.inertia) if ask.mode == "exact" else -1.0
        if features.positions > SMALL_GRID:
            return -1.0
        shared = (ask.taps, ask.weights, ask.grid, ask.interp, ask.seed)
        known = observation.kept.get(("clusters", k, *shared, ask.assigner))
        if known is not None:
            return float(known.inertia)
        # Starting from the cut takes a few iterations; fresh restarts on every slider movement would be slow.
        refined = observation.once(
            ("refined", k, *shared),
            lambda: kmeans.lloyd(features, found.centroids, iterations=12, tolerance=1e-4).inertia,
        )
        return float(min(refined, float(found.inertia)))


def _f32(values: torch.Tensor) -> np.ndarray:
    return values.detach().cpu().numpy().astype(np.float32)
