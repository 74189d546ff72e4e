"""Clusters compared with landmarks: enrichment where it is planted, chance level elsewhere, and scikit-learn's values."""

import numpy as np
import pytest
from sklearn.metrics import normalized_mutual_info_score

from xai_views.errors import MethodError
from xai_views.methods.ecg_clusters.alignment import align, contingency, log_odds, nmi, share, spread

from .ecg_waves import record


@pytest.fixture
def rng():
    return np.random.default_rng(1)


def test_counts_by_hand():
    clusters, ids = np.array([0, 1, -1]), np.array([1, 1, 2, 4, 3, 3])
    counts = contingency(clusters, ids, 3)
    assert counts.tolist() == [[0, 2, 0, 0, 0], [0, 0, 1, 0, 1], [0, 0, 0, 0, 0]]
    assert share(counts)[1].tolist() == [0, 0, 0.5, 0, 0.5]
    assert np.isnan(share(counts)[2]).all()
    assert spread(np.array([5, 6, 7]), 7).tolist() == [5, 5, 5, 6, 6, 7, 7]


def test_odds_by_hand():
    odds = log_odds(np.array([[30, 10], [20, 40]]), pseudo=0.5)
    assert odds[0, 0] == pytest.approx(np.log2((30.5 / 10.5) / (20.5 / 40.5)))
    assert odds[0, 1] == pytest.approx(-odds[0, 0])
    assert log_odds(np.full((3, 4), 25)) == pytest.approx(np.log2((25.5 / 75.5) / (50.5 / 150.5)))
    assert np.isfinite(log_odds(np.array([[5, 0], [0, 0]]))).all()


def test_information_is_that_of_scikit_learn(rng):
    for _ in range(5):
        a, b = rng.integers(0, 4, 200), rng.integers(0, 5, 200)
        b = np.where(rng.random(200) < 0.5, a, b)
        found = nmi(contingency(a, b, 4))
        assert found == pytest.approx(normalized_mutual_info_score(a, b), abs=1e-12)
    assert nmi(np.diag([3, 4, 5])) == pytest.approx(1)
    assert nmi(np.array([[5, 5]])) == 0
    assert nmi(np.zeros((2, 2))) == 0


def test_planted_clusters_are_pure():
    """Clusters that equal the waves up to their ids: P(segment | cluster) = 1, and far above chance."""
    truth = [record(rr=rr, first=0.4 + 0.1 * i)[1] for i, rr in enumerate((0.8, 0.9, 1.0))]
    names = np.array([2, 0, 3, 1, 4])
    found = align([names[t] for t in truth], truth, 5, shifts=39)
    for segment, cluster in enumerate(names):
        assert found.share[cluster, segment] == 1
        assert found.log_odds[cluster, segment] > 8
        assert found.log_odds[cluster].argmax() == segment
    assert found.nmi == pytest.approx(1)
    assert found.chance.max() < 0.5
    assert found.p == 1 / 40
    assert found.counts.sum() == sum(map(len, truth))
    assert (found.used, found.left_out) == (3, 0)


def test_cells_of_40_ms_are_nearly_pure():
    """Loss due to a coarse grid: a cell takes the wave at its centre."""
    truth = record()[1]
    found = align([truth[8::16]], [truth], 5, shifts=9)
    assert all(found.share[i, i] > 0.75 for i in range(5))
    assert 0.7 < found.nmi < 1


def test_clusters_with_a_rhythm_of_their_own_are_at_chance(rng):
    truth = [record(rr=rr)[1] for rr in (0.8, 0.9, 1.0, 1.1)]
    other = [np.roll(record(rr=rr)[1], rng.integers(4000))[8::16] for rr in (0.97, 0.85, 1.13, 0.93)]
    found = align(other, truth, 5, shifts=99, seed=3)
    assert found.p > 0.05
    assert found.chance.min() > 0, "chance is not zero, which is why it is shown"


def test_p_of_random_phases_is_uniform():
    truth = [record(rr=rr)[1][::8] for rr in (0.8, 0.9)]
    p = []
    for i in range(60):
        rng = np.random.default_rng(i)
        p.append(align([np.roll(t, rng.integers(500)) for t in truth], truth, 5, shifts=19, seed=i).p)
    assert np.mean(p) == pytest.approx(0.5, abs=0.13)
    assert np.mean(np.array(p) <= 0.2) == pytest.approx(0.2, abs=0.15)


def test_padding_and_undelineated_records_do_not_count():
    truth = record()[1]
    clusters = truth[8::16].astype(int)
    padded = np.concatenate([clusters, np.full(50, -1)]), np.concatenate([truth, np.zeros(800, np.int8)])
    plain = align([clusters], [truth], 5, shifts=9)
    found = align([padded[0], clusters], [padded[1], np.zeros_like(truth)], 5, shifts=9)
    assert (found.counts == plain.counts).all()
    assert (found.chance == plain.chance).all()
    assert (found.used, found.left_out) == (1, 1)


def test_progress_and_seeds():
    truth, said = record()[1], []
    one = align([truth[::8]], [truth], 5, shifts=5, seed=1, progress=lambda a, b: said.append((a, b)))
    assert said == [(i, 5) for i in range(1, 6)]
    assert (one.chance == align([truth[::8]], [truth], 5, shifts=5, seed=1).chance).all()
    assert (one.chance != align([truth[::8]], [truth], 5, shifts=5, seed=2).chance).any()


@pytest.mark.parametrize(
    ("clusters", "ids", "options", "said"),
    [
        ([[0]], [], {}, "1 records and landmarks of 0"),
        ([[0, 2]], [[1, 1]], {}, "from 0 to 2"),
        ([[0, 1]], [[1, 7]], {}, "from 1 to 7"),
        ([[0, 1, 1]], [[1, 2]], {}, "at least as many steps"),
        ([[0, 1]], [[0, 0]], {}, "none of the 1 records"),
        ([[0, 1]], [[1, 2]], {"shifts": 0}, "0 shifts"),
    ],
)
def test_failures_are_one_sentence(clusters, ids, options, said):
    with pytest.raises(MethodError, match=said):
        align(clusters, ids, 2, **options)
