"""Errors shown to people: one sentence with what was given, what was expected and what to do."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

#: The folders of an absolute path, in quotation marks or without; its last part stays. Addresses and units are no paths.
_FOLDERS = re.compile(
    r"""(?<=['"])(?:file://)?(?:[A-Za-z]:|~)?[\\/][^'"]*[\\/]"""
    r"""|(?<![\w.:/~])(?:file://)?(?:[A-Za-z]:|~)?[\\/](?:[^\\/\s'"]+[\\/])+"""
)


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


def without_folders(said: object) -> str:
    """Return a sentence for a page: paths keep their last part, because a visitor must not learn the folders of a server.

    Parameters
    ----------
    said : Exception or str
        An error or its text; lines become one.
    """
    return " ".join(_FOLDERS.sub("", str(said)).split())


def cause(error: BaseException, most: int = 80) -> str:
    """Return what a foreign error says, for a sentence in brackets: its first line, short and without folders.

    Parameters
    ----------
    error : BaseException
        Of another library.
    most : int
        Letters that are kept.
    """
    first = next(iter(str(error).splitlines()), "")
    return without_folders(first)[:most].rstrip(".") or type(error).__name__
