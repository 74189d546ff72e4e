"""Drawn birds with known parts, with and without a watermark."""
