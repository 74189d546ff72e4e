"""What is selected in the activation explorer."""

from __future__ import annotations

from typing import Any, ClassVar

import param

from xai_views_dashboard.core.state import NONE, AppState

PRESETS = ("authors", "equal", "deep-first", "own")
GRIDS = ("shallowest", "input", "double")
INTERPOLATIONS = ("bicubic", "bilinear", "nearest")
MODES = ("nested", "exact", "codebook")
ASSIGNERS = ("k-means", "pca", "agglomerative", "clustering module")
SOFT = ("tempered", "gmm", "fuzzy")
MAPS = ("clusters", "entropy", "margin")
FILLS = ("mean", "zero", "data")
INPUT_FILLS = ("blur", "mean")
MOST = 32  # clusters


class ActivationsState(AppState):
    """Everything that decides what the page shows."""

    taps = param.List(
        [], item_type=str, doc="Layers in use, shallow to deep; [] = those of the architecture."
    )
    preset = param.Selector(default="authors", objects=list(PRESETS), doc="Weights of the layers.")
    weights = param.List(
        [], item_type=(int, float), doc="One weight per layer in use; only for the preset 'own'."
    )
    grid = param.Selector(
        default="shallowest", objects=list(GRIDS), doc="Grid that the layers are brought to."
    )
    interp = param.Selector(
        default="bicubic", objects=list(INTERPOLATIONS), doc="Interpolation of the layers."
    )
    k = param.Integer(5, bounds=(0, MOST), doc="Number of clusters; 0 = elbow.")
    mode = param.Selector(
        default="nested", objects=list(MODES), doc="One merge tree, k-means for each K, or a codebook."
    )
    assigner = param.Selector(
        default="k-means", objects=list(ASSIGNERS), doc="How positions become clusters."
    )
    seed = param.Integer(0, bounds=(0, 9999), doc="Of the starts of k-means.")
    soft = param.Selector(default="tempered", objects=list(SOFT), doc="Soft assignment behind entropy.")
    temperature = param.Number(0.0, bounds=(0, None), doc="Of the soft assignment; 0 = its default.")
    shown = param.Selector(default="clusters", objects=list(MAPS), doc="What the large map shows.")
    cluster = param.Integer(NONE, bounds=(-1, MOST - 1), doc="The chosen cluster; -1 = none.")
    at = param.List([], doc="Clicked position [x, y] in image pixels; [] = none.")
    ablated = param.List([], item_type=int, doc="Clusters that are taken away.")
    keep = param.Boolean(False, doc="Take away all others instead.")
    where = param.Selector(
        default="latent", objects=["latent", "input"], doc="Where clusters are taken away."
    )
    fill = param.Selector(
        default="mean", objects=["mean", "zero", "data", "blur"], doc="What takes their place."
    )
    names = param.Dict({}, doc="Names given by hand, {cluster: name}.")
    touched = param.List([], item_type=dict, doc="Edits of the photo in view, one after another.")
    compared = param.List([], item_type=str, doc="Further models beside this one.")
    saliency = param.String("grad-cam", doc="Attribution method of the saliency panel.")
    layer = param.String("", doc="Layer of the factorization; '' = the deepest.")
    how = param.Selector(
        default="mean", objects=["mean", "sum", "median", "positive"], doc="Figure of a superpixel."
    )
    connected = param.Boolean(False, doc="Whether superpixels are connected pieces of clusters.")
    tab = param.Integer(0, bounds=(0, None), doc="The open tab.")

    #: Clusters taken away are one step of undo.
    EDITS: ClassVar[tuple[str, ...]] = ("ablated", "keep", "where", "fill")

    def checked(self, key: str, value: Any) -> Any:
        """Bound what an address may hold."""
        if key in {"taps", "compared"}:
            return [str(v)[:200] for v in value][:12]
        if key == "weights":
            return [min(max(float(v), 0.0), 100.0) for v in value][:12]
        if key == "at":
            return [float(v) for v in value][:2]
        if key == "ablated":
            return [int(v) for v in value][:MOST]
        if key == "touched":
            return [_edit(v) for v in value][:40]
        if key == "names":
            return {str(int(c)): str(n)[:40] for c, n in list(value.items())[:MOST]}
        return super().checked(key, value)


def _edit(value: Any) -> dict[str, Any]:
    """One edit of an address, checked; raises ValueError or TypeError for anything else."""
    if value["kind"] not in {"blur", "erase", "paste"}:
        raise ValueError(value["kind"])
    region = [[float(x), float(y)] for x, y in value["region"]][:2000]
    return {"kind": value["kind"], "region": region, "at": [float(v) for v in value.get("at", [])][:2]}
