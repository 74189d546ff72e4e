"""Small encoders with a known representation, and a slow reference version of RELAX."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from xai_views.engine.perturbation.masks import BLOCK
from xai_views.methods.relax.method import RelaxMethod, RelaxObservation
from xai_views.models import open_model

SIZE = (14, 16)


class Net(nn.Module):
    """A convolution, its mean over positions, a linear head."""

    def __init__(self, rank: int = 2, channels: int = 3) -> None:
        super().__init__()
        torch.manual_seed(1)
        kinds = {1: nn.Conv1d, 2: nn.Conv2d}
        self.conv, self.act = kinds[rank](channels, 6, 3, stride=2, padding=1), nn.ReLU()
        self.head = nn.Linear(6, 4)

    def features(self, x: torch.Tensor) -> torch.Tensor:
        return self.act(self.conv(x)).flatten(2).mean(2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.features(x))


class Of(nn.Module):
    """A network whose head receives the output of a function."""

    def __init__(self, features, width: int, scale: float = 1.0) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.made, self.scale, self.head = features, scale, nn.Linear(width, 3)

    def features(self, x: torch.Tensor) -> torch.Tensor:
        return self.scale * self.made(x)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.features(x))


def opened(net: nn.Module, dtype: torch.dtype = torch.float32, size=SIZE, channels: int = 3):
    return open_model(net.to(dtype), channels=channels, size=size, name=f"{type(net).__name__} {dtype}")


def given(n: int = 2, size=SIZE, channels: int = 3, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    if len(size) == 1:
        return rng.standard_normal((n, channels, *size)).cumsum(2) * 0.1
    return rng.random((n, *size, channels))


def driven(generator) -> tuple[list[RelaxObservation], list]:
    """The return value of a generator, and what it has yielded."""
    said = []
    while True:
        try:
            said.append(next(generator))
        except StopIteration as end:
            return end.value, said


def explained(model, x, known=None, **parameters):
    """Datasets, observations and yielded values of one request for all inputs."""
    method = RelaxMethod()
    ask = method.ask(**parameters)
    seen, said = driven(method.observe(model, x, [ask] * len(x), known or [None] * len(x)))
    return [method.interpret(model, o, ask) for o in seen], seen, said


def slow(net, x: torch.Tensor, masks, n: int, fill: torch.Tensor) -> dict[str, np.ndarray]:
    """RELAX one mask after the other, by definition and in float64; ``x [1, C, *size]``."""
    scores, shown = [], []
    with torch.no_grad():
        h = net.features(x)[0].double()
        for i in range(n):
            mask = masks.block(i // BLOCK, dtype=torch.float64)[i % BLOCK]
            other = net.features((fill + (x.double() - fill) * mask).to(x.dtype))[0].double()
            scores.append(float(h @ other / h.norm() / other.norm()))
            shown.append(mask.numpy())
    s, m = np.array(scores), np.stack(shown)
    s = s.reshape(-1, *[1] * (m.ndim - 1))
    w = m.sum(0)
    r = (m * s).sum(0) / w
    return {
        "importance": r,
        "uncertainty": (m * (s - r) ** 2).sum(0) / w,
        "similarity": s.mean(),
        "scores": s,
    }
