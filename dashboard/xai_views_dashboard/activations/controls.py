"""The controls above the picture."""

from __future__ import annotations

from typing import Any

import panel as pn
import param

from xai_views_dashboard.core.controls import class_choice, control
from xai_views_dashboard.core.page import HALVES, halved

CHOICES = {
    "k": ("Number of clusters K (0 = automatic)", 300),
    "mode": ("Clustering", 170),
    "grid": ("Grid", 160),
    "shown": ("Main picture", 120),
}
#: Labels of the values.
WORDS = {
    "nested": "nested",
    "exact": "separate for each K",
    "codebook": "shared by all samples",
    "shallowest": "shallowest layer",
    "input": "pixels of the image",
    "double": "twice the tokens",
    "entropy": "uncertainty",
}


def controls(app: Any) -> pn.viewable.Viewable:
    """Return the controls: class, K, clustering, grid and main picture."""
    made = [
        halved(control(app.state, n, label, width=width, description="", **worded(app.state.param[n])))
        for n, (label, width) in CHOICES.items()
    ]
    return pn.FlexBox(
        halved(class_choice(app.state, app.model.classes)),
        *made,
        align_items="center",
        gap="4px",
        margin=(4, 8),
        stylesheets=[HALVES],
    )


def worded(declared: Any) -> dict[str, Any]:
    """Return the labels of the options of a choice; nothing for other parameters."""
    if not isinstance(declared, param.Selector):
        return {}
    return {"options": {WORDS.get(o, o): o for o in declared.objects}}
