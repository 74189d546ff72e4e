"""Checkpoints of small vision transformers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from xai_views.contract.family import Family
from xai_views.models.families.vit.network import ViT


class VitFamily(Family):
    """Vision transformers, with or without registers."""

    def build(self, architecture: Mapping[str, Any]) -> ViT:
        """Build a transformer with the patches, width, depth, heads and registers in the card."""
        a = architecture
        sizes = (a["patch"], a["dim"], a["depth"], a["heads"], a.get("registers", 0))
        return ViT(a["channels"], a["classes"], tuple(a["size"]), *sizes, stem=a.get("stem", "patch"))
