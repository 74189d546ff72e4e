"""Fit a codebook on a data set in one pass, with the best crops, sizes and purity of each cluster."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import xarray as xr

from xai_views.contract.ask import Ask
from xai_views.engine.clusters.codebook import Codebook, Sample
from xai_views.engine.clusters.contribution import membership
from xai_views.engine.clusters.labels import resize_labels
from xai_views.engine.clusters.measures import crossing
from xai_views.errors import MethodError
from xai_views.models.heads import find_head
from xai_views.models.taps import capture
from xai_views.samples import images

CHUNK = 16
CROPS = 12  # number of best images kept per cluster
MOST_IMAGES = 600  # above this, images are drawn at even intervals
MOST_ROWS = 60_000  # number of positions that are clustered


@dataclass(eq=False)
class Fitted:
    """A codebook and its statistics on the data set it was fitted on.

    Attributes
    ----------
    book : Codebook
        Clusters, named by the class that the head reads from each (where the head allows it).
    images : ndarray
        ``[m]`` positions, in the data set, of the images that were used.
    proportion : ndarray
        ``[m, K]`` share of each cluster in each image.
    crops : list of list
        For each cluster ``(image, y, x, distance)`` in pixels, nearest first; at most one per image.
    purity : list of (int, float) or None
        For each cluster the ground-truth part that covers most of it, and the share it covers; None without ground truth.
    """

    book: Codebook
    images: np.ndarray
    proportion: np.ndarray
    crops: list[list[tuple[int, int, int, float]]]
    purity: list[tuple[int, float]] | None

    @property
    def share(self) -> np.ndarray:
        """Share ``[K]`` of all positions in each cluster."""
        return self.proportion.mean(0)

    @property
    def shown(self) -> np.ndarray:
        """Number ``[K]`` of images that contain each cluster."""
        return (self.proportion > 0).sum(0)

    def by_class(self, label: np.ndarray, classes: int) -> np.ndarray:
        """Distribution ``[K, classes]`` of each cluster over the classes ``label`` (-1 = unknown); 0 where it never occurs."""
        known = label[self.images] >= 0
        table = self.proportion[known].T @ np.eye(classes)[label[self.images][known]]
        return table / np.maximum(table.sum(1, keepdims=True), np.finfo(float).tiny)


def fit(model: Any, samples: xr.Dataset, ask: Ask, progress: Any) -> Generator[None, None, Fitted]:
    """Fit a codebook; a generator, so that a worker can serve other requests between chunks.

    Parameters
    ----------
    model : Model
        The network; each image passes through it once.
    samples : Dataset
        The data set.
    ask : Ask
        Request of the method ``nave`` with its taps: layers, weights, grid, interpolation, K and seed.
    progress : callable
        ``progress(done, total)``; may raise to stop.
    """
    count = samples.sizes["sample"]
    chosen = np.unique(np.linspace(0, count - 1, min(count, MOST_IMAGES)).astype(int))
    k = ask.k or 8
    if not len(chosen):
        raise MethodError("a codebook needs at least one image and none was given; give samples.")
    head = find_head(model)
    per_image = max(20, min(400, MOST_ROWS // len(chosen)))
    sample = Sample(per_image, ask.seed, ask.weights, ask.grid, ask.interp)
    kept: list[list[_Packed]] = []
    last: list[_Packed] = []
    total = torch.zeros(())
    size: tuple[int, int] = (0, 0)
    for start in range(0, len(chosen), CHUNK):
        rows = chosen[start : start + CHUNK]
        x = model.tensor(images(samples, rows))
        size = tuple(x.shape[2:])
        _, found = capture(model, x, list(dict.fromkeys([*ask.taps, head.tap])))
        activations = [found[p].cpu() for p in ask.taps]
        sample.add(activations, size)
        kept.append([_Packed(a) for a in activations])
        last.append(_Packed(found[head.tap].cpu()))
        total = total + found[head.tap].cpu().float().flatten(2).mean(2).sum(0)
        progress(min(start + CHUNK, len(chosen)), 2 * len(chosen))
        yield
    about = {"model_sha256": model.sha256, "samples": str(samples.attrs.get("title", ""))}
    about["last_mean"] = total / len(chosen)
    book = Codebook.of(sample, k, ask.taps, **about)
    yield
    tally = _Tally(book.k, head, "part" in samples)
    for i, (layers, packed) in enumerate(zip(kept, last, strict=True)):
        rows = chosen[i * CHUNK : (i + 1) * CHUNK]
        features = sample.features([a.values for a in layers], size)
        tally.add(book.assign(features), packed.values, rows, size, samples)
        progress(len(chosen) + min((i + 1) * CHUNK, len(chosen)), 2 * len(chosen))
        yield
    return Fitted(
        book.named(tally.names(model.classes)),
        chosen,
        np.concatenate(tally.proportion),
        tally.best(),
        tally.purity(),
    )


class _Packed:
    """Activations in half the memory, stored with a scale because float16 ends at 65504 and is coarse below 1e-6."""

    def __init__(self, a: torch.Tensor) -> None:
        self.scale = float(a.abs().max()) or 1.0
        self.halves = (a / self.scale).half()

    @property
    def values(self) -> torch.Tensor:
        """Unpacked activations, float32, rounded to 11 bits."""
        return self.halves.float() * self.scale


class _Tally:
    """Running counts, updated while images are assigned to clusters."""

    def __init__(self, k: int, head: Any, parts: bool) -> None:
        self.k, self.head = k, head
        self.proportion: list[np.ndarray] = []
        self.near: list[list[tuple[float, int, int, int]]] = [[] for _ in range(k)]
        self.mean: torch.Tensor | None = None
        self.area = torch.zeros(k)
        self.table: np.ndarray | None = np.zeros((k, 0), np.int64) if parts else None

    def add(
        self, found: Any, last: torch.Tensor, rows: np.ndarray, size: tuple[int, int], samples: xr.Dataset
    ) -> None:
        labels, k = found.labels, self.k
        share = membership(labels, tuple(last.shape[2:]), k, last)
        sums = torch.einsum("nkp,ncp->kc", share.flatten(2), last.flatten(2))
        self.mean = sums if self.mean is None else self.mean + sums
        self.area += share.flatten(2).sum((0, 2))
        grid = labels.shape[1:]
        for n, i in enumerate(rows):
            counts = torch.bincount(labels[n].flatten(), minlength=k).numpy()
            self.proportion.append((counts / counts.sum())[None])
            for c in np.flatnonzero(counts):
                d = torch.where(labels[n] == c, found.distances[n, c], torch.inf).flatten()
                at = int(d.argmin())
                y, x = ((p + 0.5) * s / g for p, s, g in zip(divmod(at, grid[1]), size, grid, strict=True))
                self.near[c].append((float(d[at]), int(i), int(y), int(x)))
        if self.table is not None:
            self._count(resize_labels(labels.cpu(), size), samples["part"].isel(sample=rows).values)

    def _count(self, ids: np.ndarray, part: np.ndarray) -> None:
        found = crossing(ids, np.maximum(part, 0), self.k)
        assert self.table is not None
        width = max(self.table.shape[1], found.shape[1])
        self.table, added = (np.pad(t, ((0, 0), (0, width - t.shape[1]))) for t in (self.table, found))
        self.table += added

    def best(self) -> list[list[tuple[int, int, int, float]]]:
        return [[(i, y, x, d) for d, i, y, x in sorted(near)[:CROPS]] for near in self.near]

    def purity(self) -> list[tuple[int, float]] | None:
        if self.table is None:
            return None
        total = np.maximum(self.table.sum(1), 1)
        return [(int(row.argmax()), float(row.max() / n)) for row, n in zip(self.table, total, strict=True)]

    def names(self, classes: list[str]) -> list[str]:
        """Return the class read by the head from each cluster's mean activation; "" where the head is not linear in the mean."""
        if self.head.kind != "gap" or self.mean is None:
            return [""] * self.k
        mean = self.mean / self.area.clamp_min(1e-9)[:, None]
        best, at = torch.softmax(self.head.logits(mean[..., None]).double(), 1).max(1)
        return [f"{classes[int(c)]} {float(p):.2f}" for p, c in zip(best, at, strict=True)]
