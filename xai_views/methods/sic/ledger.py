"""Sums of an explanation: how a logit, a support sample's evidence and a region's evidence add up."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xarray as xr


@dataclass(frozen=True)
class ClassSum:
    """How the logit of one class adds up, beside the logit computed by the network.

    Attributes
    ----------
    target : int
        The class.
    bias, evidence : float
        Bias, and total evidence of the class's supports.
    total : float
        Bias plus evidence.
    logit, probability : float
        As computed by the network.
    difference : float
        ``logit - total``, which is rounding error.
    """

    target: int
    bias: float
    evidence: float
    total: float
    logit: float
    difference: float
    probability: float


def class_sums(explanation: xr.Dataset, sample: int = 0) -> list[ClassSum]:
    """For every class: bias, evidence, their sum and the network's logit, each computed independently."""
    label, evidence = explanation["support_class"].values, explanation["evidence"].values[sample]
    logit, probability = (explanation[n].values[sample].astype(np.float64) for n in ("logit", "probability"))
    bias = explanation["bias"].values.astype(np.float64)
    found = []
    for c in range(len(bias)):
        part = float(evidence[label == c].astype(np.float64).sum())
        total = float(bias[c]) + part
        found.append(
            ClassSum(
                c,
                float(bias[c]),
                part,
                total,
                float(logit[c]),
                float(logit[c]) - total,
                float(probability[c]),
            )
        )
    return found


@dataclass(frozen=True)
class Entry:
    """Evidence of one support sample.

    Attributes
    ----------
    row : int
        Row of the support.
    match : int
        Position of its map along the dimension ``match``; -1 = no map.
    evidence, share : float
        Its evidence, absolute and as a share of its class's evidence.
    """

    row: int
    match: int
    evidence: float
    share: float


def entries(explanation: xr.Dataset, target: int, sample: int = 0) -> list[Entry]:
    """Return the supports of a class with their evidence, in the order of the support set."""
    evidence = explanation["evidence"].values[sample].astype(np.float64)
    rows = np.flatnonzero(explanation["support_class"].values == target)
    at: dict[int, int] = {}
    if "match_support" in explanation.coords:
        for k, r in enumerate(explanation["match_support"].values[sample]):
            at.setdefault(int(r), k)
    total = float(np.abs(evidence[rows]).sum()) or 1.0
    return [Entry(int(r), at.get(int(r), -1), float(evidence[r]), float(evidence[r]) / total) for r in rows]


def evidence_map(explanation: xr.Dataset, row: int, temperature: float, sample: int = 0) -> np.ndarray:
    """Map of one support's evidence, ``[y, x]`` or ``[lead, time]``; it sums to that evidence.

    Parameters
    ----------
    explanation : Dataset
        With ``support_contribution``.
    row : int
        Row of the support; one of ``match_support``.
    temperature : float
        Temperature T of the network.
    sample : int
        Position in the explanation.
    """
    at = int(np.flatnonzero(explanation["match_support"].values[sample] == row)[0])
    return explanation["support_contribution"].values[sample, at] / temperature


def region_evidence(explanation: xr.Dataset, region: np.ndarray, temperature: float) -> xr.DataArray:
    """Evidence of each explained support that lies inside a region of the test sample; exact.

    Parameters
    ----------
    explanation : Dataset
        With ``support_contribution``.
    region : ndarray
        ``[y, x]`` or ``[lead, time]`` bool.
    temperature : float
        Temperature T of the network.

    Returns
    -------
    DataArray
        ``(sample, match)`` float64: sum of the map inside the region, divided by T. Inside plus outside equals the
        evidence.
    """
    maps = explanation["support_contribution"].astype(np.float64)
    inside = maps.where(xr.DataArray(region, dims=maps.dims[2:]), 0.0)
    return inside.sum(maps.dims[2:]) / temperature


@dataclass(frozen=True)
class Inside:
    """How much of a support's evidence lies inside a region; ``share`` is 0 when the support has no evidence."""

    row: int
    inside: float
    outside: float
    whole: float
    share: float


def region_entries(
    explanation: xr.Dataset, region: np.ndarray, temperature: float, sample: int = 0
) -> list[Inside]:
    """Evidence inside and outside a region, for each explained support."""
    within = region_evidence(explanation.isel(sample=[sample]), region, temperature).values[0]
    evidence = explanation["evidence"].values[sample].astype(np.float64)
    found = []
    for r, part in zip(explanation["match_support"].values[sample], within, strict=True):
        if r >= 0:
            whole = float(evidence[r])
            found.append(
                Inside(int(r), float(part), whole - float(part), whole, float(part) / whole if whole else 0.0)
            )
    return found


@dataclass(frozen=True)
class OwnSum:
    """Sums over a support's own map: the norm of its vector, the sum of the map, and the sum of its negative values."""

    norm: float
    total: float
    negative: float


def own_sum(vector: np.ndarray, own_map: np.ndarray) -> OwnSum:
    """Compute the sums over the own map of a support with the evidence vector ``vector [p]``."""
    against = own_map[own_map < 0].sum(dtype=np.float64)
    return OwnSum(float(np.linalg.norm(vector)), float(own_map.sum(dtype=np.float64)), float(against))
