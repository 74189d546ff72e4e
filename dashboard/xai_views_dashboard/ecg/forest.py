"""A random forest on the shares of the clusters: how well they predict the network's answer and the label."""

from __future__ import annotations

import asyncio
from collections.abc import Hashable
from concurrent.futures import Future
from typing import Any

import numpy as np
import panel as pn

from xai_views.errors import XaiViewsError
from xai_views.methods.ecg_clusters.controls import judged
from xai_views.methods.ecg_clusters.fit import Fitted
from xai_views.methods.ecg_clusters.forest import Surrogate, table
from xai_views.methods.ecg_clusters.survey import Survey
from xai_views.views import Listing
from xai_views_dashboard.core.job import Job, Told
from xai_views_dashboard.core.page import caption
from xai_views_dashboard.ecg.ledger import swatch
from xai_views_dashboard.ecg.records import RecordsPanel

FIGURES = {
    "agreement": "agreement with the network",
    "accuracy": "accuracy on labels",
    "auroc": "AUROC",
}
IMPORTANCE = [
    {"key": "swatch", "title": "", "kind": "image"},
    {"key": "cluster", "title": "cluster"},
    {"key": "fall", "title": "drop in agreement", "kind": "bar", "digits": 3, "limit": 0.5},
    {"key": "se", "title": "± s.e.", "kind": "number", "digits": 3},
]
FEW = 30  # records below which ten folds are not meaningful


class ForestPanel(Job):
    """Agreement of the forest beside the network, chance and two controls, and the clusters it relies on."""

    verb = "Train forests"
    doing = "Training forests"
    stopped = "Training cancelled."
    found: Survey  # of the last run

    def __init__(self, app: Any) -> None:
        super().__init__(app)
        self.listing = Listing(label="Ten folds: forests on shares of clusters, and the network")
        self.importance = Listing(label="Clusters the forest relies on", columns=IMPORTANCE)
        self.importance.on_select(lambda c: setattr(app.state, "cluster", int(c)))
        self.shown = pn.Column(sizing_mode="stretch_width")

    def wish(self) -> Fitted:
        """Return the clusters in use."""
        return self.app.shared()

    def key(self, wish: Fitted) -> Hashable:
        """Return what makes two trainings the same: model, records and clusters."""
        session = self.app.session
        return "ecg forests", session.model.sha256, session.population.key, wish.key

    async def submit(self, wish: Fitted, told: Told) -> Future:
        """Survey the records first; the forests of all folds are then trained on the worker."""
        session = self.app.session
        self.found = found = await asyncio.wrap_future(session.surveyed(wish))
        if len(found) < FEW:
            raise XaiViewsError(
                f"There are {len(found)} records, and ten folds need at least {FEW}; open a larger set."
            )
        model, samples = session.model, session.population.samples
        return session.job(
            self.key(wish),
            lambda progress: judged(model, samples, found, progress),
            told,
            title=self.named(wish),
        )

    def take(self, answer: list[Surrogate]) -> None:
        """Show the tables, and give the predictions to the table of records."""
        found, figures = self.found, table(answer)
        known = [name for name in FIGURES if np.isfinite(figures[name]).any()]
        number: dict[str, Any] = {"kind": "number", "digits": 3}
        self.listing.columns = [{"key": "what", "title": "model"}] + [
            {"key": key, "title": title, **number}
            for name in known
            for key, title in ((name, FIGURES[name]), (f"{name} se", "± s.e."))
        ]
        columns = [c for name in known for c in (name, f"{name} se")]
        self.listing.rows = [
            {"id": str(what), "what": str(what), **{c: float(row[c]) for c in columns if np.isfinite(row[c])}}
            for what, row in figures.iterrows()
        ]
        fall, error = answer[0].importances()
        self.importance.rows = [
            {
                "id": str(c),
                "swatch": swatch(c),
                "cluster": str(c),
                "fall": float(fall[c]),
                **({"se": float(error[c])} if np.isfinite(error[c]) else {}),
            }
            for c in np.argsort(-fall, kind="stable")
        ]
        several = (
            " Accuracy on labels is not given: records have several labels, and a forest predicts one class."
            if found.several
            else ""
        )
        self.say(
            f"Always giving the most common answer would agree in {figures['chance'].iloc[0]:.3f} of the records. Only the "
            "difference from the controls is due to training. A dash stands for a value that a model does not have, such as "
            f"the standard error of a single run.{several}"
        )
        self.shown.objects = [self.listing, self.importance]
        for panel in self.app.panels:
            if isinstance(panel, RecordsPanel):
                panel.judge(found, answer[0].said.argmax(1))

    def __panel__(self) -> Any:
        return pn.Column(
            caption(
                "A random forest sees only the share of each cluster in a record and learns to predict the network's answer or "
                "the true label. Its predictions also feed the label-quality queue under Records."
            ),
            self.buttons(),
            self.words,
            self.shown,
            sizing_mode="stretch_width",
        )
