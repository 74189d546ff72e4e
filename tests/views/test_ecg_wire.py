"""Records in the wire format: decoded exactly, small while scrubbing, invalid ones refused with one sentence."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from xai_views.errors import XaiViewsError
from xai_views.views.ecg_paper import wire
from xai_views.views.ecg_paper.layout import LEADS
from xai_views.views.ecg_paper.record import Interval, Record, intervals, record_of
from xai_views.views.wire import decode_header, stamp


def noise(steps=4096, leads=12, seed=0, size=1.0):
    """Whole microvolts, as mV."""
    micro = np.random.default_rng(seed).normal(0, 1000 * size, (leads, steps)).round()
    return (micro / 1000).astype(np.float32)


def full_record(**change):
    rng = np.random.default_rng(1)
    return Record(**{
        "id": "r1", "leads": LEADS, "rate": 400.0, "signal": noise(), "cluster": rng.integers(-1, 9, 256),
        "entropy": rng.uniform(0, 1, 256), "step": 0.04, "offset": -0.02, "names": ("P", "QRS"),
        "contribution": rng.normal(0, 0.1, (12, 512)), "contribution_step": 0.02, "totals": tuple(rng.normal(0, 1, 12)),
        "target": "wide QRS", "truth": (Interval(3, 1.0, 1.5, "QRS"),), "title": "ecg/test", "flag": "V3 is missing",
        "synthetic": True, "present": (True,) * 11 + (False,), **change,
    })  # fmt: skip


def test_whole_microvolts_come_back_exactly():
    record = full_record()
    sent = wire.read(wire.encode(record, "r1|c"))
    assert (sent.key, sent.full, sent.start, sent.bins) == ("r1|c", True, 0, 0)
    np.testing.assert_array_equal(sent.signal.astype(np.float32), record.signal)
    np.testing.assert_array_equal(sent.cluster, record.cluster)
    assert np.abs(sent.entropy - record.entropy).max() <= 0.5 / 255 + 1e-12
    assert np.abs(sent.contribution - record.contribution).max() <= record.bound / 254 + 1e-12
    assert sent.about["contribution"]["totals"] == pytest.approx(record.totals)
    assert sent.about["truth"] == [[3, 1.0, 1.5, "QRS"]]
    assert sent.about["present"] == list(record.present)
    assert (sent.about["flag"], sent.about["synthetic"], sent.about["rate"]) == ("V3 is missing", True, 400)


@pytest.mark.parametrize("peak", [0.0, 5.0, 32.767, 32.7671, 400.0])
def test_one_scale_for_a_record_declared_in_whole_microvolts(peak):
    signal = np.zeros((2, 50), np.float32)
    signal[1, 7], signal[0] = -peak, 0.0004
    codes, scale = wire.microvolts(signal)
    assert codes.dtype == np.int16
    assert isinstance(scale, int)
    assert scale == max(1, int(np.ceil(np.float32(peak).astype(float) * 1000 / 32767)))
    sent = wire.read(wire.encode(Record("r", ("I", "II"), 100.0, signal)))
    assert np.abs(sent.signal - signal).max() <= scale / 2 * 1e-3 + 1e-9


def test_padding_is_not_sent():
    sent = wire.read(wire.encode(full_record(length=1000)))
    assert sent.signal.shape == (12, 1000)
    assert sent.about["steps"] == 1000


def test_a_coarse_frame_keeps_every_peak_and_the_order_of_extremes():
    record = full_record()
    sent = wire.read(wire.encode(record, full=False))
    assert not sent.full
    assert sent.bins == wire.COARSE // 48
    signal, bins = record.signal.astype(float), sent.bins
    for b in range(bins):
        part = signal[:, b * 4096 // bins : (b + 1) * 4096 // bins]
        pair = sent.signal[:, 2 * b : 2 * b + 2]
        np.testing.assert_allclose(pair.min(1), part.min(1), atol=1e-9)
        np.testing.assert_allclose(pair.max(1), part.max(1), atol=1e-9)
        np.testing.assert_array_equal(pair[:, 0] <= pair[:, 1], part[:, 0] <= part[:, -1])


@pytest.mark.parametrize("steps", [4096, 60_000])
def test_a_step_with_twelve_leads_and_everything_explained_is_at_most_40_kb(steps):
    rng = np.random.default_rng(2)
    record = full_record(
        signal=noise(steps), cluster=rng.integers(-1, 300, (12, steps)), entropy=rng.uniform(0, 1, (12, steps)),
        contribution=rng.normal(0, 1, (12, steps)), names=tuple(f"cluster {i}" for i in range(12)),
    )  # fmt: skip
    assert len(wire.encode(record, full=False)) <= 40_000
    assert len(wire.encode(record, full=True)) > 40_000


def test_coarse_contributions_are_means_and_coarse_ids_are_ids():
    record = full_record(cluster=np.arange(10_000) % 7, entropy=None, contribution=np.arange(10_000.0))
    header = decode_header(wire.encode(record, full=False))
    strides = {entry["layer"]: entry.get("stride") for entry in header["maps"]}
    assert strides == {"signal": None, "cluster": 4, "contribution": 4}
    sent = wire.read(wire.encode(record, full=False))
    np.testing.assert_array_equal(sent.cluster[0], np.arange(0, 10_000, 4) % 7)
    assert np.abs(sent.contribution[0] - (np.arange(0, 10_000, 4) + 1.5)).max() <= 9999 / 254 + 1e-9


def test_means_of_leftovers():
    np.testing.assert_allclose(wire.averaged(np.arange(7.0)[None], 3), [[1, 4, 6]])
    np.testing.assert_allclose(wire.averaged(np.arange(3.0)[None], 1), [[0, 1, 2]])


def test_a_short_record_is_complete_at_once():
    sent = wire.read(wire.encode(full_record(signal=noise(600), length=None), full=False))
    assert sent.full
    assert sent.signal.shape == (12, 600)


def test_of_a_long_record_the_full_frame_holds_what_is_in_view():
    leads, rate = ("MLII", "V1"), 360.0
    signal = noise(700_000, 2)
    record = Record("100", leads, rate, signal)
    sent = wire.read(wire.encode(record, window=(1000.0, 1010.0)))
    first, last = sent.start, sent.start + sent.signal.shape[1]
    assert first / rate < 1000 < 1010 < last / rate
    np.testing.assert_allclose(sent.signal, signal[:, first:last], atol=1e-6)
    at_end = wire.read(wire.encode(record, window=(1940.0, 1950.0)))
    assert at_end.start + at_end.signal.shape[1] == 700_000


def test_the_frame_can_be_stamped_and_says_a_sentence():
    data = stamp(wire.encode(full_record(), "k"), 77)
    header = decode_header(data)
    assert (header["seq"], header["key"]) == (77, "k")
    assert header["text"].startswith("r1: 12 leads, 10.2 s, 9 clusters")
    assert header["text"].endswith("V3 is missing")
    wanted = wire.microvolts(full_record().signal[1:2])[0]
    line = header["overview"]
    assert (min(line), max(line)) == (wanted.min(), wanted.max())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"signal": noise(leads=3)}, "3, 4096"),
        ({"signal": np.full((12, 5), np.nan)}, "no numbers"),
        ({"rate": 0.0}, "positive"),
        ({"length": 5000}, "1 to 4096"),
        ({"present": (True,)}, "1 values for 12 leads"),
        ({"totals": (1.0, 2.0)}, "2 values for 12 leads"),
        ({"cluster": np.zeros((5, 9), int), "entropy": None}, "5, 9"),
        ({"cluster": np.zeros(256)}, "integer ids"),
        ({"entropy": np.zeros(9)}, "same shape"),
        ({"entropy": np.full(256, 1.2)}, r"\[0, 1\]"),
        ({"step": 0.0}, "step"),
        ({"contribution": np.full((1, 4), np.inf)}, "no numbers"),
        ({"contribution_step": 0.0}, "contribution_step"),
        ({"limit": -1.0}, "limit"),
    ],
)
def test_what_is_no_record_is_said(change, words):
    with pytest.raises(XaiViewsError, match=words):
        full_record(**change)


def test_other_bytes_are_refused():
    from xai_views.views import Frame

    with pytest.raises(XaiViewsError, match="no ECG record"):
        wire.read(Frame("x").to_bytes())


def samples():
    mask = np.zeros((2, 2, 100), bool)
    mask[1, :, 10:20] = True
    mask[1, 1, 50:60] = True
    return xr.Dataset(
        {"signal": (("sample", "lead", "time"), noise(100, 4).reshape(2, 2, 100)), "name": ("sample", ["a", "b"]),
         "length": ("sample", [100, 90]), "present": (("sample", "lead"), [[True, True], [True, False]]),
         "flag": ("sample", ["", "II is clipped"]), "mask": (("sample", "lead", "time"), mask)},
        {"lead": ["I", "II"], "time": np.arange(100) / 50}, {"rate": 50.0, "title": "toys", "synthetic": 1},
    )  # fmt: skip


def test_a_record_of_samples():
    ds = samples()
    record = record_of(ds, 1, target="x")
    assert (record.id, record.leads, record.rate, record.steps) == ("b", ("I", "II"), 50.0, 90)
    assert (record.seconds, record.flag, record.title, record.synthetic) == (
        1.8,
        "II is clipped",
        "toys",
        True,
    )
    assert record.truth == (Interval(-1, 0.2, 0.4), Interval(1, 1.0, 1.2))
    assert [record.missing(i) for i in (0, 1)] == [False, True]
    np.testing.assert_array_equal(record.signal, ds["signal"].values[1])
    with pytest.raises(XaiViewsError, match="colour"):
        record_of(ds, 0, colour="red")
    with pytest.raises(XaiViewsError, match="signal"):
        record_of(ds.drop_vars("signal"))


def test_intervals_of_one_lead_keep_their_lead():
    mask = np.array([[1, 1, 0, 0, 1]], bool)
    assert intervals(mask, 10.0, "QRS") == (Interval(0, 0.0, 0.2, "QRS"), Interval(0, 0.4, 0.5, "QRS"))


def test_more_than_can_be_sent_step_by_step_comes_as_extremes():
    record = Record("100", ("MLII", "V1"), 360.0, noise(700_000, 2))
    sent = wire.read(wire.encode(record, window=(0.0, 1900.0)))
    assert sent.full
    assert sent.signal.shape == (2, 2 * sent.bins) == (2, wire.FULL // 2)
    assert sent.signal.max() == pytest.approx(record.signal.max(), abs=1e-6)
