"""What stands above the picture: which class is explained, and with which other one it is compared."""

from __future__ import annotations

from typing import Any

import panel as pn
import panel_material_ui as pmui

from xai_views_dashboard.core.controls import control, linked
from xai_views_dashboard.core.page import HALVES, halved
from xai_views_dashboard.core.state import NONE, PREDICTED


def controls(state: Any, classes: list[str]) -> pn.FlexBox:
    """Every control, tied to the state."""
    numbered = {c: i for i, c in enumerate(classes)}
    choices = {
        "target": ("Explain class", {"the predicted class": PREDICTED} | numbered, 180),
        "against": ("Compare with class", {"no other class": NONE} | numbered, 180),
    }
    made = {
        name: linked(pmui.Select(label=label, options=options, width=width, size="small"), state, name)
        for name, (label, options, width) in choices.items()
    }
    rendering = control(state, "rendering", "Colour rendering", width=None)
    return pn.FlexBox(
        *map(halved, (*made.values(), rendering)),
        align_items="center",
        gap="4px",
        margin=(4, 8),
        stylesheets=[HALVES],
    )
