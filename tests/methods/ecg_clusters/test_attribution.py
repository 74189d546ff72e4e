"""Attribution of leads and steps: closed forms, comparison with a loop over windows, number of passes, and the gap."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from xai_views import open_model
from xai_views.contract.method import Progress
from xai_views.errors import MethodError, XaiViewsError
from xai_views.methods.ecg_clusters.attribution import METHODS, attribute
from xai_views.methods.ecg_clusters.method import EcgClustersMethod
from xai_views.models.heads import find_head

from ..nave_nets import counted
from .ecg_nets import RATE, STEPS, TAPS, local, noisy, run, silence

DTYPES = [torch.float32, torch.float64]
METHOD = EcgClustersMethod()
T = 40


class Squares(nn.Module):
    """Logit q is ``b_q + w_q . x + v_q . x^2``, so gradients and integrals are known."""

    def __init__(self):
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.w, self.v = (nn.Parameter(torch.randn(2, 3, T, generator=generator)) for _ in range(2))
        self.b = nn.Parameter(torch.tensor([0.5, -1.0]))

    def forward(self, x):
        return self.b + torch.einsum("qlt,nlt->nq", self.w, x) + torch.einsum("qlt,nlt->nq", self.v, x * x)


def squares(dtype=torch.float64):
    return open_model(Squares().to(dtype), channels=3, size=(T,), rate=10.0)


def signals(n=3, seed=1) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, 3, T)).astype(np.float32)


# --- closed forms ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
def test_closed_forms(dtype):
    model, x, targets = squares(dtype), signals(), [0, 1, 0]
    net, close = model.module, {"rtol": 1e-4, "atol": 1e-4}
    w, v = net.w[targets].detach().numpy(), net.v[targets].detach().numpy()
    whole = (w * x + v * x * x).astype(np.float64)
    found, gap = attribute(model, x, targets, "gradient x input")
    np.testing.assert_allclose(found, w * x + 2 * v * x * x, **close)
    np.testing.assert_allclose(gap, -(v * x * x).sum((1, 2)), rtol=1e-3, atol=1e-3)
    found, gap = attribute(model, x, targets, "integrated gradients", steps=4)
    np.testing.assert_allclose(found, whole, **close)
    np.testing.assert_allclose(gap, 0, atol=1e-3)
    found, gap = attribute(model, x, targets, "occlusion", window=0.1)
    np.testing.assert_allclose(found, whole, rtol=1e-3, atol=1e-3, err_msg="windows of one step")
    np.testing.assert_allclose(gap, 0, atol=1e-2)
    assert found.dtype == str(dtype).removeprefix("torch.")


@pytest.mark.parametrize("window", [0.0, 0.4, 0.7, 4.0])
def test_occlusion_is_a_loop_over_windows_of_each_lead(window):
    model, x = squares(), signals(2)
    found, _ = attribute(model, x, [1, 0], "occlusion", window=window)
    w = round(window * 10) or max(1, round(T / 25))
    stride = -(-w // 2)
    starts = range(0, stride * (-(-(T - w) // stride)) + 1, stride)
    for n, q in enumerate([1, 0]):
        for lead in range(3):
            total, times = np.zeros(T), np.zeros(T)
            for start in starts:
                edited = x[n : n + 1].copy()
                edited[:, lead, start : start + w] = 0
                with torch.no_grad():
                    both = model.module(model.tensor(np.concatenate([x[n : n + 1], edited])))[:, q]
                total[start : start + w] += float(both[0] - both[1]) / w
                times[start : start + w] += 1
            np.testing.assert_allclose(found[n, lead], total / times, rtol=2e-4, atol=2e-4)


@pytest.mark.parametrize("name", METHODS)
def test_the_batch_is_no_matter(name):
    model, x = local(dtype=torch.float64), noisy(3)
    one, gap_one = attribute(model, x, [0, 1, 2], name, window=0.8)
    two, gap_two = attribute(model, x, [0, 1, 2], name, window=0.8, batch=1)
    np.testing.assert_allclose(one, two, atol=1e-8)
    np.testing.assert_allclose(gap_one, gap_two, atol=1e-6)
    assert np.abs(one).max() > 5e-5


# --- cost ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "forward", "backward"),
    [
        ("gradient x input", 2 * 1, 2 * 1),
        ("integrated gradients", 2 * 8, 2 * 8),
        ("occlusion", 2 * (1 + 3 * 9), 0),
    ],
)
def test_passes(name, forward, backward):
    """Two records of 640 steps; windows of 128 every 64 steps. Plus the passes for each record, and for zeros."""
    model, x = local(), noisy(2)
    seen = []
    with counted(model) as spent:
        attribute(
            model,
            x,
            [0, 1],
            name,
            steps=8,
            window=1.28,
            progress=lambda done, total: seen.append((done, total)),
        )
    assert spent["forward"] == forward + 2 * 2
    assert spent["backward"] == backward
    if name == "occlusion":
        assert spent["forward_calls"] < 20, "windows share calls"
    assert seen == sorted(seen)
    assert {total for _, total in seen} == {spent["forward"]}
    assert all(done < total for done, total in seen)


def test_progress_may_stop():
    def no(_done, _total):
        raise KeyboardInterrupt

    model = local()
    with counted(model) as spent, pytest.raises(KeyboardInterrupt):
        attribute(model, noisy(1), [0], "occlusion", progress=no)
    assert spent["forward"] == 0


# --- in the method ---------------------------------------------------------------------------------------------


def test_an_attribution_is_there_when_it_is_asked_for_and_costs_once(monkeypatch):
    monkeypatch.setattr("xai_views.methods.ecg_clusters.attribution.AT_ONCE", 4 * 3 * STEPS)
    model, x = local(), noisy(2, length=400)
    find_head(model)
    plain = METHOD.ask(taps=TAPS, k=5)
    (seen,) = METHOD.observe(model, x[:1], [plain], [None])
    assert "attribution" not in METHOD.interpret(model, seen, plain)
    ask = plain.replace(attribution="occlusion", window=1.28)
    assert not METHOD.covers(model, seen, ask)
    with counted(model) as spent:
        found, said = run(METHOD.observe(model, x, [ask, plain], [seen, None]))
    assert (
        spent["forward"] == 1 + (1 + 3 * 9) + 2
    )  # the second record; the first one's windows, zeros, itself twice
    assert {p.total for p in said} == {30}
    assert [p.done for p in said] == sorted({p.done for p in said}), "progress increases"
    assert said[0].done == 0
    parts = [p.partial[0] for p in said if p.partial]
    assert parts
    assert all(p.partial[1] is None for p in said if p.partial)
    first = METHOD.interpret(model, parts[0], ask)
    there = np.abs(first["attribution"].values).sum((0, 2))
    assert there[0] > 0
    assert there[2] == 0, "lead by lead"
    assert METHOD.covers(model, found[0], ask)
    assert METHOD.covers(model, found[0], ask.replace(attribution_steps=3)), "which occlusion does not use"
    (same,), _ = run(METHOD.observe(model, x[:1], [ask.replace(attribution="gradient x input")], [None]))
    used_by_others = {"window": 9.0, "attribution_steps": 1}
    assert METHOD.covers(model, same, plain.replace(attribution="gradient x input", **used_by_others))
    for other in (
        {"window": 0.64},
        {"targets": [3]},
        {"attribution": "gradient x input"},
        {"length": 390},
    ):
        top = int(found[0].variants[()].logit.argmax())
        other = {"targets": [(top + 1) % 4, top]} if "targets" in other else other
        assert not METHOD.covers(model, found[0], ask.replace(**other))
    with counted(model) as spent:
        ds = METHOD.interpret(model, found[0], ask)
    assert not any(spent.values())
    top = int(ds["logit"].values.argmax())
    want, gap = attribute(model, x[:1], [top], "occlusion", window=1.28)
    assert np.abs(want[..., 400:]).max() > 0
    np.testing.assert_array_equal(ds["attribution"].values[..., :400], want[..., :400])
    assert not ds["attribution"].values[..., 400:].any(), "padding gets no attribution"
    np.testing.assert_allclose(ds["attribution_gap"], gap + want[..., 400:].sum(), atol=1e-5)
    assert int(ds["attribution_class"][0]) == top
    np.testing.assert_allclose(ds["signal_time"], np.arange(STEPS) / RATE)


def test_an_attribution_stops_between_two_calls_and_leaves_nothing_behind():
    model, x = local(), noisy(2)
    find_head(model)
    ask = METHOD.ask(taps=TAPS, k=5, attribution="integrated gradients", attribution_steps=300)
    running = METHOD.observe(model, x, [ask, ask], [None, None])
    assert next(running) == Progress(0, 2 * 302)
    assert next(running) == Progress(2, 2 * 302)
    with counted(model) as spent:
        step = next(running)
    assert step.done - 2 == spent["forward"] == spent["backward"] < 300
    assert torch.is_grad_enabled()
    running.close()
    (seen,) = METHOD.observe(model, x[:1], [ask.replace(attribution="")], [None])
    assert not METHOD.covers(model, seen, ask)


def test_what_is_edited_is_edited_in_the_attribution():
    model, x = local(), noisy(1)
    ask = METHOD.ask(
        taps=TAPS, attribution="gradient x input", targets=[1], edits=[silence(1, 1.0, 2.0, "zero")]
    )
    (seen,), _ = run(METHOD.observe(model, x, [ask], [None]))
    ds = METHOD.interpret(model, seen, ask)
    edited = x.copy()
    edited[0, 1, 100:200] = 0
    np.testing.assert_array_equal(ds["attribution"], attribute(model, edited, [1], "gradient x input")[0])
    assert not METHOD.covers(model, seen, ask.replace(edits=[]))


# --- mistakes --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("targets", "name", "options", "said"),
    [
        ([0], "saliency", {}, "attribution 'saliency' is not known; choose"),
        ([9], "occlusion", {}, "class 9 was requested and .* has the classes 0 to 1"),
        ([0, 1], "occlusion", {}, r"1 record\(s\) were given with targets of shape \[2\]"),
        ([0.5], "occlusion", {}, "give one class index per record"),
        ([True], "occlusion", {}, "give one class index per record"),
        (
            [0],
            "occlusion",
            {"window": 4.1},
            "an occlusion window of 4.1 s was given and the record has 4 s",
        ),
        ([0], "occlusion", {"window": 0.01}, "window of 0.01 s"),
        ([0], "occlusion", {"window": float("nan")}, "window of nan s"),
        ([0], "integrated gradients", {"steps": 0}, "0 was given as the number of steps"),
        ([0], "integrated gradients", {"batch": 0}, "0 was given as the number of steps or the batch size"),
    ],
)
def test_mistakes_are_one_sentence(targets, name, options, said):
    with pytest.raises(MethodError, match=said) as e:
        attribute(squares(), signals(1), targets, name, **options)
    assert str(e.value).endswith(".")


def test_no_records_and_other_shapes():
    assert attribute(squares(), signals(0), [], "occlusion")[0].shape == (0, 3, T)
    with pytest.raises(XaiViewsError, match="expects 3 lead"):
        attribute(squares(), signals(1)[:, :2], [0], "occlusion")
