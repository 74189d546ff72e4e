"""A frame of the SIC app: the sample, its maps and the ledger, as bytes for the canvas."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from xai_views.methods.sic.ledger import class_sums, entries
from xai_views.methods.sic.observation import logits
from xai_views.models.supports import Supports
from xai_views.views import Frame
from xai_views_dashboard.core.numbers import number

#: Tiles of the canvas; ledger rows add their own.
LAYOUT: dict[str, Any] = {
    "tiles": {
        "sample": {"group": "main", "size": 332, "label": "Sample", "layers": ["contribution"], "link": "sample"},
        "against": {
            "group": "side", "size": 132, "label": "Difference", "photo": "sample", "layers": ["difference"], "link": "sample",
            "optional": True,
        },
        "colours": {
            "group": "side", "size": 132, "label": "B-cos colours", "layers": [], "link": "sample", "optional": True,
            "output": True,
        },
        "truth": {
            "group": "side", "size": 132, "label": "Ground truth", "photo": "sample", "layers": ["truth"], "link": "sample",
            "optional": True,
        },
    },
    "groups": {"main": {"title": ""}, "side": {"title": ""}},
    "table": {"size": 56, "layers": ["support"]},
}  # fmt: skip


def layout(known: bool) -> dict[str, Any]:
    """Return the tiles of the canvas; ground truth only where it is known."""
    return {**LAYOUT, "tiles": {n: t for n, t in LAYOUT["tiles"].items() if known or n != "truth"}}


def support_name(position: int) -> str:
    """Return the name of a support sample: its position in the training set."""
    return f"train {position}"


def on_white(rgba: np.ndarray) -> np.ndarray:
    """Composite ``[H, W, 4]`` uint8 over white: ``[H, W, 3]`` uint8."""
    alpha = rgba[..., 3:].astype(np.float32) / 255
    return np.round(rgba[..., :3] * alpha + 255 * (1 - alpha)).astype(np.uint8)


def sentence(name: str, classes: list[str], label: int, target: int, result: xr.Dataset) -> str:
    """Describe a frame in words."""
    logit = result["logit"].values[0]
    top = int(logit.argmax())
    known = f", labelled {classes[label]}" if label >= 0 else ""
    said = f"predicted {classes[top]} with probability {float(result['probability'].values[0, top]):.3f}"
    row = class_sums(result)[target]
    count = int((result["support_class"].values == target).sum())
    return (
        f"Sample {name}{known}, {said}. The logit of {classes[target]} is {number(row.logit)}: bias {number(row.bias)} "
        f"plus {number(row.evidence)} evidence of {count} support sample{'' if count == 1 else 's'}."
    )


def build(
    key: str, session: Any, sample: int, result: xr.Dataset, supports: Supports, edited: bool = False
) -> bytes:
    """Build the frame.

    Parameters
    ----------
    key : str
        Key of the frame.
    session : SicSession
        Gives name, picture, label and ground truth of the sample.
    sample : int
        Its position.
    result : Dataset
        Its explanation: the explained class first, then the compared class, if any.
    supports : Supports
        The support set of ``result``.
    edited : bool
        Whether it differs from the original one.

    Returns
    -------
    bytes
        A frame in the wire format.
    """
    name, image, classes = session.names[sample], session.image(sample), session.model.classes
    label, truth = session.label(sample), session.truth(sample)
    targets = result["target_class"].values[0]
    target = int(targets[0])
    words = classes[target]
    frame = Frame(key, text=sentence(name, classes, label, target, result))
    rows = supports.of_class(target)
    tiles = [f"support-{k}" for k in range(len(rows))]
    frame.photo([image, *supports.image[rows]], ["sample", *tiles])
    frame.signed_map("sample", "contribution", result["contribution"].values[0, 0])
    frame.legend("contribution", title="contribution to the logit per pixel", target=words, unit="logit")
    frame.tile(
        "sample", title=name, alt=f"Sample {name} with the contribution of each pixel to the logit of {words}"
    )
    _against(frame, result, classes, targets)
    _extras(frame, image, result, truth, words)
    own = float(logits(session.model, session.model.supports, result["latent"].values[:1])[0, target])
    _ledger(frame, name, image, result, supports, target, classes, own if edited else None)
    return frame.to_bytes()


def _against(frame: Frame, result: xr.Dataset, classes: list[str], targets: np.ndarray) -> None:
    if len(targets) < 2:
        return
    first, second = classes[int(targets[0])], classes[int(targets[1])]
    maps = result["contribution"].values[0]
    frame.signed_map("against", "difference", maps[0] - maps[1])
    frame.legend("difference", title=f"{first} minus {second}, per pixel", target=f"{first}", unit="logit")
    frame.tile(
        "against", title=f"{first} − {second}", alt=f"Contribution to {first} minus contribution to {second}"
    )


def _extras(frame: Frame, image: np.ndarray, result: xr.Dataset, truth: tuple | None, words: str) -> None:
    if "rendering" in result:
        frame.photo(on_white(result["rendering"].values[0, 0]), "colours")
        frame.tile("colours", title="", alt=f"Colours of the image that raise the logit of {words}")
    if truth is None:
        return
    ids, names = truth
    frame.label_map("truth", "truth", ids, names)
    frame.legend("truth", title="Ground truth")
    present = ", ".join(names[i] for i in np.unique(ids) if 0 <= i < len(names) and names[i])
    frame.tile(
        "truth", title="", size=list(image.shape[:2]), alt=f"Ground truth: parts of the image: {present}"
    )


def _ledger(
    frame: Frame,
    name: str,
    image: np.ndarray,
    result: xr.Dataset,
    supports: Supports,
    target: int,
    classes: list[str],
    own: float | None,
) -> None:
    """Add one row for each support sample, then the sums."""
    lines, own_maps = [], result["self_contribution"].values
    for k, entry in enumerate(entries(result, target)):
        r, said = entry.row, support_name(int(supports.index[entry.row]))
        picture, match = f"support-{k}", f"match-{k}"
        frame.signed_map(picture, "support", own_maps[r])
        frame.tile(picture, alt=f"Support sample {said} with its own contribution to {classes[target]}")
        if entry.match >= 0:  # maps of single supports may be switched off
            frame.signed_map(match, "support", result["support_contribution"].values[0, entry.match])
        alt = f"Where {name} matches support sample {said}"
        frame.tile(match, photo="sample", size=list(image.shape[:2]), link="sample", alt=alt)
        lines.append(
            {
                "id": str(int(supports.index[r])),
                "tiles": [picture, match],
                "cells": [said, f"{entry.share:.0%}"],
                "value": entry.evidence,
                "value_text": number(entry.evidence),
            }
        )
    s = class_sums(result)[target]
    frame.legend(
        "support", title="contribution to the similarity score per pixel", target="the match", unit="score"
    )
    frame.table(
        ["support sample", "share"],
        lines,
        caption=f"How the logit of {classes[target]} adds up",
        tile_columns=["support", "match"],
        value_column="evidence",
        limit=max(1e-6, float(np.abs(result["evidence"].values[0]).max(initial=0))),
        footer=[
            ["total evidence", number(s.evidence)],
            ["bias", number(s.bias)],
            ["residual (not attributed to pixels)", number(float(result["residual"].values[0, 0]))],
            *_logits(s.logit, own),
        ],
    )


def _logits(logit: float, own: float | None) -> list[list[str]]:
    """Return the last lines; ``own`` is the logit with the original supports, where these were edited."""
    if own is None:
        return [["the network's logit", number(logit)]]
    return [
        ["the network's logit (original supports)", number(own)],
        ["logit with this support set", number(logit)],
    ]
