"""A frame of the SIC app, decoded from its bytes, shows the explanation."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest
from sic_hands import supports_of

from xai_views import open_samples
from xai_views.views.wire import Decoded, decode
from xai_views_dashboard.core.numbers import number
from xai_views_dashboard.sic import frame as sic_frame


def frame_of(app, context: str = "") -> Decoded:
    """The frame of the sample in view, as the page asks for it."""
    key = f"{app.session.names[app.state.sample]}|{context or app.canvas.context}"
    return decode(asyncio.run(app.answer(key)))


def same_map(drawn: np.ndarray, values: np.ndarray) -> None:
    """A drawn map is the map of the explanation, up to the steps in which it is sent; toys are not shrunk."""
    limit = np.abs(values).max()
    assert limit > 0, "the case must not be empty"
    assert drawn.shape == values.shape
    np.testing.assert_allclose(drawn, values, rtol=0, atol=0.51 * limit / 127)


def same_rows(app, shown: Decoded, result) -> None:
    """Each row of the ledger: a training image, its own map, where it matches, and its evidence."""
    training = open_samples(app.model.latents.samples)["image"].values
    target = int(result["target_class"].values[0, 0])
    positions, of_class = result["support_sample"].values, result["support_class"].values == target
    rows = shown.header["table"]["rows"]
    assert [int(row["id"]) for row in rows] == positions[of_class].tolist()
    match_support = result["match_support"].values[0].tolist()
    for row in rows:
        picture, match = row["tiles"]
        r = int(np.flatnonzero((positions == int(row["id"])) & of_class)[0])
        np.testing.assert_array_equal(shown.photos[picture], training[positions[r]])
        same_map(shown.maps[picture, "support"], result["self_contribution"].values[r])
        same_map(
            shown.maps[match, "support"], result["support_contribution"].values[0, match_support.index(r)]
        )
        evidence = float(result["evidence"].values[0, r])
        assert row["value"] == pytest.approx(evidence, rel=1e-6)
        assert row["value_text"] == number(evidence)
        assert row["cells"][0] == f"train {row['id']}"


def test_the_class_map_and_its_ledger(open_app):
    app = open_app(sample=2)
    shown, result = frame_of(app), app.result()
    same_map(shown.maps["sample", "contribution"], result["contribution"].values[0, 0])
    np.testing.assert_array_equal(shown.photos["sample"], app.session.image(2))
    same_rows(app, shown, result)


EDITS = [
    {"excluded": [0]},
    {"added": [1]},
    {"excluded": [1], "added": [0]},
    {"per_class": 4, "rule": "diverse"},
    {"per_class": 2, "rule": "random", "excluded": [2]},
]


@pytest.mark.parametrize("edits", EDITS, ids=str)
@pytest.mark.parametrize("target", [0, 2])
def test_pictures_keep_to_their_evidence_after_an_edit(open_app, edits, target):
    app = open_app(target=target)
    own, latents = app.model.supports, app.model.latents
    mine = own.index[own.of_class(target)].tolist()
    others = [int(i) for i in latents.index[latents.of_class(target)] if i not in mine]
    changes = {**edits}
    if "excluded" in edits:
        changes["excluded"] = [mine[k] for k in edits["excluded"]]
    if "added" in edits:
        changes["added"] = [[others[k], target] for k in edits["added"]]
    before = frame_of(app)
    app.state.edit(**changes)
    shown, result = frame_of(app), app.result()
    assert shown.header["table"]["rows"] != before.header["table"]["rows"]
    same_rows(app, shown, result)


def test_the_difference_is_the_first_class_minus_the_second(open_app):
    app = open_app(target=1, against=2)
    shown, result = frame_of(app), app.result()
    first, second = result["contribution"].values[0]
    assert result["target_class"].values[0].tolist() == [1, 2]
    same_map(shown.maps["against", "difference"], first - second)
    assert shown.header["legend"]["difference"]["title"] == "class 1 minus class 2, per pixel"
    assert shown.header["legend"]["difference"]["target"] == "class 1"


@pytest.mark.parametrize("residual", [0.25, -0.5])
def test_the_footer_holds_every_part_of_the_sum_with_its_sign(open_app, residual):
    app = open_app()
    result = app.result()
    result["residual"] = result["residual"] * 0 + residual
    target = int(result["target_class"].values[0, 0])
    bytes_ = sic_frame.build("k", app.session, 0, result, supports_of(app))
    footer = dict(decode(bytes_).header["table"]["footer"])
    bias, logit = float(result["bias"][target]), float(result["logit"].values[0, target])
    evidence = float(result["evidence"].values[0, result["support_class"].values == target].sum())
    assert footer == {
        "total evidence": number(evidence),
        "bias": number(bias),
        "residual (not attributed to pixels)": number(residual),
        "the network's logit": number(logit),
    }


def test_each_context_of_a_sample_has_its_own_frame(open_app):
    app = open_app(target=0)
    contexts, results = [app.canvas.context], [app.result()]
    for changes in ({"target": 2}, {"against": 1}, {"rendering": False}):
        app.state.param.update(**changes)
        contexts.append(app.canvas.context)
        results.append(app.result())
    app.state.edit(per_class=1)
    contexts.append(app.canvas.context)
    results.append(app.result())
    assert len(set(contexts)) == len(contexts)
    for _ in range(2):  # the second time they are kept ones
        for context, result in zip(contexts, results, strict=True):
            shown = frame_of(app, context)
            assert shown.header["key"].endswith(f"|{context}")
            same_map(shown.maps["sample", "contribution"], result["contribution"].values[0, 0])
            assert ("against", "difference") in shown.maps or result.sizes["target"] == 1
            assert ("colours" in shown.photos) == ("rendering" in result)
            same_rows(app, shown, result)


def test_two_pages_share_frames_of_equal_contexts_and_no_others(open_app):
    one, other = open_app(), open_app()
    key = f"{one.session.names[0]}|{one.canvas.context}"
    assert one.canvas.context == other.canvas.context
    assert asyncio.run(one.answer(key)) is asyncio.run(other.answer(key))
    one.state.edit(per_class=2)
    assert one.canvas.context != other.canvas.context


async def test_a_frame_is_that_of_its_wish_whatever_is_edited_meanwhile(open_app, monkeypatch):
    app = open_app(target=1, sample=5)
    key, explained = f"{app.session.names[5]}|{app.canvas.context}", app.explained
    own = app.model.supports.index[app.model.supports.of_class(1)].tolist()

    async def meanwhile(sample, wish, priority=0):
        result = await explained(sample, wish, priority)
        app.state.edit(excluded=own[:2])
        app.state.target = 2
        return result

    monkeypatch.setattr(app, "explained", meanwhile)
    shown = decode(await app.answer(key))
    assert [int(row["id"]) for row in shown.header["table"]["rows"]] == own
    assert shown.header["legend"]["contribution"]["target"] == "class 1"


def test_without_maps_of_single_supports_the_bill_is_there(open_app):
    app = open_app(matches=False)
    shown, result = frame_of(app), app.result()
    assert "support_contribution" not in result
    assert len(shown.header["table"]["rows"]) == 3
    same_map(shown.maps["sample", "contribution"], result["contribution"].values[0, 0])


def test_an_edited_set_stands_beside_the_networks_logit(open_app):
    app = open_app(target=1)
    own = float(app.result()["logit"].values[0, 1])
    app.state.edit(excluded=[int(app.model.supports.index[app.model.supports.of_class(1)[0]])])
    footer = dict(frame_of(app).header["table"]["footer"])
    edited = float(app.result()["logit"].values[0, 1])
    assert "the network's logit" not in footer
    assert footer["the network's logit (original supports)"] == number(own)
    assert footer["logit with this support set"] == number(edited) != number(own)
