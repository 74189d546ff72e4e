"""Records converted for a model: computed and missing leads, resampling checked against sines, masks mapped."""

from __future__ import annotations

import importlib
import json

import dask.array as da
import numpy as np
import pytest
import xarray as xr

from xai_views.samples import signal_dataset, validate
from xai_views.samples.prepare import back, prepare
from xai_views.samples.signals import LEADS

EIGHT = ["I", "II", "V1", "V2", "V3", "V4", "V5", "V6"]


def sines(rate, seconds=4.0, hz=(3.0, 11.0), offset=0.0):
    time = np.arange(round(rate * seconds)) / rate
    return np.stack([np.sin(2 * np.pi * f * time) + offset for f in hz]).astype(np.float32)


def done(ds) -> dict:
    return {step["step"]: step for step in json.loads(ds.attrs["prepared"])}


@pytest.mark.parametrize(("source", "target"), [(500, 400), (360, 400), (257, 400), (1000, 100), (100, 500)])
def test_a_sine_is_the_same_sine_at_another_rate(source, target):
    ds = prepare(signal_dataset(sines(source, offset=0.7)[None], source, ["I", "II"]), (), target)
    assert ds.attrs["rate"] == target
    np.testing.assert_allclose(np.diff(ds["time"].values), 1 / target)
    inner = slice(target // 4, -target // 4)
    want = sines(target, offset=0.7)[:, : ds.sizes["time"]]
    assert ds.sizes["time"] == want.shape[-1]
    np.testing.assert_allclose(ds["signal"].values[0][:, inner], want[:, inner], atol=0.02)
    # The offset does not ring at the ends, as it would with zeros beyond them.
    assert abs(ds["signal"].values[0, 0, 0] - want[0, 0]) < 0.1
    step = done(ds)["resample"]
    assert step["from_hz"] == source
    assert step["up"] * source == step["down"] * target


def test_what_the_new_rate_cannot_hold_is_filtered_and_not_folded():
    ds = prepare(signal_dataset(sines(500, hz=(3.0, 180.0))[None], 500, ["I", "II"]), (), 250)
    kept, folded = ds["signal"].values[0][:, 100:-100].std(1)
    assert kept == pytest.approx(0.707, abs=0.01)
    assert folded < 0.01  # 180 Hz would alias to 70 Hz


def test_missing_limb_leads_follow_from_i_and_ii():
    signal = np.random.default_rng(0).normal(size=(2, 8, 100)).astype(np.float32)
    ds = prepare(signal_dataset(signal, 100, EIGHT, flag=["", "wet"]), LEADS)
    lead = {x: ds["signal"].sel(lead=x).values for x in LEADS}
    np.testing.assert_allclose(lead["III"], lead["II"] - lead["I"], atol=1e-6)
    # Goldberger's leads sum to zero, and aVF is the mean of II and III.
    np.testing.assert_allclose(lead["aVR"] + lead["aVL"] + lead["aVF"], 0, atol=1e-6)
    np.testing.assert_allclose(lead["aVF"], (lead["II"] + lead["III"]) / 2, atol=1e-6)
    np.testing.assert_array_equal(lead["V6"], signal[:, 7])
    assert ds["present"].values.all()
    assert ds["flag"].values.tolist() == [
        "III, aVR, aVL and aVF are computed from I and II",
        "wet; III, aVR, aVL and aVF are computed from I and II",
    ]
    assert done(ds)["leads"]["derived"] == ["III", "aVR", "aVL", "aVF"]


def test_a_lead_that_one_record_lacks_is_computed_for_that_record_only():
    signal = np.random.default_rng(0).normal(size=(2, 3, 50)).astype(np.float32)
    signal[1, 2] = 0
    present = np.array([[True, True, True], [True, True, False]])
    ds = prepare(signal_dataset(signal, 100, ["I", "II", "III"], present=present), ["III"])
    np.testing.assert_array_equal(ds["signal"].values[0, 0], signal[0, 2])
    np.testing.assert_allclose(ds["signal"].values[1, 0], signal[1, 1] - signal[1, 0], atol=1e-6)
    assert ds["flag"].values.tolist() == ["", "III is computed from I and II"]
    present[1, 0] = False
    ds = prepare(signal_dataset(signal, 100, ["I", "II", "III"], present=present), ["III", "II"])
    assert ds["present"].values.tolist() == [[True, True], [False, True]]
    assert not ds["signal"].values[1, 0].any()


def test_a_missing_lead_is_zeros_and_said(sentence):
    ds = prepare(signal_dataset(sines(100)[None], 100, ["II", "V5"]), ["V5", "V1", "III"])
    assert ds["lead"].values.tolist() == ["V5", "V1", "III"]
    assert ds["present"].values.tolist() == [[True, False, False]]
    assert not ds["signal"].values[0, 1:].any()
    assert ds["flag"].item() == "V1 and III are missing, zeros instead"
    assert done(ds)["leads"]["missing"] == ["V1", "III"]
    with sentence("leads II, V5 and none of V1, V2; open records"):
        prepare(signal_dataset(sines(100)[None], 100, ["II", "V5"]), ["V1", "V2"])


def test_each_record_is_resampled_over_its_own_length():
    signal = np.zeros((2, 1, 1000), np.float32)
    signal[0] = 1
    signal[1, :, :600] = 1
    ds = prepare(signal_dataset(signal, 500, ["I"], length=[1000, 600]), (), 400, 900)
    assert ds["length"].values.tolist() == [800, 480]
    np.testing.assert_allclose(ds["signal"].values[1, 0, :480], 1, atol=0.01)
    assert not ds["signal"].values[1, 0, 480:].any()
    assert done(ds)["pad"] == {"step": "pad", "from_steps": 480, "to_steps": 900, "with": "zeros"}
    cut = prepare(signal_dataset(signal, 500, ["I"], length=[1000, 600]), (), 400, 500)
    assert cut["length"].values.tolist() == [500, 480]
    assert done(cut)["crop"]["from_steps"] == 800
    # Two conversions are both recorded.
    twice = prepare(cut, (), 200)
    assert [s["step"] for s in json.loads(twice.attrs["prepared"])] == ["resample", "crop", "resample"]


def test_only_what_is_kept_is_filtered_and_comes_out_as_if_all_had_been(monkeypatch):
    module = importlib.import_module("xai_views.kinds.signal_preparing")

    seen = []
    plain = module.resampled
    monkeypatch.setattr(module, "resampled", lambda s, *ratio: seen.append(s.shape[-1]) or plain(s, *ratio))
    walk = np.random.default_rng(0).normal(size=(1, 2, 10_000)).cumsum(-1).astype(np.float32) / 50
    ds = signal_dataset(walk, 500, ["I", "II"])
    whole, cut = prepare(ds, (), 400), prepare(ds, (), 400, 1000)
    assert seen[0] == 10_000
    assert seen[1] < 1300
    np.testing.assert_allclose(cut["signal"].values, whole["signal"].values[..., :1000], atol=0.005)


def test_truths_take_the_nearest_step():
    mask = np.zeros((1, 2, 1000), bool)
    mask[0, 0, 300:400] = True  # 0.6 to 0.8 s of I
    landmark = np.zeros((1, 1000), np.int8)
    landmark[0, 500:] = 2
    ds = signal_dataset(sines(500, 2.0)[None], 500, ["I", "II"], mask=mask, landmark=landmark, label=[0])
    new = prepare(ds.assign(age=("sample", [61])), ["III", "II", "V1"], 400, 900)
    assert np.flatnonzero(new["mask"].values[0, 0]).tolist() == list(range(240, 320))
    assert not new["mask"].values[0, 1:].any()
    assert new["landmark"].dtype == np.int8
    assert np.flatnonzero(new["landmark"].values[0]).tolist() == list(range(400, 800))
    assert new["age"].item() == 61
    assert new["label"].item() == 0


def test_lazy_records_stay_lazy_and_come_out_the_same():
    signal = np.random.default_rng(1).normal(size=(5, 2, 500)).astype(np.float32)
    present = np.array([[True, True]] * 4 + [[True, False]])
    eager = signal_dataset(signal, 500, ["I", "II"], present=present, length=[500, 400, 500, 500, 300])
    flags = np.array(["", "a", "", "", "b"])
    touched = []

    def read(block):
        touched.append(len(block))
        return block

    data = da.from_array(signal, chunks=(2, 2, 500)).map_blocks(read, dtype=np.float32, meta=signal[:0])
    late = eager.assign(
        signal=(("sample", "lead", "time"), data),
        present=(("sample", "lead"), da.from_array(present, chunks=(2, 2))),
        flag=("sample", da.from_array(flags, chunks=2)),
    )
    new = prepare(late, LEADS, 400, 450)
    assert not touched
    want = prepare(eager.assign(flag=("sample", flags)), LEADS, 400, 450)
    assert new["signal"].isel(sample=4).values.shape == (12, 450)
    assert touched == [1]
    xr.testing.assert_allclose(new.compute(), want)
    assert want["flag"].values[3].startswith("III, aVR, aVL and aVF are computed from I and II; V1, V2")
    assert want["flag"].values[4].startswith("b; III, aVR, aVL, aVF, V1, V2")
    validate(want)


def test_back_to_the_record():
    ds = signal_dataset(sines(500, 3.0)[None], 500, ["I", "II"])
    new = prepare(ds, (), 400, 1000)  # 2.5 of 3 s
    ids = (new["time"] >= 1.0).astype(np.int64).expand_dims("sample")
    there = back(ids, ds)
    assert there.sizes["time"] == 1500
    assert there.dtype == np.int64
    values = there.values[0]
    assert (values[: 500 - 1] == 0).all()
    assert (values[501:1250] == 1).all()
    assert (values[1252:] == -1).all()
    ramp = back((new["time"] * 1.0).expand_dims("sample"), ds).values[0]
    np.testing.assert_allclose(ramp[:1248], ds["time"].values[:1248], atol=1e-9)
    assert np.isnan(ramp[1252:]).all()


def test_signal_there_and_back():
    ds = signal_dataset(sines(500)[None], 500, ["I", "II"])
    there = back(prepare(ds, (), 400)["signal"], ds)
    inner = slice(200, -200)
    np.testing.assert_allclose(there.values[..., inner], ds["signal"].values[..., inner], atol=0.02)


def test_refusals(sentence):
    ds = signal_dataset(sines(100)[None], 100, ["I", "II"])
    with sentence("without 'signal'"):
        prepare(xr.Dataset())
    with sentence("rate 0 is not possible"):
        prepare(ds, (), 0)
    for rate in (1e-9, 1e9):
        with sentence("cannot be resampled to 1e.09 Hz"):
            prepare(ds, (), rate)
    for steps in (0, 2.5, True):
        with sentence("steps are not possible"):
            prepare(ds, (), None, steps)
    with sentence("contain a name twice"):
        prepare(ds, ["I", "DI"])
    with sentence("give a last dimension 'time'"):
        back(ds["signal"].transpose("time", "lead", "sample"), ds)
