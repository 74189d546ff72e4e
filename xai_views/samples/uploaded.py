"""An uploaded file as a set of samples, before a model is chosen for it: an image, images in a .zip or .npz, or ECG records."""

from __future__ import annotations

import io
import re
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import xarray as xr

from xai_views import kinds
from xai_views.errors import SamplesError
from xai_views.kinds.image import dataset
from xai_views.kinds.pixels import decode_upload, fit
from xai_views.samples.readers.arrays import load_npz
from xai_views.samples.readers.ecg_upload import INSIDE, check_arrays, open_ecg_bytes
from xai_views.samples.readers.folder import SUFFIXES

#: Limits of one upload: bytes of the file, unpacked bytes; images, pixels kept per image, pixels of all images.
MOST_BYTES, MOST_UNPACKED = 10_000_000, 100_000_000
MOST_IMAGES, MOST_KEPT, MOST_PIXELS = 500, 500_000, 30_000_000
#: File types offered by the browser's file dialog.
ACCEPT = "image/*,.zip,.npz,.csv,.dcm"

_TAKEN = "choose an image, a .zip or .npz of images, or an ECG (.csv, .dcm, .npz, or a .zip of .hea and .dat)"


@dataclass(frozen=True)
class Uploaded:
    """Contents of one uploaded file.

    Attributes
    ----------
    title : str
        Name of the file, for people.
    kind : str
        "image" or "signal".
    names : tuple of str
        Ids of the samples.
    pictures : tuple of ndarray
        Images ``[H, W, C]`` uint8, of any sizes; () for signals.
    labels : tuple of int, optional
        Class of each image, when the file contains labels.
    records : Dataset, optional
        ECG records; None for images.
    """

    title: str
    kind: str
    names: tuple[str, ...]
    pictures: tuple[np.ndarray, ...] = ()
    labels: tuple[int, ...] | None = None
    records: xr.Dataset | None = None

    @property
    def nbytes(self) -> int:
        """Bytes kept in memory."""
        return sum(p.nbytes for p in self.pictures) + (self.records.nbytes if self.records is not None else 0)

    def fitted(self, model: Any) -> xr.Dataset:
        """Return the samples as a model takes them: images cropped around their centre and resized, records as they are.

        Raises
        ------
        SamplesError
            When the model takes samples of another kind.
        """
        if model.kind != self.kind:
            raise SamplesError(
                f"{self.title!r} holds {self.kind}s and {model.name!r} takes {model.kind}s; choose another model."
            )
        if self.records is not None:
            return self.records
        size = model.size or self.pictures[0].shape[:2]
        images = np.stack([fit(p, size, model.channels) for p in self.pictures])
        known = self.labels is not None and max(self.labels) < len(model.classes)
        label, classes = (self.labels, model.classes) if known else (None, None)
        note = "Uploaded; kept in memory only."
        return dataset(images, label, self.names, classes, title=self.title, note=note)


def open_uploaded(name: str, data: bytes) -> Uploaded:
    """Read the bytes of one uploaded file, within limits; nothing is left on disk, and nothing in it is run.

    Parameters
    ----------
    name : str
        Name of the file; only its extension is used, and its last part as title.
    data : bytes
        Contents of the file.

    Raises
    ------
    SamplesError
        In one sentence: empty, too large, damaged, or of another type.
    """
    plain = PurePosixPath(str(name).replace("\\", "/")).name[:80] or "upload"
    suffix = PurePosixPath(plain).suffix.lower()
    if not data:
        raise SamplesError(f"{plain!r} is empty; {_TAKEN}.")
    if len(data) > MOST_BYTES:
        raise SamplesError(
            f"{plain!r} has {len(data) / 1e6:.1f} MB (limit: {MOST_BYTES / 1e6:.0f} MB); choose a smaller file."
        )
    if suffix == ".zip" and not _holds_records(data):
        return _zip(plain, data)
    if suffix == ".npz":
        check_arrays(data, plain, MOST_UNPACKED / 8)
        arrays = load_npz(io.BytesIO(data))
        if "image" in arrays or "images" in arrays:
            return _arrays(plain, arrays)
    if suffix in {".zip", ".npz", ".csv", ".dcm", ".dicom"}:
        records = open_ecg_bytes(plain, data, max_bytes=MOST_BYTES, max_unpacked=MOST_UNPACKED)
        return Uploaded(
            plain, kinds.of(records).key, tuple(map(str, records["name"].values)), records=records
        )
    if suffix and suffix not in SUFFIXES:
        raise SamplesError(f"{plain!r} is of an unsupported type; {_TAKEN}.")
    return Uploaded(
        plain, "image", (_id(plain, 0),), (decode_upload(data, max_bytes=MOST_BYTES, max_kept=MOST_KEPT),)
    )


def _holds_records(data: bytes) -> bool:
    """Return whether a .zip contains ECG records; False when it cannot be read."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return any(n.lower().endswith(INSIDE[0]) for n in archive.namelist())
    except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError):
        return False


def _zip(title: str, data: bytes) -> Uploaded:
    """Decode the images of a .zip; names in it are only read, never used as paths."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            wanted = _images_in(title, archive)
            pictures = [_decoded(archive, f) for f in wanted]
    except SamplesError:
        raise
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError, OSError):
        raise SamplesError(f"{title!r} is not a complete .zip; pack it again.") from None
    _bounded(title, pictures)
    return Uploaded(title, "image", _ids([f.filename for f in wanted]), tuple(pictures))


def _images_in(title: str, archive: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    wanted = [
        f
        for f in archive.infolist()
        if not f.is_dir()
        and PurePosixPath(f.filename).suffix.lower() in SUFFIXES
        and not any(part.startswith((".", "__MACOSX")) for part in PurePosixPath(f.filename).parts)
    ]
    if not wanted:
        raise SamplesError(f"{title!r} holds neither images nor ECG records; {_TAKEN}.")
    size = sum(f.file_size for f in wanted)
    if len(wanted) > MOST_IMAGES or size > MOST_UNPACKED:
        raise SamplesError(
            f"{title!r} holds {len(wanted)} images of {size / 1e6:.0f} MB (limit: {MOST_IMAGES} images of "
            f"{MOST_UNPACKED / 1e6:.0f} MB); pack fewer."
        )
    return sorted(wanted, key=lambda f: f.filename)


def _decoded(archive: zipfile.ZipFile, file: zipfile.ZipInfo) -> np.ndarray:
    name = PurePosixPath(file.filename).name[:80]
    with archive.open(file) as source:
        content = source.read(MOST_BYTES + 1)  # the size in a zip's directory is only a claim
    try:
        return decode_upload(content, max_bytes=MOST_BYTES, max_kept=MOST_KEPT)
    except SamplesError as error:
        raise SamplesError(f"{name!r} in the .zip cannot be used: {error}") from None


def _arrays(title: str, arrays: dict[str, np.ndarray]) -> Uploaded:
    """Read the images of a .npz: ``image [N, H, W(, C)]`` and, if present, ``label [N]``."""
    ds = dataset(arrays.get("image", arrays.get("images")), arrays.get("label"))
    images = kinds.get("image").inputs(ds, slice(None))
    if images.dtype != np.uint8:
        images = np.round(images * 255).astype(np.uint8)
    if len(images) > MOST_IMAGES:
        raise SamplesError(f"{title!r} holds {len(images)} images (limit: {MOST_IMAGES}); save fewer.")
    _bounded(title, list(images))
    label = ds["label"].values if "label" in ds and ds["label"].ndim == 1 else None
    numbers = None if label is None else tuple(int(v) for v in label)
    return Uploaded(
        title, "image", _ids([f"image-{i:04d}" for i in range(len(images))]), tuple(images), numbers
    )


def _bounded(title: str, pictures: Sequence[np.ndarray]) -> None:
    pixels = sum(p.shape[0] * p.shape[1] for p in pictures)
    if pixels > MOST_PIXELS:
        raise SamplesError(
            f"the images of {title!r} have {pixels / 1e6:.0f} megapixels in all (limit: "
            f"{MOST_PIXELS / 1e6:.0f}); give fewer or smaller ones."
        )


def _ids(names: Sequence[str]) -> tuple[str, ...]:
    """Return ids for links that identify the images."""
    found = [_id(name, i) for i, name in enumerate(names)]
    return tuple(found if len(set(found)) == len(found) else (f"{n}-{i:04d}" for i, n in enumerate(found)))


def _id(name: str, place: int) -> str:
    stem = PurePosixPath(name).with_suffix("").as_posix()
    return re.sub(r"[^A-Za-z0-9._~-]+", "-", stem).strip("-.")[:80] or f"image-{place:04d}"
