"""Photographs read from installed packages, without internet access."""

import importlib.util
import socket

import numpy as np
import pytest
from PIL import Image

from xai_views import catalogue, samples
from xai_views.samples.sets import photos


@pytest.fixture
def fresh():
    photos._read.cache_clear()
    yield
    photos._read.cache_clear()


def test_all_of_them_open_without_a_network(fresh, monkeypatch):
    def refuse(*args, **kwargs):
        raise OSError("no network")

    monkeypatch.setattr(socket, "socket", refuse)
    ds = samples.open_samples("photos")
    assert ds["name"].values.tolist() == list(photos.PHOTOS)
    assert ds["image"].shape == (15, 224, 224, 3)
    assert ds["image"].dtype == np.uint8
    assert (ds["image"].values.std((1, 2, 3)) > 5).all(), "no picture is empty"
    assert ds.attrs["classes"] == list(catalogue.class_list("imagenet"))
    assert ds.attrs["licence"]
    assert ds.attrs["synthetic"] == 0


def test_labels_are_of_what_can_be_seen():
    ds = samples.open_samples("photos")
    known = {
        n: ds.attrs["classes"][c]
        for n, c in zip(ds["name"].values.tolist(), ds["label"].values, strict=True)
        if c >= 0
    }
    assert known == {"coffee": "espresso", "camera": "tripod", "china": "palace"}


def test_what_is_changed_in_one_dataset_is_not_changed_in_the_next():
    samples.open_samples("photos")["image"].values[:] = 0
    assert samples.open_samples("photos")["image"].values.any()


@pytest.mark.parametrize("size", [(40, 60), (60, 40), (10, 10), (33, 47)])
def test_squares_keep_the_middle(size):
    w, h = size
    picture = np.zeros((h, w, 3), np.uint8)
    picture[h // 2 - 4 : h // 2 + 4, w // 2 - 4 : w // 2 + 4] = 255
    out = photos.square(Image.fromarray(picture), 20)
    assert out.shape == (20, 20, 3)
    bright = np.argwhere(out[..., 0] > 100)
    assert np.abs(bright.mean(0) - 9.5).max() <= 1


def test_grey_and_transparent_pictures_become_rgb():
    for mode in ("L", "RGBA", "P", "1"):
        assert photos.square(Image.new(mode, (30, 20)), 10).shape == (10, 10, 3)


def test_a_package_that_lacks_one_picture_still_gives_the_others(fresh, monkeypatch):
    monkeypatch.setitem(photos.PHOTOS, "coffee", ("skimage", "gone.png", 967))
    ds = samples.open_samples("photos")
    assert ds.sizes["sample"] == 14
    assert "coffee" not in ds["name"].values
    assert ds["label"].values[list(ds["name"].values).index("china")] == 698


def test_without_the_packages_it_is_a_sentence(fresh, monkeypatch, sentence):
    monkeypatch.setattr(importlib.util, "find_spec", lambda *a: None)
    with sentence("pip install --force-reinstall"):
        samples.open_samples("photos")
