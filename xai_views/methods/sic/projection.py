"""Latent space in two dimensions: positions of samples and supports."""

from __future__ import annotations

import numpy as np

FEWEST = 5  # points that t-SNE can arrange


def principal_axes(z: np.ndarray, supports: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """Positions ``[N, 2]`` and ``[S, 2]`` on the first two principal axes of unit vectors, and the variance they hold."""

    def unit(a: np.ndarray) -> np.ndarray:
        return a / (np.linalg.norm(a, axis=1, keepdims=True) + 1e-12)

    u = unit(z)
    centre = u.mean(0)
    _, s, axes = np.linalg.svd(u - centre, full_matrices=False)
    two = np.zeros((2, z.shape[1]), z.dtype)  # a single sample has one axis only
    two[: len(axes)] = axes[:2]
    share = float((s[:2] ** 2).sum() / max((s**2).sum(), 1e-30))
    return (u - centre) @ two.T, (unit(supports) - centre) @ two.T, share


def neighbours_map(z: np.ndarray, supports: np.ndarray) -> tuple[np.ndarray, np.ndarray, None]:
    """t-SNE of the cosine distances, seeded: positions of samples and supports; no variance belongs to them."""
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    both = np.concatenate([z, supports]).astype(np.float64)
    both /= np.linalg.norm(both, axis=1, keepdims=True) + 1e-12
    tsne = TSNE(perplexity=min(30, (len(both) - 1) / 3), init="pca", random_state=0)
    with threadpool_limits(1, "openmp"):  # threads that wait for a busy core make it many times slower
        fitted = tsne.fit_transform(both)
    return fitted[: len(z)], fitted[len(z) :], None
