"""The population of the SIC app: grid, latent map and table of all samples."""

from __future__ import annotations

from typing import Any

import panel as pn

from xai_views.views import Listing
from xai_views_dashboard.core.page import caption
from xai_views_dashboard.core.panel import Panel
from xai_views_dashboard.sic.latent_map import MapView
from xai_views_dashboard.sic.strip import thumbnails

COLUMNS = [
    {"key": "sample", "title": "sample"},
    {"key": "label", "title": "label"},
    {"key": "predicted", "title": "predicted"},
    {"key": "right", "title": "right"},
    {"key": "confidence", "title": "confidence", "kind": "number", "digits": 4},
    {"key": "margin", "title": "margin", "kind": "number", "digits": 3},
    {"key": "concentration", "title": "evidence concentration", "kind": "number", "digits": 3},
    {"key": "distance", "title": "distance to supports", "kind": "number", "digits": 4},
]


class PopulationPanel(Panel):
    """All samples at once, as the strip above the picture orders them; a chosen one comes into view.

    Parameters
    ----------
    app : SicApp
        Gives session, state and strip.
    """

    title = "Population"
    question = "compared"

    def __init__(self, app: Any) -> None:
        self.grid = thumbnails(app, size=56, mode="grid", rows=4, label="Test samples, grid")
        self.listing = Listing(label="Test samples and what the network says of them", columns=COLUMNS)
        self.listing.on_select(lambda name: app.state.param.update(sample=app.session.names.index(name)))
        self.map = MapView(app)
        super().__init__(app)
        app.strip.param.watch(self.update, ["known", "index"])

    @property
    def active(self) -> bool:
        """Whether the panel is in view, and its map with it."""
        return self._active

    @active.setter
    def active(self, value: bool) -> None:
        self.map.active = value
        Panel.active.fset(self, value)  # type: ignore[attr-defined]

    def write(self, answer: None) -> None:  # noqa: ARG002 - the strip has computed everything
        """Write grid and table as the strip says, and mark the sample in view; what stays the same is not sent again."""
        strip, i = self.app.strip, self.app.state.sample
        inside = i < self.app.session.population.n  # uploads lie beyond
        self.grid.param.update(items=strip.index, **strip.captions(), current=i if inside else -1)
        self.listing.rows = [strip.rows[k] for k in strip.index]
        self.listing.selected = strip.rows[i]["id"] if inside else ""

    def __panel__(self) -> Any:
        return pn.Column(
            caption(
                "All test samples in the order chosen above; a framed picture with a cross is predicted wrongly."
            ),
            self.grid,
            self.map,
            caption(
                "Confidence: sigmoid of the largest logit, which no one has calibrated. Margin: largest minus second logit. "
                "Evidence concentration: the largest share of one support sample in the predicted class' evidence. "
                "Distance: one minus the best cosine with a support sample."
            ),
            self.listing,
            sizing_mode="stretch_width",
        )
