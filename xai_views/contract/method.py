"""What every method is: two stages, declared parameters, no caching, no threads."""

from __future__ import annotations

import json
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import param
import xarray as xr


@dataclass(frozen=True)
class Ask:
    """What is wanted of one sample; methods extend it. Asks are hashable: they are part of the cache keys."""


class Method(param.Parameterized):
    """One explanation system.

    ``observe`` is the only stage that runs the network; ``interpret`` turns what was observed into an explanation
    without any pass, so that a change of view costs none.
    """

    key: ClassVar[str]
    title: ClassVar[str]
    cost: ClassVar[str]

    def fits(self, model: Any) -> str:
        """Return "" when the method fits ``model``, else the reason in one sentence."""
        raise NotImplementedError

    def default_ask(self) -> Ask:
        """What is wanted when nothing is asked for."""
        return Ask()

    def ready(self, model: Any, ask: Ask) -> Ask:
        """Complete an ask with what depends on the model alone; may run the network."""
        return ask

    def observe(self, model: Any, images: np.ndarray, asks: Sequence[Ask], known: Sequence[Any]) -> list[Any]:
        """Run the network on ``images [N, H, W, C]``; one observation per image, adding to ``known`` ones."""
        raise NotImplementedError

    def covers(self, model: Any, observation: Any, ask: Ask) -> bool:
        """Whether ``interpret`` can answer ``ask`` from ``observation`` alone."""
        return True

    def interpret(self, model: Any, observation: Any, ask: Ask) -> xr.Dataset:
        """The explanation of one sample: a Dataset whose dimension ``sample`` has length 1."""
        raise NotImplementedError

    def key_parameters(self) -> tuple[tuple[str, Hashable], ...]:
        """Parameters that change what is observed or interpreted, as a hashable key."""
        values = {k: v for k, v in self.param.values().items() if k != "name"}
        return tuple(sorted((k, v if isinstance(v, Hashable) else json.dumps(v)) for k, v in values.items()))
