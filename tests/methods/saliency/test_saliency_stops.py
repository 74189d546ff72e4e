"""Maps that need many passes, in the kernel: stopped half-way, shown while running, and without delaying other requests."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import torch
from torch import nn

from xai_views.contract.method import Progress
from xai_views.engine.attribution.maps import images_asked
from xai_views.engine.attribution.steps import whole
from xai_views.kernel import Kernel
from xai_views.methods import get
from xai_views.models import open_model, passes
from xai_views.samples import digest

SIDE, N = 96, 6
TOTAL = images_asked("occlusion", N, (SIDE, SIDE))
WAIT = 60


@pytest.fixture
def kernel(monkeypatch):
    monkeypatch.setattr("xai_views.kernel.listeners.PERIOD", 0)  # listeners hear everything
    with Kernel(device="cpu") as kernel:
        yield kernel


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(3, 4, 3, stride=2), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 5)
    )
    return open_model(net.eval(), channels=3, size=(SIDE, SIDE), name="small, of many windows")


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).integers(0, 256, (N + 1, SIDE, SIDE, 3)).astype(np.uint8)


def explain(kernel, model, x, ask, method="saliency", **more):
    return kernel.explain(model, x, [digest(i) for i in x], get(method), [ask] * len(x), **more)


@pytest.mark.parametrize("method", ["saliency", "nas"])
def test_a_cancelled_map_is_out_of_the_way_at_once_and_the_status_says_how_far_it_was(
    kernel, model, images, method
):
    """Regression: the next request waited for all windows, and the status showed (0, 1) throughout."""
    seen, asked, at, moved_on = [], [], [], threading.Event()

    def heard(position, result, done, total):
        shown = kernel.status().progress or (0, 0)
        seen.append((done, total, shown))
        if shown[0] and not at:
            at.append(passes.snapshot()["forward"])
            assert future.cancel()
            asked.append(explain(kernel, model, images[N:], get("saliency").ask(map="gradient")))
            moved_on.set()

    ready = threading.Event()
    kernel.run(lambda progress: ready.wait(WAIT), priority=-1)  # nothing is heard before there is a future
    future = explain(kernel, model, images[:N], get(method).ask(map="occlusion"), method, partial=heard)
    ready.set()
    assert moved_on.wait(WAIT)
    assert future.cancelled()
    assert asked[0].result(WAIT)[0]["attribution"].values.any()
    spent = passes.snapshot()["forward"] - at[0]
    assert spent <= 2, "the two passes of the next request; none of the remaining windows"
    kernel.wait_idle(WAIT)
    assert passes.snapshot()["forward"] - at[0] == spent
    done, total, status = seen[-1]
    assert total == status[1] == TOTAL
    assert 0 < status[0] <= done < TOTAL / 10


@pytest.mark.parametrize("map_", ["integrated gradients", "occlusion"])
def test_other_requests_are_served_between_two_steps(kernel, model, images, map_):
    order = []

    def heard(position, result, done, total):
        if not order:
            order.append("asked")
            quick = explain(kernel, model, images[N:], get("saliency").ask(map="gradient"))
            quick.add_done_callback(lambda _: order.append("quick"))

    slow = explain(kernel, model, images[:2], get("saliency").ask(map=map_), priority=1, partial=heard)
    slow.add_done_callback(lambda _: order.append("slow"))
    slow.result(WAIT)
    kernel.wait_idle(WAIT)
    assert order == ["asked", "quick", "slow"]


def test_what_is_seen_on_the_way_becomes_the_map(kernel, model, images):
    ask, shown = get("saliency").ask(map="occlusion"), []

    def heard(position, result, done, total):
        if result is not None:
            shown.append((position, result["attribution"].values[0].copy()))

    final = explain(kernel, model, images[:2], ask, partial=heard).result(WAIT)
    of_first = [m for position, m in shown if position == 0]
    assert len(of_first) > 5
    covered = [int((m != 0).sum()) for m in of_first]
    assert covered == sorted(covered)
    assert 0 < covered[0] < SIDE * SIDE / 4
    same = of_first[-1] == final[0]["attribution"].values[0]
    assert 0.8 < same.mean() < 1, "except where the last windows are"
    before = passes.snapshot()
    again = explain(kernel, model, images[:2], ask).result(WAIT)
    assert passes.snapshot() == before, "kept when it is complete"
    for one, other in zip(final, again, strict=True):
        assert one.identical(other)


def test_a_batch_of_different_wishes_tells_of_each_what_is_known(model, images):
    method = get("saliency")
    asks = [method.ask(map="occlusion"), method.ask(map="gradient"), method.ask(map="occlusion", targets=[2])]
    running = method.observe(model, images[:3], asks, [None] * 3)
    told = []
    while True:
        try:
            told.append(next(running))
        except StopIteration as end:
            final = end.value
            break
    assert all(isinstance(step, Progress) for step in told)
    done = [step.done for step in told]
    assert done == sorted(done)
    assert {step.total for step in told} == {images_asked("occlusion", 2, (SIDE, SIDE)) + 1}
    for i, (ask, observed) in enumerate(zip(asks, final, strict=True)):
        alone = whole(method.observe(model, images[i : i + 1], [ask], [None]))[0]
        np.testing.assert_allclose(
            method.interpret(model, observed, ask)["attribution"],
            method.interpret(model, alone, ask)["attribution"],
            rtol=1e-4,
            atol=1e-7,
        )
        assert all(step.partial[i] is None or method.covers(model, step.partial[i], ask) for step in told)
    assert any(step.partial[0] is not None and step.partial[1] is None for step in told)


def test_what_is_known_is_added_to_and_not_changed(model, images):
    method = get("saliency")
    first, second = method.ask(map="gradient"), method.ask(map="edges")
    (known,) = whole(method.observe(model, images[:1], [first], [None]))
    (more,) = whole(method.observe(model, images[:1], [second], [known]))
    assert not method.covers(model, known, second)
    assert method.covers(model, more, first)
    assert method.covers(model, more, second)
    assert more.nbytes > known.nbytes
