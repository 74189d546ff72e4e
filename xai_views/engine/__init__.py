"""Numerical machinery that several methods share: clusters, superpixels, attribution."""
