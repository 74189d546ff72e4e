"""Run a recipe: from the name of samples to a checkpoint folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from xai_views import catalogue
from xai_views.errors import XaiViewsError
from xai_views.training.data import SignalSet, split, training_set
from xai_views.training.figures import count
from xai_views.training.recipe import Run, TrainingRecipe, fitted

LICENCE = "BSD-3-Clause"


def device_of(wanted: str) -> str:
    """Return the name of the device: "auto" selects the fastest available.

    Raises
    ------
    XaiViewsError
        When CUDA is requested but not available.
    """
    if wanted == "auto":
        return "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    if wanted == "cuda" and not torch.cuda.is_available():
        raise XaiViewsError("device 'cuda' is not available to torch; use --device cpu.")
    return wanted


def run(
    recipe: TrainingRecipe,
    samples: str,
    out: Path,
    *,
    test: str | None = None,
    device: str = "auto",
    quiet: bool = False,
    command: str = "",
) -> dict[str, Any]:
    """Train, evaluate and write a checkpoint folder; an interrupted run there is resumed.

    Parameters
    ----------
    recipe : TrainingRecipe
        The recipe.
    samples : str
        A family of the catalogue, or your own labelled samples.
    out : Path
        The checkpoint folder.
    test : str, optional
        Test samples; by default those of the catalogue, or one fifth of your own.
    device : str
        "auto", "cpu", "cuda" or "mps".
    quiet : bool
        Whether to hide the progress bar.
    command : str
        Command that repeats the run, for the card.

    Returns
    -------
    dict
        Metrics of the card.

    Raises
    ------
    XaiViewsError
        With a one-sentence message, before training or writing begins.
    """
    device = device_of(device)
    data = training_set(samples, getattr(recipe, "drawn", 0))
    recipe.fits(data, samples)
    data, held = split(data, test, samples)
    recipe, data = recipe.prepared(data)
    progress = out / "progress"
    progress.mkdir(parents=True, exist_ok=True)
    module, curves = fitted(recipe, data, held, device=device, folder=progress, quiet=quiet)
    known = catalogue.sets().get(data.samples)
    architecture = recipe.architecture(data)
    card = {
        "name": out.name,
        "title": recipe.title(samples),
        "kind": "signal" if isinstance(data, SignalSet) else "image",
        "family": recipe.family,
        "method": recipe.method,
        "samples": test or (f"{samples}/test" if known is not None else samples),
        "training_samples": data.samples,
        "classes": data.classes,
        "command": command,
        "device": device,
        "torch": torch.__version__.split("+")[0],
        "licence": LICENCE,
        "note": known.trained if known is not None else "",
        "architecture": architecture,
        "seed": recipe.seed,
        "recipe": recipe.values(),
        "parameters": count(module),
        "curves": curves,
    }
    return recipe.finish(Run(module.cpu(), data, held, out, card, device, quiet))
