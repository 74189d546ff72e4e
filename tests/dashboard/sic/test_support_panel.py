"""The support panel: every number equals that of figures(), everything is linked, and no edit costs a pass."""

from __future__ import annotations

import asyncio
import re
from concurrent.futures import Future

import numpy as np
import pytest
from sic_hands import Hand, pairs, panel_of, quiet, supports_of, z_of

from xai_views.methods.sic import effect
from xai_views.methods.sic.population import figures
from xai_views.methods.sic.what_if import Change
from xai_views.models import Latents, evidence, passes
from xai_views_dashboard.core.pictures import composed
from xai_views_dashboard.sic.support_rows import class_of, excluding
from xai_views_dashboard.sic.supports import ALL, EXPLAINED, SupportPanel


def both(app) -> Change:
    """Return ``figures`` of all samples with the original supports, and with those of the state."""
    label = app.session.population.label
    return Change(*(figures(app.model, s, z_of(app), label) for s in (app.model.supports, supports_of(app))))


async def test_the_sentence_says_what_figures_say(open_app):
    app = open_app(sample=4)
    hand = await Hand.at(app)
    await hand.exclude()
    was, is_now = both(app).before, both(app).after
    c = int(was["predicted"][4])
    found = re.search(
        r"Support samples (\d+) → (\d+)\. This sample: logit of (.+?) (\S+) → (\S+), predicted (.+?) → (.+?)\. "
        r"Test accuracy (\S+) → (\S+) \((\d+) samples\); (\d+) of (\d+) predictions change\. The network is unchanged",
        hand.said,
    ).groups()
    signed = [f"{f['logit'][4, c]:+.4f}".replace("-", "−") for f in (was, is_now)]
    assert found[:3] == ("9", "8", app.model.classes[c])
    assert list(found[3:5]) == signed
    assert found[5:7] == (app.model.classes[c], app.model.classes[int(is_now["predicted"][4])])
    assert found[7:10] == (f"{(was['right'] == 1).mean():.3f}", f"{(is_now['right'] == 1).mean():.3f}", "24")
    assert found[10:] == (str(int((was["predicted"] != is_now["predicted"]).sum())), "24")


async def test_the_sentence_follows_sample_and_class(open_app):
    app = open_app()
    hand = await Hand.at(app)
    await hand.exclude()
    first = hand.said
    app.state.sample = 7
    await quiet()
    assert hand.said != first
    app.state.target = 2
    await quiet()
    assert "logit of " + app.model.classes[2] in hand.said


async def test_a_worse_set_is_less_accurate(open_app):
    app = open_app()
    hand = await Hand.at(app)
    own, label = app.model.supports, app.model.supports.label
    app.state.edit(excluded=[int(i) for i in own.index[label == 0]])
    found = effect(app.model, supports_of(app), population=both(app))
    assert found.accuracy.before > 0.5
    assert found.accuracy.after < found.accuracy.before
    assert found.moved > 0
    # every support under the wrong class
    app.state.edit(
        excluded=[int(i) for i in own.index],
        added=[[int(i), int(c + 1) % 3] for i, c in zip(own.index, label, strict=True)],
    )
    await quiet()
    found = effect(app.model, supports_of(app), population=both(app))
    assert found.accuracy.after < 0.5
    assert f"→ {found.accuracy.after:.3f}" in hand.said


async def test_before_all_samples_are_observed_it_says_so(open_app, monkeypatch):
    app = open_app(sample=3)
    observed: Future = Future()
    predicted = app.session.predicted

    async def late(ask=None, counted=None):
        await asyncio.wrap_future(observed)
        return await predicted(ask, counted)

    monkeypatch.setattr(app.session, "predicted", late)
    panel = panel_of(app, SupportPanel)
    app.begin()
    app.tabs.bring(panel.title)
    while panel.seen is None:
        await asyncio.sleep(0.01)
    app.state.edit(excluded=[int(app.model.supports.index[0])])
    while "accuracy follows" not in panel.effect.object:
        await asyncio.sleep(0.01)
    assert "This sample: logit of" in panel.effect.object
    observed.set_result(None)
    await quiet()
    assert "Test accuracy" in panel.effect.object


async def test_an_upload_gets_its_numbers_from_the_network(open_app):
    app = open_app()
    hand = await Hand.at(app)
    position = app.session.add(np.full((10, 10, 3), 77, np.uint8))
    app.canvas.order = [*app.canvas.order, app.session.names[position]]
    app.state.sample = position
    await quiet()
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
    rows = hand.panel.table.rows
    assert len(rows) == 3
    for row in rows:
        assert row["evidence"] == pytest.approx(float(by_id[row["id"]]), abs=1e-5)
    await hand.exclude()
    assert "This sample: logit of" in hand.said
    assert "Test accuracy" in hand.said


async def test_edits_need_no_pass(open_app):
    app = open_app()
    hand = await Hand.at(app)
    panel, before = hand.panel, (passes.forward, passes.backward)
    await hand.exclude()
    await hand.slide(6)
    await hand.set(panel.rule, "random")
    await hand.press(panel.undo)
    await hand.press(panel.redo)
    await hand.press(panel.reset)
    app.state.sample = 3
    await quiet()
    assert (passes.forward, passes.backward) == before


# -- browsing -------------------------------------------------------------------------------------------------


async def test_the_table_gives_the_evidence_of_each(open_app):
    app = open_app(sample=2)
    hand = await Hand.at(app)
    await hand.set(hand.panel.which, ALL)
    rows, supports = hand.panel.table.rows, supports_of(app)
    score = evidence.scores(z_of(app)[2:3], supports.vectors)[0] / app.model.module.temperature
    assert [r["id"] for r in rows] == [f"{i}-{c}" for i, c in pairs(supports)]
    np.testing.assert_allclose([r["evidence"] for r in rows], score, rtol=1e-6)
    for c in range(3):
        await hand.set(hand.panel.which, c)
        assert {r["class"] for r in hand.panel.table.rows} == {app.model.classes[c]}


async def test_choosing_links_both_ways(open_app):
    app = open_app(target=0)
    hand = await Hand.at(app)
    position, _ = await hand.choose(1)
    assert app.state.support == position
    assert app.canvas.row == str(position)
    supports = supports_of(app)
    other = int(supports.index[supports.of_class(2)[0]])
    app.state.support = other  # from the canvas or the map: another class than is shown
    await quiet()
    assert hand.panel.which.value == ALL
    assert hand.panel.chosen == (other, 2)
    assert f"train {other}" in hand.card
    await hand.set(hand.panel.which, EXPLAINED)
    assert hand.panel.chosen is None
    assert app.state.support == other


async def test_one_image_that_supports_two_classes_is_two_rows(open_app):
    app = open_app()
    position = int(app.model.supports.index[0])
    app.state.edit(added=[[position, 2]])
    hand = await Hand.at(app)
    await hand.set(hand.panel.which, ALL)
    rows = [i for i, r in enumerate(hand.panel.table.rows) if r["id"].startswith(f"{position}-")]
    for row, c in zip(rows, (0, 2), strict=True):
        assert await hand.choose(row) == (position, c)
        assert hand.panel.chosen == (position, c)
        assert f"of class {app.model.classes[c]}" in hand.card


async def test_the_card_has_the_norm_and_the_sum_of_its_map(open_app):
    app = open_app()
    hand = await Hand.at(app)
    position, c = await hand.choose()
    supports = supports_of(app)
    row = pairs(supports).index((position, c))
    norm = np.linalg.norm(supports.vectors[row])
    found = re.search(r"\|V\| = (\S+)\. Its own map sums to (\S+); .* \(cosine (\S+)\)", hand.card)
    assert float(found[1]) == pytest.approx(norm, abs=1e-4)
    assert float(found[2]) == pytest.approx(norm, abs=1e-3)
    cosine = evidence.cosines(z_of(app)[:1], supports.vectors[[row]])[0, 0]
    assert float(found[3]) == pytest.approx(cosine, abs=1e-3)
    html = hand.panel.card.object
    assert html.count("data:image/png") == 2
    assert f"lowers {app.model.classes[c]}" in html


async def test_the_map_of_an_added_support_is_computed_when_it_is_chosen(open_app):
    app = open_app()
    hand = await Hand.at(app)
    new = await hand.choose_candidate(0)
    await hand.press(hand.panel.add)
    assert hand.panel.chosen == new
    found = re.search(r"\|V\| = (\S+)\. Its own map sums to (\S+); ", hand.card)
    assert hand.panel.card.object.count("data:image/png") == 2
    assert float(found[2]) == pytest.approx(float(found[1]), abs=1e-3)


async def test_two_pages_do_not_see_each_others_edits(open_app):
    one, other = open_app(), open_app()
    hand, theirs = await Hand.at(one), await Hand.at(other)
    assert one.session.population is other.session.population
    before = theirs.said
    await hand.exclude()
    assert supports_of(other) == other.model.supports
    assert not other.state.edited
    assert theirs.said == before
    assert len(theirs.panel.table.rows) == 3
    assert theirs.panel.undo.disabled


async def test_a_model_without_training_vectors_says_so(open_app, monkeypatch):
    app = open_app()
    monkeypatch.setattr(app.model, "latents", None)
    hand = await Hand.at(app)
    assert hand.panel.count.disabled
    assert hand.panel.rule.disabled
    assert "no training vectors" in hand.panel.why.object
    await hand.exclude()  # shipped vectors are enough for that
    assert len(supports_of(app)) == 8


async def test_a_choice_that_fails_is_said_and_leaves_the_set(open_app, monkeypatch):
    app = open_app()
    hand = await Hand.at(app)
    monkeypatch.setattr(app.model, "latents", None)
    await hand.slide(5)
    assert "has no cached training vectors" in app.problem
    assert not app.state.edited
    assert hand.panel.count.value == 0


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
