"""Checkpoints of small convolutional networks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from xai_views.contract.family import Family
from xai_views.models.families.cnn.network import PlainCNN


class CnnFamily(Family):
    """Small convolutional networks with a linear head."""

    def build(self, architecture: Mapping[str, Any]) -> PlainCNN:
        """Build a network from its plan."""
        return PlainCNN(architecture["channels"], architecture["classes"], architecture["plan"])
