"""EfficientNet-Lite0, with weights from a package or a seed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from xai_views.contract.family import Family
from xai_views.models.families.efficientnet.network import Lite0, elsewhere


class EfficientNetFamily(Family):
    """EfficientNet-Lite0 for the classes of ImageNet, from installed packages."""

    def build(self, architecture: Mapping[str, Any]) -> Lite0:
        """Build the network of the package."""
        return Lite0(architecture["classes"])

    def fetched(self, architecture: Mapping[str, Any], weights: Any) -> tuple[Any, str]:
        """Return the network with weights of an installed package, or random weights from a seed."""
        return elsewhere(lambda: self.build(architecture), weights)
