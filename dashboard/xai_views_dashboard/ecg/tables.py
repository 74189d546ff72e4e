"""How shares of the clusters go with the answers: correlations over all records, and a forest on the shares alone."""

from __future__ import annotations

import asyncio
from html import escape
from typing import Any

import numpy as np
import panel as pn
import panel_material_ui as pmui

from xai_views.errors import XaiViewsError
from xai_views.views import Listing
from xai_views_dashboard.core.page import caption
from xai_views_dashboard.core.tasks import on_page, start
from xai_views_dashboard.ecg.forest import ForestPanel
from xai_views_dashboard.ecg.ledger import swatch

KINDS = {"Spearman": "spearman", "Pearson": "pearson"}
TRANSFORMS = {"shares as they are": "none", "centred log-ratio": "clr"}
OUTPUTS = {"logits of the network": "logit", "known labels": "label"}


class TablesPanel(pn.viewable.Viewer):
    """Correlations of clusters with classes; the forest stands below.

    Parameters
    ----------
    app : EcgApp
        Gives session and state.
    """

    def __init__(self, app: Any) -> None:
        super().__init__()
        self.app = app
        self.kind = pmui.RadioButtonGroup(options=KINDS, value="spearman", size="small")
        self.transform = pmui.RadioButtonGroup(options=TRANSFORMS, value="none", size="small")
        self.output = pmui.RadioButtonGroup(options=OUTPUTS, value="logit", size="small")
        self.words = pn.pane.HTML("", sizing_mode="stretch_width", margin=(4, 16))
        columns = [
            {"key": "swatch", "title": "", "kind": "image"},
            {"key": "cluster", "title": "cluster"},
            *(
                {"key": f"c{i}", "title": c, "kind": "bar", "digits": 2, "limit": 1}
                for i, c in enumerate(app.model.classes)
            ),
        ]
        self.listing = Listing(
            label="Correlation of a cluster's share of time with each class", columns=columns
        )
        self.listing.on_select(lambda c: setattr(app.state, "cluster", int(c)))
        self.forest = ForestPanel(app)
        self.found: Any = None
        self._turn = 0
        for widget in (self.kind, self.transform, self.output):
            widget.param.watch(lambda *_: self.update(), "value")

    def take(self, found: Any) -> None:
        """Show a survey."""
        self.found = found
        self.update()

    def update(self) -> None:
        """Compute beside the page; the newest wish wins."""
        if self.found is None:
            return
        self._turn += 1
        start(self._follow(self._turn))

    async def _follow(self, turn: int) -> None:
        from xai_views.methods.ecg_clusters.survey import correlations

        wish = self.kind.value, self.transform.value, self.output.value
        try:
            answer = await asyncio.to_thread(correlations, self.found, *wish)
        except XaiViewsError as e:
            said = str(e)
            on_page(lambda: setattr(self.words, "object", f"<p>{escape(said)}</p>"))
            return
        on_page(lambda: turn == self._turn and self.write(answer))

    def write(self, answer: Any) -> None:
        """Write the table; what is not significant after correction shows as its figure without a bar's weight."""
        rows = []
        for k in range(len(answer.r)):
            row = {"id": str(k), "swatch": swatch(k), "cluster": str(k)}
            rows.append(row | {f"c{i}": float(np.nan_to_num(v)) for i, v in enumerate(answer.r[k])})
        self.listing.rows = rows
        held = int((answer.holm < 0.05).sum())
        self.words.object = (
            f"<p>{answer.n} records, {answer.permutations} permutations: {held} of {np.isfinite(answer.r).sum()} correlations "
            "stay below 0.05 after Holm's correction. Shares sum to 1, so one that grows makes others shrink; the log-ratio "
            "compares each with the average cluster instead. A correlation is no cause.</p>"
        )

    def __panel__(self) -> Any:
        return pn.Column(
            caption(
                "Over all records: how a cluster's share of time goes with each class. It describes the set, not the record in "
                "view."
            ),
            pn.FlexBox(
                self.output, self.kind, self.transform, align_items="center", gap="8px", margin=(4, 16)
            ),
            self.words,
            self.listing,
            self.forest,
            sizing_mode="stretch_width",
        )
