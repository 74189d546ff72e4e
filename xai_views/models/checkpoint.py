"""Checkpoint folders: ``model.safetensors``, ``supports.safetensors``, ``latents.safetensors`` and ``card.yaml``.

Only SIC networks have supports and latents. A card with an entry ``weights`` says where else the weights are: in an
installed package, or drawn from a seed. Nothing in a folder is unpickled: weights are safetensors, cards are read
with the safe YAML loader.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import yaml
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from xai_views.catalogue import named_classes
from xai_views.errors import ModelError, XaiViewsError, nearest
from xai_views.models.families.sic.network import SIC
from xai_views.models.model import Model
from xai_views.models.supports import Latents, Supports

WEIGHTS, SUPPORTS, LATENTS, CARD = (
    "model.safetensors",
    "supports.safetensors",
    "latents.safetensors",
    "card.yaml",
)
PICKLES = (".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".bin")


def _sic(a: dict) -> nn.Module:
    from xai_views.models.families.cnn.network import BcosCNN, BcosCNN1d

    records = len(a.get("size") or ()) == 1
    encoder = (
        BcosCNN1d(a["channels"], a["plan"], a["scale"]) if records else BcosCNN(a["channels"], a["plan"])
    )
    return SIC(encoder, a["classes"], a["latent"], a["temperature"])


def _cnn(a: dict) -> nn.Module:
    from xai_views.models.families.cnn.network import PlainCNN

    return PlainCNN(a["channels"], a["classes"], a["plan"])


def _vit(a: dict) -> nn.Module:
    from xai_views.models.families.vit.network import ViT

    sizes = (a["patch"], a["dim"], a["depth"], a["heads"], a.get("registers", 0))
    return ViT(a["channels"], a["classes"], tuple(a["size"]), *sizes, stem=a.get("stem", "patch"))


def _lite0(a: dict) -> nn.Module:
    from xai_views.models.families.efficientnet.network import Lite0

    return Lite0(a["classes"])


def _resnet1d(a: dict) -> nn.Module:
    from xai_views.models.families.resnet1d.network import ResNet1d

    return ResNet1d(a["channels"], a["classes"], a["size"][0], a["stem"], a["blocks"], a["kernel"], a["head"])


#: Architecture families by the name in a card.
FAMILIES: dict[str, Callable[[dict], nn.Module]] = {
    "sic": _sic,
    "cnn": _cnn,
    "vit": _vit,
    "efficientnet-lite0": _lite0,
    "resnet1d": _resnet1d,
}


def build(architecture: dict) -> nn.Module:
    """Build an untrained network from the ``architecture`` entry of a card.

    Raises
    ------
    ModelError
        For an unknown family or a missing entry.
    """
    family = architecture.get("family")
    if family not in FAMILIES:
        raise ModelError(
            f"the card names the architecture family {family!r}; this version knows {', '.join(map(repr, FAMILIES))}."
        )
    try:
        return FAMILIES[family](architecture)
    except KeyError as missing:
        raise ModelError(
            f"the card's architecture lacks the entry {missing}; write the card again."
        ) from None
    except (TypeError, ValueError, RuntimeError) as e:
        said = str(e).partition("\n")[0][:120]
        raise ModelError(f"the card's architecture cannot be built ({said}); restore the card.") from None


def file_sha256(path: Path) -> str:
    """Hexadecimal sha256 of a file."""
    with path.open("rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()


def _read(path: Path) -> dict[str, torch.Tensor]:
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


def _check_sha256(folder: Path, card: dict) -> None:
    for name, expected in (card.get("sha256") or {}).items():
        path = folder / Path(name).name
        if path.is_file() and file_sha256(path) != expected:
            raise ModelError(
                f"{path.name} in checkpoint {folder.name!r} has another sha256 than its card says; restore the file, or "
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
            f"checkpoint {name!r} lacks the key {missing[0]!r}; its card describes another network."
        )
    for key, value in weights.items():
        if value.shape != own[key].shape:
            raise ModelError(
                f"checkpoint {name!r} has {key!r} of shape {list(value.shape)} and its card describes "
                f"{list(own[key].shape)}; card and weights belong to different networks."
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
            f"{str(folder)!r} is not a checkpoint folder: it has no {CARD} (found: {found or 'nothing'})."
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
            f"the card of checkpoint {folder.name!r} has a 'sha256' that is no mapping; restore the file."
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
    supports = latents = None
    if "weights" in card:
        from xai_views.models.families.efficientnet.network import elsewhere

        module, said = elsewhere(lambda: build(architecture), card["weights"])
        digest.update(said.encode())
    else:
        module = build(architecture)
        _load_weights(module, _read(folder / WEIGHTS), folder.name)
        digest.update(file_sha256(folder / WEIGHTS).encode())
    if isinstance(module, SIC):
        supports = _load_supports(folder, module)
        latents = _load_latents(folder, card)
        digest.update(file_sha256(folder / SUPPORTS).encode())
    size = architecture.get("size")
    return Model(
        card.get("name", folder.name),
        digest.hexdigest(),
        module,
        [str(c) for c in card["classes"]],
        architecture["channels"],
        tuple(size) if size else None,
        card,
        supports,
        latents,
        architecture.get("rate"),
        tuple(str(x) for x in architecture.get("leads", ())),
        str(card.get("kind") or ""),
        path=folder,
    )


def _load_supports(folder: Path, module: SIC) -> Supports:
    t = _read(folder / SUPPORTS)
    expected = {"vectors", "label", "index", "image", "self_contribution"}
    if set(t) != expected or t["vectors"].ndim != 2 or t["vectors"].shape[1] != module.latent_size:
        raise ModelError(
            f"{SUPPORTS} in checkpoint {folder.name!r} holds {sorted(t)} and should hold {sorted(expected)} with vectors of "
            f"size {module.latent_size}; select the supports again."
        )
    sizes = sorted({len(v) for v in t.values()})
    if len(sizes) > 1 or not ((t["label"] >= 0) & (t["label"] < module.classes)).all():
        raise ModelError(
            f"{SUPPORTS} in checkpoint {folder.name!r} holds lists of {sizes} supports or labels beyond {module.classes} "
            "classes; select the supports again."
        )
    # signals and their maps are stored with half the digits, which is more than a recording has
    supports = Supports(**{k: (v.float() if v.is_floating_point() else v).numpy() for k, v in t.items()})
    module.set_supports(t["vectors"], t["label"])
    return supports


def _load_latents(folder: Path, card: dict) -> Latents | None:
    if not (folder / LATENTS).is_file():
        return None
    t = {k: v.numpy() for k, v in _read(folder / LATENTS).items()}
    if set(t) != {"z", "label", "index"} or len({len(v) for v in t.values()}) > 1:
        raise ModelError(
            f"{LATENTS} in checkpoint {folder.name!r} holds {sorted(t)} and should hold z, label and index of one length; "
            "restore the file."
        )
    return Latents(t["z"], t["label"], t["index"], str(card.get("training_samples", "")))


def _compact(name: str, array: np.ndarray) -> np.ndarray:
    """Signals of supports and their maps are large; half precision holds more digits than a recording has."""
    large = name in ("image", "self_contribution") and array.shape[-1] > 512 and array.dtype.kind == "f"
    return array.astype(np.float16) if large else array


def save(
    folder: Path, module: nn.Module, supports: Supports | None, latents: Latents | None, card: dict
) -> None:
    """Write a checkpoint folder; the card is written last and carries the sha256 of the other files.

    Networks other than SIC have neither supports nor latents: None.
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
