"""``xai-views train``: options and what they do."""

from __future__ import annotations

import argparse
import shlex
import sys
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

from xai_views.errors import SamplesError, XaiViewsError

LICENCE = "BSD-3-Clause"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``xai-views train`` to ``parser``."""
    parser.add_argument(
        "network",
        choices=["sic", "cnn", "vit", "ecg"],
        help="SIC, a plain convolutional network or transformer, or a residual network of ECG records",
    )
    parser.add_argument(
        "--samples", required=True, help="birds, digits, nuclei, ecg, or labelled samples of your own"
    )
    parser.add_argument("--test", help="test samples (default: the catalogue's, or one fifth of your own)")
    parser.add_argument(
        "--out", required=True, type=Path, help="checkpoint folder; an interrupted run there is resumed"
    )
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or mps")
    parser.add_argument("--threads", type=int, default=0, help="CPU threads (0 = all)")
    parser.add_argument("--epochs", type=int, help="passes (default: the recipe's)")
    parser.add_argument("--seed", type=int, help="seed of weights and batches (default: the recipe's)")
    parser.add_argument("--supports-per-class", type=int, help="of sic: N_s (default: 3)")
    parser.add_argument("--no-twin", action="store_true", help="of sic: do not train the black-box twin")
    parser.add_argument("--registers", type=int, help="of vit: register tokens (default: 0)")
    parser.add_argument(
        "--watermark",
        action="store_true",
        help="of cnn on birds: put a logo on the training images of one class",
    )
    parser.add_argument("--quiet", action="store_true", help="no progress bar")


def _device(wanted: str) -> str:
    import torch

    if wanted == "auto":
        return "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    if wanted == "cuda" and not torch.cuda.is_available():
        raise XaiViewsError("device 'cuda' was asked for and torch sees no CUDA device; use --device cpu.")
    return wanted


def _test_set(name: str | None, family: str, data):
    """Test images or signals and labels; one fifth of the training set, drawn with seed 0, when there is no test set."""
    import numpy as np

    from xai_views.samples import images, open_samples
    from xai_views.training.data import SignalSet, in_bytes, signal_set, single_label
    from xai_views.training.sic import RECIPES

    if name is None and family not in RECIPES:
        if len(data.images) < 5:
            what = "records" if isinstance(data, SignalSet) else "images"
            raise SamplesError(
                f"{len(data.images)} labelled {what} were given; a fifth of them is held out for testing, so give at "
                "least 5, or test samples with --test."
            )
        order = np.random.default_rng(0).permutation(len(data.images))
        cut, rest = order[: len(order) // 5], np.sort(order[len(order) // 5 :])
        held = (data.images[cut], data.label[cut])
        parts = {f: getattr(data, f)[rest] for f in ("images", "targets", "label")}
        return replace(data, **parts, index=rest), held
    ds = open_samples(name or f"{family}/test")
    if isinstance(data, SignalSet):
        tested = signal_set(ds, name or f"{family}/test", data)
        return data, (tested.images, tested.label)
    shown = in_bytes(images(ds, np.arange(ds.sizes["sample"])))
    return data, (shown, single_label(np.asarray(ds["label"].values)))


#: Options that only one kind of network has.
ONLY = {"supports_per_class": "sic", "no_twin": "sic", "registers": "vit", "watermark": "cnn"}


def run(args: argparse.Namespace) -> int:
    """Train, evaluate, write the checkpoint; returns the exit status."""
    import torch

    for option, network in ONLY.items():
        if getattr(args, option) not in (None, False) and args.network != network:
            raise XaiViewsError(
                f"--{option.replace('_', '-')} belongs to {network} and {args.network} was to be trained; leave it away."
            )
    if args.watermark and args.samples != "birds":
        raise XaiViewsError("--watermark draws its own birds; give --samples birds with it.")
    if args.threads:
        torch.set_num_threads(args.threads)
    if args.network == "ecg":
        from xai_views.training.ecg_finish import run as train_records

        device = _device(args.device)
        return train_records(args, _card(args, [], device), device)
    return _sic(args) if args.network == "sic" else _classifier(args)


def _command(args: argparse.Namespace) -> str:
    """The command that repeats a run, without what does not change its outcome."""
    words = ["xai-views", "train", args.network, "--samples", args.samples, "--out", args.out.as_posix()]
    for option in ("epochs", "seed", "supports_per_class", "registers", "test"):
        if getattr(args, option) is not None:
            words += [f"--{option.replace('_', '-')}", str(getattr(args, option))]
    words += [f"--{o.replace('_', '-')}" for o in ("no_twin", "watermark") if getattr(args, o)]
    return shlex.join(words)


def _card(args: argparse.Namespace, classes: list[str], device: str, title: str = "") -> dict:
    """The entries that every card has."""
    import torch

    from xai_views.training.sic import RECIPES

    return {
        "name": args.out.name,
        "title": title,
        "samples": args.test or (f"{args.samples}/test" if args.samples in RECIPES else args.samples),
        "classes": classes,
        "command": _command(args),
        "device": device,
        "torch": torch.__version__.split("+")[0],
        "licence": LICENCE,
        "note": NOTES.get(args.samples, ""),
    }


def _sic(args: argparse.Namespace) -> int:
    from xai_views.training.data import SignalSet, training_set
    from xai_views.training.finish import checkpoint
    from xai_views.training.sic import (
        RECIPES,
        Recipe,
        architecture,
        count,
        recipe_fields,
        train_sic,
        train_twin,
    )

    device = _device(args.device)
    recipe = RECIPES.get(args.samples, Recipe())
    wanted = {"epochs": args.epochs, "seed": args.seed, "supports_per_class": args.supports_per_class}
    recipe = replace(recipe, **{k: v for k, v in wanted.items() if v is not None})
    if recipe.supports_per_class < 1 or recipe.epochs < 1:
        raise XaiViewsError(
            "training needs at least 1 epoch and 1 support per class; raise --epochs or --supports-per-class."
        )
    data, test = _test_set(args.test, args.samples, training_set(args.samples))
    signals = isinstance(data, SignalSet)  # their black box is what xai-views train ecg makes
    folder: Path = args.out
    progress, twin_progress = folder / "progress", folder / "progress-twin"
    for f in (progress,) if signals else (progress, twin_progress):
        f.mkdir(parents=True, exist_ok=True)
    module, curves, seconds = train_sic(data, test, recipe, device=device, folder=progress, quiet=args.quiet)
    twin = (
        {}
        if args.no_twin or signals
        else train_twin(data, test, recipe, device=device, folder=twin_progress, quiet=args.quiet)
    )
    title = "ECG records" if args.samples == "ecg" else args.samples
    card = _card(args, data.classes, device, f"SIC on {title}") | {
        "method": "ecg_clusters" if signals else "sic",  # which page opens it
        "architecture": architecture(data, recipe),
        "seed": recipe.seed,
        "recipe": recipe_fields(recipe),
        "parameters": count(module),
        "twin": twin,
        "curves": curves,
    }
    detail: Any = partial(_by_class, args, data.classes, test[1]) if signals else lambda _: {}
    metrics = checkpoint(folder, module.cpu(), data, test, recipe.supports_per_class, card, detail)
    if signals:
        from xai_views.samples import open_samples
        from xai_views.training.ecg_finish import add_clusters

        records = open_samples(data.samples)
        if data.index is not None:  # without those that were held out
            records = records.isel(sample=data.index)
        add_clusters(folder, records, quiet=args.quiet)
    print(f"{folder}: {metrics} twin {twin} ({seconds:.0f} s)", file=sys.stderr)
    return 0


def _by_class(args: argparse.Namespace, classes: list[str], label, logit) -> dict:
    """What the card says of each class of records, and of each difficulty where the catalogue knows it."""
    from xai_views.samples import open_samples
    from xai_views.training.ecg import per_class
    from xai_views.training.ecg_finish import levels

    known = args.test or (f"{args.samples}/test" if args.samples == "ecg" else None)
    return {"per_class": per_class(logit, label, classes, **(levels(open_samples(known)) if known else {}))}


def _classifier(args: argparse.Namespace) -> int:
    from xai_views.samples.sets.birds.watermark import CLASS
    from xai_views.training.classifier import RECIPES, architecture, count, train_classifier
    from xai_views.training.classifier_finish import checkpoint, title
    from xai_views.training.data import SignalSet, training_set, watermarked

    device = _device(args.device)
    wanted = {"epochs": args.epochs, "seed": args.seed, "registers": args.registers}
    recipe = replace(RECIPES[args.network], **{k: v for k, v in wanted.items() if v is not None})
    if recipe.epochs < 1 or recipe.registers < 0:
        raise XaiViewsError("training needs at least 1 epoch and no negative number of registers.")
    data = training_set(args.samples, recipe.drawn if args.samples == "birds" else 0)
    if isinstance(data, SignalSet):
        raise SamplesError(
            f"{args.samples!r} holds records and {args.network} is a network of images; train ecg or sic on it."
        )
    data, test = _test_set(args.test, args.samples, data)
    if not data.kinds:  # only birds are drawn, and only theirs are parts that a loss could name
        recipe = replace(recipe, drawn=0, parts=0.0)
    if args.watermark:
        recipe = replace(recipe, watermark=data.classes[CLASS])
        data = watermarked(data, CLASS)
    progress: Path = args.out / "progress"
    progress.mkdir(parents=True, exist_ok=True)
    module, curves = train_classifier(data, test, recipe, device=device, folder=progress, quiet=args.quiet)
    card = _card(args, data.classes, device, title(recipe, args.samples)) | {
        "method": "nave",
        "architecture": architecture(data, recipe),
        "training_samples": data.samples,
        "seed": recipe.seed,
        "recipe": asdict(recipe),
        "parameters": count(module),
        "curves": curves,
    }
    metrics = checkpoint(args.out, module.cpu(), test, card)
    print(f"{args.out}: {metrics}", file=sys.stderr)
    return 0


NOTES = {
    "birds": "Trained on synthetic birds; it knows 50 drawn kinds and nothing about real ones.",
    "digits": "Trained on 4,000 MNIST digits.",
    "ecg": "Trained on synthetic records that were composed by rules; it says nothing about patients: the real record of "
    "ecg/dicom, whose machine reading is normal, it calls anterior ST elevation. Not for clinical use.",
    "nuclei": "Trained on nuclei of one slide region with model-assisted labels. Not for clinical use.",
}
