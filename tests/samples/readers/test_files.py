"""Files as found in practice: odd modes, odd names, damage; only requested images are read."""

from __future__ import annotations

import io
import logging

import numpy as np
import pytest
import xarray as xr
from PIL import Image

from xai_views.errors import SamplesError
from xai_views.samples import images, open_samples
from xai_views.samples.readers import folder as folder_module
from xai_views.samples.readers.folder import read

PICTURE = np.random.default_rng(0).integers(0, 256, (10, 12, 3), dtype=np.uint8)


def save(path, array=PICTURE, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = array if isinstance(array, Image.Image) else Image.fromarray(array)
    image.save(path, **options)
    return path


def encoded(image, kind="PNG", **options) -> bytes:
    stream = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(stream, kind, **options)
    return stream.getvalue()


def sentence(e) -> str:
    text = str(e.value)
    assert "\n" not in text
    assert text.rstrip().endswith((".", ")"))
    assert len(text) < 400
    return text


# --- folders


def test_a_subfolder_per_class(tmp_path):
    for kind in ("cat", "dog"):
        for i in range(2):
            save(tmp_path / kind / f"{i}.png")
    ds = open_samples(tmp_path)
    assert ds.attrs["classes"] == ["cat", "dog"]
    assert ds["label"].values.tolist() == [0, 0, 1, 1]
    assert ds["name"].values.tolist() == ["cat-0", "cat-1", "dog-0", "dog-1"]
    np.testing.assert_array_equal(images(ds, [3])[0], PICTURE)
    assert open_samples(tmp_path, classes=["dog", "cat"])["label"].values.tolist() == [1, 1, 0, 0]
    with pytest.raises(SamplesError, match="'cat' is not one of the 1 classes") as e:
        open_samples(tmp_path, classes=["dog"])
    sentence(e)


def test_a_split_is_a_subfolder(tmp_path):
    save(tmp_path / "train" / "a" / "1.png")
    save(tmp_path / "test" / "a" / "2.png")
    assert open_samples(tmp_path, split="test")["name"].values.tolist() == ["a-2"]
    with pytest.raises(SamplesError, match="no subfolder 'valid'") as e:
        open_samples(tmp_path, split="valid")
    sentence(e)


@pytest.mark.parametrize("column", ["name", "file", "filename"])
def test_a_table_of_labels(tmp_path, column):
    for name in ("a", "b", "c"):
        save(tmp_path / "pictures" / f"{name}.png")
    suffix = "" if column == "name" else ".png"
    rows = f"{column},label\na{suffix},x\nb{suffix},y\nc{suffix},x\n"
    (tmp_path / "pictures" / "labels.csv").write_text("\ufeff" + rows, "utf-8")
    (tmp_path / "pictures" / "other.csv").write_text("nothing\n1\n")
    ds = open_samples(tmp_path / "pictures")
    assert ds["label"].values.tolist() == [0, 1, 0]
    assert ds.attrs["classes"] == ["x", "y"]
    (tmp_path / "elsewhere.csv").write_text(rows.replace(",x", ",z"))
    elsewhere = open_samples(tmp_path / "pictures", labels=tmp_path / "elsewhere.csv")
    assert elsewhere.attrs["classes"] == ["y", "z"]
    assert open_samples(tmp_path / "pictures", labels="labels.csv").attrs["classes"] == ["x", "y"]
    assert open_samples(tmp_path / "pictures", labels=["u", "v", "v"])["label"].values.tolist() == [0, 1, 1]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("file,label\na.png,x\n", "no label for 'b.png'"),
        ("file,label\na.png,x\nb.png\n", "no label for 'b.png'"),
        ("file,label\na.png,x\nb.png,\n", "no label for 'b.png'"),
        ("picture,class\na.png,x\n", "needs 'file'"),
        ("", "No columns"),
        ("file,label\na.png,\udcff\n", "UTF-8"),
    ],
)
def test_a_table_that_does_not_fit(tmp_path, text, says):
    save(tmp_path / "a.png")
    save(tmp_path / "b.png")
    (tmp_path / "labels.csv").write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(SamplesError, match=says) as e:
        open_samples(tmp_path)
    sentence(e)


def test_a_table_that_is_not_there(tmp_path):
    save(tmp_path / "a.png")
    with pytest.raises(SamplesError, match=r"no label file 'x\.csv'") as e:
        open_samples(tmp_path, labels="x.csv")
    sentence(e)
    with pytest.raises(SamplesError, match="3 labels were given for 1 samples"):
        open_samples(tmp_path, labels=[0, 1, 2])


def test_images_of_two_sizes(tmp_path):
    save(tmp_path / "a.png")
    save(tmp_path / "b.png", PICTURE[:, :7])
    with pytest.raises(SamplesError, match=r"'a\.png' has 10x12 .* 'b\.png' has 10x7.*size=") as e:
        open_samples(tmp_path)
    sentence(e)
    assert open_samples(tmp_path, size=(5, 6))["image"].shape == (2, 5, 6, 3)
    for size in (5, (0, 3), ("a", "b"), (1, 2, 3), (-1, 4), (10**9, 1)):
        with pytest.raises(SamplesError, match=r"size=.* \(height, width\)") as e:
            open_samples(tmp_path, size=size)
        sentence(e)


def test_grey_stays_grey_unless_mixed(tmp_path):
    save(tmp_path / "a.png", PICTURE[..., 0])
    save(tmp_path / "b.png", PICTURE[..., 1])
    ds = open_samples(tmp_path)
    assert ds["image"].shape == (2, 10, 12, 1)
    np.testing.assert_array_equal(images(ds, 1)[0, ..., 0], PICTURE[..., 1])
    save(tmp_path / "c.png")
    mixed = open_samples(tmp_path)
    assert mixed["image"].shape == (3, 10, 12, 3)
    np.testing.assert_array_equal(images(mixed, 0)[0], np.repeat(PICTURE[..., :1], 3, -1))


def test_images_are_turned_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    save(tmp_path / "a.png", PICTURE, exif=exif)
    ds = open_samples(tmp_path)
    assert ds["image"].shape == (1, 12, 10, 3)
    np.testing.assert_array_equal(images(ds, 0)[0], np.rot90(PICTURE, -1))
    lazily = read(tmp_path / "a.png")
    np.testing.assert_array_equal(lazily, np.rot90(PICTURE, -1))


def test_transparent_images_lie_on_white(tmp_path):
    alpha = np.zeros((10, 12, 1), np.uint8)
    alpha[:5] = 255
    save(tmp_path / "a.png", np.concatenate([PICTURE, alpha], -1))
    image = images(open_samples(tmp_path), 0)[0]
    np.testing.assert_array_equal(image[:5], PICTURE[:5])
    assert (image[5:] == 255).all()


def test_sixteen_bits_keep_their_range(tmp_path):
    values = np.array([[0, 257, 65535, 128 * 257]], np.uint16)
    save(tmp_path / "a.png", Image.fromarray(values))
    image = images(open_samples(tmp_path), 0)[0, 0, :, 0]
    assert image.tolist() == [0, 1, 255, 128]
    dark = np.full((1, 4), 200, np.uint16)  # nearly black on the scale of sixteen bits
    save(tmp_path / "b.png", Image.fromarray(dark))
    assert images(open_samples(tmp_path), 1)[0, 0, :, 0].tolist() == [1, 1, 1, 1]
    save(tmp_path / "float" / "a.tif", Image.fromarray(np.array([[0, 0.5, 1, np.nan]], np.float32)))
    assert images(open_samples(tmp_path / "float"), 0)[0, 0, :, 0].tolist() == [0, 128, 255, 0]


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16", "I", "F"])
def test_every_mode_can_be_opened(tmp_path, mode):
    grey = Image.fromarray(PICTURE).convert("L")
    image = grey.convert(mode) if mode in ("I;16", "I", "F") else Image.fromarray(PICTURE).convert(mode)
    save(tmp_path / "a.tif", image)
    ds = open_samples(tmp_path)
    assert ds["image"].dtype == np.uint8
    assert ds["image"].shape[:3] == (1, 10, 12)


def test_damaged_files_are_left_out_with_a_warning(tmp_path, caplog):
    save(tmp_path / "a" / "good.png")
    (tmp_path / "a" / "empty.png").write_bytes(b"")
    (tmp_path / "a" / "text.jpg").write_text("not an image")
    (tmp_path / "b").mkdir()
    save(tmp_path / "b" / "good.jpg")
    whole = (tmp_path / "b" / "good.jpg").read_bytes()
    (tmp_path / "b" / "half.jpg").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "a" / "._good.png").write_bytes(b"what a Mac leaves behind")
    (tmp_path / "readme.txt").write_text("not looked at")
    with caplog.at_level(logging.WARNING, "xai_views.samples"):
        ds = open_samples(tmp_path)
    assert ds["name"].values.tolist() == ["a-good", "b-good"]
    assert ds["label"].values.tolist() == [0, 1]
    said = " ".join(caplog.messages)
    assert all(name in said for name in ("empty.png", "text.jpg", "half.jpg"))
    assert "readme" not in said
    assert "._good" not in said


def test_nothing_readable(tmp_path):
    (tmp_path / "x.png").write_bytes(b"")
    with pytest.raises(SamplesError, match=r"none of the 1 image files .* 'x\.png'") as e:
        open_samples(tmp_path)
    sentence(e)
    whole = encoded(PICTURE, "JPEG")
    (tmp_path / "x.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(SamplesError, match=r"'x\.png'"):
        open_samples(tmp_path)
    (tmp_path / "none").mkdir()
    with pytest.raises(SamplesError, match="'none' holds no images") as e:
        open_samples(tmp_path / "none")
    sentence(e)


def test_names_fit_a_url_and_stay_unique(tmp_path):
    for name in ("a b.png", "a-b.png", "ä.png", "日本.png", "100%.png", "x.png"):
        save(tmp_path / name)
    save(tmp_path / "x.bmp")
    names = open_samples(tmp_path)["name"].values.tolist()
    assert len(set(names)) == 7
    assert all(n.isascii() and not set(n) & set(" /%?#&|") for n in names)


def test_many_images_stay_on_disk(tmp_path, monkeypatch):
    for i in range(5):
        save(tmp_path / f"{i}.png", np.full((4, 4, 3), i, np.uint8))
    monkeypatch.setattr(folder_module, "IN_MEMORY", 100)
    opened = []
    monkeypatch.setattr(folder_module, "read", lambda f, *a: opened.append(f.name) or read(f, *a))
    ds = open_samples(tmp_path)
    assert opened == []
    assert images(ds, [3]).max() == 3
    assert opened == ["3.png"]
    whole = (tmp_path / "4.png").read_bytes()
    (tmp_path / "4.png").write_bytes(whole[:45])
    with pytest.raises(SamplesError, match=r"'4\.png' cannot be read") as e:
        images(ds, [4])
    sentence(e)


# --- single files


def test_npz(tmp_path):
    file = tmp_path / "a.npz"
    np.savez(file, image=PICTURE[None], label=[1], classes=["x", "y"])
    ds = open_samples(file)
    assert ds.attrs["title"] == "a"
    assert ds.attrs["classes"] == ["x", "y"]
    assert ds["label"].values.tolist() == [1]
    np.save(tmp_path / "b.npy", PICTURE[None])
    assert open_samples(tmp_path / "b.npy")["image"].shape == (1, 10, 12, 3)
    np.savez(
        tmp_path / "labels.npz",
        images=PICTURE[None],
        labels=["x"],
        part=np.ones((1, 10, 12), int),
        parts=["nothing", "nose"],
    )
    again = open_samples(str(tmp_path / "labels.npz"))
    assert again["part"].dtype == np.int16
    assert again.attrs["parts"] == ["nothing", "nose"]


class Exploding:
    """Code that a pickle would run."""

    def __reduce__(self):
        raise AssertionError("pickled")


@pytest.mark.parametrize("damage", ["empty", "text", "half", "objects", "no image", "objects npy"])
def test_damaged_npz(tmp_path, damage):
    file = tmp_path / "a.npz"
    np.savez_compressed(file, image=np.random.default_rng(0).integers(0, 255, (4, 32, 32, 3), np.uint8))
    whole = file.read_bytes()
    if damage == "objects":
        np.savez(file, image=np.array([{}, []], object))
    elif damage == "objects npy":
        file = tmp_path / "a.npy"
        np.save(file, np.array([{}, []], object), allow_pickle=True)
    elif damage == "no image":
        np.savez(file, x=[1])
    else:
        file.write_bytes({"empty": b"", "text": b"hello", "half": whole[: len(whole) // 2]}[damage])
    with pytest.raises(SamplesError, match=file.name) as e:
        open_samples(file)
    sentence(e)


def test_npz_with_flipped_bytes(tmp_path):
    file = tmp_path / "a.npz"
    np.savez_compressed(file, image=PICTURE[None])
    whole = bytearray(file.read_bytes())
    for at in range(80, 160):
        whole[at] ^= 0xFF
    file.write_bytes(whole)
    with pytest.raises(SamplesError, match=r"a\.npz") as e:
        open_samples(file)
    sentence(e)


def test_zarr_round_trip_is_lazy(tmp_path):
    ds = open_samples("birds/test").isel(sample=slice(0, 6))
    ds.chunk(sample=1).to_zarr(tmp_path / "birds.zarr")
    again = open_samples(tmp_path / "birds.zarr")
    assert again["image"].chunks is not None
    assert again.attrs["classes"] == ds.attrs["classes"]
    assert list(again.attrs["parts"]) == list(ds.attrs["parts"])
    for key in ("image", "label", "part", "name"):
        np.testing.assert_array_equal(again[key].values, ds[key].values)
    np.testing.assert_array_equal(images(again, [2, 0]), ds["image"].values[[2, 0]])


def test_zarr_that_is_none(tmp_path):
    (tmp_path / "a.zarr").mkdir()
    (tmp_path / "a.zarr" / "zarr.json").write_text("{")
    with pytest.raises(SamplesError, match=r"a\.zarr") as e:
        open_samples(tmp_path / "a.zarr")
    sentence(e)
    xr.Dataset({"x": ("y", [1, 2])}).to_zarr(tmp_path / "b.zarr")
    with pytest.raises(SamplesError, match="need a variable 'image'") as e:
        open_samples(tmp_path / "b.zarr")
    sentence(e)


def test_lazy_floats_are_looked_at_when_computed(tmp_path):
    image = np.zeros((3, 4, 4, 1), np.float32)
    image[2] = np.nan
    ds = xr.Dataset({"image": (("sample", "y", "x", "channel"), image)})
    ds.chunk(sample=1).to_zarr(tmp_path / "a.zarr")
    ds = open_samples(tmp_path / "a.zarr")
    assert images(ds, [0, 1]).max() == 0
    with pytest.raises(SamplesError, match="not finite"):
        images(ds, [2])


def test_what_is_no_samples(tmp_path):
    (tmp_path / "a.txt").write_text("x")
    save(tmp_path / "one.png")
    for spec in (tmp_path / "a.txt", tmp_path / "one.png", "", "birds/tst", "a" * 3000, 3, None, "\0", b"x"):
        with pytest.raises(SamplesError) as e:
            open_samples(spec)
        sentence(e)
    with pytest.raises(SamplesError, match="'birds/test'"):
        open_samples("birds/tst")
