"""Clusters of the raw signal: they find planted waves, ignore the baseline, and are counted like the network's clusters."""

import numpy as np
import pytest

from xai_views.engine.clusters.measures import ari
from xai_views.errors import MethodError
from xai_views.methods.ecg_clusters.observation import signal_cells
from xai_views.methods.ecg_clusters.raw import _inside, cluster_windows, raw_clusters, windows

from .ecg_nets import CELL, RATE, planted


def test_windows_against_loops():
    x = np.random.default_rng(0).normal(size=(2, 97))
    found = windows(x, 10, 100.0, window=0.12, points=4)
    assert found.shape == (10, 2, 4)
    for cell in range(10):
        middle = int((cell + 0.5) * 9.7)
        steps = [min(max(middle - 6 + i, 0), 96) for i in range(12)]
        parts = np.stack([x[:, steps[i : i + 3]].mean(1) for i in (0, 3, 6, 9)], 1)
        assert found[cell] == pytest.approx(parts - parts.mean(1, keepdims=True))
    assert windows(x, 10, 100.0, window=0.12, points=99).shape == (10, 2, 12)
    assert windows(x + np.array([[5.0], [-2.0]]), 10, 100.0) == pytest.approx(windows(x, 10, 100.0))


def test_planted_waves_are_its_clusters():
    signals, truth = planted(6, noise=0.01)
    book = raw_clusters(signals, 4, truth.shape[1], RATE, window=CELL / RATE)
    found = np.stack([book.sequence(x) for x in signals])
    assert ari(found, truth) > 0.98
    # P, QRS and T are one cell each of ten, whatever the shift
    assert np.stack([book.proportion(x) for x in signals]) == pytest.approx(
        np.tile(np.bincount(found.ravel()) / found.size, (6, 1)), abs=0.03
    )
    again = raw_clusters(iter(signals), 4, truth.shape[1], RATE, window=CELL / RATE)
    assert (again.centroids == book.centroids).all()


def test_padding_is_neither_drawn_nor_counted():
    signals = planted(4, noise=0.01)[0]
    padded = np.concatenate([signals, np.full_like(signals, 9.0)], 2)  # a value that would be seen
    padded[:, :, 640:][:, :, ::2] = -9
    lengths = [640] * 4
    book = raw_clusters(padded, 4, 80, RATE, lengths, window=CELL / RATE)
    plain = raw_clusters(signals, 4, 40, RATE, window=CELL / RATE)
    assert book.centroids == pytest.approx(plain.centroids)
    ids = book.sequence(padded[0], 640)
    assert (ids[40:] == -1).all()
    assert (ids[:40] >= 0).all()
    assert book.proportion(padded[0], 640).sum() == pytest.approx(1)
    assert (ids[:39] == book.sequence(padded[0])[:39]).all()


def test_the_height_of_a_record_hardly_counts():
    signals, truth = planted(6)
    tall = signals * np.array([0.5, 0.7, 1, 1.4, 2, 2.8], np.float32)[:, None, None]
    book = raw_clusters(tall, 4, truth.shape[1], RATE, window=CELL / RATE)
    assert ari(np.stack([book.sequence(x) for x in tall]), truth) > 0.98


@pytest.mark.parametrize(("cells", "steps"), [(40, 640), (256, 4096), (7, 100)])
def test_the_same_cells_are_signal_as_for_the_network(cells, steps):
    for length in (1, steps // 3, steps // 2 + 1, steps):
        assert (_inside(cells, steps, length) == signal_cells(length, steps, cells).numpy()).all()


def test_mean_windows_of_clusters():
    signals, truth = planted(3, noise=0.0)
    parts = [cluster_windows(x, t, 4, RATE, window=CELL / RATE) for x, t in zip(signals, truth, strict=True)]
    sums, n = sum(s for s, _ in parts), sum(c for _, c in parts)
    assert n.tolist() == np.bincount(truth.ravel(), minlength=4).tolist()
    mean = sums / n[:, None, None]
    assert np.abs(mean[0]).max() < 0.05, "the signal is flat between the waves"
    assert mean[2, 1].argmax() in (7, 8)
    assert np.ptp(mean[2, 1]) == pytest.approx(1, abs=0.1)
    assert mean[2, 2].argmin() in (7, 8), "the QRS of V1 points down"
    empty, none = cluster_windows(signals[0], np.full(40, -1), 2, RATE)
    assert not empty.any()
    assert none.tolist() == [0, 0]


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda x: windows(x[0], 4, 100), r"shape \[640\]"),
        (lambda x: windows(x, 641, 100), "for 641 cells"),
        (lambda x: windows(x, 4, 100, window=0.01), "1 steps at 100 Hz"),
        (lambda x: raw_clusters([x], 60, 40, 100), "60 clusters were requested and 40"),
        (lambda x: raw_clusters([], 2, 40, 100), "2 clusters were requested and 0"),
        (lambda x: raw_clusters([x, x[:2]], 2, 40, 100), "different leads"),
        (
            lambda x: raw_clusters([x], 2, 40, 100).sequence(x[:2]),
            "2 leads was given and the clusters have 3",
        ),
        (lambda x: cluster_windows(x, np.array([0, 2]), 2, 100), "from -1"),
    ],
)
def test_failures_are_one_sentence(call, said):
    with pytest.raises(MethodError, match=said):
        call(planted(1)[0][0])
