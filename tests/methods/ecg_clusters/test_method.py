"""Method ``ecg_clusters``: sums to the logit, padding, number of passes, and one-sentence errors."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from xai_views import open_model
from xai_views.contract.explanation import combine, load, save, validate
from xai_views.engine.clusters.measures import ari
from xai_views.errors import MethodError
from xai_views.methods import explain
from xai_views.methods.ecg_clusters.method import EcgClustersMethod
from xai_views.methods.explaining import observed_whole
from xai_views.models.heads import find_head
from xai_views.models.taps import capture, replace_activation

from ..nave_nets import counted
from .ecg_nets import (
    CELL,
    CLASSES,
    DEEP,
    LEADS,
    STEPS,
    TAPS,
    by,
    fitted,
    local,
    noisy,
    planted,
    records,
    silence,
)

DTYPES = [torch.float32, torch.float64]
ALL = tuple(range(CLASSES))
LENGTH = 400  # 25 of 40 cells are signal, and 6.25 of 10 deep ones
METHOD = EcgClustersMethod()
ASK = METHOD.ask(taps=TAPS, k=5, targets=ALL)


def close(dtype) -> float:
    return 2e-6 if dtype == torch.float32 else 1e-12


def asked(model, signal, ask=ASK):
    """The explanation of one record."""
    (seen,) = observed_whole(METHOD.observe(model, signal[None], [ask], [None]))
    return METHOD.interpret(model, seen, ask)


def steps_of(model, signal) -> tuple[np.ndarray, np.ndarray]:
    """The last map ``[5, 10]`` and the contribution of each step to each logit ``[4, 10]``, by loops over the weights."""
    _, kept = capture(model, model.tensor(signal[None]), ["relu3"])
    a, w = kept["relu3"][0].numpy(), model.module.fc.weight.detach().numpy()
    if model.module.head == "gap":
        return a, np.stack([[w[q] @ a[:, t] / a.shape[1] for t in range(10)] for q in ALL])
    w = w.reshape(CLASSES, 5, 10)
    return a, np.stack([[w[q, :, t] @ a[:, t] for t in range(10)] for q in ALL])


# --- contributions ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("length", [STEPS, LENGTH])
@pytest.mark.parametrize("head", ["gap", "flatten"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_contributions_are_those_of_a_loop_over_steps(dtype, head, length):
    model, signal = local(head, dtype), noisy(1, length=length)[0]
    ds = asked(model, signal)
    _, steps = steps_of(model, signal)
    ids, want, padding = ds["cluster"].values[0], np.zeros((CLASSES, 5)), np.zeros(CLASSES)
    for t, cluster in enumerate(ids):
        share = steps[:, t * CELL // DEEP] * CELL / DEEP  # four cells under each deep step
        np.testing.assert_allclose(ds["time_contribution"].values[0, :, t], share, atol=close(dtype))
        if cluster < 0:
            padding += share
        else:
            want[:, cluster] += share
    np.testing.assert_allclose(ds["cluster_contribution"].values[0], want, atol=close(dtype))
    np.testing.assert_allclose(ds["padding_contribution"].values[0], padding, atol=close(dtype))
    assert (np.abs(padding).max() > 0.01) == (length < STEPS), "the contribution of padding is reported"


@pytest.mark.parametrize("length", [STEPS, LENGTH, 3])
@pytest.mark.parametrize("head", ["gap", "flatten"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_parts_sum_to_the_logit(dtype, head, length):
    model, signal = local(head, dtype), noisy(1, seed=2, length=length)[0]
    ds = asked(model, signal, ASK.replace(k=1 if length == 3 else 5)).isel(sample=0)
    with torch.no_grad():
        logit = model.module(model.tensor(signal[None]))[0].numpy()
    np.testing.assert_array_equal(ds["logit"], logit)
    total = ds["bias"] + ds["time_contribution"].sum("time").values
    np.testing.assert_allclose(total, logit, atol=close(dtype))
    total = (
        ds["bias"].values
        + ds["cluster_contribution"].sum("cluster").values
        + ds["padding_contribution"].values
    )
    np.testing.assert_allclose(total, logit, atol=close(dtype))
    np.testing.assert_allclose(ds["residual"], logit - total, atol=close(dtype) / 2)
    assert {ds[n].dtype for n in ("logit", "bias", "cluster_contribution", "residual")} == {logit.dtype}


@pytest.mark.parametrize("dtype", DTYPES)
def test_another_head_has_a_gap_that_is_stated(dtype):
    """The gradient of w (mean a)^2 times a is twice the logit."""
    model, signal = local("square", dtype), noisy(1, length=LENGTH)[0]
    ds = asked(model, signal)
    assert not find_head(model).exact
    logit, bias = ds["logit"].values[0], model.module.fc.bias.detach().numpy()
    parts = ds["cluster_contribution"].values[0].sum(1) + ds["padding_contribution"].values[0]
    np.testing.assert_allclose(parts, 2 * (logit - bias), atol=close(dtype))
    np.testing.assert_allclose(ds["time_contribution"].values[0].sum(1), parts, atol=close(dtype))
    np.testing.assert_allclose(ds["residual"].values[0], logit - parts, atol=close(dtype))
    assert not ds["bias"].values.any()


# --- removing clusters --------------------------------------------------------------------------------------


@pytest.mark.parametrize("fill", ["mean", "zero", "data"])
@pytest.mark.parametrize("head", ["gap", "flatten", "square"])
@pytest.mark.parametrize("keep", [False, True])
def test_without_clusters_the_network_says_what_is_said(head, fill, keep):
    model, signal = local(head, torch.float64), noisy(1, length=LENGTH)[0]
    mean = torch.linspace(0.1, 0.5, 5)
    book = replace(fitted(model, records(noisy(3, seed=5)), ASK, members=0).book, last_mean=mean)
    ask = ASK.replace(**by(book), ablated=[0, 2], keep=keep, fill=fill)
    ds = asked(model, signal, ask)
    last = capture(model, model.tensor(signal[None]), ["relu3"])[1]["relu3"]
    gone = {0, 2} ^ (set(range(5)) if keep else set())
    ids = ds["cluster"].values[0].reshape(10, 4)
    share = np.stack([[np.mean(row == c) for row in ids] for c in range(5)])
    away = torch.from_numpy(sum(share[c] for c in gone))
    left = torch.from_numpy(sum(share[c] for c in set(range(5)) - gone))
    value = {"zero": 0 * mean.double(), "data": mean.double(), "mean": (last[0] * left).sum(1) / left.sum()}[
        fill
    ]
    changed = last * (1 - away) + value[None, :, None] * away
    want = replace_activation(model, model.tensor(signal[None]), "relu3", changed)[0]
    np.testing.assert_allclose(ds["ablated_logit"].values[0], want.numpy(), atol=1e-10)
    np.testing.assert_allclose(
        ds["ablated_probability"].values[0], torch.softmax(want, 0).numpy(), atol=1e-10
    )


@pytest.mark.parametrize("head", ["gap", "flatten"])
def test_shapley_values_share_what_all_clusters_bring(head):
    model, signal = local(head, torch.float64), noisy(1, length=LENGTH)[0]
    ds = asked(model, signal, ASK.replace(shapley=True, ablated=range(5)))
    total = ds["cluster_shapley"].values[0].sum(1)
    np.testing.assert_allclose(total, ds["logit"].values[0] - ds["ablated_logit"].values[0], atol=1e-12)
    assert np.abs(ds["cluster_shapley"] - ds["cluster_contribution"]).max() > 1e-3, (
        "the mean of the rest differs from zero"
    )


# --- padding, lengths, time ------------------------------------------------------------------------------------


@pytest.mark.parametrize("length", [LENGTH, 392, 393, 8])
def test_padding_belongs_to_no_cluster(length):
    ds = asked(local(), noisy(1, length=length)[0], ASK.replace(k=1 if length == 8 else 5))
    cells = max(1, sum((t + 0.5) * CELL < length for t in range(40)))
    assert cells == {400: 25, 392: 24, 393: 25, 8: 1}[length]
    ids = ds["cluster"].values[0]
    assert (ids[:cells] >= 0).all()
    assert (ids[cells:] == -1).all()
    assert (ds["second"].values[0, cells:] == -1).all()
    assert not ds["entropy"].values[0, cells:].any()
    assert not ds["margin"].values[0, cells:].any()
    count = np.bincount(ids[:cells], minlength=ds.sizes["cluster"])
    np.testing.assert_allclose(ds["proportion"].values[0], count / cells, rtol=1e-12)
    assert float(ds["proportion"].sum()) == pytest.approx(1, abs=1e-12)
    assert int(ds["length"][0]) == length


@pytest.mark.parametrize("own", [True, False])
def test_what_is_in_the_padding_changes_no_cluster(own):
    model, signal = local(), noisy(1)[0]
    other = signal.copy()
    other[:, LENGTH:] = noisy(1, seed=9)[0][:, LENGTH:]
    ask = ASK.replace(taps=["relu1"], length=LENGTH)  # a cell of this layer sees nothing of its neighbours
    if not own:
        ask = ask.replace(**by(fitted(model, records(noisy(3, seed=5)), ask, members=0)))
    one, two = asked(model, signal, ask), asked(model, other, ask)
    for name in ("cluster", "proportion", "entropy", "margin", "second", "temperature"):
        np.testing.assert_allclose(one[name], two[name], atol=1e-6, err_msg=name)
    assert np.abs(one["padding_contribution"] - two["padding_contribution"]).max() > 1e-3


def test_a_length_that_is_given_goes_before_the_zeros_at_the_end():
    signal = noisy(1, length=LENGTH)[0]
    given = asked(local(), signal, ASK.replace(length=320))
    assert (given["cluster"].values[0] >= 0).sum() == 20
    with pytest.raises(MethodError, match="a length of 641 steps was given and the record has 640"):
        asked(local(), signal, ASK.replace(length=641))


def test_time_is_the_middle_of_a_step():
    ds = asked(local(), noisy(1)[0])
    np.testing.assert_allclose(ds["time"], (np.arange(40) + 0.5) * 0.16)
    assert ds["time"].attrs["units"] == "s"
    plain = asked(local(rate=None), noisy(1)[0])
    np.testing.assert_allclose(plain["time"], (np.arange(40) + 0.5) * 16)
    assert plain["time"].attrs["units"] == "steps"


# --- planted waves ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("own", [True, False])
def test_planted_waves_are_clusters(dtype, own):
    model, (signal, truth) = local(dtype=dtype), planted(6)
    ask = METHOD.ask(taps=["relu1"], k=4, length=STEPS)  # the rest between two beats is no padding
    if not own:
        ask = ask.replace(**by(fitted(model, records(signal[:3], length=[STEPS] * 3), ask, members=0)))
    ds = explain(model, records(signal), ask)
    ids = ds["cluster"].values
    for i in range(6):
        assert ari(ids[i], truth[i]) == 1
    if not own:
        assert ari(ids, truth) == 1, (
            "one id for one wave in all records, also in those that were not fitted on"
        )
        names = [truth[ids == c][0] for c in range(4)]
        share = np.array([(truth == w).mean(1) for w in names]).T
        np.testing.assert_allclose(ds["proportion"], share, rtol=1e-12)


def test_all_layers_together_hardly_mix_the_waves():
    model, (signal, truth) = local(), planted(12, noise=0.01)
    ask = METHOD.ask(taps=TAPS, k=8)
    ask = ask.replace(**by(fitted(model, records(signal), ask, members=0)))
    ids = explain(model, records(signal), ask)["cluster"].values
    pure = sum(np.bincount(truth[ids == c]).max() for c in np.unique(ids)) / ids.size
    assert pure > 0.9
    assert (truth == 0).mean() < 0.75, "a single cluster would not satisfy this"


# --- cost ------------------------------------------------------------------------------------------------------


def test_one_pass_for_a_record_and_none_for_another_view():
    model, signals = local(), noisy(3)
    find_head(model)  # which looks at the network once
    book = fitted(model, records(noisy(3, seed=5)), ASK, members=2)
    with counted(model) as spent:
        seen = METHOD.observe(model, signals, [ASK] * 3, [None] * 3)
    assert (spent["forward"], spent["forward_calls"], spent["backward"]) == (3, 3, 0)
    views = [
        ASK.replace(k=3),
        ASK.replace(soft="fuzzy", targets=(0,)),
        ASK.replace(ablated=[1], shapley=True),
        ASK.replace(**by(book), ensemble=True, temperature=0.1),
        ASK.replace(taps=TAPS[1:]),
    ]
    with counted(model) as spent:
        for ask in views:
            assert METHOD.covers(model, seen[0], ask)
            METHOD.interpret(model, seen[0], ask)
    assert not any(spent.values())


def test_an_edit_costs_one_pass_and_is_kept():
    model, signals = local(), noisy(1)
    find_head(model)
    (seen,) = METHOD.observe(model, signals, [ASK], [None])
    ask = ASK.replace(edits=[silence(1, 1.0, 2.0)])
    assert not METHOD.covers(model, seen, ask)
    with counted(model) as spent:
        (more,) = METHOD.observe(model, signals, [ask], [seen])
    assert (spent["forward"], spent["backward"]) == (1, 0)
    assert not METHOD.covers(model, seen, ask), "shared observations do not change"
    assert METHOD.covers(model, more, ask)
    assert METHOD.covers(model, more, ASK)
    with counted(model) as spent:
        silent, plain = METHOD.interpret(model, more, ask), METHOD.interpret(model, more, ASK)
    assert not any(spent.values())
    edited = signals[0].copy()
    edited[1, 100:200] = np.linspace(edited[1, 99], edited[1, 200], 102)[1:-1]
    np.testing.assert_allclose(silent["logit"], asked(model, edited)["logit"], atol=1e-6)
    np.testing.assert_array_equal(plain["logit"], asked(model, signals[0])["logit"])


def test_a_silent_end_is_no_padding_and_padding_is_not_edited():
    ds = asked(local(), noisy(1)[0], ASK.replace(edits=[silence(-1, 4.0, 6.4, "zero")]))
    assert (ds["cluster"].values >= 0).all()
    signal, ask = noisy(1, length=LENGTH)[0], ASK.replace(edits=[silence(1, 3.0, 6.4, "mean")])
    edited = signal.copy()
    edited[1, 300:400] = signal[1, :400].mean()
    np.testing.assert_allclose(
        asked(local(), signal, ask)["logit"], asked(local(), edited)["logit"], atol=1e-6
    )


def test_a_head_that_is_not_linear_costs_a_backward_pass_per_class_and_a_pass_per_ablation():
    model, signals = local("square"), noisy(2)
    find_head(model)
    asks = [ASK.replace(targets=(0, 2)), ASK.replace(targets=(2,))]
    with counted(model) as spent:
        seen = METHOD.observe(model, signals, asks, [None] * 2)
    assert (spent["forward"], spent["forward_calls"], spent["backward_calls"]) == (4, 4, 3)
    ask = ASK.replace(targets=(2,), ablated=[0])
    assert METHOD.covers(model, seen[0], asks[1])
    assert not METHOD.covers(model, seen[0], ask)
    with counted(model) as spent:
        seen = METHOD.observe(model, signals[:1], [ask], seen[:1])
    assert (spent["forward"], spent["backward"]) == (1, 0)
    assert METHOD.covers(model, seen[0], ask)
    assert not METHOD.covers(model, seen[0], ASK.replace(targets=(1,)))
    with counted(model) as spent:
        METHOD.observe(model, signals[:1], [ask.replace(taps=("one", "relu3"))], seen)
    assert (spent["forward"], spent["backward"]) == (2, 0), (
        "one pass for a new tap, one for the ablation of other clusters"
    )


# --- the explanation as a file ---------------------------------------------------------------------------------


def test_an_explanation_follows_the_schema_and_opens_again(tmp_path):
    model, ds = local(), records(noisy(3, length=LENGTH), length=[400, 400, 300], prepared='["cut"]')
    found = fitted(model, ds, ASK, members=2)
    book = replace(found, book=found.book.named(["P"]))
    ask = ASK.replace(**by(book), ensemble=True, attribution="gradient x input")
    found = validate(explain(model, ds, ask))
    assert list(found["cluster_name"].values) == ["P", "", "", "", ""]
    assert found["cluster"].dims == found["ensemble_entropy"].dims == ("sample", "time")
    assert found["attribution"].shape == (3, 3, STEPS)
    assert list(found["lead"].values) == list(LEADS)
    assert EcgClustersMethod(**json.loads(found.attrs["parameters"])).codebook.key == book.key
    assert "ask" not in found.attrs
    assert found.attrs["prepared"] == '["cut"]'
    again = load(save(found, tmp_path / "e.zarr"))
    assert again.identical(found)


def test_records_with_fewer_clusters_can_be_joined():
    model, (signal, _) = local(), planted(2)
    signal[1] = 0
    signal[1, :, 0] = 1  # two kinds of cells
    ds = combine([asked(model, x, ASK.replace(taps=["relu1"], length=STEPS)) for x in signal])
    assert ds["proportion"].shape == (2, 5)
    np.testing.assert_allclose(ds["proportion"].sum("cluster"), 1)
    np.testing.assert_array_equal(ds["proportion"].values[1, 2:], 0)


def test_a_network_without_names_of_leads_and_with_strange_ones():
    ds = asked(
        open_model(local().module, channels=3, size=(STEPS,)),
        noisy(1)[0],
        ASK.replace(attribution="gradient x input"),
    )
    assert list(ds["lead"].values) == ["0", "1", "2"]
