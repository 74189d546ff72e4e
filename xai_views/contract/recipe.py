"""Base class of recipes: declared parameters, and how a network is built, trained and finished with them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Self

import param

from xai_views.errors import XaiViewsError, nearest


class Recipe(param.Parameterized):
    """Recipe for training networks of one family; an entry of the group ``xai_views.recipes``, used as ``xai-views train NAME``.

    Every parameter is declared once: the options of the command line, the entry ``recipe`` of the card and the check
    whether an interrupted run can be resumed follow from it.

    Attributes
    ----------
    key : str
        Name in commands.
    family : str
        Family of the networks, as in the group ``xai_views.families``.
    takes : tuple of str
        Kinds of samples that it trains on.
    presets : mapping
        Defaults for a family of samples, by its name; explicit values take precedence.
    """

    key: ClassVar[str]
    family: ClassVar[str]
    takes: ClassVar[tuple[str, ...]] = ("image",)
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {}

    epochs = param.Integer(12, bounds=(1, None), doc="number of epochs")
    rate = param.Number(
        3e-3, bounds=(0, None), inclusive_bounds=(False, True), doc="peak learning rate of AdamW"
    )
    weight_decay = param.Number(0.0, bounds=(0, None), doc="weight decay of AdamW")
    seed = param.Integer(0, doc="seed of weights and batches")

    def __init__(self, **values: Any) -> None:
        known = self.declared()
        for name, value in values.items():
            if name not in known:
                raise XaiViewsError(
                    f"recipe {self.key!r} has no parameter {name!r}; it has {nearest(name, known)}."
                )
            parameter = self.param[name]
            if (
                isinstance(parameter, param.Number)
                and not isinstance(parameter, param.Integer)
                and type(value) is int
            ):
                values[name] = float(value)
        try:
            super().__init__(**values)
        except (ValueError, TypeError) as error:
            said = str(error).partition("\n")[0].rstrip(".")
            raise XaiViewsError(f"recipe {self.key!r} cannot take these parameters: {said}.") from None

    @classmethod
    def declared(cls) -> list[str]:
        """Return the names of all parameters."""
        return [name for name in cls.param if name != "name"]

    @classmethod
    def preset(cls, samples: str, **values: Any) -> Self:
        """Return the recipe with the preset of a family of samples, and some values given."""
        return cls(**{**cls.presets.get(samples, {}), **values})

    def values(self) -> dict[str, Any]:
        """Return all values in JSON types, for the card."""
        return {n: _plain(getattr(self, n)) for n in self.declared()}

    def changed(self, **values: Any) -> Self:
        """Return a copy with some values changed."""
        return type(self)(**{**{n: getattr(self, n) for n in self.declared()}, **values})

    # -- the stages ---------------------------------------------------------------------------------------------

    def build(self, data: Any) -> Any:
        """Build the module to train on ``data``."""
        raise NotImplementedError

    def batches_per_epoch(self, data: Any) -> int:
        """Return the number of batches in an epoch."""
        raise NotImplementedError

    def batches(self, data: Any, epoch: int, device: str) -> Iterator[Any]:
        """Yield the batches of one epoch; they depend only on data, seed and epoch, so that a run can be resumed."""
        raise NotImplementedError

    def loss(self, module: Any, batch: Any) -> Any:
        """Return the scalar to minimise."""
        raise NotImplementedError

    def validate(self, module: Any, data: Any, test: Any) -> dict[str, Any]:
        """Return what to record after an epoch; it never selects a model."""
        return {}

    def finish(self, run: Any) -> dict[str, Any]:
        """Evaluate the network, write the checkpoint folder and return the metrics for the card."""
        raise NotImplementedError


def _plain(value: Any) -> Any:
    return [_plain(v) for v in value] if isinstance(value, list | tuple) else value
