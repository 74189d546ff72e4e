"""The list of all records: filter by class, error, uncertainty, and by what a forest on the clusters would have said."""

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
from xai_views_dashboard.ecg.frame import labels

COLUMNS = [
    {"key": "name", "title": "record"},
    {"key": "label", "title": "labelled"},
    {"key": "predicted", "title": "network"},
    {"key": "p", "title": "probability", "kind": "number", "digits": 3},
    {"key": "entropy", "title": "mean uncertainty", "kind": "number", "digits": 3},
    {"key": "forest", "title": "forest"},
    {"key": "queue", "title": "disagreements", "kind": "number", "digits": 0},
    {"key": "difficulty", "title": "difficulty"},
    {"key": "flag", "title": "remark"},
]
EVERY, WRONG, UNSURE, QUEUE = "all records", "errors", "most uncertain tenth", "label-quality queue"


class RecordsPanel(pn.viewable.Viewer):
    """A table of all records that follows and sets the record in view.

    Parameters
    ----------
    app : EcgApp
        Gives session, state and canvas.
    """

    def __init__(self, app: Any) -> None:
        super().__init__()
        self.app = app
        classes = app.model.classes
        self.filter = pmui.Select(
            label="Show", options=[EVERY, WRONG, UNSURE, QUEUE, *(f"labelled {c}" for c in classes)], value=EVERY, width=240,
            size="small",
        )  # fmt: skip
        self.words = pn.pane.HTML("", margin=(4, 16), sizing_mode="stretch_width")
        self.listing = Listing(label="All records", columns=COLUMNS, page=25)
        self.found: Any = None
        self.forest: np.ndarray | None = None
        self.filter.param.watch(lambda *_: self.write(), "value")
        self.listing.on_select(self._go)
        app.state.param.watch(self._chosen, "sample")

    async def load(self) -> None:
        """Ask for the survey and write the table; the page works without it."""
        if self.app.session.book is None:
            self.words.object = (
                "<p>Fit a codebook under Codebook first: the list compares records by its clusters.</p>"
            )
            return
        self.words.object = (
            "<p>Every record goes through the network once; the line at the bottom counts.</p>"
        )
        try:
            found = await asyncio.wrap_future(self.app.session.surveyed())
        except asyncio.CancelledError:
            return
        except XaiViewsError as e:
            said = str(e)
            on_page(lambda: setattr(self.words, "object", f"<p>{escape(said)}</p>"))
            return
        on_page(lambda: self.take(found))

    def begin(self) -> None:
        """Start loading, once a page is there."""
        start(self.load())

    def take(self, found: Any) -> None:
        """Show a survey."""
        self.found, self.forest = found, None
        self.write()
        self.app.surveyed(found)

    def rows(self) -> np.ndarray:
        """Positions of the records that the filter lets through, in order."""
        found, what = self.found, self.filter.value
        if what == WRONG:
            return found.wrong()
        if what == UNSURE:
            return found.uncertain()
        if what == QUEUE:
            return found.queue(self.forest)
        if what.startswith("labelled "):
            return found.labelled_with(self.app.model.classes.index(what.removeprefix("labelled ")))
        return np.arange(len(found))

    def write(self) -> None:
        """Write what the filter lets through; the arrow keys then walk through the same records."""
        if self.found is None:
            return
        app, found = self.app, self.found
        names, classes = app.session.population.names, app.model.classes
        samples = app.session.population.samples
        levels = samples.attrs.get("difficulties", [])
        level = samples["difficulty"].values if "difficulty" in samples else None
        queue, rows = found.disagreements(self.forest), self.rows()
        self.listing.rows = [
            {
                "id": names[i],
                "name": names[i],
                "label": labels(classes, found.known[i]),
                "predicted": classes[found.predicted[i]],
                "p": float(found.probability[i].max()),
                "entropy": float(found.entropy[i]),
                "forest": "" if self.forest is None else classes[self.forest[i]],
                "queue": int(queue[i]),
                "difficulty": levels[level[i]] if level is not None else "",
                "flag": app.session.flag(i),
            }
            for i in map(int, rows)
        ]
        wrong, labelled = len(found.wrong()), int(found.labelled.sum())
        how = "answered with one of their labels" if found.several else "answered right"
        right = f", {labelled - wrong} of {labelled} labelled ones {how}" if labelled else ""
        self.words.object = f"<p>{len(rows)} of {len(found)} records{right}.</p>"
        app.show_only([names[i] for i in rows])
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
                "Every record of the set. The queue puts first where label, network and forest disagree most: worth a second "
                "look by a person, not a verdict on the label."
            ),
            self.filter,
            self.words,
            self.listing,
            sizing_mode="stretch_width",
        )
