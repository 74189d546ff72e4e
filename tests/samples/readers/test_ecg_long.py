"""A day of ECG: opened at once, panned from disk, drawn whole from a pyramid that covers every extreme."""

from __future__ import annotations

import numpy as np
import pytest

from xai_views.samples import signal_dataset
from xai_views.samples.readers import long_record as ecg_long
from xai_views.samples.readers.ecg_files import is_ecg, open_ecg
from xai_views.samples.readers.long_record import LongRecord, open_long

pytest.importorskip("wfdb")

RATE, HOURS, GAIN = 250, 24, 200
BEAT = np.exp(-0.5 * ((np.arange(250) - 100) / 4) ** 2)


@pytest.fixture(scope="module")
def day(tmp_path_factory):
    """24 hours, two leads, 250 Hz, int16: a beat a second, one of them of 3 mV at 13 h; a minute without values."""
    folder = tmp_path_factory.mktemp("holter")
    beat = np.rint(np.stack([BEAT, -0.5 * BEAT], 1) * GAIN).astype("<i2")
    hour = np.tile(beat, (3600, 1))
    with (folder / "day.dat").open("wb") as file:
        for h in range(HOURS):
            now = hour.copy()
            if h == 13:
                now[RATE * 1800 : RATE * 1801] *= 3
            if h == 20:
                now[: RATE * 60, 1] = -32768  # "no value" of format 16
            file.write(now.tobytes())
    steps = HOURS * 3600 * RATE
    lines = [
        f"day 2 {RATE} {steps}",
        f"day.dat 16 {GAIN} 16 0 0 0 0 MLII",
        f"day.dat 16 {GAIN} 16 0 0 0 0 V5",
    ]
    (folder / "day.hea").write_text("\n".join(lines) + "\n")
    return folder / "day"


@pytest.fixture
def counted(monkeypatch):
    """Count the steps read from a file."""
    seen = []
    plain = ecg_long.read_steps

    def read(header, start, stop):
        seen.append(stop - start)
        return plain(header, start, stop)

    monkeypatch.setattr(ecg_long, "read_steps", read)
    return seen


def test_a_day_opens_without_being_read_and_pans(day, counted, sentence):
    record = open_long(day)
    assert (record.leads, record.rate, record.duration) == (("MLII", "V5"), 250.0, 86400.0)
    assert not counted
    low, high = record.window(13 * 3600 + 1798, 13 * 3600 + 1803, 1250)
    assert counted == [1250]
    assert low.shape == high.shape == (2, 1250)
    np.testing.assert_array_equal(low, high)  # one step per column
    assert high[0].max() == pytest.approx(3.0, abs=0.01)
    assert np.argmax(high[0]) == 2 * 250 + 100
    assert low[1].min() == pytest.approx(-1.5, abs=0.01)

    # The whole day: one pass over the file, then none.
    low, high = record.window(0, record.duration, 1440)
    assert sum(counted) == 1250 + 86400 * 250
    assert max(counted) <= ecg_long.CHUNK
    assert sum(level.nbytes for level in record._levels) < 7.5e6
    minute = 13 * 60 + 30
    assert high[0][minute] == pytest.approx(3.0, abs=0.01)
    assert np.flatnonzero(high[0] > 2).tolist() in ([minute], [minute - 1, minute])
    np.testing.assert_allclose(np.delete(high[0], [minute - 1, minute]), 1.0, atol=0.01)
    record.window(3600, 20 * 3600, 700)
    assert sum(counted) == 1250 + 86400 * 250
    # A minute without values has no extremes.
    low, high = record.window(20 * 3600 + 5, 20 * 3600 + 55, 10)
    assert np.isnan(low[1]).all()
    assert np.isfinite(low[0]).all()
    with sentence("lasts 24.0 h .*open_long"):
        open_ecg(day)
    assert is_ecg(day)


def test_a_stretch_of_it_is_a_sample(day, sentence):
    record = open_long(day)
    ds = record.cut(13 * 3600 + 1795, 13 * 3600 + 1805)
    assert ds["signal"].shape == (1, 2, 2500)
    assert float(ds["signal"].max()) == pytest.approx(3.0, abs=0.01)
    assert ds.attrs["start_s"] == 13 * 3600 + 1795
    assert ds["name"].item() == "day-48595.00s"
    gap = record.cut(20 * 3600, 20 * 3600 + 10)
    assert gap["present"].values.tolist() == [[True, False]]
    assert "V5 has no values" in gap["flag"].item()
    for start, stop in ((-1, 5), (5, 5), (86399, 86401)):
        with sentence("choose times within it"):
            record.cut(start, stop)
    with sentence("a sample holds at most 3600"):
        record.cut(0, 4000)


@pytest.mark.parametrize("steps", [1, 7, 100])
@pytest.mark.parametrize("span", [(0.0, 4000.0), (17.3, 3011.9), (-500.0, 500.0), (3999.0, 5000.0)])
def test_every_column_covers_its_extremes_and_little_more(steps, span):
    values = np.random.default_rng(0).normal(size=(2, 40_013)).astype(np.float32)
    values[1, 5000:30_000] = np.nan
    record = LongRecord("noise", ("I", "II"), 10.0, values.shape[1], lambda a, b: values[:, a:b])
    low, high = record.window(*span, steps)
    width = (span[1] - span[0]) * 10 / steps
    for k in range(steps):
        a, b = span[0] * 10 + k * width, span[0] * 10 + (k + 1) * width
        inner = values[:, max(int(np.ceil(a)), 0) : max(int(np.floor(b)), 0)]
        more = width / 4 + 1
        outer = values[:, max(int(a - more), 0) : max(int(np.ceil(b + more)), 0)]
        for lead in range(2):
            wide, narrow = outer[lead][np.isfinite(outer[lead])], inner[lead][np.isfinite(inner[lead])]
            if not wide.size:
                assert np.isnan(low[lead, k])
                assert np.isnan(high[lead, k])
            elif narrow.size:
                assert wide.min() <= low[lead, k] <= narrow.min()
                assert narrow.max() <= high[lead, k] <= wide.max()


def test_building_says_how_far_it_is_and_can_be_ended():
    values = np.zeros((1, 3 * ecg_long.CHUNK), np.float32)
    record = LongRecord("zeros", ("I",), 250.0, values.shape[1], lambda a, b: values[:, a:b])
    said = []

    def stop(done, total):
        said.append((done, total))
        if done > ecg_long.CHUNK:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        record.build(stop)
    assert said == [(ecg_long.CHUNK, values.shape[1]), (2 * ecg_long.CHUNK, values.shape[1])]
    assert not record.built
    record.build()
    assert record.built


def test_a_zarr_is_read_in_parts(tmp_path, sentence):
    values = np.random.default_rng(0).normal(size=(1, 2, 5000)).astype(np.float32)
    ds = signal_dataset(values, 250, ["I", "II"], name=["one"])
    ds.chunk(time=1000).to_zarr(tmp_path / "one.zarr")
    record = open_long(tmp_path / "one.zarr")
    low, _ = record.window(4, 6, 500)
    np.testing.assert_array_equal(low, values[0, :, 1000:1500])
    signal_dataset(np.concatenate([values] * 2), 250, ["I", "II"]).to_zarr(tmp_path / "two.zarr")
    with sentence("holds 2 records"):
        open_long(tmp_path / "two.zarr")


def test_refusals(day, tmp_path, sentence):
    record = open_long(day)
    for start, stop in ((5, 5), (6, 5), (0, np.nan)):
        with sentence("its end should be after its start"):
            record.window(start, stop, 10)
    for steps in (0, -1, 2.5, True):
        with sentence("columns is not possible"):
            record.window(0, 1, steps)
    with sentence("there is no record"):
        open_long(tmp_path / "none")
    (tmp_path / "table.csv").write_text("I\n1\n")
    with sentence("cannot be read in parts"):
        open_long(tmp_path / "table.csv")
