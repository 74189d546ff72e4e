"""The selection of the Activations app, beside the parameters of its methods."""

from __future__ import annotations

from typing import Any, ClassVar

import param

from xai_views.engine.attribution.maps import METHODS
from xai_views.engine.clusters.weights import PRESETS
from xai_views_dashboard.core.state import NONE, AppState

MOST = 32  # entries of a list in an address: clusters, layers and others


class ActivationsState(AppState):
    """The selection."""

    shown = param.Selector(
        default="clusters", objects=["clusters", "entropy", "margin"], doc="The map on the main picture."
    )
    cluster = param.Integer(NONE, bounds=(-1, MOST - 1), doc="The selected cluster; -1 = none.")
    place = param.List([], item_type=float, doc="Clicked position [x, y] in image pixels; [] = none.")
    names = param.Dict({}, doc="Names given by hand, {cluster: name}.")
    touched = param.List([], item_type=dict, doc="Edits of the current photo, in order.")
    compared = param.List([], item_type=str, doc="Further models beside this one.")
    map = param.Selector(default="grad-cam", objects=list(METHODS), doc="Attribution method or control.")
    layer = param.String("", doc="Layer of the factorization; '' = the deepest.")

    #: Removed clusters and photo edits belong to the sample on which they were made.
    OF_SAMPLE: ClassVar[tuple[str, ...]] = ("region", "ablated", "touched")
    #: Changed together they are one step of undo.
    EDITS: ClassVar[tuple[str, ...]] = ("ablated", "keep", "where", "fill")

    def checked(self, key: str, value: Any) -> Any:
        """Return a value of an address within the limits."""
        if key == "weights" and value not in PRESETS:
            return [min(max(float(v), 0.0), 100.0) for v in value][:MOST]
        if key == "place":
            return [float(v) for v in value][:2]
        if key == "touched":
            return [_edit(v) for v in value][:40]
        if key == "names":
            return {str(int(c)): str(n)[:40] for c, n in list(value.items())[:MOST]}
        return value[:MOST] if isinstance(value, list) and key != "region" else super().checked(key, value)


def _edit(value: Any) -> dict[str, Any]:
    """Return one edit of an address, checked; raises ValueError or TypeError for anything else."""
    if value["kind"] not in {"blur", "erase", "paste"}:
        raise ValueError(value["kind"])
    region = [[float(x), float(y)] for x, y in value["region"]][:2000]
    return {"kind": value["kind"], "region": region, "at": [float(v) for v in value.get("at", [])][:2]}
