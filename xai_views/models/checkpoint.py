"""Checkpoint folders: ``model.safetensors``, ``supports.safetensors``, ``latents.safetensors`` and ``card.yaml``.

The family of the network, an entry of ``xai_views.families``, defines how it is built and what it holds beside its
weights. A card with an entry ``weights`` states where else the weights are: in an installed package, or drawn from a
seed. Nothing in a folder is unpickled: weights are safetensors, cards are read with the safe YAML loader.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import torch
import yaml
from safetensors.torch import save_file
from torch import nn

from xai_views.catalogue import named_classes
from xai_views.contract import registry
from xai_views.contract.family import Family
from xai_views.errors import ModelError, XaiViewsError, cause, nearest
from xai_views.models.model import Model
from xai_views.models.stored import CARD, LATENTS, SUPPORTS, WEIGHTS, file_sha256, read_tensors
from xai_views.models.supports import Latents, Supports

PICKLES = (".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".bin")


def family_of(name: str) -> Family:
    """Return the family of networks with this name.

    Raises
    ------
    ModelError
        When it is not installed.
    """
    known = registry.entries("families")
    if name not in known:
        raise ModelError(
            f"the card names the family {name!r}, which is not installed; installed are {', '.join(map(repr, known))}."
        )
    return registry.load("families", name)()


def build(architecture: dict, family: Family | None = None) -> nn.Module:
    """Build an untrained network from the ``architecture`` entry of a card.

    Parameters
    ----------
    architecture : dict
        Contains the name of its family, unless that is given.
    family : Family, optional
        Family of the network.

    Raises
    ------
    ModelError
        For an unknown family or a missing entry.
    """
    family = family_of(str(architecture.get("family"))) if family is None else family
    try:
        return family.build(architecture)
    except KeyError as missing:
        raise ModelError(
            f"the card's architecture lacks the entry {missing}; write the card again."
        ) from None
    except (TypeError, ValueError, RuntimeError) as e:
        said = cause(e, 120)
        raise ModelError(f"the card's architecture cannot be built ({said}); restore the card.") from None


def _check_sha256(folder: Path, card: dict) -> None:
    for name, expected in (card.get("sha256") or {}).items():
        path = folder / Path(name).name
        if path.is_file() and file_sha256(path) != expected:
            raise ModelError(
                f"{path.name} in checkpoint {folder.name!r} does not match the sha256 in its card; restore the file, or "
                "train again to write a new card."
            )


def _load_weights(module: nn.Module, weights: dict[str, torch.Tensor], name: str) -> None:
    own = {k: v for k, v in module.state_dict().items() if k not in ("supports", "support_class")}
    unknown, missing = sorted(weights.keys() - own.keys()), sorted(own.keys() - weights.keys())
    if unknown:
        raise ModelError(
            f"checkpoint {name!r} has the unknown key {unknown[0]!r}; the network has {nearest(unknown[0], own)}."
        )
    if missing:
        raise ModelError(
            f"checkpoint {name!r} lacks the key {missing[0]!r}; its card describes another network, so restore both."
        )
    for key, value in weights.items():
        if value.shape != own[key].shape:
            raise ModelError(
                f"checkpoint {name!r} has {key!r} of shape {list(value.shape)}, but its card describes "
                f"{list(own[key].shape)}; card and weights belong to different networks, so restore both."
            )
    module.load_state_dict(weights, strict=False)


def read_card(folder: Path) -> dict:
    """Read ``card.yaml``.

    Raises
    ------
    ModelError
        When it is missing or not a YAML mapping.
    """
    path = folder / CARD
    if not path.is_file():
        found = [p.name for p in sorted(folder.iterdir())][:4] if folder.is_dir() else []
        pickled = next((n for n in found if n.endswith(PICKLES)), None)
        if pickled:
            raise ModelError(
                f"{folder.name!r} holds the pickle {pickled!r}, which can run code when opened; build the module yourself, "
                "load it with torch.load(weights_only=True) and give open_model the module."
            )
        raise ModelError(
            f"{str(folder)!r} is not a checkpoint folder: it has no {CARD} (found: {found or 'nothing'}); give a folder with one."
        )
    try:
        card = yaml.safe_load(path.read_text("utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError):
        card = None
    if not isinstance(card, dict) or not isinstance(card.get("architecture"), dict):
        raise ModelError(
            f"the card of checkpoint {folder.name!r} is not YAML with an 'architecture'; restore the file."
        )
    try:
        card = named_classes(card)
    except XaiViewsError as e:
        raise ModelError(str(e)) from None
    names, n = card.get("classes"), card["architecture"].get("classes")
    if not isinstance(names, list) or len(names) != n:
        got = f"{len(names)} class names" if isinstance(names, list) else "no list of class names"
        raise ModelError(
            f"the card of checkpoint {folder.name!r} has {got} and a network with {n}; restore the file."
        )
    if not isinstance(card.get("sha256", {}), dict):
        raise ModelError(
            f"the card of checkpoint {folder.name!r} has a 'sha256' that is not a mapping; restore the file."
        )
    return card


def load(folder: Path) -> Model:
    """Open a checkpoint folder.

    Raises
    ------
    ModelError
        In one sentence: no card, a pickle, a truncated file, a wrong sha256, unknown keys, wrong shapes.
    """
    card = read_card(folder)
    _check_sha256(folder, card)
    architecture = card["architecture"]
    digest = hashlib.sha256(json.dumps(architecture, sort_keys=True, default=str).encode())
    family = family_of(str(card.get("family") or architecture.get("family")))
    if "weights" in card:
        module, said = family.fetched(architecture, card["weights"])
        digest.update(said.encode())
    else:
        module = build(architecture, family)
        _load_weights(module, read_tensors(folder / WEIGHTS), folder.name)
        digest.update(file_sha256(folder / WEIGHTS).encode())
    held = family.held(folder, card, module)
    for name in family.files:
        digest.update(file_sha256(folder / name).encode())
    size = architecture.get("size")
    return Model(
        card.get("name", folder.name),
        digest.hexdigest(),
        module,
        [str(c) for c in card["classes"]],
        architecture["channels"],
        tuple(size) if size else None,
        card,
        rate=architecture.get("rate"),
        leads=tuple(str(x) for x in architecture.get("leads", ())),
        kind=str(card.get("kind") or ""),
        outputs=family.outputs,
        path=folder,
        **held,
    )


def _compact(name: str, array: np.ndarray) -> np.ndarray:
    """Store supports of signals and their maps in half precision: they are large, and it exceeds a recording's precision."""
    large = name in ("image", "self_contribution") and array.shape[-1] > 512 and array.dtype.kind == "f"
    return array.astype(np.float16) if large else array


def save(
    folder: Path, module: nn.Module, supports: Supports | None, latents: Latents | None, card: dict
) -> None:
    """Write a checkpoint folder; the card is written last and contains the sha256 of the other files.

    For networks other than SIC, supports and latents are None.
    """
    folder.mkdir(parents=True, exist_ok=True)
    weights = {
        k: v.cpu().contiguous()
        for k, v in module.state_dict().items()
        if k not in ("supports", "support_class")
    }
    save_file(weights, folder / WEIGHTS)
    written = [WEIGHTS]
    for name, held, keys in (
        (SUPPORTS, supports, ("vectors", "label", "index", "image", "self_contribution")),
        (LATENTS, latents, ("z", "label", "index")),
    ):
        if held is not None:
            arrays = {k: torch.from_numpy(np.ascontiguousarray(_compact(k, getattr(held, k)))) for k in keys}
            save_file(arrays, folder / name)
            written.append(name)
    if latents is not None:
        card = card | {"training_samples": latents.samples}
    card = card | {"sha256": {n: file_sha256(folder / n) for n in written}}
    (folder / CARD).write_text(yaml.safe_dump(card, sort_keys=False, allow_unicode=True, width=100), "utf-8")
