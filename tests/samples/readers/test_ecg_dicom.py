"""DICOM waveforms: the real record of pydicom, files written here, and files of other types."""

from __future__ import annotations

import numpy as np
import pytest

from xai_views.samples import open_samples
from xai_views.samples.readers.ecg_files import is_ecg, open_ecg
from xai_views.samples.signals import LEADS

pydicom = pytest.importorskip("pydicom")
from pydicom.data import get_testdata_file  # noqa: E402
from pydicom.dataset import Dataset, FileMetaDataset  # noqa: E402
from pydicom.uid import ExplicitVRLittleEndian, TwelveLeadECGWaveformStorage  # noqa: E402

WAVE = np.rint(400 * np.exp(-0.5 * ((np.arange(1000) % 250 - 100) / 4) ** 2)).astype("<i2")


def channel(name="Lead I (Einthoven)", code="", scheme="", unit="uV", sensitivity=2.5, **more):
    one = Dataset()
    source = Dataset()
    source.CodeValue, source.CodingSchemeDesignator, source.CodeMeaning = (
        code or "x",
        scheme or "99TEST",
        name,
    )
    one.ChannelSourceSequence = [source]
    if sensitivity is not None:
        one.ChannelSensitivity = sensitivity
        units = Dataset()
        units.CodeValue, units.CodingSchemeDesignator, units.CodeMeaning = unit, "UCUM", unit
        one.ChannelSensitivityUnitsSequence = [units]
    for key, value in more.items():
        setattr(one, key, value)
    return one


def group(channels, data=None, rate=500, label="RHYTHM", **more):
    one = Dataset()
    data = np.stack([WAVE] * len(channels), 1) if data is None else data
    one.MultiplexGroupLabel, one.SamplingFrequency = label, rate
    one.NumberOfWaveformChannels, one.NumberOfWaveformSamples = data.shape[1], data.shape[0]
    one.WaveformBitsAllocated, one.WaveformSampleInterpretation = 16, "SS"
    one.WaveformData = data.astype("<i2").tobytes()
    one.ChannelDefinitionSequence = channels
    for key, value in more.items():
        setattr(one, key, value)
    return one


def write(path, *groups, **more):
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = TwelveLeadECGWaveformStorage
    ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = "1.2.3"
    ds.PatientName, ds.Modality = "Doe^Jane", "ECG"
    if groups:
        ds.WaveformSequence = list(groups)
    for key, value in more.items():
        setattr(ds, key, value)
    path.parent.mkdir(parents=True, exist_ok=True)
    ds.save_as(path, enforce_file_format=True)
    return path


def test_the_real_record_of_pydicom():
    path = get_testdata_file("waveform_ecg.dcm")
    assert is_ecg(path)
    ds = open_ecg(path)
    assert ds["signal"].shape == (1, 12, 10_000)
    assert ds["lead"].values.tolist() == list(LEADS)
    assert ds.attrs["rate"] == 1000
    assert not ds["flag"].item()
    # What pydicom reads is in uV; the limb leads of a real record obey Einthoven and Goldberger to its step of 1.25 uV.
    want = pydicom.dcmread(path).waveform_array(0).T / 1000
    np.testing.assert_allclose(ds["signal"].values[0], want, atol=1e-6)
    lead = {x: ds["signal"].sel(lead=x).values[0] for x in LEADS}
    assert np.abs(lead["III"] - (lead["II"] - lead["I"])).max() < 0.005
    assert np.abs(lead["aVR"] + (lead["I"] + lead["II"]) / 2).max() < 0.005
    assert "MEDIAN BEAT" in ds.attrs["note"]
    assert open_samples("ecg/dicom").attrs["synthetic"] == 0


def test_sensitivity_unit_correction_and_baseline(tmp_path):
    channels = [
        channel(),
        channel("Lead II", unit="mV", sensitivity=0.0025),
        channel("Lead V1", ChannelSensitivityCorrectionFactor=2.0),
        channel("Lead V2", ChannelBaseline=100),
    ]
    ds = open_ecg(write(tmp_path / "a.dcm", group(channels)))
    mv = WAVE * 0.0025
    np.testing.assert_allclose(ds["signal"].values[0], [mv, mv, 2 * mv, mv + 0.1], atol=1e-6)
    assert ds["lead"].values.tolist() == ["I", "II", "V1", "V2"]
    assert ds["name"].item() == "a"
    assert "Doe" not in str(ds)


@pytest.mark.parametrize(
    ("code", "scheme", "lead"),
    [
        ("2:1", "MDC", "I"),
        ("2:61", "MDC", "III"),
        ("2:63", "MDC", "aVL"),
        ("5.6.3-9-8", "SCPECG", "V6"),
        ("2:99", "MDC", "Ableitung"),
    ],
)
def test_leads_by_their_codes_where_words_are_unknown(tmp_path, code, scheme, lead):
    ds = open_ecg(write(tmp_path / "a.dcm", group([channel("Ableitung", code, scheme)])))
    assert ds["lead"].values.tolist() == [lead]


def test_the_rhythm_is_taken_and_other_waveforms_named(tmp_path):
    beat = group([channel()], data=WAVE[:200, None], label="MEDIAN BEAT")
    ds = open_ecg(write(tmp_path / "a.dcm", beat, group([channel()])))
    assert ds.sizes["time"] == 1000
    assert ds.attrs["note"] == "Other waveforms of the DICOM file are not shown: MEDIAN BEAT."
    ds = open_ecg(
        write(
            tmp_path / "b.dcm",
            group([channel()], label="A", data=WAVE[:300, None]),
            group([channel()], label="B"),
        )
    )
    assert ds.sizes["time"] == 1000


def test_padding_is_no_value(tmp_path):
    data = np.stack([WAVE, WAVE], 1).copy()
    data[100:120, 0] = -32768
    ds = open_ecg(
        write(
            tmp_path / "a.dcm", group([channel(), channel("Lead II")], data, WaveformPaddingValue=b"\x00\x80")
        )
    )
    assert np.isfinite(ds["signal"].values).all()
    assert "gaps of up to 40 ms in I are bridged by a line" in ds["flag"].item()
    assert float(ds["signal"].min()) > -0.1


def test_what_is_no_voltage(tmp_path, sentence):
    ds = open_ecg(write(tmp_path / "a.dcm", group([channel(), channel("Pressure", unit="mm[Hg]")])))
    assert ds["lead"].values.tolist() == ["I"]
    assert "Pressure (mm[Hg]) left out: not a voltage" in ds["flag"].item()
    with sentence("are in no unit and none is a voltage"):
        open_ecg(write(tmp_path / "b.dcm", group([channel(sensitivity=None)])))


def test_dicom_without_waveforms(sentence, tmp_path):
    path = get_testdata_file("CT_small.dcm")
    assert not is_ecg(path)
    with sentence("modality CT.* holds no waveforms"):
        open_ecg(path)
    with sentence("holds no waveforms"):
        open_ecg(write(tmp_path / "empty.dcm"))


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        ({"WaveformData": b"\0" * 100}, "holds 100 of the 2000 bytes"),
        ({"NumberOfWaveformSamples": 0}, "is empty"),
        ({"NumberOfWaveformSamples": 5000}, "holds 2000 of the 10000 bytes"),
        ({"ChannelDefinitionSequence": []}, "announces 1 leads and describes 0"),
        ({"SamplingFrequency": 0}, "sampling rate"),
        ({"SamplingFrequency": None}, "sampling rate None"),
        ({"WaveformSampleInterpretation": "XX"}, "cannot be read"),
    ],
)
def test_damaged_waveforms(tmp_path, sentence, broken, said):
    with sentence(said):
        open_ecg(write(tmp_path / "a.dcm", group([channel()], **broken)))


def test_what_is_no_dicom(tmp_path, sentence):
    (tmp_path / "a.dcm").write_bytes(b"not dicom at all")
    with sentence("'a' cannot be read as a DICOM file"):
        open_ecg(tmp_path / "a.dcm")
    whole = write(tmp_path / "b.dcm", group([channel()])).read_bytes()
    (tmp_path / "b.dcm").write_bytes(whole[: len(whole) - 500])
    with sentence("'b'"):
        open_ecg(tmp_path / "b.dcm")


def test_a_folder_of_them(tmp_path):
    write(tmp_path / "x" / "1.dcm", group([channel()]))
    write(tmp_path / "y" / "2.dcm", group([channel("Lead II")], rate=500))
    write(tmp_path / "y" / "3.dcm")
    assert is_ecg(tmp_path)
    ds = open_ecg(tmp_path, labels={"1": "well", "2": "ill"})
    assert ds["name"].values.tolist() == ["1", "2"]
    assert ds["present"].values.tolist() == [[True, False], [False, True]]
    assert ds["label"].values.tolist() == [1, 0]
    assert ds.attrs["note"].startswith("1 of 3 records were left out: DICOM file '3'")


def test_without_the_package(tmp_path, sentence, monkeypatch):
    path = write(tmp_path / "a.dcm", group([channel()]))
    monkeypatch.setitem(__import__("sys").modules, "pydicom", None)
    with sentence(r'pip install "xai-views\[ecg\]"'):
        open_ecg(path)
