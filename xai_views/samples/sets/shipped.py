"""Sets whose arrays are in ``samples.npz`` of their folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import xarray as xr

from xai_views.errors import SamplesError
from xai_views.kinds.image import dataset
from xai_views.samples.readers.arrays import load_npz

ARRAYS = ("image", "label", "name", "part", "mask")


def shipped(folder: Path | None, name: str, card: Mapping[str, Any]) -> xr.Dataset:
    """Open ``samples.npz`` of a shipped folder with the texts of its card.

    Parameters
    ----------
    folder : Path or None
        Contains ``samples.npz``.
    name : str
        Title of the set.
    card : mapping
        Classes, parts and texts.

    Raises
    ------
    SamplesError
        When the folder or the file is missing, or the file is damaged.
    """
    folder = there(folder, name)
    arrays = load_npz(folder / "samples.npz")
    if "image" not in arrays:
        raise SamplesError(f"{folder.name}/samples.npz holds no images; restore it from its source.")
    held: dict[str, Any] = {k: arrays[k] for k in ARRAYS if k in arrays}
    return dataset(
        **held,
        classes=card.get("classes"),
        parts=card.get("parts"),
        title=name,
        synthetic=int(bool(card.get("synthetic"))),
        **words_of(card),
    )


def there(folder: Path | None, name: str) -> Path:
    """Return the folder of a shipped set, or raise a one-sentence :class:`SamplesError`."""
    if folder is None:
        raise SamplesError(f"the folder of the samples {name!r} is missing; restore data/samples.")
    return folder


def words_of(card: Mapping[str, Any]) -> dict[str, Any]:
    """Return the entries of a card that become attributes of its samples."""
    return {k: card[k] for k in ("note", "licence", "origin") if k in card}
