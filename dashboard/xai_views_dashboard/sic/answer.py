"""Panels of the SIC app that follow the explanation in view: all classes, and a brushed region."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any, ClassVar

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

#: A brushed polygon in image pixels; and rows of a table, which of them is marked, and words.
Region = list[list[float]]
Written = tuple[list[dict[str, Any]], str, str]


class Listed(Panel):
    """Words and a table that are written from the explanation of the sample in view.

    Attributes
    ----------
    about : str
        What the table shows and what it does not.
    label, columns : str, sequence of mapping
        Of the table.
    chosen : str
        Parameter of the state that a chosen row goes into.
    asked : mapping
        What is asked beyond what the page asks.
    """

    watched: ClassVar[tuple[str, ...]] = ("sample", ASK)
    about: ClassVar[str]
    label: ClassVar[str]
    columns: ClassVar[Sequence[Mapping[str, Any]]]
    chosen: ClassVar[str]
    asked: ClassVar[Mapping[str, Any]] = {}

    def __init__(self, app: Any) -> None:
        self.listing = Listing(label=self.label, page=60, columns=list(self.columns))
        self.words = pn.pane.HTML("", sizing_mode="stretch_width", margin=(8, 16))
        super().__init__(app)
        self.listing.on_select(lambda i: app.state.param.update(**{self.chosen: int(i)}))

    async def compute(self) -> Written:
        """Rows, which of them is marked, and words; computed on a thread."""
        app, region = self.app, self.app.state.frozen(self.app.state.region)
        i = app.state.sample
        result = await app.session.explain(i, app.ask(**self.asked), priority=1)
        return await asyncio.to_thread(self.said, result, app.session.label(i), region)

    def said(self, result: xr.Dataset, label: int, region: Region) -> Written:
        """What is written of an explanation, the class of its sample, and the brushed region."""
        raise NotImplementedError

    def write(self, answer: Written) -> None:
        """Write table and words."""
        self.listing.rows, self.listing.selected, said = answer
        self.words.object = f"<p>{escape(said)}</p>"

    def __panel__(self) -> Any:
        return pn.Column(caption(self.about), self.words, self.listing, sizing_mode="stretch_width")


class AnswerPanel(Listed):
    """Every class with what its logit consists of, and whether the image looks like the training images."""

    title = "All classes"
    label = "The logit of every class: bias plus evidence, beside the network's own figure"
    chosen = "target"
    about = "Each class is asked by itself, so the probabilities need not add up to 1; choose a row to explain that class."
    columns = (
        {"key": "class", "title": "class"},
        {"key": "probability", "title": "probability", "kind": "number", "digits": 4},
        {"key": "evidence", "title": "evidence", "kind": "bar", "digits": 4},
        {"key": "bias", "title": "bias", "kind": "signed", "digits": 4},
        {"key": "total", "title": "bias + evidence", "kind": "signed", "digits": 4},
        {"key": "logit", "title": "network's logit", "kind": "signed", "digits": 4},
        {"key": "difference", "title": "difference", "kind": "signed", "digits": 6},
    )

    def said(self, result: xr.Dataset, label: int, region: Region) -> Written:  # noqa: ARG002
        """All classes, largest logit first."""
        classes, sums = self.app.model.classes, sorted(class_sums(result), key=lambda row: -row.logit)
        true = {label: " (true)"}
        rows = [
            {"id": str(s.target), "class": classes[s.target] + true.get(s.target, ""), **vars(s)}
            for s in sums
        ]
        return rows, str(int(result["target_class"].values[0, 0])), self.hint(result)

    def hint(self, result: xr.Dataset) -> str:
        """Say how typical the image is of the training images."""
        norm, cosine = float(result["norm"].values[0]), float(result["best_cosine"].values[0])
        text = f"The evidence vector has the norm {norm:.3f} and at best the cosine {cosine:.3f} with a training image. "
        typical = typical_of(self.app.model)
        if typical is None:
            return text + "The model holds no vectors of its training set to compare these with."
        by_norm, by_cosine = typical.rank(norm, cosine)
        text += f"Of the training images {by_norm:.0%} have a smaller norm and {by_cosine:.0%} a smaller best cosine. "
        if min(by_cosine, by_norm) < 0.01:
            return (
                text
                + "This image does not look like the training images to this network: do not rely on its answer."
            )
        return text + "This image looks to this network like those it was trained on."


class RegionPanel(Listed):
    """The share of each support's evidence that lies inside a brushed region of the test image."""

    title = "Region"
    watched = ("sample", ASK, "region")
    label = "Evidence inside the brushed region"
    chosen, asked = "support", {"matches": True}
    about = (
        "Inside and outside add up to the evidence of each support sample. A pixel's share says what the network used, with "
        "everything around it in place; it does not say what would happen without it."
    )
    columns = (
        {"key": "support", "title": "support sample"},
        {"key": "inside", "title": "inside", "kind": "bar", "digits": 4},
        {"key": "outside", "title": "outside", "kind": "signed", "digits": 4},
        {"key": "whole", "title": "evidence", "kind": "signed", "digits": 4},
        {"key": "share", "title": "share inside", "kind": "number", "digits": 3},
    )

    def said(self, result: xr.Dataset, label: int, region: Region) -> Written:  # noqa: ARG002
        """The sums inside the region; exact, from the maps at full resolution."""
        if len(region) < 3:
            return [], "", HOW_TO_BRUSH
        inside = polygon_mask(region, result["contribution"].shape[-2:])
        found = region_entries(result, inside, self.app.model.module.temperature)
        at = [int(result["support_sample"].values[e.row]) for e in found]
        rows = [{"id": str(i), "support": support_name(i), **vars(e)} for i, e in zip(at, found, strict=True)]
        held, whole = sum(e.inside for e in found), sum(e.whole for e in found)
        return (
            rows,
            "",
            (
                f"The region holds {int(inside.sum())} of {inside.size} pixels and {number(held)} of {number(whole)} evidence."
            ),
        )
