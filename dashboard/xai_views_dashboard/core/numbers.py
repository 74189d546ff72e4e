"""Numbers as text."""

from __future__ import annotations


def number(value: float) -> str:
    """Return a number with its sign and four decimal places."""
    return f"{float(value):+.4f}".replace("-", "−")
