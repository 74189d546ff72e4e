"""The codebook: one set of clusters for all samples, their best crops, their names, and how they spread over the classes."""

from __future__ import annotations

import asyncio
import io
import tempfile
import zipfile
from concurrent.futures import Future
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import panel as pn
import panel_material_ui as pmui

from xai_views.errors import XaiViewsError
from xai_views.views import Filmstrip, Listing
from xai_views.views.wire import as_uint8
from xai_views_dashboard.core.page import caption
from xai_views_dashboard.core.session import context_of
from xai_views_dashboard.core.tasks import failed, on_page, start

CROP = 0.3  # side of a crop, as a share of the image
COLUMNS = [
    {"key": "cluster", "title": "cluster"},
    {"key": "name", "title": "name"},
    {"key": "share", "title": "share of all positions", "kind": "number", "digits": 3},
    {"key": "images", "title": "images with it", "kind": "number", "digits": 0},
    {"key": "purity", "title": "known part"},
    {"key": "class", "title": "most of it in"},
]
_fits: dict[tuple, Future] = {}  # shared by all visitors of a process


class BookPanel(pn.viewable.Viewer):
    """Fit a codebook on all samples, look at its clusters, name them, and cut every image by it.

    Parameters
    ----------
    app : ActivationsApp
        Gives session and state.
    """

    def __init__(self, app: Any) -> None:
        super().__init__()
        self.app = app
        self.fitted: Any = None
        self.fit = pmui.Button(label="Fit on all samples", variant="contained", size="small")
        self.cancel = pmui.Button(label="Stop", variant="outlined", size="small", disabled=True)
        self.save = pmui.FileDownload(
            callback=self.archive,
            filename="codebook.zip",
            label="Save the codebook",
            size="small",
            disabled=True,
        )
        self.words = pn.pane.HTML("", sizing_mode="stretch_width", margin=(4, 16))
        self.listing = Listing(label="The clusters of all samples", columns=COLUMNS)
        self.film = Filmstrip(
            np.zeros((1, 8, 8, 3), np.uint8), size=72, label="Best crops of the chosen cluster"
        )
        self.found = pn.Column(sizing_mode="stretch_width")  # table and crops, once there are any
        self._crops: list[tuple[int, int, int, float]] = []
        self.fit.on_click(lambda _: start(self.run()))
        self.cancel.on_click(lambda _: self._stop())
        self.listing.on_select(lambda c: setattr(app.state, "cluster", int(c)))
        self.film.on_select(self._go)
        app.state.param.watch(lambda *_: self._show(), ["cluster", "names"])
        app.state.param.watch(self.begin, "mode")
        self._future: Future | None = None

    def begin(self, *_: Any) -> None:
        """Fit when the state asks for a codebook and there is none."""
        if self.app.state.mode == "codebook" and self.app.session.book is None:
            # From the address it comes before the page; a codebook that is there already would be written too early.
            pn.state.onload(lambda: start(self.run()))

    def _ask(self) -> Any:
        plain = self.app.session.ask(self.app.state, mode="nested", codebook=None, ablated=(), targets=(-1,))
        return plain.replace(k=plain.k or 8)

    async def run(self) -> None:
        """Fit, or take the codebook that somebody fitted already; the page stays usable meanwhile."""
        session = self.app.session
        ask = self._ask()
        key = (session.model.sha256, session.population.key, context_of(ask))
        future = _fits.get(key)
        if future is None or failed(future):
            from xai_views.methods.nave.fitting import fit

            samples = session.population.samples

            def codebook(progress: Any) -> Any:
                return (yield from fit(session.model, samples, ask, progress))

            future = session.kernel.run(codebook, priority=1)
            _fits[key] = future
        self._future = future
        self.fit.disabled, self.cancel.disabled = True, False
        self.words.object = (
            "<p>Fitting: every image goes through the network once; the line at the bottom counts.</p>"
        )
        try:
            fitted = await asyncio.wrap_future(future)
        except asyncio.CancelledError:
            on_page(lambda: self._ended("The fit was stopped."))
            return
        except XaiViewsError as e:
            said = str(e)
            on_page(lambda: self._ended(said))
            return
        on_page(lambda: self.take(fitted))

    def _stop(self) -> None:
        if self._future is not None:
            self._future.cancel()

    def _ended(self, sentence: str) -> None:
        self.fit.disabled, self.cancel.disabled = False, True
        self.words.object = f"<p>{escape(sentence)}</p>"

    def take(self, fitted: Any) -> None:
        """Use a codebook for every picture of the page."""
        app = self.app
        self.fitted = fitted
        app.session.book = fitted.book
        self._ended(
            f"{fitted.book.k} clusters of {len(fitted.images)} images. Equal colours now mean equal clusters in every image; "
            "choose one to see where it is strongest. Another K, layers or weights count at the next fit."
        )
        self.found.objects = [self.listing]
        self.save.disabled = False
        if app.state.mode == "codebook":
            app.refresh()
        else:
            app.state.mode = "codebook"
        self._show()

    def _show(self) -> None:
        """Write table and crops for what is chosen."""
        if self.fitted is None:
            return
        state = self.app.state
        self.listing.rows = [self._row(c) for c in range(self.fitted.book.k)]
        self.listing.selected = str(state.cluster) if 0 <= state.cluster < self.fitted.book.k else ""
        self._crops = self.fitted.crops[state.cluster] if 0 <= state.cluster < self.fitted.book.k else []
        self.found.objects = [self.film, self.listing] if self._crops else [self.listing]
        if self._crops:
            names = self.app.session.names
            self.film.replace(
                np.stack([self.crop(i, y, x) for i, y, x, _ in self._crops]),
                captions=[f"{names[i]}, squared distance {d:.3f}" for i, _, _, d in self._crops],
            )

    def archive(self) -> io.BytesIO:
        """The codebook as a zip: weights as safetensors and a card with the names, for ``Codebook.load``."""
        given = self.app.state.names
        named = self.fitted.book.named(
            [given.get(str(c), "") or n for c, n in enumerate(self.fitted.book.names)]
        )
        out = io.BytesIO()
        with tempfile.TemporaryDirectory() as place, zipfile.ZipFile(out, "w") as file:
            for part in sorted(named.save(Path(place) / "codebook").iterdir()):
                file.write(part, f"codebook/{part.name}")
        out.seek(0)
        return out

    def _row(self, c: int) -> dict[str, Any]:
        fitted, app = self.fitted, self.app
        share = fitted.proportion[:, c]
        label = app.session.population.label[fitted.images]
        per_class = np.bincount(label[label >= 0], share[label >= 0]) if (label >= 0).any() else np.zeros(0)
        best = int(per_class.argmax()) if per_class.sum() > 0 else -1
        parts = app.samples.attrs.get("parts", ())
        pure = ""
        if fitted.purity is not None:
            part, much = fitted.purity[c]
            pure = f"{(parts[part] if part < len(parts) else '') or 'background'} {much:.0%}"
        return {
            "id": str(c),
            "cluster": str(c),
            "name": app.state.names.get(str(c), "") or fitted.book.names[c],
            "share": float(share.mean()),
            "images": int((share > 0).sum()),
            "purity": pure,
            "class": f"{app.model.classes[best]} {per_class[best] / per_class.sum():.0%}"
            if 0 <= best < len(app.model.classes)
            else "",
        }

    def crop(self, i: int, y: int, x: int) -> np.ndarray:
        """A square piece of sample ``i`` around a position."""
        image = as_uint8(self.app.session.image(i))
        side = max(8, round(CROP * min(image.shape[:2])))
        top = int(np.clip(y - side // 2, 0, image.shape[0] - side))
        left = int(np.clip(x - side // 2, 0, image.shape[1] - side))
        return image[top : top + side, left : left + side]

    def _go(self, index: int) -> None:
        if index < len(self._crops):
            self.app.state.sample = int(self._crops[index][0])

    def __panel__(self) -> Any:
        return pn.Column(
            caption(
                "A codebook clusters positions of all samples once and assigns every image to it: the same colour is the "
                "same cluster everywhere. Names are what the last layer reads, until you give one under Cluster; a name is an "
                "interpretation."
            ),
            pn.FlexBox(self.fit, self.cancel, self.save, align_items="center", gap="8px", margin=(4, 16)),
            self.words,
            self.found,
            sizing_mode="stretch_width",
        )
