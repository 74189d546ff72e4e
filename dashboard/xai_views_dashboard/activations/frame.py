"""A frame of the Activations app: photo, clusters, uncertainty, contribution and ledger."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from xai_views.engine.clusters.measures import density, held, mean_per_cluster, purity, ranks
from xai_views.views import Frame
from xai_views_dashboard.core.numbers import number

#: Ids of ground-truth parts ``[y, x]`` (-1 = none) and their names; None where unknown.
Truth = tuple[np.ndarray, list[str]] | None
#: Name of the label-map layer; a selected cluster is highlighted in all pictures with it.
SEGMENT = "cluster"
#: Title of the legend of contributions.
PER_PIXEL = "contribution of the cluster, per pixel"

#: The small tiles: label and layers.
SIDE = {
    "photo": ("Original", []),
    "contribution": ("Contribution", ["contribution"]),
    "entropy": ("Uncertainty", ["uncertainty"]),
    "truth": ("Ground truth", ["truth"]),
}
#: A cluster covers a part when it holds at least this share of it.
HELD = 0.5


def layout(known: bool) -> dict[str, Any]:
    """Return the tiles of the canvas; ground truth only where it is known."""
    about = {"photo": "photo", "link": "sample"}
    side = {
        name: {
            **about,
            "group": "side",
            "size": 156,
            "label": label,
            "layers": layers,
            "optional": name == "truth",
        }
        for name, (label, layers) in SIDE.items()
        if known or name != "truth"
    }
    main = {"sample": {**about, "group": "main", "size": 332, "label": "Clusters"}}
    return {"tiles": main | side, "groups": {"main": {"title": ""}, "side": {"title": ""}}}


def names_of(result: xr.Dataset, classes: list[str], given: Mapping[str, str]) -> list[str]:
    """Return a name for each cluster: the given one, else the class that the last layer reads from it, else ""."""
    names = [str(given.get(str(c), "")) for c in range(result.sizes["cluster"])]
    if not is_exact(result):
        return names
    best, much = (result[f"cluster_class{n}"].values[0, :, 0] for n in ("", "_probability"))
    return [n or f"{classes[int(c)]} {float(p):.2f}" for n, c, p in zip(names, best, much, strict=True)]


def is_exact(result: xr.Dataset) -> bool:
    """Return whether a linear layer reads the last feature map: contributions add up, and clusters have names."""
    return "cluster_class" in result


def parts_of(segment: np.ndarray, truth: Truth, k: int) -> list[str]:
    """Return the main ground-truth part of each cluster, and the parts that it covers; "" where unknown."""
    if truth is None:
        return [""] * k
    ids, names = truth
    ids, words = np.maximum(ids, 0), [n or "background" for n in names]
    inside = held(segment, ids, k)
    said = []
    for c, (part, share) in enumerate(zip(*purity(segment, ids, k), strict=True)):
        small = [p for p in range(1, inside.shape[1]) if p != part and inside[c, p] >= HELD]
        whole = f"{share:.0%} {words[part]}" if part >= 0 else ""
        covers = ", ".join(f"{inside[c, p]:.0%} of {words[p]}" for p in small)
        said.append("; covers ".join(filter(None, [whole, covers])))
    return said


def contribution_of(result: xr.Dataset, segment: np.ndarray | None = None) -> np.ndarray:
    """Return the contribution of each cluster, spread over its pixels ``[y, x]``, or over those of another label map."""
    ids = result["segment"].values[0] if segment is None else segment
    return density(ids, result["cluster_contribution"].values[0, 0])


def sentence(name: str, classes: list[str], label: int, result: xr.Dataset) -> str:
    """Describe a frame in words."""
    logit, probability = result["logit"].values[0], result["probability"].values[0]
    top, k = int(logit.argmax()), result.sizes["cluster"]
    known = f", labelled {classes[label]}" if label >= 0 else ""
    share = result["proportion"].values[0]
    rows, columns = result["assignment"].shape[1:]
    text = (
        f"Sample {name}{known}, predicted {classes[top]} with probability {float(probability[top]):.3f}. "
        f"{k} cluster{'' if k == 1 else 's'} of {rows * columns} positions ({rows} × {columns}); the largest, "
        f"{int(share.argmax())}, covers {float(share.max()):.0%}. Inertia {float(result['inertia'].values[0]):.1f}"
    )
    exact = float(result["inertia_exact"].values[0])
    return text + (f"; k-means without nesting reaches {exact:.1f}." if exact >= 0 else ".")


def build(
    key: str, session: Any, sample: int, result: xr.Dataset, shown: str, names: Mapping[str, str]
) -> bytes:
    """Build the frame.

    Parameters
    ----------
    key : str
        Key of the frame.
    session : ActivationsSession
        Gives name, picture, label and ground truth of the sample.
    sample : int
        Its position.
    result : Dataset
        Its explanation by the method ``nave``.
    shown : {"clusters", "entropy", "margin"}
        The map on the main picture.
    names : mapping
        Given names, by cluster id as text.

    Returns
    -------
    bytes
        A frame in the wire format.
    """
    name, image, classes = session.names[sample], session.image(sample), session.model.classes
    label, truth, given = session.label(sample), session.truth(sample), names
    target = int(result["target_class"].values[0, 0])
    words = names_of(result, classes, given)
    frame = Frame(key, text=sentence(name, classes, label, result))
    frame.photo(image, "photo")
    _main(frame, name, result, words, shown)
    frame.signed_map("contribution", "contribution", contribution_of(result))
    per_pixel = PER_PIXEL if is_exact(result) else f"{PER_PIXEL}: gradient × activation"
    frame.legend("contribution", title=per_pixel, target=classes[target], unit="logit")
    frame.tile(
        "contribution",
        title="",
        alt=f"Each pixel's share of its cluster's contribution to {classes[target]}",
    )
    entropy = result["entropy"].values[0]
    frame.sequential("entropy", "uncertainty", ranks(entropy), limit=1.0)
    spread = f"{float(entropy.min()):.2f}–{float(entropy.max()):.2f}"
    used = float(result["temperature"].values[0])
    frame.legend("uncertainty", title=f"assignment uncertainty (rank; entropy {spread}, T = {used:.3g})")
    frame.sequential("entropy", "entropy", entropy, limit=1.0, drawn=False, title="entropy")
    frame.tile(
        "entropy",
        title="",
        size=list(image.shape[:2]),
        alt="Uncertainty of the cluster assignment at each position",
    )
    _truth(frame, image, truth)
    _ledger(frame, result, classes, words, truth, target)
    return frame.to_bytes()


def _main(frame: Frame, name: str, result: xr.Dataset, names: list[str], shown: str) -> None:
    segment = result["segment"].values[0]
    if shown == "clusters":
        frame.label_map("sample", SEGMENT, segment, names)
        frame.legend(SEGMENT, title="cluster", short=True)
    else:
        frame.sequential("sample", shown, result[shown].values[0], limit=1.0)
        words = {
            "entropy": "uncertainty (entropy of the assignment)",
            "margin": "margin to the second-best cluster",
        }
        frame.legend(shown, title=words[shown])
        frame.label_map("sample", SEGMENT, segment, names, drawn=False, title="cluster")
    frame.label_map(
        "sample", "second", result["second"].values[0], names, drawn=False, title="second-best cluster"
    )
    for i, layer in enumerate(result["layer"].values):
        share = np.nan_to_num(result["layer_share"].values[0, i])
        frame.sequential("sample", f"share {layer}", share, limit=1.0, drawn=False, title=f"share of {layer}")
    frame.tile(
        "sample",
        title=name,
        alt=f"Sample {name} with its {result.sizes['cluster']} activation clusters",
    )


def _truth(frame: Frame, image: np.ndarray, truth: Truth) -> None:
    if truth is None:
        return
    ids, names = truth
    frame.label_map("truth", "truth", ids, names)
    frame.legend("truth", title="Ground truth")
    present = ", ".join(names[i] for i in np.unique(ids) if 0 <= i < len(names) and names[i])
    frame.tile(
        "truth", title="", size=list(image.shape[:2]), alt=f"Ground truth: parts of the image: {present}"
    )


def rows(result: xr.Dataset, names: list[str], truth: Truth, target: int = 0) -> list[dict[str, Any]]:
    """Return one row per cluster: its measures, and its contribution to explained class number ``target``."""
    k = result.sizes["cluster"]
    assignment = result["assignment"].values[0]
    entropy = mean_per_cluster(result["entropy"].values[0], assignment, k)
    pure = parts_of(result["segment"].values[0], truth, k)
    contribution = result["cluster_contribution"].values[0, target]
    return [
        {
            "id": str(c),
            "swatch": c,
            "name": names[c],
            "size": float(result["proportion"].values[0, c]),
            "entropy": float(entropy[c]),
            "purity": pure[c],
            "value": float(contribution[c]),
        }
        for c in range(k)
    ]


def _ledger(
    frame: Frame, result: xr.Dataset, classes: list[str], names: list[str], truth: Truth, target: int
) -> None:
    """Add one row for each cluster, then the sums and the network's logit."""
    lines = rows(result, names, truth)
    total = sum(r["value"] for r in lines)
    bias, residual = float(result["bias"].values[target]), float(result["residual"].values[0, 0])
    logit = float(result["logit"].values[0, target])
    named = any(names)
    columns = ["cluster", *(["class read-out" if is_exact(result) else "name"] if named else []), "share"]
    table = []
    for r in lines:
        cells = [r["id"], *([r["name"]] if named else []), f"{r['size']:.0%}"]
        table.append(
            {
                "id": r["id"],
                "swatch": r["swatch"],
                "cells": cells,
                "value": r["value"],
                "value_text": number(r["value"]),
            }
        )
    frame.table(
        columns,
        table,
        caption=f"How the logit of {classes[target]} adds up, by cluster",
        value_column="contribution",
        limit=max(1e-6, max((abs(r["value"]) for r in lines), default=0)),
        footer=[
            ["sum of the clusters", number(total)],
            ["bias", number(bias)],
            ["residual (not attributed to clusters)", number(residual)],
            ["the network's logit", number(logit)],
            *_without(result, target),
        ],
    )


def _without(result: xr.Dataset, target: int) -> list[list[str]]:
    """Return logit and probability before and after removal; [] where no cluster is removed."""
    if "ablated_logit" not in result:
        return []
    logit, after, p, p_after = (
        float(result[n].values[0, target])
        for n in ("logit", "ablated_logit", "probability", "ablated_probability")
    )
    return [
        ["logit, before → after removal", f"{number(logit)} → {number(after)}"],
        ["probability, before → after removal", f"{p:.3f} → {p_after:.3f}"],
    ]
