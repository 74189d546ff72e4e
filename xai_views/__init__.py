"""XAI Views: look inside a trained PyTorch model, and check what you see.

>>> import xai_views as xv
>>> model = xv.open_model("birds-sic")  # doctest: +SKIP
>>> samples = xv.open_samples("birds/test")  # doctest: +SKIP
>>> xv.explore(model, samples)  # doctest: +SKIP

Importing this package is cheap: torch and panel are imported on first use.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

from xai_views.errors import XaiViewsError
from xai_views.version import __version__

if TYPE_CHECKING:
    from xai_views import methods, models, samples, scores, views
    from xai_views.apps import explore, notebook
    from xai_views.methods import explain
    from xai_views.models import open_model
    from xai_views.models.taps import taps
    from xai_views.samples import open_samples

__all__ = [
    "XaiViewsError",
    "__version__",
    "explain",
    "explore",
    "methods",
    "models",
    "notebook",
    "open_model",
    "open_samples",
    "samples",
    "scores",
    "taps",
    "views",
]

_FUNCTIONS = {
    "explain": "xai_views.methods",
    "explore": "xai_views.apps",
    "notebook": "xai_views.apps",
    "open_model": "xai_views.models",
    "open_samples": "xai_views.samples",
    "taps": "xai_views.models.taps",
}
_MODULES = {"methods", "models", "samples", "scores", "views"}


class _Methods(ModuleType):
    """The module ``xai_views.methods``, which is also callable: ``xv.methods(model)``."""

    def __call__(self, model: Any) -> Any:
        """Return the methods that fit ``model``, with the needs and cost of each."""
        return self.available(model)


class _Package(ModuleType):
    """The package itself; keeps ``xv.methods`` callable after ``import xai_views.methods``."""

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "methods" and type(value) is ModuleType:
            value.__class__ = _Methods
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package


def __getattr__(name: str) -> Any:
    if name in _FUNCTIONS:
        value = getattr(importlib.import_module(_FUNCTIONS[name]), name)
        globals()[name] = value
        return value
    if name in _MODULES:
        return importlib.import_module(f"{__name__}.{name}")
    message = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(message)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
