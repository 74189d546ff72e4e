"""A file of the start page as a set: images alone, in a .zip or .npz, records; everything else is refused in one sentence."""

from __future__ import annotations

import io
import zipfile

import numpy as np
import pytest
from PIL import Image

from xai_views.errors import SamplesError
from xai_views.models import open_model
from xai_views.samples import uploaded
from xai_views.samples.uploaded import open_uploaded


def png(height: int = 12, width: int = 10, value: int = 90) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (width, height), (value, value, value)).save(out, "PNG")
    return out.getvalue()


def packed(**files: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return out.getvalue()


def arrays(**values) -> bytes:
    out = io.BytesIO()
    np.savez(out, **values)
    return out.getvalue()


def test_an_image():
    found = open_uploaded("../../etc/My bird.png", png())
    assert (found.kind, found.title, found.names) == ("image", "My bird.png", ("My-bird",))
    assert found.fitted(open_model("birds-cnn"))["image"].shape == (1, 64, 64, 3)
    assert found.fitted(open_model("digits-sic"))["image"].shape == (1, 28, 28, 1)


def test_images_of_a_zip_in_the_order_of_their_names():
    files = {"b/2.png": png(8, 30, 200), "a/1.png": png(30, 8, 10), "__MACOSX/1.png": b"x", "notes.txt": b"x"}
    found = open_uploaded("my.ZIP", packed(**files))
    assert found.names == ("a-1", "b-2")
    ds = found.fitted(open_model("efficientnet-lite0"))
    assert ds["image"].shape == (2, 30, 8, 3), "any size fits: that of the first"
    assert [int(v) for v in ds["image"].values[:, 0, 0, 0]] == [10, 200]


def test_images_of_an_npz_with_labels():
    data = arrays(image=np.arange(3 * 20 * 20, dtype=np.uint8).reshape(3, 20, 20), label=[2, 0, 1])
    found = open_uploaded("x.npz", data)
    ds = found.fitted(open_model("birds-cnn"))
    assert ds["label"].values.tolist() == [2, 0, 1]
    assert ds.attrs["classes"][2] == "bird 02"


def test_a_record_of_dicom():
    files = pytest.importorskip("pydicom.data")
    with open(files.get_testdata_file("waveform_ecg.dcm"), "rb") as file:  # noqa: PTH123
        found = open_uploaded("r.dcm", file.read())
    assert found.kind == "signal"
    assert found.fitted(open_model("ecg-resnet")).sizes["lead"] == 12
    with pytest.raises(SamplesError, match="takes images; choose another model"):
        found.fitted(open_model("birds-cnn"))


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("x.png", b"", "is empty"),
        ("x.exe", b"MZ", "of an unsupported type"),
        ("x.zip", b"PK", "not a complete .zip"),
        ("x.zip", packed(**{"a.txt": b"x"}), "neither images nor ECG records"),
        ("x.zip", packed(**{"a.png": b"x"}), "'a.png' in the .zip cannot be used"),
        ("x.npz", b"PK", "not a complete .npz"),
        ("x.npz", arrays(image=np.array([{}], object)), "plain arrays"),
        ("x.png", b"no image", "image"),
    ],
)
def test_what_is_refused(name, data, said):
    with pytest.raises(SamplesError, match=said):
        open_uploaded(name, data)


@pytest.mark.parametrize(
    ("bound", "value", "said"),
    [
        ("MOST_BYTES", 10, "limit"),
        ("MOST_IMAGES", 1, "holds 2 images"),
        ("MOST_UNPACKED", 10, "limit"),
        ("MOST_PIXELS", 100, "megapixels in all"),
    ],
)
def test_bounds(monkeypatch, bound, value, said):
    data = packed(**{"a.png": png(), "b.png": png()})
    monkeypatch.setattr(uploaded, bound, value)
    with pytest.raises(SamplesError, match=said):
        open_uploaded("x.zip", data)
