"""Explain samples without a kernel: model, samples and parameters in, a dataset with its provenance out."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import xarray as xr

from xai_views import kinds
from xai_views.contract import registry
from xai_views.contract.ask import Ask
from xai_views.contract.explanation import adds_up, combine, validate, with_roles
from xai_views.contract.method import Method
from xai_views.errors import MethodError
from xai_views.methods.choosing import suited
from xai_views.samples import digest, inputs, labelled_for, open_samples
from xai_views.samples.prepare import prepare
from xai_views.version import __version__


def explain(
    model: Any,
    samples: Any,
    method: str | Method | Ask | None = None,
    *,
    batch: int = 32,
    progress: Callable[[int, int], Any] | None = None,
    **parameters: Any,
) -> xr.Dataset:
    """Explain samples without starting a kernel.

    Parameters
    ----------
    model : Model, str, Path or nn.Module
        Anything that :func:`xai_views.open_model` takes.
    samples : xarray.Dataset or anything that :func:`xai_views.open_samples` takes
        What to explain; signal records are converted to the leads, rate and length that the model expects.
    method : str, Method or Ask, optional
        Name of the method, or a request for one; by default the method that suits the model, see :func:`suited`.
    batch : int
        Images or records per pass.
    progress : callable, optional
        ``progress(done, total)``, called during long computations; may raise to stop.
    **parameters
        Parameters of the method. The parameters stored in an explanation's ``attrs["parameters"]`` (JSON) reproduce it,
        bit for bit on the CPU.

    Returns
    -------
    xarray.Dataset
        The explanation, with the schema of :mod:`xai_views.contract.explanation`.

    Raises
    ------
    XaiViewsError
        In one sentence, when model, samples and method do not fit together.
    """
    from xai_views.models import open_model  # loads torch

    model = open_model(model)
    samples = samples if isinstance(samples, xr.Dataset) else open_samples(samples)
    chosen, ask = asked(model, method, parameters)
    reason = chosen.fits(model)
    if reason:
        raise MethodError(reason)
    if model.kind == kinds.of(samples).key == "signal":  # the conversion is recorded in the provenance
        samples = prepare(samples, model.leads, model.rate, model.size[0])
    samples = labelled_for(samples, model.classes)
    n = samples.sizes["sample"]
    if n == 0:
        raise MethodError("no sample was given to explain; give at least one.")
    ask = chosen.ready(model, ask)
    parts = []
    for start in range(0, n, batch):
        x = inputs(samples, np.arange(start, min(start + batch, n)))
        observed = observed_whole(chosen.observe(model, x, [ask] * len(x), [None] * len(x)), progress)
        parts += [chosen.interpret(model, o, ask) for o in observed]
    return finish(parts, model, samples, chosen, ask, batch)


def asked(model: Any, method: str | Method | Ask | None, parameters: dict[str, Any]) -> tuple[Method, Ask]:
    """Return the chosen method and the request to it."""
    if isinstance(method, Ask):
        chosen = registry.plain(method.method)
        return chosen, chosen.ask(**{**method.values, **parameters}) if parameters else method
    chosen = registry.method(suited(model) if method is None else method, **parameters)
    return chosen, chosen.ask()


def observed_whole(observing: Any, progress: Callable[[int, int], Any] | None = None) -> list[Any]:
    """Return the observations from ``observe``; a generator is run to its end and its partial results are skipped."""
    if not inspect.isgenerator(observing):
        return observing
    while True:
        try:
            step: Any = next(observing)
        except StopIteration as end:
            return end.value
        if progress is not None:
            progress(step.done, step.total)


def finish(
    parts: Sequence[xr.Dataset], model: Any, samples: xr.Dataset, method: Method, ask: Ask, batch: int = 1
) -> xr.Dataset:
    """Join the explanations of single samples, name the samples, add roles and provenance, and validate."""
    ds = with_roles(combine(parts), method.gives)
    n = samples.sizes["sample"]
    names = samples["name"].values if "name" in samples else [f"sample-{i}" for i in range(n)]
    content = hashlib.sha256()
    for i in range(n):
        content.update(digest(inputs(samples, [i])[0]).encode())
    ds = ds.assign_coords(sample=np.asarray(names, dtype=str))
    if "label" in samples and samples["label"].ndim == 1:
        ds = ds.assign_coords(label=("sample", samples["label"].values))
    # how signal records were converted for the model
    prepared = {n: samples.attrs[n] for n in ("prepared",) if n in samples.attrs}
    return validate(
        ds.assign_attrs(
            prepared,
            method=method.key,
            parameters=ask.text(),
            model=model.name,
            model_sha256=model.sha256,
            samples_sha256=content.hexdigest(),
            version=__version__,
            seed=int(ask.values.get("seed", 0)),
            device=str(model.device),
            exact=int(adds_up(ds)),
            batch=batch,
        )
    )
