"""The row above the paper: what is drawn behind the trace, for which class, and whether the network's answer is shown at all."""

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
    "clusters and contribution": "contribution",
    "clusters and attribution by lead": "attribution",
    "the trace alone": "nothing",
}
FADES = {"uncertainty": "entropy", "disagreement of an ensemble": "ensemble", "nothing": "nothing"}


def attributions(model: Any) -> list[str]:
    """What lies by lead and time under the leads; a SIC network has a map of its own."""
    return [*([OWN] if "supports" in model.parts else []), *METHODS]


def controls(app: Any) -> Any:
    """Return the row of controls of an app."""
    state = app.state
    targets = {"the predicted class": PREDICTED, **{c: i for i, c in enumerate(app.model.classes)}}

    def select(label: str, name: str, options: Any, width: int) -> Any:
        return linked(
            halved(pmui.Select(label=label, options=options, width=width, size="small")), state, name
        )

    attribution = select("Attribution", "attribution", attributions(app.model), 190)

    def useful(*_: Any) -> None:
        attribution.visible = state.shown == "attribution"

    state.param.watch(useful, "shown")
    useful()
    parts = [
        select("Behind the trace", "shown", SHOWN, 240),
        select("Explained class", "target", targets, 200),
        select("Hatching shows", "fade", FADES, 210),
        attribution,
        linked(pmui.Switch(label="Hide the network's answer", margin=(0, 8)), state, "hidden"),
        linked(
            pmui.Switch(label="Known evidence", margin=(0, 8), disabled="mask" not in app.samples),
            state,
            "truth",
        ),
    ]
    return pn.FlexBox(*parts, align_items="center", gap="8px", margin=(4, 8), stylesheets=[HALVES])
