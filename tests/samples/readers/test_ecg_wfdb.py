"""WFDB records: written values are read back, and damaged files give a one-sentence error or a remark."""

from __future__ import annotations

import numpy as np
import pytest

from xai_views.samples.readers.ecg_files import is_ecg, open_ecg
from xai_views.samples.readers.ecg_header import read_header
from xai_views.samples.readers.wfdb import read_steps
from xai_views.samples.signals import LEADS

wfdb = pytest.importorskip("wfdb")


def beats(rate=500, seconds=4.0, leads=LEADS):
    """``[steps, leads]`` mV: one beat per second; the limb leads follow Einthoven's and Goldberger's rules."""
    time = np.arange(round(rate * seconds)) / rate % 1.0
    wave = sum(
        h * np.exp(-0.5 * ((time - t) / w) ** 2)
        for h, t, w in ((0.1, 0.2, 0.02), (1, 0.4, 0.01), (0.3, 0.7, 0.04))
    )
    known = {"I": 0.6, "II": 1.0, "III": 0.4, "aVR": -0.8, "aVL": 0.1, "aVF": 0.7}
    return np.stack([known.get(x, 0.5 + 0.1 * k) * wave for k, x in enumerate(leads)], 1)


def write(folder, name="r", signal=None, rate=500, leads=LEADS, units=None, fmt="16", comments=()):
    signal = beats(rate, leads=leads) if signal is None else signal
    folder.mkdir(parents=True, exist_ok=True)
    n = len(leads)
    wfdb.wrsamp(
        name,
        rate,
        units or ["mV"] * n,
        list(leads),
        signal,
        fmt=[fmt] * n,
        write_dir=str(folder),
        comments=list(comments),
    )
    return folder / name


def edit(path, old, new, count=-1):
    header = path.with_suffix(".hea")
    text = header.read_text("utf-8")
    assert old in text
    header.write_text(text.replace(old, new, count), "utf-8")


# --- reading what was written


@pytest.mark.parametrize("fmt", ["16", "24", "32", "80", "212", "516"])
@pytest.mark.parametrize("ending", ["", ".hea", ".dat"])
def test_a_record_round_trips(tmp_path, fmt, ending):
    if fmt == "516":
        pytest.importorskip("soundfile")
    want = beats()
    path = write(tmp_path, fmt=fmt)
    ds = open_ecg(path.with_suffix(ending) if ending else path)
    step = {"80": 255, "212": 4095}.get(fmt, 65535)
    assert ds["signal"].shape == (1, 12, 2000)
    assert ds["lead"].values.tolist() == list(LEADS)
    assert ds.attrs["rate"] == 500
    assert ds["name"].item() == "r"
    assert ds["signal"].attrs["units"] == "mV"
    np.testing.assert_allclose(ds["signal"].values[0], want.T, atol=1.01 * np.ptp(want) / step)
    assert ds["present"].values.all()
    if fmt != "80":  # at 8 bit the peaks of the waves saturate at one value
        assert not ds["flag"].item()


@pytest.mark.parametrize(("unit", "factor"), [("mV", 1), ("uV", 1e3), ("µV", 1e3), ("V", 1e-3), ("nV", 1e6)])
def test_units_become_mv(tmp_path, unit, factor):
    path = write(tmp_path, signal=beats() * factor, units=[unit.replace("µ", "u")] * 12)
    if unit == "µV":
        edit(path, "/uV", "/µV")  # an ASCII reader takes it for V, a factor of a million
    np.testing.assert_allclose(open_ecg(path)["signal"].values[0], beats().T, atol=1e-3)


def test_aliases_and_leads_that_are_asked_for(tmp_path, sentence):
    path = write(tmp_path, leads=["DII", "AVR", "v1"], signal=beats()[:, :3])
    assert open_ecg(path)["lead"].values.tolist() == ["II", "aVR", "V1"]
    ds = open_ecg(path, leads=["V1", "DII", "V6"])
    assert ds["lead"].values.tolist() == ["V1", "II"]
    assert ds["flag"].item() == "V6 missing in the file"
    np.testing.assert_allclose(ds["signal"].values[0], beats()[:, [2, 0]].T, atol=1e-3)
    with sentence("leads II, aVR, V1 and none of V5; choose some"):
        open_ecg(path, leads=["V5"])
    with sentence("states 500 Hz and rate=250 was given"):
        open_ecg(path, rate=250)


def test_leads_of_the_same_name_get_a_letter(tmp_path):
    path = write(tmp_path, leads=["a", "b"], signal=beats()[:, :2])
    edit(path, " a\n", " ECG\n")
    edit(path, " b\n", " ECG\n")
    assert open_ecg(path)["lead"].values.tolist() == ["ECG", "ECG b"]


def test_what_is_no_voltage_is_left_away_and_said(tmp_path, sentence):
    path = write(tmp_path, leads=["II", "ABP"], signal=beats()[:, :2], units=["mV", "mmHg"])
    ds = open_ecg(path)
    assert ds["lead"].values.tolist() == ["II"]
    assert ds["flag"].item() == "ABP (mmHg) left out: not a voltage"
    path = write(tmp_path, "abp", leads=["ABP"], signal=beats()[:, :1], units=["mmHg"])
    with sentence("holds signals in mmHg and none in V, mV or uV"):
        open_ecg(path)


def test_a_record_of_matlab_as_the_challenges_write_it(tmp_path):
    from scipy.io import savemat

    counts = np.rint(beats() * 1000).astype(np.int16)
    savemat(tmp_path / "A0001.mat", {"val": counts.T}, format="4")
    rows = [
        f"A0001.mat 16+24 1000/mV 16 0 {c[0]} {np.int16(c.sum(dtype=np.int64) & 0xFFFF)} 0 {x}"
        for c, x in zip(counts.T, LEADS, strict=True)
    ]
    (tmp_path / "A0001.hea").write_text("A0001 12 500 2000\n" + "\n".join(rows) + "\n#Dx: 426783006\n")
    ds = open_ecg(tmp_path / "A0001.mat")
    np.testing.assert_allclose(ds["signal"].values[0], beats().T, atol=6e-4)
    assert not ds["flag"].item()


def test_segments_are_one_record(tmp_path):
    two = ["I", "II"]
    write(tmp_path, "s1", leads=two, signal=beats()[:1000, :2])
    write(tmp_path, "s2", leads=two, signal=beats()[1000:, :2] * 2)  # another gain
    (tmp_path / "all.hea").write_text("all/2 2 500 2000\ns1 1000\ns2 1000\n")
    ds = open_ecg(tmp_path / "all")
    want = np.concatenate([beats()[:1000, :2], 2 * beats()[1000:, :2]])
    np.testing.assert_allclose(ds["signal"].values[0], want.T, atol=1e-3)
    folder = open_ecg(tmp_path)
    assert folder["name"].values.tolist() == ["all"]  # not its segments beside it


# --- folders


def test_a_folder_with_its_differences_said(tmp_path):
    write(tmp_path / "a", "1")
    write(tmp_path / "a", "2", signal=beats()[:1500])
    write(tmp_path / "b", "3", rate=250)
    write(tmp_path / "b", "4", leads=LEADS[:8], signal=beats()[:, :8])
    ds = open_ecg(tmp_path)
    assert ds["name"].values.tolist() == ["1", "2", "3", "4"]
    assert ds["signal"].shape == (4, 12, 2000)
    assert ds["length"].values.tolist() == [2000, 1500, 2000, 2000]
    assert not ds["signal"].values[1, :, 1500:].any()
    assert ds["flag"].values.tolist() == [
        "",
        "",
        "resampled from 250 to 500 Hz, the rate of most records",
        "V3, V4, V5 and V6 are missing",
    ]
    np.testing.assert_allclose(ds["signal"].values[2, 1, 100:-100], beats()[100:-100, 1], atol=0.02)
    assert ds["present"].values[3].tolist() == [True] * 8 + [False] * 4


def test_same_names_in_different_folders_stay_apart(tmp_path):
    for kind in ("a", "b"):
        write(tmp_path / kind, "1", leads=["I"], signal=beats()[:, :1])
    assert open_ecg(tmp_path)["name"].values.tolist() == ["a-1", "b-1"]


def test_damaged_records_are_left_out_and_named(tmp_path, sentence):
    write(tmp_path, "good")
    (tmp_path / "bad.hea").write_text("this is no header\n")
    path = write(tmp_path, "cut")
    path.with_suffix(".dat").write_bytes(path.with_suffix(".dat").read_bytes()[:1000])
    flat = write(tmp_path, "flat", signal=np.zeros((2000, 12)) + np.eye(12)[0] * 0)
    assert flat.with_suffix(".dat").is_file()
    ds = open_ecg(tmp_path)
    assert ds["name"].values.tolist() == ["good"]
    note = ds.attrs["note"]
    for said in ("bad.hea", "'cut.dat' holds 41 of the 2000 steps", "record 'flat' holds no signal"):
        assert said in note
    (tmp_path / "good.hea").unlink()
    (tmp_path / "cut.hea").unlink()
    (tmp_path / "flat.hea").unlink()
    with sentence("bad.hea"):
        open_ecg(tmp_path)


def test_rates_that_are_worlds_apart_are_no_set(tmp_path, sentence):
    write(tmp_path, "1", rate=1000)
    write(tmp_path, "2", rate=10)
    with sentence("from 10 to 1000 Hz, too far apart"):
        open_ecg(tmp_path)


def test_large_folders_are_read_when_they_are_looked_at(tmp_path, monkeypatch):
    from xai_views.samples import inputs
    from xai_views.samples.prepare import prepare
    from xai_views.samples.readers import raw_record as ecg_raw

    for i in range(20):
        write(tmp_path, f"r{i:02d}", leads=["I", "II"], signal=beats()[: 2000 - 10 * i, :2] * (1 + i))
    eager = open_ecg(tmp_path)
    monkeypatch.setattr(ecg_raw, "EAGER_BYTES", 1000)
    late = open_ecg(tmp_path)
    assert hasattr(late["signal"].data, "__dask_graph__")
    np.testing.assert_array_equal(inputs(late, [17, 3]), eager["signal"].values[[17, 3]])
    assert late["length"].values.tolist() == eager["length"].values.tolist()
    assert late["flag"].values.tolist() == eager["flag"].values.tolist()
    assert late["present"].values.all()
    ready = prepare(late, LEADS, 400, 1024)
    np.testing.assert_allclose(inputs(ready, [5]), inputs(prepare(eager, LEADS, 400, 1024), [5]), atol=1e-6)


# --- errors and remarks


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("r 12 500 2000", "r 8 500 2000", "announces 8 leads and describes 12"),
        ("r 12 500 2000", "r 0 500 2000", "announces 0 leads"),
        ("r 12 500 2000", "r", "announces 0 leads"),
        ("r 12 500 2000", "r 12 0 2000", "sampling rate '0'"),
        ("r 12 500 2000", "r 12 fast 2000", "begins with .r 12 fast"),
        ("r 12 500 2000", "r 12 500 -7", "begins with"),
        ("r 12 500 2000", "r 12 5.0.0 2000", "begins with"),
        ("r 12 500 2000", "r 12 500 3000", "holds 2000 of the 3000 steps .* cut off"),
        ("r 12 500 2000", "r 12 500 0", "is empty"),
        ("r.dat 16", "gone.dat 16", "'gone.dat', which is not in its folder"),
        ("r.dat 16", "../r.dat 16", "names the file '../r.dat'"),
        ("r.dat 16", "/etc/passwd 16", "names the file '/etc/passwd'"),
        ("r.dat 16", "simplecache::http://localhost/r.dat 16", "plain names"),
        ("r.dat 16", "r.dat sixteen", "does not describe a signal"),
        ("r.dat 16", "r.dat 16x0", "does not describe a signal"),
        ("r.dat 16", "r.dat 17", "has the format 17, which WFDB does not define"),
        ("r.dat 16", "r.dat 80", "several formats or offsets for the file 'r.dat'"),
    ],
)
def test_malformed_headers(tmp_path, sentence, old, new, said):
    path = write(tmp_path)
    edit(path, old, new, 1 if old.startswith("r ") or "x0" in new or "sixteen" in new or " 80" in new else -1)
    with sentence(said):
        open_ecg(path)


@pytest.mark.parametrize("content", [b"", b"\0" * 100, b"# only a comment\n", b"\xff\xfe" * 50])
def test_what_is_no_header(tmp_path, sentence, content):
    (tmp_path / "x.hea").write_bytes(content)
    with sentence("'x.hea'"):
        open_ecg(tmp_path / "x")


def test_no_gain_and_no_rate_are_the_rule_of_wfdb_and_said(tmp_path):
    counts = np.rint(beats(250)[:, :2] * 200).astype("<i2")
    counts.tofile(tmp_path / "old.dat")
    (tmp_path / "old.hea").write_text("old 2\nold.dat 16\nold.dat 16 0 12 0 Lead V1\n")
    ds = open_ecg(tmp_path / "old")
    assert ds.attrs["rate"] == 250
    assert ds.sizes["time"] == 1000
    np.testing.assert_allclose(ds["signal"].values[0], beats(250)[:, :2].T, atol=0.003)
    flag = ds["flag"].item()
    assert "no sampling rate: 250 Hz assumed" in flag
    assert "no gains for signal 1 and V1: 200 units per mV assumed" in flag


def test_a_wrong_gain_is_seen(tmp_path):
    path = write(tmp_path, signal=beats() * 1000, units=["uV"] * 12)
    edit(path, "/uV", "/mV")  # a thousand times too high
    flag = open_ecg(path)["flag"].item()
    assert "QRS is" in flag
    assert "units per mV" in flag
    edit(path, "/mV", "/nV")
    assert "the gain or the unit" in open_ecg(path)["flag"].item()


def test_values_that_are_none(tmp_path):
    signal = beats()
    signal[100:120, 1] = np.nan  # 40 ms
    signal[500:600, 2] = np.nan  # 200 ms
    ds = open_ecg(write(tmp_path, signal=signal))
    assert np.isfinite(ds["signal"].values).all()
    assert (
        ds["flag"].item()
        == "III lacks 0.20 s from 1.00 s on; gaps of up to 40 ms in II are bridged by a line"
    )
    assert ds["present"].values[0].tolist() == [x != "III" for x in LEADS]
    line = ds["signal"].values[0, 1, 99:121]
    np.testing.assert_allclose(np.diff(line, 2), 0, atol=1e-6)


def test_a_changed_byte_is_seen_by_the_checksum(tmp_path):
    path = write(tmp_path)
    raw = bytearray(path.with_suffix(".dat").read_bytes())
    raw[24 * 700 + 2 * 4] ^= 1  # one bit of aVL
    path.with_suffix(".dat").write_bytes(bytes(raw))
    assert open_ecg(path)["flag"].item() == "the checksum of aVL differs from the header's: edited or damaged"


def test_a_part_is_read_alone(tmp_path):
    header = read_header(write(tmp_path).with_suffix(".hea"))
    np.testing.assert_allclose(read_steps(header, 700, 900), beats()[700:900].T, atol=1e-3)


def test_what_is_looked_at_first(tmp_path, sentence):
    path = write(tmp_path / "set")
    assert is_ecg(path)
    assert is_ecg(path.with_suffix(".hea"))
    assert is_ecg(path.with_suffix(".dat"))
    assert is_ecg(tmp_path)
    assert not is_ecg(tmp_path / "none")
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "a.png").write_bytes(b"\x89PNG")
    assert not is_ecg(tmp_path / "pictures")
    with sentence("holds no WFDB record"):
        open_ecg(tmp_path / "pictures")
    with sentence("there is no record, file or folder"):
        open_ecg(tmp_path / "none")
    with sentence("'a.png' cannot be opened as an ECG"):
        open_ecg(tmp_path / "pictures" / "a.png")


def test_without_the_package(tmp_path, sentence, monkeypatch):
    path = write(tmp_path)
    monkeypatch.setitem(__import__("sys").modules, "wfdb", None)
    with sentence(r'pip install "xai-views\[ecg\]"'):
        open_ecg(path)
