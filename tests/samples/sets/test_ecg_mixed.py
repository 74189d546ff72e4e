"""Records with two findings: changes lie within the masks; labels, laziness, determinism."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from xai_views.errors import SamplesError
from xai_views.samples import inputs, open_samples, signal_dataset
from xai_views.samples.prepare import prepare
from xai_views.samples.sets.ecg import mixed as ecg_mixed
from xai_views.samples.sets.ecg.composing import (
    AF,
    CLASSES,
    ELEVATION,
    PREMATURE,
    STEPS,
    WIDE,
    drawn,
    placed,
    twelve,
)
from xai_views.samples.sets.ecg.mixed import PAIRS, RECORDS, mixed_record, senseless, without
from xai_views.samples.sets.ecg.templates import RATE

#: Both records are rounded to 5 uV in I and II, and III is their difference.
ROUNDING = 0.0101
CASES = [
    (pair, finding, level)
    for pair in PAIRS
    for finding in sorted(pair)
    for level in range(3)
    if not senseless(pair, level)
]


def heart(findings, level, seed=5):
    return drawn(findings, level, np.random.default_rng(seed), apart=True)


def wider(mask: np.ndarray, steps: int) -> np.ndarray:
    """Extend a mask over time by some steps at both ends of each interval."""
    return np.convolve(mask, np.ones(2 * steps + 1), "same") > 0


def affected(mask: np.ndarray, finding: str, level: int, own) -> np.ndarray:
    """``[12, 4000]`` the mask with two steps at its ends, plus samples that a finding moves without marking them."""
    out = np.stack([wider(lead, 2) for lead in mask])
    if finding == WIDE and level == 2:  # T is delayed as much as the end of QRS
        for at in own.times:
            out[:, max(0, int(at * RATE)) : int((at + 0.55) * RATE)] = True
    if finding == PREMATURE:  # the regular beat is missing from its P on, and T is longer after the pause
        for i in np.flatnonzero(own.early):
            out[:, int((own.times[i] - 0.2) * RATE) : int((own.times[i + 1] + 0.55) * RATE)] = True
    if finding == AF:  # a P that would overlap T is missing there
        for at in own.times:
            out[:, max(0, int((at - 0.2) * RATE)) : max(0, int((at - 0.1) * RATE) + 1)] = True
    return out


@pytest.mark.parametrize(("pair", "finding", "level"), CASES)
@pytest.mark.parametrize("seed", [5, 6])
def test_a_finding_changes_the_record_where_its_truth_lies(beat, pair, finding, level, seed):
    own = heart(pair, level, seed)
    here = placed(own, beat)
    mask = here.class_mask[CLASSES.index(finding)]
    if finding == AF:  # the same beats with P and without the waves: another rhythm would move all beats
        there = placed(replace(own, findings=pair - {AF}, fibrillation=None), beat)
        waves = twelve(own.fibrillation)
    else:
        there = placed(heart(pair - {finding}, level, seed), beat)
        waves = 0.0
    changed = np.abs(here.signal - there.signal - waves)
    assert mask.any()
    assert changed[~affected(mask, finding, level, own)].max() < ROUNDING
    assert changed[mask].max() > 2 * ROUNDING
    assert (
        np.abs(here.signal - there.signal)[mask] > 0.004
    ).mean() > 0.6  # the mask contains few unchanged samples
    leads = np.flatnonzero(mask.any(1))
    assert (changed[leads].max(1, where=mask[leads], initial=0) > ROUNDING).all()


def test_evidence_of_one_finding_is_silent_about_the_other(beat):
    both = placed(heart({ELEVATION, PREMATURE}, 0), beat)
    lifted, early = (both.class_mask[CLASSES.index(c)] for c in (ELEVATION, PREMATURE))
    assert not (lifted & early).any()  # a ventricular beat is not lifted
    assert not both.class_mask[CLASSES.index(WIDE)].any()
    assert not both.class_mask[0].any()
    np.testing.assert_array_equal(both.mask, lifted | early)


def test_a_stretched_qrs_begins_where_its_wave_begins(beat):
    own = heart({WIDE}, 0)
    here = placed(own, beat)
    mask = here.class_mask[CLASSES.index(WIDE)].any(0)
    begins = np.flatnonzero(np.diff(mask.astype(int)) == 1) + 1
    usual = 0.04 * RATE  # steps from the begin of a usual QRS to R
    before = here.peaks - begins[np.searchsorted(begins, here.peaks) - 1]
    assert before[1:] == pytest.approx(own.widen * usual, abs=1)  # the first may have begun before the record


def test_a_premature_beat_in_fibrillation_comes_after_the_ventricles_have_recovered(beat):
    for seed in range(20):
        own = heart({AF, PREMATURE}, 0, seed)
        before = np.diff(own.times)[np.flatnonzero(own.early) - 1]
        assert len(before)
        assert before.min() > 0.3


def test_which_records_there_are():
    counts = Counter(RECORDS)
    assert len(RECORDS) == 60
    assert {pair: sum(counts[pair, level] for level in range(3)) for pair in PAIRS} == {
        pair: 6 if pair == {AF, PREMATURE} else 9 for pair in PAIRS
    }
    assert not counts[frozenset({AF, PREMATURE}), 2]
    assert sum(n for (classes, _), n in counts.items() if len(classes) == 1) == 9


@pytest.fixture(scope="module")
def mixed():
    pytest.importorskip("deepfakeecg")
    return open_samples("ecg/mixed")


def test_records_are_composed_when_they_are_looked_at(mixed):
    before = mixed_record.cache_info()
    again = open_samples("ecg/mixed")
    prepare(again, (), 400, 4096)
    assert mixed_record.cache_info() == before
    assert all(again[k].chunks[0] == (1,) * 60 for k in ("signal", "mask", "landmark", "class_mask"))
    inputs(again, [57])
    assert mixed_record.cache_info().misses <= before.misses + 1


def test_labels_say_what_the_truth_shows(mixed):
    shown = mixed["class_mask"].any(("lead", "time")).values
    label = mixed["label"].values
    np.testing.assert_array_equal(shown[:, 1:], label[:, 1:] == 1)
    assert not shown[:, 0].any()
    assert [{c for c, y in zip(CLASSES, row, strict=True) if y} for row in label] == [
        set(c) for c, _ in RECORDS
    ]
    np.testing.assert_array_equal(mixed["mask"].values, mixed["class_mask"].any("class").values)
    assert mixed["difficulty"].values.tolist() == [level for _, level in RECORDS]


def test_the_same_record_every_time(mixed):
    first = inputs(mixed, [3, 8])
    mixed_record.cache_clear()
    np.testing.assert_array_equal(inputs(open_samples("ecg/mixed"), [8, 3])[::-1], first)
    assert np.abs(first).max() > 0.3
    other = without(3, min(RECORDS[3][0]))
    assert other.class_mask.any((1, 2)).sum() == 1
    assert not np.array_equal(other.signal, first[0])
    assert ecg_mixed.persons(60, ecg_mixed.PEOPLE, ecg_mixed.SEED).tolist() == mixed["person"].values.tolist()


def test_the_truth_of_each_class_is_carried_to_what_a_model_takes(mixed):
    few = mixed.isel(sample=[0, 1])
    ready = prepare(few, ("V2", "I"), 200, 2048)
    assert ready["class_mask"].sizes == {"sample": 2, "class": 5, "lead": 2, "time": 2048}
    np.testing.assert_array_equal(
        ready["class_mask"].values[..., : STEPS // 2],
        few["class_mask"].sel(lead=["V2", "I"]).values[..., ::2],
    )
    assert not ready["class_mask"].values[..., STEPS // 2 :].any()


def test_a_truth_that_does_not_fit_the_classes_is_refused():
    with pytest.raises(SamplesError, match=r"'class_mask' came as .*'class': 3.* 2 classes"):
        signal_dataset(
            np.zeros((1, 1, 5)),
            100,
            ["I"],
            [0],
            classes=["a", "b"],
            class_mask=np.zeros((1, 3, 1, 5), bool),
        )


def test_records_that_are_composed_side_by_side_draw_the_beats_once(mixed, monkeypatch):
    from xai_views.samples.sets.ecg import drawing as ecg_drawing

    drawn_beats, calls = ecg_drawing.templates, []
    monkeypatch.setattr(ecg_drawing, "templates", lambda *a: calls.append(a) or drawn_beats(*a))
    ecg_drawing._drawn_beats.cache_clear()
    mixed_record.cache_clear()
    mixed["signal"].isel(sample=slice(0, 8)).data.compute(scheduler="threads", num_workers=4)
    assert calls == [(ecg_mixed.PEOPLE, ecg_mixed.SEED)]
