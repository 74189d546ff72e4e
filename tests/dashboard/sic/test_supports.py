"""Editing support samples: only what was edited changes, everything can be undone, and every number is figures()'s."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest
from support_hands import choose, choose_candidate, logits, pairs, press, slide, words, z_of

from xai_views.methods.sic import support_sets
from xai_views.methods.sic.population import nearest_training
from xai_views.models import evidence
from xai_views_dashboard.sic import edits as sic_edits
from xai_views_dashboard.sic.support_table import ALL


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

    app, threads = open_app(), []
    inner = support_sets.select
    monkeypatch.setattr(
        support_sets, "select", lambda *a, **k: threads.append(threading.current_thread()) or inner(*a, **k)
    )
    support_sets._selected.cache_clear()
    support_sets._made.cache_clear()

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


@pytest.mark.parametrize(
    ("edits", "said"), [({"added": [[5, 0]]}, "training position 5"), ({"added": [[105, 3]]}, "class 3")]
)
def test_a_set_that_cannot_be_is_said_and_left_out(open_app, edits, said):
    app = open_app(**edits)
    assert said in app.problem
    assert not app.state.edited
    assert not app.state.can_undo
    assert app.session.supports == app.model.supports
    position, _ = choose(app)
    app.state.edit(excluded=[position])
    assert app.problem == ""
    app.state.edit(**edits)
    assert said in app.problem
    assert app.state.excluded == [position]
    assert app.state.added == []
