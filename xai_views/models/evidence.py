"""SIC arithmetic on cached evidence vectors: scores, logits and the contribution of a support.

Everything is a matrix product in numpy, without a network or torch. See
:mod:`xai_views.models.families.sic.network` for the same formulas inside the network.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

EPS = 1e-12


def cosines(z: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """Return the cosine ``[N, S]`` of ``z [N, p]`` with ``vectors [S, p]``; 0 where either is the zero vector."""
    unit = vectors / (np.linalg.norm(vectors, axis=1, keepdims=True) + EPS)
    return z @ unit.T / (np.linalg.norm(z, axis=1, keepdims=True) + EPS)


def pull_vectors(z: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """Return ``a`` with ``score_s = a_s . z``: ``|cos_s|`` times the unit support vector, ``[N, S, p]``."""
    unit = vectors / (np.linalg.norm(vectors, axis=1, keepdims=True) + EPS)
    return np.abs(cosines(z, vectors))[:, :, None] * unit[None]


def scores(z: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """Return the similarity ``|z| cos^2``, ``[N, S]``, of ``z [N, p]`` with support ``vectors [S, p]``."""
    unit = vectors / (np.linalg.norm(vectors, axis=1, keepdims=True) + EPS)
    lin = z @ unit.T
    return np.abs(lin) / (np.linalg.norm(z, axis=1, keepdims=True) + EPS) * lin


def logits(score: np.ndarray, label: np.ndarray, classes: int, temperature: float, bias: float) -> np.ndarray:
    """Return logits ``[N, classes]`` from scores ``[N, S]`` of supports with class ``label [S]``."""
    member = (label[:, None] == np.arange(classes)[None]).astype(score.dtype)
    return score.dtype.type(bias) + score @ member / score.dtype.type(temperature)


def probability(logit: np.ndarray) -> np.ndarray:
    """Return the sigmoid of every logit: classes are scored independently and need not sum to 1."""
    return (1 / (1 + np.exp(-logit.astype(np.float64)))).astype(logit.dtype)


@dataclass(frozen=True)
class Typical:
    """Statistics of the training images in latent space, to recognise untypical images.

    Attributes
    ----------
    norm, cosine : ndarray
        Sorted norms of z, and sorted largest cosines of each training image with the other training images.
    """

    norm: np.ndarray
    cosine: np.ndarray

    def rank(self, norm: float, cosine: float) -> tuple[float, float]:
        """Return the share of training images with a smaller norm, and with a smaller best cosine."""
        return (
            float(np.searchsorted(self.norm, norm) / max(len(self.norm), 1)),
            float(np.searchsorted(self.cosine, cosine) / max(len(self.cosine), 1)),
        )


def typical(z: np.ndarray, most: int = 2000) -> Typical:
    """Return the distribution of norms and best cosines of (at most ``most``) training images ``z [N, p]``."""
    chosen = z[np.linspace(0, len(z) - 1, min(most, len(z))).astype(int)]
    cosine = cosines(chosen, z)
    cosine[cosine > 1 - 1e-6] = -1  # the image itself
    return Typical(np.sort(np.linalg.norm(z, axis=1)), np.sort(cosine.max(1)))
