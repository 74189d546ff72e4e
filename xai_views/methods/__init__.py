"""Methods: torch in, explanation out."""

from __future__ import annotations

from typing import Any

from .base import Ask, Method, available, get, suited

__all__ = ["Ask", "Method", "available", "explain", "get", "suited"]


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
        The explanation, with the schema of :mod:`xai_views.explanation`.

    Raises
    ------
    XaiViewsError
        In one sentence, when model, samples and method do not fit.
    """
    import numpy as np
    import xarray as xr

    from ..errors import MethodError
    from ..explanation import finish
    from ..models import open_model
    from ..samples import inputs, is_signals, open_samples
    from ..samples.prepare import prepare

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
