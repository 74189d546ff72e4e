"""What is selected in the SIC app."""

from __future__ import annotations

from typing import Any

import param

from xai_views.methods.sic.support_sets import RULES, UNCHANGED
from xai_views_dashboard.core.state import NONE, AppState

SORTS = ("order", "class", "confidence", "margin", "concentration", "distance")
SHOWN = ("all", "right", "wrong")


class SicState(AppState):
    """Everything that decides what the page shows.

    Samples and supports are positions; the URL names samples by their id.
    """

    against = param.Integer(NONE, bounds=(-1, None), doc="Class to compare with; -1 = none.")
    support = param.Integer(
        NONE, bounds=(-1, None), doc="Training position of the chosen support sample; -1 = none."
    )
    sort = param.Selector(default="order", objects=list(SORTS), doc="Order of the population.")
    descending = param.Boolean(False, doc="Whether the largest come first.")
    shown = param.Selector(
        default="all", objects=list(SHOWN), doc="Samples shown: all, or those predicted right or wrong."
    )
    label = param.Integer(NONE, bounds=(-1, None), doc="Only samples of this class; -1 = all.")
    per_class = param.Integer(0, bounds=(0, 20), doc="Supports per class; 0 = the model's own number.")
    rule = param.Selector(
        default="model", objects=list(RULES), doc="How supports are chosen; model = as shipped."
    )
    excluded = param.List([], item_type=int, doc="Training positions that must not be supports.")
    added = param.List([], doc="Further supports, [[training position, class], ...].")
    colours = param.Boolean(True, doc="Whether the colour rendering is drawn.")

    #: Parameters that make up the support set; together they are one step of undo.
    EDITS = ("per_class", "rule", "excluded", "added")

    @property
    def edited(self) -> bool:
        """Whether the support set differs from the model's own."""
        return self.edits() != UNCHANGED

    def checked(self, key: str, value: Any) -> Any:
        """Bound what an address may add to the support set."""
        return [[int(i), int(c)] for i, c in value][:1000] if key == "added" else super().checked(key, value)
