"""A network whose clusters and contributions are known in closed form, and an independent counter of passes."""

from __future__ import annotations

from contextlib import contextmanager

import numpy as np
import torch
from torch import nn

from xai_views import open_model
from xai_views.models import passes
from xai_views.samples import dataset

COLOURS = np.array([[250, 20, 20], [20, 240, 30], [30, 20, 220], [240, 240, 230]], np.uint8)
CLASSES, BLOCK = 6, 4


class Planted(nn.Module):
    """Classifies colours: three depths of 1x1 convolutions with average pooling in between, then the mean and a linear layer."""

    def __init__(self, head: str = "gap", side: int = 6):
        super().__init__()
        self.one, self.two, self.three = nn.Conv2d(3, 7, 1), nn.Conv2d(7, 12, 1), nn.Conv2d(12, 9, 1)
        self.relu1, self.relu2, self.relu3 = nn.ReLU(), nn.ReLU(), nn.ReLU()
        self.head = head
        self.fc = nn.Linear(9 * (side * side if head == "flatten" else 1), CLASSES)

    def extra_repr(self):
        return self.head  # models of equal weights and equal text are taken for the same

    def forward(self, x):
        x = self.relu1(self.one(x))
        x = self.relu2(self.two(nn.functional.avg_pool2d(x, 2)))
        x = self.relu3(self.three(nn.functional.avg_pool2d(x, 2)))
        if self.head == "flatten":
            return self.fc(x.flatten(1))
        x = x.mean((2, 3))
        return self.fc(x * x if self.head == "square" else x)


def planted(head: str = "gap", dtype: torch.dtype = torch.float32, side: int = 6):
    """The network as a model, of any size unless it flattens; every colour has its own direction."""
    torch.manual_seed(4)
    size = (side * BLOCK, side * BLOCK) if head == "flatten" else None
    return open_model(Planted(head, side).to(dtype).eval(), name=f"planted-{head}", channels=3, size=size)


def picture(seed: int = 0, side: int = 6, parts: int = 4) -> tuple[np.ndarray, np.ndarray]:
    """An image ``[H, W, 3]`` of blocks of 4 pixels in a few colours, and the parts ``[H, W]``; sizes differ."""
    rng = np.random.default_rng(seed)
    blocks = np.sort(
        rng.choice(parts, side * side, p=np.array([8, 4, 2, 1])[:parts] / sum([8, 4, 2, 1][:parts]))
    )
    blocks[:parts] = range(parts)
    truth = np.kron(rng.permutation(blocks).reshape(side, side), np.ones((BLOCK, BLOCK), int))
    return COLOURS[truth], truth


def pictures(*images: np.ndarray):
    """Samples without labels."""
    return dataset(np.stack(images), np.full(len(images), -1), classes=[f"class {c}" for c in range(CLASSES)])


@contextmanager
def counted(model):
    """Passes inside the block, in images; calls of the network itself are counted too."""
    seen = {"calls": 0, "images": 0}

    def hook(_module, inputs, _output):
        seen["calls"] += 1
        seen["images"] += len(inputs[0])

    handle = model.module.register_forward_hook(hook)
    before, spent = passes.snapshot(), {}
    try:
        yield spent
    finally:
        handle.remove()
    spent |= {k: v - before[k] for k, v in passes.snapshot().items()}
    assert seen == {"calls": spent["forward_calls"], "images": spent["forward"]}
