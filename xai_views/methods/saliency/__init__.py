"""Method ``saliency``: attribution maps and controls."""

from importlib import import_module
from typing import Any

_WHERE = {
    "SaliencyAsk": "method",
    "SaliencyMethod": "method",
    "SaliencyObservation": "method",
}
__all__ = ["SaliencyAsk", "SaliencyMethod", "SaliencyObservation"]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_WHERE[name]}"), name)
