"""What the method ``nave`` is asked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from xai_views.contract.method import Ask
from xai_views.engine.clusters.observed import PREDICTED, Ablation


@dataclass(frozen=True)
class NaveAsk(Ask):
    """What is wanted of one image.

    Attributes
    ----------
    taps : tuple of str
        Module paths, shallow to deep; () = the defaults of the architecture.
    weights : str or tuple of float
        A preset ("authors", "equal", "deep-first") or one weight per tap.
    grid, interp : str
        Common grid ("shallowest", "input", "double") and interpolation ("bicubic", "bilinear", "nearest").
    k : int
        Number of clusters; 0 = elbow.
    mode : str
        "nested" (cut of the merge tree), "exact" (k-means of its own) or "codebook".
    assigner : str
        "k-means", "pca", "agglomerative", "clustering module"; only k-means nests.
    seed : int
        Of the starts.
    soft, temperature : str, float
        Soft assignment; 0 = its default temperature.
    targets : tuple of int
        Classes whose logit is taken apart; ``PREDICTED`` = the largest.
    codebook : Codebook or None
        Clusters of a data set, for mode "codebook".
    ablation : Ablation or None
        What the network says without some clusters.
    shapley : bool
        Exact Shapley values over the clusters (at most 10).
    at : (int, int) or None
        Position ``(y, x)`` in image pixels whose similarity with every other is wanted.
    sweep : bool
        The clusters of every default tap alone.
    norms : bool
        The norm of the activation at every position of each tap.
    peer : bool
        Deep Feature Factorization of the first tap, with figures beside k-means and PCA.
    """

    taps: tuple[str, ...] = ()
    weights: str | tuple[float, ...] = "authors"
    grid: str = "shallowest"
    interp: str = "bicubic"
    k: int = 5
    mode: str = "nested"
    assigner: str = "k-means"
    seed: int = 0
    soft: str = "tempered"
    temperature: float = 0.0
    targets: tuple[int, ...] = (PREDICTED,)
    codebook: Any = None
    ablation: Ablation | None = None
    shapley: bool = False
    at: tuple[int, int] | None = None
    sweep: bool = False
    norms: bool = False
    peer: bool = False
