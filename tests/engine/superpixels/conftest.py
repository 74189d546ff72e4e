"""Fixtures shared by the tests of superpixels and of scores."""

from superpixel_cases import dtype, own_regions, shipped

__all__ = ["dtype", "own_regions", "shipped"]
