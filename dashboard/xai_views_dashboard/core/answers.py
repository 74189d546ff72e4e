"""What the answer line says: the prediction of one explanation, and how typical its sample is of the training data."""

from __future__ import annotations

import math
from typing import Any

import xarray as xr

from xai_views.engine.predictions import Typicality, answer, calibration_of


def answer_of(session: Any, i: int, result: xr.Dataset, note: str = "") -> dict[str, Any] | None:
    """Return the header's ``answer`` for sample ``i``; None for a model without classes.

    Parameters
    ----------
    session : Session
        Gives model and labels.
    i : int
        Position of the sample.
    result : Dataset
        Its explanation.
    note : str
        What was changed for this answer, such as an edited support set; "" for nothing.
    """
    if "logit" not in result or "probability" not in result:
        return None
    classes = session.model.classes
    found = answer(result["logit"].values[0], result["probability"].values[0], session.known(i))
    second = found.runner_up_probability
    return {
        "predicted": classes[found.predicted],
        "probability": found.probability,
        "calibration": calibration_of(session.model),
        "runner_up": classes[found.runner_up] if found.runner_up >= 0 else "",
        "runner_up_probability": None if math.isnan(second) else second,
        "label": ", ".join(classes[c] for c in sorted(found.known)),
        "correct": found.correct,
        "note": note,
    }


def typical_words(found: Typicality | None, noun: str = "sample") -> dict[str, Any]:
    """Return what the answer line says of how typical a sample is of the training data."""
    if found is None:
        sentence = (
            f"Not known: this model holds no latent vectors of its training data to compare the {noun} with."
        )
        return {"typical": None, "sentence": sentence}
    looks = "typical of" if found.typical else "unlike"
    advice = "" if found.typical else " Do not rely on the prediction."
    return {
        "typical": found.typical,
        "sentence": (
            f"To this network the {noun} looks {looks} its training data: the norm of its latent vector is {found.norm:.2f} "
            f"({_percentile(found.norm_rank)}), its best cosine with a training sample {found.cosine:.3f} "
            f"({_percentile(found.cosine_rank)}).{advice}"
        ),
    }


def _percentile(share: float) -> str:
    n = round(100 * share)
    ending = "th" if 10 <= n % 100 <= 20 else {1: "st", 2: "nd", 3: "rd"}.get(n % 10, "th")
    return f"{n}{ending} percentile"
