"""What stands above the picture: what is changed often."""

from __future__ import annotations

from typing import Any

import panel as pn
import panel_material_ui as pmui
import param

from xai_views_dashboard.core.controls import control, linked
from xai_views_dashboard.core.page import HALVES, halved
from xai_views_dashboard.core.state import PREDICTED

FEW = 200  # classes; beyond, the name is typed
CHOICES = {
    "k": ("Clusters K (0 = elbow)", 190),
    "mode": ("Cut", 170),
    "grid": ("Grid", 160),
    "shown": ("Picture", 120),
}
#: Values of the method in the words of the page.
WORDS = {
    "nested": "one merge tree",
    "exact": "k-means for each K",
    "codebook": "codebook of all samples",
    "shallowest": "shallowest layer",
    "input": "pixels of the image",
    "double": "twice the tokens",
}


def controls(app: Any) -> pn.viewable.Viewable:
    """What is changed often: class, K, how clusters are cut, the grid, and what the large picture shows."""
    made = [
        halved(control(app.state, n, label, width=width, description="", **worded(app.state.param[n])))
        for n, (label, width) in CHOICES.items()
    ]
    return pn.FlexBox(
        target(app), *made, align_items="center", gap="4px", margin=(4, 8), stylesheets=[HALVES]
    )


def worded(declared: Any) -> dict[str, Any]:
    """The options of a choice in words; nothing for what is no choice."""
    if not isinstance(declared, param.Selector):
        return {}
    return {"options": {WORDS.get(o, o): o for o in declared.objects}}


def target(app: Any) -> Any:
    """A choice among few classes; of many, the name is typed."""
    state, classes = app.state, app.model.classes
    place = {"the predicted class": PREDICTED} | {c: i for i, c in enumerate(classes)}
    if len(classes) <= FEW:
        few = pmui.Select(label="Explain class", options=place, width=190, size="small")
        return linked(halved(few), state, "target")
    widget = pmui.AutocompleteInput(
        label="Explain class (type a name)",
        options=list(place),
        case_sensitive=False,
        restrict=True,
        width=230,
        size="small",
    )

    def show(*_: Any) -> None:
        widget.value = classes[state.target] if 0 <= state.target < len(classes) else "the predicted class"

    show()
    widget.param.watch(lambda e: setattr(state, "target", place.get(e.new, PREDICTED)), "value")
    state.param.watch(show, "target")
    return widget
