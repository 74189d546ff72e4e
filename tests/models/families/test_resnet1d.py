"""Residual network of signals: shapes, strides, additive heads, and shift equivariance of its maps."""

import pytest
import torch

from xai_views import open_model
from xai_views.errors import ModelError
from xai_views.models.families.resnet1d.network import Block, ResNet1d
from xai_views.models.heads import find_head
from xai_views.models.taps import capture

BLOCKS = ((6, 4), (8, 2))  # 8 steps of the signal are one cell of the last map


def network(head="gap", steps=256, kernel=5):
    torch.manual_seed(0)
    net = ResNet1d(3, 4, steps, 5, BLOCKS, kernel, head)
    for norm in net.modules():  # statistics as after training; initial ones would have no effect
        if isinstance(norm, torch.nn.BatchNorm1d):
            norm.running_mean.uniform_(-0.1, 0.1)
            norm.running_var.uniform_(0.5, 1.5)
    return net.eval()


@pytest.mark.parametrize("head", ["gap", "flatten"])
def test_shapes(head):
    net = network(head)
    x = torch.randn(2, 3, 256)
    logits, kept = capture(net, x, ["stem", "blocks.0", "blocks.1"])
    assert logits.shape == (2, 4)
    shapes = [tuple(kept[p].shape) for p in ("stem", "blocks.0", "blocks.1")]
    assert shapes == [(2, 5, 256), (2, 6, 64), (2, 8, 32)]
    assert net.head.in_features == (8 if head == "gap" else 8 * 32)


@pytest.mark.parametrize(("before", "width", "stride"), [(4, 4, 1), (4, 6, 1), (4, 4, 4), (4, 6, 2)])
def test_block_keeps_or_divides_the_steps(before, width, stride):
    assert Block(before, width, 5, stride)(torch.randn(1, before, 32)).shape == (1, width, 32 // stride)


@pytest.mark.parametrize("head", ["gap", "flatten"])
def test_strides_must_divide_the_steps(head):
    with pytest.raises(ModelError, match="multiply to 8, which does not divide 252 steps; pad"):
        network(head, steps=252)


def test_unknown_head_names_the_known():
    with pytest.raises(ModelError, match="'max' is not known; choose one of 'gap', 'flatten'"):
        network("max")


@pytest.mark.parametrize("head", ["gap", "flatten"])
def test_the_head_is_found_and_adds_up(head):
    model = open_model(network(head), channels=3, size=(256,), rate=100, leads=["I", "II", "V1"])
    found = find_head(model)
    assert (found.kind, found.tap, found.exact) == (head, "blocks.1", True)
    x = torch.randn(2, 3, 256)
    logits, kept = capture(model, x, [found.tap])
    parts = found.parts(kept[found.tap])
    assert parts.shape == (2, 4, 32)
    assert (logits - found.bias).abs().max() > 1e-2  # the sum is not trivial
    assert parts.std(2).min() > 1e-5
    torch.testing.assert_close(parts.sum(2) + found.bias, logits, rtol=1e-4, atol=1e-6)


def test_a_shift_by_the_stride_shifts_the_last_map_away_from_the_padding():
    """A shift of 8 steps is one cell; only cells whose receptive field reaches the ends may differ."""
    net = network().double()
    wide = torch.randn(1, 3, 256 + 8, dtype=torch.double)
    first, second = wide[..., :-8], wide[..., 8:]
    maps = [capture(net, x, ["blocks.1"])[1]["blocks.1"] for x in (first, second)]
    # reach to one side in steps: stem 2, block 0 2 + 2, block 1 4 * (2 + 2); 24 steps are 3 cells
    inner = slice(4, -4)
    torch.testing.assert_close(
        maps[0][..., 1:][..., inner], maps[1][..., :-1][..., inner], rtol=0, atol=1e-12
    )
    assert not torch.allclose(maps[0][..., inner], maps[1][..., inner])  # the map is not flat


def test_a_shift_by_less_than_the_stride_is_no_shift_of_the_map():
    net = network().double()
    wide = torch.randn(1, 3, 256 + 3, dtype=torch.double)
    maps = [capture(net, x, ["blocks.1"])[1]["blocks.1"] for x in (wide[..., :-3], wide[..., 3:])]
    for by in (0, 1):
        assert not torch.allclose(maps[0][..., 4 + by : -4], maps[1][..., 4 : -4 - by or None], atol=1e-3)
