"""The row above the paper: explanation and explained class, and whether the ground truth is outlined."""

from __future__ import annotations

from typing import Any

import panel as pn
import panel_material_ui as pmui

from xai_views.methods.ecg_clusters.attribution import METHODS, OWN
from xai_views_dashboard.core.controls import linked
from xai_views_dashboard.core.page import HALVES, halved
from xai_views_dashboard.core.state import PREDICTED

SHOWN = {
    "clusters": "clusters",
    "clusters + contribution": "contribution",
    "clusters + attribution by lead": "attribution",
    "none": "nothing",
}
FADES = {"uncertainty": "entropy", "ensemble disagreement": "ensemble", "none": "nothing"}


def attributions(model: Any) -> list[str]:
    """Return the maps by lead and time that a model has; a SIC network has one of its own."""
    return [*([OWN] if "supports" in model.parts else []), *METHODS]


def controls(app: Any) -> Any:
    """Return the row of controls of an app."""
    state = app.state
    targets = {"predicted class": PREDICTED, **{c: i for i, c in enumerate(app.model.classes)}}

    def select(label: str, name: str, options: Any, width: int) -> Any:
        widget = pmui.Select(
            label=label, options=options, width=width, size="small", searchable=len(options) > 12
        )
        return linked(halved(widget), state, name)

    attribution = select("Attribution", "attribution", attributions(app.model), 170)
    stripes = select("Stripes", "fade", FADES, 190)

    def useful(*_: Any) -> None:
        attribution.visible = state.shown == "attribution"
        stripes.visible = state.shown != "nothing"
        fitted = app.fitted
        stripes.disabled_options = [] if fitted is not None and fitted.ensemble else ["ensemble"]

    state.param.watch(useful, ["shown", "codebook"])
    useful()
    known = "mask" in app.samples
    truth = pmui.Switch(
        label="Ground truth" if known else "Ground truth (not known)", margin=(0, 8), disabled=not known
    )
    parts = [
        select("Explanation", "shown", SHOWN, 220),
        select("Explained class", "target", targets, 200),
        stripes,
        attribution,
        linked(truth, state, "truth"),
    ]
    row = pn.FlexBox(*parts, align_items="center", gap="4px", margin=(2, 4), stylesheets=[HALVES])

    def shown(*_: Any) -> None:
        row.visible = not state.hidden

    state.param.watch(shown, "hidden")
    shown()
    return row
