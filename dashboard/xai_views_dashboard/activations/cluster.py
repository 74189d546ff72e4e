"""The selected cluster: its contribution to each class, its name, and the prediction without it."""

from __future__ import annotations

from html import escape
from typing import Any

import numpy as np
import panel as pn
import panel_material_ui as pmui

from xai_views.views import Listing
from xai_views_dashboard.activations.frame import is_exact, names_of
from xai_views_dashboard.core.numbers import number
from xai_views_dashboard.core.page import MUTED, caption
from xai_views_dashboard.core.panel import ASK, Panel

MOST_CLASSES = 6
MOST_PLAYERS = 10  # exact Shapley values need 2^K coalitions
COLUMNS = [
    {"key": "class", "title": "class"},
    {"key": "share", "title": "this cluster's contribution", "kind": "bar", "digits": 4},
    {"key": "shapley", "title": "Shapley value", "kind": "signed", "digits": 4},
    {"key": "before", "title": "logit", "kind": "signed", "digits": 3},
    {"key": "after", "title": "logit after", "kind": "signed", "digits": 3},
    {"key": "p_before", "title": "probability", "kind": "number", "digits": 4},
    {"key": "p_after", "title": "probability after", "kind": "number", "digits": 4},
]
FILL_WORDS = {
    "mean": "the mean of the rest",
    "zero": "zero",
    "data": "the mean of the data set",
    "blur": "a blur",
}
#: Replacements of a removed cluster, by place of removal.
FILLS = {"latent": ("mean", "zero", "data"), "input": ("blur", "mean", "zero")}
HOW = {
    True: "Contributions add up exactly because a linear layer reads the (mean of the) last feature map.",
    False: "Contributions are gradient × activation of the last feature map; the residual is what they do not explain.",
}


class ClusterPanel(Panel):
    """One cluster and every class; remove clusters and undo it."""

    title = "Cluster"
    question = "why"
    watched = ("sample", ASK, "cluster", "names")

    def __init__(self, app: Any) -> None:
        super().__init__(app)
        state = app.state
        self.how = pn.pane.HTML("", sizing_mode="stretch_width", margin=(0, 16), styles=MUTED)
        self.words = pn.pane.HTML("", sizing_mode="stretch_width", margin=(4, 16))
        self.listing = Listing(
            label="The selected cluster by class, before and after removal", columns=COLUMNS
        )
        self.given = pmui.TextInput(label="Name of this cluster", width=220, size="small", max_length=40)
        self.given.param.watch(self._named, "value")
        self.only = pmui.Button(label="Keep only this cluster", variant="outlined", size="small")
        self.only.on_click(lambda _: self._keep())
        self.where = pmui.Select(
            label="Remove",
            options={"in the last layer": "latent", "in the image": "input"},
            width=150,
            size="small",
            value=state.where,
        )
        self.fill = pmui.Select(label="Replace with", width=190, size="small")
        self._offer()
        self.where.param.watch(self._moved, "value")
        self.fill.param.watch(
            lambda e: state.edit(fill=e.new) if e.new and e.new != state.fill else None, "value"
        )
        state.param.watch(lambda *_: self._offer(), ["where", "fill"])

    def _offer(self) -> None:
        """Offer the replacements for the place of removal."""
        state = self.app.state
        fills = FILLS[state.where]
        self.fill.options = {FILL_WORDS[f]: f for f in fills}
        self.where.value = state.where
        self.fill.value = state.fill if state.fill in fills else fills[0]

    def _moved(self, event: Any) -> None:
        if event.new != self.app.state.where:
            self.app.state.edit(where=event.new, fill=FILLS[event.new][0])

    def _keep(self) -> None:
        state = self.app.state
        if state.cluster >= 0:
            state.edit(ablated=[state.cluster], keep=True)

    def _named(self, event: Any) -> None:
        state = self.app.state
        key = str(state.cluster)
        if state.cluster < 0 or str(state.names.get(key, "")) == event.new:
            return
        named = {k: v for k, v in state.names.items() if k != key}
        state.names = {**named, key: event.new} if event.new else named

    async def compute(self) -> Any:
        """Return the explanation for the explained class, the label and the most probable classes."""
        app, sample, ask = self.app, self.app.state.sample, self.app.ask()
        first = await app.session.explain(sample, ask, priority=1)
        players = is_exact(first) and first.sizes["cluster"] <= MOST_PLAYERS
        ask = ask.replace(targets=tuple(self.classes(first, sample)), shapley=players)
        return await app.session.explain(sample, ask, priority=1)

    def classes(self, result: Any, sample: int) -> list[int]:
        """Return the listed classes: the explained one, the label, then the most probable ones."""
        best = np.argsort(-result["logit"].values[0], kind="stable")[:MOST_CLASSES]
        asked, label = int(result["target_class"].values[0, 0]), self.app.session.label(sample)
        known = [label] if 0 <= label < len(self.app.model.classes) else []
        return list(dict.fromkeys([asked, *known, *map(int, best)]))[:MOST_CLASSES]

    def write(self, result: Any) -> None:
        """Write sentences and table."""
        state, c, k = self.app.state, self.app.state.cluster, result.sizes["cluster"]
        known = 0 <= c < k
        self.only.disabled = self.given.disabled = not known
        self.given.value = str(state.names.get(str(c), "")) if known else ""
        asked = result["target_class"].values[0]
        self.listing.rows = [self.row(result, t, int(q), c) for t, q in enumerate(asked)]
        names = names_of(result, self.app.model.classes, state.names)
        self.how.object = f"<p>{HOW[is_exact(result)]}</p>"
        self.words.object = f"<p>{escape(self.sentence(result, names))}</p>"

    def row(self, result: Any, t: int, q: int, c: int) -> dict[str, Any]:
        """Return the row of one class."""
        answers = {
            "before": "logit",
            "after": "ablated_logit",
            "p_before": "probability",
            "p_after": "ablated_probability",
        }
        known = 0 <= c < result.sizes["cluster"]
        shapley = known and "cluster_shapley" in result
        return {
            "id": str(q),
            "class": self.app.model.classes[q],
            "share": float(result["cluster_contribution"].values[0, t, c]) if known else 0.0,
            "shapley": float(result["cluster_shapley"].values[0, t, c]) if shapley else None,
            **{c: float(result[n].values[0, q]) if n in result else None for c, n in answers.items()},
        }

    def sentence(self, result: Any, names: list[str]) -> str:
        """Describe the selected cluster and the removed ones."""
        state, k = self.app.state, result.sizes["cluster"]
        text = "Select a cluster on the picture or in the table, or press its number. "
        if 0 <= state.cluster < k:
            c = state.cluster
            share = float(result["proportion"].values[0, c])
            name = f" ({names[c]})" if names[c] else ""
            text = f"Cluster {c}{name} covers {share:.0%} of the positions. "
        if not state.ablated:
            return text
        ids, several = ", ".join(str(c) for c in state.ablated), len(state.ablated) > 1
        top = int(result["target_class"].values[0, 0])
        before, after = (float(result[n].values[0, top]) for n in ("logit", "ablated_logit"))
        some = f"Cluster{'s' if several else ''} {ids} {'were' if several else 'was'}"
        what = f"All clusters but {ids} were" if state.keep else some
        place = "in the image" if state.where == "input" else "in the last layer"
        return (
            f"{text}{what} replaced by {FILL_WORDS[state.fill]} {place}: the logit of {self.app.model.classes[top]} went from "
            f"{number(before)} to {number(after)}."
        )

    def __panel__(self) -> Any:
        tools = (self.only, self.where, self.fill, self.given)
        return pn.Column(
            caption(
                "Removing a cluster shows how the prediction changes without it; the result depends on the replacement, and zero "
                "exaggerates the loss. A Shapley value shares the change fairly among clusters that act together."
            ),
            self.how,
            self.words,
            pn.FlexBox(*tools, align_items="center", gap="8px", margin=(4, 16)),
            self.listing,
            sizing_mode="stretch_width",
        )
