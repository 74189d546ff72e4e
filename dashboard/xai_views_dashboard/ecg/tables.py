"""How shares of the clusters go with the answers: correlations over all records, and a forest on the shares alone."""

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
TRANSFORMS = {"shares as they are": "none", "centred log-ratio": "clr"}
OUTPUTS = {"logits of the network": "logit", "known labels": "label"}


class TablesPanel(SurveyPanel):
    """Correlations of clusters with classes; the forest stands below."""

    title = "Tables"
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
        """Correlations as they are chosen."""
        chosen = [widget.value for widget in self.choices]
        return await asyncio.to_thread(correlations, await super().compute(), *chosen)

    def write(self, answer: Correlation) -> None:
        """Write the table; what is not significant after correction shows as its figure without a bar's weight."""
        self.listing.rows = [
            {"id": str(k), "swatch": swatch(k), "cluster": str(k)}
            | {f"c{i}": float(np.nan_to_num(v)) for i, v in enumerate(row)}
            for k, row in enumerate(answer.r)
        ]
        held = int((answer.holm < 0.05).sum())
        self.say(
            f"{answer.n} records, {answer.permutations} permutations: {held} of {np.isfinite(answer.r).sum()} correlations "
            "stay below 0.05 after Holm's correction. Shares sum to 1, so one that grows makes others shrink; the log-ratio "
            "compares each with the average cluster instead. A correlation is no cause."
        )

    def __panel__(self) -> Any:
        return pn.Column(
            caption(
                "Over all records: how a cluster's share of time goes with each class. It describes the set, not the record in "
                "view."
            ),
            pn.FlexBox(*reversed(self.choices), align_items="center", gap="8px", margin=(4, 16)),
            self.words,
            self.listing,
            self.forest,
            sizing_mode="stretch_width",
        )
