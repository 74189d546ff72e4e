"""Saliency methods: completeness, agreement with reference versions, number of passes, and absence of side effects."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from xai_views.engine.attribution import maps as module
from xai_views.engine.attribution.maps import cam_path, fits, saliency
from xai_views.errors import MethodError
from xai_views.methods.sic.method import SICMethod
from xai_views.models import open_model, passes
from xai_views.scores.curves import filled

from .saliency_nets import ACTS, CAPPED, DTYPES, SIZE, TARGETS, Net, Of, images, logits, toy

# -- completeness ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("act", ACTS)
def test_gradient_x_input_sums_to_the_logit_of_a_bias_free_piecewise_linear_network(act, dtype):
    model, x = toy(act, dtype), images()
    found = saliency(model, x, TARGETS, "gradient x input")
    want = logits(model, x)[range(3), TARGETS]
    np.testing.assert_allclose(found.sum((1, 2)), want, rtol=1e-5 if dtype == torch.float32 else 1e-12)
    assert found.dtype == str(dtype).removeprefix("torch.")


@pytest.mark.parametrize("fill", module.FILLS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_integrated_gradients_sum_to_the_difference(dtype, fill):
    model, x = toy("module", dtype, bias=True), images()
    found = {n: saliency(model, x, TARGETS, "integrated gradients", steps=n, fill=fill) for n in (4, 256)}
    start = np.stack([filled(i, fill) for i in x])
    want = (logits(model, x) - logits(model, start))[range(3), TARGETS]
    gap = {n: np.abs(f.sum((1, 2)) - want).max() for n, f in found.items()}
    assert gap[256] < 1e-2 * np.abs(want).max()
    assert gap[256] < gap[4]
    assert np.abs(want).min() > 0


def test_integrated_gradients_of_a_polynomial_are_exact():
    model = toy(lambda: Of(lambda x: x**3), torch.float64)
    found = saliency(model, images(), TARGETS, "integrated gradients", steps=8)
    want = (logits(model, images()) - logits(model, 0 * images()))[range(3), TARGETS]
    np.testing.assert_allclose(found.sum((1, 2)), want, rtol=1e-8)  # captum's weights are float32


def test_shipped_integrated_gradients_sum_to_the_difference(shipped):
    model, x, label = shipped
    found = saliency(model, x, label, "integrated gradients", steps=64)
    want = (logits(model, x) - logits(model, 0 * x))[range(4), label]
    np.testing.assert_allclose(found.sum((1, 2)), want, atol=0.03 * np.abs(want).max())


def test_sic_maps_sum_to_the_logit_minus_the_bias_and_are_those_of_the_method(shipped):
    model, x, label = shipped
    found = saliency(model, x, label, "sic")
    np.testing.assert_allclose(
        found.sum((1, 2)), logits(model, x)[range(4), label] - model.module.bias, rtol=1e-4
    )
    method = SICMethod()
    for i, c in enumerate(label):
        ask = method.ask(targets=[int(c)])
        own = method.interpret(model, method.observe(model, x[i : i + 1], [ask], [None])[0], ask)
        np.testing.assert_allclose(found[i], own["contribution"].values[0, 0], rtol=1e-4, atol=1e-7)


# -- agreement -------------------------------------------------------------------------------------------------------


def test_gradient_is_the_slope():
    model, x = toy("module", bias=True), images(1)
    found = saliency(model, x, [1], "gradient")
    for y, u in ((0, 0), (5, 4), (11, 9)):
        step = np.zeros_like(x)
        step[0, y, u] = 1e-6
        slope = (logits(model, np.clip(x + step, 0, 1)) - logits(model, x - step))[0, 1] / 2e-6
        assert found[0, y, u] == pytest.approx(slope, rel=1e-6)


def test_absolute_reduction_is_over_channels():
    model, x = toy(), images()
    t = model.tensor(x).requires_grad_()
    out = model.module(t)[range(3), TARGETS].sum()
    gradient = torch.autograd.grad(out, t)[0]
    np.testing.assert_allclose(saliency(model, x, TARGETS, "gradient", reduce="abs"), gradient.abs().sum(1))
    np.testing.assert_allclose(saliency(model, x, TARGETS, "gradient"), gradient.sum(1))
    for name in ("occlusion", "grad-cam"):
        np.testing.assert_array_equal(
            saliency(model, x, TARGETS, name, reduce="abs"), np.abs(saliency(model, x, TARGETS, name))
        )


def test_guided_backprop_equals_captum_where_captum_sees_the_relus():
    from captum.attr import GuidedBackprop

    model, x = toy("module", bias=True), images()
    want = GuidedBackprop(copy.deepcopy(model.module)).attribute(
        model.tensor(x).requires_grad_(), target=TARGETS
    )
    found = saliency(model, x, TARGETS, "guided backprop")
    np.testing.assert_allclose(found, want.detach().sum(1), rtol=1e-12)
    assert not np.allclose(found, saliency(model, x, TARGETS, "gradient"))


@pytest.mark.parametrize("act", ACTS)
def test_guided_backprop_is_the_same_however_the_relu_is_written(act):
    want = saliency(toy("module", bias=True), images(), TARGETS, "guided backprop")
    np.testing.assert_allclose(
        saliency(toy(act, bias=True), images(), TARGETS, "guided backprop"), want, rtol=1e-12
    )


class GuidedReLU6(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x.clamp(0, 6)

    @staticmethod
    def backward(ctx, grad):
        (x,) = ctx.saved_tensors
        return grad.clamp(min=0) * ((x > 0) & (x < 6))


@pytest.mark.parametrize("act", CAPPED)
def test_guided_backprop_through_relu6_equals_a_written_out_rule(act):
    model, x = toy(CAPPED[act], scale=30, bias=True), images()
    slow = Net(lambda: Of(GuidedReLU6.apply), bias=True).double()
    slow.load_state_dict(model.module.state_dict())
    t = model.tensor(x).requires_grad_()
    want = torch.autograd.grad(slow(t)[range(3), TARGETS].sum(), t)[0].sum(1)
    np.testing.assert_allclose(saliency(model, x, TARGETS, "guided backprop"), want, rtol=1e-12)
    with torch.no_grad():
        assert float((model.module.a(model.tensor(x)) > 6).double().mean()) > 0.05  # the cap is reached


@pytest.mark.parametrize(
    "act", [nn.GELU, nn.SiLU, lambda: nn.Hardtanh(-1, 1), lambda: Of(lambda x: x.clamp(min=0.1))]
)
def test_guided_backprop_without_relus_says_so(act):
    model = toy(act)
    reason = fits(model, "guided backprop")
    assert "has none" in reason
    assert reason.endswith(".")
    with pytest.raises(MethodError, match="needs ReLUs"):
        saliency(model, images(), TARGETS, "guided backprop")
    before = passes.snapshot()
    assert fits(model, "guided backprop") == reason  # known by now
    assert passes.snapshot() == before


def test_grad_cam_of_a_linear_head_is_the_class_activation_map_without_a_backward_pass():
    model, x = toy("module", bias=True), images()
    cam_path(model)  # looks into the network, once
    before = passes.snapshot()
    found = saliency(model, x, TARGETS, "grad-cam")
    after = passes.snapshot()
    assert (after["forward"] - before["forward"], after["backward"] - before["backward"]) == (3, 0)
    net = model.module
    with torch.no_grad():
        last = F.relu(net.b(F.relu(net.a(model.tensor(x)))))
        maps = torch.einsum("nc,nchw->nhw", net.head.weight[TARGETS], last).clamp(min=0) / last[0, 0].numel()
    want = F.interpolate(maps[:, None], size=SIZE, mode="bilinear", align_corners=False)[:, 0]
    np.testing.assert_allclose(found, want, rtol=1e-10)
    assert found.max() > 0


@pytest.mark.parametrize("tap", ["act2", "act1", "b"])
@pytest.mark.parametrize("linear", [True, False], ids=["linear head", "other head"])
def test_grad_cam_equals_captum(linear, tap):
    from captum.attr import LayerAttribution, LayerGradCam

    torch.manual_seed(0)
    head = None if linear else nn.Sequential(nn.Linear(8, 5), nn.Tanh(), nn.Linear(5, 4))
    model, x = toy("module", bias=True, head=head), images()
    method = LayerGradCam(model.module, model.module.get_submodule(tap))
    with torch.enable_grad():
        small = method.attribute(model.tensor(x).requires_grad_(), target=TARGETS, relu_attributions=True)
    want = LayerAttribution.interpolate(small.detach(), SIZE, "bilinear")[:, 0]
    found = saliency(model, x, TARGETS, "grad-cam", tap=tap)
    np.testing.assert_allclose(found, want, rtol=1e-9, atol=1e-12)
    assert found.max() > 0


def test_grad_cam_of_a_transformer_looks_where_the_class_token_still_listens():
    from xai_views.models.families.vit.network import ViT

    torch.manual_seed(0)
    net = ViT(3, 4, (16, 16), patch=4, dim=24, depth=3, heads=2, registers=2)
    model = open_model(net, channels=3, size=(16, 16), name="vit for grad-cam")
    assert cam_path(model) == "blocks.1"
    x = np.random.default_rng(0).random((2, 16, 16, 3))
    assert saliency(model, x, [0, 1], "grad-cam").max() > 0
    assert saliency(model, x, [0, 1], "grad-cam", tap="blocks.2").max() == 0


@pytest.mark.parametrize("fill", module.FILLS)
@pytest.mark.parametrize(("window", "stride"), [((3, 4), (2, 2)), ((5, 5), (5, 5)), ((2, 3), (1, 3))])
def test_occlusion_equals_a_slow_loop(window, stride, fill):
    model, x = toy("module", bias=True), images(2)
    found = saliency(model, x, [1, 3], "occlusion", window=window, stride=stride, fill=fill, batch=7)
    whole = logits(model, x)
    want, times = np.zeros((2, *SIZE)), np.zeros(SIZE)
    starts = [range(0, -(-(n - w) // s) * s + 1, s) for n, w, s in zip(SIZE, window, stride, strict=True)]
    for y in starts[0]:
        for u in starts[1]:
            at = np.s_[y : y + window[0], u : u + window[1]]
            gone = x.copy()
            for i in range(2):
                gone[i][at] = filled(x[i], fill)[at]
            drop = (whole - logits(model, gone))[[0, 1], [1, 3]]
            times[at] += 1
            for i in range(2):
                want[i][at] += drop[i]
    np.testing.assert_allclose(found, want / times, rtol=1e-5, atol=1e-8)  # captum adds up in float32
