"""Clusters and the heart beat: intervals of the record, which waves each cluster follows, when in the beat it comes."""

from __future__ import annotations

import asyncio
from html import escape
from typing import Any

import numpy as np
import panel as pn
import panel_material_ui as pmui

from xai_views.errors import XaiViewsError
from xai_views.samples.signals import LANDMARKS
from xai_views.views import Listing
from xai_views_dashboard.core.following import Following
from xai_views_dashboard.core.page import caption
from xai_views_dashboard.core.tasks import on_page, start
from xai_views_dashboard.ecg.beat_plots import pictures
from xai_views_dashboard.ecg.ledger import swatch

INTERVALS = [
    {"key": "name", "title": "interval"},
    {"key": "value", "title": "median", "kind": "number", "digits": 0},
    {"key": "unit", "title": ""},
    {"key": "n", "title": "beats", "kind": "number", "digits": 0},
]
WAVES = [
    {"key": "swatch", "title": "", "kind": "image"},
    {"key": "cluster", "title": "cluster"},
    {"key": "name", "title": "name"},
    *({"key": f"s{i}", "title": s, "kind": "number", "digits": 2} for i, s in enumerate(LANDMARKS)),
    *(
        {"key": f"o{i}", "title": f"{s}, log2 odds", "kind": "bar", "digits": 1, "limit": 6}
        for i, s in enumerate(LANDMARKS)
    ),
]
KNOWN, FOUND = "known landmarks", "NeuroKit2 on each record"


class IntervalsPanel(Following):
    """What clinicians read from the record in view, by NeuroKit2."""

    watched = ("sample", "edits_made")

    def __init__(self, app: Any) -> None:
        super().__init__(app)
        self.words = pn.pane.HTML("", sizing_mode="stretch_width", margin=(4, 16))
        self.listing = Listing(label="Intervals of the record in view", columns=INTERVALS)

    async def compute(self) -> Any:
        """Delineate the record with its edits."""
        from xai_views.methods.ecg_clusters import landmarks

        app, session = self.app, self.app.session
        i = app.state.sample
        signal = await asyncio.to_thread(session.touched, i, list(app.state.edits_made))
        found = await asyncio.to_thread(
            landmarks.delineate, signal, session.leads, session.rate, session.length(i), session.present(i)
        )
        return found, landmarks.intervals(found)

    def write(self, answer: Any) -> None:
        """Write the table, or why there is none."""
        found, values = answer
        self.listing.rows = [
            {
                "id": k,
                "name": k,
                "value": float(np.nan_to_num(v)),
                "unit": "1/min" if k == "heart rate" else "ms",
                "n": n,
            }
            for k, (v, n) in values.items()
            if n
        ]
        where = f"{len(found.r_peaks)} beats found on {found.lead}." if not found.reason else found.reason
        self.words.object = f"<p>{escape(where)} Measured by software; not for clinical use.</p>"

    def __panel__(self) -> Any:
        return pn.Column(self.words, self.listing, sizing_mode="stretch_width")


class BeatsPanel(pn.viewable.Viewer):
    """Intervals, and over all records the waves that each cluster follows.

    Parameters
    ----------
    app : EcgApp
        Gives session and state.
    """

    def __init__(self, app: Any) -> None:
        super().__init__()
        self.app = app
        self.intervals = IntervalsPanel(app)
        options = [KNOWN, FOUND] if "landmark" in app.session.population.samples else [FOUND]
        self.source = pmui.RadioButtonGroup(options=options, value=options[0], size="small")
        self.go = pmui.Button(label="Compare with the waves", variant="outlined", size="small")
        self.words = pn.pane.HTML("", sizing_mode="stretch_width", margin=(4, 16))
        self.listing = Listing(label="Which part of the beat each cluster lies in", columns=WAVES)
        self.listing.on_select(lambda c: setattr(app.state, "cluster", int(c)))
        self.more = pn.Column(sizing_mode="stretch_width")
        self.found: Any = None
        self._future: Any = None
        self.go.on_click(lambda _: start(self.run()))
        self.source.param.watch(lambda *_: self._shown() and start(self.run()), "value")

    @property
    def active(self) -> bool:
        """Whether the panel is in view."""
        return self.intervals.active

    @active.setter
    def active(self, value: bool) -> None:
        self.intervals.active = value
        if value and self.found is not None and not self.listing.rows and self.source.value == KNOWN:
            start(self.run())

    def _shown(self) -> bool:
        return self.found is not None

    def take(self, found: Any) -> None:
        """Keep a survey until somebody looks."""
        self.found = found
        self.listing.rows = []
        if self.active and self.source.value == KNOWN:
            start(self.run())

    async def run(self) -> None:
        """Compare the clusters of all records with their waves; beside the page."""
        from xai_views.methods.ecg_clusters.survey import waves

        app = self.app
        if self.found is None:
            self.words.object = (
                "<p>The records are still being asked; try again when the list under Records is there.</p>"
            )
            return
        self.words.object = "<p>Comparing clusters and waves of all records …</p>"
        samples, found, known = app.session.population.samples, self.found, self.source.value == KNOWN
        try:
            answer = await asyncio.to_thread(waves, samples, found, known)
        except XaiViewsError as e:
            said = str(e)
            on_page(lambda: setattr(self.words, "object", f"<p>{escape(said)}</p>"))
            return
        on_page(lambda: self.write(answer))

    def write(self, answer: Any) -> None:
        """Write the table and its reading."""
        found, averaged = answer
        names = self.app.state.names
        self.listing.rows = [
            {
                "id": str(c), "swatch": swatch(c), "cluster": str(c), "name": names.get(str(c), ""),
                **{f"s{i}": float(np.nan_to_num(v)) for i, v in enumerate(found.share[c])},
                **{f"o{i}": float(v) for i, v in enumerate(found.log_odds[c])},
            }
            for c in range(len(found.counts))
        ]  # fmt: skip
        left = f" {found.left_out} could not be delineated." if found.left_out else ""
        self.words.object = (
            f"<p>{found.used} records.{left} Normalised mutual information of clusters and waves {found.nmi:.3f}; "
            f"with the clusters shifted in time at random {found.chance.mean():.3f} (p {found.p:.2f}). Shares are of "
            "the cluster's time; log2 odds compare with the other clusters, 0 = as elsewhere.</p>"
        )
        self.more.objects = pictures(averaged, self.app.session.leads) if averaged else []

    def __panel__(self) -> Any:
        return pn.Column(
            caption(
                "Intervals of the record in view, and over all records which part of the beat each cluster lies in. A step is "
                "tens of milliseconds and sees further to both sides, so borders of waves are blurred."
            ),
            self.intervals,
            pn.FlexBox(self.source, self.go, align_items="center", gap="8px", margin=(4, 16)),
            self.words,
            self.listing,
            self.more,
            sizing_mode="stretch_width",
        )
