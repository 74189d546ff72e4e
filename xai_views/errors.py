"""Errors shown to people: one sentence with what was given, what was expected and what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class XaiViewsError(ValueError):
    """An input that cannot be used; the message is one sentence for a person."""


class SamplesError(XaiViewsError):
    """Samples (files, arrays, uploads) that cannot be opened or do not follow the schema."""


class ModelError(XaiViewsError):
    """A model or checkpoint that cannot be opened, or samples that do not fit a model."""


class MethodError(XaiViewsError):
    """A method that does not fit the model, or parameters out of bounds."""


class KernelError(XaiViewsError):
    """A computation that failed (out of memory, non-finite values, cancelled)."""


def nearest(name: str, names: Iterable[str], n: int = 3) -> str:
    """Return the ``n`` known names closest to ``name``, as text for an error message."""
    known = list(names)
    close = difflib.get_close_matches(str(name), known, n=n, cutoff=0.4) or known[:n]
    return ", ".join(repr(k) for k in close) or "nothing"
