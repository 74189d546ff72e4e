"""What the kinds of input promise: images, signals, cine loops and tables are told apart here and nowhere else."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Protocol, runtime_checkable

import numpy as np
import xarray as xr


class Taking(Protocol):
    """What a kind must know of a model to bring samples to it.

    Attributes
    ----------
    name, kind : str
        For messages, and the key of the kind.
    channels : int
        Colours of an image, leads of a signal, features of a table.
    size : tuple of int or None
        Height and width; steps; frames, height and width; None when any will do.
    rate : float or None
        Steps or frames per second; None when it does not matter.
    leads : tuple of str
        Names of the leads in their order; () when unknown.
    """

    name: str
    kind: str
    channels: int
    size: tuple[int, ...] | None
    rate: float | None
    leads: tuple[str, ...]


@runtime_checkable
class Kind(Protocol):
    """One kind of input: its schema, and everything that differs from the other kinds.

    Attributes
    ----------
    key : str
        "image", "signal", "cine" or "table"; also the name of the variable that holds the samples.
    plural : str
        For people: "images".
    dims : tuple of str
        Dimensions of that variable, the first being ``sample``.
    accepts : tuple of str
        Endings of the files that people may upload.
    """

    key: ClassVar[str]
    plural: ClassVar[str]
    dims: ClassVar[tuple[str, ...]]
    accepts: ClassVar[tuple[str, ...]]

    def holds(self, ds: Any) -> bool:
        """Whether a Dataset holds samples of this kind."""
        ...

    def validate(self, ds: xr.Dataset) -> xr.Dataset:
        """Return samples that follow the schema, with what they may lack; raise a one-sentence ``SamplesError`` otherwise."""
        ...

    def inputs(self, ds: xr.Dataset, rows: Any) -> np.ndarray:
        """Compute what a network is given of the wanted samples and no others: ``[n, *dims[1:]]``."""
        ...

    def digest(self, array: np.ndarray) -> str:
        """Content key of one sample."""
        ...

    def gathered(
        self, arrays: Sequence[np.ndarray], like: xr.Dataset, names: Sequence[str] | None = None, **known: Any
    ) -> xr.Dataset:
        """Put single arrays into the schema, with the coordinates and attributes of the samples that they come from."""
        ...

    def check(self, model: Taking, given: np.ndarray) -> None:
        """Raise a one-sentence ``ModelError`` unless ``given [N, …]`` is as the model expects."""
        ...

    def tensor(self, given: np.ndarray, device: Any, dtype: Any) -> Any:
        """``given [N, …]`` as the float tensor that a network takes."""
        ...

    def example(self, channels: int, size: tuple[int, ...] | None) -> list[int]:
        """Shape of the tensor of one sample."""
        ...

    def size_of(self, given: np.ndarray) -> tuple[int, ...] | None:
        """What ``size`` of a model says of ``given [N, …]``."""
        ...

    def said(self, model: Taking) -> str:
        """What a model takes, in words."""
        ...

    def fitted(self, model: Taking, ds: xr.Dataset) -> xr.Dataset:
        """Bring samples to what a model expects; what was done is written into the attribute ``prepared``."""
        ...

    def thumbnail(self, array: np.ndarray, side: int) -> np.ndarray:
        """One sample as a small picture ``[side, side, 3]`` uint8."""
        ...
