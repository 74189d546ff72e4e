"""Catalogue of shipped models and samples: their names and folders."""

from __future__ import annotations

import hashlib
import logging
import os
from functools import cache
from pathlib import Path

import yaml

from xai_views.contract import registry
from xai_views.contract.sample_set import SampleFamily
from xai_views.errors import XaiViewsError, nearest

logger = logging.getLogger("xai_views")


def root() -> Path:
    """Return the folder of the shipped data: ``XAI_VIEWS_DATA``, or that of the wheel, or that of the checkout."""
    if os.environ.get("XAI_VIEWS_DATA"):
        return Path(os.environ["XAI_VIEWS_DATA"]).expanduser()
    inside = Path(__file__).parent / "_data"
    return inside if inside.is_dir() else Path(__file__).parent.parent / "data"


def models() -> dict[str, Path]:
    """Return the checkpoint folders by name: all folders with a card."""
    return {p.parent.name: p.parent for p in sorted((root() / "models").glob("*/card.yaml"))}


@cache
def sets() -> dict[str, SampleFamily]:
    """Return the families of all sample sets by catalogue name; one that cannot be imported is skipped with a warning."""
    found: dict[str, SampleFamily] = {}
    for entry in registry.entries("samples"):
        try:
            family = registry.load("samples", entry)()
        except XaiViewsError as error:
            logger.warning("Skipped the samples %s: %s", entry, error)
            continue
        found |= dict.fromkeys(family.names, family)
    return found


def samples() -> dict[str, Path]:
    """Return the folders of sample sets by catalogue name, such as ``birds/test``.

    Sets that are generated on first use have no folder of their own; they map to the folder of the set whose card
    describes them.
    """
    below = root() / "samples"
    found = [family.folders(below) for family in dict.fromkeys(sets().values())]
    return dict(sorted((name, folder) for folders in found for name, folder in folders.items()))


@cache
def class_list(name: str) -> tuple[str, ...]:
    """Return a list of class names that cards refer to by name; the file has one class per line.

    Parameters
    ----------
    name : str
        Name such as ``imagenet``.

    Raises
    ------
    XaiViewsError
        When there is no such list.
    """
    families = Path(__file__).parent / "models" / "families"
    path = next(families.glob(f"*/{Path(name).name}_classes.txt"), None)
    if path is None:
        raise XaiViewsError(
            f"a card takes its classes from {name!r}, which does not exist; restore the card."
        )
    return tuple(path.read_text("utf-8").splitlines())


def named_classes(fields: dict) -> dict:
    """Return a card with ``classes: imagenet`` replaced by the list of names; other cards are returned unchanged.

    Raises
    ------
    XaiViewsError
        As :func:`class_list`.
    """
    if isinstance(fields.get("classes"), str):
        return fields | {"classes": list(class_list(fields["classes"]))}
    return fields


def find(name: str) -> Path:
    """Return the folder of a model or a sample set.

    Raises
    ------
    XaiViewsError
        When there is no such folder; the message names the nearest ones.
    """
    known = {**models(), **samples()}
    if name not in known:
        raise XaiViewsError(f"the catalogue has no {name!r}; the nearest names are {nearest(name, known)}.")
    return known[name]


def card(path: str | Path) -> dict:
    """Read the card of a model or sample folder.

    Parameters
    ----------
    path : str or Path
        The folder.

    Returns
    -------
    dict
        Contents of ``card.yaml``: origin, licence, sha256 and so on.

    Raises
    ------
    XaiViewsError
        When it is missing or not a YAML mapping.
    """
    path = Path(path)
    file = path / "card.yaml"
    if not file.is_file():
        raise XaiViewsError(f"{path.name!r} has no card.yaml; every shipped folder needs one.")
    try:
        fields = yaml.safe_load(file.read_text("utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError):
        fields = None
    if not isinstance(fields, dict):
        raise XaiViewsError(f"the card of {path.name!r} is not a YAML mapping; restore it from its source.")
    return named_classes(fields)


def verify(path: str | Path) -> list[str]:
    """Compare the files of a folder with the sha256 in its card.

    Parameters
    ----------
    path : str or Path
        A model or sample folder.

    Returns
    -------
    list of str
        One sentence for each file that is missing or different; empty when all match.

    Raises
    ------
    XaiViewsError
        When the card cannot be read.
    """
    path = Path(path)
    listed = card(path).get("sha256") or {}
    if not isinstance(listed, dict):
        return [f"the card of {path.name!r} lists no sha256 of its files; restore it from its source."]
    problems = []
    for name, expected in listed.items():
        file = path / Path(str(name)).name  # a card cannot point outside its folder
        if not file.is_file():
            problems.append(f"{path.name}/{file.name} is missing; restore it from its source.")
        elif hashlib.sha256(file.read_bytes()).hexdigest() != expected:
            problems.append(f"{path.name}/{file.name} does not match its card; restore it from its source.")
    return problems
