"""Saliency on superpixels: a map as it is and on the network's own superpixels, their difference, and the regions as bars."""

from __future__ import annotations

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
TILES = {"raw": "As it is", "read": "On superpixels", "difference": "Difference", "regions": "Superpixels"}
CONTROLS = {
    "map": "Saliency map",
    "reduce": "Channels",
    "how": "Figure of a superpixel",
    "connected": "connected pieces",
}
COLUMNS: list[dict[str, Any]] = [
    {"key": "region", "title": "region"},
    {"key": "area", "title": "area", "kind": "number", "digits": 3},
    {"key": "value", "title": "figure", "kind": "bar", "digits": 5},
    {"key": "sum", "title": "sum", "kind": "signed", "digits": 4},
    {"key": "mass", "title": "share of what speaks for it", "kind": "number", "digits": 3},
    {"key": "density", "title": "share / area", "kind": "number", "digits": 2},
]


class SaliencyPanel(PicturePanel):
    """Raw against superpixels: the method ``nas`` on the clusters of the page."""

    title = "Saliency"
    question = "compared"
    watched = ("sample", ASK, *CONTROLS, "min_area")
    words = (
        "A saliency map as it is, and with one figure for each of the network's own superpixels. Averaging eases reading; it "
        "cannot make a map right. The controls random, edges and centre know nothing of the network."
    )
    table, columns = "The regions, largest figure first", COLUMNS

    def __init__(self, app: Any) -> None:
        super().__init__(app)
        self.said = pn.pane.HTML("", sizing_mode="stretch_width", margin=(4, 16))
        self.curves = CurvesPanel(app, self.wish)
        app.state.param.watch(lambda *_: self.curves.cancel(), ["sample", *app.asked_by(), *CONTROLS])

    def layout(self) -> dict[str, Any]:
        """Raw, on superpixels, their difference, the regions."""
        return side_by_side(TILES, 230, "saliency", photo="raw")

    def wish(self) -> Wish:
        """What the method says on the clusters of the page; whole clusters keep their ids."""
        state = self.app.state
        ask = self.app.ask("nas", ablated=[], min_area=state.min_area if state.connected else 0)
        return Wish(ask, {}, state.sample)

    def draw(self, frame: Frame, sample: int, image: Any, answer: Any, wish: Wish) -> tuple:  # noqa: ARG002
        """All maps on one scale; the regions, what they keep, and what was asked."""
        ask = wish.ask
        raw, read, regions = (answer[n].values[0] for n in ("attribution", "region_attribution", "region"))
        words = self.app.model.classes[int(answer["target_class"].values[0, 0])]
        _, table = aggregate(raw, regions, ask.how)
        frame.header(
            text=f"{ask.map} for {words}: as it is, on {len(table)} superpixels, and their difference."
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
        """Write bars and words beside the pictures."""
        table, share, words, ask = answer
        ordered = table.sort_values("value", ascending=False).head(MOST_ROWS)
        figures = [c["key"] for c in COLUMNS[1:]]
        self.listing.rows = [
            {"id": str(i), "region": str(i), **{c: float(r[c]) for c in figures}}
            for i, r in ordered.iterrows()
        ]
        what = "pieces" if ask.connected else "clusters"
        self.said.object = (
            f"<p>{escape(ask.map)} for {escape(words)} on {len(table)} {what}: the superpixels keep {share:.1%} of the map's "
            "variance. What they do not keep lies inside the regions and is averaged away.</p>"
        )

    def selected(self, message: Any) -> None:
        """A cluster chosen here is chosen everywhere."""
        label = (message.get("labels") or {}).get(SEGMENT)
        if label is not None:
            self.app.state.cluster = int(label)

    def above(self) -> list[Any]:
        """What is chosen, and what it says."""
        choices = (control(self.app.state, name, label, width=190) for name, label in CONTROLS.items())
        return [pn.FlexBox(*choices, align_items="center", gap="8px", margin=(0, 8)), self.said]

    def __panel__(self) -> Any:
        return pn.Column(super().__panel__(), self.curves, sizing_mode="stretch_width")
