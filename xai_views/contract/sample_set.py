"""Base class of families of sample sets: their names in the catalogue, and how each set is opened, generated or built."""

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
        Sets that are generated on first use and need no file: each name mapped to the name whose card describes it
        ("" for its own).
    flips : tuple of str
        Symmetries that keep the label of an image: "x", "y" mirror, "t" transposes.
    shift : int
        Largest shift in pixels that keeps it.
    trained : str
        Note for every network that is trained on them.
    """

    names: ClassVar[tuple[str, ...]]
    made: ClassVar[Mapping[str, str]] = {}
    flips: ClassVar[tuple[str, ...]] = ("x",)
    shift: ClassVar[int] = 2
    trained: ClassVar[str] = ""

    def folders(self, root: Path) -> dict[str, Path]:
        """Find the folders that hold the cards of the sets.

        A set ``birds/test`` has a folder ``birds-test``, or shares ``birds`` with the other sets of the family. The folder
        is in ``root``, or beside the module of the class.

        Parameters
        ----------
        root : Path
            Folder of the sample sets in the catalogue.

        Returns
        -------
        dict of str to Path
            Only existing folders.
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
            Folder of its card; None for a set that needs no file and has no folder here.
        card : mapping
            Contents of the card; empty without one.

        Raises
        ------
        SamplesError
            With a one-sentence message.
        """
        raise NotImplementedError

    def build(self, out: Path) -> None:
        """Write the folders of the sets below ``out``; only families that ship sets implement it."""
        raise NotImplementedError

    def further(self, n: int) -> tuple[np.ndarray, np.ndarray] | None:
        """Generate at least ``n`` more training images ``[N, H, W, C]`` and targets ``[N, classes]``; None when not possible."""
        return None

    def concepts(self) -> tuple[np.ndarray, ...]:
        """Return the known parts of the classes: per part ``[classes, kinds]`` float32, 1 for the kind that a class has."""
        return ()
