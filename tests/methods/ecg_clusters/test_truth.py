"""The explanations of the shipped ECG network cover the ground-truth evidence better than chance."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

PLACE = Path(__file__).parents[3] / "benchmarks" / "ecg_truth.py"


@pytest.fixture(scope="module")
def bench():
    spec = importlib.util.spec_from_file_location("ecg_truth", PLACE)
    module = importlib.util.module_from_spec(spec)
    sys.modules["ecg_truth"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    yield module
    del sys.modules["ecg_truth"]


@pytest.fixture(scope="module")
def measured(bench):
    """Four records of each class, measured once."""
    setting = bench.shipped(4)
    return bench.measure(setting, bench.ATTRIBUTIONS[:1], draws=1)


@pytest.mark.parametrize(
    ("name", "figures"),
    [
        (
            "anterior ST elevation",
            {
                "cluster": 0.5,
                "lead, gradient x input": 0.8,
                "inside, gradient x input": 1.2,
                "wins": 0.5,
                "lead wins": 0.5,
            },
        ),
        ("wide QRS", {"time": 0.55, "cluster": 0.6, "inside, gradient x input": 1.0, "wins": 0.5}),
        ("premature beats", {"time": 0.65, "cluster": 0.5, "inside, gradient x input": 1.5}),
    ],
)
def test_better_than_chance(measured, name, figures):
    for figure, least in figures.items():
        assert measured[name][figure]["mean"] > least, figure
    assert measured[name]["fall"]["mean"] > measured[name]["fall elsewhere"]["mean"]


def test_what_cannot_be_had_is_left_out(measured):
    assert "normal" not in measured, "it has no evidence"
    for name in ("atrial fibrillation", "wide QRS", "premature beats"):
        assert not {"lead, gradient x input", "lead, amplitude", "lead wins"} & set(measured[name]), (
            "its evidence is in every lead"
        )


def test_table_has_a_row_for_each_figure_and_a_column_for_each_class(bench, measured):
    lines = bench.table(measured).splitlines()
    assert {line.count("|") for line in lines} == {len(measured) + 3}
    for figure in ("(a)", "(b)", "(c)", "(d)", "(e)"):
        assert any(figure in line for line in lines), figure
    assert not any("integrated" in line for line in lines), "it was not measured"


# -- by hand ----------------------------------------------------------------------------------------------------


def test_auroc_where_nothing_can_be_told_apart_is_nan(bench):
    assert np.isnan(bench.auroc(np.ones(4, bool), np.arange(4)))
    assert bench.auroc(np.array([0, 0, 1, 1], bool), np.array([0.1, 0.4, 0.35, 0.8])) == pytest.approx(0.75)


def test_partners_are_as_long_lie_outside_and_do_not_overlap(bench):
    mask = np.zeros(400, bool)
    for start, size in ((20, 30), (100, 12), (200, 50)):
        mask[start : start + size] = True
    for seed in range(20):
        found = bench.pairs(mask, np.random.default_rng(seed), least=4)
        here, there = np.zeros(400, int), np.zeros(400, int)
        for first, at, size in found:
            here[first : first + size] += 1
            there[at : at + size] += 1
        np.testing.assert_array_equal(here, mask)
        assert there.max() == 1
        assert there.sum() == mask.sum()
        assert not there[mask].any()


def test_a_run_that_fits_nowhere_is_halved_and_what_is_short_is_left_alone(bench):
    mask = np.ones(100, bool)
    mask[40:60] = False
    found = bench.pairs(mask, np.random.default_rng(0), least=4)
    assert found
    assert all(4 <= size <= 20 and at >= 40 and at + size <= 60 for _, at, size in found)
    assert bench.pairs(np.ones(100, bool), np.random.default_rng(0), least=4) == []


def test_a_partner_alike_changes_the_signal_as_much(bench):
    """Two peaks of one height and a flat line: the partner of one peak is at the other one."""
    signal = np.zeros((1, 300))
    signal[0, [50, 250]] = 1.0
    mask = np.zeros(300, bool)
    mask[40:61] = True
    ((_, at, size),) = bench.pairs(mask, np.random.default_rng(3), 4, np.tile(signal, (2, 1)))
    assert at <= 250 < at + size
    assert bench.straightened(signal, at, size) == pytest.approx(1.0)
    assert bench.straightened(np.arange(300.0)[None], 40, 20) == pytest.approx(0), "a line stays as it is"
