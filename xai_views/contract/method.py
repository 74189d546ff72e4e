"""Base class of methods: declared parameters and two stages; caching and threads are the kernel's concern."""

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

#: Stands for "the class with the largest logit" wherever a class is given.
PREDICTED = -1

#: Questions that methods and panels answer, as worded on the page.
QUESTIONS: Mapping[str, str] = {
    "why": "Why?",
    "compared": "Compared with what?",
    "what-if": "What if?",
    "trust": "Can I trust it?",
    "where": "Where does it come from?",
}


@dataclass(frozen=True)
class Progress:
    """Progress of an observation.

    Attributes
    ----------
    done, total : int
        In units of the method: passes, windows, masks.
    partial : list or None
        One usable observation (or None) per input; shown meanwhile, never stored as final.
    """

    done: int
    total: int
    partial: list[Any] | None = None


class Method(param.Parameterized):
    """One explanation method.

    Every parameter is declared once, as a ``param`` parameter of the class. Their frozen snapshot is the
    :class:`~xai_views.contract.ask.Ask` that the stages receive; cache keys, provenance, links, the command line and
    widgets follow from it. ``observe`` is the only stage that runs the network; ``interpret`` turns an observation into
    an explanation without a pass, so that changing a view is cheap. Both read their values from the request and none from
    the object, so that one object can serve all callers.

    Attributes
    ----------
    key, title : str
        Name in commands and links; name for people.
    question : str
        Key of the question in :data:`QUESTIONS` that it answers.
    takes : tuple of str
        Kinds of input: "image", "signal", "cine", "table".
    needs : tuple of str
        Outputs ("logits", "embedding", …) and parts ("supports", "latents", …) that the model must have.
    gives : mapping
        Its own variables: ``"<key>.<name>"`` mapped to their role (see :mod:`xai_views.contract.explanation`).
    observed_by : tuple of str
        Parameters that every observation depends on; changing one of them requires a new observation.
    preference : int
        Of the methods that fit a model, the one with the largest value is the default.
    cost : str
        Number of passes of the network, in words.
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
        """Return the names of all parameters, in order of declaration."""
        return [name for name in cls.param if name != "name"]

    @classmethod
    def _brought(cls, name: str, value: Any) -> Any:
        """Return a value as the parameter holds it: tuples as lists, JSON as content."""
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
        """Return the frozen snapshot of all parameters, with some of them changed.

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

    # -- does the method fit? ----------------------------------------------------------------------------------------

    def fits(self, model: Model) -> str:
        """Return "" when the method can explain ``model``, else the reason in one sentence."""
        if model.kind not in self.takes:
            return (
                f"method {self.key!r} takes {_listed(self.takes)} and {model.name!r} takes {_plural(model.kind)}; "
                "choose another method."
            )
        missing = [n for n in self.needs if n not in model.outputs and n not in model.parts]
        if missing:
            return f"method {self.key!r} needs {_named(missing[0])} and {model.name!r} has none; choose another method."
        return self.reason(model)

    def reason(self, model: Model) -> str:
        """Return "", or the method's own reason, in one sentence, why it cannot explain ``model``."""
        return ""

    # -- the stages ---------------------------------------------------------------------------------------------

    def ready(self, model: Model, ask: Ask) -> Ask:
        """Fill in parameters that depend on the model alone, so that equivalent requests are equal."""
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
            ``[N]`` one request per input.
        known : sequence
            ``[N]`` earlier observations or None; a new observation extends an earlier one and leaves it unchanged.

        Returns
        -------
        list or generator
            One observation per input, each with ``nbytes``. A generator yields :class:`Progress` and returns that list; it
            can be stopped or paused at every yield.
        """
        raise NotImplementedError

    def covers(self, model: Model, observation: Any, ask: Ask) -> bool:
        """Return whether ``interpret`` can answer ``ask`` from ``observation`` alone."""
        return True

    def interpret(self, model: Model, observation: Any, ask: Ask) -> xr.Dataset:
        """Return the explanation of one sample: a Dataset whose dimension ``sample`` has length 1."""
        raise NotImplementedError

    def observation_key(self, ask: Ask) -> Hashable:
        """Return the key of an observation beside the model and the sample: the values of ``observed_by``."""
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
