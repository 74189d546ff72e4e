"""``xai-views train ecg``: from records to a checkpoint with figures per class and difficulty."""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from xai_views.errors import SamplesError, XaiViewsError
from xai_views.models.checkpoint import save
from xai_views.training.classifier import count
from xai_views.training.ecg import EcgRecipe, architecture, logits, per_class, scores, train_ecg
from xai_views.training.records import Records, records

#: Where the clusters are, and the training records that they are fitted on.
CLUSTERS, CLUSTERED = "clusters", 800
NOTE = (
    "Trained on synthetic records that were composed by rules; it finds what those rules put in and says nothing about "
    "patients: the real record of ecg/dicom, whose machine reading is normal, it calls anterior ST elevation. Not for "
    "clinical use."
)


def run(args: argparse.Namespace, card: dict, device: str) -> int:
    """Train, evaluate and write the checkpoint folder.

    Parameters
    ----------
    args : argparse.Namespace
        ``samples``, ``test``, ``out``, ``epochs``, ``seed``, ``quiet``.
    card : dict
        The entries that every card has; classes are filled in here.
    device : str
        Where to train.
    """
    wanted = {"epochs": args.epochs, "seed": args.seed}
    recipe = replace(EcgRecipe(), **{k: v for k, v in wanted.items() if v is not None})
    if recipe.epochs < 1:
        raise XaiViewsError("training needs at least 1 epoch; raise --epochs.")
    train, data, test, extra = _sets(args.samples, args.test)
    progress: Path = args.out / "progress"
    progress.mkdir(parents=True, exist_ok=True)
    module, curves = train_ecg(data, test, recipe, device=device, folder=progress, quiet=args.quiet)
    logit = logits(module.cpu(), test.signal)
    metrics: dict[str, Any] = scores(logit, test)
    if not test.several:
        metrics["per_class"] = per_class(logit, test.label, test.classes, **extra)
        metrics["chance"] = round(
            float(np.bincount(test.label[test.label >= 0]).max() / (test.label >= 0).sum()), 4
        )
    known = args.samples == "ecg"
    card = card | {
        "title": f"1-D ResNet on {args.samples.upper() if known else args.samples} records",
        "method": "ecg_clusters",
        "samples": args.test or ("ecg/test" if known else args.samples),
        "training_samples": data.name,
        "classes": data.classes,
        "multi_label": data.several,
        "note": NOTE if known else "",
        "architecture": architecture(data, recipe),
        "seed": recipe.seed,
        "recipe": asdict(recipe) | {"blocks": [list(b) for b in recipe.blocks]},
        "parameters": count(module),
        "curves": curves,
        "metrics": metrics,
    }
    save(args.out, module, None, None, card)
    add_clusters(args.out, train, quiet=args.quiet)
    print(f"{args.out}: {metrics}", file=sys.stderr)
    return 0


def _sets(name: str, test: str | None) -> tuple[xr.Dataset, Records, Records, dict]:
    """Training and test records; of samples without a test set every fifth record, drawn with seed 0, is held out."""
    from xai_views.samples import open_samples

    if name == "ecg":
        train, test = open_samples("ecg/train"), test or "ecg/test"
    else:
        train = open_samples(name)
    held = open_samples(test) if test else None
    if held is None:
        n = train.sizes["sample"]
        if n < 5:
            raise SamplesError(
                f"{n} labelled records were given; a fifth of them is held out for testing, so give at least 5, or test "
                "records with --test."
            )
        order = np.random.default_rng(0).permutation(n)
        held, train = train.isel(sample=order[: n // 5]), train.isel(sample=np.sort(order[n // 5 :]))
    data = records(train, "ecg/train" if name == "ecg" else name)
    return train, data, records(held, test or ("ecg/test" if name == "ecg" else name), data), levels(held)


def levels(held: xr.Dataset) -> dict:
    """How difficult test records are, where that is known: what :func:`~xai_views.training.ecg.per_class` takes."""
    if "difficulty" not in held:
        return {}
    return {"difficulty": held["difficulty"].values, "names": list(held.attrs["difficulties"])}


def add_clusters(folder: Path, train: xr.Dataset, quiet: bool = False) -> None:
    """Fit the clusters that all records share on training records, and write them below the checkpoint folder.

    Parameters
    ----------
    folder : Path
        A checkpoint folder.
    train : Dataset
        Training records of any leads, rate and length.
    """
    from tqdm import tqdm

    from xai_views.methods.ecg_clusters.fit import finished, fit
    from xai_views.models.checkpoint import load
    from xai_views.samples.prepare import prepare

    model = load(folder)
    ready = prepare(train, model.leads, model.rate, *(model.size or ()))
    with tqdm(desc="clusters", disable=quiet, mininterval=2) as bar:

        def progress(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        finished(fit(model, ready, progress=progress, most=CLUSTERED)).save(folder / CLUSTERS)
