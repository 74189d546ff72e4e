"""Parameter values beyond plain ones, such as codebooks and edits: they have a checksum and convert to and from JSON."""

from __future__ import annotations

import base64
import hashlib
import importlib
import io
from collections.abc import Mapping
from typing import Any, Protocol, Self, runtime_checkable

import numpy as np
import param

from xai_views.errors import MethodError


@runtime_checkable
class IsContent(Protocol):
    """Interface of the values that a :class:`Content` parameter holds."""

    @property
    def key(self) -> str:
        """Checksum: equal content has equal keys."""
        ...

    def to_json(self) -> dict[str, Any]:
        """Return everything that :meth:`from_json` needs to restore the content bit for bit, in JSON types."""
        ...

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Restore content from the output of :meth:`to_json`."""
        ...


class Content(param.Parameter):
    """Parameter that holds content or None; a JSON dict is converted to the object.

    Parameters
    ----------
    kind : str
        ``"module:Class"`` of an :class:`IsContent`; imported on first use, so that declaring a parameter is cheap.
    """

    __slots__ = ["kind"]

    def __init__(self, default: Any = None, *, kind: str = "", **params: Any) -> None:
        self.kind = kind
        super().__init__(default=default, **params)

    def made(self, value: Any) -> Any:
        """Return the content for ``value``, converted from JSON if necessary.

        Raises
        ------
        MethodError
            When it is neither content of this type nor its JSON form.
        """
        if value is None:
            return None
        module, _, name = self.kind.partition(":")
        kind = getattr(importlib.import_module(module), name)
        if isinstance(value, Mapping):
            try:
                return kind.from_json(value)
            except (KeyError, ValueError, TypeError) as error:
                raise MethodError(
                    f"the parameter {self.name!r} got JSON that is not a {name} ({error}); pass a {name}, or the JSON that its "
                    "to_json returns."
                ) from None
        if not isinstance(value, kind):
            raise MethodError(
                f"the parameter {self.name!r} came as {type(value).__name__} and expects a {name}; pass a {name}, or its JSON."
            )
        return value


def packed(array: np.ndarray) -> str:
    """Encode an array as text: exact ``.npy`` bytes in base64, with shape and dtype."""
    sink = io.BytesIO()
    np.save(sink, np.ascontiguousarray(array), allow_pickle=False)
    return base64.b64encode(sink.getvalue()).decode()


def unpacked(text: str) -> np.ndarray:
    """Decode an array from the text that :func:`packed` returned.

    Raises
    ------
    ValueError
        When the text is not an encoded array.
    """
    return np.load(io.BytesIO(base64.b64decode(text, validate=True)), allow_pickle=False)


def checksum(*parts: Any) -> str:
    """Return the first 32 hex digits of the sha256 over arrays (dtype, shape, bytes) and the ``repr`` of plain values."""
    found = hashlib.sha256()
    for part in parts:
        if isinstance(part, np.ndarray):
            found.update(f"{part.dtype.str}{part.shape}".encode())
            found.update(np.ascontiguousarray(part).tobytes())
        else:
            found.update(repr(part).encode())
        found.update(b"\0")
    return found.hexdigest()[:32]
