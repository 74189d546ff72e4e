"""One uploaded file: four types are accepted, others raise one sentence, and nothing is written outside the folder."""

from __future__ import annotations

import io
import tempfile
import zipfile

import numpy as np
import pytest

from xai_views.errors import SamplesError
from xai_views.samples.readers.ecg_upload import open_ecg_bytes

wfdb = pytest.importorskip("wfdb")

TIME = np.arange(1000) / 250
WAVE = np.exp(-0.5 * ((TIME % 1.0 - 0.4) / 0.02) ** 2) + 0.05 * np.sin(6 * TIME)


def record(folder, name="r"):
    wfdb.wrsamp(
        name,
        250,
        ["mV"] * 2,
        ["I", "II"],
        np.stack([WAVE, 2 * WAVE], 1),
        fmt=["16"] * 2,
        write_dir=str(folder),
    )
    return {f"{name}{s}": (folder / f"{name}{s}").read_bytes() for s in (".hea", ".dat")}


def zipped(files, **options):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED, **options) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return stream.getvalue()


@pytest.fixture
def place(tmp_path, monkeypatch):
    """Parent of temporary folders, to check that they are removed."""
    where = tmp_path / "temporary"
    where.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(where))
    return where


def test_a_table():
    text = "time,II (mV)\n" + "\n".join(f"{t:.3f},{v:.5f}" for t, v in zip(TIME, WAVE, strict=True))
    ds = open_ecg_bytes("C:\\data\\Mine.CSV", text.encode())
    assert (ds["name"].item(), ds.attrs["title"], ds.attrs["rate"]) == ("Mine", "Mine", 250)
    np.testing.assert_allclose(ds["signal"].values[0, 0], WAVE, atol=1e-5)
    bare = "\n".join(f"{v:.5f}" for v in WAVE).encode()
    assert open_ecg_bytes("a.csv", bare, rate=250, leads=["II"])["lead"].values.tolist() == ["II"]


def test_an_archive(sentence):
    stream = io.BytesIO()
    np.savez_compressed(stream, signal=np.stack([WAVE, WAVE])[None], rate=250, leads=["I", "II"], unit="mV")
    ds = open_ecg_bytes("a.npz", stream.getvalue())
    assert ds["signal"].shape == (1, 2, 1000)
    with sentence(r"unpacks to 0 MB \(limit: 0 MB"):
        open_ecg_bytes("a.npz", stream.getvalue(), max_unpacked=1000)


def test_a_dicom_waveform(sentence):
    pytest.importorskip("pydicom")
    from pydicom.data import get_testdata_file
    from pydicom.uid import DeflatedExplicitVRLittleEndian

    with open(get_testdata_file("waveform_ecg.dcm"), "rb") as file:  # noqa: PTH123 - a path as text
        data = file.read()
    ds = open_ecg_bytes("me.dcm", data)
    assert ds["signal"].shape == (1, 12, 10_000)
    assert ds["name"].item() == "me"
    import pydicom

    deflated = pydicom.dcmread(io.BytesIO(data))
    deflated.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    stream = io.BytesIO()
    deflated.save_as(stream, enforce_file_format=True)
    with sentence("deflated DICOM file, which is not supported"):
        open_ecg_bytes("me.dcm", stream.getvalue())
    with sentence("cannot be read as a DICOM file"):
        open_ecg_bytes("me.dcm", b"no")


def test_a_zip_of_records(tmp_path, place):
    files = {
        **record(tmp_path, "r1"),
        **record(tmp_path, "r2"),
        "readme.txt": b"hello",
        "__MACOSX/._r1.hea": b"x",
    }
    ds = open_ecg_bytes("set.zip", zipped(files))
    assert ds["name"].values.tolist() == ["r1", "r2"]
    np.testing.assert_allclose(ds["signal"].values[1], [WAVE, 2 * WAVE], atol=1e-3)
    assert isinstance(ds["signal"].data, np.ndarray)
    assert not list(place.iterdir())
    inside = open_ecg_bytes("set.zip", zipped({f"a/b/{k}": v for k, v in record(tmp_path, "r3").items()}))
    assert inside["name"].values.tolist() == ["r3"]


def test_label_files_around_the_temporary_folder_are_not_looked_at(tmp_path, place):
    (place / "labels.csv").write_text("record,label\nr,secret\n")
    (place / "exams.csv").write_text("exam_id,AF\nr,1\n")
    ds = open_ecg_bytes("set.zip", zipped(record(tmp_path)))
    assert "label" not in ds
    assert "secret" not in str(ds.attrs)


@pytest.mark.parametrize(
    "name",
    [
        "../r.hea",
        "/r.hea",
        "a/../../r.hea",
        "..\\r.hea",
        ".hidden/r.hea",
        "a b.hea",
        "x::http:.hea",
        "a/b/c/d/e/r.hea",
    ],
)
def test_a_zip_that_names_other_places(tmp_path, place, sentence, name):
    files = record(tmp_path)
    with sentence("plain names|nested folders"):
        open_ecg_bytes("a.zip", zipped({name: files["r.hea"], "r.dat": files["r.dat"]}))
    assert not list(place.iterdir())
    assert sorted(p.name for p in tmp_path.iterdir()) == ["r.dat", "r.hea", "temporary"]


@pytest.mark.parametrize("file", ["../../etc/passwd", "/etc/passwd", "simplecache::http://localhost/r.dat"])
def test_a_header_that_names_other_places(tmp_path, place, sentence, file):
    files = record(tmp_path)
    files["r.hea"] = files["r.hea"].replace(b"r.dat", file.encode())
    with sentence("plain names"):
        open_ecg_bytes("a.zip", zipped(files))
    assert not list(place.iterdir())


def test_bombs(tmp_path, place, sentence):
    files = record(tmp_path)
    with sentence("limit: 200 of 1 MB"):
        open_ecg_bytes("a.zip", zipped({**files, "zeros.dat": bytes(2_000_000)}), max_unpacked=1e6)
    with sentence("has 302 files"):
        open_ecg_bytes("a.zip", zipped({**files, **{f"{k}.dat": b"" for k in range(300)}}))
    # A zip directory that states a smaller size.
    data = bytearray(zipped({**files, "zeros.dat": bytes(2_000_000)}))
    claimed = (2_000_000).to_bytes(4, "little")
    assert data.count(claimed) == 2
    with sentence("more than it states|not a complete .zip"):
        open_ecg_bytes("a.zip", bytes(data).replace(claimed, (100).to_bytes(4, "little")))
    # Segments without values may be of any length.
    gap = {**files, "all.hea": b"all/2 2 250 4000000000\nr 1000\n~ 3999999000\n"}
    with sentence(r"unpack to .* MB \(limit"):
        open_ecg_bytes("a.zip", zipped(gap))
    assert not list(place.iterdir())


def archived(**arrays):
    stream = io.BytesIO()
    np.savez_compressed(stream, **arrays)
    return stream.getvalue()


def test_small_files_that_would_become_many_numbers(tmp_path, place, sentence):
    """Each of them used one to fourteen gigabytes, or minutes."""
    zeros = np.zeros((20, 10, 100_000), np.int8)
    assert len(archived(signal=zeros)) < 100_000
    with sentence("20.0 million numbers"):
        open_ecg_bytes("a.npz", archived(signal=zeros, rate=500, leads=list("abcdefghij")))
    with sentence("3000000 words of 4 bytes"):
        open_ecg_bytes(
            "a.npz", archived(signal=np.zeros((1, 1, 9)), rate=500, leads=np.zeros(3_000_000, "U1"))
        )
    with sentence("1 words of 4000000 bytes"):
        open_ecg_bytes("a.npz", archived(signal=np.zeros((1, 1, 9)), rate=500, leads=["(" * 1_000_000]))
    with sentence(r"300 arrays \(limit: 200"):
        open_ecg_bytes("a.npz", archived(**{f"a{i}": 1 for i in range(300)}))
    # Few numbers in a file, and thousands per frame.
    frames = b"a 1 500 1000\na.dat 8x30000 200 16 0 0 0 0 I\n"
    with sentence("30.0 million numbers"):
        open_ecg_bytes("a.zip", zipped({"a.hea": frames, "a.dat": bytes(30_000_000)}))
    # One long record, and many short ones whose leads have other names.
    files = {"z.hea": b"z 1 500 1000000\nz.dat 16 200 16 0 0 0 0 I\n", "z.dat": bytes(2_000_000)}
    for i in range(20):
        files |= {
            f"r{i}.hea": f"r{i} 1 500 9\nr{i}.dat 16 200 16 0 0 0 0 L{i}\n".encode(),
            f"r{i}.dat": bytes(18),
        }
    with sentence("441.0 million numbers"):
        open_ecg_bytes("a.zip", zipped(files))
    with sentence("a header of 100 kB"):
        open_ecg_bytes("a.zip", zipped({"a.hea": b"#" * 100_000, "a.dat": b""}))
    assert not list(place.iterdir())


@pytest.mark.parametrize(
    ("table", "said"),
    [
        (b"1," * 1_000_000 + b"1\n", "a line of 1000001 columns"),
        (b"# rate: 500\r" + b"1;" * 300 + b"1\r", "a line of 301 columns"),
        (b"a" + b" " * 1_000_000 + b"b,I\n1,2\n", "the longest of 1000002 letters"),
        (b'"a\n' + b" " * 1_000_000 + b'b",I\n1,2\n', "begins with a line of"),
    ],
)
def test_a_table_of_too_many_columns_or_endless_names(sentence, table, said):
    with sentence(said):
        open_ecg_bytes("a.csv", table)


def test_a_deflated_dicom_file_with_a_long_head(sentence):
    with sentence("deflated DICOM file, which is not supported"):
        open_ecg_bytes("a.dcm", bytes(128) + b"DICM" + bytes(100_000) + b"1.2.840.10008.1.2.1.99")


def test_names_of_leads_that_never_end_take_no_time():
    from xai_views.samples.readers.raw_record import unique_leads

    assert unique_leads(["(" * 1_000_000]) == ("(" * 200,)
    assert unique_leads(["x"] * 3 + ["y"]) == ("x", "x b", "x c", "y")
    assert len(set(unique_leads(["x"] * 20_000))) == 20_000


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("a.csv", b"", "upload is empty"),
        ("a.csv", "text", "came as str"),
        ("a.csv", bytes(30_000_000), r"has 30.0 MB \(limit: 20 MB"),
        ("a.png", b"x", "is 'a.png'; choose a .csv"),
        ("noname", b"x", "is 'noname'"),
        ("", b"x", "choose a .csv"),
        ("a.npz", b"x", "not a complete .npz"),
        ("a.zip", b"x", "not a complete .zip"),
        ("a.zip", zipped({"a.txt": b"x"}), "no WFDB header"),
        ("a.zip", zipped({"a.hea": b"x"}), "'a.hea'"),
        ("a.zip", zipped({"a.hea": b"a 1 250 10\na.dat 16\n"}), "'a.dat', which is not in its folder"),
    ],
)
def test_what_is_not_taken(place, sentence, name, data, said):
    with sentence(said):
        open_ecg_bytes(name, data)
    assert not list(place.iterdir())


def test_a_zip_that_is_cut_off_or_locked(tmp_path, place, sentence):
    data = bytearray(zipped(record(tmp_path)))
    with sentence("not a complete .zip"):
        open_ecg_bytes("a.zip", bytes(data[:-30]))
    at = data.index(b"r.hea") + 20
    data[at : at + 10] = b"\xff" * 10
    with sentence("not a complete .zip"):
        open_ecg_bytes("a.zip", bytes(data))
    locked = bytearray(zipped(record(tmp_path)))
    for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        start = -1
        while (start := locked.find(mark, start + 1)) >= 0:
            locked[start + offset] |= 1
    with sentence("locked with a password"):
        open_ecg_bytes("a.zip", bytes(locked))


@pytest.mark.parametrize("seed", range(4))
def test_whatever_is_damaged_is_a_sentence_or_a_record(tmp_path, place, seed):
    rng = np.random.default_rng(seed)
    files = record(tmp_path)
    text = "time,I (mV)\n" + "\n".join(f"{t:.3f},{v:.4f}" for t, v in zip(TIME, WAVE, strict=True))

    def damaged(data: bytes, first: int) -> bytes:
        data = bytearray(data)
        at = int(rng.integers(first))
        new = bytes(rng.integers(32, 127, int(rng.integers(1, 4))).astype(np.uint8))
        data[at : at + int(rng.integers(0, 4))] = new
        return bytes(data)

    said = []
    for _ in range(25):
        whole = zipped(files)
        tries = {
            "a.zip": zipped({**files, "r.hea": damaged(files["r.hea"], len(files["r.hea"]))}),
            "b.zip": damaged(whole, len(whole)),
            "c.csv": damaged(text.encode(), 100),
        }
        for name, data in tries.items():
            try:
                ds = open_ecg_bytes(name, data)
            except SamplesError as e:
                said.append(str(e))
            else:
                assert np.isfinite(ds["signal"].values).all()
    assert len(said) > 10
    assert not [text for text in said if "\n" in text or not text.endswith(".")]
    assert not list(place.iterdir())
