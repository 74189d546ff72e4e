"""Similarity with a clicked position in each layer, and the clusters of each layer alone."""

from __future__ import annotations

from typing import Any

import numpy as np

from xai_views.engine.clusters.measures import ari
from xai_views.views import Frame
from xai_views_dashboard.activations.frame import SEGMENT
from xai_views_dashboard.activations.layered import LayeredPanel
from xai_views_dashboard.core.panel import ASK
from xai_views_dashboard.core.picture_panel import side_by_side
from xai_views_dashboard.core.wishes import Wish


def tiles(paths: tuple[str, ...], marked: bool = False) -> dict[str, Any]:
    """Return one tile per layer, after the photo."""
    labels = {"photo": "Sample", **{f"layer-{i}": path for i, path in enumerate(paths)}}
    made = side_by_side(labels, 168, "layers", photo="photo")
    made["tiles"]["photo"]["layers"] = ["selected"] if marked else []
    return made


class SimilarityPanel(LayeredPanel):
    """Similarity of every position with the clicked one, in each layer alone."""

    title = "Similar positions"
    question = "where"
    words = (
        "Click a position on any picture: in each layer alone, red positions are similar to it, blue ones opposite. Similar "
        "activations mean that the layer represents two positions alike, not that they show the same thing."
    )
    watched = ("sample", ASK, "place")

    def layout(self) -> dict[str, Any]:
        """Return the tiles; the photo shows the selected position."""
        return tiles(self.taps, marked=True)

    def wish(self) -> Wish:
        """Return the request with the clicked position; the centre of the image before any click."""
        state, (height, width) = self.app.state, self.app.session.size
        x, y = state.place if len(state.place) == 2 else (width / 2, height / 2)
        ask = self.app.ask(at=[min(max(int(y), 0), height - 1), min(max(int(x), 0), width - 1)], ablated=[])
        return Wish(ask, {}, state.sample)

    def draw(self, frame: Frame, sample: int, image: Any, answer: Any, wish: Wish) -> None:  # noqa: ARG002
        """Draw cosine maps on one scale from -1 to 1."""
        y, x = wish.ask.at
        paths, shape = list(map(str, answer["layer"].values)), image.shape[:2]
        frame.header(text=f"Cosine similarity of every position with x {x}, y {y}, in {len(paths)} layers.")
        frame.photo(image, "photo")
        mark = np.full(shape, -1, np.int16)
        reach = max(2, round(0.03 * max(shape)))
        mark[max(0, y - reach) : y + reach + 1, max(0, x - reach) : x + reach + 1] = 0
        frame.label_map("photo", "selected", mark, ["selected position"])
        frame.legend("selected", title="position")
        frame.tile("photo", alt=f"The sample; the selected position is x {x}, y {y}")
        for i, path in enumerate(paths):
            frame.signed_map(f"layer-{i}", "similarity", answer["similarity"].values[0, i], limit=1.0)
            words = f"Similarity with the selected position in {path}"
            frame.tile(f"layer-{i}", photo="photo", size=list(shape), alt=words)
        frame.legend(
            "similarity",
            title="cosine with the selected position",
            target="",
            unit="",
            low="opposite",
            high="similar",
        )

    def selected(self, message: Any) -> None:
        """Select the clicked position."""
        if message.get("x") is not None:
            self.app.state.place = [float(message["x"]), float(message["y"])]


class DepthPanel(LayeredPanel):
    """The clusters of each default layer alone, shallow to deep."""

    title = "Depth"
    question = "where"
    words = (
        "Each layer is clustered on its own. Effective: the number of equally large clusters with the same entropy of sizes. "
        "Explained: share of the layer's variance explained by its clusters. ARI: agreement with the previous layer (1 = same "
        "partition, 0 = chance). Equal colours in different layers are unrelated."
    )

    def layout(self) -> dict[str, Any]:
        """Return tiles for the default layers."""
        return tiles(self.layers.default)

    def wish(self) -> Wish:
        """Return the request for all default layers, whatever layers are selected."""
        ask = self.app.ask(sweep=True, mode="nested", taps=[], weights="authors", ablated=[])
        return Wish(ask, {"paths": self.layers.default}, self.app.state.sample)

    def draw(self, frame: Frame, sample: int, image: Any, answer: Any, wish: Wish) -> None:  # noqa: ARG002
        """Draw one label map per layer, with effective number and explained variance."""
        paths = wish.drawn["paths"]
        frame.header(text=f"The clusters of {len(paths)} layers, each alone, shallow to deep.")
        frame.photo(image, "photo")
        place = {str(p): i for i, p in enumerate(answer["depth"].values)}
        before = None
        for i, path in enumerate(paths):
            ids = answer["depth_segment"].values[0, place[path]]
            frame.label_map(f"layer-{i}", f"{SEGMENT} alone", ids)
            number, explained = (
                float(answer[n].values[0, place[path]]) for n in ("effective_number", "explained")
            )
            agree = "" if before is None else f" · ARI {ari(before, ids):.2f}"
            title = f"{number:.1f} effective · {explained:.0%} explained{agree}"
            words = f"Clusters of {path} alone"
            frame.tile(f"layer-{i}", photo="photo", size=list(image.shape[:2]), title=title, alt=words)
            before = ids
        frame.legend(f"{SEGMENT} alone", title="cluster of the layer", short=True)
