"""The ledger of a record: what each cluster of time contributes to the logit, and how it sums."""

from __future__ import annotations

from html import escape
from typing import Any
from urllib.parse import quote

import numpy as np
import panel as pn
import panel_material_ui as pmui
import xarray as xr

from xai_views.views import Listing, colour
from xai_views_dashboard.core.following import Following
from xai_views_dashboard.core.numbers import number
from xai_views_dashboard.core.page import caption

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


def on_time(values: np.ndarray, steps: int) -> np.ndarray:
    """Bring values of the coarse steps ``[..., T]`` to ``steps`` of the record, each to its nearest."""
    at = np.minimum((np.arange(steps) * values.shape[-1]) // steps, values.shape[-1] - 1)
    return values[..., at]


def rows_of(
    result: xr.Dataset, names: list[str], truth: np.ndarray | None = None
) -> tuple[list[dict], dict[str, float]]:
    """Rows of the ledger and the figures that close it.

    Parameters
    ----------
    result : Dataset
        Of one record.
    names : list of str
        One per cluster, "" for none.
    truth : ndarray, optional
        ``[time]`` bool: where evidence is known to lie in any lead.

    Returns
    -------
    list of dict, dict
        Largest contribution first; "bias", "residual" and "logit".
    """
    part = result["cluster_contribution"].values[0, 0].astype(float)
    share = result["proportion"].values[0].astype(float)
    cluster, entropy = result["cluster"].values[0], result["entropy"].values[0]
    target = int(result["target_class"].values[0, 0])
    close = {
        "bias": float(result["bias"].values[target]),
        "padding": float(result["padding_contribution"].values[0, 0]),
        "residual": float(result["residual"].values[0, 0]),
        "logit": float(result["logit"].values[0, target]),
    }
    known = None if truth is None else on_time(cluster, len(truth))
    order = np.argsort(-part, kind="stable")
    total, rows = close["bias"], []
    for c in map(int, order):
        total += part[c]
        here = cluster == c
        row = {
            "id": str(c), "swatch": swatch(c), "cluster": str(c), "name": names[c] if c < len(names) else "",
            "share": float(share[c]), "part": float(part[c]), "sum": float(total),
            "entropy": float(entropy[here].mean()) if here.any() else 0.0,
        }  # fmt: skip
        if known is not None and truth.any():
            row["truth"] = float(truth[known == c].sum() / truth.sum())
        rows.append(row)
    return rows, close


class LedgerPanel(Following):
    """The clusters of the record in view as a bill that sums to the logit, and taking some away.

    Parameters
    ----------
    app : EcgApp
        Gives session and state.
    """

    watched = ("sample", "target", "mode", "k", "temperature", "ablated", "edits_made", "names", "cluster")

    def __init__(self, app: Any) -> None:
        super().__init__(app)
        self.words = pn.pane.HTML("", sizing_mode="stretch_width", margin=(4, 16))
        self.listing = Listing(label="What each cluster contributes", columns=COLUMNS)
        self.close = pn.pane.HTML("", sizing_mode="stretch_width", margin=(4, 16))
        self.take = pmui.Button(label="Take the chosen cluster away", variant="outlined", size="small")
        self.undo = pmui.Button(label="Undo", variant="outlined", size="small")
        self.named = pmui.TextInput(label="Name of the chosen cluster", size="small", width=260)
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

    async def compute(self) -> Any:
        """The explanation of the record with its edits."""
        app = self.app
        i = app.state.sample
        return i, await app.explained(i)

    def write(self, answer: Any) -> None:
        """Write rows, the closing line and what an ablation says."""
        i, result = answer
        app = self.app
        truth = app.session.evidence(i, int(result["target_class"].values[0, 0]))
        rows, close = rows_of(result, app.names_of(result), None if truth is None else truth.any(0))
        self.listing.rows = rows
        target = app.model.classes[int(result["target_class"].values[0, 0])]
        parts = [
            ("bias", close["bias"]),
            ("clusters", sum(r["part"] for r in rows)),
            ("padding", close["padding"]),
        ]
        sums = " + ".join(f"{word} {number(v)}" for word, v in [*parts, ("residual", close["residual"])])
        self.close.object = (
            f"<p>{sums} = <b>logit {number(close['logit'])}</b> of {escape(target)}, the network's own.</p>"
        )
        self.words.object = f"<p>{escape(self._said(result))}</p>"
        self.undo.disabled = not app.state.can_undo
        self._chosen()

    def _said(self, result: xr.Dataset) -> str:
        classes = self.app.model.classes
        p = result["probability"].values[0]
        best = " · ".join(f"{classes[c]} {p[c]:.3f}" for c in np.argsort(-p, kind="stable")[:3])
        if "ablated_probability" not in result:
            return f"Probabilities: {best}."
        q = result["ablated_probability"].values[0]
        after = " · ".join(f"{classes[c]} {q[c]:.3f}" for c in np.argsort(-p, kind="stable")[:3])
        gone = ", ".join(map(str, self.app.state.ablated))
        return f"Probabilities: {best}. Without cluster {gone}: {after}."

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
