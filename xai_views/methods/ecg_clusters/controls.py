"""Controls for cluster statistics: the same network with random weights, and clusters of the raw signal."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Generator
from typing import Any

import numpy as np
import xarray as xr

from xai_views.errors import MethodError
from xai_views.methods.ecg_clusters.fit import fit, lengths
from xai_views.methods.ecg_clusters.forest import Surrogate, surrogates
from xai_views.methods.ecg_clusters.method import EcgClustersMethod
from xai_views.methods.ecg_clusters.raw import raw_clusters
from xai_views.methods.ecg_clusters.survey import Survey, survey
from xai_views.samples import inputs

CLUSTERS, RANDOM, RAW = (
    "forest on clusters",
    "forest on clusters, random weights",
    "forest on raw-signal clusters",
)
FITTED = 200  # number of records for the control's codebook


def untrained(model: Any, seed: int = 0) -> Any:
    """Return a copy of the model with fresh random weights, as a model of its own.

    Parameters
    ----------
    model : Model
        Its layers have to be able to draw their weights (``reset_parameters``).
    seed : int
        Random seed of the weights.

    Raises
    ------
    MethodError
        When no layer of the network can be re-initialised.
    """
    from copy import deepcopy
    from dataclasses import replace

    import torch

    module = deepcopy(model.module)
    drawn = 0
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for layer in module.modules():
            if hasattr(layer, "reset_parameters"):
                layer.reset_parameters()
                drawn += 1
    if not drawn:
        raise MethodError(
            f"no layer of {model.name!r} can be re-initialised (none has reset_parameters); give another model as the control."
        )
    sha256 = hashlib.sha256(f"untrained {seed} {model.sha256}".encode()).hexdigest()
    return replace(model, name=f"{model.name}, random weights", sha256=sha256, module=module)


def judged(
    model: Any, samples: xr.Dataset, found: Survey, progress: Callable[[int, int], None] | None = None
) -> Generator[None, None, list[Surrogate]]:
    """Train forests on the clusters and on both controls, in the same ten folds.

    Parameters
    ----------
    model : Model
        The network; if it cannot be re-initialised, that control is left out.
    samples : Dataset
        The records of the survey, prepared for the model; records of one ``person`` stay in one fold.
    found : Survey
        Survey of the records. If a record has several labels, forests are not scored against the labels.
    progress : callable, optional
        ``progress(done, total)``; may raise to stop.

    Returns
    -------
    list of Surrogate
        The value of ``StopIteration``; between its steps the worker can serve other requests.
    """
    features = {CLUSTERS: found.proportion}
    try:
        control = untrained(model)
    except MethodError:
        control = None
    if control is not None:
        fitted = yield from fit(control, samples, progress=progress, members=0, most=FITTED)
        ask = EcgClustersMethod(mode="codebook", codebook=fitted).ask()
        features[RANDOM] = (yield from survey(control, samples, ask, progress)).proportion
    signal = inputs(samples, slice(None))
    steps = lengths(samples, range(len(signal)), signal)
    raw = raw_clusters(signal, found.k, len(found.sequence[0]), float(samples.attrs["rate"]), steps)
    features[RAW] = np.stack([raw.proportion(x, n) for x, n in zip(signal, steps, strict=True)])
    yield
    return (
        yield from surrogates(
            features,
            found.predicted,
            found.label if found.labelled.any() and not found.several else None,
            found.probability,
            classes=found.logit.shape[1],
            groups=samples["person"].values if "person" in samples else None,
            progress=progress,
        )
    )
