"""Method ``sic``: the evidence of support samples, and the pixels that contribute to it."""

from importlib import import_module
from typing import Any

_WHERE = {
    "SICMethod": "method",
    "SICObservation": "observation",
    "class_sums": "ledger",
    "effect": "what_if",
    "entries": "ledger",
    "figures": "population",
    "latent_vectors": "population",
    "region_evidence": "ledger",
    "support_set": "support_sets",
    "typical_of": "population",
}
__all__ = [
    "SICMethod",
    "SICObservation",
    "class_sums",
    "effect",
    "entries",
    "figures",
    "latent_vectors",
    "region_evidence",
    "support_set",
    "typical_of",
]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_WHERE[name]}"), name)
