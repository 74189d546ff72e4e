"""Occlusion and integrated gradients in steps: agreement with captum, number of passes, and partial maps."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from xai_views.contract.method import Progress
from xai_views.engine.attribution.maps import images_asked, saliency, saliency_steps
from xai_views.engine.attribution.steps import occlusion_windows, whole
from xai_views.errors import MethodError
from xai_views.models import open_model, passes

SIZES = [(12, 10), (16, 16), (17, 23)]
TARGETS = [2, 0, 2]


def network(dtype: torch.dtype):
    torch.manual_seed(3)
    net = nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1),
        nn.SiLU(),
        nn.Conv2d(6, 8, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, 4),
    )
    return open_model(net.to(dtype).eval(), channels=3, name=f"steps {dtype}")


def images(size: tuple[int, int], n: int = 3) -> np.ndarray:
    return np.random.default_rng(0).random((n, *size, 3))


def steps_of(*given, **options) -> tuple[list[Progress], np.ndarray]:
    """All progress steps of a generator, and its return value."""
    running, told = saliency_steps(*given, **options), []
    while True:
        try:
            told.append(next(running))
        except StopIteration as end:
            return told, end.value


@pytest.mark.parametrize("batch", [1, 7, 64])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("size", SIZES)
def test_integrated_gradients_are_those_of_captum(size, dtype, batch):
    from captum.attr import IntegratedGradients

    model, x = network(dtype), images(size)
    want = IntegratedGradients(model.module).attribute(
        model.tensor(x).requires_grad_(), baselines=0.0, target=TARGETS, n_steps=32
    )
    found = saliency(model, x, TARGETS, "integrated gradients", batch=batch)
    scale = float(want.detach().abs().max())  # captum's weights are in float32 in any case
    np.testing.assert_allclose(found, want.detach().sum(1), rtol=0, atol=2e-6 * scale)


@pytest.mark.parametrize("batch", [1, 7, 64])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("size", SIZES)
def test_occlusion_is_that_of_captum(size, dtype, batch):
    """With the same defaults: an eighth of the sides, and half of that."""
    from captum.attr import Occlusion

    model, x = network(dtype), images(size)
    window = tuple(-(-s // 8) for s in size)
    stride = tuple(-(-w // 2) for w in window)
    with torch.no_grad():
        want = Occlusion(model.module).attribute(
            model.tensor(x),
            sliding_window_shapes=(3, *window),
            strides=(3, *stride),
            baselines=0.0,
            target=TARGETS,
        )[:, 0]
    found = saliency(model, x, TARGETS, "occlusion", batch=batch)
    # differences of logits: the error is relative to the logits
    atol = 1e-6 if dtype == torch.float32 else 1e-9
    np.testing.assert_allclose(found, want, rtol=0, atol=atol)
    assert float(want.abs().max()) > 1000 * (atol if dtype == torch.float64 else 1e-8)


@pytest.mark.parametrize(
    ("window", "stride"),
    [(None, None), ((3, 4), (2, 2)), ((5, 5), (5, 5)), ((12, 10), (1, 1)), ((1, 1), (1, 1))],
)
def test_windows_cover_every_pixel_and_are_as_many_as_said(window, stride):
    windows = occlusion_windows((12, 10), window, stride)
    times = np.zeros((12, 10), int)
    for rows, columns in windows:
        times[rows, columns] += 1
    assert times.min() >= 1
    assert len(set(map(str, windows))) == len(windows)
    asked = images_asked("occlusion", 3, (12, 10), window=window, stride=stride)
    assert asked == 3 * (1 + len(windows))


def test_windows_that_do_not_fit_are_one_sentence():
    with pytest.raises(
        MethodError, match=r"give windows that fit into the image and strides that fit into windows\.$"
    ):
        occlusion_windows((12, 10), (3, 3), (4, 3))


@pytest.mark.parametrize("name", ["occlusion", "integrated gradients"])
@pytest.mark.parametrize("batch", [1, 4, 50])
def test_it_pauses_before_every_call_and_counts_what_it_asks(name, batch):
    model, x = network(torch.float32), images((16, 16))
    running = saliency_steps(model, x, TARGETS, name, batch=batch)
    total, before = images_asked(name, 3, (16, 16)), passes.snapshot()
    calls, spent = 0, 0
    for step in running:
        now = passes.snapshot()
        assert now["forward_calls"] - before["forward_calls"] <= calls, "one call at most between two pauses"
        assert (step.done, step.total) == (now["forward"] - before["forward"], total)
        assert step.done - spent <= max(batch, 3)
        calls, spent = calls + 1, step.done
    after = passes.snapshot()
    assert after["forward"] - before["forward"] == total
    assert after["backward"] - before["backward"] == (total if name == "integrated gradients" else 0)


def test_what_is_stopped_asks_no_more():
    model, x = network(torch.float32), images((16, 16))
    running = saliency_steps(model, x, TARGETS, "occlusion", batch=4)
    for _ in range(5):
        next(running)
    before = passes.snapshot()
    running.close()
    assert passes.snapshot() == before


def test_nothing_is_left_switched_off_while_it_waits():
    model, x = network(torch.float32), images((16, 16))
    for name in ("occlusion", "integrated gradients", "gradient", "grad-cam"):
        for _ in saliency_steps(model, x, TARGETS, name, batch=4):
            assert torch.is_grad_enabled()
            assert not torch.is_inference_mode_enabled()
            assert not torch.is_autocast_enabled("cpu")


@pytest.mark.parametrize("reduce", ["sum", "abs"])
def test_partial_maps_of_occlusion_are_of_the_windows_so_far(reduce):
    """All windows of one size: the partial map of a pixel is the mean over the windows that have covered it."""
    model, x = network(torch.float64), images((16, 16), 2)
    options = {"window": (4, 4), "stride": (4, 4), "reduce": reduce}
    told, final = steps_of(model, x, [1, 3], "occlusion", batch=1, **options)
    covered = []
    for step in told:
        assert len(step.partial) == 2
        for i, shown in enumerate(step.partial):
            if shown is None:
                continue
            inside = shown != 0
            np.testing.assert_allclose(shown[inside], final[i][inside], rtol=1e-12)
            if i == 0:
                covered.append(int(inside.sum()))
    assert covered[0] == 16
    assert sorted(covered) == covered
    assert told[-1].partial[0].all(), "the first image is done by then"
    assert told[0].partial == [None, None]
    _, other = steps_of(model, x, [1, 3], "occlusion", batch=64, **options)
    np.testing.assert_allclose(other, final, rtol=1e-9, atol=1e-14)


def test_part_of_an_integral_is_not_shown():
    model, x = network(torch.float32), images((16, 16), 2)
    told, final = steps_of(model, x, [1, 3], "integrated gradients", batch=1)
    assert [p for step in told[:32] for p in step.partial] == [None] * 64
    np.testing.assert_array_equal(told[-1].partial[0], final[0])
    assert whole(saliency_steps(model, x, [1, 3], "integrated gradients", batch=1)).shape == (2, 16, 16)
