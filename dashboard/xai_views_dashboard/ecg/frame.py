"""One record of the ECG explorer as the paper draws it: trace, bands of clusters, contribution strips, words."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import xarray as xr

from xai_views.views.ecg_paper import record as ecg_record
from xai_views.views.ecg_paper.record import Interval, Record
from xai_views_dashboard.core.numbers import number

#: Steps into which a per-lead attribution is summed for its strip.
STRIP = 250
#: Seconds of a column where a sheet shows four side by side.
COLUMN = 2.5


def names_of(result: xr.Dataset, given: dict[str, str]) -> list[str]:
    """A name for every cluster: the one given by hand, else the codebook's, else ""."""
    book = (
        result["cluster_name"].values if "cluster_name" in result.coords else [""] * result.sizes["cluster"]
    )
    return [given.get(str(c), "") or str(n) for c, n in enumerate(book)]


def binned(values: np.ndarray, bins: int) -> np.ndarray:
    """Sums ``[..., bins]`` of consecutive steps ``[..., T]``; what they sum to stays the same."""
    edges = (np.arange(bins) * values.shape[-1]) // bins
    return np.add.reduceat(values, edges, axis=-1)


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


def build(
    session: Any,
    i: int,
    signal: np.ndarray,
    result: xr.Dataset | None,
    state: dict[str, Any],
    title: str = "",
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
    result : Dataset or None
        Its explanation; None where everything of the network is hidden.
    state : dict
        ``shown``, ``fade``, ``truth``, ``names`` and ``limit`` of the page.
    title : str
        Printed on the sheet instead of the record's name.
    """
    name, classes, labelled = session.names[i], session.model.classes, session.known(i)
    about: dict[str, Any] = {
        "id": name,
        "name": title or name,
        "leads": tuple(session.leads),
        "rate": session.rate,
        "signal": signal,
        "length": session.length(i),
        "title": session.population.title,
        "flag": session.flag(i),
        "synthetic": bool(session.population.samples.attrs.get("synthetic")) and i < session.population.n,
        "text": f"Record {name}.",
    }
    present = session.present(i)
    if present is not None:
        about["present"] = tuple(bool(p) for p in present)
    if state["truth"] and labelled:
        target = -1 if result is None else int(result["target_class"].values[0, 0])
        evidence = session.evidence(i, target)
        word = classes[target] if len(labelled) > 1 and target in labelled else ""
        if evidence is not None:
            about["truth"] = worded(ecg_record.intervals(evidence, session.rate), word)
    if result is None:
        return Record(**about)
    names = names_of(result, state["names"])
    about["text"] = sentence(result, classes, labelled, title or name, names)
    cluster = result["cluster"].values[0]
    step = signal.shape[1] / session.rate / len(cluster)
    if state["shown"] != "nothing":
        about |= {"cluster": cluster, "step": step, "names": tuple(names)}
        if state["fade"] != "nothing":
            kind = (
                "ensemble_entropy"
                if state["fade"] == "ensemble" and "ensemble_entropy" in result
                else "entropy"
            )
            about["entropy"] = np.clip(result[kind].values[0], 0, 1)
    target = classes[int(result["target_class"].values[0, 0])]
    if state["shown"] == "contribution":
        about |= {"contribution": result["time_contribution"].values[0, 0], "contribution_step": step}
    elif state["shown"] == "attribution" and "attribution" in result:
        map_ = result["attribution"].values[0]
        about |= {
            "contribution": binned(map_, STRIP),
            "contribution_step": signal.shape[1] / session.rate / STRIP,
            "totals": tuple(float(v) for v in map_.sum(1)),
        }
    if "contribution" in about:
        about |= {"target": target, "limit": state.get("limit")}
    return Record(**about)
