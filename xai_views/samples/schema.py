"""The schema of samples: one ``xarray.Dataset`` whose names mean the same everywhere."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from ..errors import SamplesError

IMAGE_DIMS = ("sample", "y", "x", "channel")


def dataset(image: Any, label: Any = None, name: Sequence[str] | None = None, classes: Sequence[str] | None = None,
            part: Any = None, parts: Sequence[str] | None = None, mask: Any = None, **attrs: Any) -> xr.Dataset:
    """Put images and what is known of them into the schema.

    Parameters
    ----------
    image : array
        ``[N, H, W, C]`` or ``[N, H, W]`` uint8, or float in [0, 1]; numpy or dask.
    label : array, optional
        ``[N]`` class indices (-1 = unknown) or ``[N, classes]`` 0/1.
    name : sequence of str, optional
        Unique ids; numbered when not given.
    classes : sequence of str, optional
        Class names; numbered when labels are given without.
    part, parts : array, sequence of str, optional
        ``[N, H, W]`` part ids (0 = nothing) and the name of every id.
    mask : array, optional
        ``[N, H, W]`` bool: the object.
    **attrs
        ``title``, ``synthetic``, ``note``, ``licence``, ``origin`` and the like.

    Returns
    -------
    xarray.Dataset
        Validated.

    Raises
    ------
    SamplesError
        In one sentence.
    """
    image = image[..., None] if getattr(image, "ndim", 0) == 3 else image
    if getattr(image, "ndim", 0) != 4:
        raise SamplesError(f"images have shape {list(np.shape(image))} and should be [samples, height, width, channels].")
    n = image.shape[0]
    variables: dict[str, Any] = {"image": (IMAGE_DIMS, image)}
    names = [f"sample-{i:05d}" for i in range(n)] if name is None else [str(s) for s in name]
    variables["name"] = ("sample", np.asarray(names, dtype=str))
    if label is not None:
        label = np.asarray(label)
        if label.dtype.kind not in "iub":
            raise SamplesError(f"labels are {label.dtype} and should be class indices; number the classes from 0.")
        variables["label"] = (("sample", "class")[: label.ndim], label.astype(np.int64))
        if classes is None:
            count = label.shape[1] if label.ndim == 2 else int(label.max(initial=-1)) + 1
            classes = [f"class {i}" for i in range(count)]
    if part is not None:
        variables["part"] = (("sample", "y", "x"), part)
    if mask is not None:
        variables["mask"] = (("sample", "y", "x"), mask)
    known = {"title": "", "synthetic": 0, "note": "", "licence": "", "origin": ""}
    if parts is not None:
        known["parts"] = list(parts)
    try:
        ds = xr.Dataset(variables, attrs={**known, "classes": [str(c) for c in classes or ()], **attrs})
    except ValueError as e:
        raise SamplesError(f"images, labels, names and truth do not belong together ({str(e).splitlines()[0][:120]}).") from None
    return validate(ds)


def validate(ds: xr.Dataset) -> xr.Dataset:
    """Return ``ds`` when it follows the schema.

    Values of lazy images are not looked at; those in memory are.

    Raises
    ------
    SamplesError
        In one sentence: what came, what was expected, what to do.
    """
    if not isinstance(ds, xr.Dataset) or "image" not in ds:
        raise SamplesError("samples need a variable 'image' [sample, y, x, channel]; build them with xv.samples.dataset.")
    image = ds["image"]
    if image.dims != IMAGE_DIMS:
        raise SamplesError(f"'image' has dimensions {list(image.dims)} and should have {list(IMAGE_DIMS)}; transpose it.")
    n, h, w, c = image.shape
    if not n or not h or not w:
        raise SamplesError(f"'image' has shape {list(image.shape)}, which holds no picture; give at least one.")
    if c not in (1, 3):
        hint = "transpose it to [samples, height, width, channels]" if h in (1, 3) else "keep 1 (grey) or 3 (RGB)"
        raise SamplesError(f"'image' has shape {list(image.shape)} with {c} channels; {hint}.")
    if image.dtype != np.uint8 and image.dtype.kind != "f":
        raise SamplesError(f"'image' is {image.dtype} and should be uint8 or float in [0, 1]; divide by its largest value.")
    if image.dtype.kind == "f" and isinstance(image.variable._data, np.ndarray):
        low, high = float(image.values.min()), float(image.values.max())
        if not np.isfinite([low, high]).all():
            raise SamplesError("'image' holds values that are not a number or not finite; replace them before opening.")
        if low < 0 or high > 1:
            raise SamplesError(f"'image' holds floats in [{low:.3g}, {high:.3g}] and should be in [0, 1]; rescale it.")
    _validate_label(ds)
    if "name" not in ds:
        ds = ds.assign(name=("sample", np.asarray([f"sample-{i:05d}" for i in range(n)])))
    names = ds["name"].values
    if len(set(names.tolist())) != n:
        values, counts = np.unique(names, return_counts=True)
        raise SamplesError(f"the name {str(values[counts.argmax()])!r} is used {counts.max()} times; names must be unique.")
    for truth in ("part", "mask"):
        if truth in ds and ds[truth].shape != (n, h, w):
            raise SamplesError(f"{truth!r} has shape {list(ds[truth].shape)} and should have {[n, h, w]}, as the images.")
    return ds


def _validate_label(ds: xr.Dataset) -> None:
    if "label" not in ds:
        return
    label, classes = ds["label"], ds.attrs.get("classes", [])
    if label.ndim == 2:
        if label.shape[1] != len(classes):
            raise SamplesError(f"labels have {label.shape[1]} columns and there are {len(classes)} class names; name each.")
        return
    low, high = int(label.min()), int(label.max())
    if low < -1 or high >= len(classes):
        raise SamplesError(f"labels lie in [{low}, {high}] and should lie in [-1, {len(classes) - 1}], one of {len(classes)} "
                           "classes or -1 for unknown.")


def digest(array: np.ndarray) -> str:
    """Content key of one image: 32 hexadecimal digits of the sha256 over dtype, shape and bytes."""
    array = np.ascontiguousarray(array)
    content = hashlib.sha256(f"{array.dtype.str}{array.shape}".encode())
    content.update(array.tobytes())
    return content.hexdigest()[:32]


def images(ds: xr.Dataset, indices: Any) -> np.ndarray:
    """Compute the images at ``indices`` only: ``[n, H, W, C]``."""
    indices = np.atleast_1d(np.asarray(indices, np.int64))
    data = ds["image"].variable._data
    if isinstance(data, np.ndarray):
        return data[indices]
    return np.asarray(ds["image"].isel(sample=indices).values)
