"""Saliency on superpixels: a map, its averages over superpixels, their difference, and a table of the regions."""

from __future__ import annotations

import math
from html import escape
from typing import Any

import panel as pn

from xai_views.engine.superpixels.aggregate import aggregate
from xai_views.views import Frame
from xai_views_dashboard.activations.curves import CurvesPanel
from xai_views_dashboard.activations.frame import SEGMENT
from xai_views_dashboard.core.controls import control
from xai_views_dashboard.core.panel import ASK
from xai_views_dashboard.core.picture_panel import PicturePanel, side_by_side
from xai_views_dashboard.core.wishes import Wish

MOST_ROWS = 40
TILES = {"raw": "Original", "read": "Superpixels", "difference": "Difference", "regions": "Regions"}
CONTROLS = {
    "map": "Saliency map",
    "reduce": "Channels",
    "how": "Value per superpixel",
    "connected": "Connected pieces",
}
COLUMNS: list[dict[str, Any]] = [
    {"key": "region", "title": "region"},
    {"key": "area", "title": "area", "kind": "number", "digits": 3},
    {"key": "value", "title": "value", "kind": "bar", "digits": 5},
    {"key": "sum", "title": "sum", "kind": "signed", "digits": 4},
    {"key": "mass", "title": "share of positive relevance", "kind": "number", "digits": 3},
    {"key": "density", "title": "share / area", "kind": "number", "digits": 2},
]


class SaliencyPanel(PicturePanel):
    """Original and superpixel maps: the method ``nas`` on the clusters of the page."""

    title = "Saliency"
    question = "compared"
    watched = ("sample", ASK, *CONTROLS, "min_area")
    words = (
        "A saliency map, and the same map averaged over the network's own superpixels. Averaging makes a map easier to read, not "
        "more correct. Random, edges and centre are controls that ignore the network."
    )
    table, columns = "Regions by value", COLUMNS

    def __init__(self, app: Any) -> None:
        super().__init__(app)
        self.said = pn.pane.HTML("", sizing_mode="stretch_width", margin=(4, 16))
        self.curves = CurvesPanel(app, self.wish)
        app.state.param.watch(lambda *_: self.curves.cancel(), ["sample", *app.asked_by(), *CONTROLS])

    def layout(self) -> dict[str, Any]:
        """Return the tiles: original map, superpixels, their difference, the regions."""
        return side_by_side(TILES, 230, "saliency", photo="raw")

    def wish(self) -> Wish:
        """Return the request on the clusters of the page; whole clusters keep their ids."""
        state = self.app.state
        ask = self.app.ask("nas", ablated=[], min_area=state.min_area if state.connected else 0)
        return Wish(ask, {}, state.sample)

    def draw(self, frame: Frame, sample: int, image: Any, answer: Any, wish: Wish) -> tuple:  # noqa: ARG002
        """Draw all maps on one scale; return table, explained variance, class and request."""
        ask = wish.ask
        raw, read, regions = (answer[n].values[0] for n in ("attribution", "region_attribution", "region"))
        words = self.app.model.classes[int(answer["target_class"].values[0, 0])]
        _, table = aggregate(raw, regions, ask.how)
        frame.header(
            text=f"{ask.map} for {words}: original, averaged over {len(table)} superpixels, and their difference."
        )
        frame.photo(image, "raw")
        for tile, values in (("raw", raw), ("read", read), ("difference", raw - read)):
            frame.signed_map(tile, "attribution", values)
            frame.tile(tile, size=list(image.shape[:2]), alt=f"{ask.map} for {words}, {tile}")
        frame.label_map("regions", "superpixel" if ask.connected else SEGMENT, regions)
        frame.tile("regions", size=list(image.shape[:2]), alt=f"{len(table)} superpixels")
        frame.legend("attribution", title=f"{ask.map}, per pixel", target=words, unit="")
        return table, float(answer["kept"].values[0]), words, ask

    def write(self, answer: tuple) -> None:
        """Write table and sentence."""
        table, share, words, ask = answer
        ordered = table.sort_values("value", ascending=False).head(MOST_ROWS)
        figures = [c["key"] for c in COLUMNS[1:]]
        self.listing.rows = [
            {"id": str(i), "region": str(i), **{c: _known(r[c]) for c in figures}}
            for i, r in ordered.iterrows()
        ]
        what = "pieces" if ask.connected else "clusters"
        kept = (
            f"the superpixels keep {share:.1%} of the map's variance. The rest varies within regions and is averaged out."
            if math.isfinite(share)
            else "the map is constant, so there is no variance to keep."
        )
        self.said.object = f"<p>{escape(ask.map)} for {escape(words)} on {len(table)} {what}: {kept}</p>"

    def selected(self, message: Any) -> None:
        """Select the clicked cluster in all pictures."""
        label = (message.get("labels") or {}).get(SEGMENT)
        if label is not None:
            self.app.state.cluster = int(label)

    def above(self) -> list[Any]:
        """Return the controls, and the sentence about the map."""
        choices = (control(self.app.state, name, label, width=190) for name, label in CONTROLS.items())
        return [pn.FlexBox(*choices, align_items="center", gap="8px", margin=(0, 8)), self.said]

    def __panel__(self) -> Any:
        return pn.Column(super().__panel__(), self.curves, sizing_mode="stretch_width")


def _known(value: float) -> float | None:
    """Return a number; None, an empty cell, for one that cannot be computed."""
    return float(value) if math.isfinite(value) else None
