"""One record of the ECG explorer as the paper draws it: trace, bands of clusters, contribution strips, words."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import xarray as xr

from xai_views.views.ecg_paper.record import Interval, Record, intervals
from xai_views.views.roles import STRIP, binned
from xai_views_dashboard.core.numbers import number

#: Seconds of a column where a sheet shows four side by side.
COLUMN = 2.5


def names_of(result: xr.Dataset, given: Mapping[str, str]) -> list[str]:
    """A name for every cluster: the one given by hand, else the codebook's, else ""."""
    book = (
        result["cluster_name"].values if "cluster_name" in result.coords else [""] * result.sizes["cluster"]
    )
    return [given.get(str(c), "") or str(n) for c, n in enumerate(book)]


def labels(classes: Sequence[str], known: Collection[int]) -> str:
    """Names of the classes that a record is labelled with, in words; "" for none."""
    return " and ".join(classes[c] for c in sorted(known))


def sentence(
    result: xr.Dataset, classes: list[str], labelled: Collection[int], name: str, names: list[str]
) -> str:
    """The text twin of the paper."""
    logit, probability = result["logit"].values[0], result["probability"].values[0]
    top, target = int(logit.argmax()), int(result["target_class"].values[0, 0])
    part = result["cluster_contribution"].values[0, 0]
    best = int(part.argmax())
    share = float(result["proportion"].values[0, best])
    known = f", labelled {labels(classes, labelled)}" if labelled else ""
    title = f" ({names[best]})" if names[best] else ""
    return (
        f"Record {name}{known}: the network says {classes[top]} with probability {probability[top]:.3f}. For "
        f"{classes[target]}, cluster {best}{title} contributes most, {number(part[best])} of the logit "
        f"{number(logit[target])}, in {share:.0%} of the time."
    )


def worded(truth: tuple[Interval, ...], word: str) -> tuple[Interval, ...]:
    """Write whose evidence it is once in each column of a sheet; at each interval words would cover one another."""
    first = {(t.lead, t.start // COLUMN): t for t in sorted(truth, key=lambda t: -t.start)}
    return tuple(replace(t, word=word) if t is first[t.lead, t.start // COLUMN] else t for t in truth)


def strips(map_: np.ndarray, rate: float) -> dict[str, Any]:
    """What a record says of a signed map ``[lead, time]``: strips under the leads, and the total of each."""
    return {
        "contribution": binned(map_, STRIP),
        "contribution_step": map_.shape[1] / rate / STRIP,
        "totals": tuple(float(v) for v in map_.sum(1)),
    }


def plain(session: Any, i: int, signal: np.ndarray, title: str) -> dict[str, Any]:
    """What is to be drawn of record ``i`` whatever the network says."""
    return {
        "id": session.names[i],
        "name": title,
        "leads": tuple(session.leads),
        "rate": session.rate,
        "signal": signal,
        "length": session.length(i),
        "synthetic": bool(session.population.samples.attrs.get("synthetic")) and i < session.population.n,
    }


def build(
    session: Any, i: int, signal: np.ndarray, result: xr.Dataset, drawn: Mapping[str, Any], title: str
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
    """
    classes, labelled, present = session.model.classes, session.known(i), session.present(i)
    names = names_of(result, drawn["names"])
    target = int(result["target_class"].values[0, 0])
    about = plain(session, i, signal, title) | {
        "title": session.population.title,
        "flag": session.flag(i),
        "text": sentence(result, classes, labelled, title, names),
    }
    if present is not None:
        about["present"] = tuple(bool(p) for p in present)
    evidence = session.evidence(i, target) if drawn["truth"] and labelled else None
    if evidence is not None:
        word = classes[target] if len(labelled) > 1 and target in labelled else ""
        about["truth"] = worded(intervals(evidence, session.rate), word)
    cluster = result["cluster"].values[0]
    step = signal.shape[1] / session.rate / len(cluster)
    if drawn["shown"] != "nothing":
        about |= {"cluster": cluster, "step": step, "names": tuple(names)}
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
    """The largest size of what is drawn under the leads; 0 where nothing is."""
    if shown == "contribution":
        return float(np.abs(result["time_contribution"].values[0]).max())
    if shown == "attribution" and "attribution" in result:
        return float(np.abs(binned(result["attribution"].values[0], STRIP)).max())
    return 0.0
