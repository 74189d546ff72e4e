"""Editing support samples: only the edited part changes, everything can be undone, and every number equals that of figures()."""

from __future__ import annotations

import asyncio
import threading

import numpy as np
import pytest
from sic_hands import Hand, logits, pairs, quiet, supports_of, z_of

from xai_views.methods.sic import support_sets
from xai_views.methods.sic.population import nearest_training
from xai_views.models import evidence
from xai_views_dashboard.sic import session
from xai_views_dashboard.sic.support_rows import adding
from xai_views_dashboard.sic.supports import ALL


async def test_excluding_lowers_only_its_class(open_app):
    app = open_app()
    hand, own = await Hand.at(app), app.model.supports
    before = logits(app, supports_of(app))
    position, c = await hand.exclude()
    after = logits(app, supports_of(app))
    assert (position, c) not in pairs(supports_of(app))
    assert len(supports_of(app)) == len(own) - 1
    others = [k for k in range(3) if k != c]
    np.testing.assert_array_equal(after[:, others], before[:, others])
    lost = evidence.scores(z_of(app), own.vectors)[:, pairs(own).index((position, c))]
    np.testing.assert_allclose(before[:, c] - after[:, c], lost / app.model.module.temperature, atol=1e-5)
    assert (after[:, c] < before[:, c]).all()


async def test_excluding_all_of_a_class_leaves_the_bias(open_app):
    app = open_app(target=1)
    hand = await Hand.at(app)
    for _ in range(3):
        await hand.exclude()
    assert not len(supports_of(app).of_class(1))
    np.testing.assert_allclose(logits(app, supports_of(app))[:, 1], app.model.module.bias, atol=1e-6)
    assert hand.panel.exclude.disabled
    assert hand.panel.table.rows == []
    assert "Select a support sample" in hand.panel.why.object


async def test_a_second_click_before_the_page_has_answered_changes_nothing(open_app):
    app = open_app()
    hand = await Hand.at(app)
    position, _ = await hand.choose()
    hand.panel.exclude.clicks += 1
    hand.panel.exclude.clicks += 1
    await quiet()
    assert app.state.excluded == [position]
    assert not hand.panel.count.disabled


async def test_the_last_support_of_all_stays(open_app):
    app = open_app(excluded=[])
    app.state.edit(excluded=[int(i) for i in app.model.supports.index[1:]])
    hand = await Hand.at(app)
    await hand.set(hand.panel.which, ALL)
    await hand.choose()
    assert hand.panel.exclude.disabled
    assert "last support sample" in hand.panel.why.object
    assert not hand.panel.replace.disabled


async def test_replacing_takes_the_nearest_of_its_class(open_app):
    app = open_app()
    hand = await Hand.at(app)
    await hand.set(hand.panel.which, 2)
    old = await hand.choose()
    latents, own = app.model.latents, app.model.supports
    pool = [r for r in latents.of_class(2) if latents.index[r] not in own.index]
    cosine = evidence.cosines(z_of(app)[:1], latents.z[pool])[0]
    nearest = int(latents.index[pool[int(cosine.argmax())]])
    await hand.press(hand.panel.replace)
    now = pairs(supports_of(app))
    assert old not in now
    assert (nearest, 2) in now
    assert len(now) == len(own)
    assert app.state.support == nearest
    assert hand.panel.chosen == (nearest, 2)
    np.testing.assert_array_equal(logits(app, supports_of(app))[:, :2], logits(app, own)[:, :2])


async def test_replacing_takes_the_chosen_candidate(open_app):
    app = open_app()
    hand = await Hand.at(app)
    old = await hand.choose()
    new = await hand.choose_candidate(3)
    assert hand.panel.replace.label == "Replace with candidate"
    await hand.press(hand.panel.replace)
    assert old not in pairs(supports_of(app))
    assert new in pairs(supports_of(app))
    await hand.press(hand.panel.undo)
    assert supports_of(app) == app.model.supports


async def test_adding_raises_only_its_class_and_excluding_takes_it_back(open_app):
    app = open_app(target=2)
    hand = await Hand.at(app)
    before = logits(app, supports_of(app))
    new = await hand.choose_candidate(1)
    await hand.press(hand.panel.add)
    after = logits(app, supports_of(app))
    assert new[1] == 2
    assert new in pairs(supports_of(app))
    assert (after[:, 2] > before[:, 2]).all()
    np.testing.assert_array_equal(after[:, :2], before[:, :2])
    assert new[0] not in {int(r["id"].split("-")[0]) for r in hand.panel.candidates.rows}
    assert hand.panel.chosen == new
    await hand.press(hand.panel.exclude)
    assert supports_of(app) == app.model.supports
    assert app.state.excluded == []


async def test_adding_an_excluded_one_again_is_the_shipped_set(open_app):
    app = open_app()
    hand = await Hand.at(app)
    position, c = await hand.exclude()
    offered, _ = nearest_training(app.model, supports_of(app), z_of(app)[0], c, most=100)
    assert position in app.model.latents.index[offered]
    app.state.edit(**adding(app.state, app.model.supports, position, c))
    assert supports_of(app) == app.model.supports
    assert not app.state.edited


async def test_a_sample_of_another_class_can_be_added(open_app):
    app = open_app(target=0)
    hand = await Hand.at(app)
    assert all(r["class"] == app.model.classes[0] for r in hand.panel.candidates.rows)
    await hand.set(hand.panel.pool, True)
    rows = hand.panel.candidates.rows
    stranger = next(i for i, r in enumerate(rows) if r["class"] != app.model.classes[0])
    new = await hand.choose_candidate(stranger)
    await hand.press(hand.panel.add)
    assert new in pairs(supports_of(app))
    assert new[1] == 0


async def test_candidates_are_sorted_and_no_supports(open_app):
    app = open_app()
    rows = (await Hand.at(app)).panel.candidates.rows
    cosine = [r["cosine"] for r in rows]
    assert len(rows) == 7  # 10 training images of the class, 3 of which are supports
    assert cosine == sorted(cosine, reverse=True)
    assert all(r["picture"].startswith("data:image/jpeg") for r in rows)
    assert not {int(r["id"].split("-")[0]) for r in rows} & set(app.model.supports.index.tolist())


# -- number, rule, undo ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", ["k-means", "compact", "diverse", "random"])
@pytest.mark.parametrize("number", [1, 4, 10])
async def test_number_and_rule(open_app, rule, number):
    app = open_app()
    hand = await Hand.at(app)
    await hand.slide(number)
    await hand.set(hand.panel.rule, rule)
    assert (app.state.per_class, app.state.rule) == (number, rule)
    np.testing.assert_array_equal(np.bincount(supports_of(app).label), [number] * 3)
    assert len(hand.panel.table.rows) == number
    assert set(pairs(supports_of(app))) <= set(
        zip(app.model.latents.index.tolist(), app.model.latents.label.tolist(), strict=True)
    )


async def test_a_number_beyond_the_slider_is_kept(open_app):
    app = open_app()
    app.state.edit(per_class=15)
    hand = await Hand.at(app)
    assert app.state.per_class == 15
    assert hand.panel.count.value == 10


async def test_undo_and_redo_restore_exactly(open_app):
    app = open_app()
    hand = await Hand.at(app)
    seen, panel = [supports_of(app).key], hand.panel
    await hand.exclude()
    seen.append(supports_of(app).key)
    await hand.choose()
    await hand.press(panel.replace)
    seen.append(supports_of(app).key)
    await hand.slide(5)
    seen.append(supports_of(app).key)
    await hand.set(panel.rule, "diverse")
    seen.append(supports_of(app).key)
    assert len(set(seen)) == 5
    sentences = [hand.said]
    for key in seen[-2::-1]:
        await hand.press(panel.undo)
        assert supports_of(app).key == key
        sentences.append(hand.said)
    assert panel.undo.disabled
    assert panel.reset.disabled
    assert (panel.count.value, panel.rule.value) == (0, "model")
    for key, sentence in zip(seen[1:], sentences[-2::-1], strict=True):
        await hand.press(panel.redo)
        assert supports_of(app).key == key
        assert hand.said == sentence
    assert panel.redo.disabled
    await hand.press(panel.reset)
    assert supports_of(app) == app.model.supports
    await hand.press(panel.undo)
    assert supports_of(app).key == seen[-1]


async def test_what_was_taken_back_is_forgotten_after_a_new_edit(open_app):
    app = open_app()
    hand = await Hand.at(app)
    await hand.exclude()
    await hand.press(hand.panel.undo)
    assert not hand.panel.redo.disabled
    await hand.slide(2)
    assert hand.panel.redo.disabled
    assert not app.state.redo()
    app.pressed("u")
    assert not app.state.edited


async def test_a_slow_choice_is_made_beside_the_event_loop(open_app, monkeypatch):
    app, threads = open_app(), []
    hand, inner = await Hand.at(app), support_sets.select
    monkeypatch.setattr(
        support_sets, "select", lambda *a, **k: threads.append(threading.current_thread()) or inner(*a, **k)
    )
    for cache in (support_sets._selected, support_sets._made):
        cache.cache_clear()
    session._chosen.clear()
    turn = asyncio.ensure_future(hand.slide(6))
    await asyncio.sleep(0)
    assert app.state.per_class == 0
    assert hand.panel.exclude.disabled
    assert "Selecting" in hand.said
    await turn
    assert app.state.per_class == 6
    assert len(supports_of(app)) == 18
    assert len(threads) == 1
    assert threads[0] is not threading.main_thread()
    assert not hand.panel.count.disabled
    assert "9 → 18" in hand.said


# -- what is said ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("edits", "said"), [({"added": [[5, 0]]}, "training position 5"), ({"added": [[105, 3]]}, "class 3")]
)
def test_a_set_that_cannot_be_is_said_and_left_out(open_app, edits, said):
    app = open_app(**edits)
    assert said in app.problem
    assert not app.state.edited
    assert not app.state.can_undo
    assert supports_of(app) == app.model.supports
    position = int(app.model.supports.index[0])
    app.state.edit(excluded=[position])
    assert app.problem == ""
    app.state.edit(**edits)
    assert said in app.problem
    assert app.state.excluded == [position]
    assert app.state.added == []
