"""The identities of aggregating a map on regions (projection on region-constant maps)."""

from __future__ import annotations

import numpy as np
import pytest
from superpixel_cases import tolerance

from xai_views.engine.superpixels.aggregate import HOWS, aggregate, figures, kept, superpixelify
from xai_views.engine.superpixels.regions import clusters_to_regions
from xai_views.errors import MethodError


def toys():
    rng = np.random.default_rng(0)
    regions = clusters_to_regions(rng.integers(0, 5, (19, 23)), connected=True)
    return rng.normal(0.3, 1, (19, 23)), regions


@pytest.fixture(params=["toy", "shipped"])
def case(request, dtype):
    """A map and regions: random ones, or those of the shipped network."""
    if request.param == "toy":
        s, regions = toys()
        return s.astype(dtype), regions
    _, _, _, maps = request.getfixturevalue("shipped")
    return maps[1].astype(dtype), request.getfixturevalue("own_regions")[1]


def naive(s: np.ndarray, regions: np.ndarray, how: str) -> np.ndarray:
    out = np.zeros(s.shape)
    for r in set(regions.ravel().tolist()):
        values = [float(v) for v, i in zip(s.ravel(), regions.ravel(), strict=True) if i == r]
        if how == "mean":
            value = sum(values) / len(values)
        elif how == "sum":
            value = sum(values)
        elif how == "positive":
            value = sum(max(v, 0) for v in values) / len(values)
        else:
            values.sort()
            value = (values[(len(values) - 1) // 2] + values[len(values) // 2]) / 2
        out[regions == r] = value
    return out


@pytest.mark.parametrize("how", HOWS)
def test_bincount_equals_the_naive_loop(case, how, dtype):
    s, regions = case
    got, _ = aggregate(s, regions, how)
    assert got.dtype == dtype
    np.testing.assert_allclose(
        got, naive(s, regions, how), rtol=tolerance(dtype), atol=tolerance(dtype) * np.abs(s).max()
    )


def test_mass_is_preserved(case, dtype):
    s, regions = case
    got, _ = aggregate(s, regions)
    np.testing.assert_allclose(
        got.sum(dtype=np.float64),
        s.sum(dtype=np.float64),
        rtol=10 * tolerance(dtype),
        atol=1e-7 * np.abs(s).sum(),
    )


@pytest.mark.parametrize("how", ["mean", "median"])
def test_it_is_idempotent(case, how, dtype):
    s, regions = case
    once, _ = aggregate(s, regions, how)
    twice, _ = aggregate(once, regions, how)
    np.testing.assert_allclose(twice, once, rtol=tolerance(dtype))


def test_it_is_the_orthogonal_projection(case, dtype):
    s, regions = case
    got, _ = aggregate(s, regions)
    rest = (s - got).astype(np.float64).ravel()
    scale = np.linalg.norm(s.astype(np.float64))
    for seed in range(5):  # the remainder is orthogonal to every region-constant map ...
        other = np.random.default_rng(seed).normal(size=regions.max() + 1)[regions].ravel()
        assert abs(rest @ other) <= 10 * tolerance(dtype) * scale * np.linalg.norm(other)
        # ... so that no other region-constant map is nearer
        nearer = got + 0.1 * np.abs(s).max() * other.reshape(s.shape)
        assert np.linalg.norm(s - got) < np.linalg.norm(s - nearer)


def test_variance_is_that_between_plus_that_within_regions(case, dtype):
    s, regions = case
    got, table = aggregate(s, regions)
    within = sum(
        s[regions == r].astype(np.float64).var() * (regions == r).mean() for r in range(regions.max() + 1)
    )
    total = s.astype(np.float64).var()
    np.testing.assert_allclose(got.astype(np.float64).var() + within, total, rtol=20 * tolerance(dtype))
    np.testing.assert_allclose((table["within"] * table["area"]).sum(), within, rtol=20 * tolerance(dtype))
    assert got.astype(np.float64).var() < total
    np.testing.assert_allclose(kept(s, got), got.astype(np.float64).var() / total, rtol=1e-4)


def test_one_region_gives_the_global_mean(case, dtype):
    s, _ = case
    got, table = aggregate(s, np.zeros(s.shape, int))
    np.testing.assert_allclose(got, s.mean(dtype=np.float64), rtol=tolerance(dtype))
    assert len(table) == 1
    assert kept(s, got) == pytest.approx(0, abs=1e-6)


def test_as_many_regions_as_pixels_give_the_map(case):
    s, _ = case
    regions = np.arange(s.size).reshape(s.shape)
    for how in ("mean", "sum", "median"):
        np.testing.assert_array_equal(aggregate(s, regions, how)[0], s)
    assert kept(s, s) == 1


def test_it_is_linear(case, dtype):
    s, regions = case
    t = np.random.default_rng(7).normal(size=s.shape).astype(dtype) * np.abs(s).max()
    a, b = dtype(1.7), dtype(-0.4)
    got, _ = aggregate(a * s + b * t, regions)
    want = a * aggregate(s, regions)[0] + b * aggregate(t, regions)[0]
    np.testing.assert_allclose(got, want, rtol=0, atol=10 * tolerance(dtype) * np.abs(s).max())


def test_the_highest_region_need_not_hold_the_highest_pixel():
    s = np.array([[9.0, 0, 0, 4], [0, 0, 0, 4]])
    regions = np.array([[0, 0, 0, 1], [0, 0, 0, 1]])
    got, _ = aggregate(s, regions)
    assert got.argmax() == 3
    assert s.argmax() == 0


def test_the_table_says_what_each_region_holds():
    s, regions = toys()
    got, table = aggregate(s, regions, "positive")
    assert table["size"].sum() == s.size
    np.testing.assert_allclose(table["mass"].sum(), 1)
    for r, row in table.iterrows():
        inside = regions == r
        np.testing.assert_allclose(row["mean"], s[inside].mean())
        np.testing.assert_allclose(row["sum"], s[inside].sum())
        np.testing.assert_allclose(row["mass"], s[inside].clip(0).sum() / s.clip(0).sum(), atol=1e-12)
        np.testing.assert_allclose(row["density"], row["mass"] / inside.mean())
        np.testing.assert_allclose(row["value"], got[inside][0])


def test_ids_that_no_pixel_has_are_left_out():
    s = np.arange(6.0).reshape(2, 3)
    regions = np.array([[0, 0, 4], [0, 4, 4]])
    for how in HOWS:
        got, table = aggregate(s, regions, how)
        assert list(table.index) == [0, 4]
        assert np.isfinite(got).all()
        assert np.isnan(figures(s, regions, how)[1:4]).all()


def test_many_maps_are_aggregated_as_each_by_itself():
    s, regions = toys()
    many = np.stack([s, 2 * s, -s]).reshape(3, 1, *s.shape)
    np.testing.assert_array_equal(superpixelify(many, regions)[2, 0], aggregate(-s, regions)[0])


def test_kept_of_constant_and_of_foreign_maps():
    assert kept(np.full((3, 3), 2.0), np.full((3, 3), 2.0)) == 1
    assert kept(np.full((3, 3), 2.0), np.zeros((3, 3))) == 0
    assert kept(np.eye(3), 1 - np.eye(3)) < 0


def test_an_empty_map_of_zeros_gives_no_nonsense():
    got, table = aggregate(np.zeros((4, 4)), np.repeat([[0, 1, 1, 1]], 4, 0))
    assert not got.any()
    assert table["mass"].isna().all()


@pytest.mark.parametrize("how", ["max", ""])
def test_an_unknown_figure_is_one_sentence(how):
    with pytest.raises(MethodError, match="is not known"):
        aggregate(np.zeros((2, 2)), np.zeros((2, 2), int), how)


def test_maps_of_different_size_are_one_sentence():
    with pytest.raises(MethodError, match=r"resize_labels\.$"):
        aggregate(np.zeros((2, 2)), np.zeros((2, 3), int))
