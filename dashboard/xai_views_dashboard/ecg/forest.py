"""A forest that knows only the shares of the clusters: how much of the network's answer, and of the truth, is in them."""

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
    "agreement": "agrees with the network",
    "accuracy": "accuracy on labels",
    "auroc": "AUROC",
}
IMPORTANCE = [
    {"key": "swatch", "title": "", "kind": "image"},
    {"key": "cluster", "title": "cluster"},
    {"key": "fall", "title": "agreement falls by", "kind": "bar", "digits": 3, "limit": 0.5},
    {"key": "se", "title": "± s.e.", "kind": "number", "digits": 3},
]
FEW = 30  # records below which ten folds say nothing


class ForestPanel(Job):
    """The forest's table beside the network, chance and two controls, and which clusters it rests on."""

    verb = "Grow the forests"
    begun = "Growing forests fold by fold; the line at the bottom counts."
    stopped = "The forests were stopped."
    found: Survey  # of the last run

    def __init__(self, app: Any) -> None:
        super().__init__(app)
        self.listing = Listing(label="Ten folds: forests on shares of clusters beside the network")
        self.importance = Listing(label="Clusters that the forest rests on", columns=IMPORTANCE)
        self.importance.on_select(lambda c: setattr(app.state, "cluster", int(c)))
        self.shown = pn.Column(sizing_mode="stretch_width")

    def wish(self) -> Fitted:
        """The clusters in use."""
        return self.app.shared()

    def key(self, wish: Fitted) -> Hashable:
        """Everybody who looks at the same clusters of the same records shares the forests."""
        session = self.app.session
        return "ecg forests", session.model.sha256, session.population.key, wish.key

    async def submit(self, wish: Fitted, told: Told) -> Future:
        """Ask what is known of the records first; the forests of all folds then grow on the worker."""
        session = self.app.session
        self.found = found = await asyncio.wrap_future(session.surveyed(wish))
        if len(found) < FEW:
            raise XaiViewsError(f"{len(found)} records are known; ten folds want at least {FEW}.")
        model, samples = session.model, session.population.samples
        return session.job(self.key(wish), lambda progress: judged(model, samples, found, progress), told)

    def take(self, answer: list[Surrogate]) -> None:
        """Show the tables, and tell the queue of records."""
        found, figures = self.found, table(answer)
        known = [name for name in FIGURES if np.isfinite(figures[name]).any()]
        number: dict[str, Any] = {"kind": "number", "digits": 3}
        self.listing.columns = [{"key": "what", "title": "what answers"}] + [
            {"key": key, "title": title, **number}
            for name in known
            for key, title in ((name, FIGURES[name]), (f"{name} se", "± s.e."))
        ]
        columns = [c for name in known for c in (name, f"{name} se")]
        self.listing.rows = [
            {"id": str(what), "what": str(what), **{c: float(np.nan_to_num(row[c])) for c in columns}}
            for what, row in figures.iterrows()
        ]
        fall, error = answer[0].importances()
        self.importance.rows = [
            {
                "id": str(c),
                "swatch": swatch(c),
                "cluster": str(c),
                "fall": float(fall[c]),
                "se": float(np.nan_to_num(error[c])),
            }
            for c in np.argsort(-fall, kind="stable")
        ]
        several = (
            " Accuracy on labels is not there: records carry several labels, a forest says one class."
            if found.several
            else ""
        )
        self.say(
            f"Always saying the commonest answer agrees with the network in {figures['chance'].iloc[0]:.3f} of the records. "
            "What a forest reaches is in the shares of the clusters; what only the controls' distance shows is owed to "
            f"training.{several}"
        )
        self.shown.objects = [self.listing, self.importance]
        for panel in self.app.panels:
            if isinstance(panel, RecordsPanel):
                panel.judge(found, answer[0].said.argmax(1))

    def __panel__(self) -> Any:
        return pn.Column(
            caption(
                "A random forest sees only how much of each record every cluster takes, and learns to say what the network "
                "says, or what is true. Its answers also feed the label-quality queue under Records."
            ),
            self.buttons(),
            self.words,
            self.shown,
            sizing_mode="stretch_width",
        )
