"""Content that an ask carries beside plain values: codebooks, edits, whatever has a checksum and goes into JSON and back."""

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
    """What a parameter of the kind :class:`Content` holds."""

    @property
    def key(self) -> str:
        """Checksum: equal content has equal keys, whoever made it."""
        ...

    def to_json(self) -> dict[str, Any]:
        """Everything that :meth:`from_json` needs to make it again, bit for bit, as values that JSON knows."""
        ...

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Make it again."""
        ...


class Content(param.Parameter):
    """A parameter that holds content or None; JSON gives it as a dict, which becomes the object.

    Parameters
    ----------
    kind : str
        ``"module:Class"`` of an :class:`IsContent`; imported when it is needed, so that declaring costs nothing.
    """

    __slots__ = ["kind"]

    def __init__(self, default: Any = None, *, kind: str = "", **params: Any) -> None:
        self.kind = kind
        super().__init__(default=default, **params)

    def made(self, value: Any) -> Any:
        """Return the content that ``value`` stands for.

        Raises
        ------
        MethodError
            When it is neither content of this kind nor its JSON.
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
                    f"the parameter {self.name!r} came as JSON that is no {name} ({error}); give what an explanation's "
                    "attributes hold."
                ) from None
        if not isinstance(value, kind):
            raise MethodError(
                f"the parameter {self.name!r} came as a {type(value).__name__} and should be a {name}; give one, or its JSON."
            )
        return value


def packed(array: np.ndarray) -> str:
    """Write an array as text: ``.npy`` in base64, exact, with shape and dtype."""
    sink = io.BytesIO()
    np.save(sink, np.ascontiguousarray(array), allow_pickle=False)
    return base64.b64encode(sink.getvalue()).decode()


def unpacked(text: str) -> np.ndarray:
    """Read an array that :func:`packed` wrote.

    Raises
    ------
    ValueError
        When the text is none.
    """
    return np.load(io.BytesIO(base64.b64decode(text, validate=True)), allow_pickle=False)


def checksum(*parts: Any) -> str:
    """First 32 hex digits of the sha256 over arrays (dtype, shape, bytes) and the ``repr`` of plain values."""
    found = hashlib.sha256()
    for part in parts:
        if isinstance(part, np.ndarray):
            found.update(f"{part.dtype.str}{part.shape}".encode())
            found.update(np.ascontiguousarray(part).tobytes())
        else:
            found.update(repr(part).encode())
        found.update(b"\0")
    return found.hexdigest()[:32]
