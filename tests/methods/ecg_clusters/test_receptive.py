"""Receptive fields: compared with the arithmetic of kernels and strides, and with the effect of real changes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from xai_views import open_model
from xai_views.errors import MethodError, ModelError
from xai_views.methods.ecg_clusters.receptive import receptive_field
from xai_views.models.families.resnet1d.network import ResNet1d
from xai_views.models.taps import capture

from ..nave_nets import counted
from ..nave_nets import planted as image_model
from .ecg_nets import RATE, TAPS, local


def blocks(steps=2048, kernel=17, **options):
    torch.manual_seed(0)
    net = ResNet1d(3, 4, steps, 5, ((6, 4), (7, 4), (8, 2), (9, 2)), kernel, "gap")
    return open_model(net.eval(), channels=3, size=(steps,), rate=400.0, **options)


def by_arithmetic(kernel: int, strides: list[int]) -> tuple[int, int]:
    """The first and the last input step that step 0 of a stem and a chain of blocks depends on, from the deepest block back.

    A block adds its two convolutions, the second with the stride, and the maximum pooling around them.
    """
    half, first, last = kernel // 2, 0, 0
    for stride in reversed(strides):
        first, last = first * stride - 2 * half, last * stride + max(2 * half, stride - 1)
    return first - half, last + half


@pytest.mark.parametrize("kernel", [3, 17])
@pytest.mark.parametrize("depth", [0, 1, 2, 3])
def test_kernels_and_strides(kernel, depth):
    strides = [4, 4, 2, 2][: depth + 1]
    found = receptive_field(blocks(4096, kernel), f"blocks.{depth}")
    first, last = by_arithmetic(kernel, strides)
    cell = int(np.prod(strides))
    assert (found.first, found.last, found.cell) == (-first, last - (cell - 1), cell)
    assert found.steps == last - first + 1
    assert found.seconds == pytest.approx(found.steps / 400)
    assert not found.clipped


@pytest.mark.parametrize("tap", TAPS)
def test_cells_that_see_nothing_else(tap):
    found = receptive_field(local(), tap)
    cell = 16 * 2 ** TAPS.index(tap)
    assert (found.first, found.last, found.steps, found.cell) == (0, 0, cell, cell)
    assert found.seconds == cell / RATE


def test_what_lies_outside_changes_nothing_and_the_ends_do():
    model = blocks(kernel=5)
    model.module.double()
    found, tap = receptive_field(model, "blocks.1"), "blocks.1"
    plain = torch.randn(1, 3, 2048, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    middle = (2048 // 16) // 2
    first, last = middle * 16 - found.first, (middle + 1) * 16 - 1 + found.last

    def changes(begin: int, end: int) -> bool:
        other = plain.clone()
        other[..., begin:end] += 100
        one, two = (capture(model, x, [tap])[1][tap][0, :, middle] for x in (plain, other))
        return not torch.equal(one, two)

    assert not changes(0, first)
    assert not changes(last + 1, 2048)
    assert changes(first, first + 2)
    assert changes(last - 1, last + 1)


def test_a_field_that_meets_an_end_says_so():
    found = receptive_field(blocks(512), "blocks.3")
    assert found.clipped
    assert found.steps == 512


def test_what_sees_the_whole_record():
    class Squeezed(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.fc = nn.Conv1d(3, 4, 5, 4, 2), nn.Linear(4, 2)
            self.act = nn.ReLU()

        def forward(self, x):
            x = self.conv(x)
            return self.fc(self.act(x * x.mean(2, keepdim=True)).mean(2))

    model = open_model(Squeezed(), channels=3, size=(200,))
    found = receptive_field(model, "act")
    assert found.steps == 199, "the convolution does not reach the last step"
    assert found.clipped
    assert found.seconds is None
    assert receptive_field(model, "conv").steps == 5


def test_it_is_looked_for_once():
    model = blocks(1024, 7)
    with counted(model) as spent:
        one = receptive_field(model, "blocks.2")
    assert 0 < spent["forward_calls"] <= 8
    assert not spent["backward"]
    with counted(model) as spent:
        assert receptive_field(model, "blocks.2") == one
        assert receptive_field(blocks(1024, 7), "blocks.2") == one
    assert not any(spent.values())


def test_mistakes_are_one_sentence():
    with pytest.raises(
        MethodError, match="'planted-gap' takes images and receptive fields are for signal networks"
    ):
        receptive_field(image_model(), "relu1")
    with pytest.raises(ModelError, match="has no layer 'nothing'"):
        receptive_field(local(), "nothing")

    class Hides(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.fc = nn.Conv1d(3, 4, 5, 4, 2), nn.Linear(4, 2)
            self.act = nn.ReLU()

        def forward(self, x):
            return self.fc(self.act(self.conv(torch.nan_to_num(x))).mean(2))

    model = open_model(Hides(), channels=3, size=(200,))
    with pytest.raises(MethodError, match="NaN does not reach the middle of tap 'act'"):
        receptive_field(model, "act")
