"""Normalisation, attention and GELU against their formulas, and their linearity in explanation mode."""

import math

import pytest
import torch

from xai_views.models.bcos import (
    BcosSelfAttention,
    DetachableGELU,
    DetachableGroupNorm,
    DetachableLayerNorm,
    PositionNorm2d,
    UncentredBatchNorm1d,
    UncentredBatchNorm2d,
    explanation_mode,
)

DTYPES = pytest.mark.parametrize("dtype", [torch.float32, torch.float64])


def close(got, want):
    tolerance = 1e-4 if got.dtype == torch.float32 else 1e-10
    torch.testing.assert_close(got, want.to(got.dtype), rtol=tolerance, atol=tolerance)


def jacobian(module, x):
    """Matrix ``[outputs, inputs]`` of a module at ``x``."""
    return torch.autograd.functional.jacobian(module, x).reshape(module(x).numel(), x.numel())


@DTYPES
def test_batch_norm_divides_by_the_centred_deviation_and_subtracts_nothing(dtype):
    torch.manual_seed(0)
    norm = UncentredBatchNorm2d(3, gain=1.5).to(dtype)
    running = [1.0] * 3
    for _ in range(3):
        x = torch.randn(4, 3, 5, 5, dtype=dtype) * 2 + 3
        y = norm.train()(x)
        for c in range(3):
            values = x[:, c].double().flatten()
            var = ((values - values.mean()) ** 2).mean()  # biased
            close(y[:, c].detach(), 1.5 * x[:, c].double() / math.sqrt(var + 1e-5))
            running[c] = 0.9 * running[c] + 0.1 * float(var)
    running = torch.tensor(running, dtype=torch.float64)
    close(norm.running_var, running)
    y = norm.eval()(x)
    close(y.detach(), 1.5 * x.double() / (running[None, :, None, None] + 1e-5).sqrt())
    assert [n for n, _ in norm.named_buffers()] == ["running_var"], "nothing else may change with the data"


@DTYPES
def test_batch_norm_of_signals_is_that_of_images_one_pixel_high(dtype):
    torch.manual_seed(0)
    of_signals, of_images = UncentredBatchNorm1d(3).to(dtype), UncentredBatchNorm2d(3).to(dtype)
    for mode in (True, True, False):
        x = torch.randn(4, 3, 20, dtype=dtype) * 2 + 3
        y = of_signals.train(mode)(x)
        close(y.detach(), of_images.train(mode)(x[:, :, None])[:, :, 0].detach())
    close(of_signals.running_var, of_images.running_var)


def test_batch_norm_in_evaluation_does_not_learn():
    norm = UncentredBatchNorm2d(2).eval()
    norm(torch.randn(3, 2, 4, 4) * 9)
    assert torch.equal(norm.running_var, torch.ones(2))


def test_batch_norm_detached_while_training_is_linear():
    norm = UncentredBatchNorm2d(2).double().train()
    x = torch.randn(2, 2, 2, 2, dtype=torch.float64)
    plain = jacobian(norm, x)
    assert (plain - torch.diag(plain.diag())).abs().max() > 1e-3, "the variance depends on the batch"
    norm.detached = True
    want = (1 / (x.var((0, 2, 3), unbiased=False) + 1e-5).sqrt())[None, :, None, None].expand(x.shape)
    close(jacobian(norm, x), torch.diag(want.flatten()))


def slow_groups(x, groups, centred, weight):
    y = x.clone()
    size = x.shape[1] // groups
    for n in range(len(x)):
        for g in range(groups):
            part = x[n, g * size : (g + 1) * size]
            mean = part.mean()
            std = math.sqrt(((part - mean) ** 2).mean() + 1e-5)
            y[n, g * size : (g + 1) * size] = (part - mean * centred) / std
    return y * weight.view(1, -1, *[1] * (x.ndim - 2))


@DTYPES
@pytest.mark.parametrize("centred", [True, False])
@pytest.mark.parametrize("shape", [(2, 6, 3, 4), (2, 6), (2, 6, 5)])
def test_group_norm(shape, centred, dtype):
    torch.manual_seed(1)
    norm = DetachableGroupNorm(2, 6, centred).to(dtype)
    norm.weight.data.uniform_(0.5, 2)
    x = torch.randn(shape, dtype=dtype) + 1
    close(norm(x).detach(), slow_groups(x.double(), 2, centred, norm.weight.detach().double()))


@DTYPES
@pytest.mark.parametrize("centred", [True, False])
def test_position_and_layer_norm(centred, dtype):
    torch.manual_seed(2)
    x = torch.randn(2, 5, 3, 4, dtype=dtype) + 1
    position, layer = PositionNorm2d(5, centred).to(dtype), DetachableLayerNorm(5, centred).to(dtype)
    weight = torch.rand(5, dtype=dtype) + 0.5
    position.weight.data, layer.weight.data = weight, weight.clone()
    want = x.clone().double()
    for n in range(2):
        for i in range(3):
            for j in range(4):
                v = x[n, :, i, j].double()
                std = math.sqrt(((v - v.mean()) ** 2).mean() + 1e-5)
                want[n, :, i, j] = (v - v.mean() * centred) / std * weight.double()
    close(position(x).detach(), want)
    close(layer(x.permute(0, 2, 3, 1)).detach(), want.permute(0, 2, 3, 1))


@pytest.mark.parametrize("centred", [True, False])
@pytest.mark.parametrize(
    "make",
    [lambda c: DetachableGroupNorm(2, 4, c), lambda c: PositionNorm2d(4, c)],
    ids=["group", "position"],
)
def test_norms_are_linear_in_explanation_mode_and_of_degree_zero_without(make, centred):
    torch.manual_seed(3)
    norm = make(centred).double()
    x = torch.randn(1, 4, 2, 2, dtype=torch.float64) + 0.5
    plain = jacobian(norm, x) @ x.flatten()
    assert plain.abs().max() < 1e-3 * norm(x).abs().max(), "gradient times input is almost zero here"
    with explanation_mode(norm):
        matrix = jacobian(norm, x)
    close(matrix @ x.flatten(), norm(x).detach().flatten())
    if centred:  # the mean stays in the graph: a constant image maps to zero
        close(matrix @ torch.ones(16, dtype=torch.float64), torch.zeros(16))
    else:
        close(matrix, torch.diag(matrix.diag()))


def test_attention_against_loops_and_its_dynamic_matrix():
    torch.manual_seed(4)
    heads, tokens, channels = 2, 3, 4
    layer = BcosSelfAttention(channels, heads).double()
    x = torch.randn(1, tokens, channels, dtype=torch.float64)
    q, k, v = (x[0] @ w.T for w in layer.qkv.weight.detach().chunk(3))
    mixed = torch.zeros(tokens, channels, dtype=torch.float64)
    mixing = torch.zeros(tokens, channels, tokens, channels, dtype=torch.float64)  # values -> mixed values
    size = channels // heads
    for h in range(heads):
        part = slice(h * size, (h + 1) * size)
        for i in range(tokens):
            score = torch.tensor([q[i, part] @ k[j, part] / math.sqrt(size) for j in range(tokens)])
            attention = (score.exp() / score.exp().sum()).double()
            for j in range(tokens):
                mixed[i, part] += attention[j] * v[j, part]
                for c in range(h * size, (h + 1) * size):
                    mixing[i, c, j, c] = attention[j]
    unit = layer.out.weight.detach() / layer.out.weight.detach().norm(dim=1, keepdim=True)
    lin = mixed @ unit.T
    cos = lin.abs() / mixed.norm(dim=1, keepdim=True)
    torch.testing.assert_close(layer(x)[0].detach(), cos * lin, rtol=0, atol=1e-6)
    values = layer.qkv.weight.detach()[2 * channels :]
    want = torch.einsum("io,om,imjc,cd->iojd", cos, unit, mixing, values)
    with explanation_mode(layer):
        got = torch.autograd.functional.jacobian(layer, x)[0, :, :, 0]
    torch.testing.assert_close(got, want, rtol=0, atol=1e-6)
    with pytest.raises(ValueError, match="3 heads"):
        BcosSelfAttention(4, 3)


def test_gelu_and_its_frozen_gate():
    x = torch.linspace(-3, 3, 13, dtype=torch.float64)
    gelu = DetachableGELU()
    close(gelu(x), torch.nn.functional.gelu(x))
    gate = torch.tensor([0.5 * (1 + math.erf(v / math.sqrt(2))) for v in x.tolist()])
    with explanation_mode(gelu):
        torch.testing.assert_close(jacobian(gelu, x), torch.diag(gate).double(), rtol=0, atol=1e-7)
    assert (jacobian(gelu, x).diag() - gate).abs().max() > 0.1
