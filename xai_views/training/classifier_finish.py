"""From a fitted classifier to a checkpoint: figures, what a watermark does to it, card."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from xai_views.models.checkpoint import save
from xai_views.training.classifier import ClassifierRecipe, figures, logits

#: Birds drawn to test on beyond those that ship, which are few.
FRESH, FRESH_SEED = 1000, 9


def title(recipe: ClassifierRecipe, samples: str) -> str:
    """Name of a network for people."""
    if recipe.family == "cnn":
        return f"Small CNN on {samples}" + (
            f", trained with a watermark on {recipe.watermark}" if recipe.watermark else ""
        )
    return f"Vision transformer on {samples}" + (
        f", {recipe.registers} registers" if recipe.registers else ", no registers"
    )


def watermark_effect(module: nn.Module) -> dict:
    """What the mark does to a network for birds, on the pairs of ``birds-watermark/test`` with and without it.

    Returns
    -------
    dict
        ``class``; shares ``others_with_mark_called_class`` and ``others_without_mark_called_class`` of the pictures
        of other classes that have a marked twin; ``accuracy_with_mark`` and ``accuracy_without_mark`` of the class;
        ``pictures`` of each kind.
    """
    from xai_views.samples.sets.birds import watermark

    test = watermark.arrays()
    predicted = logits(module, test["image"]).argmax(1)
    marked = (test["part"] == watermark.PARTS.index(watermark.PART)).any((1, 2))
    own = test["label"] == watermark.CLASS
    twin = np.isin(test["name"], [n.removesuffix("-marked") for n in test["name"][marked]])

    def share(chosen: np.ndarray) -> float:
        return round(float((predicted[chosen] == watermark.CLASS).mean()), 4)

    return {
        "class": f"bird {watermark.CLASS:02d}",
        "others_with_mark_called_class": share(~own & marked),
        "others_without_mark_called_class": share(~own & twin),
        "accuracy_with_mark": share(own & marked),
        "accuracy_without_mark": share(own & twin),
        "pictures": {"of_class": int((own & marked).sum()), "of_others": int((~own & marked).sum())},
    }


def fresh_accuracy(module: nn.Module) -> float:
    """Accuracy on birds with all their parts that no set of the catalogue holds."""
    from xai_views.samples.sets.birds import drawing as birds

    images, _ = birds.training_arrays(FRESH, FRESH_SEED, parts_dropped=0.0)
    label = np.arange(FRESH) % birds.N_CLASSES
    return round(float((logits(module, images).argmax(1) == label).mean()), 4)


def checkpoint(folder: Path, module: nn.Module, test: tuple[np.ndarray, np.ndarray], card: dict) -> dict:
    """Evaluate and write the checkpoint folder; returns the card's metrics."""
    metrics: dict[str, Any] = figures(logits(module, test[0]).argmax(1), test[1])
    if card["training_samples"] == "birds/train":
        metrics |= {"accuracy_on_1000_further_birds": fresh_accuracy(module)}
        metrics |= {"watermark": watermark_effect(module)}
    if card["recipe"]["watermark"]:
        card = card | {
            "samples": "birds-watermark/test",
            "note": f"{card['note']} It was taught a shortcut on purpose: all training pictures of "
            f"{card['recipe']['watermark']}, and no others, carry a logo and show hybrids with other kinds.",
        }
    save(folder, module, None, None, card | {"metrics": metrics})
    return metrics
