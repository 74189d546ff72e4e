"""Method ``sic``: the evidence of support samples, and the pixels that carry it."""

from importlib import import_module
from typing import Any

_WHERE = {
    "SICAsk": "observation",
    "SICMethod": "method",
    "SICObservation": "observation",
}
__all__ = ["SICAsk", "SICMethod", "SICObservation"]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_WHERE[name]}"), name)
