"""Figures as text."""

from __future__ import annotations


def number(value: float) -> str:
    """A figure with four digits after the point and its sign."""
    return f"{float(value):+.4f}".replace("-", "−")
