"""Accuracy with its interval, and the calibration error, against sums written out."""

import math
from statistics import NormalDist

import numpy as np
import pytest

from xai_views.scores.reliability import BINS, Z95, reliability, wilson


def test_bins_and_error_are_those_of_a_loop():
    rng = np.random.default_rng(0)
    confidence, correct = rng.random(300), rng.integers(-1, 2, 300)
    found = reliability(confidence, correct)
    error = 0.0
    known = [(p, c) for p, c in zip(confidence, correct, strict=True) if c >= 0]
    for b, said in enumerate(found.bins):
        inside = [(p, c) for p, c in known if b / BINS <= p < (b + 1) / BINS]
        assert said.count == len(inside)
        mean = sum(p for p, _ in inside) / len(inside)
        share = sum(c for _, c in inside) / len(inside)
        assert (said.confidence, said.accuracy) == pytest.approx((mean, share))
        error += len(inside) / len(known) * abs(mean - share)
    assert found.ece == pytest.approx(error)
    assert found.count == len(known)


def test_a_confidence_of_one_belongs_to_the_last_bin():
    assert reliability(np.ones(3), np.ones(3, int)).bins[-1].count == 3


def test_perfectly_calibrated_probabilities_have_no_error():
    confidence = np.repeat([0.25, 0.75], 4)
    correct = np.array([1, 0, 0, 0, 1, 1, 1, 0])
    assert reliability(confidence, correct).ece == pytest.approx(0)


def test_nothing_is_said_without_labels():
    found = reliability(np.array([0.5, 0.9]), np.array([-1, -1]))
    assert found.count == 0
    assert math.isnan(found.accuracy)
    assert math.isnan(found.ece)


@pytest.mark.parametrize(("share", "n"), [(0.0, 10), (0.5, 7), (0.98, 200), (1.0, 3)])
def test_the_interval_holds_the_shares_that_a_score_test_does_not_reject(share, n):
    assert NormalDist().inv_cdf(0.975) == pytest.approx(Z95, abs=1e-6)
    for bound in wilson(share, n):
        if 0 < bound < 1:
            assert abs(share - bound) / math.sqrt(bound * (1 - bound) / n) == pytest.approx(Z95, rel=1e-6)
