"""Superimposed beats: compared with explicit sums, and on waves at known positions."""

import itertools

import numpy as np
import pytest

from xai_views.errors import MethodError
from xai_views.methods.ecg_clusters.beats import Phases, beats, phases, total

from .ecg_waves import WAVES, record

RATE = 400


@pytest.fixture(scope="module")
def planted():
    """Signal, clusters that equal the waves (at every step), steps of R."""
    x, ids, peaks = record(noise=0.0)
    return x, ids.astype(int), np.round(peaks * RATE).astype(int)


def test_phases_by_hand():
    clusters = np.array([0, 0, 1, 1, 2, -1, 0, 1, 1, 2])  # one cell = 2 steps
    found = phases(clusters, [2, 10, 18], 20, 3, bins=4)
    # steps 2..9 and 10..17, two steps per bin
    assert found.counts.tolist() == [[2, 2, 0, 0], [0, 2, 4, 2], [0, 0, 0, 2]]
    assert found.beats == 2
    assert found.frequency[:, 2].tolist() == [0, 1, 0]


def test_the_phase_of_a_wave_is_where_it_was_planted(planted):
    _, ids, r = planted
    found = phases(ids, r, len(ids), 5)
    assert np.nansum(found.frequency, axis=0) == pytest.approx(1)
    middle = (np.arange(50) + 0.5) / 50 * 0.9  # s after R
    assert middle[found.counts[3].argmax()] == pytest.approx(WAVES["T"][0], abs=0.09)
    assert found.frequency[1][np.abs(middle - (0.9 - 0.16)) < 0.03].min() == 1
    assert found.frequency[2, 0] == found.frequency[2, -1] == 1
    assert found.counts.sum() == r[-1] - r[0]


def test_phases_stretch_with_the_rate():
    """A cluster that fills the second half of every beat does so at any rate."""
    rng = np.random.default_rng(0)
    r = np.cumsum(rng.integers(200, 500, 12))
    ids = np.zeros(r[-1] + 1, int)
    for a, b in itertools.pairwise(r):
        ids[a + (b - a + 1) // 2 : b] = 1
    found = phases(ids, r, len(ids), 2, bins=10)
    assert found.frequency[1, :5].max() < 0.03
    assert found.frequency[1, 5:].min() > 0.97


def test_padding_has_no_phase_and_one_peak_no_beat():
    found = phases(np.array([0, -1, -1, 0]), [0, 39], 40, 1, bins=4)
    assert found.counts.sum() == 19
    assert phases(np.zeros(4, int), [5], 40, 1).beats == 0
    none = phases(np.zeros(4, int), [], 40, 1, bins=3)
    assert none.counts.tolist() == [[0, 0, 0]]
    assert np.isnan(none.frequency).all()


def test_averages_against_loops(planted):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, 1000))
    r, clusters = np.array([10, 200, 400, 650, 990]), rng.integers(-1, 3, 125)
    found = beats(x, r, RATE, clusters, 3, before=0.05, after=0.1)
    whole = [x[:, p - 20 : p + 41] for p in (200, 400, 650)]
    assert found.time[[0, 20, -1]].tolist() == [-0.05, 0, 0.1]
    assert found.beats == 3
    assert found.mean == pytest.approx(np.mean(whole, axis=0))
    assert found.spread == pytest.approx(np.std(whole, axis=0, ddof=1))
    for k in range(3):
        for w in range(61):
            steps = [p - 20 + w for p in (200, 400, 650) if clusters[(p - 20 + w) // 8] == k]
            assert found.n[1 + k, w] == len(steps)
            if steps:
                assert found.clusters[k, :, w] == pytest.approx(x[:, steps].mean(1))
            else:
                assert np.isnan(found.clusters[k, :, w]).all()
    assert found.occurs == pytest.approx(found.n[1:] / 3)


def test_the_average_of_planted_beats_is_the_beat(planted):
    x, ids, r = planted
    found = beats(x, r, RATE, ids, 5)
    wave = sum(
        np.outer(height, np.exp(-(((found.time - at) / width) ** 2) / 2))
        for at, width, height in WAVES.values()
    )
    assert found.mean == pytest.approx(wave, abs=1e-4)
    assert found.spread == pytest.approx(0, abs=1e-4)
    inside = found.occurs[2] == 1
    assert np.abs(found.time[inside]).max() <= 2.5 * 0.012 + 1e-9
    assert found.clusters[2][:, inside] == pytest.approx(wave[:, inside], abs=1e-4)
    assert np.isnan(found.clusters[2][:, np.abs(found.time) > 0.05]).all()


def test_records_add_up(planted):
    x, ids, r = planted
    half = [beats(x, part, RATE, ids, 5) for part in (r[:4], r[4:])]
    both = total(half)
    whole = beats(x, r, RATE, ids, 5)
    assert both.mean == pytest.approx(whole.mean)
    assert both.spread == pytest.approx(whole.spread, abs=1e-6)
    assert (both.n == whole.n).all()
    added = total([phases(ids, r[:5], len(ids), 5), phases(ids, r[4:], len(ids), 5)])
    assert isinstance(added, Phases)
    assert (added.counts == phases(ids, r, len(ids), 5).counts).all()
    assert added.beats == len(r) - 1


def test_beats_that_are_cut_off_do_not_count(planted):
    x, _, r = planted
    assert beats(x, r, RATE).beats == len(r) - 1  # the last one ends a step too late
    assert beats(x, r, RATE, length=r[-2] + 10).beats == len(r) - 2
    none = beats(x, [], RATE)
    assert none.beats == 0
    assert np.isnan(none.mean).all()
    one = beats(x, r[:1], RATE)
    assert np.isnan(one.spread).all()
    assert one.clusters.shape[0] == 0


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda x: phases(np.zeros(4, int), [5, 3], 40, 1), "ascending steps from 0 to 39"),
        (lambda x: phases(np.zeros(4, int), [5, 40], 40, 1), "ascending steps from 0 to 39"),
        (lambda x: phases(np.array([0, 3]), [5, 9], 40, 2), "ids from -1"),
        (lambda x: phases(np.zeros(4, int), [5, 9], 40, 1, bins=0), "0 bins"),
        (lambda x: beats(x[0], [5], RATE), r"shape \[4000\]"),
        (lambda x: beats(x, [500], 0), "rate 0"),
        (lambda x: total([]), "no record was given to add"),
        (lambda x: beats(x, [500], RATE) + beats(x[:2], [500], RATE), "cannot be added"),
    ],
)
def test_failures_are_one_sentence(planted, call, said):
    with pytest.raises(MethodError, match=said):
        call(planted[0])
