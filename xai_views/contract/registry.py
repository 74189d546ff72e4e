"""Installed methods, families, samples, recipes, metrics, apps and panels, found through entry points.

Any installed package adds one with a line in its ``pyproject.toml``, in the same way as this package::

    [project.entry-points."xai_views.methods"]
    mine = "my_package.my_method:MyMethod"
"""

from __future__ import annotations

import ast
import importlib.util
import logging
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

from xai_views.contract.method import Method
from xai_views.errors import MethodError, XaiViewsError, nearest

logger = logging.getLogger("xai_views")

GROUPS = ("methods", "families", "samples", "recipes", "metrics", "apps", "panels", "server")


@cache
def entries(group: str) -> dict[str, EntryPoint]:
    """Return the installed entries of one group by name, without importing them.

    Parameters
    ----------
    group : str
        One of :data:`GROUPS`.

    Returns
    -------
    dict of str to importlib.metadata.EntryPoint
        Sorted by name.
    """
    if group not in GROUPS:
        raise XaiViewsError(f"there is no group {group!r}; choose one of {nearest(group, GROUPS)}.")
    return {entry.name: entry for entry in sorted(entry_points(group=f"xai_views.{group}"))}


@cache
def load(group: str, name: str) -> Any:
    """Import one entry.

    Raises
    ------
    XaiViewsError
        When no entry has this name, or when it cannot be imported.
    """
    known = entries(group)
    one = group.rstrip("s") if group != "families" else "family"
    if not known:
        raise XaiViewsError(f"no {group} are installed; run 'pip install -e .' in the checkout again.")
    if name not in known:
        raise XaiViewsError(
            f"there is no {one} {name!r}; the nearest of those installed: {nearest(name, known)}."
        )
    try:
        return known[name].load()
    except Exception as error:  # importing a third-party module may raise anything
        raise XaiViewsError(
            f"the {one} {name!r} ({known[name].value}) cannot be imported: {error}."
        ) from error


def loaded(group: str) -> dict[str, Any]:
    """Import a whole group; entries that cannot be imported are skipped with a warning, so that one package cannot break all.

    Returns
    -------
    dict of str to object
        Sorted by name.
    """
    found = {}
    for name in entries(group):
        try:
            found[name] = load(group, name)
        except XaiViewsError as error:
            logger.warning("Skipped: %s", error)
    return found


def methods() -> list[Method]:
    """Return all methods that can be imported, with their defaults."""
    return [plain(key) for key in loaded("methods")]


def described(group: str, name: str) -> str:
    """Return the first sentence of an entry's docstring, read from its source without importing it.

    Returns
    -------
    str
        "" when it has none.
    """
    module, _, kind = entries(group)[name].value.partition(":")
    try:
        spec = importlib.util.find_spec(module)
        body = ast.parse(Path(str(spec and spec.origin)).read_text(encoding="utf-8")).body
    except (ImportError, OSError, SyntaxError):
        return ""
    named = (ast.ClassDef, ast.FunctionDef)
    words = next((ast.get_docstring(n) for n in body if isinstance(n, named) and n.name == kind), None)
    return " ".join((words or "").split("\n\n")[0].split())


def method(key: str | Method, **parameters: Any) -> Method:
    """Return the method with this key, with its parameters set.

    Raises
    ------
    MethodError
        For an unknown method or parameter, or a value out of bounds.
    """
    if not isinstance(key, str):
        return (
            type(key)(**{**{n: getattr(key, n) for n in key.declared()}, **parameters}) if parameters else key
        )
    known = entries("methods")
    if key not in known:
        raise MethodError(f"method {key!r} is not known; choose one of {nearest(key, known)}.")
    return load("methods", key)(**parameters)


@cache
def plain(key: str) -> Method:
    """Return the method with this key and its defaults; one object per process."""
    return method(key)
