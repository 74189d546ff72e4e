"""A record as a sequence of clusters: labels, distances, and how sure each step is; padding belongs to no cluster.

Source: Boubekki et al., arXiv 2509.15198 (abstract); clusterer, temperature and the second reading of uncertainty are ours,
see ``docs/methods/ecg_clusters.md``.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch

from xai_views.contract.ask import Ask
from xai_views.engine.clusters import soft
from xai_views.engine.clusters.codebook import Codebook
from xai_views.engine.clusters.features import Features
from xai_views.engine.clusters.kmeans import Clustering, kmeans
from xai_views.engine.clusters.observed import Observed
from xai_views.errors import MethodError
from xai_views.methods.ecg_clusters.observation import clusters_key, signal_cells

PADDING = -1
INTERPOLATION = "bilinear"  # of signals: linear


@dataclass(eq=False)
class Sequence:
    """The clusters of one record.

    Attributes
    ----------
    inside : Tensor
        ``[T]`` bool: cells that are signal, M of them.
    labels : Tensor
        ``[T]`` int64 ids, ``PADDING`` outside.
    distances : Tensor
        ``[1, K, M]`` squared distances of the cells that are signal.
    spread : float
        Temperature that the soft assignment takes when none is asked for; 0 = that of the record.
    assigned : Clustering or None
        Of all cells, or of those that are signal; "gmm" needs it.
    """

    inside: torch.Tensor
    labels: torch.Tensor
    distances: torch.Tensor
    spread: float = 0.0
    assigned: Clustering | None = field(default=None, repr=False)

    @property
    def k(self) -> int:
        """Number of clusters, empty ones included."""
        return self.distances.shape[1]

    @property
    def proportion(self) -> torch.Tensor:
        """Share ``[K]`` float64 of each cluster in the cells that are signal; sums to 1."""
        counts = torch.bincount(self.labels[self.inside], minlength=self.k).double()
        return counts / counts.sum()

    def full(self, values: torch.Tensor, outside: float) -> torch.Tensor:
        """Put values ``[M]`` of the cells that are signal into ``[T]``."""
        out = torch.full((len(self.inside),), outside, dtype=values.dtype)
        out[self.inside] = values.cpu()
        return out

    def with_padding(self) -> torch.Tensor:
        """Labels ``[1, T]`` in which padding is cluster K."""
        return torch.where(self.labels == PADDING, self.k, self.labels)[None]

    def certainty(self, kind: str, temperature: float) -> tuple[dict[str, torch.Tensor], float]:
        """Entropy, margin and second-best cluster ``[T]`` (0, 0 and ``PADDING`` in padding), and the temperature.

        The temperature decides an entropy, so that with a codebook it is by default the same for all records: the mean
        squared distance of the codebook's own sample. That is one of all dimensions; for "gmm", which is of principal
        components, it is by default the variance of this record.

        Raises
        ------
        MethodError
            For "gmm" of a sequence without clusters.
        """
        own = self.labels[self.inside][None]
        if kind != "gmm":
            shares, used = soft.soft(self.distances, kind, temperature or self.spread or None)
        elif self.assigned is not None:
            shares, used = soft.shares(self._signal(self.assigned), kind, temperature or None)
        else:
            raise MethodError("the mixture 'gmm' of distances alone is not possible; give the clusters too.")
        found = {
            "entropy": self.full(soft.entropy(shares)[0], 0.0),
            "margin": self.full(soft.margin(self.distances, own)[0], 0.0),
            "second": self.full(soft.second(self.distances, own)[0], PADDING),
        }
        return found, used

    def _signal(self, assigned: Clustering) -> Clustering:
        """The clusters among the cells that are signal: padding has no part in components and proportions."""
        if assigned.features.positions < len(self.inside):
            return assigned
        own, rows = self.labels[self.inside], assigned.features.rows(torch.nonzero(self.inside).flatten())
        centroids = [torch.cat(assigned.features.drop(assigned.centroids), 1)]
        counts = torch.bincount(own, minlength=self.k)
        inertia = float(self.distances[0].gather(0, own[None]).double().sum())
        return Clustering(own[None], centroids, counts, inertia, 0, Features.raw(rows))


def features(observation: Observed, ask: Ask, book: Codebook | None) -> Features:
    """Features of the asked taps on the grid of the shallowest, in their full channels."""
    grid, interp, weights = (
        ("shallowest", INTERPOLATION, ask.weights) if book is None else (book.grid, book.interp, book.weights)
    )
    plain = observation.once(
        ("features", ask.taps, grid, interp),
        lambda: Features.of(
            [observation.activations[p] for p in ask.taps],
            grid=grid,
            interp=interp,
            weights="equal",
            size=observation.size,
            compress=False,
        ),
    )
    return plain.reweighted(weights)


def sequence(observation: Observed, ask: Ask, book: Codebook | None, length: int) -> Sequence:
    """The clusters of one record, kept for the next ask that shares them.

    Parameters
    ----------
    observation : Observed
        With the taps of the ask.
    ask : Ask
        How to cluster the record alone.
    book : Codebook or None
        Clusters that records share, whose key is that of the ask; None = the record alone.
    length : int
        Steps that are signal.

    Raises
    ------
    MethodError
        When a record alone has fewer cells than clusters, or the layers are not those of the codebook.
    """
    return observation.once(
        ("sequence", length, *clusters_key(ask)), lambda: _sequence(observation, ask, book, length)
    )


def _sequence(observation: Observed, ask: Ask, book: Codebook | None, length: int) -> Sequence:
    found = features(observation, ask, book)
    inside = signal_cells(length, observation.size[0], found.grid[0])
    if book is not None:
        return _inside(book.assign(found), inside, book.spread)
    cells = int(inside.sum())
    if not 1 <= ask.k <= cells:
        raise MethodError(
            f"{ask.k} clusters were asked for and the record has {cells} steps of signal at its finest layer; ask for "
            f"1 to {cells}."
        )
    alone = own_clusters(found, inside, ask.k, ask.seed)
    labels = torch.full((len(inside),), PADDING)
    labels[inside] = alone.labels[0].cpu()
    return Sequence(inside, labels, alone.distances.cpu(), assigned=alone)


def own_clusters(found: Features, inside: torch.Tensor, k: int, seed: int) -> Clustering:
    """k-means of the cells of one record that are signal."""
    rows = found.rows(torch.nonzero(inside).flatten())
    return kmeans(Features.raw(rows), k, seed=seed)


def _inside(assigned: Clustering, inside: torch.Tensor, spread: float) -> Sequence:
    labels = torch.where(inside, assigned.labels[0].cpu(), PADDING)
    return Sequence(inside, labels, assigned.distances.cpu()[:, :, inside], spread, assigned)


def votes(
    observation: Observed, ask: Ask, book: Codebook, ensemble: tuple[Codebook, ...], length: int
) -> torch.Tensor:
    """Share ``[K, T]`` of the codebooks of an ensemble that give each cell to each cluster; 0 in padding."""
    return observation.once(
        ("votes", length, *clusters_key(ask)), lambda: _votes(observation, ask, book, ensemble, length)
    )


def _votes(
    observation: Observed, ask: Ask, book: Codebook, ensemble: tuple[Codebook, ...], length: int
) -> torch.Tensor:
    found = features(observation, ask, book)
    inside = signal_cells(length, observation.size[0], found.grid[0])
    share = torch.zeros(book.k, found.grid[0], dtype=torch.float64)
    for member in ensemble:
        labels = member.assign(found).labels.cpu()
        share.scatter_add_(0, labels, torch.ones_like(labels, dtype=torch.float64))
    return share * inside / len(ensemble)
