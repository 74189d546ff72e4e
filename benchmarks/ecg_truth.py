"""Compare explanations of ECG records with the known place of the evidence, with chance and with amplitude.

    python benchmarks/ecg_truth.py [--model ecg-sic] [--quick] [--records 30] [--draws 5] [--json FILE]

The records of ``ecg/test`` were composed by rules, so ``mask [lead, time]`` is the known place of the evidence of each class.
The labelled class of every record is explained with the shipped ``ecg-resnet`` (or ``ecg-sic``), whatever it predicts. The
'amplitude' rows use no network: the distance of the signal from the median of its lead replaces the explanation.
"""

from __future__ import annotations

import argparse
import json
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr
from sklearn.metrics import roc_auc_score

from xai_views import open_model, open_samples
from xai_views.contract.ask import Ask
from xai_views.methods.ecg_clusters.attribution import OWN, has_own
from xai_views.methods.ecg_clusters.edits import edited
from xai_views.methods.ecg_clusters.fit import Fitted
from xai_views.methods.ecg_clusters.fit import shipped as clusters_of
from xai_views.methods.ecg_clusters.method import EcgClustersMethod
from xai_views.methods.ecg_clusters.receptive import receptive_field
from xai_views.methods.explaining import observed_whole
from xai_views.samples import inputs
from xai_views.samples.prepare import prepare

MODEL, SAMPLES, BATCH = "ecg-resnet", "ecg/test", 16
#: Attributions whose magnitude is compared with the mask.
ATTRIBUTIONS = ("gradient x input", "integrated gradients")
#: Random places; the one where silencing changes the signal most similarly to the evidence is used.
TRIED = 24
#: Metric -> row label, and chance level.
FIGURES = {
    "time": ("(a) AUROC over steps: contribution of the step", 0.5),
    "time, amplitude": ("    same metric: amplitude", 0.5),
    "cluster": ("(b) AUROC over steps: contribution per time of its cluster", 0.5),
    **{f"lead, {a}": (f"(c) AUROC over leads: {a}", 0.5) for a in (*ATTRIBUTIONS, OWN)},
    "lead, amplitude": ("    same metric: amplitude", 0.5),
    **{
        f"inside, {a}": (f"(d) share of attribution in the mask / share of the record in it: {a}", 1.0)
        for a in (*ATTRIBUTIONS, OWN)
    },
    "inside, amplitude": ("    same metric: amplitude", 1.0),
    "wins": ("(e) silencing the evidence lowers the logit more than silencing elsewhere", 0.5),
    "fall": ("    decrease of the logit, evidence silenced", 0.0),
    "fall elsewhere": ("    decrease of the logit, silenced elsewhere", 0.0),
    "moved": ("    change of the signal, evidence / elsewhere", 1.0),
    "silenced": ("    share of the evidence that was silenced", None),
    "alike wins": ("    more than at places with a similar change of the signal", 0.5),
    "alike fall elsewhere": ("    decrease of the logit, silenced there", 0.0),
    "alike moved": ("    change of the signal, evidence / there", 1.0),
    "lead wins": ("    muting the leads of the evidence lowers it more than muting others", 0.5),
    "lead fall": ("    decrease of the logit, leads of the evidence muted", 0.0),
    "lead fall elsewhere": ("    decrease of the logit, as many other leads muted", 0.0),
}


@dataclass
class Setting:
    """The network, its codebook, the records prepared for it, and the rows to measure."""

    model: Any
    fitted: Fitted
    records: xr.Dataset
    rows: np.ndarray

    @property
    def method(self) -> Any:
        return EcgClustersMethod()

    def label(self, i: int) -> int:
        return int(self.records["label"].values[i])

    def length(self, i: int) -> int:
        return int(self.records["length"].values[i]) if "length" in self.records else self.model.size[0]

    def mask(self, i: int) -> np.ndarray:
        """Return the ground truth of the evidence, ``[lead, steps that are signal]``."""
        return self.records["mask"].values[i, :, : self.length(i)]

    def ask(self, i: int, **more: Any) -> Ask:
        """Return the request that explains the labelled class of a record."""
        common = {"mode": "codebook", "length": self.length(i), "targets": [self.label(i)]}
        return self.method.ask(**common, **more)


def shipped(most: int = 30, name: str = MODEL) -> Setting:
    """Open the shipped model and samples, with at most ``most`` records of each class that has evidence."""
    model, samples = open_model(name), open_samples(SAMPLES)
    label = samples["label"].values
    evident = samples["mask"].values.any((1, 2))
    wanted = np.concatenate(
        [np.flatnonzero((label == c) & evident)[:most] for c in range(len(model.classes))]
    )
    records = prepare(samples.isel(sample=wanted), model.leads, model.rate, model.size[0])
    return Setting(model, clusters_of(model), records, np.arange(len(wanted)))


def explained(setting: Setting, rows: np.ndarray, attribution: str) -> Iterator[tuple[int, xr.Dataset]]:
    """Yield each record with its explanation."""
    for at in range(0, len(rows), BATCH):
        some = rows[at : at + BATCH]
        asks = [setting.ask(i, attribution=attribution) for i in some]
        signals, none = inputs(setting.records, some), [None] * len(some)
        seen = observed_whole(setting.method.observe(setting.model, signals, asks, none))
        for i, observation, ask in zip(some, seen, asks, strict=True):
            yield int(i), setting.method.interpret(setting.model, observation, ask)


def auroc(truth: np.ndarray, score: np.ndarray) -> float:
    """Return the area under the ROC curve; NaN if the ground truth has only one value."""
    return float(roc_auc_score(truth, score)) if 0 < truth.sum() < truth.size else float("nan")


def amplitude(signal: np.ndarray) -> np.ndarray:
    """Return the distance ``[lead, time]`` of a signal from the median of each lead, in mV."""
    return np.abs(signal - np.median(signal, axis=1, keepdims=True))


def cells(values: np.ndarray, count: int) -> np.ndarray:
    """Return the means ``[count]`` of ``values [T]`` over the input steps under each step of the network."""
    return values.reshape(count, -1).mean(1)


def where(setting: Setting, i: int, result: xr.Dataset, attribution: str) -> dict[str, float]:
    """Compare one explanation with the mask of its record: metrics (a) to (d)."""
    mask, length = setting.mask(i), setting.length(i)
    spread = np.abs(result["attribution"].values[0, :, :length])
    out = {
        f"lead, {attribution}": auroc(mask.any(1), spread.sum(1)),
        f"inside, {attribution}": float(spread[mask].sum() / spread.sum() / mask.mean()),
    }
    if attribution != ATTRIBUTIONS[0]:
        return out  # the rest does not depend on the attribution
    signal = amplitude(inputs(setting.records, [i])[0, :, :length])
    out["lead, amplitude"] = auroc(mask.any(1), signal.sum(1))
    out["inside, amplitude"] = float(signal[mask].sum() / signal.sum() / mask.mean())
    cluster = result["cluster"].values[0]
    count, inside = len(cluster), cluster >= 0
    steps = setting.model.size[0]
    whole = np.zeros((2, steps))
    whole[:, :length] = mask.any(0), signal.sum(0)
    truth, loud = cells(whole[0], count)[inside] > 0.5, cells(whole[1], count)[inside]
    density = result["cluster_contribution"].values[0, 0] / np.maximum(
        result["proportion"].values[0], 1 / count
    )
    out["time"] = auroc(truth, result["time_contribution"].values[0, 0][inside])
    out["cluster"] = auroc(truth, density[cluster[inside]])
    out["time, amplitude"] = auroc(truth, loud)
    return out


# -- muting -----------------------------------------------------------------------------------------------------


def runs(mask: np.ndarray) -> list[tuple[int, int]]:
    """Return the first and last + 1 step of each run of a mask ``[T]``."""
    edges = np.flatnonzero(np.diff(np.concatenate(([0], mask.astype(np.int8), [0]))))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))


def pairs(
    mask: np.ndarray, rng: np.random.Generator, least: int, signal: np.ndarray | None = None
) -> list[tuple[int, int, int]]:
    """Pair each run of evidence with a stretch of the same length outside it.

    Parameters
    ----------
    mask : ndarray
        ``[T]`` bool, place of the evidence.
    rng : Generator
        Draws the places.
    least : int
        A run that fits nowhere is halved; a run shorter than this (in steps) gets no partner.
    signal : ndarray, optional
        ``[lead, T]``; if given, the partner is the one of ``TRIED`` random places where a straight line changes the signal
        most similarly to the evidence. None = a random place.

    Returns
    -------
    list of (int, int, int)
        First step of evidence, first step of the partner, steps of both. Partners neither overlap nor touch evidence.
    """
    free, found = ~mask, []
    waiting = [runs(mask)[k] for k in rng.permutation(len(runs(mask)))]
    while waiting:
        start, stop = waiting.pop(0)
        size = stop - start
        starts = np.concatenate([np.arange(a, b - size + 1) for a, b in runs(free)] or [np.empty(0, int)])
        if len(starts):
            tried = rng.choice(starts, 1 if signal is None else TRIED)
            if signal is not None:
                wanted = straightened(signal, start, size)
                tried = tried[[int(np.argmin([abs(straightened(signal, t, size) - wanted) for t in tried]))]]
            at = int(tried[0])
            free[at : at + size] = False
            found.append((start, at, size))
        elif size >= 2 * least:
            middle = start + size // 2
            waiting += [(start, middle), (middle, stop)]
    return found


def straightened(signal: np.ndarray, start: int, size: int) -> float:
    """Return how far a straight line in place of some steps moves ``signal [lead, T]``: root of the sum of squares, in mV."""
    piece = signal[:, start : start + size]
    return float(np.linalg.norm(piece - np.linspace(piece[:, 0], piece[:, -1], size, axis=1)))


def logits(setting: Setting, wishes: list[tuple[int, list]]) -> np.ndarray:
    """Return the logit of the labelled class of records with edits, ``[wish]``, computed as on the page."""
    out = []
    for at in range(0, len(wishes), BATCH):
        some = wishes[at : at + BATCH]
        asks = [setting.ask(i, edits=edits) for i, edits in some]
        signals = inputs(setting.records, [i for i, _ in some])
        seen = setting.method.observe(setting.model, signals, asks, [None] * len(some))
        out += [
            next(iter(o.variants.values())).logit[setting.label(i)]
            for (i, _), o in zip(some, seen, strict=True)
        ]
    return np.array(out)


def change(setting: Setting, i: int, edits: list[dict]) -> float:
    """Return how far edits move a record: square root of the sum of squares, in mV."""
    signal = inputs(setting.records, [i])[0]
    return float(np.linalg.norm(edited(signal, edits, setting.model.rate, setting.length(i)) - signal))


def silence(lead: int, start: float, stop: float) -> dict:
    """Return the edit that replaces an interval by a straight line."""
    return {"kind": "silence", "lead": lead, "start": start, "stop": stop}


def changes(
    setting: Setting, i: int, rng: np.random.Generator
) -> Iterator[tuple[str, list, list, dict[str, float]]]:
    """Yield edits of the evidence and comparable edits elsewhere: kind, both, and values of the pair."""
    mask, rate = setting.mask(i), setting.model.rate
    own = np.flatnonzero(mask.any(1))
    others = np.setdiff1d(np.arange(len(mask)), own)
    signal = inputs(setting.records, [i])[0][own]
    for kind, like in (("", None), ("alike ", signal)):
        found = pairs(mask.any(0), rng, round(0.04 * rate), like)
        if not found:
            continue
        here, there = (
            [silence(int(k), p[s] / rate, (p[s] + p[2]) / rate) for k in own for p in found] for s in (0, 1)
        )
        more = {
            f"{kind}silenced": sum(p[2] for p in found) / mask.any(0).sum(),
            f"{kind}moved": change(setting, i, here) / change(setting, i, there),
        }
        yield kind, here, there, more
    if len(others) >= len(own):
        chosen = rng.choice(others, len(own), replace=False)
        here, there = ([{"kind": "mute", "lead": int(k)} for k in group] for group in (own, chosen))
        yield "lead ", here, there, {}


def silenced(setting: Setting, draws: int, seed: int = 0) -> dict[int, dict[str, float]]:
    """Silence the evidence, and as much of the same leads elsewhere; mute its leads, and as many others.

    Returns
    -------
    dict
        By record, means over ``draws``: metrics (e).
    """
    rng = np.random.default_rng(seed)
    rows = [int(i) for i in setting.rows]
    drawn = [(i, *one) for i in rows for _ in range(draws) for one in changes(setting, i, rng)]
    before = dict(zip(rows, logits(setting, [(i, []) for i in rows]), strict=True))
    after = logits(setting, [(i, edits) for i, _, here, there, _ in drawn for edits in (here, there)])
    figures: dict[int, dict[str, list[float]]] = {i: {} for i in rows}
    for (i, kind, _, _, more), (here, there) in zip(drawn, after.reshape(-1, 2), strict=True):
        wins = 0.5 if here == there else float(here < there)
        said = {
            f"{kind}wins": wins,
            f"{kind}fall": before[i] - here,
            f"{kind}fall elsewhere": before[i] - there,
        }
        for name, value in {**said, **more}.items():
            figures[i].setdefault(name, []).append(float(value))
    return {i: {name: float(np.mean(v)) for name, v in own.items()} for i, own in figures.items()}


# -- together ---------------------------------------------------------------------------------------------------


def measure(
    setting: Setting, attributions: tuple[str, ...] = ATTRIBUTIONS, draws: int = 5
) -> dict[str, dict[str, dict[str, float]]]:
    """Measure all metrics.

    Returns
    -------
    dict
        Class -> metric -> ``mean``, ``error`` (standard error over the records) and ``n``. A metric that a class does not
        have (leads, if the evidence is in all of them) is left out.
    """
    found: dict[int, dict[str, float]] = {int(i): {} for i in setting.rows}
    for name in attributions:
        for i, result in explained(setting, setting.rows, name):
            found[i] |= where(setting, i, result, name)
    for i, figures in silenced(setting, draws).items():
        found[i] |= figures
    return {
        setting.model.classes[c]: summary([found[int(i)] for i in setting.rows if setting.label(i) == c])
        for c in sorted({setting.label(i) for i in setting.rows})
    }


def summary(records: list[dict[str, float]]) -> dict[str, dict[str, float]]:
    """Return mean, standard error and number of records for each metric."""
    out = {}
    for name in FIGURES:
        values = np.array([r[name] for r in records if np.isfinite(r.get(name, np.nan))])
        if len(values):
            error = float(values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else float("nan")
            out[name] = {"mean": float(values.mean()), "error": error, "n": len(values)}
    return out


def table(measured: dict[str, dict[str, dict[str, float]]]) -> str:
    """Return the metrics as a Markdown table: mean, standard error and chance."""
    lines = [f"| metric | chance | {' | '.join(measured)} |", "|---" * (len(measured) + 2) + "|"]
    for name, (text, chance) in FIGURES.items():
        own = [m.get(name) for m in measured.values()]
        if any(own):
            said = [f"{f['mean']:.2f} ± {f['error']:.2f}" if f else "" for f in own]
            lines.append(
                f"| {text.strip()} | {'' if chance is None else f'{chance:g}'} | {' | '.join(said)} |"
            )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    whole = partial(parser.add_argument, type=int)
    parser.add_argument("--model", default=MODEL, help="a shipped ECG model with clusters")
    whole("--records", default=30, help="maximum per class")
    whole("--draws", default=5, help="random places to silence per record")
    parser.add_argument(
        "--quick", action="store_true", help="4 records of each class, no integrated gradients"
    )
    parser.add_argument("--json", type=Path, help="file for the results")
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore", category=UserWarning)
    quick = (4, ATTRIBUTIONS[:1], 2)
    most, attributions, draws = quick if options.quick else (options.records, ATTRIBUTIONS, options.draws)
    setting = shipped(most, options.model)
    attributions = (*attributions, OWN) if has_own(setting.model) else attributions
    measured = measure(setting, attributions, draws)
    seen = receptive_field(setting.model, setting.fitted.book.taps[-1])
    print(
        f"{len(setting.rows)} records of {SAMPLES}, {options.model}, {draws} draws; mean ± standard error over records"
    )
    print(
        f"a step of the last map sees {seen.seconds:.1f} s and covers {seen.cell / setting.model.rate:.2f} s\n"
    )
    print(table(measured))
    if options.json:
        options.json.write_text(json.dumps(measured, indent=2), encoding="utf-8")


if __name__ == "__main__":
    main()
