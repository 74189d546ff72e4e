"""Correlation of cluster shares with logits or labels over all records, and forests on the shares alone."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import panel as pn
import panel_material_ui as pmui

from xai_views.methods.ecg_clusters.correlation import Correlation
from xai_views.methods.ecg_clusters.survey import correlations
from xai_views.views import Listing
from xai_views_dashboard.core.page import caption
from xai_views_dashboard.ecg.forest import ForestPanel
from xai_views_dashboard.ecg.ledger import swatch
from xai_views_dashboard.ecg.records import SurveyPanel

KINDS = {"Spearman": "spearman", "Pearson": "pearson"}
TRANSFORMS = {"shares": "none", "centred log-ratio": "clr"}
OUTPUTS = {"network logits": "logit", "labels": "label"}


class TablesPanel(SurveyPanel):
    """Correlations of clusters with classes, and the forests."""

    title = "Correlations"
    question = "trust"

    def __init__(self, app: Any) -> None:
        self.choices = [
            pmui.RadioButtonGroup(options=options, value=next(iter(options.values())), size="small")
            for options in (KINDS, TRANSFORMS, OUTPUTS)
        ]
        bar: dict[str, Any] = {"kind": "bar", "digits": 2, "limit": 1}
        columns: list[dict[str, Any]] = [
            {"key": "swatch", "title": "", "kind": "image"},
            {"key": "cluster", "title": "cluster"},
        ]
        columns += [{"key": f"c{i}", "title": c, **bar} for i, c in enumerate(app.model.classes)]
        self.listing = Listing(
            label="Correlation of a cluster's share of time with each class", columns=columns
        )
        self.forest = ForestPanel(app)
        super().__init__(app)
        self.listing.on_select(lambda c: setattr(app.state, "cluster", int(c)))
        for widget in self.choices:
            widget.param.watch(self.update, "value")

    async def compute(self) -> Correlation:
        """Return the selected correlations."""
        chosen = [widget.value for widget in self.choices]
        return await asyncio.to_thread(correlations, await super().compute(), *chosen)

    def write(self, answer: Correlation) -> None:
        """Write the table; what cannot be computed stays empty, and the text says why."""
        self.listing.rows = [
            {"id": str(k), "swatch": swatch(k), "cluster": str(k)}
            | {f"c{i}": float(v) for i, v in enumerate(row) if np.isfinite(v)}
            for k, row in enumerate(answer.r)
        ]
        held = int((answer.holm < 0.05).sum())
        empty = (
            ""
            if np.isfinite(answer.r).all()
            else (
                " A dash stands where a share, or a label, is the same in all records: there is no correlation then."
            )
        )
        self.say(
            f"{answer.n} records, {answer.permutations} permutations: {held} of {np.isfinite(answer.r).sum()} correlations "
            "have p < 0.05 after Holm's correction. Shares sum to 1, so a larger share makes others smaller; the log-ratio "
            f"compares each with the average cluster instead. Correlation is not causation.{empty}"
        )

    def __panel__(self) -> Any:
        return pn.Column(
            caption(
                "Correlation of each cluster's share of time with each class, over all records. It describes the data set, not "
                "this record."
            ),
            pn.FlexBox(*reversed(self.choices), align_items="center", gap="8px", margin=(4, 16)),
            self.words,
            self.listing,
            self.forest,
            sizing_mode="stretch_width",
        )
