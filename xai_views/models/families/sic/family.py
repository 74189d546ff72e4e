"""SIC checkpoints: a B-cos encoder of images or signals, with supports and evidence vectors."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from xai_views.contract.family import Family
from xai_views.errors import ModelError
from xai_views.models.families.cnn.network import BcosCNN, BcosCNN1d
from xai_views.models.families.sic.network import SIC
from xai_views.models.stored import LATENTS, SUPPORTS, read_tensors
from xai_views.models.supports import Latents, Supports


class SicFamily(Family):
    """Networks whose logits are sums of evidence of training examples."""

    files: ClassVar = (SUPPORTS,)

    def build(self, architecture: Mapping[str, Any]) -> SIC:
        """Build an encoder from its plan, and a head without supports."""
        a = architecture
        if len(a.get("size") or ()) == 1:
            encoder: Any = BcosCNN1d(a["channels"], a["plan"], a["scale"])
        else:
            encoder = BcosCNN(a["channels"], a["plan"])
        return SIC(encoder, a["classes"], a["latent"], a["temperature"])

    def held(self, folder: Path, card: Mapping[str, Any], module: SIC) -> dict[str, Any]:
        """Return the supports, which are set in the network, and the evidence vectors of the training images."""
        return {"supports": _load_supports(folder, module), "latents": _load_latents(folder, card)}


def _load_supports(folder: Path, module: SIC) -> Supports:
    t = read_tensors(folder / SUPPORTS)
    expected = {"vectors", "label", "index", "image", "self_contribution"}
    if set(t) != expected or t["vectors"].ndim != 2 or t["vectors"].shape[1] != module.latent_size:
        raise ModelError(
            f"{SUPPORTS} in checkpoint {folder.name!r} holds {sorted(t)} and should hold {sorted(expected)} with vectors of "
            f"size {module.latent_size}; select the supports again."
        )
    sizes = sorted({len(v) for v in t.values()})
    if len(sizes) > 1 or not ((t["label"] >= 0) & (t["label"] < module.classes)).all():
        raise ModelError(
            f"{SUPPORTS} in checkpoint {folder.name!r} holds lists of {sizes} supports, or labels beyond the {module.classes} "
            "classes; select the supports again."
        )
    # signals and their maps are stored in half precision, which exceeds a recording's precision
    supports = Supports(**{k: (v.float() if v.is_floating_point() else v).numpy() for k, v in t.items()})
    module.set_supports(t["vectors"], t["label"])
    return supports


def _load_latents(folder: Path, card: Mapping[str, Any]) -> Latents | None:
    if not (folder / LATENTS).is_file():
        return None
    t = {k: v.numpy() for k, v in read_tensors(folder / LATENTS).items()}
    if set(t) != {"z", "label", "index"} or len({len(v) for v in t.values()}) > 1:
        raise ModelError(
            f"{LATENTS} in checkpoint {folder.name!r} holds {sorted(t)} and should hold z, label and index of equal length; "
            "restore the file."
        )
    return Latents(t["z"], t["label"], t["index"], str(card.get("training_samples", "")))
