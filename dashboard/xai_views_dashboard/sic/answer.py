"""Panels of the SIC app that list parts of the current explanation: all classes, and a brushed region."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any, ClassVar

import panel as pn
import xarray as xr

from xai_views.engine.attribution.region import Inside, inside
from xai_views.engine.perturbation.edits import polygon_mask
from xai_views.engine.predictions import typicalities
from xai_views.methods.sic.ledger import class_sums, region_entries
from xai_views.views import Listing
from xai_views_dashboard.core.answers import typical_words
from xai_views_dashboard.core.numbers import percent
from xai_views_dashboard.core.page import caption
from xai_views_dashboard.core.panel import ASK, Panel
from xai_views_dashboard.sic.frame import support_name

HOW_TO_BRUSH = (
    "Brush a region on the sample: hold Shift and drag for a rectangle, press r to draw one by keyboard, or choose the lasso in "
    "the toolbar."
)

#: A polygon in image pixels; and rows of a table, id of the selected one, and a sentence.
Region = list[list[float]]
Written = tuple[list[dict[str, Any]], str, str]


class Listed(Panel):
    """A sentence and a table about the explanation of the current sample.

    Attributes
    ----------
    about : str
        What the table shows and what it does not.
    label, columns : str, sequence of mapping
        Of the table.
    chosen : str
        Parameter of the state that a selected row sets.
    asked : mapping
        Parameters of the method that differ from those of the page.
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
        """Return rows, id of the selected one, and a sentence; computed on a thread."""
        app, region = self.app, self.app.state.frozen(self.app.state.region)
        i = app.state.sample
        result = await app.session.explain(i, app.ask(**self.asked), priority=1)
        return await asyncio.to_thread(self.said, result, app.session.label(i), region)

    def said(self, result: xr.Dataset, label: int, region: Region) -> Written:
        """Return what is written about an explanation, given the label of its sample and the brushed region."""
        raise NotImplementedError

    def write(self, answer: Written) -> None:
        """Write table and sentence."""
        self.listing.rows, self.listing.selected, said = answer
        self.words.object = f"<p>{escape(said)}</p>"

    def __panel__(self) -> Any:
        return pn.Column(caption(self.about), self.words, self.listing, sizing_mode="stretch_width")


class AnswerPanel(Listed):
    """How the logit of every class adds up, and whether the image is typical of the training images."""

    title = "All classes"
    label = "The logit of every class: bias plus evidence, and the logit computed by the network"
    chosen = "target"
    about = (
        "Each class is scored independently, so probabilities need not sum to 1. Select a row to explain that class. The table "
        "shows sums, not where in the image the evidence lies."
    )
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
        """Return all classes in the order of their logits."""
        classes, sums = self.app.model.classes, sorted(class_sums(result), key=lambda row: -row.logit)
        true = {label: " (true class)"}
        rows = [
            {"id": str(s.target), "class": classes[s.target] + true.get(s.target, ""), **vars(s)}
            for s in sums
        ]
        return rows, str(int(result["target_class"].values[0, 0])), self.hint(result)

    def hint(self, result: xr.Dataset) -> str:
        """Say how typical the image is of the training images."""
        found = next(iter(typicalities(self.app.model, result["latent"].values[:1])), None)
        return str(typical_words(found, "image")["sentence"])


class RegionPanel(Listed):
    """The share of each support sample's evidence inside a brushed region."""

    title = "Region"
    watched = ("sample", ASK, "region")
    label = "Evidence inside the brushed region"
    chosen, asked = "support", {"matches": True}
    about = (
        "Inside and outside add up to the evidence of each support sample. A pixel's share says what the network used in "
        "context, not what would happen without that pixel."
    )
    columns = (
        {"key": "support", "title": "support sample"},
        {"key": "inside", "title": "inside", "kind": "bar", "digits": 4},
        {"key": "outside", "title": "outside", "kind": "signed", "digits": 4},
        {"key": "whole", "title": "evidence", "kind": "signed", "digits": 4},
        {"key": "share", "title": "share inside", "kind": "number", "digits": 3},
    )

    def said(self, result: xr.Dataset, label: int, region: Region) -> Written:  # noqa: ARG002
        """Return the sums inside the region; exact, from the maps at full resolution."""
        if len(region) < 3:
            return [], "", HOW_TO_BRUSH
        mask = polygon_mask(region, result["contribution"].shape[-2:])
        found = region_entries(result, mask, self.app.model.module.temperature)
        at = [int(result["support_sample"].values[e.row]) for e in found]
        rows = [{"id": str(i), "support": support_name(i), **vars(e)} for i, e in zip(at, found, strict=True)]
        map_ = result["contribution"].values[0, 0]
        return rows, "", covered(inside(map_, region, (map_.shape[0], map_.shape[1])))


def covered(found: Inside) -> str:
    """Say how much of pixels and evidence a region holds."""
    text = f"The region covers {percent(found.area)} of the pixels"
    if abs(found.whole) < 1e-6:
        return f"{text}; the evidence of this class is zero, so there is no share."
    digits = 2 if abs(found.whole) >= 1 else 4
    amount = f"{found.part:.{digits}f} of {found.whole:.{digits}f}".replace("-", "−")
    return f"{text} and {percent(found.part / found.whole)} of the evidence ({amount})."
