"""The controls above the picture."""

from __future__ import annotations

from typing import Any

import panel as pn

from xai_views_dashboard.core.controls import class_choice, control
from xai_views_dashboard.core.page import HALVES, halved


def controls(state: Any, classes: list[str]) -> pn.FlexBox:
    """Return the controls, linked to the state."""
    made = [
        class_choice(state, classes),
        class_choice(state, classes, "against", "Compared class", "none"),
        control(state, "rendering", "B-cos colour image", width=None),
    ]
    return pn.FlexBox(
        *map(halved, made), align_items="center", gap="4px", margin=(4, 8), stylesheets=[HALVES]
    )
