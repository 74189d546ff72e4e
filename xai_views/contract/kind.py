"""Interface of the kinds of input: all differences between images, signals, cine loops and tables are behind it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Protocol, runtime_checkable

import numpy as np
import xarray as xr


class Taking(Protocol):
    """Properties of a model that a kind needs to prepare samples for it.

    Attributes
    ----------
    name, kind : str
        Name for messages, and key of the kind.
    channels : int
        Colour channels of an image, leads of a signal, features of a table.
    size : tuple of int or None
        Height and width; steps; frames, height and width; None accepts any size.
    rate : float or None
        Steps or frames per second; None when the model does not depend on it.
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
    """One kind of input: its schema, and everything that is specific to it.

    Attributes
    ----------
    key : str
        "image", "signal", "cine" or "table"; also the name of the variable that holds the samples.
    plural : str
        Name for people, such as "images".
    dims : tuple of str
        Dimensions of that variable, the first being ``sample``.
    accepts : tuple of str
        Extensions of the files that can be uploaded.
    """

    key: ClassVar[str]
    plural: ClassVar[str]
    dims: ClassVar[tuple[str, ...]]
    accepts: ClassVar[tuple[str, ...]]

    def holds(self, ds: Any) -> bool:
        """Return whether a Dataset holds samples of this kind."""
        ...

    def validate(self, ds: xr.Dataset) -> xr.Dataset:
        """Return samples that follow the schema, with missing optional fields added; raise ``SamplesError`` otherwise."""
        ...

    def inputs(self, ds: xr.Dataset, rows: Any) -> np.ndarray:
        """Return the model input of the selected samples only: ``[n, *dims[1:]]``."""
        ...

    def digest(self, array: np.ndarray) -> str:
        """Return the content key of one sample."""
        ...

    def gathered(
        self, arrays: Sequence[np.ndarray], like: xr.Dataset, names: Sequence[str] | None = None, **known: Any
    ) -> xr.Dataset:
        """Build samples from single arrays, with the coordinates and attributes of the samples that they come from."""
        ...

    def check(self, model: Taking, given: np.ndarray) -> None:
        """Raise a one-sentence ``ModelError`` unless ``given [N, …]`` is as the model expects."""
        ...

    def tensor(self, given: np.ndarray, device: Any, dtype: Any) -> Any:
        """Convert ``given [N, …]`` to the float tensor that the network takes."""
        ...

    def example(self, channels: int, size: tuple[int, ...] | None) -> list[int]:
        """Return the shape of the tensor of one sample."""
        ...

    def size_of(self, given: np.ndarray) -> tuple[int, ...] | None:
        """Return the value of a model's ``size`` for ``given [N, …]``."""
        ...

    def said(self, model: Taking) -> str:
        """Describe in words what a model takes."""
        ...

    def fitted(self, model: Taking, ds: xr.Dataset) -> xr.Dataset:
        """Convert samples to what a model expects; the steps are recorded in the attribute ``prepared``."""
        ...

    def thumbnail(self, array: np.ndarray, side: int) -> np.ndarray:
        """Return one sample as a small picture ``[side, side, 3]`` uint8."""
        ...
