"""Panels of the SIC app that follow the explanation in view: all classes, and a brushed region."""

from __future__ import annotations

import asyncio
from html import escape
from typing import Any

import panel as pn
import xarray as xr

from xai_views.engine.perturbation.edits import polygon_mask
from xai_views.methods.sic.ledger import class_sums, region_entries
from xai_views.methods.sic.population import typical_of
from xai_views.views import Listing
from xai_views_dashboard.core.numbers import number
from xai_views_dashboard.core.page import caption
from xai_views_dashboard.core.panel import ASK, Panel
from xai_views_dashboard.sic.frame import support_name

HOW_TO_BRUSH = "Brush a region on the test sample: hold Shift and drag for a rectangle, or choose the lasso in the toolbar."


class AnswerPanel(Panel):
    """Every class with what its logit consists of, and whether the image looks like the training images."""

    title = "All classes"
    watched = ("sample", ASK)

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

    async def compute(self) -> tuple[xr.Dataset, str]:
        """The explanation that the page shows, and how typical the image is."""
        app = self.app
        result = await app.explained(app.state.sample, app.wish(), priority=1)
        return result, await asyncio.to_thread(self.hint, result)

    def write(self, answer: tuple[xr.Dataset, str]) -> None:
        """Write all classes, largest logit first."""
        (result, said), classes = answer, self.app.model.classes
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
        self.words.object = f"<p>{escape(said)}</p>"

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


class RegionPanel(Panel):
    """The share of each support's evidence that lies inside a brushed region of the test image."""

    title = "Region"
    watched = ("sample", ASK, "region")

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

    async def compute(self) -> tuple[list[dict[str, Any]], str]:
        """The sums inside the region; exact, from the maps at full resolution."""
        app, polygon = self.app, self.app.state.frozen(self.app.state.region)
        if len(polygon) < 3:
            return [], HOW_TO_BRUSH
        ask = app.ask(matches=True)
        result = await app.session.explain(app.state.sample, ask, priority=1)
        return await asyncio.to_thread(self.inside, result, polygon)

    def inside(self, result: xr.Dataset, polygon: list) -> tuple[list[dict[str, Any]], str]:
        """Rows and words for a region ``[[x, y], ...]``."""
        region = polygon_mask(polygon, result["contribution"].shape[-2:])
        positions = result["support_sample"].values
        found = region_entries(result, region, self.app.model.module.temperature)
        held, whole = sum(e.inside for e in found), sum(e.whole for e in found)
        rows = [
            {"id": str(int(positions[e.row])), "support": support_name(int(positions[e.row])), **vars(e)}
            for e in found
        ]
        return rows, (
            f"The region holds {int(region.sum())} of {region.size} pixels and {number(held)} of {number(whole)} evidence."
        )

    def write(self, answer: tuple[list[dict[str, Any]], str]) -> None:
        """Write rows and words."""
        self.listing.rows, said = answer
        self.words.object = f"<p>{escape(said)}</p>"

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
