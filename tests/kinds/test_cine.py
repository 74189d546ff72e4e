"""Cine loops: schema, calibration and times, model input, uploaded animations."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image

from xai_views import kinds
from xai_views.kinds.cine import cine_dataset, decode_cine

CINE = kinds.get("cine")
LOOP = np.tile(
    np.arange(10, dtype=np.uint8)[None, :, None, None] * 20, (2, 1, 8, 12)
)  # frame t is 20 t bright


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: cine_dataset(LOOP[0], 30), "missing dimension"),
        (lambda: cine_dataset(LOOP), "without times"),
        (lambda: cine_dataset(LOOP[:0], 30), "is empty"),
        (lambda: cine_dataset(LOOP.astype(int), 30), "int64 and should be uint8"),
        (lambda: cine_dataset(LOOP / 10, 30), r"should lie in \[0, 1\]"),
        (lambda: cine_dataset(LOOP, frame_time=np.zeros((2, 10))), "increase from frame to frame"),
        (lambda: cine_dataset(LOOP, 30, mm_per_pixel=[0, 1]), "should be positive"),
        (lambda: cine_dataset(LOOP, 30, length=[11, 1]), "between 1 and 10"),
        (lambda: cine_dataset(LOOP, 30, length=[11]), "do not match"),
        (lambda: cine_dataset(LOOP, 30, name=["a", "a"]), "more than once"),
        (lambda: CINE.validate(cine_dataset(LOOP, 30).transpose("time", "sample", "y", "x")), "transpose"),
        (lambda: CINE.validate(cine_dataset(LOOP, 30).drop_vars("time")), "coordinate 'time'"),
    ],
)
def test_what_does_not_fit_is_one_sentence(build, words, sentence):
    with sentence(words):
        build()


def test_times_and_calibration():
    ds = cine_dataset(LOOP, 50, mm_per_pixel=[[0.5, 0.4], [np.nan, np.nan]], length=[10, 4], title="echo")
    np.testing.assert_allclose(ds["time"].values, np.arange(10) / 50)
    assert ds["time"].attrs["units"] == "s"
    assert float(ds["mm_per_pixel"].sel(direction="x")[0]) == 0.4
    assert np.isnan(ds["mm_per_pixel"].values[1]).all(), "unknown is allowed"
    assert ds.attrs["title"] == "echo"
    uneven = cine_dataset(LOOP, frame_time=np.cumsum(np.full((2, 10), 0.02), 1))
    assert uneven["frame_time"].attrs["units"] == "s"
    assert cine_dataset(LOOP / 255, 30)["cine"].dtype == np.float32


def test_pixels_become_one_channel_between_0_and_1():
    tensor = CINE.tensor(LOOP, "cpu", torch.float32)
    assert tensor.shape == (2, 1, 10, 8, 12)
    assert float(tensor[0, 0, 3, 0, 0]) == pytest.approx(60 / 255)
    np.testing.assert_allclose(
        CINE.tensor(LOOP / 255, "cpu", torch.float32).numpy(), tensor.numpy(), atol=1e-6
    )


def test_a_model_says_what_it_expects(asked, sentence):
    model = asked("cine", 1, (10, 8, 12), 50)
    CINE.check(model, LOOP)
    CINE.check(asked("cine", 1), LOOP[:, :3])
    for wrong, words in (
        (LOOP[:, :9], r"expects \[N, 10, 8, 12\]"),
        (LOOP / 1.0, "divide"),
        (LOOP * np.nan, "not finite"),
    ):
        with sentence(words):
            CINE.check(model, wrong)
    assert CINE.said(model) == "10 frames of 8x12 at 50 per second"


def test_frames_and_pixels_are_brought_to_a_model(asked):
    ds = cine_dataset(LOOP, 50, ["a", "b"], mm_per_pixel=[0.5, 0.4], length=[10, 4])
    made = CINE.fitted(asked("cine", 1, (6, 4, 4), 25), ds)
    assert made["cine"].shape == (2, 6, 4, 4)
    np.testing.assert_allclose(np.diff(made["time"].values), 0.04)
    assert made["cine"].values[0, :, 0, 0].tolist() == [0, 40, 80, 120, 160, 180], (
        "every second frame, then the last"
    )
    assert made["cine"].values[1, :, 0, 0].tolist() == [0, 40, 60, 60, 60, 60], "only existing frames"
    # 8 x 12 pixels are cut to 8 x 8 and halved: millimetres per pixel double in both directions.
    np.testing.assert_allclose(made["mm_per_pixel"].values, [[1.0, 0.8]] * 2)
    assert made["label"].equals(ds["label"])
    assert '"fit"' in made.attrs["prepared"]
    assert CINE.fitted(asked("cine", 1, (10, 8, 12), 50), ds) is ds
    assert CINE.fitted(asked("cine", 1), ds) is ds


def test_loops_of_other_rates_are_sampled_by_their_own_times(asked):
    times = np.stack([np.arange(10) / 50, np.arange(10) / 25])
    made = CINE.fitted(asked("cine", 1, (4, 8, 12), 25), cine_dataset(LOOP, frame_time=times))
    assert made["cine"].values[:, :, 0, 0].tolist() == [[0, 40, 80, 120], [0, 20, 40, 60]]


def animation(n: int = 5, kind: str = "GIF", **options) -> bytes:
    out = io.BytesIO()
    frames = [Image.new("L", (9, 7), 40 * i) for i in range(n)]
    frames[0].save(out, kind, save_all=True, append_images=frames[1:], **options)
    return out.getvalue()


def test_an_animation_is_a_loop():
    ds = decode_cine("heart.gif", animation(duration=40, loop=0))
    assert ds["cine"].shape == (1, 5, 7, 9)
    assert ds["cine"].values[0, :, 3, 4].tolist() == [0, 40, 80, 120, 160]
    np.testing.assert_allclose(ds["frame_time"].values[0], np.arange(5) * 0.04)
    assert ds.attrs["note"] == ""
    untimed = decode_cine("heart.tif", animation(kind="TIFF"))
    assert "25 frames per second are assumed" in untimed.attrs["note"]


def test_uploads_that_are_none_are_one_sentence(sentence, monkeypatch):
    for data, words in (
        (b"", "0.0 MB"),
        (b"no picture", "cannot be read as an animation"),
        (animation(kind="TIFF")[:90], "cannot be read as an animation"),
    ):
        with sentence(words):
            decode_cine("x", data)
    with sentence("limit: 4 of"):
        monkeypatch.setattr("xai_views.kinds.cine.MOST_FRAMES", 4)
        decode_cine("x", animation())
