"""``open_samples``: open a catalogue name, arrays, a file or a folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from xai_views import catalogue, kinds
from xai_views.errors import SamplesError, cause, nearest
from xai_views.kinds.image import dataset
from xai_views.samples.readers.arrays import load_npz
from xai_views.samples.readers.folder import open_folder


def open_samples(
    spec: Any,
    *,
    labels: Any = None,
    split: str | None = None,
    size: tuple[int, int] | None = None,
    classes: Any = None,
    rate: float | None = None,
    leads: Any = None,
) -> xr.Dataset:
    """Open samples.

    Parameters
    ----------
    spec : str, Path, Dataset, ndarray, tuple or mapping
        A catalogue name (``"birds/test"``), an image folder (a subfolder per class, or a CSV of labels), a
        ``.npz``, ``.npy`` or ``.zarr``, ECG records (WFDB, DICOM, ``.csv``, a folder of them), a Dataset, an array
        ``[N, H, W(, C)]``, a pair ``(images, labels)``, or a mapping of arrays named as in the schema.
    labels : array, str or Path, optional
        Class indices or names, one per image; or the CSV with the labels of a folder.
    split : str, optional
        ``"birds"`` with ``split="test"`` is ``"birds/test"``; for a folder it is the subfolder of this name.
    size : (int, int), optional
        Height and width to resize the images of a folder to; required when they differ in size.
    classes : sequence of str, optional
        Class names.
    rate, leads : float, sequence of str, optional
        For ECG tables without them: steps per second (Hz) and the names of the leads.

    Returns
    -------
    xarray.Dataset
        Validated; lazy when the samples do not fit into memory.

    Raises
    ------
    SamplesError
        In one sentence: what was given, what was expected, what to do.
    """
    if isinstance(spec, xr.Dataset):
        return kinds.of(spec).validate(spec)
    if isinstance(spec, tuple) and len(spec) == 2 and not isinstance(spec[0], str):
        spec, labels = spec
    if isinstance(spec, Mapping):
        return _arrays(dict(spec), "the mapping", labels, classes)
    if isinstance(spec, list) or (hasattr(spec, "ndim") and hasattr(spec, "shape")):
        return dataset(spec, labels, classes=classes)
    if not isinstance(spec, str | Path):
        raise SamplesError(
            f"samples were given as {type(spec).__name__}; give a name, a path, an array or a Dataset."
        )
    named = _named(f"{spec}/{split}" if split else str(spec))
    if named is not None:
        return named
    if _exists(spec):
        from xai_views.samples.readers.ecg_files import is_ecg, open_ecg

        if is_ecg(spec):
            return open_ecg(spec, labels=labels, rate=rate, leads=leads, classes=classes)
    return _path(spec, split, labels, size, classes)


def _exists(spec: str | Path) -> bool:
    """Return whether a path exists; a WFDB record is given without extension."""
    path = Path(spec).expanduser()
    try:
        return bool(str(spec).strip()) and (path.exists() or path.with_name(f"{path.name}.hea").is_file())
    except (OSError, ValueError):  # a name that is too long for a path, or not a path
        return False


def _named(name: str) -> xr.Dataset | None:
    """Open the set with a catalogue name; return None when there is none."""
    family = catalogue.sets().get(name)
    folder = catalogue.samples().get(name)
    if family is None or (folder is None and name not in family.made):
        return None
    return family.open(name, folder, catalogue.card(folder) if folder is not None else {})


def _path(
    spec: str | Path, split: str | None, labels: Any, size: tuple[int, int] | None, classes: Any
) -> xr.Dataset:
    path = Path(spec).expanduser()
    if not _exists(spec):
        name = f"{spec}/{split}" if split else str(spec)
        raise SamplesError(
            f"there are no samples and no path {name[:200]!r}; the nearest names in the "
            "catalogue are "
            f"{nearest(name, catalogue.samples())}."
        )
    if path.suffix == ".zarr" or any((path / f).is_file() for f in ("zarr.json", ".zgroup", ".zmetadata")):
        return _zarr(path)
    if path.is_dir():
        if split and not (path / split).is_dir():
            raise SamplesError(
                f"folder {path.name!r} has no subfolder {split!r}; omit split to open the whole folder."
            )
        return open_folder(path / split if split else path, labels, size, classes)
    if path.suffix in (".npz", ".npy"):
        return _arrays(load_npz(path), repr(path.name), labels, classes).assign_attrs(title=path.stem)
    raise SamplesError(
        f"{path.name!r} is neither a folder of images nor .npz, .npy or .zarr; put images "
        "into a folder "
        "and give that."
    )


def _arrays(arrays: dict[str, Any], what: str, labels: Any, classes: Any) -> xr.Dataset:
    image = arrays.get("image", arrays.get("images"))
    if image is None:
        raise SamplesError(
            f"{what} holds {sorted(map(str, arrays))[:8]} and needs an array 'image' "
            "[samples, height, width, channels]."
        )
    label = arrays.get("label", arrays.get("labels")) if labels is None else labels
    names = arrays.get("classes") if classes is None else classes
    names = None if names is None else [str(c) for c in np.atleast_1d(names)]
    parts = arrays.get("parts")
    parts = None if parts is None else [str(p) for p in np.atleast_1d(parts)]
    return dataset(image, label, arrays.get("name"), names, arrays.get("part"), parts, arrays.get("mask"))


def _zarr(path: Path) -> xr.Dataset:
    try:
        ds = xr.open_zarr(path)
    except Exception as e:  # noqa: BLE001 - zarr raises many types for other folders
        why = cause(e)
        raise SamplesError(
            f"{path.name!r} cannot be read as a Zarr folder ({why}); save samples with Dataset.to_zarr."
        ) from None
    # Names and labels are small and needed at once; images are read on access.
    if "name" in ds:
        ds = ds.assign(name=("sample", np.asarray(ds["name"].values, dtype=str)))
    if "label" in ds:
        ds["label"] = ds["label"].compute()
    return kinds.of(ds).validate(ds.assign_attrs(title=ds.attrs.get("title") or path.stem))
