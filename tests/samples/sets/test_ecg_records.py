"""Composed ECG records: leads follow Einthoven, changes lie within the masks, deterministic for a seed."""

from __future__ import annotations

import numpy as np
import pytest

from xai_views.samples import open_samples
from xai_views.samples.sets.ecg.composing import ANTERIOR, CLASSES, STEPS, compose
from xai_views.samples.sets.ecg.samples import packed, unpacked
from xai_views.samples.sets.ecg.templates import BEFORE, RATE, r_peaks
from xai_views.samples.signals import LANDMARKS, LEADS


def record(beat, kind, level=0, seed=0):
    return compose(kind, level, beat, np.random.default_rng(seed))


@pytest.mark.parametrize("kind", CLASSES)
@pytest.mark.parametrize("level", [0, 1, 2])
def test_leads_obey_einthoven_and_goldberger(beat, kind, level):
    s = dict(zip(LEADS, record(beat, kind, level).signal.astype(float), strict=True))
    np.testing.assert_allclose(s["III"], s["II"] - s["I"], atol=1e-6)
    np.testing.assert_allclose(s["aVR"] + s["aVL"] + s["aVF"], 0, atol=1e-6)
    np.testing.assert_allclose(s["aVF"], (s["II"] + s["III"]) / 2, atol=1e-6)


@pytest.mark.parametrize("kind", CLASSES)
def test_the_same_seed_gives_the_same_record(beat, kind):
    one, two, other = (record(beat, kind, 1, seed) for seed in (3, 3, 4))
    np.testing.assert_array_equal(one.signal, two.signal)
    assert not np.array_equal(one.signal, other.signal)


def test_waves_lie_where_the_landmarks_say(beat):
    r = record(beat, "normal")
    found = r_peaks(r.signal[[1, 7]].astype(float))
    inside = [i for i in r.peaks if 40 < i < STEPS - 40]
    assert all(np.abs(found - i).min() <= 3 for i in inside)
    size = np.abs(r.signal[1])
    mean = {name: size[r.landmark == i].mean() for i, name in enumerate(LANDMARKS)}
    assert mean["QRS"] > 3 * mean["T"] > 3 * mean["TP"]
    assert mean["P"] > 1.5 * mean["TP"]


def test_fibrillation_has_no_p_and_irregular_beats(beat):
    irregular, regular = record(beat, "atrial fibrillation"), record(beat, "normal")
    assert not (irregular.landmark == LANDMARKS.index("P")).any()
    spread = [np.std(np.diff(r.peaks)) / np.mean(np.diff(r.peaks)) for r in (irregular, regular)]
    assert spread[0] > 2 * spread[1]
    assert irregular.mask.all(0)[irregular.landmark == LANDMARKS.index("TP")].all()
    assert not regular.mask.any()


def test_st_is_lifted_in_the_anterior_leads_only(beat):
    r = record(beat, "anterior ST elevation")
    st = r.mask.any(0)
    assert set(np.flatnonzero(r.mask.any(1))) == set(ANTERIOR)
    lift = [(r.signal[i, st & (r.landmark == 0)]).mean() for i in range(12)]
    assert min(lift[i] for i in ANTERIOR) > 0.08
    assert max(abs(lift[i]) for i in range(6)) < 0.06


def test_wide_qrs_is_wide(beat):
    width = {
        k: (record(beat, k).landmark == LANDMARKS.index("QRS")).sum() / len(record(beat, k).peaks)
        for k in CLASSES[::3]
    }
    assert width["wide QRS"] > 1.4 * width["normal"]


def test_premature_beats_come_early_and_a_pause_follows(beat):
    r = record(beat, "premature beats")
    gaps = np.diff(r.peaks)
    usual = np.median(gaps)
    early = np.flatnonzero(gaps < 0.8 * usual)
    assert 1 <= len(early) <= 3
    for i in early:
        assert r.mask[:, r.peaks[i + 1]].all()
        assert gaps[i + 1] > 1.2 * usual
    assert r.mask.mean() < 0.3


def test_what_is_written_is_what_is_read(beat):
    made = [record(beat, k, 2, 9) for k in CLASSES]
    arrays = {k: np.stack([getattr(r, k) for r in made]) for k in ("signal", "mask", "landmark")}
    arrays |= {"label": np.arange(5), "difficulty": np.full(5, 2, np.int8)}
    back = unpacked(packed(arrays))
    np.testing.assert_allclose(back["signal"], arrays["signal"], atol=1e-5)
    for key in ("mask", "landmark", "label", "difficulty"):
        np.testing.assert_array_equal(back[key], arrays[key])


def test_the_shipped_records():
    ds = open_samples("ecg/test")
    assert ds.attrs["synthetic"] == 1
    assert ds.attrs["rate"] == 400
    assert dict(ds.sizes) == {"sample": 150, "lead": 12, "time": 4000}
    assert np.bincount(ds["label"]).tolist() == [30] * 5
    assert np.bincount(ds["difficulty"]).tolist() == [50] * 3
    assert 0.3 < float(np.abs(ds["signal"]).max(("time", "lead")).median()) < 5
    assert not ds["mask"].values[ds["label"].values == 0].any()
    assert 40 < len(np.unique(ds["person"])) <= 60
    train = open_samples("ecg/train")
    assert len(train["person"]) == 2500
    assert ds["mask"].values[ds["label"].values > 0].any((1, 2)).all()


def test_beats_of_the_generative_network_are_cut_into_their_waves():
    pytest.importorskip("deepfakeecg")
    from xai_views.samples.sets.ecg.templates import templates

    for t in templates(4, 3):
        (p0, p1), (q0, q1), (t0, t1) = (t.spans[k] for k in ("P", "QRS", "T"))
        assert p0 < p1 < q0 < 0 < q1 < t0 < t1
        assert 40 < (q1 - q0) * 2.5 < 130
        for wave, (a, b) in ((t.p, (p0, p1)), (t.qrs, (q0, q1)), (t.t, (t0, t1))):
            outside = np.ones(wave.shape[1], bool)
            outside[int(BEFORE * RATE) + a : int(BEFORE * RATE) + b + 1] = False
            assert not wave[:, outside].any()
            assert np.abs(wave).max() > 0.03
