"""Ledger of a record: the contribution of each cluster to a logit, largest first, and the terms that complete the sum."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xarray as xr

from xai_views.methods.ecg_clusters.alignment import spread


@dataclass(frozen=True)
class Line:
    """The row of one cluster.

    Attributes
    ----------
    cluster : int
        Id of the cluster.
    share : float
        Share of the signal's duration.
    part : float
        Contribution to the logit.
    total : float
        Running sum: bias plus all rows so far.
    entropy : float
        Mean entropy of its steps; 0 without steps.
    truth : float or None
        Share of the ground-truth evidence (steps) inside the cluster; None without ground truth.
    """

    cluster: int
    share: float
    part: float
    total: float
    entropy: float
    truth: float | None = None


@dataclass(frozen=True)
class Ledger:
    """The ledger of one class.

    Attributes
    ----------
    target : int
        Explained class.
    lines : tuple of Line
        Rows of the clusters, largest contribution first.
    bias, padding, residual, logit : float
        ``bias + clusters + padding + residual = logit``.
    """

    target: int
    lines: tuple[Line, ...]
    bias: float
    padding: float
    residual: float
    logit: float

    @property
    def clusters(self) -> float:
        """Total contribution of all clusters."""
        return sum(line.part for line in self.lines)


def ledger(result: xr.Dataset, truth: np.ndarray | None = None) -> Ledger:
    """Return the ledger of the first explained class of the first record.

    Parameters
    ----------
    result : Dataset
        An explanation from ``ecg_clusters``.
    truth : ndarray, optional
        ``[time]`` bool: steps with ground-truth evidence in any lead.
    """
    part = result["cluster_contribution"].values[0, 0].astype(float)
    share = result["proportion"].values[0].astype(float)
    cluster, entropy = result["cluster"].values[0], result["entropy"].values[0]
    target = int(result["target_class"].values[0, 0])
    bias = total = float(result["bias"].values[target])
    evident = None if truth is None or not truth.any() else spread(cluster, len(truth))[truth]
    lines = []
    for c in map(int, np.argsort(-part, kind="stable")):
        total += part[c]
        here = cluster == c
        lines.append(
            Line(
                c,
                float(share[c]),
                float(part[c]),
                float(total),
                float(entropy[here].mean()) if here.any() else 0.0,
                None if evident is None else float((evident == c).mean()),
            )
        )
    return Ledger(
        target,
        tuple(lines),
        bias,
        float(result["padding_contribution"].values[0, 0]),
        float(result["residual"].values[0, 0]),
        float(result["logit"].values[0, target]),
    )
