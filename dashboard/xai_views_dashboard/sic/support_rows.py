"""Rows of support samples and candidates; edits of the support set, and their effect in words."""

from __future__ import annotations

from typing import Any

import numpy as np

from xai_views.kernel import Shared
from xai_views.methods.sic.population import nearest_training, similarities
from xai_views.methods.sic.support_sets import training_inputs
from xai_views.methods.sic.what_if import Effect
from xai_views.models.supports import Latents, Supports
from xai_views.views.plots import data_uri
from xai_views_dashboard.core.numbers import number
from xai_views_dashboard.sic.frame import support_name

NEAREST = 12
SIDE = 80  # of a thumbnail
NO_RETRAINING = "The network is unchanged; nothing is retrained."
COLUMNS = [
    {"key": "picture", "title": "", "kind": "image"},
    {"key": "support", "title": "training image"},
    {"key": "class", "title": "supports"},
    {"key": "evidence", "title": "evidence in this image", "kind": "bar", "digits": 4},
    {"key": "cosine", "title": "cosine", "kind": "number", "digits": 3},
]
CANDIDATES = [
    {"key": "picture", "title": "", "kind": "image"},
    {"key": "support", "title": "training image"},
    {"key": "class", "title": "label"},
    {"key": "cosine", "title": "cosine", "kind": "number", "digits": 3},
]
#: Thumbnails of support sets and of training images, for all visitors; by content.
_of_supports, _of_training = Shared(16), Shared(3000)


# -- rows ---------------------------------------------------------------------------------------------------------


def pair(identity: str) -> tuple[int, int]:
    """Return training position and class of a row."""
    position, _, target = identity.partition("-")
    return int(position), int(target)


def support_pictures(model: Any, supports: Supports) -> list[str]:
    """Return data URIs of the supports; on a thread."""
    key = (model.sha256, supports.key)
    return _of_supports.get(key, lambda: [data_uri(image, SIDE) for image in supports.image])


def support_rows(model: Any, supports: Supports, rows: np.ndarray, z: np.ndarray) -> list[dict[str, Any]]:
    """Return rows of supports with their evidence for a sample ``z [1, p]``."""
    pictures, (evidence, cosine) = support_pictures(model, supports), similarities(model, supports, z)
    return [
        {
            "id": f"{supports.index[r]}-{supports.label[r]}",
            "picture": pictures[r],
            "support": support_name(int(supports.index[r])),
            "class": model.classes[int(supports.label[r])],
            "evidence": float(evidence[r]),
            "cosine": float(cosine[r]),
        }
        for r in rows
    ]


def candidate_rows(
    model: Any, supports: Supports, z: np.ndarray, target: int, everything: bool
) -> list[dict[str, Any]]:
    """Return the training images nearest to ``z [1, p]`` that do not support a class yet, with cached pictures."""
    if model.latents is None:
        return []
    latents = model.latents
    rows, cosine = nearest_training(model, supports, z[0], target, everything, NEAREST)
    return with_pictures(
        model,
        [
            {
                "id": f"{latents.index[r]}-{target}",
                "support": support_name(int(latents.index[r])),
                "class": class_of(latents, r, model.classes),
                "cosine": float(c),
            }
            for r, c in zip(rows, cosine, strict=True)
        ],
    )


def with_pictures(model: Any, rows: list[dict[str, Any]], read: bool = False) -> list[dict[str, Any]]:
    """Return rows of candidates with pictures; ``read`` also those that are not cached, which may take long."""

    def picture(identity: str) -> str:
        position = pair(identity)[0]
        key = (model.sha256, position)
        return (
            _of_training.get(key, lambda: _training(model, position)) if read or key in _of_training else ""
        )

    return [{**row, "picture": picture(row["id"])} for row in rows]


def _training(model: Any, position: int) -> str:
    found = training_inputs(model, [position])
    grey = np.full(model.supports.image.shape[1:], 128, np.uint8)  # the training set is not available
    return data_uri(grey if found is None else found[0], SIDE)


def class_of(latents: Latents, row: int, classes: list[str]) -> str:
    """Return the label (or the labels) of a training image."""
    if latents.label.ndim == 2:
        return ", ".join(classes[c] for c in np.flatnonzero(latents.label[row] > 0)) or "none"
    return classes[int(latents.label[row])]


# -- edits --------------------------------------------------------------------------------------------------------


def excluding(state: Any, position: int, target: int) -> dict[str, list]:
    """Return the changes of the state that exclude a support; an added one is removed from the added ones."""
    added = [list(a) for a in state.added]
    if [position, target] in added:
        return {"added": [a for a in added if a != [position, target]]}
    return {"excluded": [*state.excluded, position]}


def adding(state: Any, own: Supports, position: int, target: int) -> dict[str, list]:
    """Return the changes of the state that add a training image; an excluded original support is no longer excluded."""
    shipped = bool(np.any((own.index == position) & (own.label == target)))
    if shipped and position in state.excluded and state.rule == "model" and not state.per_class:
        return {"excluded": [i for i in state.excluded if i != position]}
    return {"added": [*state.added, [position, target]]}


def effect_words(effect: Effect, classes: list[str]) -> str:
    """Describe the effect of an edited support set."""
    said = [f"Support samples {effect.supports.before} → {effect.supports.after}."]
    if effect.logit is not None and effect.predicted is not None:
        said.append(
            f"This sample: logit of {classes[effect.target]} {number(effect.logit.before)} → "
            f"{number(effect.logit.after)}, predicted {classes[effect.predicted.before]} → "
            f"{classes[effect.predicted.after]}."
        )
    if effect.accuracy is not None:
        said.append(
            f"Test accuracy {effect.accuracy.before:.3f} → {effect.accuracy.after:.3f} "
            f"({effect.labelled} samples); {_changes(effect)}."
        )
    elif not effect.population:
        said.append("The test accuracy follows once the model was run on all samples.")
    else:
        said.append(f"Without labels there is no accuracy; {_changes(effect)}.")
    return " ".join([*said, NO_RETRAINING])


def _changes(effect: Effect) -> str:
    if not effect.moved:
        return f"no prediction changes (0 of {effect.population})"
    return f"{effect.moved} of {effect.population} predictions change"
