"""Scores of explanations: agreement with ground truth, and faithfulness to the network.

Public functions are available here by name, with the modules (``xv.scores.curves``, …). Heavy imports are deferred.
"""

from __future__ import annotations

import importlib
from typing import Any

_WHERE = {
    "Curve": "curves",
    "Job": "curves",
    "areas": "curves",
    "comparison": "curves",
    "filled": "curves",
    "last": "curves",
    "predictor": "curves",
    "relevance_curve": "curves",
    "relevance_curves": "curves",
    "best_region": "localisation",
    "maxboxacc": "localisation",
    "oracle_corloc": "localisation",
    "true_boxes": "localisation",
    "asa": "quality",
    "boundary_recall": "quality",
    "bound": "quality",
    "compare": "quality",
    "matched": "quality",
    "undersegmentation": "quality",
    "by_part": "semantic",
    "disagreement": "semantic",
    "evaluate": "semantic",
    "named_parts": "semantic",
}
_MODULES = ("boxes", "curves", "localisation", "quality", "semantic")
__all__ = list(_WHERE) + list(_MODULES)


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(f"{__name__}.{name}")
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(importlib.import_module(f"{__name__}.{_WHERE[name]}"), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
