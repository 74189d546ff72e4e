"""Semantic evaluation against slow definitions; chance levels; rankings."""

from __future__ import annotations

import numpy as np
import pytest

from xai_views.engine.attribution.steps import whole
from xai_views.errors import MethodError
from xai_views.methods import get
from xai_views.models import open_model, passes
from xai_views.models.heads import find_head
from xai_views.samples import open_samples
from xai_views.scores import semantic as module
from xai_views.scores.semantic import (
    FIGURES,
    by_part,
    disagreement,
    intervals,
    named_parts,
    one_image,
)

NAMES = ["nothing", "head", "wing", "tail"]


def toys(n=6, seed=0):
    rng = np.random.default_rng(seed)
    parts = rng.integers(0, 3, (n, 4, 4)).repeat(4, 1).repeat(4, 2)
    parts[0][parts[0] == 2] = 0  # an image without the second part; the third is in none
    maps = {"noise": rng.normal(size=parts.shape), "ties": rng.integers(0, 3, parts.shape).astype(float)}
    return maps, parts


def test_figures_equal_their_definitions():
    maps, parts = toys()
    found = by_part(maps, parts, NAMES, draws=10)
    for name, stack in maps.items():
        for i, part in enumerate(NAMES):
            for n, (s, p) in enumerate(zip(stack, parts, strict=True)):
                row = {f: float(found[f"{f}_image"].loc[{"method": name, "part": part}][n]) for f in FIGURES}
                inside = p == i
                if not inside.any():
                    assert all(np.isnan(v) for v in row.values())
                    continue
                mass = s[inside].clip(0).sum() / s.clip(0).sum()
                assert row["mass"] == pytest.approx(mass)
                assert row["density"] == pytest.approx(mass / inside.mean())
                if name == "noise":  # no ties
                    top = np.argsort(-s, axis=None)[: inside.sum()]
                    assert row["rank"] == pytest.approx(inside.ravel()[top].mean())
                    assert row["pointing"] == inside.ravel()[s.argmax()]
    per_image = found["mass_image"].loc[{"part": NAMES}].sum("part")
    np.testing.assert_allclose(per_image, 1)


def test_ties_count_as_their_expectation():
    rng = np.random.default_rng(0)
    maps, parts = toys()
    s, p = maps["ties"][1], parts[1]
    inside = (p == 1).ravel()
    draws = []
    for _ in range(4000):
        order = np.lexsort((rng.random(s.size), -s.ravel()))
        draws.append((inside[order[: inside.sum()]].mean(), inside[order[0]]))
    got = one_image(s, p, [[1]], "positive")
    for figure, column in ((2, 0), (3, 1)):
        values = np.array(draws, float)[:, column]
        assert abs(got[figure, 0] - values.mean()) < 4 * values.std() / np.sqrt(len(values))


def test_a_map_that_says_nothing_scores_chance():
    _, parts = toys()
    found = by_part({"flat": np.ones(parts.shape)}, parts, NAMES, draws=10).loc[{"part": NAMES[:3]}]
    for f in ("mass", "rank", "pointing"):
        np.testing.assert_allclose(found[f][0], found["area"])
    np.testing.assert_allclose(found["density"][0], 1)


def test_a_map_that_is_the_part_scores_full():
    _, parts = toys()
    found = by_part({"head": (parts == 1).astype(float)}, parts, NAMES, draws=10).loc[{"method": "head"}]
    for f in ("mass", "rank", "pointing"):
        assert found[f].loc[{"part": "head"}] == 1
    assert found["mass"].loc[{"part": "object"}] == 1
    assert found["pointing"].loc[{"part": "wing"}] == 0


def test_groups_unite_parts_and_means_are_over_the_images_that_show_them():
    maps, parts = toys()
    found = by_part(maps, parts, NAMES, {"both": [1, 2]}, draws=10)
    assert list(found["part"].values) == [*NAMES, "both"]
    both = found["mass_image"].loc[{"part": ["head", "wing"]}].sum("part")
    np.testing.assert_allclose(found["mass_image"].loc[{"part": "both"}], both)
    assert found["shown"].values.tolist() == [6, 6, 5, 0, 6]
    assert np.isnan(found["mass"].loc[{"part": "tail"}]).all()
    np.testing.assert_allclose(
        found["rank"].loc[{"part": "wing"}], found["rank_image"].loc[{"part": "wing"}][:, 1:].mean("image")
    )


def test_absolute_relevance():
    maps, parts = toys()
    signed = by_part({"a": -np.abs(maps["noise"])}, parts, NAMES, positive="abs", draws=10)
    absolute = by_part({"a": np.abs(maps["noise"])}, parts, NAMES, draws=10)
    np.testing.assert_array_equal(signed["rank"], absolute["rank"])
    assert np.isnan(by_part({"a": -np.abs(maps["noise"])}, parts, NAMES, draws=10)["mass"]).all()


def test_intervals_equal_a_slow_bootstrap():
    rng = np.random.default_rng(4)
    values = rng.normal(size=(2, 12))
    values[1, 3:6] = np.nan
    low, high = intervals(values, draws=300, seed=9)
    picks = np.random.default_rng(9).integers(0, 12, (300, 12))
    for row, lo, hi in zip(values, low, high, strict=True):
        means = [np.nanmean(row[p]) for p in picks]
        np.testing.assert_allclose([lo, hi], np.quantile(means, [0.025, 0.975]))
    assert (low < np.nanmean(values, 1)).all()
    assert (high > np.nanmean(values, 1)).all()
    assert np.isnan(intervals(np.full((1, 3), np.nan))).all()


def test_intervals_cover_as_often_as_they_say():
    rng = np.random.default_rng(0)
    low, high = intervals(rng.normal(size=(400, 40)), draws=400)
    assert 0.90 <= ((low < 0) & (high > 0)).mean() <= 0.98


def test_names_unite_clusters():
    labels = np.array([[[0, 1], [2, 3]]])
    parts, names = named_parts(labels, ["head", "", "wing", "head"])
    assert names == ["nothing", "head", "wing"]
    np.testing.assert_array_equal(parts, [[[1, 0], [2, 1]]])
    with pytest.raises(MethodError, match="names were given"):
        named_parts(labels, ["head"])


def test_disagreement_of_equal_and_reversed_rankings():
    rng = np.random.default_rng(0)
    raw = {m: rng.normal(i, 0.1, 20) for i, m in enumerate("abcd")}
    same = disagreement(raw, {m: v * 2 for m, v in raw.items()})
    assert (float(same["tau"]), float(same["tau_low"]), float(same["flipped"])) == (1, 1, 0)
    assert same["rank_raw"].values.tolist() == [4, 3, 2, 1]
    turned = disagreement(raw, {m: -v for m, v in raw.items()})
    assert (float(turned["tau"]), float(turned["flipped"])) == (-1, 1)
    one = dict(raw, d=raw["b"] + 0.5)  # between b and c: one pair changes
    assert float(disagreement(raw, one)["flipped"]) == pytest.approx(1 / 6)
    low = disagreement(raw, raw, higher_is_better=False)
    assert low["rank_raw"].values.tolist() == [1, 2, 3, 4]
    with pytest.raises(MethodError, match="same two or more methods"):
        disagreement(raw, {"a": raw["a"]})


@pytest.mark.parametrize(
    "call",
    [
        lambda m, p: by_part({}, p, NAMES),
        lambda m, p: by_part(m, p[0], NAMES),
        lambda m, p: by_part({"a": m["noise"][:2]}, p, NAMES),
        lambda m, p: by_part({"a": np.full(p.shape, np.inf)}, p, NAMES),
        lambda m, p: by_part(m, p, NAMES[:2]),
        lambda m, p: by_part(m, p, NAMES, positive="squared"),
    ],
)
def test_what_does_not_fit_is_one_sentence(call):
    with pytest.raises(MethodError, match=r"\.$"):
        call(*toys())


# --- the evaluation of a data set ---------------------------------------------------------------------------


@pytest.fixture
def few(monkeypatch):
    monkeypatch.setattr(module, "MOST_IMAGES", 4)
    monkeypatch.setattr(module, "COMPARED", ("gradient", "random", "centre"))


def test_shares_add_up_and_a_random_map_is_chance(few):
    model, samples = open_model("birds-cnn"), open_samples("birds/test")
    rows = module.evaluated(samples.sizes["sample"])
    part = np.maximum(samples["part"].isel(sample=rows).values.astype(np.int64), 0)
    said = []
    find_head(model)  # what is found out about a network once
    method = get("nave")
    ask = method.ready(model, method.ask())
    before = passes.snapshot()
    running = module.evaluate(
        model, samples, (part, samples.attrs["parts"]), method, ask, lambda *a: said.append(a)
    )
    table, ranks, named = whole(running)
    spent = {k: v - before[k] for k, v in passes.snapshot().items()}
    assert (spent["forward"], spent["backward"]) == (8, 4)
    mass = table["mass"].values[:, :-1]  # the last row unites the others
    np.testing.assert_allclose(np.nansum(mass * (table["shown"].values[:-1] / 4), 1), 1, atol=0.05)
    assert table["density"].loc[{"method": "random", "part": "object"}] == pytest.approx(1, abs=0.05)
    assert named == "object"
    assert set(ranks["method"].values) == {"gradient", "random", "centre"}
    assert said[-1] == (16, 16)
