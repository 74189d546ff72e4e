"""Explanation mode on whole networks: exact weights, and no side effects."""

import threading

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from xai_views.engine.attribution.bcos import contribution, pull_back
from xai_views.models.bcos import (
    BcosConv2d,
    BcosLinear,
    Detachable,
    UncentredBatchNorm2d,
    add_inverse,
    explanation_mode,
)


class Net(nn.Module):
    """Three B-cos layers with a batch norm and pooling; ``[N, 4, 6, 6]`` to ``[N, 3]``."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.norm = BcosConv2d(4, 5, 3, padding=1), UncentredBatchNorm2d(5)
        self.second, self.head = BcosConv2d(5, 4, 3, stride=2), BcosLinear(4, 3)
        self.norm.running_var.uniform_(0.1, 0.5)
        self.double().eval()

    def forward(self, x):
        return self.head(self.second(self.norm(self.first(x))).mean((2, 3)))


def images(n=2):
    return add_inverse(torch.rand(n, 2, 6, 6, generator=torch.Generator().manual_seed(1)).double())


def weights(net, x, target=0):
    """Dynamic weights ``[N, C, H, W]`` of one output."""
    row = torch.eye(3, dtype=x.dtype)[None, target : target + 1]
    return pull_back(net, net, x, lambda value: row.expand(len(value), -1, -1))[1][0]


def matrix(layer, a):
    """Dynamic matrix of one layer at ``a`` from its definition: scale times linear map."""
    with torch.no_grad():
        size = a.numel()
        basis = torch.eye(size, dtype=a.dtype).reshape(size, *a.shape)
        if isinstance(layer, BcosConv2d):
            w = layer.weight / layer.weight.flatten(1).norm(dim=1)[:, None, None, None]

            def linear(v):
                return F.conv2d(v, w, None, layer.stride, layer.padding)

            ones = torch.ones(1, *w.shape[1:], dtype=a.dtype)
            norm = (F.conv2d(a[None] ** 2, ones, None, layer.stride, layer.padding) + 1e-6).sqrt()
        else:
            w = layer.weight / layer.weight.norm(dim=1, keepdim=True)

            def linear(v):
                return v @ w.T

            norm = a.norm()
        scale = linear(a[None]).abs() / norm
        return (scale * linear(basis)).flatten(1).T, scale


def composed(net, image):
    """Return the product of the matrices of all layers, ``[3, inputs]``."""
    total, a = None, image
    for layer in (net.first, net.norm, net.second, "pool", net.head):
        if layer == "pool":
            m = torch.kron(torch.eye(a.shape[0]), torch.full((1, a[0].numel()), 1 / a[0].numel())).double()
            a = a.mean((1, 2))
        elif layer is net.norm:
            gain = layer.weight / (layer.running_var + 1e-5).sqrt()
            m = torch.diag(gain.detach().repeat_interleave(a[0].numel()))
            a = a * gain.detach()[:, None, None]
        else:
            m, scale = matrix(layer, a)
            shape = scale.shape[1:]
            a = (m @ a.flatten()).reshape(shape)
        total = m if total is None else m @ total
    return total


def test_weights_are_the_product_of_the_layers_matrices():
    net, x = Net(), images()
    for n in range(len(x)):
        product = composed(net, x[n])
        torch.testing.assert_close(product @ x[n].flatten(), net(x[n : n + 1])[0], rtol=1e-10, atol=1e-12)
        for target in range(3):
            got = weights(net, x, target)[n].flatten()
            torch.testing.assert_close(got, product[target], rtol=0, atol=1e-10 * float(product.abs().max()))


def test_completeness_does_not_prove_that_detaching_works():
    """Gradient times input sums to the same output, but its map differs at the pixels."""
    net, x = Net(), images()
    leaf = x.clone().requires_grad_()
    plain = contribution(torch.autograd.grad(net(leaf)[:, 0].sum(), leaf)[0], x)
    ours = contribution(weights(net, x), x)
    torch.testing.assert_close(plain.sum((1, 2)), net(x)[:, 0].detach(), rtol=1e-3, atol=1e-6)
    torch.testing.assert_close(ours.sum((1, 2)), net(x)[:, 0].detach(), rtol=1e-10, atol=1e-12)
    cosine = F.cosine_similarity(plain.flatten(1), ours.flatten(1))
    assert (cosine < 0.95).all(), cosine


def test_frozen_network_is_linear_in_any_other_image():
    net, x, other = Net(), images(1), images(3)[2:]
    scales = {}
    a = x[0]
    for name in ("first", "second", "head"):
        a = a.mean((1, 2)) if name == "head" else a
        m, scales[name] = matrix(getattr(net, name), a)
        a = (m @ a.flatten()).reshape(scales[name].shape[1:])
        a = net.norm(a[None])[0].detach() if name == "first" else a
    with torch.no_grad():  # the same layers, every scale as it was at x

        def unit(layer):
            return layer.weight / layer.weight.flatten(1).norm(dim=1).view(-1, *[1] * (layer.weight.ndim - 1))

        y = net.norm(scales["first"] * F.conv2d(other, unit(net.first), padding=1))
        y = (scales["second"] * F.conv2d(y, unit(net.second), stride=2)).mean((2, 3))
        frozen = scales["head"] * (y @ unit(net.head).T)
    for target in range(3):
        linear = (weights(net, x, target) * other).sum()
        torch.testing.assert_close(linear, frozen[0, target], rtol=1e-9, atol=1e-12)


def flags(net):
    return [(m.training, getattr(m, "detached", None)) for m in net.modules()]


def test_flags_are_put_back_even_after_an_exception():
    net = Net()
    net.train()
    net.second.eval()
    net.head.detached = True
    before = flags(net)
    with explanation_mode(net):
        assert all(not m.training for m in net.modules())
        assert all(m.detached for m in net.modules() if isinstance(m, Detachable))
    assert flags(net) == before
    with pytest.raises(RuntimeError, match="boom"), explanation_mode(net):
        raise RuntimeError("boom")
    assert flags(net) == before
    with pytest.raises(RuntimeError):
        pull_back(net, net, torch.zeros(1, 3, 6, 6).double(), lambda v: v[:, None])
    assert flags(net) == before


def test_nested_use_and_parts_of_a_network():
    net = Net().train()
    before = flags(net)
    with explanation_mode(net.first):
        assert net.first.detached
        assert not net.second.detached
        with explanation_mode(net):
            assert net.second.detached
        assert net.first.detached, "the outer context is still active"
        assert not net.second.detached
    assert flags(net) == before


def test_threads_that_explain_at_once_do_not_spoil_one_another():
    net, x = Net(), images()
    want = weights(net, x)
    inside, leave = threading.Event(), threading.Event()

    def other():
        with explanation_mode(net):
            inside.set()
            leave.wait(10)

    got = []

    def vectors(value):  # the other thread leaves the mode between this thread's forward and backward passes
        return torch.eye(3, dtype=value.dtype)[None, :1].expand(len(value), -1, -1)

    def function(v):
        leave.set()
        thread.join(10)
        return net(v)

    thread = threading.Thread(target=other)
    thread.start()
    assert inside.wait(10)
    got = pull_back(net, function, x, vectors)[1][0]
    assert torch.equal(got, want)
    assert all(not m.detached for m in net.modules() if isinstance(m, Detachable))


def test_calls_repeat_and_touch_nothing_of_the_caller():
    net, x = Net(), images()
    x.requires_grad_()
    kept = x.detach().clone()
    for p in net.parameters():
        p.grad = torch.full_like(p, 7)
    first = weights(net, x)
    copy = first.clone()
    second = weights(net, x)
    third = weights(net, images(3)[1:])
    assert torch.equal(first, copy)
    assert torch.equal(first, second)
    assert not torch.equal(first, third)
    assert x.grad is None
    assert torch.equal(x.detach(), kept)
    assert all((p.grad == 7).all() for p in net.parameters())
    assert not first.requires_grad


def test_it_does_not_matter_what_the_caller_is_in_the_middle_of():
    net, x = Net().float(), images().float()
    want = weights(net, x)
    with torch.no_grad():
        assert torch.equal(weights(net, x), want)
    with torch.inference_mode():
        assert torch.equal(weights(net, add_inverse(x[:, :2])), want)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(weights(net, x), want)


def test_batch_equals_loop():
    net, x = Net(), images(4)
    alone = torch.cat([weights(net, x[i : i + 1]) for i in range(4)])
    np.testing.assert_allclose(weights(net, x).numpy(), alone.numpy(), rtol=0, atol=1e-12)
