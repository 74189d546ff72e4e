"""Pictures of single layers: the network is asked for its layers first."""

from __future__ import annotations

from typing import Any

from xai_views.errors import XaiViewsError
from xai_views_dashboard.activations.session import Layers
from xai_views_dashboard.core.picture_panel import PicturePanel
from xai_views_dashboard.core.tasks import on_page, start


class LayeredPanel(PicturePanel):
    """Pictures that cannot be laid out before the layers are known; until then there is the sample alone."""

    layers = Layers({}, ())

    def update(self, *events: Any) -> None:
        """Ask for the layers, then for what the state says."""
        if not self._active or self.layers.default:
            super().update(*events)
        else:
            start(self._learn())

    async def _learn(self) -> None:
        try:
            layers = await self.app.session.layers()
        except XaiViewsError as error:
            sentence = str(error)
            on_page(lambda: self.failed(sentence))
            return
        on_page(lambda: self.learned(layers))

    def learned(self, layers: Layers) -> None:
        """Take over the layers, and ask for the pictures."""
        self.layers = layers
        super().update()

    @property
    def taps(self) -> tuple[str, ...]:
        """The layers in use."""
        return tuple(self.app.state.taps) or self.layers.default
