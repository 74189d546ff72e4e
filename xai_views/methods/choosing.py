"""Look up methods by name, and choose the one that suits a model."""

from __future__ import annotations

from typing import Any

from xai_views.contract import registry
from xai_views.errors import MethodError

get = registry.method


def suited(model: Any) -> str:
    """Return the key of the method for a model: the one its card names, else the fitting one with the highest preference.

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
            f"no method fits {model.name!r}, which takes {model.kind}s; name a method to see why it does not fit."
        )
    return max(fitting, key=lambda m: m.preference).key


def available(model: Any) -> dict[str, dict[str, str]]:
    """Return title, fit ("" or the reason why not) and cost of every method for ``model``."""
    return {m.key: {"title": m.title, "fits": m.fits(model), "cost": m.cost} for m in registry.methods()}
