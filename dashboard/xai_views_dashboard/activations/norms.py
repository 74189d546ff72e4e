"""Norms of activations or tokens, and how scattered the clusters are."""

from __future__ import annotations

from typing import Any

from xai_views.engine.clusters.measures import norm_figures
from xai_views.views import Frame
from xai_views_dashboard.activations.frame import SEGMENT
from xai_views_dashboard.activations.layered import LayeredPanel
from xai_views_dashboard.core.picture_panel import side_by_side
from xai_views_dashboard.core.wishes import Wish

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


class NormsPanel(LayeredPanel):
    """Norms of the activations in each layer, and fragmentation; shows the effect of registers in transformers."""

    title = "Norms"
    question = "trust"

    words = (
        "Transformers without registers often store global information in a few tokens with large norms. Clustering normalises "
        "every position, so such tokens appear only by their direction, as small scattered pieces. Compare models shows one "
        "with registers."
    )
    table, columns = "Norms and fragmentation by layer", COLUMNS
    beneath = (
        "Scattered clusters: share of clusters whose median piece has at most two cells. Coherence: share of neighbouring "
        "positions in the same cluster."
    )

    def layout(self) -> dict[str, Any]:
        """Return the tiles: the clusters, then the norms of each layer."""
        labels = {"clusters": "Clusters", **{f"norm-{i}": path for i, path in enumerate(self.taps)}}
        return side_by_side(labels, 190, "norms", photo="clusters")

    def wish(self) -> Wish:
        """Return the request, with the norms."""
        return Wish(self.app.ask(norms=True, ablated=[]), {}, self.app.state.sample)

    def draw(self, frame: Frame, sample: int, image: Any, answer: Any, wish: Wish) -> list[dict[str, Any]]:  # noqa: ARG002
        """Draw norm maps on one scale; return the rows of the layers."""
        frame.header(text="Norms of the activations at every position, by layer.")
        frame.photo(image, "clusters")
        frame.label_map("clusters", SEGMENT, answer["segment"].values[0])
        norms, labels = answer["token_norm"].values[0], answer["assignment"].values[0]
        paths = list(map(str, answer["layer"].values))
        for i, path in enumerate(paths):
            frame.sequential(f"norm-{i}", "norm", norms[i])
            frame.tile(f"norm-{i}", size=list(image.shape[:2]), alt=f"Norm of the activations of {path}")
        frame.legend("norm", title="norm of the activation")
        frame.legend(SEGMENT, title="cluster", short=True)
        return [{"id": p, "layer": p, **norm_figures(norms[i], labels)} for i, p in enumerate(paths)]
