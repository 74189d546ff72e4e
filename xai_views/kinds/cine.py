"""Cine loops: sequences of grey frames with their times, and millimetres per pixel."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import xarray as xr

from xai_views.contract.kind import Taking
from xai_views.errors import ModelError, SamplesError
from xai_views.kinds.arrays import ArrayKind, described, with_step
from xai_views.kinds.checks import WORDS, as_labels, in_memory, numbered
from xai_views.kinds.image import check_range, check_unit_range
from xai_views.kinds.pixels import fit, middle, tile

CINE_DIMS: tuple[str, ...] = ("sample", "time", "y", "x")
#: Limits of an upload: bytes of the file, frames, pixels of a frame.
MOST_BYTES, MOST_FRAMES, MOST_PIXELS = 50e6, 2000, 4e6


def cine_dataset(
    cine: Any,
    rate: float | None = None,
    label: Any = None,
    name: Sequence[str] | None = None,
    classes: Sequence[str] | None = None,
    frame_time: Any = None,
    mm_per_pixel: Any = None,
    length: Any = None,
    **attrs: Any,
) -> xr.Dataset:
    """Build samples from cine loops and what is known about them.

    Parameters
    ----------
    cine : array
        ``[N, frames, H, W]`` uint8, or float in [0, 1]; numpy or dask.
    rate : float, optional
        Frames per second; required without ``frame_time``.
    label : array, optional
        ``[N]`` class indices (-1 = unknown) or class names, or ``[N, classes]`` 0/1.
    name, classes : sequence of str, optional
        Unique ids of the loops; class names.
    frame_time : array, optional
        ``[N, frames]`` seconds, for loops with uneven frames or different rates.
    mm_per_pixel : array, optional
        ``[N, 2]`` or ``[2]`` millimetres per pixel along y and x; NaN where unknown.
    length : array, optional
        ``[N]`` number of frames of each loop; black ones follow.
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
    cine = cine if hasattr(cine, "__dask_graph__") else np.asarray(cine)
    if cine.ndim != 4:
        raise SamplesError(
            f"cine loops came with shape {list(cine.shape)} and should be grey [samples, frames, height, width]; add the "
            "missing dimension, or drop the colours."
        )
    n, frames = cine.shape[:2]
    variables: dict[str, Any] = {"cine": (CINE_DIMS, cine)}
    variables["name"] = (
        "sample",
        np.asarray(numbered(n) if name is None else [str(s) for s in name], dtype=str),
    )
    known: dict[str, Any] = {**WORDS, "classes": [str(c) for c in classes or []]}
    if label is not None:
        label, known["classes"] = as_labels(label, None if classes is None else known["classes"], n)
        variables["label"] = (("sample", "class")[: label.ndim], label)
    if frame_time is not None:
        variables["frame_time"] = (("sample", "time"), np.asarray(frame_time, np.float64), {"units": "s"})
    if mm_per_pixel is not None:
        spacing = np.broadcast_to(np.asarray(mm_per_pixel, np.float64), (n, 2))
        variables["mm_per_pixel"] = (("sample", "direction"), spacing)
    if length is not None:
        variables["length"] = ("sample", np.asarray(length, np.int64))
    if rate is None and frame_time is None:
        raise SamplesError("cine loops came without times; give rate= in frames per second, or frame_time=.")
    times = np.arange(frames) / rate if rate else np.asarray(frame_time, np.float64)[0]
    coords: dict[str, Any] = {"time": ("time", times, {"units": "s"})}
    if mm_per_pixel is not None:
        coords["direction"] = ["y", "x"]
    try:
        ds = xr.Dataset(variables, coords, {**known, **attrs})
    except ValueError as e:
        raise SamplesError(
            f"the fields of the cine loops do not match the loops ({str(e).splitlines()[0][:120]}); give one entry per loop."
        ) from None
    return validate_cine(ds)


def validate_cine(ds: xr.Dataset) -> xr.Dataset:
    """Return ``ds`` when it follows the schema of cine loops, with missing names and attributes added.

    Raises
    ------
    SamplesError
        In one sentence: what was given, what was expected, what to do.
    """
    cine = ds["cine"]
    if cine.dims != CINE_DIMS:
        raise SamplesError(
            f"'cine' has dimensions {list(cine.dims)} and should have {list(CINE_DIMS)}; transpose or rename them."
        )
    if not all(cine.shape):
        raise SamplesError(f"'cine' has shape {list(cine.shape)} and is empty; give at least one picture.")
    if cine.dtype != np.uint8 and cine.dtype.kind != "f":
        raise SamplesError(
            f"'cine' is {cine.dtype} and should be uint8 or float in [0, 1]; use .astype('uint8') when it holds 0 to 255."
        )
    if cine.dtype.kind == "f":
        if in_memory(cine):
            check_range(cine.values)
        ds = ds.assign(cine=cine.astype(np.float32))
    if "time" not in ds.coords:
        raise SamplesError("'cine' needs the coordinate 'time' in seconds; build it with cine_dataset.")
    _check_known(ds)
    return described(ds)


def _check_known(ds: xr.Dataset) -> None:
    times = ds["frame_time"].values if "frame_time" in ds else ds["time"].values[None]
    if not np.isfinite(times).all() or (np.diff(times, axis=-1) <= 0).any():
        raise SamplesError(
            "the times of the frames should increase from frame to frame; give them in seconds."
        )
    if "mm_per_pixel" in ds:
        spacing = ds["mm_per_pixel"]
        if spacing.dims != ("sample", "direction") or spacing.shape[1] != 2:
            raise SamplesError(
                f"'mm_per_pixel' has shape {list(spacing.shape)} of {list(spacing.dims)} and should be [samples, 2]: y and x."
            )
        if (spacing.values <= 0).any():
            raise SamplesError("'mm_per_pixel' should be positive; use NaN where it is unknown.")
    if "length" in ds and not ((ds["length"].values > 0) & (ds["length"].values <= ds.sizes["time"])).all():
        raise SamplesError(f"'length' should lie between 1 and {ds.sizes['time']}, the frames of the loops.")


class CineKind(ArrayKind):
    """Loops ``cine [sample, time, y, x]``: uint8 or floats in [0, 1], with ``frame_time`` (s) and ``mm_per_pixel``."""

    key, plural, dims = "cine", "cine loops", CINE_DIMS
    accepts: ClassVar[tuple[str, ...]] = (".gif", ".tif", ".tiff", ".webp")

    def validate(self, ds: xr.Dataset) -> xr.Dataset:
        """Validate as :func:`validate_cine` does."""
        return validate_cine(ds)

    def usable(self, computed: np.ndarray) -> np.ndarray:
        """Return loops whose floats lie in [0, 1], or raise a one-sentence :class:`SamplesError`."""
        if computed.dtype.kind == "f" and computed.size:
            check_range(computed)
        return computed

    def check(self, model: Taking, given: np.ndarray) -> None:
        """Raise a one-sentence :class:`ModelError` unless ``given`` is ``[N, frames, H, W]`` as the model expects."""
        want = "frames, H, W" if model.size is None else ", ".join(map(str, model.size))
        if given.ndim != 4 or (model.size is not None and given.shape[1:] != tuple(model.size)):
            raise ModelError(
                f"model {model.name!r} got cine loops of shape {list(given.shape)} and expects [N, {want}]; convert them "
                "with the fitted of their kind."
            )
        if given.dtype != np.uint8:
            check_unit_range(model, given, self.plural)

    def tensor(self, given: np.ndarray, device: Any, dtype: Any) -> Any:
        """Convert loops ``[N, frames, H, W]`` to a tensor ``[N, 1, frames, H, W]`` in [0, 1]."""
        import torch

        x = torch.from_numpy(np.ascontiguousarray(given[:, None]))
        return x.to(device, dtype) / (255 if given.dtype == np.uint8 else 1)

    def example(self, channels: int, size: tuple[int, ...] | None) -> list[int]:
        """Return the shape of the tensor of one loop; 16 frames of 64x64 pixels when any size is accepted."""
        return [1, channels, *(size or (16, 64, 64))]

    def said(self, model: Taking) -> str:
        """Describe in words what a model takes."""
        size = (
            "any size"
            if model.size is None
            else f"{model.size[0]} frames of {'x'.join(map(str, model.size[1:]))}"
        )
        return size + (f" at {model.rate:g} per second" if model.rate else "")

    def fitted(self, model: Taking, ds: xr.Dataset) -> xr.Dataset:
        """Take frames at the model's rate, cut or repeat the last frame, crop around the centre and resize.

        Parameters
        ----------
        model : Taking
            ``size`` (frames, height, width) and ``rate`` are used.
        ds : xarray.Dataset
            Loops.

        Returns
        -------
        xarray.Dataset
            With calibration and times of the new pixels and frames, and the attribute ``prepared``; ``ds`` itself when it fits.
        """
        frames, height, width = model.size or ds["cine"].shape[1:]
        shape = tuple(ds["cine"].shape[1:])
        own = ds["frame_time"].values if "frame_time" in ds else ds["time"].values[None]
        step = float(np.diff(own, axis=-1).mean()) if own.shape[-1] > 1 else 1.0
        if shape == (frames, height, width) and (not model.rate or abs(step * model.rate - 1) < 1e-3):
            return ds
        times = np.arange(frames) / (model.rate or 1 / step)
        loops = self.inputs(ds, slice(None))
        loops = loops if loops.dtype == np.uint8 else np.round(loops * 255).astype(np.uint8)
        ends = np.asarray(ds["length"].values if "length" in ds else np.full(len(loops), shape[0]))
        made = np.zeros((len(loops), frames, height, width), np.uint8)
        for i, loop in enumerate(loops):
            at = _nearest(own[min(i, len(own) - 1)][: ends[i]], times)
            made[i] = [fit(loop[t][..., None], (height, width), 1)[..., 0] for t in at]
        kept = ds.drop_vars([v for v in ("cine", "frame_time", "length") if v in ds])
        out = kept.drop_dims([d for d in ("time", "y", "x") if d in kept.dims]).assign(cine=(CINE_DIMS, made))
        out = out.assign_coords(time=("time", times, {"units": "s"}))
        if "mm_per_pixel" in ds:
            (left, top, right, bottom), _ = middle(shape[1:], (height, width))
            factor = xr.DataArray([(bottom - top) / height, (right - left) / width], dims="direction")
            out["mm_per_pixel"] = (ds["mm_per_pixel"] * factor).transpose("sample", "direction")
        return self.validate(
            with_step(out, step="fit", **{"from": list(shape), "to": [frames, height, width]})
        )

    def thumbnail(self, array: np.ndarray, side: int) -> np.ndarray:
        """Return the middle frame of a loop ``[frames, H, W]``: ``[side, side, 3]`` uint8."""
        return tile(array[len(array) // 2], side)


def _nearest(own: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Return the index of the frame nearest to each wanted time after the first; the last one is repeated."""
    return np.abs((own - own[0])[:, None] - wanted[None]).argmin(0)


def decode_cine(name: str, data: bytes, *, max_bytes: float = MOST_BYTES) -> xr.Dataset:
    """Decode an uploaded animation.

    Parameters
    ----------
    name : str
        Name of the file.
    data : bytes
        Contents of the file.
    max_bytes : float
        Limit on bytes; frames and pixels are limited too.

    Returns
    -------
    xarray.Dataset
        Grey loops. Without durations in the file, 25 frames per second are assumed, and the note says so.

    Raises
    ------
    SamplesError
        In one sentence: empty, too large, not an animation, damaged.
    """
    from PIL import Image, ImageSequence

    if not data or len(data) > max_bytes:
        raise SamplesError(
            f"the upload has {len(data) / 1e6:.1f} MB (allowed: 1 byte to {max_bytes / 1e6:.0f} MB); choose another file."
        )
    try:
        with Image.open(io.BytesIO(data), formats=("GIF", "TIFF", "WEBP", "PNG")) as image:
            frames = getattr(image, "n_frames", 1)
            if frames > MOST_FRAMES or image.width * image.height > MOST_PIXELS:
                raise SamplesError(
                    f"the loop has {frames} frames of {image.width}x{image.height} pixels (limit: {MOST_FRAMES} of "
                    f"{MOST_PIXELS / 1e6:.0f} megapixels); make it shorter or smaller."
                )
            lasts, pictures = [], []
            for frame in ImageSequence.Iterator(image):
                lasts.append(float(frame.info.get("duration", 0)))
                pictures.append(np.asarray(frame.convert("L")))
    except SamplesError:
        raise
    except Exception:  # noqa: BLE001 - Pillow raises many types for a file that is not an animation
        raise SamplesError("the upload cannot be read as an animation; choose GIF, TIFF or WebP.") from None
    timed = len(lasts) > 1 and min(lasts) > 0
    times = np.cumsum([0, *lasts[:-1]]) / 1000 if timed else np.arange(len(lasts)) / 25
    note = "" if timed else "The file gives no times; 25 frames per second are assumed."
    return cine_dataset(np.stack(pictures)[None], frame_time=times[None], note=note, title=name)
