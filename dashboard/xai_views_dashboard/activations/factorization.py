"""The closest peer in the same view: Deep Feature Factorization on one layer, beside k-means on the same activations."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import numpy as np
import panel as pn
import panel_material_ui as pmui

from xai_views.engine.clusters.match import match_labels
from xai_views.views import Frame, Listing
from xai_views_dashboard.activations.frame import SEGMENT
from xai_views_dashboard.core.former_picture_panel import PicturePanel
from xai_views_dashboard.core.page import caption
from xai_views_dashboard.core.session import context_of
from xai_views_dashboard.core.tasks import on_page

SIDE = 210
COLUMNS = [
    {"key": "method", "title": "method"},
    {"key": "explained", "title": "explained variance", "kind": "number", "digits": 3},
    {"key": "stability", "title": "stability over seeds (ARI)", "kind": "number", "digits": 2},
    {"key": "agreement", "title": "agreement with k-means (ARI)", "kind": "number", "digits": 2},
    {"key": "milliseconds", "title": "time in ms", "kind": "number", "digits": 1},
]


class PeerPanel(PicturePanel):
    """k-means, factorization and PCA on one layer of the sample in view."""

    watched = ("k", "seed", "taps", "layer")

    def __init__(self, app: Any) -> None:
        super().__init__(app)
        options = list(app.session.layers.default)
        self.layer = pmui.Select(label="Layer", options=options, value=self._layer(), width=240, size="small")
        self.layer.param.watch(lambda e: setattr(app.state, "layer", e.new), "value")
        self.listing = Listing(label="The methods on the same activations", columns=COLUMNS)

    def _layer(self) -> str:
        layers = self.app.session.layers
        return self.app.state.layer if self.app.state.layer in layers.taps else layers.default[-1]

    def layout(self) -> dict:
        """Label maps side by side."""
        words = {"photo": "Sample", "ours": "k-means on cosines", "dff": "Deep Feature Factorization"}
        tiles = {
            n: {"group": "peer", "size": SIDE, "label": w, "photo": "photo", "link": "peer"}
            for n, w in words.items()
        }
        tiles["photo"]["layers"] = []
        return {"tiles": tiles, "groups": {"peer": {"title": ""}}}

    def wish(self) -> Any:
        """One layer alone, k-means of its own."""
        ask = self.app.session.ask(
            self.app.state, ablation=None, taps=(self._layer(),), weights="equal", grid="shallowest"
        )
        return replace(ask, mode="exact", assigner="k-means", codebook=None, k=ask.k or 5, peer=True)

    def key(self, wish: Any) -> Any:
        """The content of the ask."""
        return context_of(wish)

    async def frame(self, key: str, sample: int, wish: Any) -> bytes:
        """Both label maps, colours matched."""
        session = self.app.session
        result = await session.explain(sample, wish, priority=1)
        image = await asyncio.to_thread(session.image, sample)
        frame = Frame(
            key, text=f"k-means and Deep Feature Factorization of {wish.taps[0]} with {wish.k} parts each."
        )
        frame.photo(image, "photo")
        ours, peer = (result[n].values[0].astype(np.int64) for n in ("segment", "peer_segment"))
        frame.label_map("ours", SEGMENT, ours)
        frame.label_map("dff", SEGMENT, match_labels(ours, peer)[peer])
        for tile in ("ours", "dff"):
            frame.tile(tile, size=list(image.shape[:2]), alt=f"Parts found by {tile}")
        frame.legend(SEGMENT, title="part (matched)")
        figures = result["peer_figures"].values[0]
        rows = [
            {
                "id": str(name),
                "method": {"dff": "Deep Feature Factorization", "pca": "PCA (upper bound)"}.get(
                    str(name), str(name)
                ),
                "explained": float(f[0]),
                "milliseconds": 1000 * float(f[1]),
                "stability": float(f[2]),
                "agreement": float(f[3]) if name == "dff" else None,
            }
            for name, f in zip(result["peer"].values, figures, strict=True)
        ]
        on_page(lambda: setattr(self.listing, "rows", rows))
        return frame.to_bytes()

    def __panel__(self) -> Any:
        return pn.Column(
            caption(
                "Deep Feature Factorization splits one layer into additive non-negative parts, k-means into a partition by "
                "direction. No K parts explain more of the centred activations than K principal components. Times are of this "
                "machine, now."
            ),
            self.layer,
            self.canvas,
            self.listing,
            sizing_mode="stretch_width",
        )
