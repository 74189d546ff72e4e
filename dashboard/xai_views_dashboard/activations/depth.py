"""What is similar to a clicked position, layer by layer, and what each depth treats alike by itself."""

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
    """One tile per layer, after the photo."""
    labels = {"photo": "Sample", **{f"layer-{i}": path for i, path in enumerate(paths)}}
    made = side_by_side(labels, 168, "layers", photo="photo")
    made["tiles"]["photo"]["layers"] = ["asked"] if marked else []
    return made


class SimilarityPanel(LayeredPanel):
    """How similar every position is to the clicked one, in each layer alone."""

    title = "Similar places"
    question = "where"
    words = (
        "Click a position on any picture: red is similar to it, blue is opposite, in each layer alone. Similar "
        "activations mean that the network treats two places alike there, not that they show the same thing."
    )
    watched = ("sample", ASK, "place")

    def layout(self) -> dict[str, Any]:
        """The photo shows the asked position."""
        return tiles(self.taps, marked=True)

    def wish(self) -> Wish:
        """The ask with the clicked position; the middle of the image before any click."""
        state, (height, width) = self.app.state, self.app.session.size
        x, y = state.place if len(state.place) == 2 else (width / 2, height / 2)
        ask = self.app.ask(at=[min(max(int(y), 0), height - 1), min(max(int(x), 0), width - 1)], ablated=[])
        return Wish(ask, {}, state.sample)

    def draw(self, frame: Frame, sample: int, image: Any, answer: Any, wish: Wish) -> None:  # noqa: ARG002
        """Cosine maps on one scale from -1 to 1."""
        y, x = wish.ask.at
        paths, shape = list(map(str, answer["layer"].values)), image.shape[:2]
        frame.header(text=f"Cosine similarity of every position with x {x}, y {y}, in {len(paths)} layers.")
        frame.photo(image, "photo")
        mark = np.full(shape, -1, np.int16)
        reach = max(2, round(0.03 * max(shape)))
        mark[max(0, y - reach) : y + reach + 1, max(0, x - reach) : x + reach + 1] = 0
        frame.label_map("photo", "asked", mark, ["asked position"])
        frame.tile("photo", alt=f"The sample; the asked position is x {x}, y {y}")
        for i, path in enumerate(paths):
            frame.signed_map(f"layer-{i}", "similarity", answer["similarity"].values[0, i], limit=1.0)
            words = f"Similarity with the asked position in {path}"
            frame.tile(f"layer-{i}", photo="photo", size=list(shape), alt=words)
        frame.legend("similarity", title="cosine with the clicked position", target="", unit="")

    def selected(self, message: Any) -> None:
        """A click here asks for another position."""
        if message.get("x") is not None:
            self.app.state.place = [float(message["x"]), float(message["y"])]


class DepthPanel(LayeredPanel):
    """The clusters of every default layer by itself, shallow to deep."""

    title = "Depth"
    question = "where"
    words = (
        "Each layer clustered by itself. Effective: the number of equally large clusters with the same entropy of "
        "sizes. Explained: share of the layer's spread that its clusters explain. ARI: agreement with the layer "
        "before (1 = the same partition, 0 = chance). Colours of different layers have nothing to do with each other."
    )

    def layout(self) -> dict[str, Any]:
        """The architecture's own layers."""
        return tiles(self.layers.default)

    def wish(self) -> Wish:
        """The sweep, whatever layers are chosen."""
        ask = self.app.ask(sweep=True, mode="nested", taps=[], weights="authors", ablated=[])
        return Wish(ask, {"paths": self.layers.default}, self.app.state.sample)

    def draw(self, frame: Frame, sample: int, image: Any, answer: Any, wish: Wish) -> None:  # noqa: ARG002
        """One label map per depth, with how many clusters it effectively has and what they explain."""
        paths = wish.drawn["paths"]
        frame.header(text=f"The clusters of {len(paths)} layers by themselves, shallow to deep.")
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
        frame.legend(f"{SEGMENT} alone", title="cluster of this layer alone")
