"""The support set depends on the request and the model only: selection, number of passes, reproducibility."""

import json

import numpy as np
import pytest
import xarray as xr

from xai_views import catalogue, open_model, open_samples
from xai_views.methods import explain, get
from xai_views.methods.explaining import observed_whole
from xai_views.methods.sic import latent_vectors, support_set
from xai_views.methods.sic import support_sets as sets
from xai_views.models import passes
from xai_views.models.supports import RULES

METHOD = get("sic")


def chosen(model, **edits):
    return support_set(model, METHOD.ask(**edits))


def pairs(supports) -> list[tuple[int, int]]:
    return list(zip(supports.index.tolist(), supports.label.tolist(), strict=True))


def spent(function):
    before = passes.snapshot()
    value = function()
    after = passes.snapshot()
    return value, (after["forward"] - before["forward"], after["backward"] - before["backward"])


def forget() -> None:
    for kept in (sets._made, sets._selected, sets._opened, sets._read_one, sets._own_map):
        kept.cache_clear()


# -- what is chosen ---------------------------------------------------------------------------------------------------


def test_without_edits_it_is_the_models_own(make):
    model = make()
    assert chosen(model) is model.supports
    assert chosen(model, targets=[1], smoothing=3, rendering=True) is model.supports
    assert chosen(model, rule="k-means") == model.supports, "selected as in training"


@pytest.mark.parametrize("rule", ["model", *RULES])
@pytest.mark.parametrize("number", [0, 1, 4])
def test_excluded_positions_are_never_chosen_and_every_class_gets_its_number(make, rule, number):
    model = make()
    usual = chosen(model, rule=rule, per_class=number)
    gone = sorted({int(usual.index[usual.of_class(c)[0]]) for c in range(3)})
    found = chosen(model, rule=rule, per_class=number, excluded=gone)
    assert not set(gone) & set(found.index.tolist())
    left = 2 if (rule, number) == ("model", 0) else number or 3
    assert np.bincount(found.label, minlength=3).tolist() == [left] * 3
    label = dict(zip(model.latents.index.tolist(), model.latents.label.tolist(), strict=True))
    assert all(label[i] == c for i, c in pairs(found))
    assert len(set(pairs(found))) == len(found), "no image twice"
    # the selection does not depend on the order of the excluded positions
    assert pairs(chosen(model, rule=rule, per_class=number, excluded=gone[::-1])) == pairs(found)


def test_a_class_with_too_few_images_left_gives_all_it_has(make):
    model = make()
    gone = model.latents.index[model.latents.of_class(1)][2:].tolist()
    found = chosen(model, rule="diverse", per_class=5, excluded=gone)
    assert np.bincount(found.label).tolist() == [5, 2, 5]


def test_added_ones_join_their_class_once(make):
    model = make()
    new = next(
        int(i) for i in model.latents.index[model.latents.of_class(2)] if i not in model.supports.index
    )
    there = pairs(model.supports)[0]
    found = chosen(model, added=[[new, 2], [new, 0], list(there), [new, 2]])
    assert len(found) == len(model.supports) + 2
    assert (np.diff(found.label) >= 0).all(), "ordered by class"
    assert {(new, 2), (new, 0)} < set(pairs(found))
    row = int(np.flatnonzero(model.latents.index == new)[0])
    for r in np.flatnonzero(found.index == new):
        np.testing.assert_array_equal(found.vectors[r], model.latents.z[row])
    back = chosen(model, excluded=[there[0]], added=[list(there)])
    assert set(pairs(back)) == set(pairs(model.supports))


def test_choosing_needs_no_pass_and_is_done_once(make, monkeypatch):
    model, calls = make(), []
    inner = sets.select
    monkeypatch.setattr(sets, "select", lambda *a, **k: calls.append(1) or inner(*a, **k))
    first, cost = spent(lambda: chosen(model, rule="compact", per_class=2))
    assert cost == (0, 0)
    assert chosen(model, rule="compact", per_class=2, targets=[1], everything=True) is first
    assert len(calls) == 1
    assert all(
        kept.cache_info().maxsize for kept in (sets._made, sets._selected, sets._read_one, sets._own_map)
    )


def test_where_training_images_are_not_at_hand_pictures_are_grey_and_own_maps_empty(make, samples):
    model = make()
    new = next(int(i) for i in model.latents.index if i not in model.supports.index)
    label = int(model.latents.label[new - 100])
    result, cost = spent(lambda: explain(model, samples(1), "sic", added=[[new, label]], targets=[label]))
    assert cost == (1, 4), "no map is computed for a grey placeholder"
    row = int(np.flatnonzero(result["support_sample"] == new)[0])
    assert not result["self_contribution"].values[row].any()
    assert (chosen(model, added=[[new, label]]).image[row] == 128).all()
    assert float(result["evidence"][0, row]) > 0


# -- what it costs ----------------------------------------------------------------------------------------------------


def test_own_maps_that_the_checkpoint_lacks_are_computed_once_each(at_hand, samples):
    model, x = at_hand, samples(2)["image"].values
    forget()
    new = [int(i) for i in model.latents.index[:6] if i not in model.supports.index][:2]
    ask = METHOD.ask(added=[[p, int(model.latents.label[p - 100])] for p in new], targets=[0])
    known = METHOD.observe(model, x, [METHOD.ask(targets=[0], everything=True)] * 2, [None] * 2)
    assert not any(METHOD.covers(model, o, ask) for o in known)
    steps = []

    def observe():
        return observed_whole(METHOD.observe(model, x, [ask] * 2, known), lambda d, t: steps.append((d, t)))

    seen, cost = spent(observe)
    assert cost == (2, 2), "one pass for each new support, none for the samples"
    assert steps == [(0, 3), (1, 3), (2, 3)]
    assert all(METHOD.covers(model, o, ask) for o in seen)
    assert not any(o.own_maps for o in known), "the earlier observation does not change"
    again, cost = spent(observe)
    assert cost == (0, 0)
    for o in (*seen, *again):
        result, cost = spent(lambda o=o: METHOD.interpret(model, o, ask))
        assert cost == (0, 0)
        maps, supports = result["self_contribution"].values, support_set(model, ask)
        norm = np.linalg.norm(supports.vectors, axis=1)
        np.testing.assert_allclose(maps.sum((1, 2), dtype=np.float64), norm, rtol=1e-4)
        assert o.nbytes >= sum(m.nbytes for m in o.own_maps.values()) > 0


def test_the_images_of_chosen_supports_are_those_of_the_training_set(at_hand):
    found = chosen(at_hand, rule="random", per_class=4)
    z = latent_vectors(at_hand, found.image)
    np.testing.assert_allclose(z, found.vectors, rtol=1e-4, atol=1e-6)


def test_the_models_own_maps_cannot_be_changed_through_an_explanation(make, samples):
    result = explain(make(), samples(1), "sic")
    with pytest.raises(ValueError, match="read-only"):
        result["self_contribution"].values[:] = 0


# -- asking again -----------------------------------------------------------------------------------------------------

EDITS = {
    "as it is": {},
    "other supports": {
        "per_class": 2,
        "rule": "diverse",
        "excluded": [3],
        "targets": [0, 2],
        "rendering": True,
    },
    "chosen by chance": {"per_class": 1, "rule": "random", "targets": [1], "everything": True},
    "compact": {"rule": "compact", "matches": False, "targets": [-1, 0]},
    "drawn otherwise": {"rendering": True, "smoothing": 3, "percentile": 95.0, "targets": [-1]},
}


def same_again(model, samples, **asked):
    """Explain, clear all caches, and explain again from the provenance."""
    first = explain(model, samples, "sic", **asked)
    forget()
    again = explain(model, samples, first.attrs["method"], **json.loads(first.attrs["parameters"]))
    xr.testing.assert_identical(again, first)
    assert json.loads(again.attrs["parameters"]) == json.loads(first.attrs["parameters"])
    return first


@pytest.mark.parametrize("asked", EDITS.values(), ids=EDITS)
@pytest.mark.parametrize("name", ["digits-sic", "nuclei-sic", "birds-sic"])
@pytest.mark.slow
def test_an_explanation_says_how_to_make_it_again(name, asked):
    if name not in catalogue.models():
        pytest.skip(f"{name} is not shipped in this checkout")
    model = open_model(name)
    if name == "birds-sic":
        asked = {**asked, "per_class": min(asked.get("per_class", 0), 1)}
    samples = open_samples(model.card["samples"]).isel(sample=slice(3))
    found = same_again(model, samples, **asked)
    assert json.loads(found.attrs["parameters"]).keys() == set(METHOD.declared())


def test_so_do_supports_that_were_exchanged_by_hand():
    model = open_model("digits-sic")
    own, latents = model.supports, model.latents
    gone = own.index[own.label == 4][:1].tolist()
    new = [int(i) for i in latents.index[latents.label == 4] if i not in own.index][:2]
    samples = open_samples("digits/test").isel(sample=slice(2))
    found = same_again(model, samples, excluded=gone, added=[[new[1], 4], [new[0], 9]], targets=[4, 9])
    assert not set(gone) & set(found["support_sample"].values.tolist())
    sums = found["self_contribution"].sum(("y", "x")).values
    vectors = support_set(model, METHOD.ask(excluded=gone, added=[[new[1], 4], [new[0], 9]])).vectors
    np.testing.assert_allclose(sums, np.linalg.norm(vectors, axis=1), rtol=1e-3)


@pytest.mark.slow
def test_so_do_support_records():
    model = open_model("ecg-sic")
    own, latents = model.supports, model.latents
    new = next(int(i) for i in latents.index[latents.of_class(1)] if i not in own.index)
    samples = open_samples("ecg/test").isel(sample=[40])
    asked = {"excluded": [int(own.index[0])], "added": [[new, 1]], "targets": [1, 0]}
    found = same_again(model, samples, **asked)
    row = int(np.flatnonzero(found["support_sample"] == new)[0])
    supports = support_set(model, METHOD.ask(**asked))
    np.testing.assert_allclose(
        latent_vectors(model, supports.image[[row]]), supports.vectors[[row]], atol=1e-4
    )
    norm = np.linalg.norm(supports.vectors[row])
    assert float(found["self_contribution"][row].sum()) == pytest.approx(norm, rel=1e-3)


def test_a_lone_object_serves_everybody(make, samples):
    """Values come from the request only: an object with other parameters gives the same result."""
    model, x = make(), samples(2)["image"].values
    ask = METHOD.ask(targets=[0, 1], rendering=True, smoothing=3, excluded=[int(model.supports.index[0])])
    other = type(METHOD)(targets=[2], smoothing=40, percentile=60, per_class=1, rule="random", matches=False)
    (first, second) = (
        m.interpret(model, m.observe(model, x[:1], [ask], [None])[0], ask) for m in (METHOD, other)
    )
    xr.testing.assert_identical(first, second)
