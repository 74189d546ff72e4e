"""Pictures of single layers."""

from __future__ import annotations

from typing import Any

from xai_views.errors import XaiViewsError, without_folders
from xai_views_dashboard.activations.session import Layers
from xai_views_dashboard.core.picture_panel import PicturePanel
from xai_views_dashboard.core.tasks import on_page, start


class LayeredPanel(PicturePanel):
    """Pictures whose layout depends on the layers of the model, which are found first."""

    layers = Layers({}, ())

    def update(self, *events: Any) -> None:
        """Request the layers, then the pictures."""
        if not self._active or self.layers.default:
            super().update(*events)
        else:
            start(self._learn())

    async def _learn(self) -> None:
        try:
            layers = await self.app.session.layers()
        except XaiViewsError as error:
            sentence = without_folders(error)
            on_page(lambda: self.failed(sentence))
            return
        on_page(lambda: self.learned(layers))

    def learned(self, layers: Layers) -> None:
        """Take over the layers, and request the pictures."""
        self.layers = layers
        super().update()

    @property
    def taps(self) -> tuple[str, ...]:
        """The selected layers."""
        return tuple(self.app.state.taps) or self.layers.default
