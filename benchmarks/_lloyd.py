"""Run Lloyd's algorithm in three ways: on factored features (ours), on the explicit matrix in torch, and in scikit-learn.

All start from the same positions, make the same number of steps (they end when no label changes) and must return the same
labels. The explicit ways include building their matrix, ours includes factoring the layers.

Memory is the peak growth of a separate process after libraries and activations are loaded and a small run has warmed it up,
as counted by the operating system (``VmHWM`` on Linux, ``ru_maxrss`` elsewhere); ``tracemalloc`` does not see torch.
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
    """Return the flat start positions of all ways, drawn with a fixed seed."""
    return torch.from_numpy(np.random.default_rng(0).permutation(positions)[:k].copy())


def factored(activations: Activations, grid: tuple[int, int], k: int, steps: int) -> tuple[np.ndarray, int]:
    """Run ours; return labels and steps."""
    features = Features.of(activations, grid=grid, weights="authors")
    start = features.split(features.rows(starting(features.positions, k)))
    found = lloyd(features, start, steps, tolerance=0)
    return found.labels.flatten().numpy(), found.iterations


def matrix(activations: Activations, grid: tuple[int, int]) -> torch.Tensor:
    """Return the data matrix of the paper: resampled, normalised at each position, weighted, concatenated."""
    first, parts = activations[0].shape[1], []
    for a in activations:
        same = tuple(a.shape[2:]) == grid
        z = a if same else F.interpolate(a, size=grid, mode="bicubic", align_corners=False)
        weight = (1 + first) / (1 + a.shape[1])
        parts.append(weight * F.normalize(z, dim=1, eps=1e-8)[0].flatten(1))
    return torch.cat(parts).T.contiguous()


def explicit(activations: Activations, grid: tuple[int, int], k: int, steps: int) -> tuple[np.ndarray, int]:
    """Run a plain implementation of Lloyd's algorithm on the matrix; return labels and steps."""
    x = matrix(activations, grid)
    centres = x[starting(len(x), k)]
    half = (centres * centres).sum(1) / 2
    labels, step, moved = (x @ centres.T - half).argmax(1), 0, True
    while moved and step < steps:
        counts = torch.bincount(labels, minlength=k)
        assert counts.min() > 0, (
            "a cluster became empty, which the three ways handle differently; choose other starts"
        )
        centres = torch.zeros_like(centres).index_add_(0, labels, x) / counts[:, None]
        half = (centres * centres).sum(1) / 2
        before, labels, step = labels, (x @ centres.T - half).argmax(1), step + 1
        moved = not torch.equal(labels, before)
    return labels.numpy(), step


def sklearn(activations: Activations, grid: tuple[int, int], k: int, steps: int) -> tuple[np.ndarray, int]:
    """Run scikit-learn's ``KMeans`` on the matrix from the same centres; return labels and steps."""
    from sklearn.cluster import KMeans

    x = matrix(activations, grid).numpy()
    start = x[starting(len(x), k).numpy()]
    found = KMeans(k, init=start, n_init=1, max_iter=steps, tol=0, algorithm="lloyd").fit(x)
    return found.labels_.astype(np.int64), found.n_iter_


RUN = dict(zip(WAYS, (factored, explicit, sklearn), strict=True))


def equal_share(labels: dict[str, np.ndarray], least: float) -> dict[str, float]:
    """Return, for each way, the share of positions with the same label as the first way.

    Raises
    ------
    AssertionError
        If the share of a way is below ``least``.
    """
    first = next(iter(labels.values()))
    shares = {name: float((own == first).mean()) for name, own in labels.items()}
    assert min(shares.values()) >= least, (
        f"at least {least} of the labels must be equal; shares of equal labels: {shares}"
    )
    return shares


def peaks(activations: Activations, grid: tuple[int, int], k: int, setting: Any) -> dict[str, float]:
    """Return the peak growth in MiB of a fresh process, for each way."""
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
    """Measure one way in this process; return its peak growth in MiB."""
    way, file, grid, k, steps, threads = json.loads(job)
    torch.set_num_threads(threads)
    with np.load(file) as held:
        activations = [torch.from_numpy(held[name]) for name in held.files]
    RUN[way]([a[:, :, ::4, ::4] for a in activations], (8, 8), 2, 2)
    before = peak(forget=True)
    RUN[way](activations, tuple(grid), k, steps)
    return peak() - before


def peak(forget: bool = False) -> float:
    """Return the peak of resident memory in MiB; on Linux since the last call with ``forget``."""
    status, clear = Path("/proc/self/status"), Path("/proc/self/clear_refs")
    if status.exists() and clear.exists():
        # ru_maxrss would start with the peak of the parent process, which a child inherits
        if forget:
            clear.write_text("5")
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) / 2**10
    unit = 2**20 if sys.platform == "darwin" else 2**10  # bytes there, KiB elsewhere
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


if __name__ == "__main__":
    print(child(sys.argv[1]))
