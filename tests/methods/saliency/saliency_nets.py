"""Small networks with known saliency."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from xai_views.models import open_model

DTYPES = (torch.float32, torch.float64)
SIZE = (12, 10)
ON_TENSORS = (
    "gradient",
    "gradient x input",
    "integrated gradients",
    "guided backprop",
    "grad-cam",
    "occlusion",
)


class Net(nn.Module):
    """Two convolutions, an activation function, the mean, a linear head; no bias by default."""

    def __init__(self, act, bias=False, head=None):
        super().__init__()
        torch.manual_seed(3)
        self.a = nn.Conv2d(3, 6, 3, padding=1, bias=bias)
        self.b = nn.Conv2d(6, 8, 3, stride=2, padding=1, bias=bias)
        self.act1, self.act2 = act(), act()
        self.head = head if head is not None else nn.Linear(8, 4, bias=bias)

    def forward(self, x):
        x = self.act2(self.b(self.act1(self.a(x))))
        return self.head(x.mean((2, 3)))


class Of(nn.Module):
    """A function as a module, so that there is no ReLU module to find."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


ACTS = {
    "module": nn.ReLU,
    "in place": lambda: nn.ReLU(inplace=True),
    "functional": lambda: Of(F.relu),
    "tensor in place": lambda: Of(lambda x: x.relu_()),
    "clamp": lambda: Of(lambda x: x.clamp(min=0)),
    "threshold": lambda: Of(lambda x: F.threshold(x, 0, 0)),
}
CAPPED = {
    "relu6 module": nn.ReLU6,
    "relu6 functional": lambda: Of(F.relu6),
    "relu6 in place": lambda: nn.ReLU6(inplace=True),
    "hardtanh": lambda: nn.Hardtanh(0, 6),
    "clamp": lambda: Of(lambda x: x.clamp(0, 6)),
}


def toy(act="module", dtype=torch.float64, scale=1.0, **options):
    net = Net({**CAPPED, **ACTS}.get(act, act) if isinstance(act, str) else act, **options).to(dtype)
    with torch.no_grad():
        net.a.weight *= scale
    return open_model(net, channels=3, size=SIZE, name=f"toy {act} {dtype} {scale} {sorted(options)}")


def images(n=3, dtype=np.float64, seed=0):
    return np.random.default_rng(seed).random((n, *SIZE, 3)).astype(dtype)


def logits(model, x):
    with torch.no_grad():
        return model.module(model.tensor(x)).numpy()


TARGETS = [2, 0, 2]
