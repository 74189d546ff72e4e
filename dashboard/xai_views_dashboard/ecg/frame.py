"""One record of the ECG explorer as the paper draws it: trace, clusters, contribution strips, ledger and text."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import xarray as xr

from xai_views.methods.ecg_clusters.ledger import Ledger, ledger
from xai_views.views.ecg_paper.record import Interval, Record, intervals
from xai_views.views.roles import STRIP, binned
from xai_views_dashboard.core.numbers import number

#: Seconds of a column where a sheet shows four side by side.
COLUMN = 2.5


def names_of(result: xr.Dataset, given: Mapping[str, str]) -> list[str]:
    """Return a name for every cluster: yours, else the codebook's, else ""."""
    book = (
        result["cluster_name"].values if "cluster_name" in result.coords else [""] * result.sizes["cluster"]
    )
    return [given.get(str(c), "") or str(n) for c, n in enumerate(book)]


def labels(classes: Sequence[str], known: Collection[int]) -> str:
    """Return the names of the classes that a record is labelled with; "" for none."""
    return " and ".join(classes[c] for c in sorted(known))


def sentence(
    result: xr.Dataset, classes: list[str], labelled: Collection[int], name: str, names: list[str]
) -> str:
    """Return the text twin of the paper."""
    logit, probability = result["logit"].values[0], result["probability"].values[0]
    top, target = int(logit.argmax()), int(result["target_class"].values[0, 0])
    part = result["cluster_contribution"].values[0, 0]
    best = int(part.argmax())
    share = float(result["proportion"].values[0, best])
    known = f", labelled {labels(classes, labelled)}" if labelled else ""
    title = f" ({names[best]})" if names[best] else ""
    return (
        f"Record {name}{known}: the network predicts {classes[top]} with probability {probability[top]:.3f}. For "
        f"{classes[target]}, cluster {best}{title} contributes most: {number(part[best])} of the logit "
        f"{number(logit[target])}, in {share:.0%} of the time."
    )


def worded(truth: tuple[Interval, ...], word: str) -> tuple[Interval, ...]:
    """Write the class of the ground truth once in each column of a sheet; at each interval words would cover one another."""
    first = {(t.lead, t.start // COLUMN): t for t in sorted(truth, key=lambda t: -t.start)}
    return tuple(replace(t, word=word) if t is first[t.lead, t.start // COLUMN] else t for t in truth)


def strips(map_: np.ndarray, rate: float) -> dict[str, Any]:
    """Return the strips under the leads of a signed map ``[lead, time]``, and the total of each lead."""
    return {
        "contribution": binned(map_, STRIP),
        "contribution_step": map_.shape[1] / rate / STRIP,
        "totals": tuple(float(v) for v in map_.sum(1)),
    }


def plain(session: Any, i: int, signal: np.ndarray, title: str) -> dict[str, Any]:
    """Return what is drawn of record ``i`` without an explanation."""
    return {
        "id": session.names[i],
        "name": title,
        "leads": tuple(session.leads),
        "rate": session.rate,
        "signal": signal,
        "length": session.length(i),
        "synthetic": bool(session.population.samples.attrs.get("synthetic")) and i < session.population.n,
    }


def beside(
    result: xr.Dataset,
    classes: Sequence[str],
    before: xr.Dataset | None = None,
    ablated: Collection[int] = (),
) -> dict[str, Any]:
    """Return the ledger that stands beside the paper.

    Parameters
    ----------
    result : Dataset
        The explanation of the record.
    classes : sequence of str
        Of the model.
    before : Dataset, optional
        The explanation of the record without its edits and with all clusters, where there are edits.
    ablated : collection of int
        The removed clusters.
    """
    bill: Ledger = ledger(result)
    removed = set(ablated)
    sums = {"bias": bill.bias, "clusters": bill.clusters, "padding": bill.padding, "residual": bill.residual}
    return {
        "title": f"How the logit of {classes[bill.target]} adds up",
        "rows": [
            {"id": line.cluster, "part": line.part, "removed": line.cluster in removed} for line in bill.lines
        ],
        "sums": list(sums.items()),
        "logit": ("= logit", bill.logit),
        "after": "" if before is None else compared(before, result, classes, bill.target),
    }


def compared(before: xr.Dataset, after: xr.Dataset, classes: Sequence[str], target: int) -> str:
    """Say how edits and removed clusters change logit, probability and prediction."""
    kind = "ablated_" if "ablated_logit" in after else ""
    logits = before["logit"].values[0], after[f"{kind}logit"].values[0]
    chances = before["probability"].values[0], after[f"{kind}probability"].values[0]
    said = (
        f"{classes[target]}: logit {number(logits[0][target])} → {number(logits[1][target])}, probability "
        f"{chances[0][target]:.3f} → {chances[1][target]:.3f}."
    )
    first, last = (int(p.argmax()) for p in chances)
    return said if first == last else f"{said} Prediction: {classes[first]} → {classes[last]}."


def build(
    session: Any,
    i: int,
    signal: np.ndarray,
    result: xr.Dataset,
    drawn: Mapping[str, Any],
    title: str,
    bill: dict[str, Any] | None = None,
) -> Record:
    """Put a record and its explanation together.

    Parameters
    ----------
    session : EcgSession
        Knows leads, rate, truth and labels.
    i : int
        Position of the record.
    signal : ndarray
        ``[lead, time]`` in mV, with its edits.
    result : Dataset
        Its explanation.
    drawn : mapping
        ``shown``, ``fade``, ``truth``, ``names`` and, where strips share one, ``limit``.
    title : str
        Printed on the sheet.
    bill : dict, optional
        The ledger beside the paper, see :func:`beside`.
    """
    classes, labelled, present = session.model.classes, session.known(i), session.present(i)
    names = names_of(result, drawn["names"])
    target = int(result["target_class"].values[0, 0])
    about = plain(session, i, signal, title) | {
        "title": session.population.title,
        "flag": session.flag(i),
        "text": sentence(result, classes, labelled, title, names),
        "ledger": bill,
    }
    if present is not None:
        about["present"] = tuple(bool(p) for p in present)
    evidence = session.evidence(i, target) if drawn["truth"] and labelled else None
    if evidence is not None:
        word = classes[target] if len(labelled) > 1 and target in labelled else ""
        about["truth"] = worded(intervals(evidence, session.rate), word)
    cluster = result["cluster"].values[0]
    step = signal.shape[1] / session.rate / len(cluster)
    about["names"] = tuple(names)
    if drawn["shown"] != "nothing":
        about |= {"cluster": cluster, "step": step}
        if drawn["fade"] != "nothing":
            votes = drawn["fade"] == "ensemble" and "ensemble_entropy" in result
            about["entropy"] = np.clip(result["ensemble_entropy" if votes else "entropy"].values[0], 0, 1)
    if drawn["shown"] == "contribution":
        about |= {"contribution": result["time_contribution"].values[0, 0], "contribution_step": step}
    elif drawn["shown"] == "attribution" and "attribution" in result:
        about |= strips(result["attribution"].values[0], session.rate)
    if "contribution" in about:
        about |= {"target": classes[target], "limit": drawn.get("limit")}
    return Record(**about)


def largest(result: xr.Dataset, shown: str) -> float:
    """Return the largest magnitude of what is drawn under the leads; 0 where nothing is."""
    if shown == "contribution":
        return float(np.abs(result["time_contribution"].values[0]).max())
    if shown == "attribution" and "attribution" in result:
        return float(np.abs(binned(result["attribution"].values[0], STRIP)).max())
    return 0.0
