"""Signal networks with known weights, and records with planted P, QRS and T."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from xai_views import open_model
from xai_views.engine.clusters.codebook import Codebook
from xai_views.methods.ecg_clusters.fit import Fitted, finished, fit
from xai_views.samples import signal_dataset

LEADS, RATE, CELL, DEEP = ("I", "II", "V1"), 100.0, 16, 64
STEPS, CLASSES = 640, 4
TAPS = ("relu1", "relu2", "relu3")
BEAT = (0, 0, 1, 0, 2, 0, 0, 3, 0, 0)  # TP, P, QRS, T: one cell of 160 ms each
WAVES = np.array([[0, 0, 0], [0.25, 0.15, 0.02], [0.2, 1.0, -0.6], [-0.15, 0.35, 0.4]])


class Local(nn.Module):
    """Three layers whose steps depend only on their own cell (of 16, 32 and 64 steps), and a head."""

    def __init__(self, head: str = "gap", steps: int = STEPS, gain: float = 1.0):
        super().__init__()
        self.one, self.two, self.three = nn.Conv1d(3, 9, 16, 16), nn.Conv1d(9, 8, 2, 2), nn.Conv1d(8, 5, 2, 2)
        self.relu1, self.relu2, self.relu3 = nn.ReLU(), nn.ReLU(), nn.ReLU()
        self.head, self.gain = head, gain
        self.fc = nn.Linear(5 * (steps // DEEP if head == "flatten" else 1), CLASSES)

    def extra_repr(self):
        return f"{self.head} {self.gain}"  # models of equal weights and equal text are taken for the same

    def forward(self, x):
        x = self.relu1(self.gain * self.one(x))
        x = self.relu3(self.three(self.relu2(self.two(x / self.gain))))
        if self.head == "flatten":
            return self.fc(x.flatten(1))
        x = x.mean(2)
        return self.fc(x * x if self.head == "square" else x)


def local(head: str = "gap", dtype: torch.dtype = torch.float32, gain: float = 1.0, seed: int = 3, **options):
    """The network as a model; some channels of every layer are active for a zero input."""
    torch.manual_seed(seed)
    net = Local(head, gain=gain)
    for layer in (net.one, net.two, net.three):
        layer.bias.data.uniform_(0.02, 0.3)
    options = {"rate": RATE, "leads": LEADS, "name": f"local-{head}"} | options
    return open_model(net.to(dtype).eval(), channels=3, size=(STEPS,), **options)


def planted(n: int = 4, seed: int = 0, noise: float = 0.0, beats: int = 4) -> tuple[np.ndarray, np.ndarray]:
    """Records ``[n, 3, 640]`` with beats of 160 steps, each shifted by some cells, and the wave ``[n, 40]`` of each cell."""
    rng = np.random.default_rng(seed)
    bump = np.exp(-(((np.arange(CELL) - 7.5) / 3) ** 2) / 2)
    truth = np.stack([np.roll(np.tile(BEAT, beats), rng.integers(10)) for _ in range(n)])
    size = rng.uniform(0.85, 1.15, (n, 1, truth.shape[1]))
    cells = (WAVES[truth].transpose(0, 2, 1) * size)[..., None] * bump
    signal = cells.reshape(n, 3, -1) + rng.normal(0, noise, (n, 3, truth.shape[1] * CELL)) * (noise > 0)
    return signal.astype(np.float32), truth


def records(signal: np.ndarray, **known):
    """Signals as samples."""
    names = [f"r{i}" for i in range(len(signal))]
    classes = [f"class {c}" for c in range(CLASSES)]
    label = np.full(len(signal), -1)
    return signal_dataset(signal, RATE, LEADS, label, names, classes, title="planted", **known)


def noisy(n: int = 2, seed: int = 0, length: int = STEPS) -> np.ndarray:
    """Records ``[n, 3, 640]`` of noise, zeros after ``length``."""
    x = np.random.default_rng(seed).normal(0, 0.5, (n, 3, STEPS)).astype(np.float32)
    x[..., length:] = 0
    return x


def fitted(model, samples, ask, **options) -> Fitted:
    """A codebook with the taps, weights, K and seed of a request."""
    wish = {n: getattr(ask, n) for n in ("k", "taps", "weights", "seed")}
    return finished(fit(model, samples, **wish, **options))


def run(observing) -> tuple[list, list]:
    """Observations, and the progress on the way to them."""
    said = []
    while True:
        try:
            said.append(next(observing))
        except StopIteration as end:
            return end.value, said


def silence(lead: int, start: float, stop: float, fill: str = "line") -> dict:
    """An edit."""
    return {"kind": "silence", "lead": lead, "start": start, "stop": stop, "fill": fill}


def by(book: Fitted | Codebook, **more) -> dict:
    """Parameters of a request with a codebook."""
    return {"mode": "codebook", "codebook": book if isinstance(book, Fitted) else Fitted(book), **more}
