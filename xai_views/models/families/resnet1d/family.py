"""Checkpoints of residual networks of signals."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from xai_views.contract.family import Family
from xai_views.models.families.resnet1d.network import ResNet1d


class ResNet1dFamily(Family):
    """Residual networks of signals."""

    def build(self, architecture: Mapping[str, Any]) -> ResNet1d:
        """Build a network with the stem, blocks, kernel and head in the card."""
        a = architecture
        return ResNet1d(
            a["channels"], a["classes"], a["size"][0], a["stem"], a["blocks"], a["kernel"], a["head"]
        )
