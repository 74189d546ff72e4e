"""Code shared by all kinds: reading selected samples, content keys, single arrays as samples."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import xarray as xr

from xai_views.errors import SamplesError
from xai_views.kinds.checks import WORDS, check_label, check_names, in_memory, numbered


class ArrayKind:
    """A kind whose samples are one array, the variable ``key`` of a Dataset; see :class:`xai_views.contract.kind.Kind`."""

    key: ClassVar[str]
    plural: ClassVar[str]
    dims: ClassVar[tuple[str, ...]]
    accepts: ClassVar[tuple[str, ...]] = ()

    def __repr__(self) -> str:
        return f"<kind {self.key}>"

    def holds(self, ds: Any) -> bool:
        """Return whether a Dataset holds samples of this kind."""
        return isinstance(ds, xr.Dataset) and self.key in ds

    def validate(self, ds: xr.Dataset) -> xr.Dataset:
        """Return ``ds`` when it follows the schema, with missing names and attributes added."""
        raise NotImplementedError

    def inputs(self, ds: xr.Dataset, rows: Any) -> np.ndarray:
        """Return the model input of the selected samples only.

        Parameters
        ----------
        ds : xarray.Dataset
            Samples of this kind.
        rows : int, sequence of int, slice or bool array
            Which samples; negative ones count from the end.

        Returns
        -------
        ndarray
            ``[n, *dims[1:]]``.

        Raises
        ------
        SamplesError
            When a sample does not exist, or lazy values turn out to be unusable.
        """
        wanted = positions(ds.sizes["sample"], rows)
        if in_memory(ds[self.key]):
            return np.asarray(ds[self.key].variable._data)[wanted]
        return self.usable(np.asarray(ds[self.key].isel(sample=wanted).values))

    def usable(self, computed: np.ndarray) -> np.ndarray:
        """Return newly computed values, or raise a one-sentence :class:`SamplesError`."""
        return finite(computed, self.key)

    def digest(self, array: np.ndarray) -> str:
        """Return the content key of one sample."""
        return digest(array)

    def gathered(
        self, arrays: Sequence[np.ndarray], like: xr.Dataset, names: Sequence[str] | None = None, **known: Any
    ) -> xr.Dataset:
        """Build samples from single arrays.

        Parameters
        ----------
        arrays : sequence of ndarray
            Samples of one shape, for instance uploads or edited ones.
        like : xarray.Dataset
            Samples whose coordinates (leads, times, features) and attributes (rate, classes, …) the new ones share.
        names : sequence of str, optional
            Unique ids; numbered by default.
        **known
            Further variables over ``sample``, for instance ``label``.

        Returns
        -------
        xarray.Dataset
            Validated.
        """
        stacked = np.stack(list(arrays))
        variables: dict[str, Any] = {self.key: (self.dims, stacked, like[self.key].attrs)}
        variables["name"] = (
            "sample",
            np.asarray(numbered(len(stacked)) if names is None else names, dtype=str),
        )
        for key, value in known.items():
            value = np.asarray(value)
            variables[key] = (like[key].dims if key in like else ("sample", "class")[: value.ndim], value)
        coords = {d: like[d] for d in self.dims[1:] if d in like.coords}
        try:
            ds = xr.Dataset(variables, coords, like.attrs)
        except ValueError as e:
            raise SamplesError(
                f"arrays of shape {list(stacked.shape)} do not match their samples ({str(e).splitlines()[0][:100]}); "
                "give arrays of the shape of the samples."
            ) from None
        return self.validate(ds)

    def example(self, channels: int, size: tuple[int, ...] | None) -> list[int]:
        """Return the shape of the tensor of one sample."""
        return [1, channels, *(size or ())]

    def size_of(self, given: np.ndarray) -> tuple[int, ...] | None:
        """Return the value of a model's ``size`` for ``given``."""
        return tuple(given.shape[1:])


def described(ds: xr.Dataset) -> xr.Dataset:
    """Add the texts and names that all kinds carry; raise when names, classes and labels do not agree."""
    classes = ds.attrs.get("classes", [])
    classes = [classes] if isinstance(classes, str) else [str(c) for c in classes]
    if len(set(classes)) < len(classes):
        twice = next(c for c in classes if classes.count(c) > 1)
        raise SamplesError(f"the class name {twice!r} is used twice; class names must be unique.")
    ds = ds.assign_attrs({**{k: ds.attrs.get(k, v) for k, v in WORDS.items()}, "classes": classes})
    if "name" not in ds:
        ds = ds.assign(name=("sample", np.asarray(numbered(ds.sizes["sample"]))))
    check_names(ds["name"])
    if "label" in ds:
        check_label(ds["label"], classes)
    return ds


def with_step(ds: xr.Dataset, **step: Any) -> xr.Dataset:
    """Append an entry to the attribute ``prepared``, a JSON list of the steps applied to the samples."""
    return ds.assign_attrs(prepared=json.dumps([*json.loads(ds.attrs.get("prepared", "[]")), step]))


def finite(values: np.ndarray, key: str) -> np.ndarray:
    """Return the values when all are finite, or raise a one-sentence :class:`SamplesError`."""
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise SamplesError(f"{key!r} holds values that are not finite numbers; replace them before opening.")
    return values


def digest(array: np.ndarray) -> str:
    """Return the content key of one sample: it changes with its values, shape and type.

    Parameters
    ----------
    array : ndarray
        Any shape and type.

    Returns
    -------
    str
        First 32 hexadecimal digits of the sha256 over dtype, shape and bytes.
    """
    array = np.ascontiguousarray(array)
    content = hashlib.sha256(f"{array.dtype.str}{array.shape}".encode())
    content.update(array.tobytes())
    return content.hexdigest()[:32]


def positions(n: int, indices: Any) -> np.ndarray:
    """Convert an index, several, a slice or one bool per sample to positions ``[m]`` int64 among ``n`` samples."""
    wanted = np.arange(n)[indices] if isinstance(indices, slice) else np.atleast_1d(np.asarray(indices))
    if wanted.dtype == bool:
        if len(wanted) != n:
            raise SamplesError(f"a selection has {len(wanted)} bools for {n} samples; give one bool each.")
        wanted = np.flatnonzero(wanted)
    if wanted.ndim != 1 or (wanted.size and wanted.dtype.kind not in "iu"):
        raise SamplesError(
            f"samples were selected by {wanted.dtype} {list(wanted.shape)}; give positions "
            f"from 0 to {n - 1}, a slice, or one bool each."
        )
    strange = wanted[(wanted < -n) | (wanted >= n)] if wanted.size else wanted
    if strange.size:
        raise SamplesError(f"there is no sample {strange[0]}; give positions below {n}, counted from 0.")
    return wanted.astype(np.int64)
