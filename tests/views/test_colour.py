"""Colour tables: zero is neutral, both arms weigh the same, nothing is red-green."""

import numpy as np
import pytest

from xai_views.errors import XaiViewsError
from xai_views.views import colour


def lightness(rgb):
    """CIE L* of ``[..., 3]`` uint8 sRGB."""
    linear = np.where(rgb / 255 <= 0.04045, rgb / 255 / 12.92, ((rgb / 255 + 0.055) / 1.055) ** 2.4)
    y = linear @ (0.2126, 0.7152, 0.0722)
    return np.where(y > 0.008856, 116 * np.cbrt(y) - 16, 903.3 * y)


@pytest.mark.parametrize("name", colour.SIGNED)
def test_zero_is_neutral_and_in_the_middle(name):
    table = colour.table(name)
    assert table.shape == (255, 3)
    assert np.ptp(table[127].astype(int)) == 0


@pytest.mark.parametrize(("name", "most"), [("CET_D1A", 3), ("CET_D1", 3), ("CET_D6", 6)])
def test_both_arms_weigh_the_same(name, most):
    light = lightness(colour.table(name))
    assert np.abs(light - light[::-1]).max() < most


@pytest.mark.parametrize("name", colour.SIGNED)
def test_warm_speaks_for_cold_against(name):
    table = colour.table(name).astype(int)
    assert table[200, 0] > table[200, 2]
    assert table[54, 2] > table[54, 0]


@pytest.mark.parametrize("name", colour.SEQUENTIAL)
def test_sequential_tables_only_get_lighter(name):
    assert (np.diff(lightness(colour.table(name))) > -0.6).all()


def test_rgb_is_symmetric_and_clips():
    out = colour.rgb("CET_D1A", np.array([-9.0, 0.0, 9.0, np.nan]), 1.0)
    table = colour.table("CET_D1A")
    np.testing.assert_array_equal(out, [table[0], table[127], table[254], table[127]])


def test_alpha_grows_with_size_from_nothing():
    values = np.linspace(-1, 1, 21)
    out = colour.alpha(values, 1.0)
    assert out[10] == 0
    assert out[0] == out[-1] == 1
    assert (np.diff(out[10:]) > 0).all()
    np.testing.assert_allclose(out, out[::-1])


def test_categories_repeat_under_another_hatching():
    seen = {colour.category(i) for i in range(40)}
    assert len(seen) == 40
    assert len(set(colour.CATEGORICAL)) == 8
    assert colour.category(3)[1] == "none"
    assert colour.category(11)[1] != "none"


def test_unknown_table_names_the_nearest():
    with pytest.raises(XaiViewsError, match="viridis"):
        colour.table("virids")
    with pytest.raises(XaiViewsError):
        colour.table("jet")


def test_browser_gets_every_table():
    script = colour.for_browser()
    assert all(name in script for name in (*colour.SIGNED, *colour.SEQUENTIAL))
    assert "http" not in script
