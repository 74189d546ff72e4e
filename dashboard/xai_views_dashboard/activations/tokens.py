"""Tokens of a vision transformer: their norms beside the clusters, and how scattered the clusters are."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import panel as pn

from xai_views.engine.clusters.measures import fragmentation, outliers_in_one
from xai_views.views import Frame, Listing
from xai_views_dashboard.activations.compare import resized
from xai_views_dashboard.activations.frame import SEGMENT
from xai_views_dashboard.core.former_picture_panel import PicturePanel
from xai_views_dashboard.core.page import caption
from xai_views_dashboard.core.session import context_of
from xai_views_dashboard.core.tasks import on_page

SIDE = 190
COLUMNS = [
    {"key": "layer", "title": "layer"},
    {"key": "mean", "title": "mean norm", "kind": "number", "digits": 2},
    {"key": "largest", "title": "largest norm", "kind": "number", "digits": 2},
    {"key": "ratio", "title": "largest / median", "kind": "number", "digits": 2},
    {"key": "outliers", "title": "top 1 % in one cluster", "kind": "number", "digits": 2},
    {"key": "pieces", "title": "connected pieces", "kind": "number", "digits": 0},
    {"key": "scattered", "title": "scattered clusters", "kind": "number", "digits": 2},
    {"key": "coherence", "title": "coherence", "kind": "number", "digits": 3},
]


class TokensPanel(PicturePanel):
    """Norms of the activations in each layer, and fragmentation figures; made for registers of transformers."""

    watched = ("taps", "k", "mode", "seed", "grid", "preset", "weights")

    def __init__(self, app: Any) -> None:
        super().__init__(app)
        self.listing = Listing(label="Norms and fragmentation by layer", columns=COLUMNS)

    def _layers(self) -> list[str]:
        return list(self.app.session.ask(self.app.state).taps)

    def layout(self) -> dict:
        """The clusters, then the norms of each layer."""
        tiles: dict[str, dict] = {
            "clusters": {"group": "tokens", "size": SIDE, "label": "Clusters", "link": "tokens"}
        }
        for i, path in enumerate(self._layers()):
            tiles[f"norm-{i}"] = {
                "group": "tokens",
                "size": SIDE,
                "label": path,
                "photo": "clusters",
                "link": "tokens",
            }
        return {"tiles": tiles, "groups": {"tokens": {"title": ""}}}

    def wish(self) -> Any:
        """The ask, with the norms."""
        return self.app.session.ask(self.app.state, ablation=None, norms=True)

    def key(self, wish: Any) -> Any:
        """The content of the ask."""
        return context_of(wish)

    async def frame(self, key: str, sample: int, wish: Any) -> bytes:
        """Norm maps on one scale."""
        session = self.app.session
        result = await session.explain(sample, wish, priority=1)
        image = await asyncio.to_thread(session.image, sample)
        frame = Frame(key, text="Norms of the activations at every position, by layer.")
        frame.photo(image, "clusters")
        frame.label_map("clusters", SEGMENT, result["segment"].values[0])
        norms = result["token_norm"].values[0]
        for i, path in enumerate(wish.taps):
            frame.sequential(f"norm-{i}", "norm", norms[i])
            frame.tile(f"norm-{i}", size=list(image.shape[:2]), alt=f"Norm of the activations of {path}")
        frame.legend("norm", title="norm of the activation")
        frame.legend(SEGMENT, title="cluster")
        labels = result["assignment"].values[0]
        rows = [self.row(path, norms[i], labels) for i, path in enumerate(wish.taps)]
        on_page(lambda: setattr(self.listing, "rows", rows))
        return frame.to_bytes()

    @staticmethod
    def row(path: str, norm: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
        """Figures of one layer."""
        here = resized(norm, labels.shape)
        return {
            "id": path,
            "layer": path,
            "mean": float(norm.mean()),
            "largest": float(norm.max()),
            "ratio": float(norm.max() / max(np.median(norm), 1e-9)),
            "outliers": outliers_in_one(here, labels),
            **fragmentation(labels),
        }

    def __panel__(self) -> Any:
        return pn.Column(
            caption(
                "Transformers without registers often store global information in a few tokens with large norms. "
                "Clustering normalises every position, so that such tokens show only by their direction: as small "
                "scattered pieces. Compare a network with registers in the tab Compare models."
            ),
            self.canvas,
            self.listing,
            caption(
                "Scattered clusters: share of clusters whose median piece has at most two cells. Coherence: share of "
                "neighbouring positions in the same cluster."
            ),
            sizing_mode="stretch_width",
        )
