"""What stands between samples and picture: order and filters, and which class is explained."""

from __future__ import annotations

from typing import Any

import panel as pn
import panel_material_ui as pmui

from xai_views_dashboard.core.controls import control, linked
from xai_views_dashboard.core.page import HALVES, halved
from xai_views_dashboard.core.state import NONE, PREDICTED
from xai_views_dashboard.sic.state import SHOWN

ORDERS = {
    "as they come": "order",
    "by predicted class": "class",
    "by confidence": "confidence",
    "by margin": "margin",
    "by evidence concentration": "concentration",
    "by distance to supports": "distance",
}


def controls(state: Any, classes: list[str]) -> pn.FlexBox:
    """Every control, tied to the state."""
    numbered = {c: i for i, c in enumerate(classes)}
    choices = {
        "sort": ("Order", ORDERS, 150),
        "shown": ("Show", {"all" if s == "all" else f"{s} predictions": s for s in SHOWN}, 150),
        "label": ("Labelled", {"any class": NONE} | numbered, 150),
        "target": ("Explain class", {"the predicted class": PREDICTED} | numbered, 180),
        "against": ("Compare with class", {"no other class": NONE} | numbered, 180),
    }
    made = {
        name: linked(pmui.Select(label=label, options=options, width=width, size="small"), state, name)
        for name, (label, options, width) in choices.items()
    }
    down = control(state, "descending", "largest first", width=None)
    rendering = control(state, "rendering", "Colour rendering", width=None)
    first, *others = made.values()
    return pn.FlexBox(
        *map(halved, (first, down, *others, rendering)),
        align_items="center",
        gap="4px",
        margin=(4, 8),
        stylesheets=[HALVES],
    )
