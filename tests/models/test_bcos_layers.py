"""B-cos layers against simple loops."""

import itertools
import math

import numpy as np
import pytest
import torch

from xai_views.models.bcos import (
    BcosConv1d,
    BcosConv2d,
    BcosLinear,
    LogitLayer,
    add_inverse,
    explanation_mode,
)

TOLERANCE = {torch.float32: 1e-4, torch.float64: 1e-10}
CONVOLUTIONS = {
    "plain": {},
    "stride": {"stride": 2, "padding": 1},
    "uneven": {"kernel_size": (3, 2), "stride": (2, 1), "padding": (1, 0)},
    "dilated": {"dilation": 2, "padding": 2},
    "groups": {"groups": 2, "padding": 1},
    "depthwise": {"groups": 4, "padding": 1},
    "dilated groups": {"groups": 2, "dilation": (2, 1), "stride": (1, 2), "padding": 1},
    "max out": {"max_out": 3},
    "max out in groups": {"max_out": 2, "groups": 2, "padding": 1},
    "pointwise": {"kernel_size": 1},
    "wide padding": {"kernel_size": 2, "padding": 2},
}


def close(got, want, dtype):
    got, want = np.asarray(got, float), np.asarray(want, float)
    np.testing.assert_allclose(got, want, rtol=0, atol=TOLERANCE[dtype] * max(np.abs(want).max(), 1e-3))


def scaled(lin, norm, b):
    cos = abs(lin) / norm
    return {1: 1.0, 2: cos}.get(b, (cos + 1e-6) ** (b - 1))


def slow_conv(layer, a):
    """Output ``[N, O, H', W']`` and the dynamic matrix ``[N, O, H', W', C, H, W]``, patch by patch."""
    a, weight = a.double().numpy(), layer.weight.detach().double().numpy()
    (kh, kw), (sh, sw), (ph, pw), (dh, dw) = layer.kernel_size, layer.stride, layer.padding, layer.dilation
    n, c, h, w = a.shape
    padded = np.pad(a, ((0, 0), (0, 0), (ph, ph), (pw, pw)))
    rows = (h + 2 * ph - dh * (kh - 1) - 1) // sh + 1
    cols = (w + 2 * pw - dw * (kw - 1) - 1) // sw + 1
    out = np.zeros((n, layer.out_channels, rows, cols))
    matrix = np.zeros((*out.shape, c, h + 2 * ph, w + 2 * pw))
    size = c // layer.groups
    for i, o, y, x in itertools.product(*map(range, out.shape)):
        first = o // (layer.out_channels // layer.groups) * size
        at = np.ix_(
            range(first, first + size),
            range(y * sh, y * sh + dh * kh, dh)[:kh],
            range(x * sw, x * sw + dw * kw, dw)[:kw],
        )
        patch = padded[i][at]
        candidates = [k / np.linalg.norm(k) for k in weight[o * layer.max_out : (o + 1) * layer.max_out]]
        unit = max(candidates, key=lambda k: (k * patch).sum())
        lin = (unit * patch).sum()
        scale = scaled(lin, math.sqrt((patch**2).sum() + 1e-6), layer.b)
        out[i, o, y, x] = scale * lin
        matrix[i, o, y, x][at] = scale * unit
    return out, matrix[..., ph : ph + h, pw : pw + w]


def conv(dtype, b=2, **options):
    torch.manual_seed(0)
    layer = BcosConv2d(4, 4, **({"kernel_size": 3} | options), b=b).to(dtype)
    return layer, torch.randn(2, 4, 6, 5, dtype=dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("b", [1, 2, 1.5, 3])
@pytest.mark.parametrize("options", CONVOLUTIONS.values(), ids=CONVOLUTIONS)
def test_convolution(options, b, dtype):
    layer, a = conv(dtype, b, **options)
    want, matrix = slow_conv(layer, a)
    close(layer(a).detach(), want, dtype)
    with explanation_mode(layer):
        got = torch.autograd.functional.jacobian(layer, a[:1])[0, :, :, :, 0]
    close(got, matrix[0], dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    "options", [{}, {"stride": 3, "padding": 2}, {"dilation": 2, "padding": 4}, {"groups": 2}, {"max_out": 2}]
)
def test_convolution_of_signals(options, dtype):
    """Output and dynamic weights, step by step."""
    torch.manual_seed(1)
    layer = BcosConv1d(4, 6, 5, **options).to(dtype)
    a = torch.randn(2, 4, 17, dtype=dtype)
    got, (stride, pad, dilation) = layer(a).detach(), (layer.stride[1], layer.padding[1], layer.dilation[1])
    weight = layer.weight.detach().double().numpy()[:, :, 0]
    padded = np.pad(a.double().numpy(), ((0, 0), (0, 0), (pad, pad)))
    own = 4 // layer.groups
    want = np.zeros(got.shape)
    for n, o, t in np.ndindex(*got.shape):
        first = o // (6 // layer.groups) * own
        patch = padded[n, first : first + own, t * stride : t * stride + 4 * dilation + 1 : dilation]
        units = [k / np.linalg.norm(k) for k in weight[o * layer.max_out : (o + 1) * layer.max_out]]
        lin = max((k * patch).sum() for k in units)
        want[n, o, t] = scaled(lin, math.sqrt((patch**2).sum() + 1e-6), 2) * lin
    close(got, want, dtype)
    with explanation_mode(layer):
        matrix = torch.autograd.functional.jacobian(layer, a[:1])[0, :, :, 0]
    close(torch.einsum("otcs,cs->ot", matrix, a[0]), want[0], dtype)  # W(x) x is the output


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("b", "max_out"), [(1, 1), (2, 1), (2.5, 1), (2, 3)])
def test_linear(b, max_out, dtype):
    torch.manual_seed(1)
    layer = BcosLinear(7, 5, b, max_out).to(dtype)
    a = torch.randn(3, 4, 7, dtype=dtype)
    want, matrix = np.zeros((3, 4, 5)), np.zeros((3, 4, 5, 7))
    weight = layer.weight.detach().double().numpy()
    for i, j, o in np.ndindex(3, 4, 5):
        v = a[i, j].double().numpy()
        unit = max(
            (k / np.linalg.norm(k) for k in weight[o * max_out : (o + 1) * max_out]), key=lambda k: k @ v
        )
        scale = scaled(unit @ v, np.linalg.norm(v), b)
        want[i, j, o], matrix[i, j, o] = scale * (unit @ v), scale * unit
    close(layer(a).detach(), want, dtype)
    with explanation_mode(layer):
        got = torch.autograd.functional.jacobian(layer, a[1, 2])
    close(got, matrix[1, 2], dtype)


def test_dynamic_weights_are_parallel_to_the_weights_and_plain_gradients_are_not():
    torch.manual_seed(2)
    layer = BcosLinear(6, 4).double()
    a = torch.randn(6, dtype=torch.float64)
    unit = (layer.weight / layer.weight.norm(dim=1, keepdim=True)).detach()
    cos = unit @ a / a.norm()
    with explanation_mode(layer):
        torch.testing.assert_close(
            torch.autograd.functional.jacobian(layer, a), cos.abs()[:, None] * unit, rtol=0, atol=1e-12
        )
    plain = 2 * cos.abs()[:, None] * unit - (cos.abs() * cos)[:, None] * a / a.norm()
    torch.testing.assert_close(torch.autograd.functional.jacobian(layer, a), plain, rtol=0, atol=1e-9)
    assert (plain - cos.abs()[:, None] * unit).abs().max() > 0.01


@pytest.mark.parametrize("b", [1, 2, 3])
def test_homogeneous_of_degree_one_and_deaf_to_the_length_of_weights(b):
    layer, a = conv(torch.float64, b)
    torch.testing.assert_close(layer(5 * a), 5 * layer(a), rtol=1e-5, atol=1e-5)
    before = layer(a)
    layer.weight.data *= 7
    torch.testing.assert_close(layer(a), before, rtol=1e-12, atol=1e-12)


def test_zero_input_gives_zero_and_a_finite_gradient():
    for layer, shape in ((BcosLinear(3, 2), (1, 3)), (BcosConv2d(3, 2, 3, padding=1), (1, 3, 4, 4))):
        a = torch.zeros(shape, requires_grad=True)
        out = layer(a)
        assert (out == 0).all()
        assert torch.isfinite(torch.autograd.grad(out.sum(), a)[0]).all()


def test_inverse_channels_and_logit_layer():
    x = torch.rand(2, 3, 4, 5)
    six = add_inverse(x)
    assert six.shape == (2, 6, 4, 5)
    assert torch.equal(six[:, :3], x)
    torch.testing.assert_close(six.sum(1), torch.full((2, 4, 5), 3.0))
    assert torch.equal(add_inverse(x[:, :1])[:, 1], 1 - x[:, 0])
    logits = torch.tensor([2.0, -4.0])
    torch.testing.assert_close(LogitLayer(4, -1)(logits), torch.tensor([-0.5, -2.0]))
    torch.testing.assert_close(LogitLayer()(logits), logits)


@pytest.mark.parametrize("wrong", [{"b": 0.5}, {"max_out": 0}])
def test_impossible_layers_are_refused(wrong):
    with pytest.raises(ValueError, match="at least 1"):
        BcosLinear(2, 2, **wrong)
    with pytest.raises(ValueError, match="at least 1"):
        BcosConv2d(2, 2, **wrong)
    with pytest.raises(ValueError, match="3 groups"):
        BcosConv2d(4, 6, groups=3)
