"""Request for one sample: a frozen snapshot of all parameters of a method."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any, Self

import numpy as np


class Ask:
    """Values of all parameters of a method at one moment; hashable by content, so that a request is its own cache key.

    Values are read as attributes (``ask.k``). Lists become tuples; content such as a codebook is compared by its checksum.
    :meth:`parameters` returns the values in JSON types; explaining with them repeats the request.

    Parameters
    ----------
    method : str
        Key of the method.
    values : mapping
        One value for each parameter.
    """

    __slots__ = ("_hash", "method", "values")

    method: str
    values: Mapping[str, Any]

    def __init__(self, method: str, values: Mapping[str, Any]) -> None:
        object.__setattr__(self, "method", method)
        frozen = {name: _frozen(values[name]) for name in sorted(values)}
        object.__setattr__(self, "values", MappingProxyType(frozen))
        identity = (method, *((name, _identity(value)) for name, value in frozen.items()))
        object.__setattr__(self, "_hash", hash(identity))

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        try:
            return self.values[name]
        except KeyError:
            message = f"method {self.method!r} has no parameter {name!r}; it has {', '.join(self.values)}."
            raise AttributeError(message) from None

    def __setattr__(self, name: str, value: Any) -> None:
        message = f"a request cannot be changed; use ask.replace({name}=…), which returns a changed copy."
        raise AttributeError(message)

    def __reduce__(self) -> tuple[type[Ask], tuple[str, dict[str, Any]]]:
        return type(self), (self.method, dict(self.values))

    def __iter__(self) -> Iterator[str]:
        return iter(self.values)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Ask):
            return NotImplemented
        return self is other or (self._hash == other._hash and self.identity() == other.identity())

    def __hash__(self) -> int:
        return self._hash

    def __repr__(self) -> str:
        said = ", ".join(f"{name}={_said(value)}" for name, value in self.values.items())
        return f"Ask({self.method}: {said})"

    def identity(self) -> tuple[Any, ...]:
        """Return what equality compares: the method and all values, content by its checksum."""
        return (self.method, *((name, _identity(value)) for name, value in self.values.items()))

    @property
    def key(self) -> str:
        """Short identifier of this request, the same in every process: 20 hex digits of a sha256."""
        return hashlib.sha256(repr(self.identity()).encode()).hexdigest()[:20]

    def replace(self, **changes: Any) -> Self:
        """Return a copy with other values for some parameters.

        Raises
        ------
        AttributeError
            For a parameter that the method does not have.
        """
        for name in changes:
            if name not in self.values:
                getattr(self, name)
        return type(self)(self.method, {**self.values, **changes})

    def parameters(self) -> dict[str, Any]:
        """Return all values in JSON types; ``explain(model, samples, method, **these)`` repeats the request."""
        return {name: _plain(value) for name, value in self.values.items()}

    def text(self) -> str:
        """Return :meth:`parameters` as JSON, for the provenance of an explanation."""
        return json.dumps(self.parameters())


def _frozen(value: Any) -> Any:
    """Return an immutable copy of a value."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, list | tuple):
        return tuple(_frozen(v) for v in value)
    if isinstance(value, set | frozenset):
        return tuple(sorted(_frozen(v) for v in value))
    if isinstance(value, Mapping):
        return MappingProxyType({str(k): _frozen(value[k]) for k in sorted(value, key=str)})
    return value


def _identity(value: Any) -> Any:
    """Return what a frozen value is compared by."""
    if isinstance(value, tuple):
        return tuple(_identity(v) for v in value)
    if isinstance(value, Mapping):
        return ("mapping", *((k, _identity(v)) for k, v in value.items()))
    if hasattr(value, "to_json"):
        return (type(value).__name__, value.key)
    if isinstance(value, bool | int | float):
        return (
            type(value).__name__,
            value,
        )  # True, 1 and 1.0 are equal and hash alike, but are different requests
    return value


def _plain(value: Any) -> Any:
    """Return a frozen value in JSON types."""
    if isinstance(value, tuple):
        return [_plain(v) for v in value]
    if isinstance(value, Mapping):
        return {k: _plain(v) for k, v in value.items()}
    return value.to_json() if hasattr(value, "to_json") else value


def _said(value: Any) -> str:
    if hasattr(value, "to_json"):
        return f"<{type(value).__name__} {value.key[:8]}>"
    return repr(dict(value) if isinstance(value, Mapping) else value)
