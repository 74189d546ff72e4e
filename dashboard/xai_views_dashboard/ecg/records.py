"""A table of all records: what the network and a forest on the clusters predict, and which labels deserve a second look."""

from __future__ import annotations

from html import escape
from typing import Any

import numpy as np
import panel as pn
import panel_material_ui as pmui

from xai_views.methods.ecg_clusters.survey import Survey
from xai_views.views import Listing
from xai_views_dashboard.core.page import caption
from xai_views_dashboard.core.panel import Panel
from xai_views_dashboard.ecg.frame import labels

COLUMNS = [
    {"key": "name", "title": "record"},
    {"key": "label", "title": "label"},
    {"key": "predicted", "title": "prediction"},
    {"key": "p", "title": "probability", "kind": "number", "digits": 3},
    {"key": "entropy", "title": "mean uncertainty", "kind": "number", "digits": 3},
    {"key": "forest", "title": "forest"},
    {"key": "queue", "title": "disagreements", "kind": "number", "digits": 0},
    {"key": "difficulty", "title": "difficulty"},
    {"key": "flag", "title": "remark"},
]
EVERY, UNSURE, QUEUE = "all records", "most uncertain tenth", "label-quality queue"


class SurveyPanel(Panel):
    """A panel about all records: while it is in view, the network is run once on each of them, for all visitors."""

    watched = ("codebook",)

    def __init__(self, app: Any) -> None:
        self.words = pn.pane.HTML("", sizing_mode="stretch_width", margin=(4, 16))
        super().__init__(app)

    def say(self, sentence: str) -> None:
        """Write one sentence above the table."""
        self.words.object = f"<p>{escape(sentence)}</p>"

    def failed(self, sentence: str) -> None:
        """Say why there is no table."""
        self.say(sentence)

    async def compute(self) -> Any:
        """Return the survey of all records."""
        self.say("Running the network on every record. Progress is shown in the status bar.")
        return await self.app.surveyed()


class RecordsPanel(SurveyPanel):
    """A table of all records that follows and sets the record in view."""

    title = "Records"
    question = "compared"

    def __init__(self, app: Any) -> None:
        self.filter = pmui.Select(
            label="Rows", options=[EVERY, UNSURE, QUEUE], value=EVERY, width=240, size="small"
        )
        self.listing = Listing(label="All records", columns=COLUMNS, page=25)
        self.found: Survey | None = None
        self._judged: tuple[Survey, np.ndarray] | None = None
        super().__init__(app)
        self.filter.param.watch(lambda *_: self.found is not None and self.write(self.found), "value")
        self.listing.on_select(self._go)
        app.state.param.watch(self._chosen, "sample")

    def judge(self, found: Survey, said: np.ndarray) -> None:
        """Take the predictions ``[n]`` of a forest for the records of a survey."""
        self._judged = found, said
        self.update()

    @property
    def forest(self) -> np.ndarray | None:
        """Predictions ``[n]`` of the forest; None before it was trained."""
        return self._judged[1] if self._judged is not None and self._judged[0] is self.found else None

    def rows(self, found: Survey) -> np.ndarray:
        """Positions of the records in the table, in order."""
        what = self.filter.value
        if what == UNSURE:
            return found.uncertain()
        if what == QUEUE:
            return found.queue(self.forest)
        return np.arange(len(found))

    def write(self, answer: Survey) -> None:
        """Write the table."""
        self.found = found = answer
        app, samples, forest = self.app, self.app.session.population.samples, self.forest
        names, classes = app.session.population.names, app.model.classes
        levels = samples.attrs.get("difficulties", [])
        level = samples["difficulty"].values if "difficulty" in samples else None
        queue, rows = found.disagreements(forest), self.rows(found)
        self.listing.rows = [
            {
                "id": names[i],
                "name": names[i],
                "label": labels(classes, found.known[i]),
                "predicted": classes[found.predicted[i]],
                "p": float(found.probability[i].max()),
                "entropy": float(found.entropy[i]),
                "forest": "" if forest is None else classes[forest[i]],
                "queue": int(queue[i]),
                "difficulty": levels[level[i]] if level is not None else "",
                "flag": app.session.flag(i),
            }
            for i in map(int, rows)
        ]
        wrong, labelled = len(found.wrong()), int(found.labelled.sum())
        how = "predicted as one of their labels" if found.several else "classified correctly"
        right = f"; {labelled - wrong} of {labelled} {how}" if labelled else "; no labels"
        shown = "" if len(rows) == len(found) else f"{len(rows)} of "
        trained = (
            ""
            if forest is not None
            else " The forest column is empty until you train forests under Correlations."
        )
        self.say(f"{shown}{len(found)} records{right}.{trained}")
        self._chosen()

    def _go(self, name: str) -> None:
        if name in self.app.session.names:
            self.app.state.sample = self.app.session.names.index(name)

    def _chosen(self, *_: Any) -> None:
        i = self.app.state.sample
        self.listing.selected = self.app.session.names[i] if i < len(self.app.session) else ""

    def __panel__(self) -> Any:
        return pn.Column(
            caption(
                "All records of the set. The queue lists records where label, network and forest disagree most. Review them; "
                "disagreement alone does not make a label wrong."
            ),
            self.filter,
            self.words,
            self.listing,
            sizing_mode="stretch_width",
        )
