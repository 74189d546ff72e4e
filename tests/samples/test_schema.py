"""The schema: valid samples are returned, anything else raises one sentence that says what to do."""

import subprocess
import sys

import dask.array as da
import numpy as np
import pytest
import xarray as xr

from xai_views import samples


def good(**changes) -> xr.Dataset:
    """Return valid samples, with variables replaced (None drops one)."""
    variables = {
        "image": (("sample", "y", "x", "channel"), np.zeros((3, 6, 5, 1), np.uint8)),
        "label": ("sample", np.array([0, 1, -1])),
        "name": ("sample", np.array(["a", "b", "c"])),
    } | changes
    return xr.Dataset({k: v for k, v in variables.items() if v is not None}, attrs={"classes": ["x", "y"]})


def test_importing_samples_imports_neither_torch_nor_panel():
    code = "import sys, xai_views.samples; sys.exit(bool({'torch', 'panel', 'holoviews'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_what_fits_comes_back_with_all_words():
    ds = samples.validate(good())
    assert set(ds.attrs) >= {"title", "classes", "synthetic", "note", "licence", "origin"}
    xr.testing.assert_equal(ds, good())


def test_names_are_numbered_when_there_are_none():
    assert samples.validate(good(name=None))["name"].values.tolist() == [f"sample-{i:05d}" for i in range(3)]


def test_dataset_puts_all_together(rgb):
    part = np.zeros((4, 12, 10), np.uint8)
    part[:, 3:5] = 1
    ds = samples.dataset(
        rgb,
        [1, 0, 1, -1],
        list("abcd"),
        ["cat", "dog"],
        part,
        ["nothing", "tail"],
        part == 1,
        title="pets",
        synthetic=1,
    )
    assert ds["image"].dims == ("sample", "y", "x", "channel")
    assert ds["label"].dtype == np.int64
    assert ds["part"].dtype == np.int16
    assert ds["mask"].dtype == bool
    assert ds.attrs["parts"] == ["nothing", "tail"]
    assert ds.attrs["title"] == "pets"


def test_grey_images_need_no_channel():
    assert samples.dataset(np.zeros((3, 6, 5), np.uint8))["image"].shape == (3, 6, 5, 1)


def test_double_floats_become_single():
    ds = samples.dataset(np.full((2, 8, 8, 3), 0.1))
    assert ds["image"].dtype == np.float32
    assert samples.images(ds, [0]).dtype == np.float32


def test_class_names_become_indices():
    ds = samples.dataset(np.zeros((3, 8, 8), np.uint8), ["dog", "cat", "dog"])
    assert ds.attrs["classes"] == ["cat", "dog"]
    assert ds["label"].values.tolist() == [1, 0, 1]


@pytest.mark.parametrize("kind", ["u1", "u8", "i1", "?", ">i4"])
def test_labels_of_any_integer_type(kind):
    ds = samples.dataset(np.zeros((3, 8, 8), np.uint8), np.array([0, 1, 1], kind))
    assert ds["label"].dtype == np.int64
    assert ds["label"].values.tolist() == [0, 1, 1]
    assert ds.attrs["classes"] == ["class 0", "class 1"]


def test_class_names_in_a_column_of_pandas():
    ds = samples.dataset(np.zeros((3, 8, 8), np.uint8), np.array(["b", "a", "b"], object))
    assert ds["label"].values.tolist() == [1, 0, 1]


def test_several_labels_at_once():
    ds = samples.dataset(np.zeros((2, 8, 8), np.uint8), [[1, 0, 1], [0, 0, 0]], classes=["a", "b", "c"])
    assert ds["label"].dims == ("sample", "class")


IMAGES = {
    "channels first": (np.zeros((4, 3, 32, 32), np.uint8), "transpose"),
    "grey channels first": (np.zeros((4, 1, 28, 28), np.uint8), "transpose"),
    "RGBA": (np.zeros((4, 8, 8, 4), np.uint8), r"4 channels.*\[\.\.\., :-1\]"),
    "two channels": (np.zeros((4, 8, 8, 2), np.uint8), "2 channels"),
    "many channels": (np.zeros((4, 8, 8, 7), np.uint8), "7 channels"),
    "one picture": (np.zeros((32, 32, 3), np.uint8), r"image\[None\]"),
    "two dimensions": (np.zeros((8, 8), np.uint8), r"\[samples, height, width, channels\]"),
    "five dimensions": (np.zeros((1, 1, 8, 8, 3), np.uint8), r"\[samples, height, width, channels\]"),
    "no sample": (np.zeros((0, 8, 8, 3), np.uint8), "at least one"),
    "no pixel": (np.zeros((2, 0, 8, 3), np.uint8), "is empty"),
    "float to 255": (np.full((2, 8, 8, 3), 200.0), "divide it by 255"),
    "normalised": (np.linspace(-2, 2, 384).reshape(2, 8, 8, 3), "before any normalisation"),
    "NaN": (np.full((2, 8, 8, 3), np.nan), "not finite"),
    "infinite": (np.full((2, 8, 8, 3), np.inf), "not finite"),
    "int64": (np.zeros((2, 8, 8, 3), np.int64), "int64.*uint8"),
    "uint16": (np.zeros((2, 8, 8, 3), np.uint16), "uint16.*uint8"),
    "bool": (np.zeros((2, 8, 8, 3), bool), "bool.*uint8"),
    "complex": (np.zeros((2, 8, 8, 3), complex), "not one array of numbers"),
    "strings": (np.full((2, 8, 8, 3), "x"), "not one array of numbers"),
    "ragged": ([np.zeros((8, 8)), np.zeros((9, 8))], "differ in size"),
    "nothing": (None, "not one array of numbers"),
    "objects": (np.array([object()]), "not one array of numbers"),
}


@pytest.mark.parametrize("case", IMAGES)
def test_images_that_do_not_fit(case, sentence):
    image, words = IMAGES[case]
    with sentence(words):
        samples.dataset(image)


CHANGES = {
    "no image": ({"image": None}, "need a variable 'image'"),
    "dimensions": (
        {"image": (("n", "y", "x", "channel"), np.zeros((3, 6, 5, 1), np.uint8))},
        "transpose or rename",
    ),
    "same name twice": ({"name": ("sample", np.array(["a", "b", "a"]))}, "'a' is used more than once"),
    "slash in a name": ({"name": ("sample", np.array(["a", "b", "c/d"]))}, "'c/d' cannot be used in a URL"),
    "empty name": ({"name": ("sample", np.array(["a", "b", ""]))}, "cannot be used in a URL"),
    "label too large": ({"label": ("sample", np.array([0, 1, 2]))}, r"\[0, 2\] for 2 class names"),
    "label too small": ({"label": ("sample", np.array([0, 1, -2]))}, "use -1 for unknown"),
    "float label": ({"label": ("sample", np.array([0.0, 1, 1]))}, "float64.*should be integers"),
    "label columns": ({"label": (("sample", "class"), np.ones((3, 4), int))}, "4 columns for 2"),
    "label rows not 0/1": ({"label": (("sample", "class"), np.full((3, 2), 2))}, "should be 0 or 1"),
    "part without names": ({"part": (("sample", "y", "x"), np.zeros((3, 6, 5), np.int16))}, "give parts"),
    "part of floats": ({"part": (("sample", "y", "x"), np.zeros((3, 6, 5)))}, "integer ids"),
    "part of another shape": ({"part": (("sample", "v", "u"), np.zeros((3, 2, 5), int))}, "should have"),
    "mask of numbers": ({"mask": (("sample", "y", "x"), np.zeros((3, 6, 5), np.uint8))}, "should be bool"),
}


@pytest.mark.parametrize("case", CHANGES)
def test_datasets_that_do_not_fit(case, sentence):
    changes, words = CHANGES[case]
    with sentence(words):
        samples.validate(good(**changes))


def test_what_is_no_dataset(sentence):
    with sentence("came as list"):
        samples.validate([1, 2])


def test_class_names_used_twice(sentence):
    with sentence("'x' is used twice"):
        samples.validate(good().assign_attrs(classes=["x", "y", "x"]))


def test_part_ids_without_a_name(sentence):
    with sentence(r"ids in \[0, 9\] for 2 names"):
        samples.dataset(
            np.zeros((1, 8, 8), np.uint8),
            part=np.full((1, 8, 8), 9) * np.eye(8, dtype=int),
            parts=["nothing", "a"],
        )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"label": [0, 1]}, "2 labels were given for 3"),
        ({"label": [0.5, 1, 0]}, "class indices or class names"),
        ({"label": [[[0]]] * 3}, "one class per image"),
        ({"label": ["a", "b", "c"], "classes": ["a", "b"]}, "'c' is not one of the 2 classes"),
        ({"name": ["a"]}, "1 names were given for 3"),
        ({"mask": np.zeros((3, 4, 4), bool)}, "'mask' has shape"),
        ({"label": [0, 1, 300], "classes": ["a", "b"]}, r"\[0, 300\]"),
        ({"label": [None, 0, 1]}, "class indices or class names"),
        ({"label": np.array([0, 1, 2**63 + 5], np.uint64)}, "use -1 for unknown"),
    ],
)
def test_what_does_not_fit_the_images(arguments, words, sentence):
    with sentence(words):
        samples.dataset(np.zeros((3, 8, 8), np.uint8), **arguments)


# --- images and digests ------------------------------------------------------------------------------------


def lazy(array: np.ndarray, read: list) -> da.Array:
    """Chunks of one sample; computing one records its position."""

    def block(_, block_info=None):
        i = block_info[0]["chunk-location"][0]
        read.append(i)
        return array[i : i + 1]

    source = da.zeros(array.shape, chunks=(1, *array.shape[1:]), dtype=array.dtype)
    return source.map_blocks(block, dtype=array.dtype, meta=array[:0])


def test_only_the_wanted_images_are_computed(rgb):
    read = []
    ds = samples.dataset(lazy(rgb, read))
    assert not read
    np.testing.assert_array_equal(samples.images(ds, [2]), rgb[[2]])
    assert read == [2]
    np.testing.assert_array_equal(samples.images(ds, [3, 0]), rgb[[3, 0]])
    assert sorted(read) == [0, 2, 3]


def test_the_range_of_lazy_images_is_checked_when_they_are_computed(sentence):
    bright = np.full((3, 8, 8, 3), 7, np.float32)
    ds = samples.dataset(da.from_array(bright, chunks=(1, 8, 8, 3)))
    with sentence(r"\[0, 1\]"):
        samples.images(ds, [1])


@pytest.mark.parametrize("make", [samples.dataset, lambda a: samples.dataset(da.from_array(a, chunks=2))])
def test_choices_of_images(rgb, make, sentence):
    ds = make(rgb)
    np.testing.assert_array_equal(samples.images(ds, slice(1, None)), rgb[1:])
    np.testing.assert_array_equal(samples.images(ds, [3, 0, 3]), rgb[[3, 0, 3]])
    np.testing.assert_array_equal(samples.images(ds, -1), rgb[-1:])
    np.testing.assert_array_equal(samples.images(ds, np.array([True, False, False, True])), rgb[[0, 3]])
    assert samples.images(ds, []).shape == (0, 12, 10, 3)
    for wrong in (4, [-5], [0, 99]):
        with sentence("positions below 4"):
            samples.images(ds, wrong)
    for wrong in ([True, False], "a", [0.5], None, [[0, 1]]):
        with sentence("one bool each"):
            samples.images(ds, wrong)


def test_digest_tells_pixels_shape_and_type_apart(rgb):
    one = rgb[0]
    other = one.copy()
    other[0, 0, 0] ^= 1
    variants = [one, other, one.reshape(10, 12, 3), one.astype(np.float32), one.astype(np.int8)]
    keys = {samples.digest(v) for v in variants}
    assert len(keys) == len(variants)
    assert all(len(k) == 32 and set(k) <= set("0123456789abcdef") for k in keys)
    assert samples.digest(one[::-1][::-1]) == samples.digest(np.asfortranarray(one)) == samples.digest(one)


def test_ids_beyond_sixteen_bits_do_not_become_others(sentence):
    part = np.zeros((2, 4, 4), np.int64)
    part[1, 0, 0] = 65536 + 1
    with sentence(r"ids in \[0, 65537\]"):
        samples.dataset(np.zeros((2, 4, 4), np.uint8), part=part, parts=["nothing", "nose"])
