"""What is similar to a clicked position, layer by layer, and what each depth treats alike by itself."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import panel as pn

from xai_views.engine.clusters.measures import ari
from xai_views.views import Frame
from xai_views_dashboard.activations.frame import SEGMENT
from xai_views_dashboard.core.former_picture_panel import PicturePanel
from xai_views_dashboard.core.page import caption
from xai_views_dashboard.core.session import context_of

SIDE = 168


class _LayerPictures(PicturePanel):
    """One small picture per layer."""

    def _layers(self) -> list[str]:
        raise NotImplementedError

    def layout(self) -> dict:
        """One tile per layer."""
        tiles = {
            f"layer-{i}": {"group": "layers", "size": SIDE, "label": path, "photo": "photo", "link": "layers"}
            for i, path in enumerate(self._layers())
        }
        photo = {
            "photo": {"group": "layers", "size": SIDE, "label": "Sample", "layers": [], "link": "layers"}
        }
        return {"tiles": photo | tiles, "groups": {"layers": {"title": ""}}}

    def key(self, wish: Any) -> Any:
        """The content of the ask."""
        return context_of(wish)


class SimilarityPanel(_LayerPictures):
    """How similar every position is to the clicked one, in each layer alone."""

    watched = ("at", "taps", "grid", "interp")

    def _layers(self) -> list[str]:
        return list(self.app.session.ask(self.app.state).taps)

    def wish(self) -> Any:
        """The ask with the clicked position; the middle of the image before any click."""
        state, (height, width) = self.app.state, self.app.session.size
        x, y = state.at if len(state.at) == 2 else (width / 2, height / 2)
        return self.app.session.ask(state, at=(int(y), int(x)), ablation=None)

    async def frame(self, key: str, sample: int, wish: Any) -> bytes:
        """Cosine maps on one scale from -1 to 1."""
        session = self.app.session
        result = await session.explain(sample, wish, priority=1)
        y, x = wish.at
        image = await asyncio.to_thread(session.image, sample)
        frame = Frame(
            key, text=f"Cosine similarity of every position with x {x}, y {y}, in {len(wish.taps)} layers."
        )
        frame.photo(image, "photo")
        mark = np.zeros(image.shape[:2], np.int16) - 1
        reach = max(2, round(0.03 * max(mark.shape)))
        mark[max(0, y - reach) : y + reach + 1, max(0, x - reach) : x + reach + 1] = 0
        frame.label_map("photo", "asked", mark, ["asked position"])
        frame.tile("photo", alt=f"The sample; the asked position is x {x}, y {y}")
        for i, path in enumerate(wish.taps):
            frame.signed_map(f"layer-{i}", "similarity", result["similarity"].values[0, i], limit=1.0)
            frame.tile(
                f"layer-{i}",
                photo="photo",
                size=list(image.shape[:2]),
                alt=f"Similarity with the asked position in {path}",
            )
        frame.legend("similarity", title="cosine with the clicked position", target="", unit="")
        return frame.to_bytes()

    def selected(self, message: Any) -> None:
        """A click here asks for another position."""
        if message.get("x") is not None:
            self.app.state.at = [float(message["x"]), float(message["y"])]

    def layout(self) -> dict:
        """The photo shows the asked position."""
        layout = super().layout()
        layout["tiles"]["photo"]["layers"] = ["asked"]
        return layout

    def __panel__(self) -> Any:
        return pn.Column(
            caption(
                "Click a position on any picture: red is similar to it, blue is opposite, in each layer alone. Similar "
                "activations mean that the network treats two places alike there, not that they show the same thing."
            ),
            self.canvas,
            sizing_mode="stretch_width",
        )


class DepthPanel(_LayerPictures):
    """The clusters of every default layer by itself, shallow to deep."""

    watched = ("k", "seed")

    def _layers(self) -> list[str]:
        return list(self.app.session.layers.default)

    def wish(self) -> Any:
        """The sweep over the architecture's own layers."""
        return self.app.session.ask(
            self.app.state, sweep=True, taps=self.app.session.layers.default, ablation=None
        )

    async def frame(self, key: str, sample: int, wish: Any) -> bytes:
        """One label map per depth, with how many clusters it effectively has and what they explain."""
        session = self.app.session
        result = await session.explain(sample, wish, priority=1)
        image = await asyncio.to_thread(session.image, sample)
        frame = Frame(key, text=f"The clusters of {len(wish.taps)} layers by themselves, shallow to deep.")
        frame.photo(image, "photo")
        place = {str(p): i for i, p in enumerate(result["depth"].values)}
        before = None
        for i, path in enumerate(self._layers()):
            at = place[path]
            ids = result["depth_segment"].values[0, at]
            frame.label_map(f"layer-{i}", f"{SEGMENT} alone", ids)
            number, explained = (float(result[n].values[0, at]) for n in ("effective_number", "explained"))
            agree = "" if before is None else f" · ARI {ari(before, ids):.2f}"
            frame.tile(
                f"layer-{i}",
                photo="photo",
                size=list(image.shape[:2]),
                title=f"{number:.1f} effective · {explained:.0%} explained{agree}",
                alt=f"Clusters of {path} alone",
            )
            before = ids
        frame.legend(f"{SEGMENT} alone", title="cluster of this layer alone")
        return frame.to_bytes()

    def __panel__(self) -> Any:
        return pn.Column(
            caption(
                "Each layer clustered by itself. Effective: the number of equally large clusters with the same entropy of "
                "sizes. Explained: share of the layer's spread that its clusters explain. ARI: agreement with the layer "
                "before (1 = the same partition, 0 = chance). Colours of different layers have nothing to do with each other."
            ),
            self.canvas,
            sizing_mode="stretch_width",
        )
