"""Image folders: one subfolder per class, or a flat folder with a CSV of labels."""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from PIL import Image

from xai_views.errors import SamplesError, cause
from xai_views.kinds.checks import from_names
from xai_views.kinds.image import dataset
from xai_views.kinds.pixels import checked_size, plain, resize
from xai_views.samples.readers.csv_table import read_table

logger = logging.getLogger("xai_views.samples")
SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp")
#: Bytes of decoded images above which a folder is read from disk on access.
IN_MEMORY = 500_000_000
KEYS = ("name", "file", "filename")


def open_folder(
    path: Path, labels: Any = None, size: tuple[int, int] | None = None, classes: Any = None
) -> xr.Dataset:
    """Open a folder of images.

    Image files that cannot be read are skipped, each with a warning in the log, unless none can be read; files
    of other types and hidden ones are ignored. Grey images stay grey unless some images are coloured.

    Parameters
    ----------
    path : Path
        One subfolder per class; or images, with labels in a CSV (columns ``name`` or ``file``, and ``label``).
    labels : str, Path or sequence, optional
        The CSV, or one label per image in the order of their paths; ``labels.csv`` or the only ``*.csv``
        of the folder is used by default.
    size : (int, int), optional
        Height and width to resize to; required when the images differ in size.
    classes : sequence of str, optional
        Class names in order; alphabetical by default.

    Returns
    -------
    xarray.Dataset
        In memory up to ``IN_MEMORY`` bytes, else read file by file on access.

    Raises
    ------
    SamplesError
        In one sentence: no images, different sizes, a CSV that does not match, nothing readable.
    """
    size = checked_size(size)
    files = sorted(
        p
        for p in path.rglob("*")
        if p.suffix.lower() in SUFFIXES
        and p.is_file()
        and not any(part.startswith(".") for part in p.relative_to(path).parts)
    )
    if not files:
        raise SamplesError(
            f"folder {path.name!r} holds no images; give one with {', '.join(SUFFIXES[:3])} files."
        )
    files, shapes = _readable(files, path)
    channels = 3 if any(c == 3 for _, _, c in shapes) else 1
    if size is None:
        size = shapes[0][:2]
        odd = next((k for k, s in enumerate(shapes) if s[:2] != size), None)
        if odd is not None:
            raise SamplesError(
                f"{files[0].name!r} has {size[0]}x{size[1]} pixels (height x width) and {files[odd].name!r} "
                "has "
                f"{shapes[odd][0]}x{shapes[odd][1]}; give open_samples size=(height, width) to resize them."
            )
    files, image = _stack(files, size, channels, path)
    label, classes = _labels(path, files, labels, classes)
    return dataset(image, label, _names(path, files), classes, title=path.name, origin=path.name)


def _names(path: Path, files: list[Path]) -> list[str]:
    """Return ids for URLs that identify the files."""

    def plain_name(text: str) -> str:
        return re.sub(r"[^A-Za-z0-9._~-]+", "-", text).strip("-") or "image"

    names = [plain_name(p.relative_to(path).with_suffix("").as_posix()) for p in files]
    if len(set(names)) < len(names):  # x.png beside x.jpg
        names = [plain_name(p.relative_to(path).as_posix()) for p in files]
    if len(set(names)) < len(names):  # names in scripts without plain letters
        names = [f"{n}-{i:05d}" for i, n in enumerate(names)]
    return names


def read(file: Path, size: tuple[int, int] | None = None, channels: int = 3) -> np.ndarray:
    """Read one image file, upright, transparency over white.

    Parameters
    ----------
    file : Path
        Any image that Pillow reads; the first picture of an animation.
    size : (int, int), optional
        Height and width to resize to.
    channels : int
        1 (grey) or 3 (RGB).

    Returns
    -------
    ndarray
        ``[H, W, channels]`` uint8.

    Raises
    ------
    SamplesError
        When the file cannot be read completely.
    """
    try:
        with Image.open(file) as image:
            array = np.asarray(resize(plain(image, grey=channels == 1), size))
    except Exception as e:  # noqa: BLE001 - Pillow raises many types for a broken file
        raise SamplesError(
            f"{file.name!r} cannot be read as an image ({cause(e, 60)}); replace or remove it."
        ) from None
    return array[..., None] if array.ndim == 2 else array


def _readable(files: list[Path], path: Path) -> tuple[list[Path], list[tuple[int, int, int]]]:
    """Return the files with intact headers, with their upright shapes; nothing is decoded yet."""
    good, shapes, bad = [], [], []
    for file in files:
        try:
            with Image.open(file) as image:
                turned = image.getexif().get(0x0112, 1) in (5, 6, 7, 8)
                h, w = (image.width, image.height) if turned else (image.height, image.width)
                grey = image.mode[0] in "1LIF" and image.mode != "LAB"
            good.append(file)
            shapes.append((h, w, 1 if grey else 3))
        except Exception:  # noqa: BLE001 - Pillow raises many types for a broken file
            bad.append(file)
    _leave_out(bad, good, path)
    return good, shapes


def _leave_out(bad: list[Path], good: list[Path], path: Path) -> None:
    if not good:
        raise SamplesError(
            f"none of the {len(bad)} image files in {path.name!r} can be read, the first "
            "being "
            f"{bad[0].name!r}; replace them."
        )
    for file in bad:
        logger.warning("%s cannot be read as an image and is skipped.", file.name)


def _stack(files: list[Path], size: tuple[int, int], channels: int, path: Path) -> tuple[list[Path], Any]:
    """Return all images in memory when they are few enough, else lazily: each file is read on access."""
    shape = (*size, channels)
    if len(files) * np.prod(shape, dtype=np.int64) > IN_MEMORY:
        from dask.array import Array
        from dask.base import tokenize

        name = "folder-" + tokenize([(str(f), f.stat().st_mtime_ns) for f in files], shape)
        graph = {(name, i, 0, 0, 0): (_read_one, f, size, channels) for i, f in enumerate(files)}
        return files, Array(graph, name, ((1,) * len(files), *((k,) for k in shape)), dtype=np.uint8)
    good, bad, pictures = [], [], []
    for file in files:
        try:
            pictures.append(read(file, size, channels))
            good.append(file)
        except SamplesError:
            bad.append(file)
    _leave_out(bad, good, path)
    return good, np.stack(pictures)


def _read_one(file: Path, size: tuple[int, int], channels: int) -> np.ndarray:
    return read(file, size, channels)[None]


def _labels(path: Path, files: list[Path], labels: Any, classes: Any) -> tuple[Any, list[str] | None]:
    classes = None if classes is None else [str(c) for c in classes]
    if labels is None:
        tables = sorted(path.glob("*.csv"))
        named = path / "labels.csv"
        labels = named if named in tables else tables[0] if len(tables) == 1 else None
    if isinstance(labels, str | Path):
        inside = path / labels
        table = inside if inside.is_file() else Path(labels).expanduser()
        return from_names(_table(table, path, files), classes)
    if labels is not None:
        return labels, classes
    places = [p.relative_to(path).parts for p in files]
    if all(len(p) > 1 for p in places):
        return from_names([p[0] for p in places], classes)
    return None, classes


def _table(file: Path, path: Path, files: list[Path]) -> list[str]:
    """Read the label of every file from a CSV."""
    if not file.is_file():
        raise SamplesError(
            f"there is no label file {file.name!r} in {path.name!r}; give labels= the path of a CSV."
        )
    table = read_table(file)
    key = next((c for c in table.columns if c in KEYS), None)
    if key is None or "label" not in table:
        raise SamplesError(
            f"{file.name!r} has the columns {list(table.columns)} and needs 'file' (or 'name') and 'label'."
        )
    label = table.drop_duplicates([key, "label"]).set_index(key)["label"]
    if not label.index.is_unique:
        twice = label.index[label.index.duplicated()][0]
        first, second = label[twice].iloc[:2]
        raise SamplesError(f"{file.name!r} has two labels for {twice!r}, {first!r} and {second!r}; keep one.")
    known = label.to_dict()
    found = [known.get(f.relative_to(path).as_posix(), known.get(f.name, known.get(f.stem))) for f in files]
    missing = next((f.name for f, c in zip(files, found, strict=True) if c in (None, "")), None)
    if missing is not None:
        raise SamplesError(f"{file.name!r} has no label for {missing!r}; add one, or remove the image.")
    return [str(c) for c in found]
