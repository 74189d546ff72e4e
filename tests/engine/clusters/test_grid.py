"""Resampling matrices against torch's own interpolation, and the choice of the common grid."""

from __future__ import annotations

import pytest
import torch

from xai_views.engine.clusters.grid import common_grid, interpolation
from xai_views.errors import MethodError


@pytest.mark.parametrize("mode", ["bicubic", "bilinear", "nearest"])
@pytest.mark.parametrize(
    ("small", "large"), [((3, 4), (9, 7)), ((7, 5), (7, 5)), ((8, 9), (3, 4)), ((1, 1), (4, 2))]
)
def test_two_matrices_resample_as_torch_does(dtype, mode, small, large):
    image = torch.randn(2, 3, *small, dtype=dtype, generator=torch.Generator().manual_seed(0))
    align = {} if mode == "nearest" else {"align_corners": False}
    expected = torch.nn.functional.interpolate(image, size=large, mode=mode, **align)
    rows, columns = (interpolation(a, b, mode, image) for a, b in zip(small, large, strict=True))
    torch.testing.assert_close(rows @ image @ columns.T, expected)


def test_a_row_of_the_matrix_sums_to_one_so_that_constants_stay():
    for mode in ("bicubic", "bilinear", "nearest"):
        torch.testing.assert_close(interpolation(5, 13, mode).sum(1), torch.ones(13))


def test_the_same_grid_is_left_alone():
    for mode in ("bicubic", "bilinear", "nearest"):
        assert torch.equal(interpolation(6, 6, mode), torch.eye(6))


def test_choices_of_the_common_grid():
    grids = [(28, 20), (14, 10), (7, 5)]
    assert common_grid(grids, None, "shallowest") == (28, 20)
    assert common_grid(grids, (224, 160), "input") == (224, 160)
    assert common_grid(grids, None, "double") == (56, 40)
    assert common_grid(grids, None, (9, 11)) == (9, 11)
    assert common_grid([(64,), (16,)], (256,), "input") == (256,)


def test_a_grid_that_cannot_be_is_said_in_one_sentence():
    with pytest.raises(MethodError, match="'shalowest' is not known; choose 'shallowest'"):
        common_grid([(4, 4)], None, "shalowest")
    with pytest.raises(MethodError, match="needs the size of the input"):
        common_grid([(4, 4)], None, "input")
    with pytest.raises(MethodError, match="2 axes"):
        common_grid([(4, 4)], None, (8,))
    with pytest.raises(MethodError, match="'bicubik' is not known; choose 'bicubic'"):
        interpolation(3, 4, "bicubik")
