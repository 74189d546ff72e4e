"""Editing support samples: only what was edited changes, everything can be undone, and every number is figures()'s."""

from __future__ import annotations

import asyncio
import re
from concurrent.futures import Future

import numpy as np
import param
import pytest

from dashboard import sic_edits
from dashboard.sic_data import figures
from dashboard.sic_edits import Effects, class_of, composed, excluding, nearest_training
from dashboard.sic_support_table import ALL, EXPLAINED
from xai_views.methods import passes
from xai_views.models import Latents, evidence


def z_of(app) -> np.ndarray:
    return app.session.population.z[app.state.sample][None]


def logits(app, supports) -> np.ndarray:
    return figures(app.model, supports, app.session.population.z, app.session.population.label)["logit"]


def pairs(supports) -> list[tuple[int, int]]:
    return list(zip(supports.index.tolist(), supports.label.tolist(), strict=True))


def press(button) -> None:
    assert not button.disabled, f"{button.label!r} is switched off"
    button.clicks += 1


def slide(app, number: int) -> None:
    """Let the slider go at a number."""
    with param.edit_constant(app.supports.count):
        app.supports.count.param.update(value=number, value_throttled=number)


def choose(app, row: int = 0) -> tuple[int, int]:
    """Choose a row of the table as a hand does; training position and class."""
    identity = app.supports.table.listing.rows[row]["id"]
    app.supports.table.listing._handle_msg({"type": "select", "id": identity})
    return tuple(int(v) for v in identity.split("-"))


def choose_candidate(app, row: int) -> tuple[int, int]:
    identity = app.supports.candidates.listing.rows[row]["id"]
    app.supports.candidates.listing._handle_msg({"type": "select", "id": identity})
    return tuple(int(v) for v in identity.split("-"))


def words(app) -> str:
    return re.sub("<[^>]+>", "", app.supports.effect.object).replace("&#x27;", "'")


# -- excluding, replacing, adding -----------------------------------------------------------------------------


def test_excluding_lowers_only_its_class(open_app):
    app = open_app()
    before = logits(app, app.session.supports)
    position, c = choose(app)
    press(app.supports.exclude)
    after = logits(app, app.session.supports)
    assert (position, c) not in pairs(app.session.supports)
    assert len(app.session.supports) == len(app.model.supports) - 1
    others = [k for k in range(3) if k != c]
    np.testing.assert_array_equal(after[:, others], before[:, others])
    row = pairs(app.model.supports).index((position, c))
    lost = evidence.scores(app.session.population.z, app.model.supports.vectors)[:, row]
    np.testing.assert_allclose(before[:, c] - after[:, c], lost / app.model.module.temperature, atol=1e-5)
    assert (after[:, c] < before[:, c]).all()


def test_excluding_all_of_a_class_leaves_the_bias(open_app):
    app = open_app(target=1)
    for _ in range(3):
        choose(app)
        press(app.supports.exclude)
    assert not len(app.session.supports.of_class(1))
    np.testing.assert_allclose(logits(app, app.session.supports)[:, 1], app.model.module.bias, atol=1e-6)
    assert app.supports.exclude.disabled
    assert app.supports.table.listing.rows == []
    assert "choose a support sample" in app.supports.why.object.lower()


def test_the_last_support_of_all_stays(open_app):
    app = open_app()
    app.state.edit(excluded=[int(i) for i in app.model.supports.index[1:]])
    app.supports.table.which.value = ALL
    choose(app)
    assert app.supports.exclude.disabled
    assert "last support sample" in app.supports.why.object
    assert not app.supports.replace.disabled


def test_replacing_takes_the_nearest_of_its_class(open_app):
    app = open_app()
    app.supports.table.which.value = 2
    old = choose(app)
    latents, own = app.model.latents, app.model.supports
    pool = [r for r in latents.of_class(2) if latents.index[r] not in own.index]
    cosine = evidence.cosines(z_of(app), latents.z[pool])[0]
    nearest = int(latents.index[pool[int(cosine.argmax())]])
    press(app.supports.replace)
    now = pairs(app.session.supports)
    assert old not in now
    assert (nearest, 2) in now
    assert len(now) == len(own)
    assert app.state.support == nearest
    assert app.supports.table.chosen == (nearest, 2)
    np.testing.assert_array_equal(logits(app, app.session.supports)[:, :2], logits(app, own)[:, :2])


def test_replacing_takes_the_chosen_candidate(open_app):
    app = open_app()
    old = choose(app)
    new = choose_candidate(app, 3)
    assert app.supports.replace.label == "Replace it by the candidate"
    press(app.supports.replace)
    assert old not in pairs(app.session.supports)
    assert new in pairs(app.session.supports)
    press(app.supports.undo)
    assert app.session.supports == app.model.supports


def test_adding_raises_only_its_class_and_excluding_takes_it_back(open_app):
    app = open_app(target=2)
    before = logits(app, app.session.supports)
    new = choose_candidate(app, 1)
    press(app.supports.add)
    after = logits(app, app.session.supports)
    assert new[1] == 2
    assert new in pairs(app.session.supports)
    assert (after[:, 2] > before[:, 2]).all()
    np.testing.assert_array_equal(after[:, :2], before[:, :2])
    assert new[0] not in {int(r["id"].split("-")[0]) for r in app.supports.candidates.listing.rows}
    assert app.supports.table.chosen == new
    press(app.supports.exclude)
    assert app.session.supports == app.model.supports
    assert app.state.excluded == []


def test_adding_an_excluded_one_again_is_the_shipped_set(open_app):
    app = open_app()
    position, c = choose(app)
    press(app.supports.exclude)
    offered, _ = nearest_training(app.model, app.session.supports, z_of(app)[0], c, most=100)
    assert position in app.model.latents.index[offered]
    app.state.edit(**sic_edits.adding(app.state, app.model.supports, position, c))
    assert app.session.supports == app.model.supports
    assert not app.state.edited


def test_a_sample_of_another_class_can_be_added(open_app):
    app = open_app(target=0)
    assert all(r["class"] == app.model.classes[0] for r in app.supports.candidates.listing.rows)
    app.supports.candidates.pool.value = True
    rows = app.supports.candidates.listing.rows
    stranger = next(i for i, r in enumerate(rows) if r["class"] != app.model.classes[0])
    new = choose_candidate(app, stranger)
    press(app.supports.add)
    assert new in pairs(app.session.supports)
    assert new[1] == 0


def test_candidates_are_sorted_and_no_supports(open_app):
    app = open_app()
    rows = app.supports.candidates.listing.rows
    cosine = [r["cosine"] for r in rows]
    assert len(rows) == 7  # 10 training images of the class, 3 of which are supports
    assert cosine == sorted(cosine, reverse=True)
    assert all(r["picture"].startswith("data:image/jpeg") for r in rows)
    assert not {int(r["id"].split("-")[0]) for r in rows} & set(app.model.supports.index.tolist())


# -- number, rule, undo ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", ["k-means", "compact", "diverse", "random"])
@pytest.mark.parametrize("number", [1, 4, 10])
def test_number_and_rule(open_app, rule, number):
    app = open_app()
    slide(app, number)
    app.supports.rule.value = rule
    assert (app.state.per_class, app.state.rule) == (number, rule)
    np.testing.assert_array_equal(np.bincount(app.session.supports.label), [number] * 3)
    assert len(app.supports.table.listing.rows) == number
    assert set(pairs(app.session.supports)) <= set(
        zip(app.model.latents.index.tolist(), app.model.latents.label.tolist(), strict=True)
    )


def test_a_number_beyond_the_slider_is_kept(open_app):
    app = open_app()
    app.state.edit(per_class=15)
    assert app.state.per_class == 15
    assert app.supports.count.value == 10


def test_undo_and_redo_restore_exactly(open_app):
    app = open_app()
    seen = [app.session.supports.key]
    choose(app)
    press(app.supports.exclude)
    seen.append(app.session.supports.key)
    choose(app)
    press(app.supports.replace)
    seen.append(app.session.supports.key)
    slide(app, 5)
    seen.append(app.session.supports.key)
    app.supports.rule.value = "diverse"
    seen.append(app.session.supports.key)
    assert len(set(seen)) == 5
    sentences = [words(app)]
    for key in seen[-2::-1]:
        press(app.supports.undo)
        assert app.session.supports.key == key
        sentences.append(words(app))
    assert app.supports.undo.disabled
    assert app.supports.reset.disabled
    assert (app.supports.count.value, app.supports.rule.value) == (0, "model")
    for key, sentence in zip(seen[1:], sentences[-2::-1], strict=True):
        press(app.supports.redo)
        assert app.session.supports.key == key
        assert words(app) == sentence
    assert app.supports.redo.disabled
    press(app.supports.reset)
    assert app.session.supports == app.model.supports
    press(app.supports.undo)
    assert app.session.supports.key == seen[-1]


def test_a_slow_choice_is_made_beside_the_event_loop(open_app, monkeypatch):
    import threading

    from dashboard import sic_data

    app, threads = open_app(), []
    inner = sic_data.select
    monkeypatch.setattr(
        sic_data, "select", lambda *a, **k: threads.append(threading.current_thread()) or inner(*a, **k)
    )
    sic_data._selected.cache_clear()

    async def turn() -> None:
        slide(app, 6)
        assert app.state.per_class == 0
        assert app.supports.exclude.disabled
        assert "Choosing" in words(app)
        for _ in range(500):
            await asyncio.sleep(0.02)
            if app.state.per_class:
                break
        assert app.state.per_class == 6

    asyncio.run(turn())
    assert len(app.session.supports) == 18
    assert len(threads) == 1
    assert threads[0] is not threading.main_thread()
    assert not app.supports.count.disabled
    assert "9 → 18" in words(app)


# -- what is said ---------------------------------------------------------------------------------------------


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
    own = Effects(app.session).of(None).accuracy.before
    assert own > 0.5
    label = app.model.supports.label
    app.state.edit(excluded=[int(i) for i in app.model.supports.index[label == 0]])
    effect = app.supports.effects.of(None)
    assert effect.accuracy.after < own
    assert effect.accuracy.before == own
    assert effect.moved > 0
    # every support under the wrong class
    app.state.edit(
        excluded=[int(i) for i in app.model.supports.index],
        added=[[int(i), int(c + 1) % 3] for i, c in zip(app.model.supports.index, label, strict=True)],
    )
    assert app.supports.effects.of(None).accuracy.after < 0.5
    assert f"→ {app.supports.effects.of(None).accuracy.after:.3f}" in words(app)


def test_before_all_samples_are_observed_it_says_so(open_app, monkeypatch):
    app = open_app()
    monkeypatch.setattr(app.session.population, "ready", Future())
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
    norm = re.search(r"\|V\| = (\S+)\. ", app.supports.card.text)[1]
    assert app.supports.card._pane.object.count("data:image/png") == 2
    assert float(norm) > 0


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
