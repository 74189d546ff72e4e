"""The results of docs/ecg-truth.md on records with two findings, and the definitions of its metrics."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import numpy as np
import pytest

from xai_views import open_model, open_samples

PLACE = Path(__file__).parents[3] / "benchmarks" / "ecg_mixed.py"


@pytest.fixture(scope="module")
def bench():
    spec = importlib.util.spec_from_file_location("ecg_mixed_bench", PLACE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_silencing_puts_lines_in_place_of_the_truth_only(bench):
    rng = np.random.default_rng(0)
    signal, mask = rng.normal(0, 1, (2, 400)), np.zeros((2, 400), bool)
    mask[:, 100:150] = True
    mask[1, 300:320] = True
    gone = bench.silenced(signal, mask, 400, 400)
    np.testing.assert_array_equal(gone[~mask], signal[~mask])
    np.testing.assert_allclose(np.diff(gone[1, 300:320], 2), 0, atol=1e-6)
    np.testing.assert_allclose(np.diff(gone[0, 100:150], 2), 0, atol=1e-6)


@pytest.mark.slow
def test_the_network_sees_both_findings_but_silencing_seldom_uncovers_the_other(bench):
    pytest.importorskip("deepfakeecg")
    measured = bench.measure(open_model("ecg-resnet"), open_samples("ecg/mixed"))
    assert {pair: len(own["one"]) for pair, own in measured.items()} == {
        "atrial fibrillation + anterior ST elevation": 9,
        "atrial fibrillation + wide QRS": 9,
        "atrial fibrillation + premature beats": 6,
        "anterior ST elevation + wide QRS": 9,
        "anterior ST elevation + premature beats": 9,
        "wide QRS + premature beats": 9,
    }
    every = {name: np.concatenate([own[name] for own in measured.values()]) for name in bench.FIGURES}
    assert len(every["other, composed"]) == every["one"].sum()
    assert every["one"].mean() > 0.9
    assert every["both"].mean() > 0.6
    assert every["other, composed"].mean() > 0.8
    assert every["other, control"].mean() < every["other, silenced"].mean() < 0.5
    assert (every["other, silenced"] + every["kept, silenced"] <= 1).all()
    kept = measured["anterior ST elevation + wide QRS"]["kept, wide QRS"]
    assert np.mean(kept) > 0.8  # a straight line for a wide QRS is still a wide QRS to the network
    assert (
        sum(int(n) for n in re.findall(r"(\d+) of", bench.stubborn(measured)))
        == every["kept, silenced"].sum()
    )
    share = f"{every['one'].mean():.2f} (51)"
    assert f"| the predicted class is one of the two findings | 0.4 | {share} |" in bench.table(measured)
