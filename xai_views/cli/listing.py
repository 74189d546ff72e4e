"""Output of ``xai-views list``: models, samples, methods and apps, one per line."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from xai_views import catalogue
from xai_views.contract import registry
from xai_views.errors import XaiViewsError


def lines() -> Iterator[str]:
    """Yield the lines of the list.

    Yields
    ------
    str
    """
    yield from _table("Models", {name: _about(path) for name, path in catalogue.models().items()})
    yield from _table("Samples", {name: _about(path, name) for name, path in catalogue.samples().items()})
    yield from _table("Methods", dict(_methods()))
    for group in ("families", "recipes"):
        words = {name: registry.described(group, name) for name in registry.entries(group)}
        yield from _table(group.capitalize(), words)
    yield from _table("Apps", {n: registry.described("apps", n) for n in registry.entries("apps")})


def _table(title: str, rows: Mapping[str, str]) -> Iterator[str]:
    yield f"{title}:"
    if not rows:
        yield "  none"
    width = max(map(len, rows), default=0)
    for name, words in rows.items():
        yield f"  {name:<{width}}  {words}".rstrip()
    yield ""


def _about(folder: Path, name: str = "") -> str:
    try:
        card: Any = catalogue.card(folder)
    except (XaiViewsError, OSError, ValueError) as error:
        return f"(its card cannot be read: {error})"
    title = str(card.get("title") or "")
    family = catalogue.sets().get(name)
    if family is not None and family.made.get(name):  # its card is that of another set
        title = title.replace(", test set", ", generated on first use")
    words = [title]
    metrics = card.get("metrics") or {}
    for key, name in (("test_accuracy", "accuracy"), ("test_balanced_accuracy", "balanced accuracy")):
        if isinstance(metrics, Mapping) and metrics.get(key) is not None:
            words.append(f"{name} {float(metrics[key]):.1%} on test images")
            break
    if card.get("synthetic"):
        words.append("synthetic")
    return ", ".join(word for word in words if word)


def _methods() -> Iterator[tuple[str, str]]:
    for method in registry.methods():
        yield method.key, ", ".join(words for words in (method.title, method.cost) if words)


def parameters() -> Iterator[str]:
    """Yield the list of methods for ``xai-views explain --help``: title, then the parameters that ``--set`` can change.

    Yields
    ------
    str
    """
    from xai_views.contract import registry

    yield "methods and their parameters (--set KEY=VALUE):"
    for method in registry.methods():
        yield f"  {method.key}: {method.title}"
        for name in method.declared():
            declared = method.param[name]
            yield f"    {name}={_default(getattr(method, name))}  {' '.join((declared.doc or '').split())}"


def _default(value: Any) -> str:
    """Return a default as one would type it."""
    import json

    return value if isinstance(value, str) else json.dumps(value)
