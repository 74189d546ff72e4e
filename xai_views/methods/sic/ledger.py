"""Sums of an explanation: what a logit, a support's evidence and a region consist of."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xarray as xr


@dataclass(frozen=True)
class ClassSum:
    """What the logit of a class consists of, and the network's own figure beside it.

    Attributes
    ----------
    target : int
        The class.
    bias, evidence : float
        Bias, and evidence of all its supports.
    total : float
        Their sum.
    logit, probability : float
        As the network gave them.
    difference : float
        ``logit - total``: rounding, and nothing else.
    """

    target: int
    bias: float
    evidence: float
    total: float
    logit: float
    difference: float
    probability: float


def class_sums(explanation: xr.Dataset, sample: int = 0) -> list[ClassSum]:
    """For every class: bias, evidence, their sum and the network's logit, computed apart from each other."""
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
    """What one support carries.

    Attributes
    ----------
    row : int
        Of the support.
    match : int
        Where its map lies along the dimension ``match``; -1 = it has none.
    evidence, share : float
        Its evidence, and that as a share of its class' evidence.
    """

    row: int
    match: int
    evidence: float
    share: float


def entries(explanation: xr.Dataset, target: int, sample: int = 0) -> list[Entry]:
    """The supports of a class with what each carries, in the order of the set."""
    evidence = explanation["evidence"].values[sample].astype(np.float64)
    rows = np.flatnonzero(explanation["support_class"].values == target)
    at: dict[int, int] = {}
    if "match_support" in explanation.coords:
        for k, r in enumerate(explanation["match_support"].values[sample]):
            at.setdefault(int(r), k)
    total = float(np.abs(evidence[rows]).sum()) or 1.0
    return [Entry(int(r), at.get(int(r), -1), float(evidence[r]), float(evidence[r]) / total) for r in rows]


def evidence_map(explanation: xr.Dataset, row: int, temperature: float, sample: int = 0) -> np.ndarray:
    """Where the evidence of an asked support lies, ``[y, x]`` or ``[lead, time]``: it sums to that evidence.

    Parameters
    ----------
    explanation : Dataset
        With ``support_contribution``.
    row : int
        Of the support; one of ``match_support``.
    temperature : float
        T of the network.
    sample : int
        Position in the explanation.
    """
    at = int(np.flatnonzero(explanation["match_support"].values[sample] == row)[0])
    return explanation["support_contribution"].values[sample, at] / temperature


def region_evidence(explanation: xr.Dataset, region: np.ndarray, temperature: float) -> xr.DataArray:
    """Evidence of each asked support that lies inside a region of the test sample; exact.

    Parameters
    ----------
    explanation : Dataset
        With ``support_contribution``.
    region : ndarray
        ``[y, x]`` or ``[lead, time]`` bool.
    temperature : float
        T of the network.

    Returns
    -------
    DataArray
        ``(sample, match)`` float64: sum of the map inside the region, divided by T. Inside and outside add up to the
        evidence.
    """
    maps = explanation["support_contribution"].astype(np.float64)
    inside = maps.where(xr.DataArray(region, dims=maps.dims[2:]), 0.0)
    return inside.sum(maps.dims[2:]) / temperature


@dataclass(frozen=True)
class Inside:
    """How much of a support's evidence lies inside a region; ``share`` is 0 where there is no evidence."""

    row: int
    inside: float
    outside: float
    whole: float
    share: float


def region_entries(
    explanation: xr.Dataset, region: np.ndarray, temperature: float, sample: int = 0
) -> list[Inside]:
    """For each asked support, what of its evidence lies inside a region and what outside."""
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
    """A support's own map in numbers: the norm of its vector, the map's sum, and the negative part of that sum."""

    norm: float
    total: float
    negative: float


def own_sum(vector: np.ndarray, own_map: np.ndarray) -> OwnSum:
    """Sums over the own map of a support with the evidence vector ``vector [p]``."""
    against = own_map[own_map < 0].sum(dtype=np.float64)
    return OwnSum(float(np.linalg.norm(vector)), float(own_map.sum(dtype=np.float64)), float(against))
