"""Open one uploaded file as samples of a kind. ECG formats use the readers, which depend on the kinds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import xarray as xr

from xai_views.errors import SamplesError, nearest
from xai_views.kinds.cine import decode_cine
from xai_views.kinds.image import dataset
from xai_views.kinds.pixels import decode_upload
from xai_views.kinds.table import decode_table
from xai_views.samples.readers.ecg_upload import open_ecg_bytes


def _image(name: str, data: bytes, **bounds: Any) -> xr.Dataset:
    return dataset(decode_upload(data, **bounds)[None], title=name)


#: By key of the kind.
DECODERS: dict[str, Callable[..., xr.Dataset]] = {
    "image": _image,
    "signal": open_ecg_bytes,
    "cine": decode_cine,
    "table": decode_table,
}


def open_upload(kind: str, name: str, data: bytes, **bounds: Any) -> xr.Dataset:
    """Open the bytes of one uploaded file, within limits; nothing is left on disk.

    Parameters
    ----------
    kind : str
        Key of the kind that the model takes.
    name : str
        Name of the file.
    data : bytes
        Contents of the file.
    **bounds
        ``max_bytes`` and other limits of the kind's decoder.

    Returns
    -------
    xarray.Dataset
        In memory; ``kinds.of(ds).fitted(model, ds)`` converts it for a model.

    Raises
    ------
    SamplesError
        With a one-sentence message.
    """
    if kind not in DECODERS:
        raise SamplesError(f"there is no kind of input {kind!r}; choose one of {nearest(kind, DECODERS)}.")
    return DECODERS[kind](name, data, **bounds)
