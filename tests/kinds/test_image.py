"""Images converted for a model: cropped, resized, grey or RGB, with their ground truth."""

from __future__ import annotations

import json

import numpy as np
import pytest

from xai_views import kinds
from xai_views.kinds.image import dataset
from xai_views.kinds.pixels import fit, fit_ids

IMAGE = kinds.get("image")


def test_what_fits_is_left_alone(samples, asked):
    assert IMAGE.fitted(asked("image", 3, (12, 10)), samples["image"]) is samples["image"]
    assert IMAGE.fitted(asked("image", 3), samples["image"]) is samples["image"], "any size is accepted"


def test_what_does_not_fit_is_brought_to_the_model_and_it_is_written_down(samples, asked):
    ds = samples["image"]
    made = IMAGE.fitted(asked("image", 1, (6, 6)), ds)
    assert made["image"].shape == (3, 6, 6, 1)
    np.testing.assert_array_equal(made["image"].values[1], fit(ds["image"].values[1], (6, 6), 1))
    assert json.loads(made.attrs["prepared"]) == [{"step": "fit", "from": [12, 10, 3], "to": [6, 6, 1]}]
    assert made["label"].equals(ds["label"])
    again = IMAGE.fitted(asked("image", 3, (8, 6)), made)
    assert [s["to"] for s in json.loads(again.attrs["prepared"])] == [[6, 6, 1], [8, 6, 3]]


def test_truths_go_with_the_picture(asked):
    image = np.zeros((1, 40, 80, 3), np.uint8)
    image[0, 8:24, 30:50] = 255
    mask = image[..., 0] > 0
    part = np.where(mask, 2, 0)
    ds = dataset(image, part=part, parts=["nothing", "beak", "wing"], mask=mask)
    for size in ((20, 20), (80, 80), (20, 30)):
        made = IMAGE.fitted(asked("image", 3, size), ds)
        bright = made["image"].values[..., 0] > 127
        assert (made["mask"].values != bright).mean() < 0.02
        assert set(np.unique(made["part"].values)) == {0, 2}, "no mixture of ids"
        assert ((made["part"].values == 2) == made["mask"].values).all()


def test_floats_become_bytes_when_they_are_resized(asked):
    ds = dataset(np.full((1, 8, 8, 1), 0.5, np.float32))
    assert (IMAGE.fitted(asked("image", 1, (4, 4)), ds)["image"].values == 128).all()


@pytest.mark.parametrize("size", [(3, 3), (7, 5), (24, 20), (40, 11)])
def test_ids_lie_where_the_pixels_lie(size):
    ramp = np.tile(np.arange(10, dtype=np.uint8) * 20, (12, 1))
    pixels = fit(ramp[..., None], size, 1)[..., 0].astype(int)
    assert np.abs(fit_ids(ramp, size).astype(int) - pixels).max() <= 20
