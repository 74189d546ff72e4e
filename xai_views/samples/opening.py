"""``open_samples``: a catalogue name, arrays, a file or a folder."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from ..errors import SamplesError, nearest
from .folder import open_folder
from .schema import dataset, validate

ARRAYS = ("image", "label", "name", "part", "mask")


def open_samples(spec: Any, *, labels: Any = None, size: tuple[int, int] | None = None, classes: Any = None) -> xr.Dataset:
    """Open samples.

    Parameters
    ----------
    spec : str, Path, Dataset, ndarray, tuple or mapping
        A catalogue name (``"birds/test"``), an image folder (a subfolder per class, or a CSV of labels), a ``.npz`` or
        ``.zarr``, a Dataset, an array ``[N, H, W(, C)]``, a pair ``(images, labels)``, or a mapping of arrays named
        as in the schema.
    labels : array, str or Path, optional
        Class indices of an array, or the CSV file with the labels of a folder.
    size : (int, int), optional
        Height and width to resize the images of a folder to; needed when they differ.
    classes : sequence of str, optional
        Class names of arrays.

    Returns
    -------
    xarray.Dataset
        Validated; lazy where the samples do not fit into memory.

    Raises
    ------
    SamplesError
        In one sentence: what came, what was expected, what to do.
    """
    if isinstance(spec, xr.Dataset):
        return validate(spec)
    if isinstance(spec, tuple) and len(spec) == 2 and not isinstance(spec[0], str):
        spec, labels = spec
    if isinstance(spec, Mapping):
        return _arrays(dict(spec), "the mapping", labels, classes)
    if hasattr(spec, "ndim") and hasattr(spec, "shape"):
        return dataset(spec, labels, classes=classes)
    if not isinstance(spec, str | Path):
        raise SamplesError(f"samples were given as {type(spec).__name__}; give a name, a path, an array or a Dataset.")
    found = _catalogue(str(spec))
    if found is not None:
        return found
    path = Path(spec).expanduser()
    if not path.exists():
        from .. import catalogue

        raise SamplesError(f"there are no samples and no path {str(spec)!r}; the catalogue has "
                           f"{nearest(str(spec), catalogue.samples())}.")
    if path.suffix == ".npz":
        return _npz(path, labels, classes)
    if path.suffix == ".zarr" or (path / "zarr.json").is_file() or (path / ".zgroup").is_file():
        return _zarr(path)
    if path.is_dir():
        return open_folder(path, labels, size)
    raise SamplesError(f"{path.name!r} is neither a folder of images nor .npz nor .zarr; put images into a folder.")


def _catalogue(name: str) -> xr.Dataset | None:
    """The catalogue's samples of this name, None when it has none."""
    from .. import catalogue

    if name == "birds/train":
        from .birds_samples import bird_samples

        return bird_samples("train")
    entries = catalogue.samples()
    if name not in entries:
        return None
    folder, card = entries[name], catalogue.card(entries[name])
    if name.startswith("nuclei/"):
        from .nuclei import nuclei_samples

        return nuclei_samples(folder, name.split("/")[1], card)
    return shipped(folder, name, card)


def shipped(folder: Path, name: str, card: dict) -> xr.Dataset:
    """Open ``samples.npz`` of a shipped folder with the words of its card."""
    with np.load(folder / "samples.npz", allow_pickle=False) as file:
        arrays = {k: file[k] for k in ARRAYS if k in file}
    words = {k: card[k] for k in ("note", "licence", "origin") if k in card}
    return dataset(
        arrays["image"], arrays.get("label"), arrays.get("name"), card["classes"], arrays.get("part"), card.get("parts"),
        arrays.get("mask"), title=name, synthetic=int(bool(card.get("synthetic"))), **words,
    )


def _arrays(arrays: dict[str, Any], what: str, labels: Any, classes: Any) -> xr.Dataset:
    image = arrays.get("image", arrays.get("images"))
    if image is None:
        raise SamplesError(f"{what} holds {sorted(arrays)} and needs an array 'image' [samples, height, width, channels].")
    label = arrays.get("label", arrays.get("labels")) if labels is None else labels
    names = arrays.get("classes") if classes is None else classes
    names = None if names is None else [str(c) for c in np.atleast_1d(names)]
    return dataset(image, label, arrays.get("name"), names, arrays.get("part"), arrays.get("parts"), arrays.get("mask"))


def _npz(path: Path, labels: Any, classes: Any) -> xr.Dataset:
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {k: file[k] for k in file.files}
    except (ValueError, OSError, zipfile.BadZipFile, EOFError) as e:
        raise SamplesError(f"{path.name!r} is not a complete .npz of plain arrays ({str(e)[:80]}); save it with numpy.savez.") \
            from None
    ds = _arrays(arrays, repr(path.name), labels, classes)
    return ds.assign_attrs(title=path.stem)


def _zarr(path: Path) -> xr.Dataset:
    try:
        ds = xr.open_zarr(path)
    except Exception as e:  # noqa: BLE001 - zarr raises many kinds for a folder that is none
        raise SamplesError(f"{path.name!r} is not a Zarr folder that can be read ({str(e).splitlines()[0][:80]}).") from None
    if "name" in ds:
        ds = ds.assign(name=("sample", np.asarray(ds["name"].values, dtype=str)))
    if "label" in ds:
        ds["label"] = ds["label"].compute()
    return validate(ds.assign_attrs(title=ds.attrs.get("title") or path.stem))
