"""Numbers as text."""

from __future__ import annotations


def number(value: float) -> str:
    """Return a number with its sign and four decimal places."""
    return f"{float(value):+.4f}".replace("-", "−")


def percent(share: float) -> str:
    """Return a share in percent with one decimal place."""
    return f"{100 * share:.1f} %".replace("-", "−")
