"""Drawn birds whose parts are known, and the same with a watermark."""
