"""The ledger of a record in detail: contribution, running sum, uncertainty and ground truth of each cluster, and names."""

from __future__ import annotations

from html import escape
from typing import Any
from urllib.parse import quote

import numpy as np
import panel as pn
import panel_material_ui as pmui
import xarray as xr

from xai_views.methods.ecg_clusters.ledger import Ledger, ledger
from xai_views.views import Listing, colour
from xai_views_dashboard.core.numbers import number
from xai_views_dashboard.core.page import caption
from xai_views_dashboard.core.panel import ASK, Panel
from xai_views_dashboard.ecg.frame import names_of

COLUMNS = [
    {"key": "swatch", "title": "", "kind": "image"},
    {"key": "cluster", "title": "cluster"},
    {"key": "name", "title": "name"},
    {"key": "share", "title": "share of time", "kind": "number", "digits": 3},
    {"key": "part", "title": "contribution", "kind": "bar", "digits": 3},
    {"key": "sum", "title": "running sum", "kind": "signed", "digits": 3},
    {"key": "entropy", "title": "mean uncertainty", "kind": "number", "digits": 3},
    {"key": "truth", "title": "ground truth inside", "kind": "number", "digits": 2},
]


def swatch(c: int) -> str:
    """Return a small picture of a cluster's colour and number, as on the paper."""
    fill = colour.CATEGORICAL[c % len(colour.CATEGORICAL)]
    lines = "".join(
        f'<path d="M-2 {y} L22 {y - 14}" stroke="#0008" stroke-width="1.5"/>' for y in range(6, 36, 6)
    )
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="20" height="20"><rect width="20" height="20" fill="{fill}"/>'
        f"{lines if c >= len(colour.CATEGORICAL) else ''}"
        f'<text x="10" y="14.5" font-size="12" font-family="sans-serif" text-anchor="middle" fill="#fff" stroke="#000" '
        f'stroke-width="2.2" paint-order="stroke">{c}</text></svg>'
    )
    return f"data:image/svg+xml,{quote(svg)}"


def rows_of(bill: Ledger, names: list[str]) -> list[dict]:
    """Return the rows of the ledger, the largest contribution first; ``names`` has one for each cluster, "" for none."""
    return [
        {
            "id": str(line.cluster), "swatch": swatch(line.cluster), "cluster": str(line.cluster),
            "name": names[line.cluster] if line.cluster < len(names) else "",
            "share": line.share, "part": line.part, "sum": line.total,
            **({"entropy": line.entropy} if line.share > 0 else {}),
            **({} if line.truth is None else {"truth": line.truth}),
        }
        for line in bill.lines
    ]  # fmt: skip


class LedgerPanel(Panel):
    """The clusters of the record in view in detail, and your names for them."""

    title = "Ledger"
    question = "why"
    watched = ("sample", ASK, "names")

    def __init__(self, app: Any) -> None:
        self.words = pn.pane.HTML("", sizing_mode="stretch_width", margin=(4, 16))
        self.listing = Listing(label="What each cluster contributes", columns=COLUMNS)
        self.close = pn.pane.HTML("", sizing_mode="stretch_width", margin=(4, 16))
        self.named = pmui.TextInput(label="Name of the selected cluster", size="small", width=260)
        super().__init__(app)
        self.listing.on_select(lambda c: setattr(app.state, "cluster", int(c)))
        self.named.param.watch(self._name, "value")
        app.state.param.watch(self._chosen, "cluster")

    def _chosen(self, *_: Any) -> None:
        c = self.app.state.cluster
        self.listing.selected = str(c) if c >= 0 else ""
        self.named.value = self.app.state.names.get(str(c), "")
        self.named.disabled = c < 0
        self.named.placeholder = "" if c >= 0 else "Select a cluster first"

    def _name(self, event: Any) -> None:
        c = self.app.state.cluster
        if c >= 0 and event.new != self.app.state.names.get(str(c), ""):
            self.app.state.names = {**self.app.state.names, str(c): event.new}

    async def compute(self) -> tuple[xr.Dataset, Ledger]:
        """Explain the record with its edits, and add up its ledger."""
        app, wish = self.app, self.app.wish()
        result = await app.explained(wish.sample, wish, priority=1)
        truth = app.session.evidence(wish.sample, int(result["target_class"].values[0, 0]))
        return result, ledger(result, None if truth is None else truth.any(0))

    def write(self, answer: tuple[xr.Dataset, Ledger]) -> None:
        """Write rows, the sum and the probabilities."""
        result, bill = answer
        app = self.app
        self.listing.rows = rows_of(bill, names_of(result, app.state.names))
        parts = {
            "bias": bill.bias,
            "clusters": bill.clusters,
            "padding": bill.padding,
            "residual": bill.residual,
        }
        sums = " + ".join(f"{word} {number(v)}" for word, v in parts.items())
        name = escape(app.model.classes[bill.target])
        self.close.object = f"<p>{sums} = <b>{number(bill.logit)}</b>, the network's logit for {name}.</p>"
        self.words.object = f"<p>{escape(self._said(result, bill))}</p>"
        self._chosen()

    def _said(self, result: xr.Dataset, bill: Ledger) -> str:
        best = np.argsort(-result["probability"].values[0], kind="stable")[:3]

        def listed(name: str) -> str:
            p = result[name].values[0]
            return " · ".join(f"{self.app.model.classes[c]} {p[c]:.3f}" for c in best)

        said = f"Probabilities: {listed('probability')}."
        if any(line.share <= 0 for line in bill.lines):
            said += " A dash stands for a cluster that does not occur in this record."
        if all(line.truth is None for line in bill.lines):
            said += " The ground truth of this record is not known."
        if "ablated_probability" not in result:
            return said
        gone = ", ".join(map(str, self.app.state.ablated))
        return f"{said} With cluster {gone} removed: {listed('ablated_probability')}."

    def __panel__(self) -> Any:
        return pn.Column(
            caption(
                "What each cluster adds to the logit; the rows sum to it. A cluster explains nothing by itself, and its steps "
                "also see signal beyond their band."
            ),
            pn.FlexBox(self.named, align_items="center", gap="8px", margin=(4, 16)),
            self.words,
            self.listing,
            self.close,
            sizing_mode="stretch_width",
        )
