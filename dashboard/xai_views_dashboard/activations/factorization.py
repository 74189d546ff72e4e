"""Deep Feature Factorization of one layer, beside k-means on the same activations."""

from __future__ import annotations

from typing import Any

import numpy as np
import panel as pn
import panel_material_ui as pmui

from xai_views.engine.clusters.match import match_labels
from xai_views.views import Frame
from xai_views_dashboard.activations.frame import SEGMENT
from xai_views_dashboard.activations.layered import LayeredPanel
from xai_views_dashboard.activations.session import Layers
from xai_views_dashboard.core.panel import ASK
from xai_views_dashboard.core.picture_panel import side_by_side
from xai_views_dashboard.core.wishes import Wish

COLUMNS = [
    {"key": "method", "title": "method"},
    {"key": "explained", "title": "explained variance", "kind": "number", "digits": 3},
    {"key": "stability", "title": "stability over seeds (ARI)", "kind": "number", "digits": 2},
    {"key": "agreement", "title": "agreement with k-means (ARI)", "kind": "number", "digits": 2},
    {"key": "milliseconds", "title": "time (ms)", "kind": "number", "digits": 1},
]
TILES = {"photo": "Sample", "ours": "k-means on cosines", "dff": "Deep Feature Factorization"}
METHODS = {"dff": "Deep Feature Factorization", "pca": "PCA (upper bound)"}


class FactorizationPanel(LayeredPanel):
    """k-means, factorization and PCA on one layer of the current sample."""

    title = "Factorization"
    question = "compared"
    watched = ("sample", ASK, "layer")
    words = (
        "Deep Feature Factorization splits one layer into additive non-negative parts, k-means into a partition by direction. "
        "K principal components are the upper bound for K parts. Timings: this machine, just now."
    )
    table, columns = "The methods on the same activations", COLUMNS

    def __init__(self, app: Any) -> None:
        super().__init__(app)
        self.choice = pmui.Select(label="Factorised layer", options=[], width=240, size="small")
        self.choice.param.watch(lambda e: e.new and setattr(app.state, "layer", e.new), "value")
        self.place = pn.Column()

    def learned(self, layers: Layers) -> None:
        """Offer the layers, and request the pictures."""
        self.layers = layers
        self.choice.param.update(options=list(layers.default), value=self._layer()[0])
        self.place.objects = [self.choice]  # only now: changes while the browser opens the tab are lost
        super().learned(layers)

    def _layer(self) -> list[str]:
        state = self.app.state
        return [state.layer] if state.layer in self.layers.taps else list(self.layers.default[-1:])

    def layout(self) -> dict[str, Any]:
        """Return label maps side by side."""
        made = side_by_side(TILES, 210, "peer", photo="photo")
        made["tiles"]["photo"]["layers"] = []
        return made

    def wish(self) -> Wish:
        """Return the request for one layer alone, with k-means of its own."""
        ask = self.app.ask(
            taps=self._layer(), weights="equal", grid="shallowest", mode="exact", assigner="k-means", peer=True,
            k=self.app.state.k or 5, ablated=[],
        )  # fmt: skip
        return Wish(ask, {}, self.app.state.sample)

    def draw(self, frame: Frame, sample: int, image: Any, answer: Any, wish: Wish) -> list[dict[str, Any]]:  # noqa: ARG002
        """Draw both label maps with matched colours; return the rows of all three methods."""
        layer = str(answer["layer"].values[0])
        frame.header(text=f"k-means and Deep Feature Factorization of {layer} with {wish.ask.k} parts each.")
        frame.photo(image, "photo")
        ours, peer = (answer[n].values[0].astype(np.int64) for n in ("segment", "peer_segment"))
        frame.label_map("ours", SEGMENT, ours)
        frame.label_map("dff", SEGMENT, match_labels(ours, peer)[peer])
        for tile in ("ours", "dff"):
            frame.tile(tile, size=list(image.shape[:2]), alt=f"Parts found by {tile}")
        frame.legend(SEGMENT, title="part (matched)")
        figures = zip(map(str, answer["peer"].values), answer["peer_figures"].values[0].tolist(), strict=True)
        return [
            {
                "id": name,
                "method": METHODS.get(name, name),
                "explained": explained,
                "milliseconds": 1000 * seconds,
                "stability": stability,
                "agreement": agreement if name == "dff" else None,
            }
            for name, (explained, seconds, stability, agreement) in figures
        ]

    def above(self) -> list[Any]:
        """Return the choice of the layer."""
        return [self.place]
