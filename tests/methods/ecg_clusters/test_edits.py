"""Edits of a record: expected values by hand, the content of an inserted beat, and edits as parameters of a request."""

from __future__ import annotations

import json

import numpy as np
import pytest

from xai_views.contract.content import packed, unpacked
from xai_views.errors import MethodError
from xai_views.methods import explain
from xai_views.methods.ecg_clusters.edits import blend, edited
from xai_views.methods.ecg_clusters.method import EcgClustersMethod

from ..nave_nets import counted
from .ecg_nets import RATE as NET_RATE
from .ecg_nets import STEPS, local, noisy, records, silence

RATE = 10.0


def record(dtype=np.float32) -> np.ndarray:
    """Two leads of ten steps."""
    return np.array([[1, 2, 4, 8, 16, 32, 64, 128, 256, 512], range(10)], dtype)


def piece(values, lead: int, start: float, stop: float) -> dict:
    """A beat with these values."""
    rows = np.atleast_2d(np.asarray(values, np.float32))
    return {"kind": "blend", "lead": lead, "start": start, "stop": stop, "piece": packed(rows)}


# --- intervals -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("edit", "want"),
    [
        (silence(1, 0.2, 0.5, "zero"), [0, 1, 0, 0, 0, 5, 6, 7, 8, 9]),
        (silence(1, 0.2, 0.5, "mean"), [0, 1, 4.5, 4.5, 4.5, 5, 6, 7, 8, 9]),
        (silence(1, 0.0, 0.3, "line"), [3, 3, 3, 3, 4, 5, 6, 7, 8, 9]),
        (silence(1, 0.7, 9.0, "line"), [0, 1, 2, 3, 4, 5, 6, 6, 6, 6]),
        (silence(1, -5.0, 99.0, "line"), [0] * 10),
        (silence(1, 0.21, 0.24, "zero"), list(range(10))),  # no whole step
        (silence(1, 5.0, 6.0, "zero"), list(range(10))),  # beyond the record
        (silence(1, -1.0, 0.1, "zero"), list(range(10))),
        ({"kind": "mute", "lead": 1}, [0] * 10),
    ],
)
def test_one_lead(edit, want):
    given = record()
    found = edited(given, [edit], RATE)
    np.testing.assert_allclose(found[1], want, rtol=1e-6)
    np.testing.assert_array_equal(found[0], given[0])
    np.testing.assert_array_equal(given, record(), "what was given is left alone")


def test_a_line_joins_the_steps_beside_it_and_is_the_default():
    found = edited(record(np.float64), [{"kind": "silence", "lead": 0, "start": 0.2, "stop": 0.5}], RATE)
    np.testing.assert_allclose(found[0, 1:6], [2, 9.5, 17, 24.5, 32])
    np.testing.assert_allclose(np.diff(found[0, 1:6]), 7.5)


def test_all_leads_and_one_after_another():
    found = edited(
        record(), [silence(-1, 0.0, 0.5, "zero"), silence(1, 0.4, 0.7), silence(1, 0.0, 0.1, "mean")], RATE
    )
    np.testing.assert_array_equal(found[0], [0] * 5 + [32, 64, 128, 256, 512])
    # the line starts from the result of the first edit; the mean is that of the unedited record
    np.testing.assert_allclose(found[1], [4.5, 0, 0, 0, 1.75, 3.5, 5.25, 7, 8, 9])
    assert not edited(record(), [{"kind": "mute"}], RATE).any(), "the default is all leads"


@pytest.mark.parametrize(("fill", "inside"), [("zero", 0), ("mean", 2.5), ("line", 3)])
def test_padding_counts_in_no_mean(fill, inside):
    given = record()
    given[:, 6:] = 0
    found = edited(given, [silence(1, 0.4, 0.9, fill)], RATE, length=6)
    np.testing.assert_allclose(found[1], [0, 1, 2, 3, inside, inside, 0, 0, 0, 0])


@pytest.mark.parametrize(
    "edit",
    [
        {"kind": "mute", "lead": -1},
        *(silence(lead, 0.3, 9.9, fill) for lead in (-1, 1) for fill in ("line", "mean", "zero")),
        piece(np.full((2, 7), 5.0), -1, 0.3, 1.0),
        piece(np.full((1, 7), 5.0), 0, 0.3, 1.0),
    ],
)
def test_no_edit_writes_into_the_padding(edit):
    given = record()
    given[:, 6:] = 0
    found = edited(given, [edit], RATE, length=6)
    assert not found[:, 6:].any()
    assert not np.array_equal(found, given)


def test_dtypes_are_kept():
    assert edited(record(np.float64), [silence(0, 0.2, 0.4)], RATE).dtype == np.float64
    assert edited(record(np.int16), [silence(0, 0.2, 0.4, "mean")], RATE).dtype == np.float32


# --- beats -----------------------------------------------------------------------------------------------------


def test_a_piece_meets_the_record_at_both_ends():
    found = edited(record(np.float64), [piece([7, 9, 9, 11], 1, 0.2, 0.6)], RATE)
    # from 2 to 5 the line is 2, 3, 4, 5; the piece deviates from its own line by 0, 2/3, -2/3, 0
    np.testing.assert_allclose(found[1], [0, 1, 2, 3 + 2 / 3, 4 - 2 / 3, 5, 6, 7, 8, 9], rtol=1e-6)


def test_a_beat_is_cut_from_another_record_and_holds_its_values():
    rng = np.random.default_rng(0)
    signal, other = rng.normal(0, 1, (2, 2, 100)).astype(np.float32)
    edit = blend(other, -1, 0.1, 0.4, 0.5, 100, "b")
    assert json.loads(json.dumps(edit)) == edit
    np.testing.assert_array_equal(unpacked(edit["piece"]), other[:, 50:80])
    mixed = edited(signal, [edit], 100)
    np.testing.assert_allclose(mixed[:, [10, 39]], signal[:, [10, 39]], atol=1e-6)
    np.testing.assert_array_equal(mixed[:, 40:], signal[:, 40:])
    np.testing.assert_array_equal(mixed[:, :10], signal[:, :10])
    bend = np.diff(mixed[:, 10:40].astype(float), 2) - np.diff(other[:, 50:80].astype(float), 2)
    np.testing.assert_allclose(bend, 0, atol=1e-5, err_msg="but for a line it is the other record")
    one = blend(other, 1, 0.1, 0.4, 0.5, 100)
    np.testing.assert_array_equal(edited(signal, [one], 100)[1], mixed[1])
    np.testing.assert_array_equal(edited(signal, [one], 100)[0], signal[0])


def test_a_piece_may_reach_beyond_either_record():
    other = np.arange(10, dtype=np.float32)[None] + 1
    np.testing.assert_array_equal(unpacked(blend(other, 0, 0, 0.4, 9.0, RATE)["piece"]), [[7, 8, 9, 10]])
    np.testing.assert_array_equal(
        unpacked(blend(other[:, :2], 0, 0, 0.4, 0.0, RATE)["piece"]), [[1, 2, 0, 0]]
    )
    found = edited(record(), [piece([1, 5, 9, 13], 1, -0.2, 0.2)], RATE)
    np.testing.assert_allclose(found[1], range(10), err_msg="of two steps both are ends")


# --- in the method ---------------------------------------------------------------------------------------------

ORDERED = ([silence(0, 1.0, 3.0, "mean"), silence(0, 2.0, 4.0)], [{"kind": "mute", "lead": 2}])


@pytest.mark.parametrize("length", [STEPS, 400])
def test_the_network_sees_the_edits_in_their_order(length):
    model, signal = local(), noisy(1, length=length)
    beat = blend(noisy(1, seed=4)[0], -1, 2.5, 4.5, 1.0, NET_RATE)
    edits = [*ORDERED[0], beat, *ORDERED[1]]
    there = explain(model, records(signal), "ecg_clusters", edits=edits)
    back = explain(model, records(signal), "ecg_clusters", edits=edits[::-1])
    by_hand = signal[0].copy()
    for edit in edits:
        by_hand = edited(
            by_hand, [{**edit, "fill": "line"} if edit["kind"] == "silence" else edit], NET_RATE, length
        )
        if edit.get("fill") == "mean":
            by_hand[0, 100:300] = signal[0, 0, :length].mean(dtype=np.float64)
    assert not by_hand[:, length:].any()
    want = explain(model, records(by_hand[None], length=[length]), "ecg_clusters")
    np.testing.assert_allclose(there["logit"], want["logit"], atol=1e-6)
    np.testing.assert_array_equal(there["cluster"], want["cluster"])
    assert np.abs(there["logit"] - back["logit"]).max() > 1e-4
    assert int(there["length"][0]) == length


def test_equal_edits_are_one_variant_and_each_length_has_its_own():
    model, x, method = local(), noisy(1, length=400), EcgClustersMethod()
    plain = method.ask(k=5)
    short = {"kind": "silence", "lead": 1, "start": 1, "stop": 5}
    (seen,) = method.observe(model, x, [plain.replace(edits=[short])], [None])
    assert method.covers(model, seen, plain.replace(edits=[silence(1, 1.0, 5.0)]))
    assert not method.covers(model, seen, plain.replace(edits=[silence(1, 1.0, 5.0, "zero")]))
    assert not method.covers(model, seen, plain.replace(edits=[silence(1, 1.0, 5.0)], length=450))
    assert not method.covers(model, seen, plain)
    with counted(model) as spent:
        method.interpret(model, seen, plain.replace(edits=[short]))
    assert not any(spent.values())


# --- mistakes --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (silence(2, 0.0, 0.1), "lead 2 was given and the record has the leads 0 to 1"),
        (silence(-2, 0.0, 0.1), "lead -2 was given"),
        ({"kind": "mute", "lead": 7}, "lead 7 was given"),
        (silence(0, 0.3, 0.3), "from 0.3 s to 0.3 s was given"),
        (silence(0, float("nan"), 1.0), "from nan s to 1 s was given"),
        (silence(0, 0.0, float("inf")), "give a start and a later stop"),
        (silence(0, 0.0, 0.1, "blur"), "fill 'blur' is not known for signals"),
        ({"kind": "silence", "lead": 0, "start": 0.1}, "give the index of a lead"),
        ({"kind": "silence", "lead": "V1", "start": 0.1, "stop": 1}, "give the index of a lead"),
        ({"kind": "mute", "lead": 0, "fill": "zero"}, "of kind 'mute' has no field 'fill'"),
        ({"kind": "cut"}, "give a dict whose kind is one of mute, silence, blend"),
        ({"kind": ["mute"]}, "give a dict whose kind"),
        ("mute", "'mute' is not an edit"),
        (None, "None is not an edit"),
        ({"kind": "blend", "lead": 0, "start": 0, "stop": 1}, "has no readable piece"),
        (
            {"kind": "blend", "lead": 0, "start": 0, "stop": 1, "piece": "bm8="},
            "has no readable piece",
        ),
        (piece([np.nan] * 5, 0, 0, 0.5), "has no readable piece"),
        (piece(np.zeros((3, 5)), -1, 0, 0.5), r"a beat of 3 lead\(s\) was given for 2 lead"),
        (piece([0] * 4, 0, 0, 0.5), "a beat of 4 steps was given for an interval of 5 steps at 10 Hz"),
    ],
)
def test_mistakes_are_one_sentence(edit, said):
    with pytest.raises(MethodError, match=said) as e:
        edited(record(), [edit], RATE)
    assert str(e.value).endswith(".")
    assert "\n" not in str(e.value)
    assert len(str(e.value)) < 330
