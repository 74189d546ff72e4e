"""Method ``nas``: a saliency map read on the network's own superpixels."""

from importlib import import_module
from typing import Any

_WHERE = {
    "NasAsk": "method",
    "NasMethod": "method",
}
__all__ = ["NasAsk", "NasMethod"]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_WHERE[name]}"), name)
