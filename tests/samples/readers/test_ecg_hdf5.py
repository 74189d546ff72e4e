"""Tracings in HDF5, on small files in the layout of CODE-15 and of the CODE test set."""

from __future__ import annotations

import sys

import numpy as np
import pytest

import xai_views as xv
from xai_views.samples.readers import raw_record as ecg_raw
from xai_views.samples.readers.ecg_files import is_ecg, open_ecg
from xai_views.samples.readers.hdf5 import ORDERS, hdf5_sources
from xai_views.samples.signals import LEADS

h5py = pytest.importorskip("h5py")
STEPS = 4096
IDS = [1169160, 2873686, 42, 0]  # the last row of a part of CODE-15 is empty
HEAD = "exam_id,age,is_male,nn_predicted_age,1dAVb,RBBB,LBBB,SB,ST,AF,patient_id,death,timey,normal_ecg,trace_file"


def tracing(seed: int, steps: int = 2800, order=LEADS) -> np.ndarray:
    """A record ``[4096, 12]`` in mV with zeros before and after it; limb leads follow from I and II."""
    rng = np.random.default_rng(seed)
    one, two = rng.normal(0, 0.3, (2, steps))
    limb = {"I": one, "II": two, "III": two - one}
    limb |= {"aVR": -(one + two) / 2, "aVL": one - two / 2, "aVF": two - one / 2}
    limb |= {f"V{i}": rng.normal(0, 0.3, steps) for i in range(1, 7)}
    out = np.zeros((STEPS, 12), np.float32)
    start = (STEPS - steps) // 2
    out[start : start + steps] = np.stack([limb[x] for x in order], 1)
    return out


def write(path, rows, ids=IDS):
    with h5py.File(path, "w") as file:
        file["tracings"] = np.stack(rows)
        if ids is not None:
            file["exam_id"] = np.asarray(ids)
    return path


@pytest.fixture
def code15(tmp_path):
    rows = [tracing(0), tracing(1, 4000), tracing(2), np.zeros((STEPS, 12), np.float32)]
    write(tmp_path / "exams_part0.hdf5", rows)
    write(tmp_path / "exams_part17.hdf5", [tracing(9), rows[-1]], [7, 0])
    said = [
        "1169160,38,True,40.1,False,False,False,False,False,True,523632,False,2.1,False,exams_part0.hdf5",
        "2873686,73,True,67.0,True,True,False,False,False,False,1724173,False,6.6,False,exams_part0.hdf5",
        "7,50,False,50.0,False,False,False,False,False,False,5,False,1.0,True,exams_part17.hdf5",
    ]
    (tmp_path / "exams.csv").write_text("\n".join([HEAD, *said]) + "\n")
    return tmp_path


def test_a_folder_of_parts_with_its_labels(code15):
    assert is_ecg(code15)
    ds = xv.open_samples(str(code15))
    assert ds["name"].values.tolist() == ["1169160", "2873686", "42", "7"]
    assert ds.attrs["rate"] == 400
    assert ds["lead"].values.tolist() == list(LEADS)
    assert ds.attrs["classes"] == ["1dAVb", "RBBB", "LBBB", "SB", "ST", "AF"]
    assert ds["label"].values.tolist() == [[0, 0, 0, 0, 0, 1], [1, 1, 0, 0, 0, 0], [0] * 6, [0] * 6]
    assert ds["patient"].values.tolist() == [523632, 1724173, -1, 5]
    assert ds["length"].values.tolist() == [2800, 4000, 2800, 2800]
    for i, seed in enumerate((0, 1, 2, 9)):
        held = tracing(seed, ds["length"].values[i]).T
        held = held[:, held.any(0)]
        np.testing.assert_array_equal(ds["signal"].values[i, :, : held.shape[1]], held)
    flag = ds["flag"].values.tolist()
    for said in (
        "no rate given: 400 Hz assumed",
        "no unit given: mV assumed",
        "order of CODE-15 assumed",
        "1296 steps of zeros at the ends removed",
    ):
        assert said in flag[0]
    assert "96 steps" in flag[1]
    assert "no label in exams.csv (CODE-15)" in flag[2]


def test_one_part_finds_its_labels_and_classes_can_be_chosen(code15):
    file = code15 / "exams_part0.hdf5"
    assert is_ecg(file)
    ds = open_ecg(file, classes=["AF", "normal_ecg"])
    assert ds["label"].values.tolist() == [[1, 0], [0, 0], [0, 0]]
    assert ds.attrs["title"] == "exams_part0"
    kept = open_ecg(file, leads=["II", "V1"])
    np.testing.assert_array_equal(kept["signal"].values, ds["signal"].values[:, [1, 6]])


def test_the_order_of_leads_is_that_which_the_limb_leads_bear_out(tmp_path):
    for order in ORDERS:
        file = write(tmp_path / "x.hdf5", [tracing(3, order=order)], None)
        ds = open_ecg(file)
        assert ds["name"].values.tolist() == ["x-00000"]
        found = dict(zip(ds["lead"].values.tolist(), ds["signal"].values[0], strict=True))
        np.testing.assert_allclose(found["aVR"], -(found["I"] + found["II"]) / 2, atol=1e-6)
        np.testing.assert_allclose(found["aVF"], found["II"] - found["I"] / 2, atol=1e-6)
        assert ("order of the CODE test set" in str(ds["flag"].values[0])) == (order != LEADS)
    noise = np.random.default_rng(0).normal(size=(1, STEPS, 12)).astype(np.float32)
    ds = open_ecg(write(tmp_path / "noise.hdf5", noise, None))
    assert "its limb leads do not confirm it" in str(ds["flag"].values[0])


def test_many_records_are_read_when_they_are_looked_at(code15, monkeypatch):
    eager = open_ecg(code15)
    monkeypatch.setattr(ecg_raw, "EAGER_BYTES", 0)
    late = open_ecg(code15)
    assert late["signal"].chunks is not None
    steps = eager.sizes["time"]  # the longest; lazily read records are not known to be shorter
    np.testing.assert_array_equal(late["signal"].values[..., :steps], eager["signal"].values)


def test_other_leads_and_rates_are_named(tmp_path, sentence):
    file = write(tmp_path / "two.h5", [tracing(0)[:, :2]], [5])
    with sentence("holds tracings of 2 leads without names"):
        open_ecg(file)
    ds = open_ecg(file, leads=["DII", "V5"], rate=500)
    assert ds["lead"].values.tolist() == ["II", "V5"]
    assert ds.attrs["rate"] == 500
    assert "no rate" not in str(ds["flag"].values[0])


def test_what_is_none_is_a_sentence(tmp_path, sentence, monkeypatch):
    broken = tmp_path / "broken.hdf5"
    broken.write_bytes(write(tmp_path / "whole.hdf5", [tracing(0)], [1]).read_bytes()[:2000])
    assert not is_ecg(broken)
    with sentence("'broken.hdf5' cannot be read as HDF5"):
        open_ecg(broken)
    other = tmp_path / "other.h5"
    with h5py.File(other, "w") as file:
        file["weights"] = np.zeros(3)
    assert not is_ecg(other)
    with sentence("has the entries .* and should have numbers 'tracings'"):
        open_ecg(other)
    empty = write(tmp_path / "empty.hdf5", [np.zeros((STEPS, 12), np.float32)], [3])
    with sentence("holds no signal"):
        open_ecg(empty)
    monkeypatch.setitem(sys.modules, "h5py", None)
    with sentence("HDF5 files need the package h5py"):
        hdf5_sources(tmp_path / "whole.hdf5")


def test_a_record_reaches_a_network(code15):
    found = xv.explain("ecg-resnet", xv.open_samples(str(code15)).isel(sample=[0]), method="ecg_clusters")
    assert np.isfinite(found["logit"].values).all()
