"""Signals: the input of models of records. The schema is in ``signal_schema``, resampling in ``signal_preparing``."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import xarray as xr

from xai_views.contract.kind import Taking
from xai_views.errors import ModelError
from xai_views.kinds.arrays import ArrayKind, finite
from xai_views.kinds.signal_preparing import prepare
from xai_views.kinds.signal_schema import SIGNAL_DIMS, trace_tile, validate_signals


class SignalKind(ArrayKind):
    """Records ``signal [sample, lead, time]``: float32 in mV, with lead names and times in seconds."""

    key, plural, dims = "signal", "signals", SIGNAL_DIMS
    accepts: ClassVar[tuple[str, ...]] = (
        ".csv",
        ".npz",
        ".dcm",
        ".zip",
    )  # read by xai_views.samples.upload with the readers of these formats

    def validate(self, ds: xr.Dataset) -> xr.Dataset:
        """Validate as :func:`~xai_views.kinds.signal_schema.validate_signals` does."""
        return validate_signals(ds)

    def usable(self, computed: np.ndarray) -> np.ndarray:
        """Return finite values as float32, or raise a one-sentence ``SamplesError``."""
        return finite(np.asarray(computed, np.float32), self.key)

    def check(self, model: Taking, given: np.ndarray) -> None:
        """Raise a one-sentence :class:`ModelError` unless ``given`` is ``[N, lead, time]`` as the model expects."""
        steps_wanted = "T" if model.size is None else model.size[0]
        if given.ndim != 3 or given.dtype.kind not in "fiu":
            raise ModelError(
                f"model {model.name!r} got {given.dtype} of shape {list(given.shape)} and expects signals "
                f"[N, {model.channels}, {steps_wanted}] in mV; open them with open_samples."
            )
        n, leads, steps = given.shape
        if leads != model.channels:
            raise ModelError(
                f"model {model.name!r} expects {model.channels} lead(s) and got signals of shape {[n, leads, steps]}; choose "
                "leads with xai_views.samples.prepare."
            )
        if model.size is not None and steps != model.size[0]:
            raise ModelError(
                f"model {model.name!r} was trained on {model.size[0]} steps and got {steps}; convert the records with "
                "xai_views.samples.prepare."
            )
        if not np.isfinite(given).all():
            raise ModelError(
                f"model {model.name!r} got signals with values that are not finite; mark such leads as missing."
            )

    def tensor(self, given: np.ndarray, device: Any, dtype: Any) -> Any:
        """Convert signals ``[N, lead, time]`` in mV to a tensor."""
        import torch

        return torch.from_numpy(np.ascontiguousarray(given)).to(device, dtype)

    def size_of(self, given: np.ndarray) -> tuple[int, ...]:
        """Return the number of steps of signals ``[N, lead, time]``."""
        return (given.shape[2],)

    def said(self, model: Taking) -> str:
        """Describe in words what a model takes."""
        at = f" at {model.rate:g} Hz" if model.rate else ""
        return (
            f"{model.channels} lead(s), {'any number of' if model.size is None else model.size[0]} steps{at}"
        )

    def fitted(self, model: Taking, ds: xr.Dataset) -> xr.Dataset:
        """Choose leads, resample, cut or pad; see :func:`~xai_views.kinds.signal_preparing.prepare`."""
        return prepare(ds, model.leads, model.rate, None if model.size is None else model.size[0])

    def thumbnail(self, array: np.ndarray, side: int) -> np.ndarray:
        """Draw the second lead of ``[lead, time]``, or the only one, as a trace: ``[side, side, 3]`` uint8."""
        return trace_tile(array[min(1, len(array) - 1)], side)
