"""The methods by name, and the one that suits a model."""

from __future__ import annotations

from typing import Any

from xai_views.contract import registry
from xai_views.errors import MethodError

get = registry.method


def suited(model: Any) -> str:
    """The key of the method that suits an opened model: its card's, else of those that fit the one with the largest preference.

    Raises
    ------
    MethodError
        When no method fits.
    """
    known = registry.entries("methods")
    own = str(model.card.get("method") or "")
    if own in known:
        return own
    fitting = [m for m in registry.methods() if not m.fits(model)]
    if not fitting:
        raise MethodError(
            f"no method fits {model.name!r}, which takes {model.kind}s; name one to read its reason."
        )
    return max(fitting, key=lambda m: m.preference).key


def available(model: Any) -> dict[str, dict[str, str]]:
    """The methods, whether each fits ``model`` ("" or the reason why not), and what each costs."""
    return {m.key: {"title": m.title, "fits": m.fits(model), "cost": m.cost} for m in registry.methods()}
