"""The trained single-lead network of the package openecg."""

from __future__ import annotations

from typing import ClassVar

from xai_views.contract.family import Family
from xai_views.models.families.openecg.network import NAMES, open_openecg
from xai_views.models.model import Model


class OpenEcgFamily(Family):
    """The trained network of the package openecg, opened by name."""

    names: ClassVar = tuple(NAMES)

    def open(self, name: str) -> Model:
        """Open the network with the head given by the name."""
        return open_openecg(NAMES[name])
