"""The number of passes of the network is as documented."""

from contextlib import contextmanager

import numpy as np
import pytest
import torch
import xarray as xr

from xai_views.contract.method import PREDICTED
from xai_views.methods import explain, get
from xai_views.methods.explaining import observed_whole
from xai_views.models import passes
from xai_views.samples import images as pixels


@contextmanager
def counted(model):
    """Passes inside the block; the network's own calls are counted too, as an independent check."""
    seen = {"calls": 0, "images": 0}

    def hook(module, inputs, output):
        seen["calls"] += 1
        seen["images"] += len(inputs[0])

    handle = model.module.encoder.register_forward_hook(hook)
    before, spent = passes.snapshot(), {}
    try:
        yield spent
    finally:
        handle.remove()
    spent |= {k: v - before[k] for k, v in passes.snapshot().items()}
    assert seen == {"calls": spent["forward_calls"], "images": spent["forward"]}


def spending(forward, forward_calls, backward, backward_calls):
    return {
        "forward": forward,
        "forward_calls": forward_calls,
        "backward": backward,
        "backward_calls": backward_calls,
    }


@pytest.fixture
def model(make):
    return make()


def observe(model, samples, known=None, **asked):
    x, method = pixels(samples, np.arange(samples.sizes["sample"])), get("sic")
    return observed_whole(method.observe(model, x, [method.ask(**asked)] * len(x), known or [None] * len(x)))


def test_the_default_is_one_forward_pass_and_one_backward_pass_per_support(model, samples):
    with counted(model) as spent:
        explain(model, samples(5), "sic")
    assert spent == spending(5, 1, 15, 3)
    with counted(model) as spent:
        explain(model, samples(5), "sic", batch=2)
    assert spent == spending(5, 3, 15, 9)


@pytest.mark.parametrize(
    ("asked", "vectors"),
    [
        ({"matches": False}, 1),
        ({"matches": False, "rendering": True}, 1),
        ({"rendering": True}, 4),
        ({"targets": [0, 1], "rendering": True}, 8),
        ({"targets": [0, PREDICTED, 0], "matches": False}, 2),
    ],
)
def test_each_wanted_map_costs_one(model, samples, asked, vectors):
    one = samples(1).isel(sample=[0])
    predicted = int(explain(model, one)["target_class"].item())
    targets = asked.get("targets", [PREDICTED])
    if targets == [0, PREDICTED, 0] and predicted == 0:
        vectors = 1
    with counted(model) as spent:
        result = explain(model, one, "sic", **asked)
    assert spent == spending(1, 1, vectors, vectors)
    if "rendering" in asked:
        assert result["rendering"].shape == (1, len(targets), 10, 10, 4)


def test_the_basis_is_used_when_it_is_smaller(make, samples):
    model = make(per_class=8)
    active = len(observe(model, samples(1))[0].active)
    assert 8 < active < 24, "the case has to use the latent basis"
    with counted(model) as spent:
        (observed,) = observe(model, samples(1), targets=[0, 1, 2])
    assert spent == spending(1, 1, active, active)
    assert observed.basis is not None
    with counted(model) as spent:
        (observed,) = observe(model, samples(1), targets=[0])
    assert spent == spending(1, 1, 8, 8)
    assert observed.basis is None


def test_after_everything_nothing_costs_a_pass(model, samples):
    method = get("sic")
    (observed,) = observe(model, samples(1), everything=True)
    gone = model.supports.index[np.arange(len(model.supports)) % 3 == 1].tolist()
    asks = [
        method.ask(targets=[c], excluded=s, matches=m)
        for c in (PREDICTED, 0, 1, 2)
        for s in ([], gone)
        for m in (True, False)
    ] + [method.ask(everything=True)]
    with counted(model) as spent:
        for ask in asks:
            assert method.covers(model, observed, ask)
            method.interpret(model, observed, ask)
    assert spent == spending(0, 0, 0, 0)
    for ask in asks:
        fresh = explain(model, samples(1), ask)
        got = method.interpret(model, observed, ask)
        scale = np.abs(fresh["contribution"].values).max()
        np.testing.assert_allclose(got["contribution"], fresh["contribution"], rtol=0, atol=1e-5 * scale)


def test_what_is_known_is_not_asked_again(model, samples):
    method = get("sic")
    known = observe(model, samples(2), targets=[0])
    assert all(method.covers(model, o, method.ask(targets=[0], matches=False)) for o in known), (
        "a class map is a sum"
    )
    both = method.ask(targets=[0, 1])
    assert not any(method.covers(model, o, both) for o in known)
    kept = [dict(o.maps) for o in known]
    with counted(model) as spent:
        more = observe(model, samples(2), known, targets=[0, 1])
    assert spent == spending(2, 1, 6, 3)
    assert [dict(o.maps) for o in known] == kept, "the earlier observation does not change"
    assert all(method.covers(model, o, both) for o in more)
    with counted(model) as spent:
        drawn = observe(model, samples(2), more, targets=[0, 1], rendering=True)
    assert spent == spending(2, 1, 4, 2)
    with counted(model) as spent:
        observe(model, samples(2), drawn, targets=[0, 1], rendering=True)
    assert spent == spending(0, 0, 0, 0)


@pytest.mark.parametrize("asked", [{"smoothing": 3}, {"percentile": 80.0}])
def test_renderings_are_told_apart_by_how_they_are_drawn(model, samples, asked):
    method = get("sic")
    (plain,) = observe(model, samples(1), rendering=True)
    other = method.ask(rendering=True, **asked)
    assert not method.covers(model, plain, other)
    (both,) = observe(model, samples(1), [plain], rendering=True, **asked)
    assert method.covers(model, both, other)
    first, second = (
        method.interpret(model, both, a)["rendering"] for a in (method.ask(rendering=True), other)
    )
    assert (first.values != second.values).any()
    (alone,) = observe(model, samples(1), rendering=True, **asked)
    xr.testing.assert_identical(second, method.interpret(model, alone, other)["rendering"])


def test_supports_are_never_explained_again(model, samples):
    images, count = [], passes.snapshot()
    hook = model.module.encoder.register_forward_hook(lambda m, i, o: images.append(len(i[0])))
    explain(model, samples(3))
    explain(model, samples(3), excluded=[int(model.supports.index[0])])
    hook.remove()
    assert images == [3, 3]
    assert passes.snapshot()["forward"] - count["forward"] == 6


def test_an_observation_holds_only_what_it_says(model, samples):
    for asked in ({"rendering": True}, {"everything": True}, {}):
        for o in observe(model, samples(6), **asked):
            arrays = [
                o.z,
                o.logit,
                *o.maps.values(),
                *o.renderings.values(),
                *([o.basis] if o.basis is not None else []),
            ]
            held = sum((a if a.base is None else a.base).nbytes for a in arrays)
            assert sum(a.nbytes for a in arrays) - o.logit.nbytes <= o.nbytes
            assert held <= o.nbytes, "a view keeps the maps of the whole batch alive"


def test_no_gradients_are_left_behind(model, samples):
    explain(model, samples(2))
    assert all(p.grad is None and not p.requires_grad for p in model.module.parameters())
    assert torch.is_grad_enabled()
