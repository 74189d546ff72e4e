"""Files of a checkpoint folder: names, checksums and tensors."""

from __future__ import annotations

import hashlib
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from xai_views.errors import ModelError

WEIGHTS, SUPPORTS, LATENTS, CARD = (
    "model.safetensors",
    "supports.safetensors",
    "latents.safetensors",
    "card.yaml",
)
#: Folder of the codebook that all samples share.
CLUSTERS = "clusters"


def file_sha256(path: Path) -> str:
    """Return the hexadecimal sha256 of a file."""
    with path.open("rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()


def read_tensors(path: Path) -> dict[str, torch.Tensor]:
    """Read a safetensors file of a checkpoint.

    Raises
    ------
    ModelError
        When it is missing or incomplete.
    """
    if not path.is_file():
        raise ModelError(
            f"checkpoint {path.parent.name!r} has no file {path.name}; train it again or restore the file."
        )
    try:
        return load_file(path)
    except SafetensorError as e:
        raise ModelError(
            f"{path.name} in checkpoint {path.parent.name!r} is not a complete safetensors file ({e}); restore it from "
            "its source."
        ) from None
