"""How much each layer counts, as a parameter of methods."""

from __future__ import annotations

from typing import Any

import param

#: Weights that follow from the layers, by name; see :func:`xai_views.engine.clusters.features.preset_weights`.
PRESETS = ("authors", "equal", "deep-first")


class Weights(param.Parameter):
    """A parameter that holds the name of a preset, or one number for each layer."""

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
                f"the weights {val!r} are not known; there is {', '.join(map(repr, PRESETS))}, or give one number per layer."
            )
