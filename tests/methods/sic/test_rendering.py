"""The colour image on examples computed by hand."""

import numpy as np
import pytest
import torch

from xai_views.engine.attribution.bcos import colour_rendering, smooth
from xai_views.methods import explain, get


def picture(pixels):
    """``[2C, 1, W]`` from a list of pixels."""
    return torch.tensor(pixels, dtype=torch.float64).T[:, None, :]


def test_by_hand():
    x = picture([[1, 0.5, 0, 0, 0.5, 1], [1, 1, 1, 0, 0, 0], [0, 0, 0, 1, 1, 1], [0.5] * 6])
    w = picture(
        [
            [2, 1, 0, 0, 1, 0],  # contribution 2 + 0.5 + 0.5 = 3
            [-1, 0, 0, 5, 5, 5],  # contribution -1: speaks against, transparent
            [0, 0, 0, 0, 0, 3],  # contribution 3: only the inverse of blue
            [4, 0, 0, -4, 2, 0],  # contribution 1
        ]
    )
    rgba = colour_rendering(x, w, smoothing=0, percentile=100).numpy()[0]
    np.testing.assert_allclose(
        rgba[0, :3], [1, 0.5, 0], atol=1e-9
    )  # 1 / (1 + 0), 0.5 / (0.5 + 0.5), 0 / (0 + 0)
    np.testing.assert_allclose(rgba[2, :3], [0, 0, 0], atol=1e-9)
    np.testing.assert_allclose(rgba[3, :3], [1, 0, 0], atol=1e-9)
    np.testing.assert_allclose(rgba[:, 3], np.sqrt([6, 0, 9, 36]) / 6, atol=1e-9)
    half = colour_rendering(x, w, smoothing=1, percentile=50).numpy()[0, :, 3]
    middle = (np.sqrt(6) + 3) / 2  # linear between the second and third of 0, 2.45, 3, 6
    np.testing.assert_allclose(half, np.minimum(np.sqrt([6, 0, 9, 36]) / middle, 1), atol=1e-9)


def test_smoothing_counts_zeros_beyond_the_border_and_makes_even_sizes_odd():
    alpha = torch.ones(4, 5)
    want = torch.tensor([4, 6, 6, 6, 4]) / 9
    torch.testing.assert_close(smooth(alpha, 3)[0], want)
    torch.testing.assert_close(smooth(alpha, 3)[1, 1:4], torch.ones(3))
    for size in range(12):
        assert smooth(alpha, size).shape == alpha.shape
    assert torch.equal(smooth(alpha, 2), smooth(alpha, 3))
    assert torch.equal(smooth(alpha, 0), alpha)
    rng = np.random.default_rng(0)
    a = rng.random((7, 6))
    padded = np.pad(a, 2)
    slow = [[padded[y : y + 5, x : x + 5].mean() for x in range(6)] for y in range(7)]
    np.testing.assert_allclose(smooth(torch.from_numpy(a), 5), slow)


@pytest.mark.parametrize("channels", [2, 6])
@pytest.mark.parametrize("sign", [-1.0, 0.0])
def test_nothing_in_favour_is_transparent(channels, sign):
    x = torch.rand(channels, 9, 9) + 0.1
    rgba = colour_rendering(x, sign * torch.rand(channels, 9, 9), smoothing=4)
    assert rgba.shape == (9, 9, 4)
    assert torch.isfinite(rgba).all()
    assert not rgba[..., 3].any(), "the reference code gives an opaque black image or NaN here"


def test_one_pixel_in_favour_stays_visible_whatever_the_percentile():
    x, w = torch.ones(6, 8, 8), -torch.ones(6, 8, 8)
    w[:, 3, 4] = 1
    rgba = colour_rendering(x, w, smoothing=0, percentile=50)
    assert rgba[3, 4, 3] == 1
    assert rgba[..., 3].sum() == 1


def test_grey_images_give_grey_colours(make, samples):
    model = make(channels=1)
    result = explain(model, samples(3, channels=1), "sic", rendering=True)
    rgba = result["rendering"].values
    assert rgba.shape == (3, 1, 10, 10, 4)
    assert rgba.dtype == np.uint8
    assert (rgba[..., 0] == rgba[..., 1]).all()
    assert (rgba[..., 1] == rgba[..., 2]).all()
    assert rgba[..., 3].max() == 255


def test_a_batch_with_different_numbers_of_vectors_renders_each_image_as_alone(make, samples):
    model = make()
    gone = [int(model.supports.index[r]) for r in (1, 2, 5)]  # leaves 1, 2 and 3 supports
    images = samples(6)["image"].values
    method = get("sic")
    asks = [method.ask(targets=[i % 3], excluded=gone, rendering=True, everything=i == 4) for i in range(6)]
    together = method.observe(model, images, asks, [None] * 6)
    for i, ask in enumerate(asks):
        (alone,) = method.observe(model, images[i : i + 1], [ask], [None])
        a, b = (method.interpret(model, o, ask) for o in (together[i], alone))
        assert np.abs(a["rendering"].values.astype(int) - b["rendering"].values.astype(int)).max() <= 1
        assert (a["rendering"].values[..., 3] > 0).any()
        np.testing.assert_allclose(a["contribution"], b["contribution"], atol=1e-6)
        np.testing.assert_array_equal(a["match_support"], b["match_support"])
