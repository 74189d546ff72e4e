"""Two-dimensional maps of latent space: positions of samples and supports."""

from __future__ import annotations

import numpy as np

FEWEST = 5  # minimum number of points for t-SNE


def principal_axes(z: np.ndarray, supports: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """Project unit vectors on their first two principal axes: ``[N, 2]``, ``[S, 2]``, and the explained share of variance."""

    def unit(a: np.ndarray) -> np.ndarray:
        return a / (np.linalg.norm(a, axis=1, keepdims=True) + 1e-12)

    u = unit(z)
    centre = u.mean(0)
    _, s, axes = np.linalg.svd(u - centre, full_matrices=False)
    two = np.zeros((2, z.shape[1]), z.dtype)  # a single sample has only one axis
    two[: len(axes)] = axes[:2]
    share = float((s[:2] ** 2).sum() / max((s**2).sum(), 1e-30))
    return (u - centre) @ two.T, (unit(supports) - centre) @ two.T, share


def neighbours_map(z: np.ndarray, supports: np.ndarray) -> tuple[np.ndarray, np.ndarray, None]:
    """Compute a seeded t-SNE map of cosine distances for samples and supports; it has no explained variance."""
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    both = np.concatenate([z, supports]).astype(np.float64)
    both /= np.linalg.norm(both, axis=1, keepdims=True) + 1e-12
    tsne = TSNE(perplexity=min(30, (len(both) - 1) / 3), init="pca", random_state=0)
    with threadpool_limits(1, "openmp"):  # threads waiting for a busy core make it many times slower
        fitted = tsne.fit_transform(both)
    return fitted[: len(z)], fitted[len(z) :], None
