"""Panels of the SIC app that follow the sample in view: all classes, a brushed region, and what the page rests on."""

from __future__ import annotations

from html import escape
from typing import Any

import panel as pn

from xai_views.engine.perturbation.edits import polygon_mask
from xai_views.methods.sic.ledger import class_sums, region_entries
from xai_views.methods.sic.population import typical_of
from xai_views.views import Listing
from xai_views_dashboard.core.following import Following
from xai_views_dashboard.core.numbers import number
from xai_views_dashboard.core.page import caption
from xai_views_dashboard.sic.frame import support_name


class Explained(Following):
    """A panel that is written from the explanation of the sample in view."""

    watched = ("sample", "target", "against", "per_class", "rule", "excluded", "added")

    async def compute(self) -> Any:
        """The explanation that the page shows."""
        s = self.app.state
        ask = self.app.session.ask(s.target, s.against, s.colours)
        return await self.app.session.explain(s.sample, ask, priority=1)


class AnswerPanel(Explained):
    """Every class with what its logit consists of, and whether the image looks like the training images."""

    def __init__(self, app: Any) -> None:
        self.listing = Listing(
            label="The logit of every class: bias plus evidence, beside the network's own figure",
            page=60,
            columns=[
                {"key": "class", "title": "class"},
                {"key": "probability", "title": "probability", "kind": "number", "digits": 4},
                {"key": "evidence", "title": "evidence", "kind": "bar", "digits": 4},
                {"key": "bias", "title": "bias", "kind": "signed", "digits": 4},
                {"key": "sum", "title": "bias + evidence", "kind": "signed", "digits": 4},
                {"key": "logit", "title": "network's logit", "kind": "signed", "digits": 4},
                {"key": "difference", "title": "difference", "kind": "signed", "digits": 6},
            ],
        )
        self.words = pn.pane.HTML("", sizing_mode="stretch_width", margin=(8, 16))
        super().__init__(app)
        self.listing.on_select(lambda c: setattr(app.state, "target", int(c)))

    def write(self, result: Any) -> None:
        """Write all classes, largest logit first."""
        classes = self.app.model.classes
        label = self.app.session.label(self.app.state.sample)
        self.listing.rows = [
            {
                "id": str(row.target),
                "class": classes[row.target] + (" (true)" if row.target == label else ""),
                "probability": row.probability,
                "evidence": row.evidence,
                "bias": row.bias,
                "sum": row.total,
                "logit": row.logit,
                "difference": row.difference,
            }
            for row in sorted(class_sums(result), key=lambda row: -row.logit)
        ]
        self.listing.selected = str(int(result["target_class"].values[0, 0]))
        self.words.object = f"<p>{escape(self.hint(result))}</p>"

    def hint(self, result: Any) -> str:
        """Say how typical the image is of the training images."""
        norm, cosine = float(result["norm"].values[0]), float(result["best_cosine"].values[0])
        text = f"The evidence vector has the norm {norm:.3f} and at best the cosine {cosine:.3f} with a training image. "
        typical = typical_of(self.app.model)
        if typical is None:
            return text + "The model holds no vectors of its training set to compare these with."
        by_norm, by_cosine = typical.rank(norm, cosine)
        text += f"Of the training images {by_norm:.0%} have a smaller norm and {by_cosine:.0%} a smaller best cosine. "
        if by_cosine < 0.01 or by_norm < 0.01:
            return (
                text
                + "This image does not look like the training images to this network: do not rely on its answer."
            )
        return text + "This image looks to this network like those it was trained on."

    def __panel__(self) -> Any:
        return pn.Column(
            caption(
                "Each class is asked by itself, so the probabilities need not add up to 1; choose a row to explain that class."
            ),
            self.words,
            self.listing,
            sizing_mode="stretch_width",
        )


class RegionPanel(Explained):
    """The share of each support's evidence that lies inside a brushed region of the test image."""

    watched = ("sample", "target", "against", "region", "per_class", "rule", "excluded", "added")

    def __init__(self, app: Any) -> None:
        self.listing = Listing(
            label="Evidence inside the brushed region",
            columns=[
                {"key": "support", "title": "support sample"},
                {"key": "inside", "title": "inside", "kind": "bar", "digits": 4},
                {"key": "outside", "title": "outside", "kind": "signed", "digits": 4},
                {"key": "whole", "title": "evidence", "kind": "signed", "digits": 4},
                {"key": "share", "title": "share inside", "kind": "number", "digits": 3},
            ],
        )
        self.words = pn.pane.HTML("", sizing_mode="stretch_width", margin=(8, 16))
        super().__init__(app)
        self.listing.on_select(lambda i: i.isdigit() and setattr(app.state, "support", int(i)))
        self.nothing()

    def nothing(self) -> None:
        """Say how to brush."""
        self.listing.rows = []
        self.words.object = (
            "<p>Brush a region on the test sample: hold Shift and drag for a rectangle, or choose the lasso in the "
            "toolbar.</p>"
        )

    def write(self, result: Any) -> None:
        """Write the sums inside the region; exact, from the maps at full resolution."""
        polygon = self.app.state.region
        shape = result["contribution"].shape[-2:]
        if len(polygon) < 3:
            self.nothing()
            return
        inside = polygon_mask(polygon, shape)
        positions = result["support_sample"].values
        found = region_entries(result, inside, self.app.model.module.temperature)
        self.listing.rows = [
            {"id": str(int(positions[e.row])), "support": support_name(int(positions[e.row])), **vars(e)}
            for e in found
        ]
        logit, whole = sum(e.inside for e in found), sum(e.whole for e in found)
        self.words.object = (
            f"<p>The region holds {int(inside.sum())} of {inside.size} pixels and {escape(number(logit))} of "
            f"{escape(number(whole))} evidence.</p>"
        )

    def __panel__(self) -> Any:
        return pn.Column(
            caption(
                "Inside and outside add up to the evidence of each support sample. A pixel's share says what the network "
                "used, with everything around it in place; it does not say what would happen without it."
            ),
            self.words,
            self.listing,
            sizing_mode="stretch_width",
        )
