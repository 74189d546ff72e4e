"""The activation explorer: what a network treats alike, and what each cluster contributes to its answer.

``panel serve dashboard/activations.py`` serves it alone; ``xai-views serve`` serves it at ``/activations``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from xai_views.contract.ask import Ask
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
from xai_views_dashboard.panels.upload import UploadPanel


class ActivationsApp(App):
    """Explore what a network treats alike: activation clusters and superpixels.

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
        "a": "take the chosen cluster away",
        "u": "undo an ablation",
    }
    words = (
        "Positions of one colour are treated alike by the chosen layers; the ledger says what each cluster contributes to the "
        "logit. It shows what the network computes, not what the objects are: names are what its last layer reads, or yours."
    )
    source = (
        "After Boubekki, Fadel and Mair: Neuro-Activated Vision Explanations (arXiv 2411.19700) and superpixels (arXiv "
        "2406.04933). Merge tree, soft assignments, contributions and ablations are our readings; the method's page names each."
    )

    def ask(self, method: str = "", /, **changes: Any) -> Ask:
        """What the state asks; until a codebook is fitted its mode is that of one merge tree."""
        ask = super().ask(method, **changes)
        if ask.mode == "codebook" and ask.codebook is None:
            return ask.replace(mode="nested")
        needed = ask.mode == "codebook" or (ask.ablated and ask.fill == "data")
        return ask if needed else ask.replace(codebook=None)

    def layout(self) -> dict[str, Any]:
        """Tiles of the canvas."""
        return pictures.layout(known=bool(PARTS & set(self.samples.data_vars)))

    def frame(self, key: str, sample: int, result: Any, wish: Any) -> bytes:
        """Photo, clusters, contribution, uncertainty and ledger of one sample."""
        return pictures.build(key, self.session, sample, result, **wish.drawn)

    def controls(self) -> list[Any]:
        """What is changed often."""
        return [controls(self)]

    def link(self) -> None:
        """One cluster stands out in every picture, and its row in the ledger."""
        self.state.param.watch(self.chosen, "cluster")
        self.chosen()
        for panel in self.panels:
            if isinstance(panel, CodebookPanel):
                panel.begin()  # a first value changes nothing, so that nothing tells of it

    def chosen(self, *_: Any) -> None:
        """Show which cluster is chosen."""
        self.canvas.row = str(self.state.cluster) if self.state.cluster >= 0 else ""
        self.canvas.compose(**self.composed(self.state.look))

    def composed(self, look: Mapping[str, Any]) -> dict[str, Any]:
        """Settings of the canvas, with the chosen cluster in focus."""
        focus = {pictures.SEGMENT: [self.state.cluster]} if self.state.cluster >= 0 else None
        return {**super().composed(look), "focus": focus}

    def looked(self, settings: Mapping[str, Any]) -> None:
        """Keep what was changed in the browser; the focus is the cluster's."""
        super().looked({k: v for k, v in settings.items() if k != "focus"})

    def selected(self, message: Mapping[str, Any]) -> None:
        """Choose the clicked cluster, or the ledger's row; a second click on the picture lets all stand again."""
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
            state.undo()
        elif key == "a" and state.cluster >= 0:
            state.edit(ablated=sorted({*state.ablated, state.cluster}))
        elif key.isdigit():
            state.cluster = int(key)
