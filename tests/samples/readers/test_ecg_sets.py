"""Labels of known sets, on small folders in their layout."""

from __future__ import annotations

import numpy as np
import pytest

from xai_views.samples.readers.ecg_files import open_ecg

wfdb = pytest.importorskip("wfdb")


def record(path, rate=500, comments=(), leads=("I", "II")):
    path.parent.mkdir(parents=True, exist_ok=True)
    time = np.arange(2 * rate) / rate % 1.0
    wave = np.exp(-0.5 * ((time - 0.4) / 0.01) ** 2) + 0.05 * np.sin(6 * time)
    wfdb.wrsamp(
        path.name, rate, ["mV"] * len(leads), list(leads), np.stack([wave] * len(leads), 1), fmt=["16"] * len(leads),
        write_dir=str(path.parent), comments=list(comments),
    )  # fmt: skip


# --- PTB-XL


@pytest.fixture
def ptbxl(tmp_path):
    """Three records in both rates; the table has two of them, and one that is missing."""
    root = tmp_path / "ptb-xl"
    for k in (1, 2, 7):
        record(root / "records100" / "00000" / f"{k:05d}_lr", 100)
        record(root / "records500" / "00000" / f"{k:05d}_hr", 500)
    head = "ecg_id,patient_id,scp_codes,strat_fold,filename_lr,filename_hr"
    rows = [
        "1,15709.0,\"{'NORM': 100.0, 'SR': 0.0}\",3,records100/00000/00001_lr,records500/00000/00001_hr",
        "2,13243.0,\"{'IMI': 15.0, 'ASMI': 50.0, 'AFIB': 0.0, 'LVH': 0.0}\",10,records100/00000/00002_lr,x",
        "3,99.0,\"{'NORM': 80.0}\",1,records100/00000/00003_lr,records500/00000/00003_hr",
    ]
    (root / "ptbxl_database.csv").write_text("\n".join([head, *rows]) + "\n")
    statements = [
        ",description,diagnostic,form,rhythm,diagnostic_class,diagnostic_subclass",
        "NORM,normal ECG,1.0,,,NORM,NORM",
        "IMI,inferior myocardial infarction,1.0,,,MI,IMI",
        "ASMI,anteroseptal myocardial infarction,1.0,,,MI,AMI",
        "LVH,left ventricular hypertrophy,1.0,,,HYP,LVH",
        "AFIB,atrial fibrillation,,,1.0,,",
        "SR,sinus rhythm,,,1.0,,",
    ]
    (root / "scp_statements.csv").write_text("\n".join(statements) + "\n")
    return root


def test_ptbxl_superclasses(ptbxl):
    ds = open_ecg(ptbxl)
    assert ds.attrs["rate"] == 500
    assert ds["name"].values.tolist() == ["00001_hr", "00002_hr", "00007_hr"]
    assert ds.attrs["classes"] == ["NORM", "MI", "STTC", "CD", "HYP"]
    assert ds["label"].values.tolist() == [[1, 0, 0, 0, 0], [0, 1, 0, 0, 1], [0, 0, 0, 0, 0]]
    assert ds["flag"].values.tolist() == ["", "", "no label in ptbxl_database.csv (PTB-XL)"]
    assert ds["fold"].values.tolist() == [3, 10, -1]
    assert ds["patient"].values.tolist() == [15709, 13243, -1]


def test_ptbxl_at_100_hz_and_by_code(ptbxl, sentence):
    ds = open_ecg(ptbxl, rate=100, classes=["AFIB", "MI", "SR"])
    assert ds.attrs["rate"] == 100
    assert ds["name"].values.tolist() == ["00001_lr", "00002_lr", "00007_lr"]
    assert ds["label"].values.tolist() == [[0, 0, 1], [1, 1, 0], [0, 0, 0]]
    with sentence("PTB-XL has no class 'AFIBB'; the nearest classes: 'AFIB'"):
        open_ecg(ptbxl, classes=["AFIBB"])
    with sentence("states 500 Hz and rate=400|no records of 400 Hz"):
        open_ecg(ptbxl, rate=400)


def test_a_part_of_ptbxl_finds_its_table_above(ptbxl):
    ds = open_ecg(ptbxl / "records100" / "00000")
    assert ds["label"].values.tolist()[1] == [0, 1, 0, 0, 1]
    (ptbxl / "scp_statements.csv").unlink()
    assert open_ecg(ptbxl).attrs["classes"] == ["AFIB", "ASMI", "IMI", "LVH", "NORM", "SR"]


def test_a_damaged_table_of_ptbxl(ptbxl, sentence):
    file = ptbxl / "ptbxl_database.csv"
    text = file.read_text()
    file.write_text(text.replace("{'NORM': 100.0, 'SR': 0.0}", "__import__('os')"))
    with sentence("which are not a dictionary"):
        open_ecg(ptbxl)
    file.write_text(text.replace("scp_codes", "codes"))
    with sentence("needs one of scp_codes"):
        open_ecg(ptbxl)


# --- CODE-15


def test_code15(tmp_path, sentence):
    for k in (1169160, 2873686, 42):
        record(tmp_path / "exams_part0" / str(k), 400)
    head = "exam_id,age,is_male,nn_predicted_age,1dAVb,RBBB,LBBB,SB,ST,AF,patient_id,death,timey,normal_ecg,trace_file"
    rows = [
        "1169160,38,True,40.1,False,False,False,False,False,True,523632,False,2.1,False,exams_part0.hdf5",
        "2873686,73,True,67.0,True,True,False,False,False,False,1724173,False,6.6,False,exams_part0.hdf5",
    ]
    (tmp_path / "exams.csv").write_text("\n".join([head, *rows]) + "\n")
    ds = open_ecg(tmp_path)
    assert ds["name"].values.tolist() == ["1169160", "2873686", "42"]
    assert ds.attrs["classes"] == ["1dAVb", "RBBB", "LBBB", "SB", "ST", "AF"]
    assert ds["label"].values.tolist() == [[0, 0, 0, 0, 0, 1], [1, 1, 0, 0, 0, 0], [0] * 6]
    assert ds["flag"].values.tolist() == ["", "", "no label in exams.csv (CODE-15)"]
    assert ds["patient"].values.tolist() == [523632, 1724173, -1]
    part = open_ecg(tmp_path / "exams_part0", classes=["AF", "normal_ecg"])
    assert part["label"].values.tolist() == [[1, 0], [0, 0], [0, 0]]
    with sentence("no column 'AFib'; the nearest columns: 'AF'"):
        open_ecg(tmp_path, classes=["AFib"])
    with sentence("0 or 1 is expected"):
        open_ecg(tmp_path, classes=["age"])


# --- challenges of CinC


def test_cinc_2020_and_2021(tmp_path, sentence):
    folder = tmp_path / "training" / "georgia" / "g1"
    record(folder / "E00001", comments=["Age: 74", "Sex: Male", "Dx: 426783006,164889003"])
    record(folder / "E00002", comments=["Dx: 59118001"])
    record(folder / "E00003", comments=["Dx: Unknown"])
    ds = open_ecg(folder)
    assert ds.attrs["classes"] == ["164889003", "426783006", "59118001"]
    assert ds["label"].values.tolist() == [[1, 1, 0], [0, 0, 1], [0, 0, 0]]
    assert ds["flag"].values.tolist() == ["", "", "no label in the headers (SNOMED CT)"]
    mapping = [
        "Dx,SNOMEDCTCode,Abbreviation",
        "atrial fibrillation,164889003,AF",
        "right bundle branch block,59118001,RBBB",
        "sinus rhythm,426783006,NSR",
        "bradycardia,426627000,Brady",
    ]
    (tmp_path / "training" / "dx_mapping_scored.csv").write_text("\n".join(mapping) + "\n")
    ds = open_ecg(folder)
    assert ds.attrs["classes"] == ["AF", "RBBB", "NSR"]
    assert ds["label"].values.tolist() == [[1, 0, 1], [0, 1, 0], [0, 0, 0]]
    ds = open_ecg(folder, classes=["Brady", "59118001"])
    assert ds["label"].values.tolist() == [[0, 0], [0, 1], [0, 0]]
    with sentence("no header has the diagnosis 'AFF'"):
        open_ecg(folder, classes=["AFF"])


def test_cinc_2017(tmp_path):
    for k in range(1, 6):
        record(tmp_path / f"A{k:05d}", 300, leads=["ECG"])
    (tmp_path / "REFERENCE.csv").write_text("A00001,N\nA00002,A\nA00003,O\nA00004,~\n")
    ds = open_ecg(tmp_path)
    assert ds.attrs["classes"] == ["normal", "atrial fibrillation", "other rhythm", "noise"]
    assert ds["label"].values.tolist() == [0, 1, 2, 3, -1]
    assert ds["flag"].values.tolist()[4] == "no label in REFERENCE.csv"


def test_cpsc_2018(tmp_path, sentence):
    for k in range(1, 4):
        record(tmp_path / f"A{k:04d}")
    (tmp_path / "REFERENCE.csv").write_text(
        "Recording,First_label,Second_label,Third_label\nA0001,5,,\nA0002,2,7,\nA0003,1,,\n"
    )
    ds = open_ecg(tmp_path)
    assert ds.attrs["classes"][:3] == ["normal", "AF", "I-AVB"]
    assert [np.flatnonzero(row).tolist() for row in ds["label"].values] == [[4], [1, 6], [0]]
    assert open_ecg(tmp_path, classes=["PVC", "AF"])["label"].values.tolist() == [[0, 0], [1, 1], [0, 0]]
    with sentence("has the classes normal, AF"):
        open_ecg(tmp_path, classes=["flutter"])


def test_cinc_2025(tmp_path):
    for k, said in enumerate(("True", "False", "")):
        record(tmp_path / str(k), 400, comments=["Source: CODE-15%", f"Chagas label: {said}"])
    ds = open_ecg(tmp_path)
    assert ds["label"].values.tolist() == [1, 0, -1]
    assert ds.attrs["classes"] == ["no Chagas disease", "Chagas disease"]


# --- custom labels


def test_own_tables_mappings_and_folders(tmp_path, sentence):
    record(tmp_path / "a" / "1")
    record(tmp_path / "b" / "2")
    assert "label" not in open_ecg(tmp_path)
    assert open_ecg(tmp_path, labels="folder").attrs["classes"] == ["a", "b"]
    assert open_ecg(tmp_path, labels={"1": "x", "b/2": "y"})["label"].values.tolist() == [0, 1]
    assert open_ecg(tmp_path, labels=[1, 0], classes=["x", "y"])["label"].values.tolist() == [1, 0]
    (tmp_path / "mine.csv").write_text("file,label\na/1.dat,ill\n2,well\n")
    ds = open_ecg(tmp_path, labels="mine.csv", classes=["well", "ill"])
    assert ds["label"].values.tolist() == [1, 0]
    assert ds.attrs["labels"] == "mine.csv"
    (tmp_path / "labels.csv").write_text("record,AF,LBBB,note\n1,1,0,x\n2,1,1,y\n")
    ds = open_ecg(tmp_path)
    assert (ds["label"].values.tolist(), ds.attrs["classes"]) == ([[1, 0], [1, 1]], ["AF", "LBBB"])
    one = open_ecg(tmp_path / "a" / "1", labels=["ill"], classes=["well", "ill"])
    assert one["label"].values.tolist() == [1]
    with sentence("there is no label file 'none.csv'"):
        open_ecg(tmp_path, labels="none.csv")
    with sentence("3 labels were given for 2"):
        open_ecg(tmp_path, labels=[0, 1, 2])
    (tmp_path / "mine.csv").write_text("file,label\n1,ill\n1,well\n")
    with sentence("two rows for '1'"):
        open_ecg(tmp_path, labels="mine.csv")
    (tmp_path / "mine.csv").write_text("file,remark\n1,ill\n")
    with sentence("no column 'label' and no columns of 0 and 1"):
        open_ecg(tmp_path, labels="mine.csv")
    (tmp_path / "mine.csv").write_text("label\n1\n")
    with sentence("needs one of name, record"):
        open_ecg(tmp_path, labels="mine.csv")
    record(tmp_path / "3")
    with sentence("some records are in no subfolder"):
        open_ecg(tmp_path, labels="folder")


def test_a_table_that_knows_none_of_the_records_is_named(tmp_path):
    record(tmp_path / "1")
    (tmp_path / "exams.csv").write_text("exam_id,AF\n99,True\n")
    ds = open_ecg(tmp_path)
    assert "label" not in ds
    assert ds.attrs["note"] == "None of the records has a label in exams.csv (CODE-15)."


def test_labels_stay_with_their_records_when_one_is_left_out(tmp_path):
    for k in "abc":
        record(tmp_path / k)
    (tmp_path / "b.dat").write_bytes(b"\0" * 10)
    (tmp_path / "labels.csv").write_text("record,label\na,x\nb,y\nc,z\n")
    ds = open_ecg(tmp_path)
    assert ds["name"].values.tolist() == ["a", "c"]
    assert [ds.attrs["classes"][i] for i in ds["label"].values] == ["x", "z"]
