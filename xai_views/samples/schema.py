"""The schema of samples: one ``xarray.Dataset`` whose names mean the same everywhere."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from xai_views.errors import SamplesError
from xai_views.samples.checks import WORDS, as_labels, check_label, check_names, in_memory, numbered
from xai_views.samples.signals import is_signals, validate_signals

IMAGE_DIMS = ("sample", "y", "x", "channel")
TRUTH_DIMS = ("sample", "y", "x")


def dataset(
    image: Any,
    label: Any = None,
    name: Sequence[str] | None = None,
    classes: Sequence[str] | None = None,
    part: Any = None,
    parts: Sequence[str] | None = None,
    mask: Any = None,
    **attrs: Any,
) -> xr.Dataset:
    """Put images and what is known of them into the schema.

    Parameters
    ----------
    image : array
        ``[N, H, W, C]`` or ``[N, H, W]`` uint8, or float in [0, 1]; numpy, dask or what numpy takes.
    label : array, optional
        ``[N]`` class indices (-1 = unknown) or class names, or ``[N, classes]`` 0/1 for several at once.
    name : sequence of str, optional
        Unique ids of letters, digits and ``. _ ~ -``; numbered when not given.
    classes : sequence of str, optional
        Class names; when not given, those in ``label`` in alphabetical order, or numbers.
    part, parts : array, sequence of str, optional
        ``[N, H, W]`` part ids (0 = nothing) and the name of every id, the first being that of 0.
    mask : array, optional
        ``[N, H, W]`` bool or 0/1: the object.
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
    image = _pictures(image)
    n = image.shape[0]
    variables: dict[str, Any] = {"image": (IMAGE_DIMS, image)}
    names = numbered(n) if name is None else [str(s) for s in name]
    variables["name"] = ("sample", np.asarray(names, dtype=str))
    if len(names) != n:
        raise SamplesError(f"{len(names)} names were given for {n} images; give one each.")
    classes = None if classes is None else [str(c) for c in classes]
    if label is not None:
        label, classes = as_labels(label, classes, n)
        variables["label"] = (("sample", "class")[: label.ndim], label)
    known: dict[str, Any] = {**WORDS, "classes": classes or []}
    for key, truth in (("part", part), ("mask", mask)):
        if truth is not None:
            truth = truth if hasattr(truth, "dtype") else np.asarray(truth)
            if truth.shape != image.shape[:3]:
                raise SamplesError(
                    f"{key!r} has shape {list(truth.shape)} and should have "
                    f"{list(image.shape[:3])}, as the images."
                )
            if truth.dtype.kind in "iub":
                truth = truth.astype(bool) if key == "mask" else _as_ids(truth)
            variables[key] = (TRUTH_DIMS, truth)
    if parts is not None:
        known["parts"] = [str(p) for p in parts]
    return validate(xr.Dataset(variables, attrs={**known, **attrs}))


def _pictures(image: Any) -> Any:
    """Images as a numpy or dask array of four dimensions, or the reason why they are not."""
    if isinstance(image, xr.DataArray):
        image = image.data
    if not hasattr(image, "__dask_graph__") and not isinstance(image, np.ndarray):
        try:
            image = np.asarray(image)
        except (ValueError, TypeError, RuntimeError):
            image = np.asarray(None)
    if image.dtype.kind not in "uifb":
        raise SamplesError(
            "the images are not one array of numbers (do they differ in size?); give "
            "[samples, height, width, channels] as uint8, or as float in [0, 1]."
        )
    if image.ndim == 3 and image.shape[2] in (1, 3, 4) and min(image.shape[:2]) > 4:
        raise SamplesError(
            f"an array of shape {list(image.shape)} looks like one picture and samples are "
            "[samples, height, width, channels]; give image[None]."
        )
    if image.ndim == 3:
        image = image[..., None]
    if image.ndim != 4:
        raise SamplesError(
            f"images have shape {list(image.shape)} and should have "
            "[samples, height, width, channels]; reshape them."
        )
    return image


def _as_ids(part: Any) -> Any:
    # Ids that int16 does not hold would become other ids; left as they are, validate names them.
    if isinstance(part, np.ndarray) and part.size and not -32768 <= part.min() <= part.max() <= 32767:
        return part
    return part.astype(np.int16)


def validate(ds: xr.Dataset) -> xr.Dataset:
    """Return ``ds`` when it follows the schema, with names and attributes it may lack.

    Values in memory are looked at; those of lazy images only when :func:`images` computes them. Floats
    become float32.

    Parameters
    ----------
    ds : xarray.Dataset
        At least ``image [sample, y, x, channel]``.

    Returns
    -------
    xarray.Dataset
        As in ``docs/architecture.md``.

    Raises
    ------
    SamplesError
        In one sentence: what came, what was expected, what to do.
    """
    if is_signals(ds):
        return validate_signals(ds)
    if not isinstance(ds, xr.Dataset) or "image" not in ds:
        came = f"variables {sorted(map(str, ds))}" if isinstance(ds, xr.Dataset) else type(ds).__name__
        raise SamplesError(
            f"samples came as {came} and need a variable 'image' [sample, y, x, channel]; "
            "build "
            "them with xai_views.samples.dataset."
        )
    _check_image(ds["image"])
    if ds["image"].dtype.kind == "f" and ds["image"].dtype != np.float32:
        ds = ds.assign(image=ds["image"].astype(np.float32))
    words = {k: ds.attrs.get(k, v) for k, v in WORDS.items()}
    classes = ds.attrs.get("classes", [])
    classes = [classes] if isinstance(classes, str) else [str(c) for c in classes]
    ds = ds.assign_attrs({**words, "classes": classes})
    if len(set(classes)) < len(classes):
        twice = next(c for c in classes if classes.count(c) > 1)
        raise SamplesError(f"the class name {twice!r} is used twice; class names must be unique.")
    if "name" not in ds:
        ds = ds.assign(name=("sample", np.asarray(numbered(ds.sizes["sample"]))))
    check_names(ds["name"])
    if "label" in ds:
        check_label(ds["label"], classes)
    for truth in ("part", "mask"):
        if truth in ds:
            _check_truth(ds, truth)
    return ds


def _check_image(image: xr.DataArray) -> None:
    if image.dims != IMAGE_DIMS:
        raise SamplesError(
            f"'image' has dimensions {list(image.dims)} and should have {list(IMAGE_DIMS)}; "
            "transpose or rename them."
        )
    n, h, w, c = image.shape
    if not n or not h or not w:
        raise SamplesError(
            f"'image' has shape {list(image.shape)}, which holds no picture; give at least one."
        )
    if c not in (1, 3):
        hint = "keep 1 (grey) or 3 (RGB)"
        if h in (1, 3):
            hint = "transpose it to [samples, height, width, channels] with .transpose(0, 2, 3, 1)"
        elif c in (2, 4):
            hint = "drop the transparency with image[..., :-1]"
        raise SamplesError(
            f"'image' has shape {list(image.shape)} with {c} channels in the last place; {hint}."
        )
    if image.dtype != np.uint8 and image.dtype.kind != "f":
        raise SamplesError(
            f"'image' is {image.dtype} and should be uint8 or float in [0, 1]; use "
            ".astype('uint8') "
            "when it holds 0 to 255, else divide it by its largest possible value."
        )
    if image.dtype.kind == "f" and in_memory(image):
        check_range(image.values)


def check_range(image: np.ndarray) -> None:
    """Raise a one-sentence :class:`SamplesError` unless the values are finite and in [0, 1]."""
    low, high = float(image.min()), float(image.max())
    if not np.isfinite([low, high]).all():
        raise SamplesError("'image' holds values that are not finite numbers; replace them before opening.")
    if low < 0 or high > 1:
        hint = "divide it by 255" if low >= 0 and high <= 255 else "give the pixels before any normalisation"
        raise SamplesError(
            f"'image' holds floats in [{low:.3g}, {high:.3g}] and should lie in [0, 1]; {hint}."
        )


def _check_truth(ds: xr.Dataset, key: str) -> None:
    truth, shape = ds[key], list(ds["image"].shape[:3])
    if truth.dims != TRUTH_DIMS or list(truth.shape) != shape:
        raise SamplesError(
            f"{key!r} has shape {list(truth.shape)} of {list(truth.dims)} and should have "
            f"{shape} of "
            f"{list(TRUTH_DIMS)}, as the images."
        )
    if key == "mask":
        if truth.dtype != bool:
            raise SamplesError(f"'mask' is {truth.dtype} and should be bool; compare it with a threshold.")
        return
    if truth.dtype.kind not in "iu":
        raise SamplesError(f"'part' is {truth.dtype} and should be integer ids of parts, 0 for nothing.")
    parts = list(ds.attrs.get("parts", []))
    if not parts:
        raise SamplesError(
            "'part' holds ids without names; give parts, the name of each id from 0 ('nothing') on."
        )
    if in_memory(truth) and not 0 <= int(truth.min()) <= int(truth.max()) < len(parts):
        raise SamplesError(
            f"'part' holds ids in [{int(truth.min())}, {int(truth.max())}] and {len(parts)} "
            "parts are "
            "named; name each id from 0 on."
        )
