"""A record as a sequence: against explicit features, shifted, scaled, permuted, with extreme temperatures, and by vote."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from sklearn.mixture import GaussianMixture

from xai_views import open_model
from xai_views.engine.clusters import soft
from xai_views.engine.clusters.features import preset_weights
from xai_views.engine.clusters.measures import ari
from xai_views.errors import MethodError
from xai_views.methods.ecg_clusters.fit import Fitted
from xai_views.methods.ecg_clusters.method import EcgClustersMethod
from xai_views.methods.ecg_clusters.receptive import receptive_field
from xai_views.methods.ecg_clusters.sequence import Sequence
from xai_views.methods.explaining import observed_whole
from xai_views.models.families.resnet1d.network import ResNet1d
from xai_views.models.taps import capture, default_taps
from xai_views.samples import signal_dataset

from .ecg_nets import LEADS, STEPS, TAPS, by, fitted, local, noisy, planted, records

DTYPES = [torch.float32, torch.float64]
METHOD = EcgClustersMethod()
ASK = METHOD.ask(taps=TAPS, k=5)


def asked(model, signal, ask):
    (seen,) = observed_whole(METHOD.observe(model, signal[None], [ask], [None]))
    return METHOD.interpret(model, seen, ask)


def book_of(model, ask=ASK, n=4, members=0, seed=5):
    return fitted(model, records(noisy(n, seed=seed)), ask, members=members)


def slow_features(model, signal, taps=TAPS) -> np.ndarray:
    """Rows ``[40, D]``, step by step: interpolated between the middles of cells, normalised, weighted, side by side."""
    _, kept = capture(model, model.tensor(signal[None]), taps)
    maps = [kept[t][0].double().numpy() for t in taps]
    weights, cells = preset_weights([len(m) for m in maps]), maps[0].shape[1]
    rows = []
    for t in range(cells):
        row = []
        for m, w in zip(maps, weights, strict=True):
            n = m.shape[1]
            at = min(max((t + 0.5) * n / cells - 0.5, 0), n - 1)
            low = min(int(at), n - 2)
            column = m[:, low] + (at - low) * (m[:, low + 1] - m[:, low])
            row.append(w * column / max(np.linalg.norm(column), 1e-8))
        rows.append(np.concatenate(row))
    return np.stack(rows)


# --- against the explicit features -----------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_step_goes_to_the_nearest_centroid(dtype):
    model, signal = local(dtype=dtype), noisy(1, length=400)[0]
    book = book_of(model).book
    ds = asked(model, signal, ASK.replace(**by(book))).isel(sample=0)
    rows, centres = slow_features(model, signal)[:25], torch.cat(book.centroids, 1).double().numpy()
    d2 = ((rows[:, None] - centres) ** 2).sum(2)
    order, two = np.argsort(d2, 1), np.sort(d2, 1)[:, :2]
    clear = np.diff(two, axis=1)[:, 0] > 1e-5
    assert clear.mean() > 0.9
    np.testing.assert_array_equal(ds["cluster"].values[:25][clear], order[clear, 0])
    np.testing.assert_array_equal(ds["second"].values[:25][clear], order[clear, 1])
    near = {"atol": 2e-4} if dtype == torch.float32 else {"atol": 1e-7}
    np.testing.assert_allclose(ds["margin"].values[:25], 1 - np.sqrt(two[:, 0] / two[:, 1]), **near)
    assert float(ds["temperature"]) == book.spread
    gamma = np.exp(-(d2 - two[:, :1]) / book.spread)
    gamma /= gamma.sum(1, keepdims=True)
    entropy = -(gamma * np.log(gamma)).sum(1) / np.log(5)
    np.testing.assert_allclose(ds["entropy"].values[:25], entropy, **near)


def test_a_record_alone_is_k_means_of_its_own_steps():
    model, signal = local(dtype=torch.float64), noisy(1, length=400)[0]
    ds = asked(model, signal, ASK).isel(sample=0)
    rows, ids = slow_features(model, signal)[:25], ds["cluster"].values[:25]
    means = np.stack([rows[ids == c].mean(0) for c in range(5)])
    d2 = ((rows[:, None] - means) ** 2).sum(2)
    np.testing.assert_array_equal(d2.argmin(1), ids, "Lloyd's algorithm has nothing left to do")
    assert float(ds["temperature"]) == pytest.approx(d2.min(1).mean(), rel=1e-6)
    assert (np.diff(ds["proportion"]) <= 0).all(), "largest first"
    again = asked(model, signal, ASK.replace(seed=3))
    assert ari(again["cluster"].values[0, :25], ids) > 0.3


# --- shifts and scales -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_record_that_begins_a_stride_later_has_its_sequence_a_stride_later(dtype):
    model, signal = local(dtype=dtype), noisy(1, seed=7)[0]
    ask = ASK.replace(**by(book_of(model)))
    later = np.concatenate([noisy(1, seed=8)[0][:, :64], signal[:, :-64]], 1)
    one, two = asked(model, signal, ask).isel(sample=0), asked(model, later, ask).isel(sample=0)
    for name in ("cluster", "second"):
        # a cell of the deepest layer is 4 steps; interpolation uses its neighbours
        np.testing.assert_array_equal(two[name].values[8:-4], one[name].values[4:-8])
    for name in ("entropy", "margin"):
        np.testing.assert_allclose(two[name].values[8:-4], one[name].values[4:-8], atol=2e-4)
    assert ari(one["cluster"], two["cluster"]) < 0.9


def test_away_from_the_borders_a_network_that_pads_is_shifted_alike():
    torch.manual_seed(1)
    net = ResNet1d(3, 4, 2048, 6, ((8, 4), (10, 4), (12, 2)), 5, "gap").double()
    model = open_model(net.eval(), channels=3, size=(2048,), rate=100.0, leads=LEADS)
    taps = default_taps(model)
    stride, fine = 32, 4
    field = receptive_field(model, taps[-1])
    assert not field.clipped
    margin = -(-(max(field.first, field.last) + 2 * stride) // fine)
    rng = np.random.default_rng(2)
    signal = rng.normal(size=(3, 2048 + stride)).astype(np.float32)
    windows = np.stack([signal[:, stride:], signal[:, :-stride]])
    ds = signal_dataset(windows, 100.0, LEADS)
    ask = METHOD.ask(**by(fitted(model, ds, METHOD.ask(k=5, taps=taps), members=0)))
    early, late = (asked(model, x, ask)["cluster"].values[0] for x in windows)
    inner = slice(margin, len(early) - margin)
    assert inner.stop - inner.start > 100
    moved = late[inner.start + stride // fine : inner.stop + stride // fine]
    np.testing.assert_array_equal(moved, early[inner])
    assert (early[inner] != late[inner]).mean() > 0.2


@pytest.mark.parametrize("gain", [0.01, 7.0])
@pytest.mark.parametrize("dtype", DTYPES)
def test_the_amplitude_of_a_layer_is_no_matter(dtype, gain):
    signal, plain, loud = noisy(1)[0], local(dtype=dtype), local(dtype=dtype, gain=gain)
    book = replace(book_of(plain).book, model_sha256="")
    one, two = (asked(m, signal, ASK.replace(**by(book))) for m in (plain, loud))
    assert plain.sha256 != loud.sha256
    np.testing.assert_array_equal(one["cluster"], two["cluster"])
    np.testing.assert_allclose(one["entropy"], two["entropy"], atol=2e-4)
    np.testing.assert_array_equal(asked(plain, signal, ASK)["cluster"], asked(loud, signal, ASK)["cluster"])


# --- certainty -------------------------------------------------------------------------------------------------


def by_hand(distances, spread=0.0) -> Sequence:
    """A sequence of given squared distances ``[K, M]`` with one step of padding."""
    d2 = torch.as_tensor(distances)
    labels = torch.cat([d2.argmin(0), torch.tensor([-1])])
    return Sequence(labels >= 0, labels, d2[None], spread)


@pytest.mark.parametrize("kind", ["tempered", "fuzzy"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_one_cluster_is_certain_and_equal_ones_are_not(dtype, kind):
    d2 = torch.tensor([[0, 2, 1], [1e6, 2, 1], [1e6, 2, 5e6]], dtype=dtype)
    found, _ = by_hand(d2).certainty(kind, 1.0)
    close = 1e-4 if kind == "fuzzy" else 1e-6
    np.testing.assert_allclose(found["entropy"], [0, 1, np.log(2) / np.log(3), 0], atol=close)
    assert found["margin"][0] == 1
    assert found["margin"][1] == 0


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_order_of_the_clusters_is_no_matter(dtype):
    d2 = torch.rand(6, 30, dtype=dtype, generator=torch.Generator().manual_seed(0))
    order = torch.randperm(6, generator=torch.Generator().manual_seed(1))
    one, two = by_hand(d2), by_hand(d2[order])
    a, b = one.certainty("tempered", 0.2)[0], two.certainty("tempered", 0.2)[0]
    np.testing.assert_allclose(a["entropy"], b["entropy"], atol=1e-6)
    np.testing.assert_array_equal(a["margin"], b["margin"])
    np.testing.assert_array_equal(order[b["second"][:-1]], a["second"][:-1])
    np.testing.assert_array_equal(one.proportion[order], two.proportion)


@pytest.mark.parametrize("dtype", DTYPES)
def test_warmer_is_less_certain_and_frozen_is_hard(dtype):
    d2 = torch.rand(5, 40, dtype=dtype, generator=torch.Generator().manual_seed(3))
    found = by_hand(d2)
    entropies = [found.certainty("tempered", t)[0]["entropy"] for t in (0.01, 0.03, 0.1, 0.3, 1, 10)]
    for cold, warm in itertools.pairwise(entropies):
        assert (warm[:-1] > cold[:-1]).all()
    shares, _ = soft.soft(found.distances, "tempered", 1e-7)
    np.testing.assert_allclose(shares[0].mean(1), found.proportion, atol=1e-6)
    warm = soft.soft(found.distances, "tempered", 1.0)[0][0].mean(1)
    assert (warm - found.proportion).abs().max() > 0.01


def test_the_temperature_is_that_of_the_codebook_and_the_same_for_every_record():
    found = by_hand(torch.rand(3, 8, generator=torch.Generator().manual_seed(0)), spread=0.7)
    assert found.certainty("tempered", 0.0)[1] == 0.7
    assert found.certainty("tempered", 0.2)[1] == 0.2
    alone = replace(found, spread=0.0)
    assert alone.certainty("tempered", 0.0)[1] == pytest.approx(float(found.distances.min(1).values.mean()))


@pytest.mark.parametrize("shared", [True, False])
def test_a_mixture_is_of_the_principal_components_of_what_is_signal(shared):
    model, signal = local(), noisy(1, length=400)[0]
    book = book_of(model).book if shared else None
    how = {} if book is None else by(book)
    ds = asked(model, signal, ASK.replace(**how, soft="gmm", length=400)).isel(sample=0)
    rows, ids = slow_features(model, signal)[:25], ds["cluster"].values[:25]
    centres = np.stack([rows[ids == c].mean(0) for c in range(5)]) if book is None else None
    centres = np.concatenate(book.centroids, 1) if shared else centres
    pca = PCA(16, svd_solver="full").fit(rows)
    d2 = ((pca.transform(rows)[:, None] - pca.transform(centres)) ** 2).sum(2)
    oracle = GaussianMixture(5, covariance_type="spherical")
    oracle.means_, oracle.covariances_ = pca.transform(centres), np.full(5, d2.min(1).mean() / 16)
    oracle.weights_ = np.maximum(np.bincount(ids, minlength=5) / 25, 1e-30)
    oracle.precisions_cholesky_ = 1 / oracle.covariances_**0.5
    share = oracle.predict_proba(pca.transform(rows))
    entropy = -np.where(share > 0, share * np.log(np.maximum(share, 1e-300)), 0).sum(1) / np.log(5)
    assert entropy.max() > 0.1
    assert float(ds["temperature"]) == pytest.approx(oracle.covariances_[0], rel=1e-3)
    np.testing.assert_allclose(ds["entropy"].values[:25], entropy, atol=2e-3)
    assert not ds["entropy"].values[25:].any()


def test_a_mixture_of_distances_alone_is_refused():
    with pytest.raises(MethodError, match="needs a clustering"):
        by_hand(torch.rand(3, 8)).certainty("gmm", 0.0)


# --- the ensemble ----------------------------------------------------------------------------------------------


def test_the_entropy_of_votes_is_counted_by_hand():
    model, signal = local(), noisy(1, length=400)[0]
    book = book_of(model, members=4)
    ask = ASK.replace(**by(book), ensemble=True)
    ds = asked(model, signal, ask).isel(sample=0)
    ids = np.stack([asked(model, signal, ASK.replace(**by(m)))["cluster"].values[0] for m in book.ensemble])
    want = []
    for t in range(40):
        share = np.bincount(ids[:, t], minlength=5) / 4 if t < 25 else np.ones(1)
        share = share[share > 0]
        want.append(-(share * np.log(share)).sum() / np.log(5))
    np.testing.assert_allclose(ds["ensemble_entropy"], want, atol=1e-6)
    assert 0 < ds["ensemble_entropy"].values.max() <= np.log(4) / np.log(5) + 1e-6


def test_members_that_agree_leave_no_doubt_and_their_order_is_that_of_the_book():
    model, (signal, _truth) = local(), planted(8)
    ask = METHOD.ask(taps=["relu1"], k=4, length=STEPS)
    book = fitted(model, records(signal, length=[STEPS] * 8), ask, members=3)
    ds = asked(model, signal[0], ask.replace(**by(book), ensemble=True))
    assert not ds["ensemble_entropy"].values.any()
    for member in book.ensemble:
        ids = asked(model, signal[0], ask.replace(**by(member)))["cluster"]
        np.testing.assert_array_equal(ids, ds["cluster"], "not only the same parts: the same ids")
    assert len({m.key for m in book.ensemble}) == 3, "records were drawn anew for each"


def test_an_ensemble_of_others_is_one_sentence():
    model = local()
    one, two = book_of(model, members=1), book_of(model, ASK.replace(k=3), members=1)
    with pytest.raises(
        MethodError, match="the ensemble belongs to another codebook than the given one with 5 clusters"
    ):
        Fitted(one.book, two.ensemble)
