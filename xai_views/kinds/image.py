"""Images: their schema, and the input of image models."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import xarray as xr

from xai_views.contract.kind import Taking
from xai_views.errors import ModelError, SamplesError
from xai_views.kinds.arrays import ArrayKind, described, with_step
from xai_views.kinds.checks import WORDS, as_labels, in_memory, numbered
from xai_views.kinds.pixels import FORMATS, fit, fit_ids, tile

IMAGE_DIMS: tuple[str, ...] = ("sample", "y", "x", "channel")
TRUTH_DIMS: tuple[str, ...] = ("sample", "y", "x")


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
    """Build samples from images and what is known about them.

    Parameters
    ----------
    image : array
        ``[N, H, W, C]`` or ``[N, H, W]`` uint8, or float in [0, 1]; numpy, dask or anything numpy accepts.
    label : array, optional
        ``[N]`` class indices (-1 = unknown) or class names, or ``[N, classes]`` 0/1 for several classes at once.
    name : sequence of str, optional
        Unique ids of letters, digits and ``. _ ~ -``; numbered by default.
    classes : sequence of str, optional
        Class names; by default those in ``label`` in alphabetical order, or numbers.
    part, parts : array, sequence of str, optional
        ``[N, H, W]`` part ids (0 = nothing) and the name of every id, starting with that of 0.
    mask : array, optional
        ``[N, H, W]`` bool or 0/1: the object.
    **attrs
        ``title``, ``synthetic``, ``note``, ``licence``, ``origin`` and similar attributes.

    Returns
    -------
    xarray.Dataset
        Validated.

    Raises
    ------
    SamplesError
        With a one-sentence message.
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
                    f"{list(image.shape[:3])}, like the images."
                )
            if truth.dtype.kind in "iub":
                truth = truth.astype(bool) if key == "mask" else _as_ids(truth)
            variables[key] = (TRUTH_DIMS, truth)
    if parts is not None:
        known["parts"] = [str(p) for p in parts]
    return validate_images(xr.Dataset(variables, attrs={**known, **attrs}))


def _pictures(image: Any) -> Any:
    """Return images as a numpy or dask array of four dimensions, or raise a one-sentence :class:`SamplesError`."""
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
            f"an array of shape {list(image.shape)} looks like a single picture, but samples are "
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
    # int16 would change ids that do not fit; they are left unchanged and validate reports them.
    if isinstance(part, np.ndarray) and part.size and not -32768 <= part.min() <= part.max() <= 32767:
        return part
    return part.astype(np.int16)


def validate_images(ds: xr.Dataset) -> xr.Dataset:
    """Return ``ds`` when it follows the schema of images, with missing names and attributes added.

    Values in memory are checked now, those of lazy images when they are computed. Floats become float32.

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
        In one sentence: what was given, what was expected, what to do.
    """
    _check_image(ds["image"])
    if ds["image"].dtype.kind == "f" and ds["image"].dtype != np.float32:
        ds = ds.assign(image=ds["image"].astype(np.float32))
    ds = described(ds)
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
        raise SamplesError(f"'image' has shape {list(image.shape)} and is empty; give at least one picture.")
    if c not in (1, 3):
        hint = "keep 1 (grey) or 3 (RGB)"
        if h in (1, 3):
            hint = "transpose it to [samples, height, width, channels] with .transpose(0, 2, 3, 1)"
        elif c in (2, 4):
            hint = "drop the transparency with image[..., :-1]"
        raise SamplesError(
            f"'image' has shape {list(image.shape)} with {c} channels in the last dimension; {hint}."
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
            f"{shape} of {list(TRUTH_DIMS)}, like the images."
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
            "'part' holds ids without names; give parts, the name of each id starting with 0 ('nothing')."
        )
    if in_memory(truth) and not 0 <= int(truth.min()) <= int(truth.max()) < len(parts):
        raise SamplesError(
            f"'part' holds ids in [{int(truth.min())}, {int(truth.max())}] for {len(parts)} "
            "names; name each id, starting with 0."
        )


class ImageKind(ArrayKind):
    """Pictures ``image [sample, y, x, channel]``: uint8, or floats in [0, 1]; grey or RGB."""

    key, plural, dims = "image", "images", IMAGE_DIMS
    accepts: ClassVar[tuple[str, ...]] = tuple(f".{f.lower()}" for f in (*FORMATS, "jpg", "tif"))

    def validate(self, ds: xr.Dataset) -> xr.Dataset:
        """Validate as :func:`validate_images` does."""
        return validate_images(ds)

    def usable(self, computed: np.ndarray) -> np.ndarray:
        """Return images whose floats lie in [0, 1], or raise a one-sentence :class:`SamplesError`."""
        if computed.dtype.kind == "f" and computed.size:
            check_range(computed)
        return computed

    def check(self, model: Taking, given: np.ndarray) -> None:
        """Raise a one-sentence :class:`ModelError` unless ``given`` is ``[N, H, W, C]`` as the model expects."""
        check_shape(model, given)
        if given.dtype != np.uint8:
            check_unit_range(model, given, self.plural)

    def tensor(self, given: np.ndarray, device: Any, dtype: Any) -> Any:
        """Convert images ``[N, H, W, C]`` to a tensor ``[N, C, H, W]`` in [0, 1]."""
        import torch

        x = torch.from_numpy(np.ascontiguousarray(given.transpose(0, 3, 1, 2)))
        return x.to(device, dtype) / (255 if given.dtype == np.uint8 else 1)

    def example(self, channels: int, size: tuple[int, ...] | None) -> list[int]:
        """Return the shape of the tensor of one sample; 64x64 pixels when any size is accepted."""
        return [1, channels, *(size or (64, 64))]

    def size_of(self, given: np.ndarray) -> tuple[int, ...]:
        """Return the height and width of images ``[N, H, W, C]``."""
        return tuple(given.shape[1:3])

    def said(self, model: Taking) -> str:
        """Describe in words what a model takes."""
        size = "any size" if model.size is None else "x".join(map(str, model.size))
        return f"{model.channels} channel(s), {size}"

    def fitted(self, model: Taking, ds: xr.Dataset) -> xr.Dataset:
        """Crop around the centre, resize, and convert to grey or RGB, as the model expects; ground truth likewise.

        Parameters
        ----------
        model : Taking
            ``channels`` and ``size`` are used; without a size the pictures keep theirs.
        ds : xarray.Dataset
            Images.

        Returns
        -------
        xarray.Dataset
            ``ds`` itself when it fits; else a copy in memory, with the attribute ``prepared``.
        """
        h, w, c = ds["image"].shape[1:]
        size = (h, w) if model.size is None else tuple(model.size)
        if (h, w, c) == (*size, model.channels):
            return ds
        pictures = self.inputs(ds, slice(None))
        if pictures.dtype != np.uint8:
            pictures = np.round(pictures * 255).astype(np.uint8)
        new: dict[str, Any] = {
            "image": (IMAGE_DIMS, np.stack([fit(p, size, model.channels) for p in pictures]))
        }
        for truth in ("part", "mask"):
            if truth in ds:
                new[truth] = (TRUTH_DIMS, np.stack([fit_ids(t, size) for t in ds[truth].values]))
        out = ds.drop_dims(["y", "x", "channel"]).assign(new)
        step = {"from": [h, w, c], "to": [*size, model.channels]}
        return self.validate(with_step(out, step="fit", **step))

    def thumbnail(self, array: np.ndarray, side: int) -> np.ndarray:
        """Return a picture ``[H, W, C]`` cropped to a square around its centre: ``[side, side, 3]`` uint8."""
        return tile(array, side)


def check_shape(model: Taking, images: np.ndarray) -> None:
    """Raise a one-sentence :class:`ModelError` unless images have the dimensions, channels and size that a model expects."""
    want = f"[N, {'H, W' if model.size is None else f'{model.size[0]}, {model.size[1]}'}, {model.channels}]"
    if images.ndim != 4:
        raise ModelError(
            f"model {model.name!r} got images of shape {list(images.shape)} and expects {want}; add the missing "
            "dimension, for instance images[None]."
        )
    n, h, w, c = images.shape
    if c != model.channels:
        first = " (channels first? use images.transpose(0, 2, 3, 1))" if h == model.channels else ""
        raise ModelError(
            f"model {model.name!r} expects {model.channels} channel(s) and got images of shape {[n, h, w, c]}{first}; "
            "convert grey to RGB or RGB to grey first."
        )
    if model.size is not None and (h, w) != tuple(model.size):
        raise ModelError(
            f"model {model.name!r} was trained on {model.size[0]}x{model.size[1]} pixels and got {h}x{w}; resize the "
            "images, for instance open_samples(..., size=...)."
        )


def check_unit_range(model: Taking, given: np.ndarray, plural: str) -> None:
    """Raise a one-sentence :class:`ModelError` unless pixels are finite and in [0, 1]."""
    low, high = float(given.min(initial=0)), float(given.max(initial=0))
    if not np.isfinite([low, high]).all():
        raise ModelError(
            f"model {model.name!r} got {plural} with values that are not finite; replace them, for instance with "
            "numpy.nan_to_num."
        )
    if low < 0 or high > 1:
        raise ModelError(
            f"model {model.name!r} expects uint8 {plural} or floats in [0, 1] and got {given.dtype} in "
            f"[{low:.3g}, {high:.3g}]; divide by the largest possible value."
        )
