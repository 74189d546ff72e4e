"""RELAX: equal to a slow loop, its identities, number of passes, and reproducibility."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from xai_views.engine.perturbation.masks import BLOCK, KINDS, Masks
from xai_views.engine.perturbation.running import Running
from xai_views.errors import MethodError, ModelError
from xai_views.methods.relax.method import FILLS, RelaxMethod, cosine
from xai_views.methods.relax.representation import first_look, vectors
from xai_views.models import open_model, passes
from xai_views.samples import open_samples

from .relax_nets import SIZE, Net, Of, driven, explained, given, opened, slow

DTYPES = {torch.float32: 2e-5, torch.float64: 1e-9}
MAPS = (
    "attribution",
    "uncertainty",
    *(f"relax.{n}" for n in ("importance", "standard_error", "slope", "filtered")),
)


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def equal(a, b) -> bool:
    return all(np.array_equal(a[n].values, b[n].values) for n in {*a.data_vars, *b.data_vars})


# -- agreement -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("fill", FILLS)
def test_maps_equal_a_slow_loop(dtype, kind, fill):
    net = Net()
    model, x = opened(net, dtype), given()
    found, _, _ = explained(model, x, masks=70, generator=kind, fill=fill, cells=4, keep=0.4, seed=2)
    for row, ds in enumerate(found):
        t = model.tensor(x[row : row + 1])
        level = {"mean": t.double().mean((2, 3), keepdim=True), "grey": 0.5, "zero": 0.0}[fill]
        want = slow(net, t, Masks(SIZE, kind, 4, 0.4, 2), 70, torch.as_tensor(level))
        tight = DTYPES[dtype]
        np.testing.assert_allclose(ds["relax.importance"][0], want["importance"], rtol=tight)
        np.testing.assert_allclose(ds["uncertainty"][0], want["uncertainty"], rtol=300 * tight, atol=tight**2)
        np.testing.assert_allclose(ds["relax.similarity"], want["similarity"], rtol=tight)
        np.testing.assert_allclose(
            ds["attribution"][0], want["importance"] - want["similarity"], atol=2 * tight
        )
        assert ds["attribution"].dtype == str(dtype).removeprefix("torch.")
        assert int(ds["relax.masks"][0]) == 70


@pytest.mark.parametrize("dtype", DTYPES)
def test_signals_are_hidden_in_time_in_all_leads(dtype):
    net = Net(rank=1, channels=5)
    model, x = opened(net, dtype, (120,), 5), given(2, (120,), 5)
    found, seen, _ = explained(model, x, masks=60, time_cells=12)
    t = model.tensor(x[:1])
    want = slow(net, t, Masks((120,), cells=12), 60, t.double().mean(2, keepdim=True))
    ds = found[0]
    assert ds["attribution"].dims == ("sample", "lead", "time")
    assert ds["attribution"].shape == (1, 5, 120)
    for lead in range(5):
        np.testing.assert_allclose(ds["relax.importance"][0, lead], want["importance"], rtol=DTYPES[dtype])
    assert seen[0].halves.whole.first.shape == (3, 120)
    with pytest.raises(MethodError, match="for images only"):
        explained(model, x, fill="grey", masks=1)


def test_what_it_gives_has_the_names_and_roles_that_it_says():
    model = opened(Net())
    ds = explained(model, given(1), masks=30, quantile=0.3)[0][0]
    own = {n for n in ds.data_vars if n.startswith("relax.")}
    assert own == set(RelaxMethod.gives)
    assert {str(n) for n in ds.data_vars} - own == {"attribution", "uncertainty", "logit", "probability"}
    assert all(np.isfinite(v.values).all() for v in ds.data_vars.values())
    assert all(ds[n].dims == ("sample", "y", "x") for n in (*MAPS, "relax.shown"))
    np.testing.assert_array_equal(ds["logit"][0], model.module(model.tensor(given(1)))[0].detach())
    shown = ds["relax.shown"].values == 1
    assert shown.mean() == pytest.approx(0.3, abs=0.02)
    assert ds["uncertainty"].values[shown].max() < ds["uncertainty"].values[~shown].min()
    np.testing.assert_array_equal(ds["relax.filtered"], np.where(shown, ds["attribution"], 0))
    np.testing.assert_allclose(ds["attribution"], ds["relax.importance"] - ds["relax.similarity"], atol=1e-6)


# -- identities ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_constant_encoder_finds_everything_equally_important(dtype):
    model = opened(Of(lambda x: torch.ones(len(x), 4).to(x), 4), dtype)
    ds = explained(model, given(1), masks=60)[0][0]
    np.testing.assert_allclose(ds["relax.importance"], 1, rtol=1e-12)
    np.testing.assert_allclose(ds["relax.similarity"], 1, rtol=1e-12)
    for name in ("attribution", "uncertainty", "relax.standard_error", "relax.slope"):
        np.testing.assert_allclose(ds[name], 0, atol=1e-12)
    assert (ds["relax.shown"] == 1).all()


def test_a_constant_encoder_is_settled_at_once():
    model = opened(Of(lambda x: torch.ones(len(x), 4).to(x), 4))
    for rule, count in (("never", 300), ("halves", 100), ("standard error", 100)):
        assert int(explained(model, given(1), masks=300, stop=rule)[0][0]["relax.masks"][0]) == count


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_scale_of_the_representation_does_not_matter(dtype):
    base = Net()
    one, other = (opened(Of(base.to(dtype).features, 6, scale), dtype) for scale in (1.0, 1000.0))
    a, b = (explained(m, given(1), masks=60)[0][0] for m in (one, other))
    for name in MAPS:
        np.testing.assert_allclose(a[name], b[name], rtol=1e-3, atol=50 * torch.finfo(dtype).eps)


def test_a_mask_of_ones_changes_nothing():
    net = Net()
    model, x = opened(net, torch.float64), given(1)
    reading, vector, _ = first_look(model, model.tensor(x))
    shown = torch.lerp(torch.zeros(1, 3, 1, 1).double(), model.tensor(x), torch.ones(4, 1, *SIZE).double())
    np.testing.assert_allclose(cosine(vector, vectors(model, shown, reading)), 1, rtol=1e-14)


@pytest.mark.parametrize("dtype", DTYPES)
def test_an_encoder_that_sees_one_place_finds_that_place(dtype):
    size, at = (28, 28), (slice(8, 12), slice(16, 20))

    def features(x):
        seen = x[:, 0][:, at[0], at[1]].mean((1, 2))
        return torch.stack([seen, torch.full_like(seen, 0.5)], 1)

    model, x = opened(Of(features, 2), dtype, size), given(1, size)
    x[0, 8:12, 16:20] = 1.0
    ds = explained(model, x, masks=1000, fill="zero")[0][0]
    found, error = ds["attribution"].values[0], ds["relax.standard_error"].values[0]
    y, u = np.unravel_index(found.argmax(), size)
    assert 7 <= y <= 12
    assert 15 <= u <= 20
    far = np.ones(size, bool)
    far[:20, 4:] = False  # more than two cells away: masks there say nothing of the place
    z = found[far] / error[far]
    assert np.abs(z).mean() < 1.6
    assert found[at].min() / error[at].max() > 15


def test_importances_lie_between_the_similarities():
    net = Net()
    model, x = opened(net), given(1)
    ds = explained(model, x, masks=50)[0][0]
    t = model.tensor(x)
    scores = slow(net, t, Masks(SIZE), 50, t.double().mean((2, 3), keepdim=True))["scores"]
    assert scores.min() - 1e-6 <= float(ds["relax.importance"].min())
    assert float(ds["relax.importance"].max()) <= scores.max() + 1e-6


def test_a_representation_of_zeros_is_no_error():
    model = opened(Of(lambda x: torch.zeros(len(x), 4).to(x), 4))
    ds = explained(model, given(1), masks=20)[0][0]
    assert not ds["attribution"].any()
    assert not ds["relax.similarity"].any()


# -- where the representation is read --------------------------------------------------------------------------------


def test_the_representation_is_what_the_last_linear_layer_is_given():
    net = Net()
    model, x = opened(net), given(1)
    reading, vector, logit = first_look(model, model.tensor(x))
    assert reading.path == "head@in"
    np.testing.assert_allclose(vector, net.features(model.tensor(x))[0].detach(), rtol=1e-6)
    np.testing.assert_allclose(logit, net(model.tensor(x))[0].detach())
    ds = explained(model, x, masks=10)[0][0]
    assert ds["attribution"].attrs["representation"] == "the input of 'head'"


def test_a_layer_can_be_named():
    net = Net()
    model, x = opened(net), given(1)
    reading, vector, _ = first_look(model, model.tensor(x), "conv")
    np.testing.assert_allclose(
        vector, net.conv(model.tensor(x)).mean((2, 3))[0].detach(), rtol=1e-5, atol=1e-7
    )
    np.testing.assert_allclose(vectors(model, model.tensor(x), reading)[0], vector)
    a, b = (explained(model, x, masks=20, tap=tap)[0][0] for tap in ("", "act"))
    np.testing.assert_allclose(a["attribution"], b["attribution"], atol=1e-6)
    assert b["attribution"].attrs["representation"] == "mean over positions of 'act'"
    with pytest.raises(ModelError, match="no layer 'nothing'"):
        explained(model, x, masks=1, tap="nothing")


def test_without_a_linear_layer_at_the_end_it_is_the_answer_and_says_so():
    class Squashed(Net):
        def forward(self, x):
            return super().forward(x).tanh()

    model, x = opened(Squashed()), given(1)
    reading, vector, _ = first_look(model, model.tensor(x))
    assert str(reading) == "the output of the network"
    np.testing.assert_allclose(vector, model.module(model.tensor(x))[0].detach())


def test_an_encoder_without_logits_answers_with_its_embedding():
    model, x = opened(Net()), given(1)
    model.outputs = frozenset({"embedding"})
    ds = explained(model, x, masks=20)[0][0]
    assert "logit" not in ds
    assert "probability" not in ds
    assert ds["attribution"].attrs["representation"] == "the output of the network"


@pytest.mark.parametrize(
    ("name", "path", "width"),
    [("birds-cnn", "head@in", 128), ("birds-vit", "head@in", 96), ("birds-sic", "similarity@in", 64)],
)
def test_representations_of_shipped_networks(name, path, width):
    model = open_model(name)
    images = open_samples("birds/test")["image"].values[:1]
    reading, vector, _ = first_look(model, model.tensor(images))
    assert (reading.path, len(vector)) == (path, width)
    net, x = model.module, model.tensor(images)
    want = net.latent(net.encode(x)) if name == "birds-sic" else net.features(x)
    np.testing.assert_allclose(vector, want[0].detach(), rtol=1e-5, atol=1e-6)


def test_it_fits_what_gives_a_vector():
    method = RelaxMethod()

    def model(kind, *outputs):
        return SimpleNamespace(kind=kind, outputs=frozenset(outputs), parts=frozenset(), name="m")

    assert method.fits(model("image", "logits")) == ""
    assert method.fits(model("signal", "embedding")) == ""
    assert "needs an embedding or logits" in method.fits(model("image", "heat map"))
    assert method.fits(model("table", "logits")).endswith(".")


# -- repeating, resuming, stopping -----------------------------------------------------------------------------------


def test_the_same_question_has_the_same_answer_bit_for_bit_alone_or_with_others():
    model, x = opened(Net()), given(3)
    torch.manual_seed(7)
    a = explained(model, x, masks=130)[0]
    torch.manual_seed(8)
    b = explained(model, x, masks=130)[0]
    assert all(map(equal, a, b))
    assert equal(explained(model, x[1:2], masks=130)[0][0], a[1])
    assert not equal(explained(model, x[1:2], masks=130, seed=1)[0][0], a[1])


def test_asks_in_one_batch_may_differ():
    model, x, method = opened(Net()), given(4), RelaxMethod()
    asks = [
        method.ask(masks=130),
        method.ask(masks=20),
        method.ask(masks=130, seed=1),
        method.ask(masks=60, fill="zero"),
    ]
    seen, said = driven(method.observe(model, x, asks, [None] * 4))
    for row, (o, ask) in enumerate(zip(seen, asks, strict=True)):
        alone = explained(model, x[row : row + 1], **ask.parameters())[0][0]
        assert equal(method.interpret(model, o, ask), alone)
    assert said[-1].done == said[-1].total == 130 + 20 + 130 + 60 + 4


@pytest.mark.parametrize("first", [50, 100, 30])
def test_a_run_goes_on_where_one_with_fewer_masks_ended(first):
    model, x = opened(Net()), given(2)
    whole = explained(model, x, masks=170)[0]
    _, known, _ = explained(model, x, masks=first)
    before = passes.snapshot()["forward"]
    found, seen, said = explained(model, x, known, masks=170)
    spent = passes.snapshot()["forward"] - before
    assert all(map(equal, found, whole))
    # an incomplete block is run again, so that the result is the same to the last bit
    assert spent == (2 * (170 - first) if first % BLOCK == 0 else 2 * 171)
    assert said[-1].done == said[-1].total
    assert [o.halves.count for o in known] == [first, first]
    assert [o.halves.count for o in seen] == [170, 170]


def test_what_an_observation_answers():
    model, x, method = opened(Net()), given(1), RelaxMethod()
    _, (o,), _ = explained(model, x, masks=100)
    assert method.covers(model, o, method.ask(masks=100))
    assert method.covers(model, o, method.ask(masks=100, quantile=0.1))
    assert not method.covers(model, o, method.ask(masks=150))
    assert not method.covers(model, o, method.ask(masks=50))
    fewer = explained(model, x, [o], masks=50)[0][0]
    assert equal(fewer, explained(model, x, masks=50)[0][0])
    keys = {method.observation_key(method.ask(**{n: v})) for n, v in _others().items()}
    assert len(keys) == len(_others())
    assert method.observation_key(method.ask(masks=3, quantile=0.2)) == method.observation_key(method.ask())


def _others() -> dict[str, object]:
    return {
        "generator": "relax",
        "cells": 5,
        "time_cells": 9,
        "keep": 0.4,
        "seed": 4,
        "fill": "zero",
        "stop": "halves",
        "tap": "conv",
    }


def test_every_parameter_but_two_is_one_of_the_observation():
    assert set(RelaxMethod.observed_by) == set(_others())
    assert set(RelaxMethod.declared()) - set(_others()) == {"masks", "quantile"}


def test_a_run_may_end_early_and_always_at_the_same_mask():
    def features(x):  # hiding the left half or not is all that counts
        return torch.stack([x[..., :8].mean((1, 2, 3)), x.new_full((len(x),), 0.2)], 1)

    model, x, method = opened(Of(features, 2)), np.full((1, *SIZE, 3), 0.8), RelaxMethod()
    asked = {"masks": 5000, "stop": "halves", "cells": 2, "fill": "zero"}
    found, (o,), _ = explained(model, x, **asked)
    count = int(found[0]["relax.masks"][0])
    assert count < 5000
    assert count % (2 * BLOCK) == 0
    assert o.settled
    assert method.covers(model, o, method.ask(**asked))
    again = explained(model, x, **{**asked, "masks": count + 300})[0][0]
    assert equal(again, found[0])
    assert equal(explained(model, x, **{**asked, "stop": "never", "masks": count})[0][0], found[0])
    fewer = explained(model, x, **{**asked, "masks": count - 50})[1]
    assert equal(explained(model, x, fewer, **asked)[0][0], found[0])


def test_it_costs_one_pass_per_mask_and_one():
    model, x = opened(Net()), given(3)
    explained(model, x, masks=1)
    before = passes.snapshot()
    _, seen, said = explained(model, x, masks=120)
    after = passes.snapshot()
    assert after["forward"] - before["forward"] == 3 * 121
    assert after["backward"] == before["backward"]
    RelaxMethod().interpret(model, seen[0], RelaxMethod().ask(masks=120, quantile=0.9))
    assert passes.snapshot() == after
    assert [p.done for p in said] == sorted(p.done for p in said)
    assert said[-1].done == said[-1].total == 3 * 121


# -- partial results ------------------------------------------------------------------------------------------------------


def test_partial_observations_can_be_used_do_not_change_and_come_closer():
    model, x, method = opened(Net()), given(2), RelaxMethod()
    ask = method.ask(masks=1000)
    kept, maps = [], []
    generator = method.observe(model, x, [ask, ask], [None, None])
    while True:
        try:
            p = next(generator)
        except StopIteration as end:
            final = [method.interpret(model, o, ask) for o in end.value]
            break
        if p.partial and p.partial[0]:
            kept.append(p.partial)
            maps.append([o and method.interpret(model, o, ask) for o in p.partial])
    assert kept[0][1] is None  # of the second image nothing is known yet
    for partial, then in zip(kept, maps, strict=True):
        for o, ds in zip(partial, then, strict=True):
            assert o is None or equal(method.interpret(model, o, ask), ds)
    counts = [int(m[0]["relax.masks"][0]) for m in maps]
    assert counts == sorted(counts)
    assert equal(maps[-1][0], final[0])

    def gap(ds):
        return float(np.abs(ds["attribution"] - final[0]["attribution"]).mean())

    gaps = [np.mean([gap(m[0]) for m, c in zip(maps, counts, strict=True) if a < c <= b]) for a, b in
            ((0, 50), (50, 200), (200, 500), (500, 900))]  # fmt: skip
    assert gaps == sorted(gaps, reverse=True)
    np.testing.assert_allclose(
        maps[len(maps) // 2][0]["relax.standard_error"].mean() / final[0]["relax.standard_error"].mean(),
        2**0.5,
        rtol=0.1,
    )


def test_it_can_be_left_at_any_time():
    model, x, method = opened(Net()), given(2), RelaxMethod()
    generator = method.observe(model, x, [method.ask()] * 2, [None] * 2)
    for _ in range(5):
        next(generator)
    generator.close()
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.module.modules())
    assert driven(method.observe(model, x[:0], [], [])) == ([], [])


def test_it_works_whatever_the_caller_is_in_the_middle_of():
    model, x = opened(Net()), given(1)
    want = explained(model, x, masks=60)[0][0]
    with torch.inference_mode():
        assert equal(explained(model, x, masks=60)[0][0], want)
    with torch.autocast("cpu", torch.bfloat16):
        assert equal(explained(model, x, masks=60)[0][0], want)


# -- on trained networks -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["birds-cnn", "birds-sic"])
@pytest.mark.slow
def test_birds_matter_more_than_what_is_behind_them(name):
    model, samples = open_model(name), open_samples("birds/test").isel(sample=slice(4))
    bird = samples["part"].values > 0
    masks, other = Masks((64, 64)), Masks((64, 64), seed=99)
    real, control = [], []
    for row, image in enumerate(samples["image"].values):
        x = model.tensor(image[None])
        reading, vector, _ = first_look(model, x)
        own, wrong = Running.empty((64, 64)), Running.empty((64, 64))
        for b in range(5):
            drawn = masks.block(b)
            shown = torch.lerp(x.mean((2, 3), keepdim=True), x, drawn[:, None])
            s = cosine(vector, vectors(model, shown, reading))
            own, wrong = own.add(s, drawn), wrong.add(s, other.block(b))
        for run, into in ((own, real), (wrong, control)):
            found = run.attribution().numpy()
            into.append((found[bird[row]].mean() - found[~bird[row]].mean()) / run.variance**0.5)
        if row == 0:
            ds = explained(model, image[None], masks=250)[0][0]
            np.testing.assert_allclose(ds["attribution"][0], own.attribution(), atol=1e-6)
    assert min(real) > 0
    assert np.mean(real) > 4 * np.abs(control).mean()


def test_records_can_be_asked():
    from xai_views.samples.prepare import prepare

    model = open_model("ecg-resnet")
    samples = prepare(open_samples("ecg/test").isel(sample=slice(1)), model.leads, model.rate, model.size[0])
    ds, _, _ = explained(model, samples["signal"].values, masks=60)
    assert ds[0]["attribution"].shape == (1, 12, 4096)
    assert tuple(ds[0]["lead"].values) == model.leads
    np.testing.assert_allclose(ds[0]["time"].values[:2], [0, 1 / model.rate])
    assert ds[0]["time"].attrs["units"] == "s"
    assert float(ds[0]["attribution"].std()) > 0


def test_a_module_that_is_linear_itself():
    net = nn.Sequential(nn.Flatten(), nn.Linear(3 * SIZE[0] * SIZE[1], 4))
    ds = explained(opened(net), given(1), masks=20)[0][0]
    assert ds["attribution"].attrs["representation"] == "the input of '1'"
