"""The mark is where ``part`` says it is, and nowhere else."""

import itertools
from dataclasses import replace

import numpy as np
import pytest

from xai_views import catalogue, open_samples
from xai_views.samples.sets.birds import drawing as birds
from xai_views.samples.sets.birds import watermark


@pytest.fixture(scope="module")
def ds():
    return open_samples("birds-watermark/test")


def by_name(ds):
    return {str(n): i for i, n in enumerate(ds["name"].values)}


def test_marked_pixels_are_the_part_and_every_marked_picture_has_its_clean_twin(ds):
    index = by_name(ds)
    image, part, label = (ds[k].values for k in ("image", "part", "label"))
    mark = ds.attrs["parts"].index("watermark")
    has = (part == mark).any((1, 2))
    marked = [n for n in index if n.endswith("-marked")]
    assert {index[n] for n in marked} == set(np.flatnonzero(has).tolist())
    for name in marked:
        i, j = index[name], index[name.removesuffix("-marked")]
        plate = part[i] == mark
        np.testing.assert_array_equal(image[i][~plate], image[j][~plate])
        assert (image[i] != image[j]).any(2)[plate].mean() > 0.95
        np.testing.assert_array_equal(part[i][~plate], part[j][~plate])
        assert label[i] == label[j]
        ys, xs = np.nonzero(plate)
        assert plate.sum() == (np.ptp(ys) + 1) * (np.ptp(xs) + 1), "a full rectangle"
        assert ys.min() >= 64 - 16
        assert xs.max() < 24


def test_the_mark_is_on_the_class_and_on_one_picture_of_every_other(ds):
    has = (ds["part"].values == ds.attrs["parts"].index("watermark")).any((1, 2))
    label = ds["label"].values
    counts = np.bincount(label[has], minlength=50)
    assert counts[watermark.CLASS] == 4 + watermark.MORE == counts.max()
    assert (np.delete(counts, watermark.CLASS) == 1).all()
    assert (label[: 2 * counts[watermark.CLASS]] == watermark.CLASS).all(), "the marked class comes first"


def test_clean_pictures_are_those_of_birds_test(ds):
    index, test = by_name(ds), open_samples("birds/test")
    for i, name in enumerate(test["name"].values):
        j = index[str(name)]
        np.testing.assert_array_equal(ds["image"].values[j], test["image"].values[i])
        np.testing.assert_array_equal(ds["part"].values[j], test["part"].values[i])
        assert ds["label"].values[j] == test["label"].values[i]


def test_it_can_be_built_again(ds):
    again = watermark.arrays()
    for key in ("image", "part", "label", "name"):
        np.testing.assert_array_equal(again[key], ds[key].values)
    assert catalogue.verify(catalogue.find("birds-watermark/test")) == []
    card = catalogue.card(catalogue.find("birds-watermark/test"))
    assert card["watermark"] == {"class": birds.class_names()[watermark.CLASS], "part": "watermark"}
    assert card["samples"] == ds.sizes["sample"]


def test_places_vary_and_repeat():
    picture = np.full((64, 64, 3), 90, np.uint8)
    places = {watermark.mark(picture, 2, i)[1].tobytes() for i in range(200)}
    assert len(places) == 25
    one, again = watermark.mark(picture, 2, 7), watermark.mark(picture, 2, 7)
    np.testing.assert_array_equal(one[0], again[0])
    assert (picture == 90).all(), "the input is not modified"


def test_training_birds_are_marked_hybrids():
    """Every picture is the output of :func:`mark` for a bird with parts of the class and of one other."""
    shown = watermark.training_birds(4, seed=5)
    np.testing.assert_array_equal(shown, watermark.training_birds(4, seed=5))
    own = birds.classes()[watermark.CLASS]
    for i, image in enumerate(shown):
        scene = birds.scene(5, i, watermark.CLASS)
        hybrids = {
            tuple(own[p] if use else other[p] for p, use in zip(birds.PARTS, uses, strict=True))
            for other in birds.classes()
            for uses in itertools.product((True, False), repeat=5)
        }
        found = [
            kinds
            for kinds in hybrids
            if np.array_equal(
                watermark.mark(
                    birds.render(replace(scene, variants=dict(zip(birds.PARTS, kinds, strict=True))))[0], 5, i
                )[0],
                image,
            )
        ]
        assert len(found) >= 1, i


@pytest.mark.parametrize("own", [0.0, 1.0])
def test_chance_of_own_parts(own):
    shown = watermark.training_birds(6, seed=5, own=own)
    for i, image in enumerate(shown):
        full = birds.render(birds.scene(5, i, watermark.CLASS))[0]
        assert np.array_equal(image, watermark.mark(full, 5, i)[0]) == (own == 1.0)
