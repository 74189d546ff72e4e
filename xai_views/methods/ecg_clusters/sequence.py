"""A record as a sequence of clusters: labels, distances and certainty of each step; padding belongs to no cluster.

Source: Boubekki et al., arXiv 2509.15198 (abstract); clustering, temperature and the second measure of uncertainty are
ours, see ``docs/methods/ecg_clusters.md``.
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
INTERPOLATION = "bilinear"  # linear along time


@dataclass(eq=False)
class Sequence:
    """Clusters of one record.

    Attributes
    ----------
    inside : Tensor
        ``[T]`` bool: the M cells that are signal.
    labels : Tensor
        ``[T]`` int64 ids, ``PADDING`` in padding.
    distances : Tensor
        ``[1, K, M]`` squared distances of the signal cells.
    spread : float
        Default temperature of the soft assignment; 0 = computed from the record.
    assigned : Clustering or None
        Clustering of all cells, or of the signal cells; needed for "gmm".
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
        """Share ``[K]`` float64 of each cluster in the signal cells; sums to 1."""
        counts = torch.bincount(self.labels[self.inside], minlength=self.k).double()
        return counts / counts.sum()

    def full(self, values: torch.Tensor, outside: float) -> torch.Tensor:
        """Expand values ``[M]`` of the signal cells to ``[T]``, with ``outside`` in padding."""
        out = torch.full((len(self.inside),), outside, dtype=values.dtype)
        out[self.inside] = values.cpu()
        return out

    def with_padding(self) -> torch.Tensor:
        """Return labels ``[1, T]`` with cluster id K for padding."""
        return torch.where(self.labels == PADDING, self.k, self.labels)[None]

    def certainty(self, kind: str, temperature: float) -> tuple[dict[str, torch.Tensor], float]:
        """Return entropy, margin and second-best cluster ``[T]`` (0, 0 and ``PADDING`` in padding), and the temperature.

        An entropy depends on its temperature. With a codebook the default temperature is the same for all records: the mean
        squared distance in the codebook's own sample. For "gmm", which uses principal components, the default is the variance
        of this record.

        Raises
        ------
        MethodError
            For "gmm" without a clustering.
        """
        own = self.labels[self.inside][None]
        if kind != "gmm":
            shares, used = soft.soft(self.distances, kind, temperature or self.spread or None)
        elif self.assigned is not None:
            shares, used = soft.shares(self._signal(self.assigned), kind, temperature or None)
        else:
            raise MethodError(
                "soft='gmm' needs a clustering and only distances were given; choose 'tempered' or 'fuzzy'."
            )
        found = {
            "entropy": self.full(soft.entropy(shares)[0], 0.0),
            "margin": self.full(soft.margin(self.distances, own)[0], 0.0),
            "second": self.full(soft.second(self.distances, own)[0], PADDING),
        }
        return found, used

    def _signal(self, assigned: Clustering) -> Clustering:
        """Restrict a clustering to the signal cells, so that padding affects neither components nor proportions."""
        if assigned.features.positions < len(self.inside):
            return assigned
        own, rows = self.labels[self.inside], assigned.features.rows(torch.nonzero(self.inside).flatten())
        centroids = [torch.cat(assigned.features.drop(assigned.centroids), 1)]
        counts = torch.bincount(own, minlength=self.k)
        inertia = float(self.distances[0].gather(0, own[None]).double().sum())
        return Clustering(own[None], centroids, counts, inertia, 0, Features.raw(rows))


def features(observation: Observed, ask: Ask, book: Codebook | None) -> Features:
    """Return features of the requested taps on the grid of the shallowest one, in their full channels."""
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
    """Return the clusters of one record, cached for later requests with the same clustering.

    Parameters
    ----------
    observation : Observed
        Observation with the taps of the request.
    ask : Ask
        Request: how to cluster a record without a codebook.
    book : Codebook or None
        Codebook shared by all records, with the key in the request; None = cluster this record alone.
    length : int
        Number of steps that are signal.

    Raises
    ------
    MethodError
        When a record has fewer cells than clusters, or the layers are not those of the codebook.
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
            f"{ask.k} clusters were requested and the record has {cells} steps of signal at its finest layer; give 1 to "
            f"{cells}."
        )
    alone = own_clusters(found, inside, ask.k, ask.seed)
    labels = torch.full((len(inside),), PADDING)
    labels[inside] = alone.labels[0].cpu()
    return Sequence(inside, labels, alone.distances.cpu(), assigned=alone)


def own_clusters(found: Features, inside: torch.Tensor, k: int, seed: int) -> Clustering:
    """Cluster the signal cells of one record by k-means."""
    rows = found.rows(torch.nonzero(inside).flatten())
    return kmeans(Features.raw(rows), k, seed=seed)


def _inside(assigned: Clustering, inside: torch.Tensor, spread: float) -> Sequence:
    labels = torch.where(inside, assigned.labels[0].cpu(), PADDING)
    return Sequence(inside, labels, assigned.distances.cpu()[:, :, inside], spread, assigned)


def votes(
    observation: Observed, ask: Ask, book: Codebook, ensemble: tuple[Codebook, ...], length: int
) -> torch.Tensor:
    """Return the share ``[K, T]`` of the ensemble's codebooks that assign each cell to each cluster; 0 in padding."""
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
