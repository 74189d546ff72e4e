"""The benchmark of activation clusters on a small network: its ways agree, and it fails when they do not."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from xai_views import open_model
from xai_views.models import passes

FOLDER = str(Path(__file__).parent.parent / "benchmarks")


@pytest.fixture(scope="module")
def bench():
    """Modules of the benchmark, imported as by its command."""
    before, threads = set(sys.modules), torch.get_num_threads()
    sys.path.insert(0, FOLDER)
    try:
        yield importlib.import_module("activations")
    finally:
        sys.path.remove(FOLDER)
        torch.set_num_threads(threads)
        for name in set(sys.modules) - before:
            if (getattr(sys.modules[name], "__file__", None) or "").startswith(FOLDER):
                del sys.modules[name]


@pytest.fixture(scope="module")
def setting(bench):
    """A network of three depths and an image of 16x16 pixels, measured once."""
    torch.manual_seed(0)
    down = [nn.AvgPool2d(2), nn.Conv2d(6, 9, 3, padding=1), nn.ReLU()]
    deep = [nn.AvgPool2d(2), nn.Conv2d(9, 12, 3, padding=1), nn.ReLU()]
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(12, 4)]
    net = nn.Sequential(nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(), *down, *deep, *head).eval()
    model = open_model(net, name="small", channels=3, size=(16, 16))
    image = np.random.default_rng(0).integers(0, 256, (1, 16, 16, 3)).astype(np.uint8)
    return bench.clusters.Setting(
        model, image, rounds=1, threads=1, steps=6, sizes=(3,), most=2, memory=False
    )


@pytest.fixture(scope="module")
def measured(bench, setting):
    """Rows by section; Quantus is not installed here."""
    return {name: run(setting) for name, run in bench.SECTIONS.items() if name != "quantus"}


def test_every_section_measures_every_way(measured):
    assert list(measured) == ["lloyd", "dff", "slider", "aggregate", "occlusion", "curves"]
    for name, rows in measured.items():
        assert len(rows) > 1, name
        assert {r.section for r in rows} == {name}
        assert all(r.worst >= r.ms > 0 for r in rows), name
        assert all(r.way in r.line() for r in rows)


def test_lloyd_gives_the_same_labels_three_ways(measured):
    rows = measured["lloyd"]
    assert len(rows) == 6  # three ways, two grids
    assert {r.figures["in double %"] for r in rows} == {100}


@pytest.mark.parametrize("way", ["explicit, torch", "explicit, scikit-learn"])
def test_lloyd_fails_when_a_way_differs(bench, setting, monkeypatch, way):
    runs = bench.clusters._lloyd.RUN
    honest = runs[way]

    def off(*args):
        labels, steps = honest(*args)
        labels = labels.copy()
        if args[0][0].dtype == torch.float64:  # float64 leaves no room for rounding
            labels[0] += 1
        return labels, steps

    monkeypatch.setitem(runs, way, off)
    with pytest.raises(AssertionError, match="labels must be equal"):
        bench.clusters.lloyd(setting)


def test_explicit_matrix_is_that_of_the_engine(bench, setting):
    activations = [a.double() for a in setting.activations]
    features = bench.clusters.Features.of(activations, grid=(16, 16), weights="authors")
    ours, theirs = features.explicit(full=True), bench.clusters._lloyd.matrix(activations, (16, 16))
    torch.testing.assert_close(ours, theirs)


def test_memory_is_that_of_the_way_alone(bench):
    """Measured in a separate process, as in the benchmark: some systems never reset the peak of a process."""
    script = """
import numpy as np, _lloyd
before = _lloyd.peak(forget=True)
held = np.ones(60 * 2**17)  # 60 MiB
print(_lloyd.peak() - before)
"""
    said = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=FOLDER
    )
    assert 50 < float(said.stdout) < 90


def test_slider_moves_without_a_pass(measured):
    moved = [r for r in measured["slider"] if "passes" in r.figures]
    assert [r.figures["passes"] for r in moved] == [1, 0, 0, 0, 0] * 2


def test_slider_fails_when_a_movement_runs_the_network(bench, setting, monkeypatch):
    honest = bench.clusters.get("nave")

    class Asking(type(honest)):
        def interpret(self, model, observation, ask):
            passes.count_forward(1)
            return super().interpret(model, observation, ask)

    monkeypatch.setattr(bench.clusters, "get", lambda _: Asking())
    with pytest.raises(AssertionError, match="movements run no pass"):
        bench.clusters.slider(setting)


def test_curves_fail_when_ways_differ(bench, setting, monkeypatch):
    honest = bench.maps.relevance_curves

    def off(predict, image, jobs, target, batch=None):
        return honest(predict, image // 2 if batch else image, jobs, target, batch)

    monkeypatch.setattr(bench.maps, "relevance_curves", off)
    with pytest.raises(AssertionError, match="must agree"):
        bench.maps.curves(setting)


def test_ways_take_turns_after_one_round_that_warms_up(bench):
    turns = importlib.import_module("_turns")
    seen = []
    values, rows = turns.take_turns(
        "s", "c", {"a": lambda: seen.append("a"), "b": lambda: seen.append("b") or 7}, 2
    )
    assert seen == ["a", "b"] * 3
    assert values == {"a": None, "b": 7}
    assert [r.way for r in rows] == ["a", "b"]


def test_rows_are_medians_beside_the_first_way(bench):
    turns = importlib.import_module("_turns")
    first, other = turns.rows_of("s", "c", {"a": [(9, 2), (3, 5), (4, 4)], "b": [(1, 1), (1, 3), (8, 2)]})
    assert (first.ms, first.worst, first.cpu, first.ratio) == (4, 9, 4, 1)
    assert (other.ms, other.worst, other.cpu, other.ratio) == (1, 8, 2, 0.5)


def test_quantus_is_no_dependency(bench, setting, monkeypatch, capsys):
    monkeypatch.setattr(bench.maps.importlib.util, "find_spec", lambda _: None)
    assert bench.maps.quantus(setting) == []
    assert "skipped" in capsys.readouterr().out


def test_another_section_is_one_sentence(bench, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["activations.py", "lloyds"])
    with pytest.raises(SystemExit):
        bench.main()
    assert "section 'lloyds' is not known; there is lloyd, dff" in capsys.readouterr().err
