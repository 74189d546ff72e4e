"""The row above the paper: what is drawn behind the trace, for which class, and whether the network's answer is shown at all."""

from __future__ import annotations

from typing import Any

import panel as pn
import panel_material_ui as pmui

from xai_views_dashboard.core.page import HALVES, halved
from xai_views_dashboard.ecg import state as choices

SHOWN = {
    "clusters": "clusters",
    "contribution": "clusters and contribution",
    "attribution": "clusters and attribution by lead",
    "nothing": "the trace alone",
}
FADES = {"entropy": "uncertainty", "ensemble": "disagreement of an ensemble", "nothing": "nothing"}
PREDICTED = "the predicted class"


def linked(widget: Any, state: Any, name: str) -> Any:
    """Tie a widget to a parameter of the state, both ways."""
    widget.value = getattr(state, name)
    widget.link(state, value=name, bidirectional=True)
    return widget


def controls(app: Any) -> Any:
    """Return the row of controls of an app."""
    state, classes = app.state, app.model.classes
    targets = {PREDICTED: -1, **{c: i for i, c in enumerate(classes)}}
    hidden = pmui.Switch(label="Hide the network's answer", margin=(0, 8))
    truth = pmui.Switch(label="Known evidence", margin=(0, 8), disabled="mask" not in app.samples)

    def select(label: str, name: str, options: Any, width: int) -> Any:
        widget = pmui.Select(label=label, options=options, width=width, size="small")
        return linked(halved(widget), state, name)

    own = [choices.OWN_MAP] if app.model.supports is not None else []
    attribution = select("Attribution", "attribution", [*own, *choices.ATTRIBUTIONS], 190)

    def useful(*_: Any) -> None:
        attribution.visible = state.shown == "attribution"

    state.param.watch(useful, "shown")
    useful()
    parts = [
        select("Behind the trace", "shown", {SHOWN[s]: s for s in choices.SHOWN}, 240),
        select("Explained class", "target", targets, 200),
        select("Hatching shows", "fade", {FADES[f]: f for f in choices.FADES}, 210),
        attribution,
        linked(hidden, state, "hidden"),
        linked(truth, state, "truth"),
    ]
    return pn.FlexBox(*parts, align_items="center", gap="8px", margin=(4, 8), stylesheets=[HALVES])
