"""One's own image: decoded within bounds, fitted to the model, explained like any other sample."""

from __future__ import annotations

import asyncio
from typing import Any

import panel as pn

from dashboard.sic_panels import caption
from dashboard.tasks import start
from dashboard.theme import note
from xai_views.errors import XaiViewsError
from xai_views.samples import decode_upload, fit
from xai_views.views.plots import data_uri

MAX_BYTES = 10_000_000


class UploadPanel(pn.viewable.Viewer):
    """Upload an image and explain it; it lives with this page and is stored nowhere.

    Parameters
    ----------
    app : SicApp
        Gives session, state and canvas.
    """

    def __init__(self, app: Any) -> None:
        super().__init__()
        self.app = app
        self.input = pn.widgets.FileInput(accept="image/*", multiple=False, name="Image file", margin=(8, 16))
        self.answer = pn.Column(sizing_mode="stretch_width")
        self.input.param.watch(self._arrived, "value")

    def _arrived(self, event: Any) -> None:
        if event.new is not None:
            start(self.take(event.new))

    async def take(self, data: bytes) -> None:
        """Decode ``data``, fit it to the model and bring it into view; a problem becomes one sentence."""
        try:
            original = await asyncio.to_thread(decode_upload, data, max_bytes=MAX_BYTES)
            image = await asyncio.to_thread(fit, original, self.app.model.size, self.app.model.channels)
            position = self.app.session.add(image)
        except XaiViewsError as e:
            self.answer.objects = [note(str(e), "error")]
            return
        name = self.app.session.names[position]
        self.app.canvas.order = [*self.app.canvas.order, name]
        self.app.state.sample = position
        height, width = original.shape[:2]
        words = (f"{name}: {width}x{height} pixels, cropped around the centre and resized to {image.shape[1]}x{image.shape[0]}"
                 f"{', turned grey' if image.shape[2] == 1 else ''}. The network sees the second picture.")
        pictures = "".join(f'<img src="{data_uri(p, 128)}" alt="{alt}" style="width:128px;image-rendering:pixelated;border-radius:6px">'
                           for p, alt in ((original, "as uploaded"), (image, "as the network sees it")))
        self.answer.objects = [note(words), pn.pane.HTML(f'<div style="display:flex;gap:12px">{pictures}</div>', margin=(4, 16))]

    def __panel__(self) -> Any:
        return pn.Column(
            caption("Explain an image of your own (at most 10 MB). It stays in this page's memory, is not stored, and is not part of "
                    "the address. The network answers any image, also one that shows none of its classes: see the hint under All classes."),
            self.input, self.answer, sizing_mode="stretch_width")
