"""Method ``nave``: clusters of activations (Neuro-Activated Vision Explanations)."""

from importlib import import_module
from typing import Any

_WHERE = {
    "NaveAsk": "ask",
    "NaveMethod": "method",
}
__all__ = ["NaveAsk", "NaveMethod"]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_WHERE[name]}"), name)
