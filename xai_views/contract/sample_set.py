"""What a family of sample sets is: names in the catalogue, and how each is opened, made or built."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import xarray as xr


class SampleFamily:
    """Sample sets of one origin, such as ``birds/train`` and ``birds/test``; an entry of the group ``xai_views.samples``.

    Attributes
    ----------
    names : tuple of str
        Names in the catalogue.
    made : mapping
        Names of sets that are made when they are looked at and need no file, each with the name whose card tells about it
        ("" for its own).
    flips : tuple of str
        Symmetries that leave the label of an image as it is: "x", "y" mirror, "t" transposes.
    shift : int
        Largest shift in pixels that leaves it as it is.
    trained : str
        What to say of every network that is trained on them.
    """

    names: ClassVar[tuple[str, ...]]
    made: ClassVar[Mapping[str, str]] = {}
    flips: ClassVar[tuple[str, ...]] = ("x",)
    shift: ClassVar[int] = 2
    trained: ClassVar[str] = ""

    def folders(self, root: Path) -> dict[str, Path]:
        """Find the folders with the cards of the sets.

        A set ``birds/test`` has a folder ``birds-test``, or shares ``birds`` with the other sets of the family; it lies in
        ``root``, or beside the module of the class.

        Parameters
        ----------
        root : Path
            Of the sample sets of the catalogue.

        Returns
        -------
        dict of str to Path
            Only those that are there.
        """
        module = Path(str(sys.modules[type(self).__module__].__file__)).parent
        found: dict[str, Path] = {}
        for name in self.names:
            own = (name.replace("/", "-"), name.partition("/")[0])
            places = (place / folder for place in (root, module) for folder in own)
            folder = next((p for p in places if (p / "card.yaml").is_file()), None)
            if folder is not None:
                found[name] = folder
        for name, teller in self.made.items():
            if teller in found:
                found.setdefault(name, found[teller])
        return found

    def open(self, name: str, folder: Path | None, card: Mapping[str, Any]) -> xr.Dataset:
        """Open one set.

        Parameters
        ----------
        name : str
            One of ``names``.
        folder : Path or None
            Where its card is; None for a set that needs no file and has none here.
        card : mapping
            What the card says; empty without one.

        Raises
        ------
        SamplesError
            In one sentence.
        """
        raise NotImplementedError

    def build(self, out: Path) -> None:
        """Write the folders of the sets below ``out``; only those who ship sets need it."""
        raise NotImplementedError

    def further(self, n: int) -> tuple[np.ndarray, np.ndarray] | None:
        """Further training images ``[N, H, W, C]`` and targets ``[N, classes]``, at least ``n``; None where nothing draws any."""
        return None

    def concepts(self) -> tuple[np.ndarray, ...]:
        """What the classes are made of, where that is known: per part ``[classes, kinds]`` float32, 1 for the kind it has."""
        return ()
