"""Problems of a record are remarked on, and good records get no remarks."""

from __future__ import annotations

import numpy as np
import pytest

from xai_views.samples.signal_quality import check, qrs_height, runs
from xai_views.samples.signals import LEADS

RATE = 500


def record(seconds=6.0, rate=RATE, step=0.005, noise=0.01, rate_of_heart=1.2):
    """Twelve leads in mV with a P-QRS-T every 1 / 1.2 s, noise, and the steps of a recorder."""
    rng = np.random.default_rng(0)
    time = np.arange(round(rate * seconds)) / rate
    phase = time * rate_of_heart % 1.0 / rate_of_heart
    shape = ((0.1, 0.2, 0.02), (-0.1, 0.38, 0.008), (1.2, 0.4, 0.009), (-0.2, 0.42, 0.009), (0.3, 0.65, 0.04))
    wave = sum(h * np.exp(-0.5 * ((phase - t) / w) ** 2) for h, t, w in shape)
    one, two = (g * wave + noise * rng.normal(size=len(time)) for g in (0.6, 1.0))
    limbs = [one, two, two - one, -(one + two) / 2, one - two / 2, two - one / 2]
    chest = [g * wave + noise * rng.normal(size=len(time)) for g in (-0.8, -0.3, 0.5, 1.2, 1.4, 1.1)]
    return np.round(np.stack(limbs + chest) / step) * step


def said(signal, rate=RATE, leads=LEADS, gain=""):
    return "; ".join(check(signal, rate, leads, gain).remarks)


@pytest.mark.parametrize("rate", [100, 250, 500, 1000])
@pytest.mark.parametrize("step", [0.001, 0.005, 0.02])
def test_a_good_record_has_no_remark(rate, step):
    looked = check(record(rate=rate, step=step), rate, LEADS)
    assert looked.remarks == ()
    assert looked.present.all()
    assert looked.length == 6 * rate


def test_gaps():
    signal = record()
    signal[0, 100:149] = np.nan  # 98 ms
    signal[1, 100:150] = np.nan  # 100 ms
    signal[2] = np.inf
    signal[6, :5] = np.nan
    looked = check(signal, RATE, LEADS)
    assert looked.present.tolist() == [x not in ("II", "III") for x in LEADS]
    assert np.isfinite(looked.signal).all()
    assert not looked.signal[1:3].any()
    line = np.linspace(signal[0, 99], signal[0, 149], 51)
    np.testing.assert_allclose(looked.signal[0, 99:150], line, atol=1e-6)
    assert looked.remarks[:3] == (
        "II lacks 0.10 s from 0.20 s on",
        "III has no values",
        "gaps of up to 98 ms in I and V1 are bridged by a line",
    )


def test_an_end_before_the_end():
    signal = record()
    signal[:, 2000:] = np.nan
    looked = check(signal, RATE, LEADS)
    assert looked.length == 2000
    assert looked.present.all()
    assert looked.remarks == ("the record ends after 4.00 s",)


def test_flat_leads():
    signal = record()
    signal[3] = 0.3
    signal[8, 1000:1700] = signal[8, 1000]
    looked = check(signal, RATE, LEADS)
    assert not looked.present[3]
    assert not looked.signal[3].any()
    assert looked.present[8]
    assert looked.remarks == ("aVR is flat", "V3 is flat for 1.4 s from 2.0 s on")
    assert not check(np.zeros((12, 3000)), RATE, LEADS).present.any()


@pytest.mark.parametrize("rate", [250, 500, 1000])
def test_clipping_is_told_from_the_top_of_a_wave(rate):
    signal = record(rate=rate)
    signal[10] = np.clip(3 * signal[10], -5, 2.0)
    looked = check(signal, rate, LEADS)
    assert looked.present.all()
    [remark] = looked.remarks
    assert remark.startswith("V5 is clipped at 2.00 mV for 0.")
    low = record(rate=rate)
    low[6] = np.clip(2 * low[6], -0.8, 5)
    assert said(low, rate).startswith("V1 is clipped at -0.80 mV for 0.")


def test_a_gain_that_makes_amplitudes_absurd():
    assert "the median QRS is" in said(record() * 100, gain="2 units per mV")
    assert "the gain or the unit (2 units per mV) looks wrong" in said(record() * 100, gain="2 units per mV")
    assert "the gain or the unit looks wrong" in said(record() / 100)
    # A lead that is small beside others is acceptable.
    signal = record()
    signal[4] /= 100
    assert not said(signal)


def test_the_height_of_a_qrs_does_not_depend_on_the_rate_of_the_heart():
    slow, fast = (record(seconds=12, rate_of_heart=r, noise=0)[1:2] for r in (0.8, 1.8))
    assert qrs_height(slow, RATE) == pytest.approx(1.2, abs=0.05)
    assert qrs_height(fast, RATE) == pytest.approx(1.2, abs=0.05)
    assert qrs_height(np.zeros((0, 100)), RATE) == 0


def test_limb_leads_under_wrong_names():
    signal = record()
    swapped = signal[[1, 0, *range(2, 12)]]
    remarks = said(swapped)
    assert "III ≠ II - I" in remarks
    assert "aVR" not in remarks  # it follows from I and II
    assert "aVR ≠ -(I + II) / 2" in said(signal[[0, 1, 2, 4, 3, *range(5, 12)]])
    # An offset of the amplifier is no contradiction.
    signal[2] += 0.5
    assert not said(signal)


def test_padding():
    signal = record()
    signal[:, :200] = 0
    signal[:, -300:] = 0
    assert said(signal) == "the first 0.40 s are zeros in all leads; the last 0.60 s are zeros in all leads"


def test_an_unusual_rate():
    assert "a sampling rate of 20 Hz is unusual" in said(record(rate=20), 20)


def test_what_is_given_is_not_changed():
    signal = record()
    signal[0, 10] = np.nan
    before = signal.copy()
    check(signal, RATE, LEADS)
    np.testing.assert_array_equal(signal, before)


def test_runs():
    assert runs(np.array([1, 1, 0, 1, 0, 0, 1], bool)).tolist() == [[0, 2], [3, 4], [6, 7]]
    assert runs(np.zeros(0, bool)).shape == (0, 2)
