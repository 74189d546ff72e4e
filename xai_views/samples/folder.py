"""Image folders: a subfolder per class, or a flat folder with a CSV of labels."""

from __future__ import annotations

import csv
import logging
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from PIL import Image, ImageOps

from ..errors import SamplesError
from .schema import dataset

logger = logging.getLogger("xai_views.samples")
SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp")
#: Bytes of decoded images beyond which a folder stays on disk and is read when looked at.
IN_MEMORY = 500_000_000


def open_folder(path: Path, labels: Any = None, size: tuple[int, int] | None = None) -> xr.Dataset:
    """Open a folder of images.

    Parameters
    ----------
    path : Path
        A subfolder per class; or images, with labels in a CSV (columns ``name`` or ``file``, and ``label``).
    labels : str or Path, optional
        The CSV; a single ``*.csv`` in the folder is found by itself.
    size : (int, int), optional
        Height and width to resize to; needed when the images differ in size.

    Returns
    -------
    xarray.Dataset
        Files that cannot be read are left out with a warning in the log.

    Raises
    ------
    SamplesError
        In one sentence: no images, different sizes, a CSV that does not fit, nothing readable.
    """
    files = sorted(p for p in path.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())
    if not files:
        raise SamplesError(f"folder {path.name!r} holds no images; give one with {', '.join(SUFFIXES[:3])} files.")
    files, shapes = _readable(files, path)
    channels = 3 if any(c == 3 for _, _, c in shapes) else 1
    if size is None:
        size = shapes[0][:2]
        odd = next((k for k, s in enumerate(shapes) if s[:2] != size), None)
        if odd is not None:
            raise SamplesError(
                f"{files[0].name!r} has {size[0]}x{size[1]} pixels and {files[odd].name!r} {shapes[odd][0]}x{shapes[odd][1]}; "
                "give open_samples size=(height, width) to resize them."
            )
    names = [p.relative_to(path).with_suffix("").as_posix().replace("/", "-") for p in files]
    if len(set(names)) < len(names):
        names = [p.relative_to(path).as_posix().replace("/", "-") for p in files]
    label, classes = _labels(path, files, labels)
    return dataset(_stack(files, tuple(size), channels), label, names, classes, title=path.name, origin=str(path.name))


def read(file: Path, size: tuple[int, int] | None = None, channels: int = 3) -> np.ndarray:
    """Read one image file as ``[H, W, channels]`` uint8, upright, over white where it is transparent."""
    with Image.open(file) as image:
        picture = plain(image, grey=channels == 1)
        if size is not None and picture.size != (size[1], size[0]):
            picture = picture.resize((size[1], size[0]), Image.Resampling.BOX if picture.width > size[1]
                                     else Image.Resampling.BILINEAR)
        array = np.asarray(picture)
    return array[..., None] if array.ndim == 2 else array


def plain(image: Image.Image, grey: bool = False) -> Image.Image:
    """Turn any PIL image upright and into RGB (or grey) over white; 16-bit grey keeps its range."""
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I") or image.mode == "F":
        values = np.asarray(image, np.float64)
        top = 65535 if values.max(initial=0) > 255 else 255
        image = Image.fromarray(np.clip(values * (255 / top), 0, 255).astype(np.uint8))
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("L" if grey else "RGB")


def _readable(files: list[Path], path: Path) -> tuple[list[Path], list[tuple[int, int, int]]]:
    good, shapes, bad = [], [], []
    for file in files:
        try:
            with Image.open(file) as image:
                image.verify()
            with Image.open(file) as image:
                turned = image.getexif().get(0x0112, 1) in (5, 6, 7, 8)
                h, w = (image.width, image.height) if turned else (image.height, image.width)
                grey = image.mode in ("1", "L", "I", "F", "I;16", "LA")
            good.append(file)
            shapes.append((h, w, 1 if grey else 3))
        except Exception:  # noqa: BLE001 - Pillow raises many kinds for a broken file
            bad.append(file)
    if not good:
        raise SamplesError(f"none of the {len(files)} files in {path.name!r} is an image that can be read, the first being "
                           f"{bad[0].name!r}.")
    for file in bad:
        logger.warning("%s cannot be read as an image and is left out.", file.name)
    return good, shapes


def _stack(files: list[Path], size: tuple[int, int], channels: int) -> Any:
    """All images in memory when they are small enough, else a lazy array that reads each file when looked at."""
    if len(files) * size[0] * size[1] * channels <= IN_MEMORY:
        return np.stack([_read_named(f, size, channels) for f in files])
    import dask.array as da
    from dask import delayed

    shape = (*size, channels)
    return da.stack([da.from_delayed(delayed(_read_named)(f, size, channels), shape, np.uint8) for f in files])


def _read_named(file: Path, size: tuple[int, int], channels: int) -> np.ndarray:
    try:
        return read(file, size, channels)
    except OSError as e:
        raise SamplesError(f"{file.name!r} cannot be read to its end ({str(e)[:60]}); replace or remove it.") from None


def _labels(path: Path, files: list[Path], labels: Any) -> tuple[np.ndarray | None, list[str] | None]:
    table = sorted(path.glob("*.csv"))
    if labels is None and len(table) == 1:
        labels = table[0]
    if labels is not None and isinstance(labels, str | Path):
        file = Path(labels) if Path(labels).is_file() else path / labels
        return _from_table(file, path, files)
    if labels is not None:
        label = np.asarray(labels)
        if label.shape != (len(files),):
            raise SamplesError(f"{label.shape[0] if label.ndim else 1} labels were given for {len(files)} images; give one each.")
        return label, None
    folders = [p.relative_to(path).parts[0] if len(p.relative_to(path).parts) > 1 else "" for p in files]
    if all(folders):
        classes = sorted(set(folders))
        return np.asarray([classes.index(f) for f in folders]), classes
    return None, None


def _from_table(file: Path, path: Path, files: list[Path]) -> tuple[np.ndarray, list[str]]:
    if not file.is_file():
        raise SamplesError(f"there is no label file {file.name!r} in {path.name!r}; give labels= the path of a CSV.")
    try:
        rows = list(csv.DictReader(file.read_text("utf-8-sig").splitlines()))
    except (UnicodeDecodeError, csv.Error):
        raise SamplesError(f"{file.name!r} is not a CSV in UTF-8; save it again as one.") from None
    columns = list(rows[0]) if rows else []
    key = next((c for c in columns if c in ("name", "file", "filename")), None)
    if key is None or "label" not in columns:
        raise SamplesError(f"{file.name!r} has the columns {columns} and needs 'file' (or 'name') and 'label'.")
    known = {row[key]: row["label"] for row in rows}
    classes = sorted(set(known.values()))
    label = [known.get(f.relative_to(path).as_posix(), known.get(f.name, known.get(f.stem))) for f in files]
    missing = next((f.name for f, c in zip(files, label, strict=True) if c is None), None)
    if missing is not None:
        raise SamplesError(f"{file.name!r} has no row for {missing!r}; add one, or remove the image.")
    return np.asarray([classes.index(c) for c in label]), classes
