"""Clusters and the heart beat: intervals of the record, and in which wave and phase of the beat each cluster lies."""

from __future__ import annotations

import asyncio
from collections.abc import Hashable
from concurrent.futures import Future
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np
import panel as pn
import panel_material_ui as pmui

from xai_views.methods.ecg_clusters.alignment import Alignment
from xai_views.methods.ecg_clusters.beats import Averages
from xai_views.methods.ecg_clusters.fit import Fitted
from xai_views.methods.ecg_clusters.landmarks import Delineation, delineate, intervals
from xai_views.methods.ecg_clusters.survey import waves
from xai_views.samples.signals import LANDMARKS
from xai_views.views import Listing
from xai_views_dashboard.core.job import Job, Told
from xai_views_dashboard.core.page import caption
from xai_views_dashboard.core.tasks import start
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
KNOWN, FOUND = "annotated landmarks", "NeuroKit2 on each record"


@dataclass(frozen=True, eq=False)
class Waves:
    """The clusters and the waves that are compared."""

    fitted: Fitted
    known: bool


class BeatsPanel(Job):
    """Intervals of the record in view by NeuroKit2; over all records the waves in which each cluster lies."""

    title = "Beats"
    question = "trust"
    watched = ("sample", "edits_made", "codebook")
    verb = "Compare with waves"
    doing = "Comparing clusters and waves"
    stopped = "Comparison cancelled."

    def __init__(self, app: Any) -> None:
        self.read = pn.pane.HTML("", sizing_mode="stretch_width", margin=(4, 16))
        self.intervals = Listing(label="Intervals of the record in view", columns=INTERVALS)
        options = [KNOWN, FOUND] if "landmark" in app.session.population.samples else [FOUND]
        self.source = pmui.RadioButtonGroup(options=options, value=options[0], size="small")
        self.listing = Listing(label="Part of the beat in which each cluster lies", columns=WAVES)
        self.more = pn.Column(sizing_mode="stretch_width")
        super().__init__(app)
        self.listing.on_select(lambda c: setattr(app.state, "cluster", int(c)))
        self.source.param.watch(lambda *_: start(self.run()), "value")

    # -- the record in view -------------------------------------------------------------------------------------

    async def compute(self) -> tuple[Delineation, dict[str, tuple[float, int]]]:
        """Delineate the record with its edits."""
        session, wish = self.app.session, self.app.wish()
        signal, _ = await asyncio.to_thread(session.seen, wish.sample, wish)
        length, present = session.length(wish.sample), session.present(wish.sample)
        found = await asyncio.to_thread(delineate, signal, session.leads, session.rate, length, present)
        return found, intervals(found)

    def write(self, answer: tuple[Delineation, dict[str, tuple[float, int]]]) -> None:
        """Write the intervals, or why there are none; annotated waves are compared at once."""
        found, values = answer
        self.intervals.rows = [
            {
                "id": k,
                "name": k,
                **({"value": float(v)} if np.isfinite(v) else {}),
                "unit": "1/min" if k == "heart rate" else "ms",
                "n": n,
            }
            for k, (v, n) in values.items()
            if n
        ]
        where = (
            f"{len(found.r_peaks)} beats found in lead {found.lead}." if not found.reason else found.reason
        )
        if any(n and not np.isfinite(v) for v, n in values.values()):
            where += " A dash stands for an interval whose waves were not found."
        self.read.object = f"<p>{escape(where)} Measured automatically; not for clinical use.</p>"
        again = self.wished is None or self.wished.fitted is not self.app.fitted
        if again and self.source.value == KNOWN and self.app.fitted is not None:
            start(self.run())

    # -- all records --------------------------------------------------------------------------------------------

    def wish(self) -> Waves:
        """Return the clusters in use and the selected waves."""
        return Waves(self.app.shared(), self.source.value == KNOWN)

    def key(self, wish: Waves) -> Hashable:
        """Return what makes two comparisons the same: model, records and clusters."""
        session = self.app.session
        return "ecg waves", session.model.sha256, session.population.key, wish.fitted.key, wish.known

    async def submit(self, wish: Waves, told: Told) -> Future:
        """Survey the records first; they are compared on the worker."""
        session = self.app.session
        found, samples = await asyncio.wrap_future(session.surveyed(wish.fitted)), session.population.samples
        return session.job(
            self.key(wish),
            lambda progress: waves(samples, found, wish.known, progress),
            told,
            title=self.named(wish),
        )

    def take(self, answer: tuple[Alignment, Averages | None]) -> None:
        """Write the table and its summary."""
        found, averaged = answer
        names = self.app.state.names
        self.listing.rows = [
            {
                "id": str(c), "swatch": swatch(c), "cluster": str(c), "name": names.get(str(c), ""),
                **{f"s{i}": float(v) for i, v in enumerate(found.share[c]) if np.isfinite(v)},
                **{f"o{i}": float(v) for i, v in enumerate(found.log_odds[c]) if np.isfinite(v)},
            }
            for c in range(len(found.counts))
        ]  # fmt: skip
        left = f" {found.left_out} could not be delineated." if found.left_out else ""
        empty = not np.isfinite(found.share).all()
        left += " A dash stands for a cluster that does not occur in these records." if empty else ""
        self.say(
            f"{found.used} records.{left} Normalised mutual information of clusters and waves {found.nmi:.3f}; "
            f"with the clusters shifted in time at random {found.chance.mean():.3f} (p {found.p:.2f}). Shares are of "
            "the cluster's time; log2 odds compare with the other clusters (0 = no difference)."
        )
        self.more.objects = pictures(averaged, self.app.session.leads) if averaged else []

    def __panel__(self) -> Any:
        return pn.Column(
            caption(
                "Intervals of the record in view, and over all records the part of the beat in which each cluster lies. A step "
                "lasts tens of milliseconds and also sees signal on both sides, so wave boundaries are blurred."
            ),
            self.read,
            self.intervals,
            self.buttons(self.source),
            self.words,
            self.listing,
            self.more,
            sizing_mode="stretch_width",
        )
