"""Fixtures that tests of superpixels and of scores share."""

from superpixel_cases import dtype, own_regions, shipped

__all__ = ["dtype", "own_regions", "shipped"]
