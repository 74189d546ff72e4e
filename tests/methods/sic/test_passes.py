"""How often the network runs: as promised, and not once more."""

from contextlib import contextmanager

import numpy as np
import pytest
import torch

from xai_views.methods import explain, get
from xai_views.methods.sic.method import PREDICTED, SICAsk, complete
from xai_views.models import passes
from xai_views.samples import images as pixels


@contextmanager
def counted(model):
    """Passes within; the network's own calls are counted too, so that the counter cannot lie."""
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


def observe(model, samples, ask, known=None):
    x = pixels(samples, np.arange(samples.sizes["sample"]))
    return get("sic").observe(model, x, [ask] * len(x), known or [None] * len(x))


def test_the_default_is_one_forward_pass_and_one_backward_pass_per_support(model, samples):
    with counted(model) as spent:
        explain(model, samples(5))
    assert spent == spending(5, 1, 15, 3)
    with counted(model) as spent:
        explain(model, samples(5), batch=2)
    assert spent == spending(5, 3, 15, 9)


@pytest.mark.parametrize(
    ("ask", "vectors"),
    [
        (SICAsk(matches=False), 1),
        (SICAsk(matches=False, rendering=True), 1),
        (SICAsk(rendering=True), 4),
        (SICAsk(classes=(0, 1), rendering=True), 8),
        (SICAsk(classes=(0, PREDICTED, 0), matches=False), 2),
    ],
)
def test_each_wanted_map_costs_one(model, samples, ask, vectors):
    one = samples(1).isel(sample=[0])
    ask_class = int(explain(model, one)["target_class"].item())
    if ask.classes == (0, PREDICTED, 0) and ask_class == 0:
        vectors = 1
    with counted(model) as spent:
        result = explain(model, one, ask=ask)
    assert spent == spending(1, 1, vectors, vectors)
    if ask.rendering:
        assert result["rendering"].shape == (1, len(ask.classes), 10, 10, 4)


def test_the_basis_is_used_when_it_is_smaller(make, samples):
    model = make(per_class=8)
    active = len(observe(model, samples(1), SICAsk())[0].active)
    assert 8 < active < 24, "the case must need it"
    with counted(model) as spent:
        (observed,) = observe(model, samples(1), SICAsk(classes=(0, 1, 2)))
    assert spent == spending(1, 1, active, active)
    assert observed.basis is not None
    with counted(model) as spent:
        (observed,) = observe(model, samples(1), SICAsk(classes=(0,)))
    assert spent == spending(1, 1, 8, 8)
    assert observed.basis is None


def test_after_everything_nothing_costs_a_pass(model, samples):
    method = get("sic")
    (observed,) = observe(model, samples(1), SICAsk(everything=True))
    edited = model.supports.take(np.arange(len(model.supports)) % 3 != 1)
    asks = [
        SICAsk(classes=(c,), supports=s, matches=m)
        for c in (PREDICTED, 0, 1, 2)
        for s in (None, edited)
        for m in (True, False)
    ] + [SICAsk(everything=True)]
    with counted(model) as spent:
        for ask in asks:
            assert method.covers(model, observed, ask)
            method.interpret(model, observed, ask)
    assert spent == spending(0, 0, 0, 0)
    for ask in asks:
        fresh = explain(model, samples(1), ask=ask)
        got = method.interpret(model, observed, ask)
        scale = np.abs(fresh["contribution"].values).max()
        np.testing.assert_allclose(got["contribution"], fresh["contribution"], rtol=0, atol=1e-5 * scale)


def test_what_is_known_is_not_asked_again(model, samples):
    method = get("sic")
    known = observe(model, samples(2), SICAsk(classes=(0,)))
    assert all(method.covers(model, o, SICAsk(classes=(0,), matches=False)) for o in known), (
        "a class map is a sum"
    )
    assert not any(method.covers(model, o, SICAsk(classes=(0, 1))) for o in known)
    kept = [dict(o.maps) for o in known]
    with counted(model) as spent:
        more = observe(model, samples(2), SICAsk(classes=(0, 1)), known)
    assert spent == spending(2, 1, 6, 3)
    assert [dict(o.maps) for o in known] == kept, "the earlier observation stays as it was"
    assert all(method.covers(model, o, SICAsk(classes=(0, 1))) for o in more)
    with counted(model) as spent:
        observe(model, samples(2), SICAsk(classes=(0, 1), rendering=True), more)
    assert spent == spending(2, 1, 4, 2)


def test_supports_are_never_explained_again(model, samples):
    images, count = [], passes.snapshot()
    hook = model.module.encoder.register_forward_hook(lambda m, i, o: images.append(len(i[0])))
    explain(model, samples(3))
    edited = model.supports.take(np.arange(1, len(model.supports)))
    assert complete(model, edited) is edited
    hook.remove()
    assert images == [3]
    assert passes.snapshot()["forward"] - count["forward"] == 3


def test_a_new_support_is_explained_once(model, samples):
    maps = model.supports.self_contribution.copy()
    maps[[1, 4]] = np.nan
    from dataclasses import replace

    lacking = replace(model.supports, self_contribution=maps)
    assert list(lacking.missing) == [1, 4]
    with counted(model) as spent:
        full = complete(model, lacking)
    assert spent["forward"] == 2
    np.testing.assert_allclose(full.self_contribution, model.supports.self_contribution, atol=1e-6)
    assert np.isnan(lacking.self_contribution[1]).all(), "the given set stays as it was"
    result = explain(model, samples(1), ask=SICAsk(supports=lacking))
    np.testing.assert_allclose(result["self_contribution"], model.supports.self_contribution, atol=1e-6)


def test_an_observation_holds_only_what_it_says(model, samples):
    for ask in (SICAsk(rendering=True), SICAsk(everything=True), SICAsk()):
        for o in observe(model, samples(6), ask):
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
