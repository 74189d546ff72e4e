"""What every method is: declared parameters, two stages, no caching, no threads."""

from __future__ import annotations

from collections.abc import Generator, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import param
import xarray as xr

from xai_views.contract.ask import Ask
from xai_views.contract.content import Content
from xai_views.contract.protocols import Model
from xai_views.errors import MethodError, nearest

#: Stands for "the class with the largest logit" wherever a class is asked for.
PREDICTED = -1

#: Questions that methods and panels answer, in the words of the page.
QUESTIONS: Mapping[str, str] = {
    "why": "Why?",
    "compared": "Compared with what?",
    "what-if": "What if?",
    "trust": "Can I trust it?",
    "where": "Where does it come from?",
}


@dataclass(frozen=True)
class Progress:
    """How far an observation is.

    Attributes
    ----------
    done, total : int
        In whatever the method counts: passes, windows, masks.
    partial : list or None
        One usable observation (or None) per input; they are shown and never kept as the final ones.
    """

    done: int
    total: int
    partial: list[Any] | None = None


class Method(param.Parameterized):
    """One explanation system.

    Every parameter is declared once, as a ``param`` parameter of the class; the snapshot of all of them is the
    :class:`~xai_views.contract.ask.Ask` that the stages are given. Cache keys, provenance, addresses, the command line
    and widgets follow from it. ``observe`` is the only stage that runs the network; ``interpret`` turns what was observed
    into an explanation without any pass, so that a change of view costs none. Both read their values from the ask and
    nothing of the object, so that one object serves everybody.

    Attributes
    ----------
    key, title : str
        Name in commands and addresses, and for people.
    question : str
        Which of :data:`QUESTIONS` it answers.
    takes : tuple of str
        Kinds of input: "image", "signal", "cine", "table".
    needs : tuple of str
        Outputs ("logits", "embedding", …) and parts ("supports", "latents", …) that the model must have.
    gives : mapping
        Variables of its own, ``"<key>.<name>"`` to their role (see :mod:`xai_views.contract.explanation`).
    observed_by : tuple of str
        Parameters that an observation depends on as a whole; with another value nothing of it can be used.
    preference : int
        Among the methods that fit a model, the one with the largest is taken when none is named.
    cost : str
        Passes of the network, in words.
    """

    key: ClassVar[str]
    title: ClassVar[str]
    question: ClassVar[str] = "why"
    takes: ClassVar[tuple[str, ...]] = ("image",)
    needs: ClassVar[tuple[str, ...]] = ("logits",)
    gives: ClassVar[Mapping[str, str]] = {}
    observed_by: ClassVar[tuple[str, ...]] = ()
    preference: ClassVar[int] = 0
    cost: ClassVar[str] = ""

    def __init__(self, **parameters: Any) -> None:
        known = self.declared()
        for name, value in parameters.items():
            if name not in known:
                raise MethodError(
                    f"method {self.key!r} has no parameter {name!r}; it has {nearest(name, known)}."
                )
            parameters[name] = self._brought(name, value)
        try:
            super().__init__(**parameters)
        except (ValueError, TypeError) as error:
            raise MethodError(
                f"method {self.key!r} cannot take these parameters: {str(error).rstrip('.')}."
            ) from None

    @classmethod
    def declared(cls) -> list[str]:
        """The names of all parameters, in the order in which they were declared."""
        return [name for name in cls.param if name != "name"]

    @classmethod
    def _brought(cls, name: str, value: Any) -> Any:
        """A value as the parameter holds it: tuples as lists, JSON as content."""
        parameter = cls.param[name]
        if isinstance(parameter, Content):
            return parameter.made(value)
        if isinstance(value, np.ndarray | np.generic):
            value = value.tolist()
        if isinstance(parameter, param.List) and isinstance(value, list | tuple):
            value = [v.tolist() if isinstance(v, np.ndarray | np.generic) else v for v in value]
            return [list(v) if isinstance(v, tuple) else v for v in value]
        if isinstance(parameter, param.Number) and not isinstance(parameter, param.Integer):
            return float(value) if isinstance(value, int) and not isinstance(value, bool) else value
        return value

    def ask(self, **changes: Any) -> Ask:
        """The frozen snapshot of all parameters, some of them changed.

        Raises
        ------
        MethodError
            For an unknown parameter, or a value out of bounds.
        """
        values = {name: getattr(self, name) for name in self.declared()}
        if changes:
            other = type(self)(**{**values, **changes})
            values = {name: getattr(other, name) for name in self.declared()}
        return Ask(self.key, values)

    # -- does it fit? -------------------------------------------------------------------------------------------

    def fits(self, model: Model) -> str:
        """Return "" when the method can be asked of ``model``, else the reason in one sentence."""
        if model.kind not in self.takes:
            return (
                f"method {self.key!r} is for {_listed(self.takes)} and {model.name!r} takes {_plural(model.kind)}; "
                "choose another method."
            )
        missing = [n for n in self.needs if n not in model.outputs and n not in model.parts]
        if missing:
            return f"method {self.key!r} needs {_named(missing[0])} and {model.name!r} has none; choose another method."
        return self.reason(model)

    def reason(self, model: Model) -> str:
        """Return "" or the method's own reason, in one sentence, why it cannot be asked of ``model``."""
        return ""

    # -- the stages ---------------------------------------------------------------------------------------------

    def ready(self, model: Model, ask: Ask) -> Ask:
        """Complete an ask with what depends on the model alone, so that equal wishes are equal."""
        return ask

    def observe(
        self, model: Model, inputs: np.ndarray, asks: Sequence[Ask], known: Sequence[Any]
    ) -> list[Any] | Generator[Progress, None, list[Any]]:
        """Run the network on ``inputs``.

        Parameters
        ----------
        model : Model
            In evaluation mode, on its device.
        inputs : ndarray
            ``[N, H, W, C]`` images, ``[N, lead, time]`` signals, …
        asks : sequence of Ask
            ``[N]`` what is wanted of each.
        known : sequence
            ``[N]`` earlier observations or None; a new one adds to the old one and does not change it.

        Returns
        -------
        list or generator
            One observation per input, each with ``nbytes``. A generator yields :class:`Progress` and returns that list; it
            may be stopped, or made to wait, at every yield.
        """
        raise NotImplementedError

    def covers(self, model: Model, observation: Any, ask: Ask) -> bool:
        """Whether ``interpret`` can answer ``ask`` from ``observation`` alone."""
        return True

    def interpret(self, model: Model, observation: Any, ask: Ask) -> xr.Dataset:
        """The explanation of one sample: a Dataset whose dimension ``sample`` has length 1."""
        raise NotImplementedError

    def observation_key(self, ask: Ask) -> Hashable:
        """What observations are told apart by beside the model and the sample: the values of ``observed_by``."""
        return tuple(ask.values[name] for name in self.observed_by)


_PLURALS = {"image": "images", "signal": "signals", "cine": "cine loops", "table": "tables"}
_NAMES = {
    "embedding": "an embedding",
    "reconstruction": "a reconstruction",
    "heat map": "a heat map",
    "codebook": "a codebook",
}


def _plural(kind: str) -> str:
    return _PLURALS.get(kind, kind)


def _listed(kinds: Sequence[str]) -> str:
    return " and ".join(_plural(k) for k in kinds)


def _named(need: str) -> str:
    return _NAMES.get(need, need)
