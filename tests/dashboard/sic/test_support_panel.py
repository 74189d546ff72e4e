"""The support panel: every number is figures()'s, everything is linked, and no edit costs a pass."""

from __future__ import annotations

import asyncio
import re

import numpy as np
import pytest
from support_hands import choose, choose_candidate, pairs, press, slide, words, z_of

from xai_views.methods.sic import WhatIf
from xai_views.methods.sic.population import figures
from xai_views.models import Latents, evidence, passes
from xai_views_dashboard.core.pictures import composed
from xai_views_dashboard.sic.edits import class_of, excluding
from xai_views_dashboard.sic.support_table import ALL, EXPLAINED


def test_the_sentence_says_what_figures_say(open_app):
    app = open_app(sample=4)
    choose(app)
    press(app.supports.exclude)
    population, own, now = app.session.population, app.model.supports, app.session.supports
    was, is_now = (figures(app.model, s, population.z, population.label) for s in (own, now))
    c = int(was["predicted"][4])
    found = re.search(
        r"Support samples (\d+) → (\d+)\. This sample: logit of (.+?) (\S+) → (\S+), predicted (.+?) → (.+?)\. "
        r"Test accuracy (\S+) → (\S+) \((\d+) samples\); (\d+) of (\d+) are predicted otherwise\. The network itself",
        words(app),
    ).groups()
    signed = [
        f"{was['logit'][4, c]:+.4f}".replace("-", "−"),
        f"{is_now['logit'][4, c]:+.4f}".replace("-", "−"),
    ]
    assert found[:3] == ("9", "8", app.model.classes[c])
    assert list(found[3:5]) == signed
    assert found[5:7] == (app.model.classes[c], app.model.classes[int(is_now["predicted"][4])])
    assert found[7:10] == (f"{(was['right'] == 1).mean():.3f}", f"{(is_now['right'] == 1).mean():.3f}", "24")
    assert found[10:] == (str(int((was["predicted"] != is_now["predicted"]).sum())), "24")


def test_the_sentence_follows_sample_and_class(open_app):
    app = open_app()
    choose(app)
    press(app.supports.exclude)
    first = words(app)
    app.state.sample = 7
    assert words(app) != first
    app.state.target = 2
    assert "logit of " + app.model.classes[2] in words(app)


def test_a_worse_set_is_less_accurate(open_app):
    app = open_app()
    population = app.session.population
    what_if = WhatIf(app.model, population.z, population.label)
    own = what_if.effect(app.model.supports).accuracy.before
    assert own > 0.5
    label = app.model.supports.label
    app.state.edit(excluded=[int(i) for i in app.model.supports.index[label == 0]])
    effect = what_if.effect(app.session.supports)
    assert effect.accuracy.after < own
    assert effect.accuracy.before == own
    assert effect.moved > 0
    # every support under the wrong class
    app.state.edit(
        excluded=[int(i) for i in app.model.supports.index],
        added=[[int(i), int(c + 1) % 3] for i, c in zip(app.model.supports.index, label, strict=True)],
    )
    effect = what_if.effect(app.session.supports)
    assert effect.accuracy.after < 0.5
    assert f"→ {effect.accuracy.after:.3f}" in words(app)


def test_before_all_samples_are_observed_it_says_so(open_app):
    app = open_app()
    population = app.session.population
    z = population.z.copy()
    z[5:] = np.nan
    app.supports.what_if = WhatIf(app.model, z, population.label)
    choose(app)
    press(app.supports.exclude)
    assert "accuracy follows" in words(app)
    assert "This sample: logit of" in words(app)


def test_an_unobserved_sample_has_no_numbers(open_app):
    app = open_app()
    position = app.session.add(np.full((10, 10, 3), 99, np.uint8))
    app.canvas.order = [*app.canvas.order, app.session.names[position]]
    app.state.sample = position
    assert all(r["evidence"] is None for r in app.supports.table.listing.rows)
    choose(app)
    press(app.supports.exclude)
    assert "This sample" not in words(app)
    assert "Test accuracy" in words(app)


def test_an_upload_gets_its_numbers_from_its_explanation(open_app):
    app = open_app()

    async def turn() -> None:
        position = app.session.add(np.full((10, 10, 3), 77, np.uint8))
        app.canvas.order = [*app.canvas.order, app.session.names[position]]
        app.state.sample = position
        for _ in range(500):
            await asyncio.sleep(0.02)
            if app.supports.table.z is not None:
                break

    asyncio.run(turn())
    result = app.result()
    by_id = {
        f"{i}-{c}": e
        for i, c, e in zip(
            result["support_sample"].values,
            result["support_class"].values,
            result["evidence"].values[0],
            strict=True,
        )
    }
    rows = app.supports.table.listing.rows
    assert len(rows) == 3
    for row in rows:
        assert row["evidence"] == pytest.approx(float(by_id[row["id"]]), abs=1e-5)


def test_edits_need_no_pass(open_app):
    app = open_app()
    before = (passes.forward, passes.backward)
    choose(app)
    press(app.supports.exclude)
    choose(app)
    press(app.supports.replace)
    choose_candidate(app, 0)
    press(app.supports.add)
    slide(app, 6)
    app.supports.rule.value = "random"
    press(app.supports.undo)
    press(app.supports.redo)
    press(app.supports.reset)
    app.state.sample = 3
    assert (passes.forward, passes.backward) == before


# -- browsing -------------------------------------------------------------------------------------------------


def test_the_table_gives_the_evidence_of_each(open_app):
    app = open_app(sample=2)
    app.supports.table.which.value = ALL
    rows, supports = app.supports.table.listing.rows, app.session.supports
    score = evidence.scores(z_of(app), supports.vectors)[0] / app.model.module.temperature
    assert [r["id"] for r in rows] == [f"{i}-{c}" for i, c in pairs(supports)]
    np.testing.assert_allclose([r["evidence"] for r in rows], score, rtol=1e-6)
    for c in range(3):
        app.supports.table.which.value = c
        assert {r["class"] for r in app.supports.table.listing.rows} == {app.model.classes[c]}


def test_choosing_links_both_ways(open_app):
    app = open_app(target=0)
    position, _ = choose(app, 1)
    assert app.state.support == position
    other = int(app.session.supports.index[app.session.supports.of_class(2)[0]])
    app.state.support = other  # from the canvas or the map: another class than is shown
    assert app.supports.table.which.value == ALL
    assert app.supports.table.chosen == (other, 2)
    assert f"train {other}" in app.supports.card.text
    app.supports.table.which.value = EXPLAINED
    assert app.supports.table.chosen is None
    assert app.state.support == other


def test_the_card_has_the_norm_and_the_sum_of_its_map(open_app):
    app = open_app()
    position, c = choose(app)
    row = pairs(app.session.supports).index((position, c))
    norm = np.linalg.norm(app.session.supports.vectors[row])
    found = re.search(
        r"\|V\| = (\S+)\. Its own map adds up to (\S+), .* \(cosine (\S+)\)", app.supports.card.text
    )
    assert float(found[1]) == pytest.approx(norm, abs=1e-4)
    assert float(found[2]) == pytest.approx(norm, abs=1e-3)
    cosine = evidence.cosines(z_of(app), app.session.supports.vectors[[row]])[0, 0]
    assert float(found[3]) == pytest.approx(cosine, abs=1e-3)
    html = app.supports.card._pane.object
    assert html.count("data:image/png") == 2
    assert f"against {app.model.classes[c]}" in html


def test_the_map_of_an_added_support_is_computed_when_it_is_chosen(open_app):
    app = open_app()
    new = choose_candidate(app, 0)

    async def turn() -> None:
        press(app.supports.add)
        assert app.supports.table.chosen == new
        for _ in range(500):
            await asyncio.sleep(0.02)
            if "adds up to" in app.supports.card.text:
                break

    asyncio.run(turn())
    found = re.search(r"\|V\| = (\S+)\. Its own map adds up to (\S+), ", app.supports.card.text)
    assert app.supports.card._pane.object.count("data:image/png") == 2
    assert float(found[2]) == pytest.approx(float(found[1]), abs=1e-3)


def test_two_pages_do_not_see_each_others_edits(open_app):
    one, other = open_app(), open_app()
    assert one.session.population is other.session.population
    before = words(other)
    choose(one)
    press(one.supports.exclude)
    assert other.session.supports == other.model.supports
    assert not other.state.edited
    assert words(other) == before
    assert len(other.supports.table.listing.rows) == 3
    assert other.supports.undo.disabled


def test_a_model_without_training_vectors_says_so(open_app, monkeypatch):
    app = open_app()
    monkeypatch.setattr(app.model, "latents", None)
    app.supports.refresh()
    assert app.supports.count.disabled
    assert app.supports.rule.disabled
    assert "no training vectors" in app.supports.why.object
    choose(app)
    press(app.supports.exclude)  # shipped vectors are enough for that
    assert len(app.session.supports) == 8


# -- pieces ---------------------------------------------------------------------------------------------------


def test_composed_is_grey_at_zero_and_symmetric():
    image = np.full((2, 3, 3), 100, np.uint8)
    out = composed(image, np.array([[0, 1, -1], [0.5, -0.5, np.nan]])).astype(int)
    assert (out[0, 0] == out[0, 0, 0]).all()
    assert (out[1, 2] == out[0, 0]).all()
    assert out[0, 1, 0] > out[0, 1, 2] + 60  # red for
    assert out[0, 2, 2] > out[0, 2, 0] + 60  # blue against
    assert abs(int(out[1, 0, 0]) - out[0, 0, 0]) < abs(int(out[0, 1, 0]) - out[0, 0, 0]) + 60
    blank = composed(image, np.zeros((2, 3)))
    assert (blank == blank[0, 0]).all()
    assert composed(np.zeros((2, 2, 1), np.uint8), np.ones((2, 2))).shape == (2, 2, 3)


def test_several_labels_are_named_and_excluding_keeps_other_classes(open_app):
    latents = Latents(np.ones((2, 4), np.float32), np.array([[1, 1, 0], [0, 0, 0]]), np.arange(2))
    assert class_of(latents, 0, ["a", "b", "c"]) == "a, b"
    assert class_of(latents, 1, ["a", "b", "c"]) == "none"
    state = open_app().state
    state.edit(added=[[100, 0], [100, 1]])
    assert excluding(state, 100, 1) == {"added": [[100, 0]]}
