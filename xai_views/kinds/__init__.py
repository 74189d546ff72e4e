"""Kinds of input: image, signal, cine, table. :func:`of` and :func:`get` return the code that differs between them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import xarray as xr

from xai_views.contract.kind import Kind
from xai_views.errors import ModelError, SamplesError, nearest
from xai_views.kinds.cine import CineKind
from xai_views.kinds.image import ImageKind
from xai_views.kinds.signal import SignalKind
from xai_views.kinds.table import TableKind

#: By key. Samples that hold several kinds belong to the first.
KINDS: Mapping[str, Kind] = {kind.key: kind for kind in (ImageKind(), CineKind(), SignalKind(), TableKind())}

__all__ = ["KINDS", "get", "of", "of_size"]


def get(key: str) -> Kind:
    """Return the kind with this key.

    Raises
    ------
    ModelError
        When there is no such kind.
    """
    if key not in KINDS:
        raise ModelError(
            f"there is no kind of input {key!r}; choose one of {nearest(key, KINDS, len(KINDS))}."
        )
    return KINDS[key]


def of(ds: Any) -> Kind:
    """Return the kind of samples.

    Parameters
    ----------
    ds : xarray.Dataset
        With one of the variables ``image``, ``signal``, ``cine``, ``table``.

    Raises
    ------
    SamplesError
        When it has none of them.
    """
    for kind in KINDS.values():
        if kind.holds(ds):
            return kind
    came = f"variables {sorted(map(str, ds))}" if isinstance(ds, xr.Dataset) else type(ds).__name__
    raise SamplesError(
        f"samples came as {came} and need a variable 'image' [sample, y, x, channel], 'signal', 'cine' or 'table'; build "
        "images with xai_views.samples.dataset."
    )


def of_size(size: tuple[int, ...] | None) -> Kind:
    """Return the kind of a model of which only the size is known: one number means steps, three mean frames, height and width."""
    return KINDS[{1: "signal", 3: "cine"}.get(len(size or ()), "image")]
