"""Models: architectures, checkpoints and adapters. Importing the package does not import torch."""

from importlib import import_module
from typing import Any

_WHERE = {
    "Latents": "supports",
    "Model": "model",
    "Supports": "supports",
    "load": "checkpoint",
    "open_model": "opening",
    "save": "checkpoint",
    "select": "supports",
}
__all__ = ["Latents", "Model", "Supports", "load", "open_model", "save", "select"]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_WHERE[name]}", __name__), name)
