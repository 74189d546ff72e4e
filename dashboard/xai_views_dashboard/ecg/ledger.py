"""The ledger of a record: what each cluster of time contributes to the logit, and how it sums."""

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
    {"key": "truth", "title": "known evidence inside", "kind": "number", "digits": 2},
]


def swatch(c: int) -> str:
    """A small picture of a cluster's colour and number, as the bands on the paper have it."""
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
    """Rows of the ledger, the largest contribution first; ``names`` has one for each cluster, "" for none."""
    return [
        {
            "id": str(line.cluster), "swatch": swatch(line.cluster), "cluster": str(line.cluster),
            "name": names[line.cluster] if line.cluster < len(names) else "",
            "share": line.share, "part": line.part, "sum": line.total, "entropy": line.entropy,
            **({} if line.truth is None else {"truth": line.truth}),
        }
        for line in bill.lines
    ]  # fmt: skip


class LedgerPanel(Panel):
    """The clusters of the record in view as a bill that sums to the logit, and taking some away."""

    title = "Ledger"
    question = "why"
    watched = ("sample", ASK, "names")

    def __init__(self, app: Any) -> None:
        self.words = pn.pane.HTML("", sizing_mode="stretch_width", margin=(4, 16))
        self.listing = Listing(label="What each cluster contributes", columns=COLUMNS)
        self.close = pn.pane.HTML("", sizing_mode="stretch_width", margin=(4, 16))
        self.take = pmui.Button(label="Take the chosen cluster away", variant="outlined", size="small")
        self.undo = pmui.Button(label="Undo", variant="outlined", size="small")
        self.named = pmui.TextInput(label="Name of the chosen cluster", size="small", width=260)
        super().__init__(app)
        self.listing.on_select(lambda c: setattr(app.state, "cluster", int(c)))
        self.take.on_click(lambda _: self.ablate())
        self.undo.on_click(lambda _: app.state.undo())
        self.named.param.watch(self._name, "value")
        app.state.param.watch(self._chosen, "cluster")

    def ablate(self) -> None:
        """Take the chosen cluster away; undo brings it back."""
        state = self.app.state
        if state.cluster < 0:
            self.app.problem = "No cluster is chosen: click one on the paper or in the ledger first."
            return
        self.app.problem = ""
        state.edit(ablated=sorted({*state.ablated, state.cluster}))

    def _chosen(self, *_: Any) -> None:
        c = self.app.state.cluster
        self.listing.selected = str(c) if c >= 0 else ""
        self.named.value = self.app.state.names.get(str(c), "")

    def _name(self, event: Any) -> None:
        c = self.app.state.cluster
        if c >= 0 and event.new != self.app.state.names.get(str(c), ""):
            self.app.state.names = {**self.app.state.names, str(c): event.new}

    async def compute(self) -> tuple[xr.Dataset, Ledger]:
        """The explanation of the record with its edits, and its bill."""
        app, wish = self.app, self.app.wish()
        result = await app.explained(wish.sample, wish, priority=1)
        truth = app.session.evidence(wish.sample, int(result["target_class"].values[0, 0]))
        return result, ledger(result, None if truth is None else truth.any(0))

    def write(self, answer: tuple[xr.Dataset, Ledger]) -> None:
        """Write rows, the closing line and what an ablation says."""
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
        self.close.object = f"<p>{sums} = <b>logit {number(bill.logit)}</b> of {name}, the network's own.</p>"
        self.words.object = f"<p>{escape(self._said(result))}</p>"
        self.undo.disabled = not app.state.can_undo
        self._chosen()

    def _said(self, result: xr.Dataset) -> str:
        best = np.argsort(-result["probability"].values[0], kind="stable")[:3]

        def listed(name: str) -> str:
            p = result[name].values[0]
            return " · ".join(f"{self.app.model.classes[c]} {p[c]:.3f}" for c in best)

        said = f"Probabilities: {listed('probability')}."
        if "ablated_probability" not in result:
            return said
        gone = ", ".join(map(str, self.app.state.ablated))
        return f"{said} Without cluster {gone}: {listed('ablated_probability')}."

    def __panel__(self) -> Any:
        return pn.Column(
            caption(
                "What each cluster of time adds to the logit; the lines sum to it. A cluster is where the network treats the "
                "record alike; what it sees reaches further in time than its band."
            ),
            pn.FlexBox(self.named, self.take, self.undo, align_items="center", gap="8px", margin=(4, 16)),
            self.words,
            self.listing,
            self.close,
            sizing_mode="stretch_width",
        )
