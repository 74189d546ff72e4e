"""The wire format: decoding returns the input, within the documented rounding."""

import json
import struct

import numpy as np
import pytest

from xai_views.errors import XaiViewsError
from xai_views.views import wire
from xai_views.views.wire import Frame, decode, stamp


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def test_layout_of_bytes_is_the_contract(rng):
    data = Frame("s|c").signed_map("t", "l", rng.normal(size=(5, 3))).to_bytes(12)
    assert data[:4] == b"XV1\0"
    (length,) = struct.unpack_from("<I", data, 4)
    header = json.loads(data[8 : 8 + length])
    assert length % 4 == 0
    assert len(data) % 4 == 0
    assert header["seq"] == 12
    assert header["key"] == "s|c"
    assert header["final"] is True
    assert header["blobs"] == [[0, 15]]
    assert len(data) == 8 + length + 16


def test_signed_map_is_exact_within_half_a_step_and_zero_is_zero(rng):
    values = rng.normal(size=(40, 33))
    values[3, 4] = 0
    out = decode(Frame("k").signed_map("t", "l", values).to_bytes())
    step = np.abs(values).max() / 127
    assert np.abs(out.maps["t", "l"] - values).max() <= step / 2 + 1e-12
    assert out.maps["t", "l"][3, 4] == 0
    assert np.abs(out.maps["t", "l"]).max() == pytest.approx(np.abs(values).max())


def test_limit_clips_symmetrically():
    out = decode(Frame("k").signed_map("t", "l", np.array([[-5.0, 5.0, 1.0]]), limit=2).to_bytes())
    np.testing.assert_allclose(out.maps["t", "l"], [[-2, 2, 1]], atol=1 / 127)


@pytest.mark.parametrize("values", [np.zeros((4, 4)), np.full((4, 4), 1e-320), np.full((4, 4), 1e300)])
def test_degenerate_maps(values):
    out = decode(Frame("k").signed_map("t", "l", values).to_bytes())
    np.testing.assert_allclose(out.maps["t", "l"], values, rtol=1e-6, atol=1e-300)


def test_missing_values_stay_missing():
    values = np.array([[np.nan, 1.0], [np.inf, -1.0]])
    out = decode(Frame("k").signed_map("t", "l", values).to_bytes()).maps["t", "l"]
    np.testing.assert_array_equal(np.isnan(out), [[True, False], [True, False]])


@pytest.mark.parametrize("shape", [(224, 224), (100, 77), (65, 64), (64, 500)])
def test_shrunk_maps_keep_mean_and_sum(rng, shape):
    values = rng.normal(size=shape)
    cells = wire.area_mean(values)
    assert max(cells.shape) <= wire.MAX_SIDE
    assert cells.mean() == pytest.approx(values.mean(), abs=1e-12)
    header = decode(Frame("k").signed_map("t", "l", values).to_bytes()).header
    assert np.prod(header["maps"][0]["cell"]) * cells.sum() == pytest.approx(values.sum(), abs=1e-8)


def test_area_mean_equals_block_means():
    values = np.arange(224 * 224, dtype=float).reshape(224, 224)
    np.testing.assert_allclose(wire.area_mean(values), values.reshape(56, 4, 56, 4).mean((1, 3)))


def test_area_mean_keeps_a_missing_pixel_to_its_cell():
    values = np.ones((128, 128))
    values[0, 0] = np.nan
    out = wire.area_mean(values)
    assert np.isnan(out[0, 0])
    assert np.isnan(out).sum() == 1
    assert np.nanmin(out) == pytest.approx(1)


def test_label_maps_are_exact(rng):
    many, few = rng.integers(-1, 400, (90, 70)), np.zeros((90, 70), int)
    out = decode(Frame("k").label_map("t", "a", many).label_map("t", "b", few, ["sky"]).to_bytes())
    np.testing.assert_array_equal(out.maps["t", "a"], many)
    np.testing.assert_array_equal(out.maps["t", "b"], few)
    assert out.header["maps"][1]["encoding"] == "deflate"
    assert out.header["maps"][1]["names"] == ["sky"]


def test_sequential(rng):
    values = rng.random((20, 20)) * 3
    out = decode(Frame("k").sequential("t", "l", values).to_bytes()).maps["t", "l"]
    assert np.abs(out - values).max() <= values.max() / 255 / 2 + 1e-12
    with pytest.raises(XaiViewsError, match="signed_map"):
        Frame("k").sequential("t", "l", -values)


def test_tiny_photos_are_lossless_and_large_ones_close(rng):
    tiny = rng.integers(0, 256, (3, 28, 20, 3), dtype=np.uint8)
    out = decode(Frame("k").photo(tiny, ["a", "b", "c"]).to_bytes())
    for name, picture in zip("abc", tiny, strict=True):
        np.testing.assert_array_equal(out.photos[name], picture)
    ramp = np.linspace(0, 1, 100)[:, None, None] * np.ones((100, 70, 3))
    out = decode(Frame("k").photo(ramp, "a").to_bytes())
    assert out.photos["a"].shape == (100, 70, 3)
    assert np.abs(out.photos["a"] / 255 - ramp).max() < 0.03


@pytest.mark.parametrize(("side", "channels", "kind"), [(256, 3, "webp"), (256, 1, "png"), (257, 3, "jpeg")])
def test_photos_up_to_256_pixels_travel_without_loss(rng, side, channels, kind):
    pictures = rng.integers(0, 256, (2, side, 40, channels), dtype=np.uint8)
    out = decode(Frame("k").photo(pictures, ["a", "b"]).to_bytes())
    assert out.header["photos"][0]["type"] == f"image/{kind}"
    same = [np.array_equal(out.photos[n], p.squeeze()) for n, p in zip("ab", pictures, strict=True)]
    assert same == [kind != "jpeg"] * 2
    small = decode(Frame("k").photo(pictures, ["a", "b"], lossless=False).to_bytes())
    assert small.header["photos"][0]["type"] == "image/jpeg"


def test_photos_of_a_sprite_do_not_bleed():
    pictures = [np.full((50, 50, 3), value, np.uint8) for value in (0, 255, 0, 255, 0)]
    out = decode(Frame("k").photo(pictures, list("abcde")).to_bytes())
    for name, picture in zip("abcde", pictures, strict=True):
        assert np.abs(out.photos[name].astype(int) - picture).max() <= 3


def test_grey_photos(rng):
    out = decode(Frame("k").photo(rng.integers(0, 256, (30, 30, 1), dtype=np.uint8), "a").to_bytes())
    assert out.photos["a"].shape == (30, 30)


def test_stamp_changes_nothing_but_the_number(rng):
    data = Frame("k", text="größer").photo(rng.random((40, 40, 3)), "a").to_bytes()
    again = stamp(data, 123456)
    assert decode(again).header["seq"] == 123456
    assert len(again) == len(data)
    assert stamp(again, 0) == data
    with pytest.raises(XaiViewsError, match="not a frame"):
        stamp(b"nonsense", 1)


def test_table_takes_numpy_numbers():
    row = {"id": "0", "cells": ["a"], "value": np.float32(0.5)}
    header = decode(Frame("k").table(["name"], [row]).to_bytes()).header
    assert header["table"]["rows"][0]["value"] == 0.5


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda f: f.photo(np.zeros((4, 4, 2), np.uint8), "a"), "y, x, 3"),
        (lambda f: f.photo(np.zeros((4, 4), np.int64), "a"), "int64"),
        (lambda f: f.photo([np.zeros((4, 4)), np.zeros((5, 4))], ["a", "b"]), "one size"),
        (lambda f: f.photo([np.zeros((4, 4))], ["a", "b"]), "one for each"),
        (lambda f: f.signed_map("a", "b", np.zeros(4)), r"\[y, x\]"),
        (lambda f: f.signed_map("a", "b", np.zeros((4, 4)), limit=np.nan), "finite"),
        (lambda f: f.label_map("a", "b", np.zeros((4, 4))), "integer"),
        (lambda f: f.label_map("a", "b", np.full((4, 4), 40000)), "32767"),
    ],
)
def test_mistakes_are_answered_in_a_sentence(call, match):
    with pytest.raises(XaiViewsError, match=match):
        call(Frame("k"))


def test_error_frame_carries_one_line():
    header = decode(wire.error_frame("k", "it\n broke", 4)).header
    assert header["error"] == "It broke"
    assert header["seq"] == 4
    assert header["key"] == "k"


def test_twelve_tiles_fit_the_budget(rng):
    """12 linked pictures, one photo and 11 maps, weigh at most 40 KB."""
    yy, xx = np.mgrid[0:224, 0:224] / 224
    image = np.stack([yy, xx, (yy + xx) / 2], -1) + rng.normal(0, 0.03, (224, 224, 3))
    frame = Frame("k").photo(np.clip(image, 0, 1), "t0")
    for i in range(11):
        frame.signed_map(f"t{i + 1}", "contribution", rng.normal(size=(224, 224)))
    photo = len(Frame("k").photo(np.clip(image, 0, 1), "t0").to_bytes())
    assert len(frame.to_bytes()) - photo < 40_000
