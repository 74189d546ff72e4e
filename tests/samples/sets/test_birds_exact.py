"""Birds before averaging: leaving a part out changes none of the remaining samples."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest

from xai_views.samples import images, open_samples
from xai_views.samples.sets.birds import drawing as birds


@pytest.fixture
def samples_of(monkeypatch):
    """Render all samples that an image is averaged from: 256 x 256 colours and ids."""

    def render(*args, **kwargs):
        with monkeypatch.context() as patch:
            patch.setattr(
                birds._Painter, "result", lambda self: (np.asarray(self.picture), np.asarray(self.ids))
            )
            return birds.render(*args, **kwargs)

    return render


@pytest.mark.parametrize("part", birds.PARTS)
def test_no_sample_changes_that_was_not_of_the_removed_part(samples_of, part):
    own = birds.PART_NAMES.index(part)
    for index in range(15):
        s = birds.scene(8, index)
        picture, ids = samples_of(s)
        less, less_ids = samples_of(s, keep=set(birds.PARTS) - {part})
        np.testing.assert_array_equal(less[ids != own], picture[ids != own])
        np.testing.assert_array_equal(less_ids[ids != own], ids[ids != own])
        assert (less[ids == own] != picture[ids == own]).any()


def test_no_sample_of_the_bird_changes_without_background(samples_of):
    for index in range(15):
        s = birds.scene(5, index)
        picture, ids = samples_of(s)
        bare, bare_ids = samples_of(s, remove_background=True)
        bird = (ids > 0) & (ids < birds.OBJECT_ID)
        np.testing.assert_array_equal(bare[bird], picture[bird])
        np.testing.assert_array_equal(bare_ids, np.where(bird, ids, 0))


def test_under_a_wing_is_the_body_and_never_a_hole():
    body, own = 1, birds.PART_NAMES.index("wing")
    behind = {0, body, birds.PART_NAMES.index("tail"), birds.PART_NAMES.index("foot")}
    for index in range(30):
        s = birds.scene(4, index)
        ids = birds.render(s)[1]
        uncovered = birds.render(s, keep=set(birds.PARTS) - {"wing"})[1][ids == own]
        assert (uncovered == body).mean() > 0.8
        assert {i for i in np.unique(uncovered).tolist() if i < birds.OBJECT_ID} <= behind


def test_every_part_of_every_bird_is_seen():
    for index in range(100):
        ids = birds.render(birds.scene(7, index), remove_background=True)[1]
        seen = np.bincount(ids.ravel(), minlength=7)
        assert seen[2:].min() >= 10, (index, seen)


def test_all_32_subsets_of_parts_are_different_images():
    s = birds.scene(1, 5)
    subsets = [c for n in range(6) for c in itertools.combinations(birds.PARTS, n)]
    assert len({birds.render(s, keep=c)[0].tobytes() for c in subsets}) == 32


def test_a_class_can_be_asked_for_without_changing_pose_and_background():
    a, b = birds.scene(1, 3), birds.scene(1, 3, label=9)
    assert b.variants == birds.classes()[9]
    assert dataclasses.replace(b, label=a.label, variants=a.variants) == a


def test_training_birds_are_not_test_birds():
    train, test = open_samples("birds/train"), open_samples("birds/test")
    some = {images(train, [i]).tobytes() for i in range(0, 5000, 250)}
    assert some.isdisjoint(image.tobytes() for image in test["image"].values)
    assert set(train["name"].values.tolist()).isdisjoint(test["name"].values.tolist())


def test_one_part_may_be_given_as_text():
    s = birds.scene(1, 0)
    np.testing.assert_array_equal(birds.render(s, keep="tail")[0], birds.render(s, keep=["tail"])[0])
