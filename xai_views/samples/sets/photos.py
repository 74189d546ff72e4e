"""Photographs in scikit-image and scikit-learn, read from the installed packages; none are shipped here."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import xarray as xr
from PIL import Image

from xai_views.contract.sample_set import SampleFamily
from xai_views.errors import SamplesError
from xai_views.kinds.image import dataset
from xai_views.samples.sets.shipped import words_of
from xai_views.samples.sets.writing import write_card

SIDE = 224
FOLDERS = {"skimage": "data", "sklearn": "datasets/images"}
#: Name: package, file, and the index of its class in ImageNet; -1 where none fits or several do.
PHOTOS: dict[str, tuple[str, str, int]] = {
    "chelsea": ("skimage", "chelsea.png", -1),  # a cat; tabby, tiger and Egyptian cat all fit
    "coffee": ("skimage", "coffee.png", 967),
    "camera": ("skimage", "camera.png", 872),
    "china": ("sklearn", "china.jpg", 698),
    "astronaut": ("skimage", "astronaut.png", -1),
    "motorcycle-left": ("skimage", "motorcycle_left.png", -1),
    "motorcycle-right": ("skimage", "motorcycle_right.png", -1),
    "flower": ("sklearn", "flower.jpg", -1),
    "rocket": ("skimage", "rocket.jpg", -1),
    "coins": ("skimage", "coins.png", -1),
    "brick": ("skimage", "brick.png", -1),
    "gravel": ("skimage", "gravel.png", -1),
    "grass": ("skimage", "grass.png", -1),
    "moon": ("skimage", "moon.png", -1),
    "hubble": ("skimage", "hubble_deep_field.jpg", -1),
}


def square(picture: Image.Image, side: int = SIDE) -> np.ndarray:
    """Scale the short side to ``side`` and crop the centre: ``[side, side, 3]`` uint8."""
    picture = picture.convert("RGB")
    scale = side / min(picture.size)
    picture = picture.resize([max(side, round(n * scale)) for n in picture.size], Image.Resampling.BICUBIC)
    left, upper = (picture.width - side) // 2, (picture.height - side) // 2
    return np.asarray(picture.crop((left, upper, left + side, upper + side)))


def _folder(package: str) -> Path | None:
    found = importlib.util.find_spec(
        package
    )  # without importing it, because importing scikit-learn takes a second
    places = list(found.submodule_search_locations or ()) if found else []
    return Path(places[0]) / FOLDERS[package] if places else None


@cache
def _read() -> tuple[tuple[str, ...], np.ndarray]:
    """Return names and pictures ``[N, 224, 224, 3]`` available in the installed packages."""
    folders = {package: _folder(package) for package in FOLDERS}
    names, pictures = [], []
    for name, (package, file, _) in PHOTOS.items():
        folder = folders[package]
        if folder is None:
            continue
        try:
            with Image.open(folder / file) as picture:
                pictures.append(square(picture))
            names.append(name)
        except OSError:  # missing in other versions of the package
            continue
    if not names:
        raise SamplesError(
            "none of the photographs can be found; install scikit-image and scikit-learn again with "
            "pip install --force-reinstall scikit-image scikit-learn."
        )
    return tuple(names), np.stack(pictures)


def photo_samples(card: Mapping[str, Any]) -> xr.Dataset:
    """Open the photographs.

    Parameters
    ----------
    card : mapping
        The card of ``photos``; its classes are those of ImageNet.

    Returns
    -------
    xarray.Dataset
        Up to 15 pictures of 224x224 pixels; grey ones have three equal channels.

    Raises
    ------
    SamplesError
        When none can be read.
    """
    names, pictures = _read()
    return dataset(
        pictures.copy(),
        np.asarray([PHOTOS[n][2] for n in names], np.int64),
        names,
        card.get("classes"),
        title="photos",
        **words_of(card),
    )


class Photos(SampleFamily):
    """Photographs in scikit-image and scikit-learn."""

    names: ClassVar = ("photos",)

    def open(self, name: str, folder: Path | None, card: Mapping[str, Any]) -> xr.Dataset:
        """Read the photographs from the installed packages."""
        return photo_samples(card)

    def build(self, out: Path) -> None:
        """Write the card of the photographs, which stay in their packages."""
        write_card(
            out / "photos",
            {
                "name": "photos",
                "title": "Photographs of scikit-image and scikit-learn",
                "classes": "imagenet",
                "samples": len(PHOTOS),
                "size": [SIDE, SIDE],
                "synthetic": False,
                "note": "A handful of well-known pictures: good for looking, far too few to measure a network with.",
                "licence": "CC0 or public domain, as the packages say; china and flower CC BY 2.0 (danielbuechele, vultilion)",
                "origin": "the installed packages scikit-image and scikit-learn; scaled and cut to 224x224 when opened",
                "command": "python -m xai_views.samples build photos --out data/samples",
                "sha256": {},
            },
        )
