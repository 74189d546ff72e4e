"""What is shipped: names of models and samples, and where they are."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import yaml

from .errors import XaiViewsError

FAMILIES = ("birds", "digits", "nuclei")


def root() -> Path:
    """Folder of the shipped data: ``XAI_VIEWS_DATA``, the wheel's own, or the checkout's."""
    if os.environ.get("XAI_VIEWS_DATA"):
        return Path(os.environ["XAI_VIEWS_DATA"]).expanduser()
    inside = Path(__file__).parent / "_data"
    return inside if inside.is_dir() else Path(__file__).parent.parent / "data"


def models() -> dict[str, Path]:
    """Checkpoint folders by name."""
    return {p.parent.name: p.parent for p in sorted((root() / "models").glob("*/card.yaml"))}


def samples() -> dict[str, Path]:
    """Folders of sample sets by catalogue name, such as ``birds/test``."""
    found = {}
    for family in FAMILIES:
        for split in ("train", "test"):
            for folder in (root() / "samples" / f"{family}-{split}", root() / "samples" / family):
                if (folder / "card.yaml").is_file():
                    found[f"{family}/{split}"] = folder
                    break
    if "birds/test" in found:
        found.setdefault("birds/train", found["birds/test"])  # drawn when asked for
    return dict(sorted(found.items()))


def card(path: Path) -> dict:
    """Read the card of a model or sample folder.

    Raises
    ------
    XaiViewsError
        When it is missing or not a YAML mapping.
    """
    file = Path(path) / "card.yaml"
    if not file.is_file():
        raise XaiViewsError(f"{Path(path).name!r} has no card.yaml; every shipped folder needs one.")
    try:
        fields = yaml.safe_load(file.read_text("utf-8"))
    except yaml.YAMLError:
        fields = None
    if not isinstance(fields, dict):
        raise XaiViewsError(f"the card of {Path(path).name!r} is not a YAML mapping; restore it from its source.")
    return fields


def verify(path: Path) -> list[str]:
    """One sentence for each file of a folder whose sha256 is not what its card says; empty when all is well."""
    problems = []
    for name, expected in (card(path).get("sha256") or {}).items():
        file = Path(path) / Path(name).name
        if not file.is_file():
            problems.append(f"{Path(path).name}/{file.name} is missing; restore it from its source.")
        elif hashlib.sha256(file.read_bytes()).hexdigest() != expected:
            problems.append(f"{Path(path).name}/{file.name} is not what its card says; restore it from its source.")
    return problems
