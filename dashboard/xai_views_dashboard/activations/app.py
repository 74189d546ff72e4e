"""The Activations app: regions that a network represents alike, and what each contributes to a logit.

``panel serve dashboard/activations.py`` serves it alone; ``xai-views serve`` serves it at ``/activations``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from xai_views.contract.ask import Ask
from xai_views.engine.attribution.region import Inside
from xai_views_dashboard.activations import frame as pictures
from xai_views_dashboard.activations.cluster import ClusterPanel
from xai_views_dashboard.activations.codebook import CodebookPanel
from xai_views_dashboard.activations.compare import ComparePanel
from xai_views_dashboard.activations.controls import controls
from xai_views_dashboard.activations.depth import DepthPanel, SimilarityPanel
from xai_views_dashboard.activations.factorization import FactorizationPanel
from xai_views_dashboard.activations.layers import LayerPanel
from xai_views_dashboard.activations.norms import NormsPanel
from xai_views_dashboard.activations.saliency import SaliencyPanel
from xai_views_dashboard.activations.semantic import PARTS, SemanticPanel
from xai_views_dashboard.activations.session import ActivationsSession
from xai_views_dashboard.activations.state import ActivationsState
from xai_views_dashboard.activations.touch import TouchPanel
from xai_views_dashboard.core.app import App
from xai_views_dashboard.core.numbers import number, percent
from xai_views_dashboard.core.region import RegionResult
from xai_views_dashboard.panels.upload import UploadPanel


class ActivationsApp(App):
    """See which regions a network represents alike: activation clusters and superpixels.

    Parameters
    ----------
    model : Model
        Any network with spatial activations.
    samples : xarray.Dataset
        Images that fit it.
    **state
        First values of the state: parameters of the methods ``nave`` and ``nas``, and what
        :class:`xai_views_dashboard.activations.state.ActivationsState` adds; ``sample`` may be an id.
    """

    key, title, method, beside, preference = "activations", "Activations", "nave", ("nas",), 10
    selection, session_kind = ActivationsState, ActivationsSession
    panels_own = (
        ClusterPanel, LayerPanel, CodebookPanel, ComparePanel, SaliencyPanel, FactorizationPanel, TouchPanel, UploadPanel,
        SemanticPanel, NormsPanel, SimilarityPanel, DepthPanel,
    )  # fmt: skip
    drawn = ("shown", "names")
    keys = {
        "[": "one cluster fewer",
        "]": "one cluster more",
        "1…9": "select cluster n",
        "a": "remove the selected cluster",
        "u": "undo the last edit",
    }
    words = (
        "Positions of the same colour are represented alike in the chosen layers; the table shows what each cluster adds to "
        "the logit. A cluster is not an object."
    )
    source = (
        "After Boubekki, Fadel and Mair: Neuro-Activated Vision Explanations (arXiv 2411.19700) and superpixels (arXiv "
        "2406.04933). Merge tree, soft assignments, contributions and ablations are our extensions; the method page lists them."
    )

    def ask(self, method: str = "", /, **changes: Any) -> Ask:
        """Return the request of the state; until a codebook is fitted, clusterings are nested."""
        ask = super().ask(method, **changes)
        if ask.mode == "codebook" and ask.codebook is None:
            return ask.replace(mode="nested")
        needed = ask.mode == "codebook" or (ask.ablated and ask.fill == "data")
        return ask if needed else ask.replace(codebook=None)

    def layout(self) -> dict[str, Any]:
        """Return the tiles of the canvas."""
        return pictures.layout(known=bool(PARTS & set(self.samples.data_vars)))

    def frame(self, key: str, sample: int, result: Any, wish: Any) -> bytes:
        """Return photo, clusters, contribution, uncertainty and ledger of one sample."""
        return pictures.build(key, self.session, sample, result, **wish.drawn)

    def controls(self) -> list[Any]:
        """Return the row above the picture."""
        return [controls(self)]

    def link(self) -> None:
        """Let pictures and ledger follow the selected cluster and the edits, and tell the result of a brushed region."""
        self.regions = RegionResult(self, pictures.contribution_of, covered)
        self.state.param.watch(self.chosen, "cluster")
        self.state.param.watch(self.tell_edits, ["sample", "cluster", *self.state.EDITS])
        self.canvas.on_edit(self.edited)
        self.chosen()
        self.tell_edits()
        for panel in self.panels:
            if isinstance(panel, CodebookPanel):
                panel.begin()  # the first value is no change

    def chosen(self, *_: Any) -> None:
        """Show the selected cluster."""
        self.canvas.row = str(self.state.cluster) if self.state.cluster >= 0 else ""
        self.canvas.compose(**self.composed(self.state.look))

    def begin(self) -> None:
        """Begin what sends to the browser, also the result of a region."""
        super().begin()
        self.regions.active = True

    def tell_edits(self, *_: Any) -> None:
        """Tell the ledger what can be removed and undone, and to which sample the edits belong."""
        state = self.state
        c = state.cluster
        gone = c in state.ablated and not state.keep
        name = self.session.names[min(state.sample, len(self.session) - 1)]
        self.canvas.edits = {
            "remove": "Remove cluster" if c < 0 else f"Remove cluster {c}",
            "reason": "Select a cluster first"
            if c < 0
            else f"Cluster {c} is already removed"
            if gone
            else "",
            "undo": state.can_undo,
            "reset": bool(state.ablated),
            "words": f"Edits apply to {name} only." if state.ablated else "",
        }

    def edited(self, action: str) -> None:
        """Take a button of the ledger."""
        state = self.state
        if action == "undo":
            state.undo()
        elif action == "reset":
            state.edit(ablated=[], keep=False)
        elif action == "remove" and state.cluster >= 0:
            before = set() if state.keep else set(state.ablated)
            state.edit(ablated=sorted({*before, state.cluster}), keep=False)
        self.tell_edits()

    def begins(self) -> Mapping[str, Any]:
        """Begin with the example of the model's card, such as the sample that shows a shortcut best."""
        shown, names = self.model.card.get("opens_on") or {}, self.session.names
        if shown.get("sample") not in names:
            return {}
        return {"sample": names.index(shown["sample"]), "cluster": int(shown.get("cluster", -1))}

    def composed(self, look: Mapping[str, Any]) -> dict[str, Any]:
        """Return the settings of the canvas, with the selected cluster in focus."""
        focus = {pictures.SEGMENT: [self.state.cluster]} if self.state.cluster >= 0 else None
        return {**super().composed(look), "focus": focus}

    def looked(self, settings: Mapping[str, Any]) -> None:
        """Keep what was changed in the browser; the focus follows the cluster."""
        super().looked({k: v for k, v in settings.items() if k != "focus"})

    def selected(self, message: Mapping[str, Any]) -> None:
        """Select the clicked cluster or row; a second click on the picture clears the selection."""
        row, label = message.get("row"), (message.get("labels") or {}).get(pictures.SEGMENT)
        if message.get("tile") is not None and message.get("x") is not None:
            self.state.place = [float(message["x"]), float(message["y"])]
        wanted = row if row is not None else label
        if wanted is not None and str(wanted).isdigit():
            again = row is None and int(wanted) == self.state.cluster
            self.state.cluster = -1 if again else int(wanted)

    def pressed(self, key: str) -> None:
        """Take a key of the canvas."""
        state = self.state
        if key in "[]":
            low, high = 1, state.param.k.bounds[1]
            state.k = min(max(state.k + (1 if key == "]" else -1), low), high)
        elif key == "u":
            self.edited("undo")
        elif key == "a":
            self.edited("remove")
        elif key.isdigit():
            state.cluster = int(key)


def covered(found: Inside) -> str:
    """Say how much of pixels and contribution a region holds."""
    text = f"The region covers {percent(found.area)} of the pixels"
    if found.share != found.share:  # NaN
        return f"{text}; all contributions are zero, so there is no share."
    return f"{text} and {percent(found.share)} of the absolute contribution ({number(found.part)} of {number(found.whole)})."
