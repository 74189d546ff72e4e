"""The methods by name, and the one that suits a model."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from xai_views.contract.method import Method
from xai_views.errors import MethodError, nearest

REGISTRY = {
    "sic": "xai_views.methods.sic.method:SICMethod",
    "nave": "xai_views.methods.nave.method:NaveMethod",
    "saliency": "xai_views.methods.saliency.method:SaliencyMethod",
    "nas": "xai_views.methods.nas.method:NasMethod",
    "ecg_clusters": "xai_views.methods.ecg_clusters.method:EcgClustersMethod",
}


def get(method: str | Method, **parameters: Any) -> Method:
    """The method called ``method``, with its parameters set.

    Raises
    ------
    MethodError
        For an unknown method or parameter, or a value out of bounds.
    """
    if isinstance(method, Method):
        return method
    if method not in REGISTRY:
        raise MethodError(f"method {method!r} is not known; there is {nearest(method, REGISTRY)}.")
    module, name = REGISTRY[method].split(":")
    kind = getattr(import_module(module), name)
    known = [p for p in kind.param if p != "name"]
    for p in parameters:
        if p not in known:
            raise MethodError(f"method {method!r} has no parameter {p!r}; it has {nearest(p, known)}.")
    try:
        return kind(**parameters)
    except ValueError as e:
        raise MethodError(f"method {method!r} cannot take these parameters: {e}") from None


def suited(model: Any) -> str:
    """The method that suits an opened model: its card's, else that of what it is given and what it holds."""
    own = str(model.card.get("method") or "")
    if own in REGISTRY:
        return own
    from xai_views.models.families.sic.network import SIC

    return "ecg_clusters" if model.of_signals else "sic" if isinstance(model.module, SIC) else "nave"


def available(model: Any) -> dict[str, dict[str, str]]:
    """The methods, whether each fits ``model`` ("" or the reason why not), and what each costs."""
    found = {}
    for key in REGISTRY:
        method = get(key)
        found[key] = {"title": method.title, "fits": method.fits(model), "cost": method.cost}
    return found
