"""Explanations without a kernel, and what says how they were made."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from xai_views.contract.explanation import adds_up, combine, validate
from xai_views.contract.method import Method
from xai_views.errors import MethodError
from xai_views.methods.choosing import get, suited
from xai_views.samples import digest, inputs, is_signals, open_samples
from xai_views.samples.prepare import prepare
from xai_views.version import __version__


def explain(
    model: Any,
    samples: Any,
    method: str | Method | None = None,
    *,
    ask: Any = None,
    batch: int = 32,
    **parameters: Any,
):
    """Explain samples without a kernel.

    Parameters
    ----------
    model : Model, str, Path or nn.Module
        Anything that :func:`xai_views.open_model` takes.
    samples : xarray.Dataset or anything that :func:`xai_views.open_samples` takes
        What to explain; records are brought to the leads, rate and length of a network of signals.
    method : str or Method, optional
        Name of the method; by default the one that suits the model, see :func:`suited`.
    ask : Ask, optional
        What is wanted; the method's default otherwise.
    batch : int
        Images or records per pass.
    **parameters
        Parameters of the method.

    Returns
    -------
    xarray.Dataset
        The explanation, with the schema of :mod:`xai_views.contract.explanation`.

    Raises
    ------
    XaiViewsError
        In one sentence, when model, samples and method do not fit.
    """
    from xai_views.models import open_model  # loads torch

    model = open_model(model)
    samples = samples if isinstance(samples, xr.Dataset) else open_samples(samples)
    chosen = get(suited(model) if method is None else method, **parameters)
    reason = chosen.fits(model)
    if reason:
        raise MethodError(reason)
    if model.of_signals and is_signals(samples):  # what is done to them is written into the provenance
        samples = prepare(samples, model.leads, model.rate, model.size[0])
    ask = chosen.default_ask() if ask is None else chosen.ready(model, ask)
    parts = []
    n = samples.sizes["sample"]
    if n == 0:
        raise MethodError("no sample was given to explain; select at least one.")
    for start in range(0, n, batch):
        x = inputs(samples, np.arange(start, min(start + batch, n)))
        observed = chosen.observe(model, x, [ask] * len(x), [None] * len(x))
        parts += [chosen.interpret(model, o, ask) for o in observed]
    return finish(parts, model, samples, chosen)


def provenance(model: Any, method: Any, samples_sha256: str, exact: bool = True) -> dict[str, Any]:
    """The attributes that say how an explanation was made."""
    parameters = dict(method.key_parameters())
    return {
        "method": method.key,
        "parameters": json.dumps(parameters, default=str),
        "model": model.name,
        "model_sha256": model.sha256,
        "samples_sha256": samples_sha256,
        "version": __version__,
        "seed": int(parameters.get("seed", 0)),
        "device": str(model.device),
        "exact": int(exact),
    }


def finish(parts: Sequence[xr.Dataset], model: Any, samples: xr.Dataset, method: Any) -> xr.Dataset:
    """Join single explanations, name the samples, add the provenance and validate."""
    ds = combine(parts)
    names = (
        samples["name"].values
        if "name" in samples
        else [f"sample-{i}" for i in range(samples.sizes["sample"])]
    )
    content = hashlib.sha256()
    for i in range(samples.sizes["sample"]):
        content.update(digest(inputs(samples, [i])[0]).encode())
    ds = ds.assign_coords(sample=np.asarray(names, dtype=str))
    if "label" in samples:
        ds = ds.assign_coords(label=("sample", samples["label"].values)) if samples["label"].ndim == 1 else ds
    # what was done to bring records to the model
    prepared = {n: samples.attrs[n] for n in ("prepared",) if n in samples.attrs}
    return validate(ds.assign_attrs(prepared, **provenance(model, method, content.hexdigest(), adds_up(ds))))
