"""Measure which of two findings in a record a network predicts, and whether it predicts the other without the first.

    python benchmarks/ecg_mixed.py [--model ecg-resnet] [--json FILE]

Uses the 51 records of ``ecg/mixed`` that carry two findings. "The other" is the finding that the network did not predict.
Evidence is removed in two ways: it is silenced (replaced by straight lines, as in the ECG app), or the same record is composed
without the finding. Only records with one of the two findings as the prediction are tested in this way.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr

from xai_views import open_model, open_samples
from xai_views.methods.ecg_clusters.edits import edited
from xai_views.samples import inputs, signal_dataset
from xai_views.samples.prepare import prepare
from xai_views.samples.sets.ecg.composing import CLASSES
from xai_views.samples.sets.ecg.mixed import RECORDS, without
from xai_views.samples.signals import LEADS
from xai_views.views.ecg_paper.record import intervals

BATCH = 16
#: Metric -> row label, and the result of predicting classes at random.
FIGURES = {
    "one": ("the predicted class is one of the two findings", 2 / 5),
    "first": ("it is the first finding of the pair", 1 / 5),
    "both": ("the top two classes are the two findings", 1 / 10),
    "other, silenced": ("predicted finding silenced: predicts the other", 1 / 5),
    "kept, silenced": ("predicted finding silenced: still predicts it", 1 / 5),
    "other, control": ("other finding silenced: predicts the other", 1 / 5),
    "other, composed": ("composed without the predicted finding: predicts the other", 1 / 5),
    "gone too": ("share of the other's evidence that is silenced as well", None),
}


def answers(model: Any, signal: np.ndarray) -> np.ndarray:
    """Return the logits ``[n, class]`` of prepared records ``[n, lead, time]``."""
    with torch.no_grad():
        parts = [
            model.module(model.tensor(signal[a : a + BATCH])).float().cpu()
            for a in range(0, len(signal), BATCH)
        ]
    return torch.cat(parts).numpy()


def silenced(signal: np.ndarray, mask: np.ndarray, rate: float, length: int) -> np.ndarray:
    """Replace a mask ``[lead, time]`` of evidence by straight lines."""
    edits = [
        {"kind": "silence", "lead": t.lead, "start": t.start, "stop": t.stop} for t in intervals(mask, rate)
    ]
    return edited(signal, edits, rate, length)


def composed_without(model: Any, rows: list[int], named: np.ndarray) -> np.ndarray:
    """Return prepared records ``[n, lead, time]``, each composed without one class."""
    made = [without(i, CLASSES[c]) for i, c in zip(rows, named, strict=True)]
    records = signal_dataset(np.stack([r.signal for r in made]), 400, LEADS)
    return inputs(prepare(records, model.leads, model.rate, model.size[0]), slice(None))


def measure(model: Any, samples: xr.Dataset) -> dict[str, dict[str, list[float]]]:
    """Measure all metrics of the records with two findings.

    Parameters
    ----------
    model : Model
        A model with the classes of ``ecg/mixed``.
    samples : Dataset
        ``ecg/mixed``.

    Returns
    -------
    dict
        Pair of classes -> metric -> one value for each record that has it.
    """
    rows = [i for i, (classes, _) in enumerate(RECORDS) if len(classes) == 2]
    records = prepare(samples.isel(sample=rows), model.leads, model.rate, model.size[0]).load()
    signal, label = inputs(records, slice(None)), records["label"].values.astype(bool)
    mask, length = records["class_mask"].values, records["length"].values
    order = np.argsort(-answers(model, signal), axis=1, kind="stable")
    figures: list[dict[str, float]] = [
        {
            "one": float(own[first[0]]),
            "first": float(own.argmax() == first[0]),
            "both": float(own[first[:2]].all()),
        }
        for own, first in zip(label, order, strict=True)
    ]
    asked = np.flatnonzero(label[np.arange(len(rows)), order[:, 0]])
    named = order[asked, 0]
    other = np.array(
        [next(c for c in np.flatnonzero(label[i]) if c != n) for i, n in zip(asked, named, strict=True)]
    )

    def after(which: np.ndarray) -> np.ndarray:
        gone = [
            silenced(signal[i], mask[i, c], model.rate, int(length[i]))
            for i, c in zip(asked, which, strict=True)
        ]
        return answers(model, np.stack(gone)).argmax(1)

    one_gone, other_gone = after(named), after(other)
    composed = answers(model, composed_without(model, [rows[i] for i in asked], named)).argmax(1)
    for k, i in enumerate(asked):
        both = mask[i, named[k]] & mask[i, other[k]]
        figures[i] |= {
            "other, silenced": float(one_gone[k] == other[k]),
            "kept, silenced": float(one_gone[k] == named[k]),
            f"kept, {CLASSES[named[k]]}": float(one_gone[k] == named[k]),
            "other, control": float(other_gone[k] == other[k]),
            "other, composed": float(composed[k] == other[k]),
            "gone too": float(both.sum() / mask[i, other[k]].sum()),
        }
    out: dict[str, dict[str, list[float]]] = {}
    for i, own in zip(rows, figures, strict=True):
        pair = " + ".join(c for c in CLASSES if c in RECORDS[i][0])
        for name, value in own.items():
            out.setdefault(pair, {}).setdefault(name, []).append(value)
    return out


def table(measured: dict[str, dict[str, list[float]]]) -> str:
    """Return the metrics as a Markdown table: share and number of records, by pair and for all."""
    everything = {name: [v for own in measured.values() for v in own.get(name, [])] for name in FIGURES}
    columns = {"all": everything, **measured}
    lines = [f"| share of records | chance | {' | '.join(columns)} |", "|---" * (len(columns) + 2) + "|"]
    for name, (text, chance) in FIGURES.items():
        cells = [
            f"{np.mean(own[name]):.2f} ({len(own[name])})" if own.get(name) else ""
            for own in columns.values()
        ]
        lines.append(f"| {text} | {'' if chance is None else f'{chance:g}'} | {' | '.join(cells)} |")
    return "\n".join(lines)


def stubborn(measured: dict[str, dict[str, list[float]]]) -> str:
    """Return in how many records each class is still predicted after its own evidence was silenced."""
    parts = []
    for c in CLASSES[1:]:
        kept = [v for own in measured.values() for v in own.get(f"kept, {c}", [])]
        parts.append(f"{c} {sum(kept):.0f} of {len(kept)}")
    return "silenced and still predicted: " + ", ".join(parts)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="ecg-resnet", help="a model with the classes of ecg/mixed")
    parser.add_argument("--json", type=Path, help="file for the results")
    options = parser.parse_args()
    torch.set_num_threads(1)
    model, samples = open_model(options.model), open_samples("ecg/mixed")
    measured = measure(model, samples)
    print(f"{options.model}, records of ecg/mixed with two findings; number of records in brackets\n")
    print(table(measured))
    print(f"\n{stubborn(measured)}")
    if options.json:
        options.json.write_text(json.dumps(measured, indent=2), encoding="utf-8")


if __name__ == "__main__":
    main()
