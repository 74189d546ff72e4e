"""Lloyd's algorithm three ways: on factored features (ours), on the explicit matrix in torch, and scikit-learn's.

All start from the same positions, make as many steps (they end when no label changes) and have to give the same labels.
The explicit ways include what builds their matrix, and ours what factors the layers.

Memory is how far a process of its own grows at its peak after libraries and activations are loaded and a small run has
warmed up, as the kernel of the system counts resident pages (``VmHWM`` on Linux, ``ru_maxrss`` elsewhere); ``tracemalloc``
does not see torch.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from xai_views.engine.clusters.features import Features
from xai_views.engine.clusters.kmeans import lloyd

WAYS = ("factored, ours", "explicit, torch", "explicit, scikit-learn")
Activations = Sequence[torch.Tensor]


def starting(positions: int, k: int) -> torch.Tensor:
    """Flat positions that all ways start from, spread by a fixed seed."""
    return torch.from_numpy(np.random.default_rng(0).permutation(positions)[:k].copy())


def factored(activations: Activations, grid: tuple[int, int], k: int, steps: int) -> tuple[np.ndarray, int]:
    """Ours: labels and steps."""
    features = Features.of(activations, grid=grid, weights="authors")
    start = features.split(features.rows(starting(features.positions, k)))
    found = lloyd(features, start, steps, tolerance=0)
    return found.labels.flatten().numpy(), found.iterations


def matrix(activations: Activations, grid: tuple[int, int]) -> torch.Tensor:
    """The data matrix as the paper defines it: resampled, normalised at each position, weighted, concatenated."""
    first, parts = activations[0].shape[1], []
    for a in activations:
        same = tuple(a.shape[2:]) == grid
        z = a if same else F.interpolate(a, size=grid, mode="bicubic", align_corners=False)
        weight = (1 + first) / (1 + a.shape[1])
        parts.append(weight * F.normalize(z, dim=1, eps=1e-8)[0].flatten(1))
    return torch.cat(parts).T.contiguous()


def explicit(activations: Activations, grid: tuple[int, int], k: int, steps: int) -> tuple[np.ndarray, int]:
    """Lloyd's algorithm on the matrix, as one would write it."""
    x = matrix(activations, grid)
    centres = x[starting(len(x), k)]
    half = (centres * centres).sum(1) / 2
    labels, step, moved = (x @ centres.T - half).argmax(1), 0, True
    while moved and step < steps:
        counts = torch.bincount(labels, minlength=k)
        assert counts.min() > 0, (
            "a cluster became empty, which the three ways answer differently; take other starts"
        )
        centres = torch.zeros_like(centres).index_add_(0, labels, x) / counts[:, None]
        half = (centres * centres).sum(1) / 2
        before, labels, step = labels, (x @ centres.T - half).argmax(1), step + 1
        moved = not torch.equal(labels, before)
    return labels.numpy(), step


def sklearn(activations: Activations, grid: tuple[int, int], k: int, steps: int) -> tuple[np.ndarray, int]:
    """scikit-learn's ``KMeans`` on the matrix, from the same centres."""
    from sklearn.cluster import KMeans

    x = matrix(activations, grid).numpy()
    start = x[starting(len(x), k).numpy()]
    found = KMeans(k, init=start, n_init=1, max_iter=steps, tol=0, algorithm="lloyd").fit(x)
    return found.labels_.astype(np.int64), found.n_iter_


RUN = dict(zip(WAYS, (factored, explicit, sklearn), strict=True))


def equal_share(labels: dict[str, np.ndarray], least: float) -> dict[str, float]:
    """Share of positions with the label of the first way, by way.

    Raises
    ------
    AssertionError
        When the share of a way is below ``least``.
    """
    first = next(iter(labels.values()))
    shares = {name: float((own == first).mean()) for name, own in labels.items()}
    assert min(shares.values()) >= least, (
        f"at least {least} of the labels must be equal and these are: {shares}"
    )
    return shares


def peaks(activations: Activations, grid: tuple[int, int], k: int, setting: Any) -> dict[str, float]:
    """MiB by which a fresh process grows at its peak, for each way."""
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "activations.npz"
        np.savez(file, *[a.numpy() for a in activations])
        for way in WAYS:
            job = json.dumps([way, str(file), grid, k, setting.steps, setting.threads])
            command = [sys.executable, __file__, job]
            said = subprocess.run(command, check=True, capture_output=True, text=True, env=os.environ)
            found[way] = float(said.stdout)
    return found


def child(job: str) -> float:
    """Measure one way in this process, which does nothing else."""
    way, file, grid, k, steps, threads = json.loads(job)
    torch.set_num_threads(threads)
    with np.load(file) as held:
        activations = [torch.from_numpy(held[name]) for name in held.files]
    RUN[way]([a[:, :, ::4, ::4] for a in activations], (8, 8), 2, 2)
    before = peak(forget=True)
    RUN[way](activations, tuple(grid), k, steps)
    return peak() - before


def peak(forget: bool = False) -> float:
    """MiB that were resident at most, on Linux since it was last told to forget what was before."""
    status, clear = Path("/proc/self/status"), Path("/proc/self/clear_refs")
    if status.exists() and clear.exists():
        # ru_maxrss would begin with the peak of the parent, which a started process takes over
        if forget:
            clear.write_text("5")
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) / 2**10
    unit = 2**20 if sys.platform == "darwin" else 2**10  # bytes there, KiB elsewhere
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


if __name__ == "__main__":
    print(child(sys.argv[1]))
