"""The selection of the SIC app, beside the parameters of its method."""

from __future__ import annotations

from typing import Any, ClassVar

import param

from xai_views.engine.predictions import SORTS
from xai_views.methods.sic.support_sets import UNCHANGED
from xai_views_dashboard.core.state import NONE, AppState

MOST, MOST_PER_CLASS = 1000, 20  # supports in an address, and supports per class


class SicState(AppState):
    """The selection; supports are positions in the training set."""

    against = param.Integer(NONE, bounds=(-1, None), doc="Compared class; -1 = none.")
    rendering = param.Boolean(True, doc="Whether the B-cos colour image is drawn.")
    support = param.Integer(NONE, bounds=(-1, None), doc="The selected support sample; -1 = none.")
    sort = param.Selector(default="order", objects=list(SORTS), doc="Order of the samples.")

    TARGETS: ClassVar[tuple[str, ...]] = ("target", "against")
    #: The support set; changed together they are one step of undo.
    EDITS: ClassVar[tuple[str, ...]] = tuple(UNCHANGED)

    @property
    def edited(self) -> bool:
        """Whether the support set differs from the original one."""
        return self.edits() != UNCHANGED

    def checked(self, key: str, value: Any) -> Any:
        """Return a value of an address within the limits of the support set."""
        if key == "added":
            return [[int(i), int(c)] for i, c in value][:MOST]
        if key == "excluded":
            return [int(i) for i in value][:MOST]
        return min(value, MOST_PER_CLASS) if key == "per_class" else super().checked(key, value)
