"""Muted intervals, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from xai_views.errors import MethodError
from xai_views.methods.ecg_clusters.muting import muted

RATE = 10.0


def record(dtype=np.float32) -> np.ndarray:
    """Two leads of ten steps."""
    return np.array([[1, 2, 4, 8, 16, 32, 64, 128, 256, 512], range(10)], dtype)


@pytest.mark.parametrize(
    ("mute", "want"),
    [
        ((1, 0.2, 0.5, "zero"), [0, 1, 0, 0, 0, 5, 6, 7, 8, 9]),
        ((1, 0.2, 0.5, "mean"), [0, 1, 4.5, 4.5, 4.5, 5, 6, 7, 8, 9]),
        ((1, 0.0, 0.3, "line"), [3, 3, 3, 3, 4, 5, 6, 7, 8, 9]),
        ((1, 0.7, 9.0, "line"), [0, 1, 2, 3, 4, 5, 6, 6, 6, 6]),
        ((1, -5.0, 99.0, "line"), [0] * 10),
        ((1, 0.21, 0.24, "zero"), list(range(10))),  # no whole step
        ((1, 5.0, 6.0, "zero"), list(range(10))),  # beyond the record
        ((1, -1.0, 0.1, "zero"), list(range(10))),
    ],
)
def test_one_lead(mute, want):
    given = record()
    found = muted(given, [mute], RATE)
    np.testing.assert_allclose(found[1], want, rtol=1e-6)
    np.testing.assert_array_equal(found[0], given[0])
    np.testing.assert_array_equal(given, record(), "what was given is left alone")


def test_a_line_joins_the_steps_beside_it():
    found = muted(record(np.float64), [(0, 0.2, 0.5, "line")], RATE)
    np.testing.assert_allclose(found[0, 1:6], [2, 9.5, 17, 24.5, 32])
    np.testing.assert_allclose(np.diff(found[0, 1:6]), 7.5)


def test_all_leads_and_one_after_another():
    found = muted(record(), [(-1, 0.0, 0.5, "zero"), (1, 0.4, 0.7, "line"), (1, 0.0, 0.1, "mean")], RATE)
    np.testing.assert_array_equal(found[0], [0] * 5 + [32, 64, 128, 256, 512])
    # the line starts at what the first interval left; the mean is that of the record as it was given
    np.testing.assert_allclose(found[1], [4.5, 0, 0, 0, 1.75, 3.5, 5.25, 7, 8, 9])


@pytest.mark.parametrize(("fill", "inside"), [("zero", 0), ("mean", 2.5), ("line", 3)])
def test_padding_stays_and_counts_in_no_mean(fill, inside):
    given = record()
    given[:, 6:] = 0
    found = muted(given, [(1, 0.4, 0.9, fill)], RATE, length=6)
    np.testing.assert_allclose(found[1], [0, 1, 2, 3, inside, inside, 0, 0, 0, 0])


def test_time_may_begin_elsewhere_and_dtypes_are_kept():
    found = muted(record(np.float64), [(0, 5.2, 5.4, "zero")], RATE, start=5.0)
    assert found.dtype == np.float64
    np.testing.assert_array_equal(np.flatnonzero(found[0] == 0), [2, 3])
    assert muted(record(np.int16), [(0, 0.2, 0.4, "mean")], RATE).dtype == np.float32


@pytest.mark.parametrize(
    ("mute", "said"),
    [
        ((2, 0.0, 0.1, "zero"), "lead 2 was to be muted and there are the leads 0 to 1"),
        ((-2, 0.0, 0.1, "zero"), "lead -2 was to be muted"),
        ((0, 0.3, 0.3, "zero"), "from 0.3 s to 0.3 s cannot be muted"),
        ((0, float("nan"), 1.0, "zero"), "from nan s to 1 s cannot be muted"),
        ((0, 0.0, float("inf"), "zero"), "cannot be muted"),
        ((0, 0.0, 0.1, "blur"), "fill 'blur' is not known for signals"),
        ((0, 0.0, 0.1), "came as .* give .lead index"),
        (("V1", 0.0, 0.1, "zero"), "came as"),
        (None, "came as None"),
    ],
)
def test_mistakes_are_one_sentence(mute, said):
    with pytest.raises(MethodError, match=said) as e:
        muted(record(), [mute], RATE)
    assert str(e.value).endswith(".")
    assert "\n" not in str(e.value)
