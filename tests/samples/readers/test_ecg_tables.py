"""Tables and arrays: rate, leads and units are read and cross-checked; assumptions are always noted."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from xai_views.samples import inputs, signal_dataset
from xai_views.samples.readers.ecg_files import is_ecg, open_ecg
from xai_views.samples.signals import LANDMARKS

RATE = 250
TIME = np.arange(1000) / RATE
WAVE = np.round(np.exp(-0.5 * ((TIME % 1.0 - 0.4) / 0.02) ** 2) + 0.05 * np.sin(6 * TIME), 4)
ABSURD = "the median QRS is"


def table(path, head="time,I,II", rows=None, before="", sep=","):
    rows = (
        [f"{t:.3f}{sep}{v:.4f}{sep}{2 * v:.4f}" for t, v in zip(TIME, WAVE, strict=True)]
        if rows is None
        else rows
    )
    path.write_text(before + "\n".join([head, *rows] if head else rows) + "\n", "utf-8")
    return path


@pytest.mark.parametrize(
    ("head", "before", "sep", "factor", "said"),
    [
        ("time,I (mV),II (mV)", "", ",", 1, ""),
        ("time (s),I [mV],II [mV]", "", ",", 1, ""),
        ("t;Lead I (mV);DII (mV)", "", ";", 1, ""),
        ("time_s\tI_mV\tII_mV", "\ufeff", "\t", 1, ""),
        ("time,I,II", "# unit: mV\n# rate: 250 Hz\n", ",", 1, ""),
        ("time,I,II", "", ",", 1, "no unit given: mV assumed"),
        ("time,I (V),II (V)", "", ",", 1000, ABSURD),
        ("time,I (µV),II (µV)", "", ",", 1e-3, ABSURD),
    ],
)
def test_times_units_and_names(tmp_path, head, before, sep, factor, said):
    rows = [sep.join((f"{t:.3f}", f"{v:.4f}", f"{2 * v:.4f}")) for t, v in zip(TIME, WAVE, strict=True)]
    path = table(tmp_path / "r.csv", head, rows, before)
    assert is_ecg(path)
    ds = open_ecg(path)
    assert ds["lead"].values.tolist() == ["I", "II"]
    assert ds.attrs["rate"] == RATE
    assert ds["name"].item() == "r"
    np.testing.assert_allclose(
        ds["signal"].values[0], np.stack([WAVE, 2 * WAVE]) * factor, rtol=1e-4, atol=1e-4 * factor
    )
    assert said in ds["flag"].item()
    assert said or not ds["flag"].item()


def test_a_decimal_comma(tmp_path):
    rows = [f"{t:.3f};{v:.4f}".replace(".", ",") for t, v in zip(TIME, WAVE, strict=True)]
    ds = open_ecg(table(tmp_path / "r.csv", "Zeit;II (mV)", rows, "# rate: 250\n"), leads=["II"])
    np.testing.assert_allclose(ds["signal"].values[0, 0], WAVE, atol=1e-4)


def test_milliseconds_and_rounded_times(tmp_path):
    rows = [f"{round(1000 * k / 360)},{v}" for k, v in enumerate(WAVE)]  # 2.78 ms, printed as 2 or 3
    assert open_ecg(table(tmp_path / "r.csv", "time (ms),II (mV)", rows)).attrs["rate"] == 360
    assert open_ecg(tmp_path / "r.csv", rate=360).attrs["rate"] == 360


def test_columns_without_names(tmp_path, sentence):
    rows = [f"{v},{2 * v}" for v in WAVE]
    path = table(tmp_path / "r.csv", "", rows)
    assert not is_ecg(path)
    with sentence("2 columns without names; give leads="):
        open_ecg(path, rate=250)
    with sentence("3 lead names were given for 2 columns of table 'r'"):
        open_ecg(path, rate=250, leads=["I", "II", "III"])
    ds = open_ecg(path, rate=250, leads=["MLII", "V5"])
    assert ds["lead"].values.tolist() == ["MLII", "V5"]
    np.testing.assert_allclose(ds["signal"].values[0, 1], 2 * WAVE, atol=1e-5)
    ds = open_ecg(
        table(tmp_path / "t.csv", "", [f"{t},{v}" for t, v in zip(TIME, WAVE, strict=True)]),
        leads=["time", "II"],
    )
    assert ds["lead"].values.tolist() == ["II"]


def test_leads_of_a_table_with_names_are_chosen(tmp_path, sentence):
    path = table(tmp_path / "r.csv", "time,I (mV),II (mV)")
    ds = open_ecg(path, leads=["II", "V1"])
    assert ds["lead"].values.tolist() == ["II"]
    assert ds["flag"].item() == "V1 missing in the file"
    with sentence("leads I, II and none of V1"):
        open_ecg(path, leads=["V1"])


def test_a_counter_is_no_lead_and_an_empty_cell_no_value(tmp_path):
    rows = [f"{k},{v if not 100 <= k < 110 else ''},{2 * v}" for k, v in enumerate(WAVE)]
    ds = open_ecg(table(tmp_path / "r.csv", "sample,I (mV),II (mV)", rows), rate=250)
    assert ds["lead"].values.tolist() == ["I", "II"]
    assert ds["flag"].item() == "gaps of up to 40 ms in I are bridged by a line"


@pytest.mark.parametrize(
    ("head", "rows", "options", "said"),
    [
        ("I (Einthoven)", ["1", "2"], {}, "gives no sampling rate"),
        ("I (mV)", ["1", "2"], {}, "gives no sampling rate; give rate= in Hz"),
        ("time,I (mV)", ["0,1", "0.004,2", "0.05,3"], {}, "times .* are uneven"),
        ("time,I (mV)", ["0,1", "x,2"], {}, "times .* are not all numbers"),
        ("time,I (mV)", ["0.004,1", "0,2", "-0.004,1"], {}, "uneven"),
        ("time,I (mV)", ["0,1", "0.004,2"], {"rate": 500}, "is 250 or 500 Hz"),
        ("time,I (mV)", ["0,1", "0.004,2"], {"rate": -1}, "should be a positive number"),
        ("I (mV)", ["1", "high", "2"], {"rate": 250}, "column 'I' .* holds 'high'"),
        ("I (mmHg)", ["1", "2"], {"rate": 250}, "in 'mmHg'; V, mV, uV or nV are expected"),
        ("time", ["0", "0.004"], {}, "holds no signal"),
        ("I (mV)", [], {"rate": 250}, "holds no signal"),
        ("I (mV),II", ["1,2,3,4", "5"], {"rate": 250}, "2 names for 4 columns"),
        ("I (mV),II", ["1,2", "1,2,3"], {"rate": 250}, "2 names for 3 columns"),
        ("I (mV)", ["1"] * 500, {"rate": 250}, "holds no signal .I is flat"),
    ],
)
def test_tables_that_cannot_be_used(tmp_path, sentence, head, rows, options, said):
    with sentence(said):
        open_ecg(table(tmp_path / "r.csv", head, rows), **options)


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00", b"\n\n"])
def test_what_is_no_table(tmp_path, sentence, content):
    (tmp_path / "r.csv").write_bytes(content)
    assert not is_ecg(tmp_path / "r.csv")
    with sentence("table"):
        open_ecg(tmp_path / "r.csv", rate=250)


def test_a_table_of_labels_is_no_ecg(tmp_path):
    (tmp_path / "labels.csv").write_text("file,label,1,2\na.png,cat,0,1\n")
    assert not is_ecg(tmp_path / "labels.csv")


# --- arrays


SIGNAL = np.stack([[WAVE, 2 * WAVE], [2 * WAVE, WAVE], [WAVE, WAVE]]).astype(np.float32)


def archive(path, **arrays):
    known = {"signal": SIGNAL, "rate": RATE, "leads": ["DI", "II"], "unit": "mV"}
    np.savez(path, **{k: v for k, v in {**known, **arrays}.items() if v is not None})
    return path


def test_an_archive_with_truths(tmp_path):
    mask, landmark = SIGNAL > 0.5, np.full((3, 1000), LANDMARKS.index("QRS"), np.int8)
    path = archive(
        tmp_path / "a.npz",
        label=[1, 0, 1],
        classes=["well", "ill"],
        name=["x", "y", "z"],
        mask=mask,
        landmark=landmark,
    )
    assert is_ecg(path)
    ds = open_ecg(path)
    np.testing.assert_array_equal(ds["signal"].values, SIGNAL)
    assert ds["lead"].values.tolist() == ["I", "II"]
    assert (ds["label"].values.tolist(), ds.attrs["classes"]) == ([1, 0, 1], ["well", "ill"])
    assert ds["name"].values.tolist() == ["x", "y", "z"]
    np.testing.assert_array_equal(ds["mask"].values, mask)
    np.testing.assert_array_equal(ds["landmark"].values, landmark)
    assert ds["flag"].values.tolist() == [""] * 3
    assert open_ecg(path, leads=["II"])["mask"].shape == (3, 1, 1000)
    assert open_ecg(path, labels=["a", "b", "a"]).attrs["classes"] == ["a", "b"]


def test_what_an_archive_lacks_is_asked_for_or_said(tmp_path, sentence):
    path = archive(tmp_path / "a.npz", signal=SIGNAL[0] * 1000, rate=None, leads=None, unit="uV")
    with sentence("no array 'leads'"):
        open_ecg(path)
    with sentence("no array 'rate'"):
        open_ecg(path, leads=["I", "II"])
    ds = open_ecg(path, leads=["I", "II"], rate=250)
    np.testing.assert_allclose(ds["signal"].values, SIGNAL[:1], rtol=1e-5)
    assert (
        open_ecg(archive(tmp_path / "b.npz", unit=None))["flag"].values.tolist()
        == ["no unit given: mV assumed"] * 3
    )


def test_records_of_an_archive_are_looked_at(tmp_path):
    signal = SIGNAL.copy()
    signal[0, 0, 100:110] = np.nan
    signal[1] = 0
    present = np.array([[True, True], [True, True], [False, True]])
    path = archive(
        tmp_path / "a.npz", signal=signal, label=[0, 1, 2], length=[1000, 1000, 600], present=present
    )
    ds = open_ecg(path)
    assert ds["name"].values.tolist() == ["00000", "00002"]
    assert ds["label"].values.tolist() == [0, 2]
    assert ds["length"].values.tolist() == [1000, 600]
    assert ds["present"].values.tolist() == [[True, True], [False, True]]
    assert "gaps of up to 40 ms in I" in ds["flag"].values[0]
    assert "record '00001' holds no signal" in ds.attrs["note"]
    assert not ds["signal"].values[1, :, 600:].any()


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        (
            {"signal": SIGNAL.transpose(0, 2, 1)},
            r"2 leads are named; transpose it with .transpose\(0, 2, 1\)",
        ),
        ({"leads": ["I"]}, "1 leads are named; name each lead"),
        ({"signal": SIGNAL.astype(str)}, "give numbers"),
        ({"signal": SIGNAL[:0]}, "is empty"),
        ({"signal": None}, "needs an array 'signal'"),
        ({"rate": 0}, "sampling rate"),
        ({"rate": "fast"}, "sampling rate"),
        ({"unit": "mmHg"}, "V, mV, uV or nV are expected"),
        ({"length": [1000, 0, 1000]}, "lengths between 1 and 1000"),
        ({"name": ["a"]}, "should have 3 entries"),
        ({"present": np.ones((2, 2), bool)}, "'present' .* has shape"),
        ({"mask": np.ones((3, 2, 10), bool)}, "'mask' .* unlike its signals"),
        ({"label": [0, 1]}, "2 labels were given for 3"),
        ({"signal": np.array([None, 1], object)}, "plain arrays"),
    ],
)
def test_archives_that_cannot_be_used(tmp_path, sentence, arrays, said):
    with sentence(said):
        open_ecg(archive(tmp_path / "a.npz", **arrays))


def test_another_rate_than_the_file_states(tmp_path, sentence):
    with sentence("states 250 Hz and rate=500 was given"):
        open_ecg(archive(tmp_path / "a.npz"), rate=500)


def test_zarr_stays_on_disk(tmp_path, sentence):
    ds = signal_dataset(SIGNAL, RATE, ["I", "II"], [0, 1, 0], flag=["", "wet", ""], classes=["well", "ill"])
    ds.to_zarr(tmp_path / "a.zarr")
    assert is_ecg(tmp_path / "a.zarr")
    late = open_ecg(tmp_path / "a.zarr")
    assert hasattr(late["signal"].data, "__dask_graph__")
    np.testing.assert_array_equal(inputs(late, [2]), SIGNAL[2:])
    assert late["flag"].values.tolist() == ["", "wet", ""]
    assert late.attrs["classes"] == ["well", "ill"]
    assert late.attrs["rate"] == RATE
    assert open_ecg(tmp_path / "a.zarr", leads=["II"]).sizes["lead"] == 1
    with sentence("states 250 Hz"):
        open_ecg(tmp_path / "a.zarr", rate=100)
    xr.Dataset({"image": ("x", [1])}).to_zarr(tmp_path / "b.zarr")
    assert not is_ecg(tmp_path / "b.zarr")
    with sentence("needs 'signal'"):
        open_ecg(tmp_path / "b.zarr")
    (tmp_path / "c.zarr").mkdir()
    with sentence("cannot be read as a Zarr folder"):
        open_ecg(tmp_path / "c.zarr")
