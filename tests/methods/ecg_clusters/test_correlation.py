"""Correlations, permutation p-values and their corrections, against scipy and under a planted null."""

import itertools

import numpy as np
import pytest
from scipy import stats

from xai_views.errors import MethodError
from xai_views.methods.ecg_clusters.correlation import (
    KINDS,
    benjamini_hochberg,
    centred_log_ratio,
    correlate,
    correlation,
    holm,
    one_hot,
)


@pytest.fixture
def rng():
    return np.random.default_rng(3)


def shares(rng, n, k):
    return rng.dirichlet(np.ones(k), n)


@pytest.mark.parametrize(("kind", "reference"), [("pearson", stats.pearsonr), ("spearman", stats.spearmanr)])
def test_the_numbers_are_those_of_scipy(rng, kind, reference):
    x, y = shares(rng, 60, 4), rng.integers(0, 3, (60, 2)).astype(float)  # with many ties
    found = correlation(x, y, kind)
    assert found.shape == (4, 2)
    for k, q in itertools.product(range(4), range(2)):
        assert found[k, q] == pytest.approx(reference(x[:, k], y[:, q]).statistic, abs=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_p_is_the_share_of_all_orders_that_do_as_well(rng, kind):
    x, y = shares(rng, 6, 2), rng.normal(size=(6, 1))
    found = correlate(x, y, kind, permutations=20_000)
    orders = [np.abs(correlation(x, y[list(o)], kind))[:, 0] for o in itertools.permutations(range(6))]
    exact = (np.array(orders) >= np.abs(found.r[:, 0]) - 1e-9).mean(0)
    assert found.p[:, 0] == pytest.approx(exact, abs=0.015)


def test_p_is_uniform_when_nothing_depends_on_anything(rng):
    p = np.concatenate(
        [
            correlate(shares(rng, 40, 3)[:, :1], rng.normal(size=(40, 1)), permutations=99, seed=i).p.ravel()
            for i in range(400)
        ]
    )
    assert stats.kstest(p, "uniform").pvalue > 0.01
    assert (p <= 0.05).mean() == pytest.approx(0.05, abs=0.035)


def test_p_is_as_small_as_it_can_be_for_a_planted_dependence(rng):
    x = shares(rng, 80, 4)
    y = np.stack([10 * x[:, 2] + 0.1 * rng.normal(size=80), rng.normal(size=80)], 1)
    found = correlate(x, y, permutations=999)
    assert found.r[2, 0] > 0.9
    assert found.p[2, 0] == found.least_p == 1 / 1000
    assert found.holm[2, 0] <= 0.008
    assert found.bh[2, 0] <= 0.008
    assert found.holm[:, 1].min() > 0.05


def test_a_share_that_has_to_shrink_correlates_and_its_log_ratio_does_not(rng):
    """One cluster grows with the output; the others share the remainder independently."""
    grow = rng.uniform(0.05, 0.85, 300)
    rest = rng.dirichlet(np.full(6, 5.0), 300) * (1 - grow[:, None])
    x, y = np.concatenate([grow[:, None], rest], 1), grow[:, None]
    plain, ratio = correlate(x, y, permutations=199), correlate(x, y, transform="clr", permutations=199)
    assert (plain.r[1:, 0] < -0.5).all()
    assert ratio.r[0, 0] > 0.95
    assert (np.abs(ratio.r[1:, 0]) < np.abs(plain.r[1:, 0]) - 0.1).all()
    assert (plain.pseudo, ratio.pseudo) == (0.0, 0.5 / 256)


def test_log_ratios_are_centred_and_know_no_scale():
    x = np.array([[0.5, 0.5, 0.0], [0.2, 0.3, 0.5]])
    found = centred_log_ratio(x, 0.01)
    assert found.sum(1) == pytest.approx(0)
    assert found[0, 0] - found[0, 2] == pytest.approx(np.log(0.51 / 0.01))
    assert centred_log_ratio(x * 256, 0.01) == pytest.approx(found)


def test_corrections_against_scipy_and_by_hand():
    p = np.array([[0.01, 0.04], [0.03, np.nan]])
    assert holm(p)[0] == pytest.approx([0.03, 0.06])
    assert holm(p)[1, 0] == pytest.approx(0.06)
    assert np.isnan(holm(p)[1, 1])
    assert benjamini_hochberg(p)[np.isfinite(p)] == pytest.approx(
        stats.false_discovery_control([0.01, 0.04, 0.03])
    )
    assert holm(np.full(5, 0.9)) == pytest.approx(1)
    assert np.isnan(holm(np.full(2, np.nan))).all()


def test_what_never_changes_has_no_correlation_and_is_not_counted(rng):
    x, y = shares(rng, 50, 2), np.stack([rng.normal(size=50), np.full(50, 0.1)], 1)
    found = correlate(x, y, permutations=99)
    assert np.isnan(found.r[:, 1]).all()
    assert np.isnan(found.p[:, 1]).all()
    alone = correlate(x, y[:, :1], permutations=99)
    assert found.holm[:, 0] == pytest.approx(holm(found.p[:, 0]))
    assert found.r[:, :1] == pytest.approx(alone.r)


def test_batches_and_seeds(rng, monkeypatch):
    x, y = shares(rng, 30, 3), rng.normal(size=(30, 2))
    said: list[tuple[int, int]] = []
    whole = correlate(x, y, permutations=50, seed=5)
    monkeypatch.setattr("xai_views.methods.ecg_clusters.correlation._FLOATS", 30 * 2 * 7)
    parts = correlate(x, y, permutations=50, seed=5, progress=lambda a, b: said.append((a, b)))
    assert (whole.p == parts.p).all(), "the same orders, whatever the batches"
    assert said[0] == (7, 50)
    assert said[-1] == (50, 50)
    assert (correlate(x, y, permutations=50, seed=6).p != whole.p).any()


def test_labels_as_outputs():
    assert one_hot(np.array([0, 2]), 3).tolist() == [[1, 0, 0], [0, 0, 1]]
    assert one_hot(np.array([[1, 0], [1, 1]]), 2).tolist() == [[1, 0], [1, 1]]
    with pytest.raises(MethodError, match="from -1 to 1"):
        one_hot(np.array([-1, 1]), 3)
    with pytest.raises(MethodError, match="float64"):
        one_hot(np.array([0.5]), 3)


@pytest.mark.parametrize(
    ("x", "y", "options", "said"),
    [
        (np.ones((5, 2)), np.ones((4, 1)), {}, "5 records and outputs of 4"),
        (np.ones((2, 2)), np.ones((2, 1)), {}, "at least 3"),
        (np.full((5, 2), np.nan), np.ones((5, 1)), {}, "shares contain values"),
        (np.ones((5, 2)), np.ones((5, 1, 1)), {}, r"outputs of shape \[5, 1, 1\]"),
        (np.ones((5, 2)), np.ones((5, 1)), {"kind": "kendall"}, "'kendall'"),
        (np.ones((5, 2)), np.ones((5, 1)), {"transform": "alr"}, "'alr'"),
        (np.ones((5, 2)), np.ones((5, 1)), {"permutations": 0}, "0 permutations"),
        (np.zeros((5, 2)), np.ones((5, 1)), {"transform": "clr"}, "all 0 in a record"),
        (np.ones((5, 2)), np.ones((5, 1)), {"transform": "clr", "pseudo": 0}, "pseudo-count of 0"),
    ],
)
def test_failures_are_one_sentence(x, y, options, said):
    with pytest.raises(MethodError, match=said) as caught:
        correlate(x, y, **options)
    assert str(caught.value).count(". ") == 0
