"""A day of ECG in the app: opened without reading it, panned from disk, explained one window at a time."""

from __future__ import annotations

import asyncio
import struct

import numpy as np
import pytest

from xai_views import apps
from xai_views.samples.readers import long_record as ecg_long
from xai_views.views.long_strip.long_strip import LongStrip, encode
from xai_views_dashboard.core.panel import Closed
from xai_views_dashboard.ecg.app import EcgApp
from xai_views_dashboard.ecg.long_record import LongPanel, clock, shared

RATE, HOURS, GAIN = 250, 24, 200
STEPS = HOURS * 3600 * RATE


@pytest.fixture(scope="module")
def day(tmp_path_factory):
    """24 hours, MLII and V5 at 250 Hz: in each second a beat of MLII as tall in 1/100 mV as the hour plus 100."""
    folder = tmp_path_factory.mktemp("day")
    shape = np.exp(-0.5 * ((np.arange(RATE) - 100) / 4) ** 2)
    with (folder / "day.dat").open("wb") as file:
        for hour in range(HOURS):
            beat = np.rint(np.stack([shape * (1 + hour / 100), -0.5 * shape], 1) * GAIN).astype("<i2")
            file.write(np.tile(beat, (3600, 1)).tobytes())
    lines = [
        f"day 2 {RATE} {STEPS}",
        f"day.dat 16 {GAIN} 16 0 0 0 0 MLII",
        f"day.dat 16 {GAIN} 16 0 0 0 0 V5",
    ]
    (folder / "day.hea").write_text("\n".join(lines) + "\n")
    return str(folder / "day")


@pytest.fixture
def read(monkeypatch):
    """How many steps each reading of the file took."""
    seen = []
    plain = ecg_long.read_steps

    def counted(header, start, stop):
        seen.append(stop - start)
        return plain(header, start, stop)

    monkeypatch.setattr(ecg_long, "read_steps", counted)
    shared.cache_clear()
    return seen


@pytest.fixture
def app(day, read):
    return EcgApp(*apps.opened("ecg-resnet", day))


def panel(app) -> LongPanel:
    return next(p for p in app.panels if p.title == "Long record")


def shown(raw: bytes):
    """Start, seconds, least and largest values of an encoded window."""
    start, seconds, leads, columns = struct.unpack_from("<ddII", raw)
    low, high = np.frombuffer(raw, "<f4", offset=28).reshape(2, leads, columns)
    return start, seconds, low, high


def look(app, start: float, seconds: float, columns: int = 1000):
    async def ask():
        panel(app).strip._handle_msg(
            {"type": "window", "start": start, "seconds": seconds, "columns": columns}
        )
        await answered.wait()

    answered = asyncio.Event()
    watcher = panel(app).strip.param.watch(lambda _: answered.set(), "frame")
    try:
        asyncio.run(asyncio.wait_for(ask(), 30))
    finally:
        panel(app).strip.param.unwatch(watcher)
    return shown(panel(app).strip.frame)


def test_a_day_opens_by_its_first_window(app, read):
    assert app.session.population.n == 1
    assert max(read) <= 10.24 * RATE
    assert sum(read) <= 3 * 10.24 * RATE, "opening reads no more than what is explained first"
    assert "MLII taken as II" in app.session.flag(0)
    record = panel(app).record
    assert record.duration == HOURS * 3600
    assert not record.built


def test_panning_shows_what_the_file_holds_there(app, read):
    read.clear()
    start, seconds, low, high = look(app, 13 * 3600 + 7.0, 4.0)
    assert (start, seconds) == (13 * 3600 + 7.0, 4.0)
    assert high[0].max() == pytest.approx(1.13, abs=0.006)
    peaks = (np.flatnonzero((high[0][1:-1] > 1.1) & (high[0][1:-1] >= high[0][:-2])) + 1) / 250
    np.testing.assert_allclose(np.unique(np.floor(peaks)), [0, 1, 2, 3])
    assert low[1].min() == pytest.approx(-0.5, abs=0.006)
    assert sum(read) <= 4 * RATE + 2
    assert (app.state.long_start, app.state.long_seconds) == (start, seconds)


def test_the_whole_day_is_read_once_and_kept_small(app, read):
    read.clear()
    _, _, _, high = look(app, 0.0, 24 * 3600.0, 24)
    np.testing.assert_allclose(
        high[0], 1 + np.arange(24) / 100, atol=0.016
    )  # a column reaches into the next hour
    assert sum(read) == STEPS
    record = panel(app).record
    assert sum(level.nbytes for level in record._levels) < 0.1 * STEPS * 2 * 4
    read.clear()
    look(app, 3600.0, 20 * 3600.0)
    assert not read
    assert shared(app.samples.attrs["record"]) is record, "visitors share what was read"


def test_explain_this_window_takes_the_middle_of_the_view(app):
    look(app, 5 * 3600.0, 60.0)
    asyncio.run(panel(app).take())
    names = app.session.names
    assert names == ["day-0.00s", "day-18024.88s"]
    assert app.state.sample == 1
    assert app.canvas.order[-1] == names[1]
    signal = app.session.image(1)
    assert signal.shape == (12, 4096)
    assert signal[1].max() == pytest.approx(1.05, abs=0.02), "MLII of 5 h stands for II"
    assert "MLII taken as II" in app.session.flag(1)
    assert app.session.present(1).sum() == 2
    asyncio.run(panel(app).take())
    assert len(app.session.names) == 2, "the same window is not taken twice"
    assert "5:00:24" in panel(app).words.object
    assert app.result()["logit"].shape[-1] == 5


def test_near_the_end_the_window_stays_within_the_record(app):
    look(app, HOURS * 3600 - 2.0, 2.0)
    first, last = panel(app).taken
    assert (first, last) == (HOURS * 3600 - 10.24, HOURS * 3600)


def test_the_address_holds_the_window(app, day):
    query = app.state.query(app.session.names) | {"long_start": "3600.0", "long_seconds": "30.0"}
    assert not app.state.restore(query, app.session.names)
    assert panel(app).view == (3600.0, 30.0)
    assert (panel(app).strip.jump["start"], panel(app).strip.jump["seconds"]) == (3600.0, 30.0)
    app.state.param.update(long_start=1e9, long_seconds=1e9)
    assert panel(app).view == (0.0, HOURS * 3600)


def test_short_records_say_why_there_is_nothing_to_pan():
    closed = panel(EcgApp(*apps.opened("ecg-resnet")))
    assert isinstance(closed, Closed)
    assert "open a long record" in closed.reason
    assert ecg_long.long_samples("ecg/test", 4096, 400) is None


def test_messages_of_the_strip_are_bounded():
    strip, seen = LongStrip(leads=["II"], duration=100.0), []
    strip.on_window(lambda *a: seen.append(a))
    for start, seconds, columns in (
        (90, 50, 10**9),
        (-1, 5, 10),
        (0, float("nan"), 10),
        (200, 5, 10),
        (0, 0, 1),
    ):
        strip._handle_msg({"type": "window", "start": start, "seconds": seconds, "columns": columns})
    assert seen == [(90.0, 10.0, 4000)]
    values = np.arange(6, dtype=np.float32).reshape(2, 3)
    start, seconds, low, high = shown(encode(1.5, 2.5, values, values + 1))
    assert (start, seconds) == (1.5, 2.5)
    np.testing.assert_array_equal(low, values)
    np.testing.assert_array_equal(high, values + 1)


def test_clock():
    assert [clock(s) for s in (0, 59.9, 3661, 86399)] == ["0:00:00", "0:00:59", "1:01:01", "23:59:59"]
