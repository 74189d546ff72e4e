"""Accuracy and calibration on the samples of the page, and how typical the sample in view is."""

from __future__ import annotations

import math
from html import escape
from typing import Any

import panel as pn

from xai_views.engine.predictions import Predictions, Typicality, calibration_of
from xai_views.scores.reliability import Reliability, reliability
from xai_views.views import Listing
from xai_views_dashboard.core.answers import typical_words
from xai_views_dashboard.core.page import caption
from xai_views_dashboard.core.panel import ASK, Panel

Found = tuple[Predictions, Typicality | None]


class ReliabilityPanel(Panel):
    """How often the model is right on these samples, and whether its probabilities say so.

    Parameters
    ----------
    app : App
        Gives session and state.
    """

    title = "Reliability"
    question = "trust"
    watched = ("sample", ASK)

    def __init__(self, app: Any) -> None:
        self.words = pn.pane.HTML("", sizing_mode="stretch_width", margin=(4, 16))
        self.listing = Listing(
            label="Confidence and accuracy",
            columns=[
                {"key": "confidence", "title": "confidence"},
                {"key": "count", "title": "samples", "kind": "number", "digits": 0},
                {"key": "mean", "title": "mean confidence", "kind": "number", "digits": 3},
                {"key": "accuracy", "title": "accuracy", "kind": "number", "digits": 3},
            ],
        )
        super().__init__(app)

    async def compute(self) -> Found:
        """Run the model on all samples, once for all visitors, and compare the sample in view with the training data."""
        session = self.app.session
        return await session.predicted(self.app.ask()), await session.typicality(self.app.state.sample)

    def write(self, answer: Found) -> None:
        """Write the sentences and the table."""
        predictions, typical = answer
        found = reliability(predictions.confidence, predictions.correct)
        noun = self.app.noun.lower()
        said = [self.sentence(found, noun), typical_words(typical, noun)["sentence"]]
        self.words.object = "".join(f"<p>{escape(s)}</p>" for s in said)
        self.listing.rows = [
            {
                "id": str(i),
                "confidence": f"{b.low:.1f} to {b.high:.1f}",
                "count": b.count,
                **({} if not b.count else {"mean": b.confidence, "accuracy": b.accuracy}),
            }
            for i, b in enumerate(found.bins)
        ]

    def sentence(self, found: Reliability, noun: str) -> str:
        """Say accuracy and calibration error, or why there are none."""
        if not found.count or math.isnan(found.accuracy):
            return f"No {noun} has a label, so accuracy and calibration cannot be computed."
        return (
            f"{found.accuracy:.1%} of {found.count} labelled {noun}s are classified correctly (95 % interval {found.low:.1%} to "
            f"{found.high:.1%}). The probabilities ({calibration_of(self.app.model)}) differ from the accuracy by "
            f"{found.ece:.3f} on average (expected calibration error, 5 bins)."
        )

    def __panel__(self) -> Any:
        return pn.Column(
            caption(
                "Accuracy on the samples of this page, by confidence: in a calibrated model both columns agree. It says nothing "
                "about samples of another kind, nor whether an explanation is right."
            ),
            self.words,
            self.listing,
            sizing_mode="stretch_width",
        )
