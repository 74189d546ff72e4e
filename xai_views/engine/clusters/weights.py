"""Layer weights as a parameter of methods."""

from __future__ import annotations

from typing import Any

import param

#: Names of preset weights; see :func:`xai_views.engine.clusters.features.preset_weights`.
PRESETS = ("authors", "equal", "deep-first")


class Weights(param.Parameter):
    """A parameter whose value is the name of a preset, or one number per layer."""

    def __init__(self, default: str | list[float] = "authors", **params: Any) -> None:
        super().__init__(default=default, **params)
        self._validate(self.default)

    def _validate(self, val: Any) -> None:
        super()._validate(val)
        numbers = isinstance(val, list | tuple) and all(
            isinstance(w, int | float) and not isinstance(w, bool) for w in val
        )
        if not numbers and not (isinstance(val, str) and val in PRESETS):
            raise ValueError(
                f"weights {val!r} are not known; choose {', '.join(map(repr, PRESETS))}, or give one number per layer."
            )
