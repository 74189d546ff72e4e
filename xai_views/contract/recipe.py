"""What a recipe is: declared parameters, and how a network is built, fitted and finished by them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Self

import param

from xai_views.errors import XaiViewsError, nearest


class Recipe(param.Parameterized):
    """How networks of one family are trained; an entry of the group ``xai_views.recipes``, named as in ``xai-views train NAME``.

    Every parameter is declared once: the options of the command line, the entry ``recipe`` of the card and what decides
    whether an interrupted run can be resumed follow from it.

    Attributes
    ----------
    key : str
        Name in commands.
    family : str
        Of the networks, as in the group ``xai_views.families``.
    takes : tuple of str
        Kinds of samples.
    presets : mapping
        Values that suit a family of samples, by its name: what is not given is taken from there.
    """

    key: ClassVar[str]
    family: ClassVar[str]
    takes: ClassVar[tuple[str, ...]] = ("image",)
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {}

    epochs = param.Integer(12, bounds=(1, None), doc="passes over the samples")
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
        """Names of all parameters."""
        return [name for name in cls.param if name != "name"]

    @classmethod
    def preset(cls, samples: str, **values: Any) -> Self:
        """The recipe that suits a family of samples, with some values given."""
        return cls(**{**cls.presets.get(samples, {}), **values})

    def values(self) -> dict[str, Any]:
        """All values as JSON knows them, for the card."""
        return {n: _plain(getattr(self, n)) for n in self.declared()}

    def changed(self, **values: Any) -> Self:
        """The same recipe with some other values."""
        return type(self)(**{**{n: getattr(self, n) for n in self.declared()}, **values})

    # -- the stages ---------------------------------------------------------------------------------------------

    def build(self, data: Any) -> Any:
        """The module to be fitted, for a training set."""
        raise NotImplementedError

    def batches_per_epoch(self, data: Any) -> int:
        """Batches of an epoch."""
        raise NotImplementedError

    def batches(self, data: Any, epoch: int, device: str) -> Iterator[Any]:
        """Batches of one epoch; they depend on data, seed and epoch alone, so that a run can be resumed."""
        raise NotImplementedError

    def loss(self, module: Any, batch: Any) -> Any:
        """Scalar to be made small."""
        raise NotImplementedError

    def validate(self, module: Any, data: Any, test: Any) -> dict[str, Any]:
        """What joins the curves after an epoch; nothing is selected by it."""
        return {}

    def finish(self, run: Any) -> dict[str, Any]:
        """Evaluate, and write the checkpoint folder; returns the metrics of the card."""
        raise NotImplementedError


def _plain(value: Any) -> Any:
    return [_plain(v) for v in value] if isinstance(value, list | tuple) else value
