"""Sections ``lloyd``, ``dff`` and ``slider`` of :mod:`activations`: clusters of one image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import _lloyd
import numpy as np
import torch
from _turns import Row, Spent, rows_of, take_turns, timed

from xai_views.engine.clusters import dff as peer
from xai_views.engine.clusters.features import Features
from xai_views.engine.clusters.kmeans import kmeans
from xai_views.engine.clusters.observed import FINE_TOLERANCE, LEAVES
from xai_views.methods import get
from xai_views.models import passes
from xai_views.models.taps import capture, default_taps


@dataclass
class Setting:
    """A model, one image ``[1, H, W, C]`` and the options of the measurement.

    ``steps``: maximum for Lloyd's algorithm; ``sizes``: numbers of clusters; ``most``: maximum of the slider; ``memory``: whether
    memory is measured, in separate processes.
    """

    model: Any
    image: np.ndarray
    rounds: int
    threads: int
    steps: int = 30
    sizes: tuple[int, ...] = (5, 24)
    most: int = 24
    memory: bool = True

    @property
    def activations(self) -> list[torch.Tensor]:
        """Activations of the default taps, shallow to deep."""
        taps = list(default_taps(self.model))
        found = capture(self.model, self.model.tensor(self.image), taps)[1]
        return [found[t] for t in taps]

    def case(self, *more: object) -> str:
        """Return the name of a case."""
        return ", ".join([self.model.name, *map(str, more)])


def lloyd(setting: Setting) -> list[Row]:
    """Compare our Lloyd steps with the explicit matrix and scikit-learn, on the default grid and on that of the image."""
    activations, rows = setting.activations, []
    double = [a.double() for a in activations]
    for grid in (tuple(activations[0].shape[2:]), setting.image.shape[1:3]):
        for k in setting.sizes:
            case = setting.case(f"grid {grid[0]}x{grid[1]}", f"K = {k}")
            ways = {
                w: lambda run=run, k=k, grid=grid: run(activations, grid, k, setting.steps)
                for w, run in _lloyd.RUN.items()
            }
            found, own = take_turns("lloyd", case, ways, setting.rounds)
            # in single precision labels may differ where two centroids are equally near; in double precision they must not
            single = _lloyd.equal_share({w: labels for w, (labels, _) in found.items()}, 0.999)
            exact = {w: run(double, grid, k, setting.steps)[0] for w, run in _lloyd.RUN.items()}
            same = _lloyd.equal_share(exact, 1)
            memory = _lloyd.peaks(activations, grid, k, setting) if setting.memory else {}
            for row in own:
                row.figures = {"equal labels %": 100 * single[row.way], "in double %": 100 * same[row.way]}
                if memory:
                    row.figures["peak MiB"] = memory[row.way]
            own[0].figures["steps"] = found[own[0].way][1]
            rows += own
    return rows


def dff(setting: Setting) -> list[Row]:
    """Compare k-means of one tap with Deep Feature Factorization of the same tap at the same K, as its authors draw it."""
    rows, k = [], setting.sizes[0]
    paths = list(default_taps(setting.model))
    for path, activation in zip(paths, setting.activations, strict=True):
        shape = "x".join(map(str, activation.shape[1:]))

        def ours(starts: int, activation: torch.Tensor = activation) -> Any:
            features = Features.of([activation])
            return kmeans(features, min(k, features.positions), restarts=starts)

        ways = {
            "k-means, ours: the best of 5 starts": lambda: ours(5),
            "k-means, ours: 1 start": lambda: ours(1),
            "DFF (NMF of scikit-learn), 1 start": lambda activation=activation: peer.dff(activation, k),
        }
        _, own = take_turns("dff", setting.case(f"{path} ({shape})", f"K = {k}"), ways, setting.rounds)
        told = peer.compare(activation, k, seeds=3)
        for row, name in ((own[0], "k-means"), (own[2], "dff")):
            row.figures = {
                "explained variance": told[name]["explained"],
                "ARI over seeds": told[name]["stability"],
                "PCA explains": told["pca"]["explained"],
            }
        rows += own
    return rows


def slider(setting: Setting) -> list[Row]:
    """Compare movements of sliders on an existing explanation, all without a pass, with a new explanation.

    Raises
    ------
    AssertionError
        If a movement runs the network.
    """
    method, rows = get("nave"), []
    layers = len(default_taps(setting.model))
    many, sizes = 4 * setting.rounds, range(2, setting.most + 1)
    for grid in ("shallowest", "input"):
        ask = method.ask(grid=grid)
        # values that no earlier request used, so that nothing comes from a cache
        moves = {
            "starting from the image, each time": [ask] * setting.rounds,
            f"K from 2 to {setting.most}": [ask.replace(k=k) for k in sizes],
            "weight of a layer": [
                ask.replace(weights=(float(w), *[1.0] * (layers - 1))) for w in np.linspace(0.03, 0.97, many)
            ],
            "temperature": [ask.replace(temperature=float(t)) for t in np.linspace(0.03, 0.97, many)],
            "K, a separate k-means each time": [ask.replace(k=k, mode="exact") for k in sizes],
        }
        spent, ran = {}, {}
        for way, asks in moves.items():
            fresh = not spent
            spent[way], ran[way] = _moved(method, setting, ask, asks, fresh)
            assert (ran[way] > 0) == fresh, f"{way}: {ran[way]} passes; movements run no pass"
        cells = "x".join(map(str, _cells(setting, grid)))
        own = rows_of("slider", setting.case(f"grid {cells}"), spent)
        for row in own:
            row.figures["passes"] = ran[row.way] / len(moves[row.way])
        rows += own
    return [*rows, *_leaves(setting)]


def _cells(setting: Setting, grid: str) -> tuple[int, ...]:
    first = tuple(setting.activations[0].shape[2:])
    return first if grid == "shallowest" else tuple(setting.image.shape[1:3])


def _moved(method: Any, setting: Setting, opened: Any, asks: list, fresh: bool) -> tuple[list[Spent], int]:
    """Return the time of each result, and the passes of all; ``fresh``: observe again for each."""
    model = setting.model

    def observed(ask: Any) -> Any:
        return method.observe(model, setting.image, [ask], [None])[0]

    known = observed(opened)
    method.interpret(model, known, opened)
    before = passes.snapshot()
    spent = [
        timed(lambda ask=ask: method.interpret(model, observed(ask) if fresh else known, ask))[1]
        for ask in asks
    ]
    return spent, sum(v - before[name] for name, v in passes.snapshot().items() if "calls" not in name)


def _leaves(setting: Setting) -> list[Row]:
    """Measure time and inertia of leaves that stop early on a fine grid, compared with leaves that continue."""
    features = Features.of(setting.activations, grid=tuple(setting.image.shape[1:3]))
    ways = {
        f"{LEAVES} leaves, as the tree starts": FINE_TOLERANCE,
        f"{LEAVES} leaves, 25 steps more": 1e-6,
    }
    grown = {
        name: lambda t=t: kmeans(
            features, min(LEAVES, features.positions), restarts=1, iterations=25, tolerance=t
        )
        for name, t in ways.items()
    }
    found, rows = take_turns("slider", setting.case("leaves of the tree, fine grid"), grown, setting.rounds)
    for row in rows:
        row.figures["inertia"] = found[row.way].inertia
    return rows
