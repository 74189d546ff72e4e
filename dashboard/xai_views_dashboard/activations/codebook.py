"""The codebook: one set of clusters for all samples, with best crops, names and distribution over classes."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Generator, Hashable
from typing import Any

import numpy as np
import panel as pn
import panel_material_ui as pmui

from xai_views.contract import registry
from xai_views.contract.ask import Ask
from xai_views.contract.method import PREDICTED
from xai_views.methods.nave.fitting import Fitted, fit
from xai_views.views import Filmstrip, Listing
from xai_views.views.wire import as_uint8
from xai_views_dashboard.core.archive import zipped
from xai_views_dashboard.core.job import Job
from xai_views_dashboard.core.page import caption
from xai_views_dashboard.core.tasks import start

CROP = 0.3  # side of a crop, as a share of the image
COLUMNS = [
    {"key": "cluster", "title": "cluster"},
    {"key": "name", "title": "name"},
    {"key": "share", "title": "share of all positions", "kind": "number", "digits": 3},
    {"key": "images", "title": "images containing it", "kind": "number", "digits": 0},
    {"key": "purity", "title": "ground-truth part"},
    {"key": "class", "title": "mostly in class"},
]
#: Parameters on which a codebook depends.
FITTED_BY = ("taps", "weights", "grid", "interp", "k", "seed")


class CodebookPanel(Job):
    """Fit a codebook on all samples, inspect and name its clusters, and use it for every image."""

    title = "Codebook"
    question = "why"
    watched = ("cluster", "names")
    verb = "Fit on all samples"
    doing = "Fitting a codebook"
    stopped = "Fit cancelled."

    def __init__(self, app: Any) -> None:
        self.fitted: Fitted | None = None
        self.save = pmui.FileDownload(
            callback=self.archive,
            filename="codebook.zip",
            label="Save codebook",
            size="small",
            disabled=True,
        )
        self.listing = Listing(label="The clusters of all samples", columns=COLUMNS)
        self.film = Filmstrip(
            np.zeros((1, 8, 8, 3), np.uint8), size=72, label="Best crops of the selected cluster"
        )
        self.found = pn.Column(sizing_mode="stretch_width")  # table and crops, once fitted
        self._crops: list[tuple[int, int, int, float]] = []
        super().__init__(app)
        self.listing.on_select(lambda c: setattr(app.state, "cluster", int(c)))
        self.film.on_select(self._go)
        app.state.param.watch(self.begin, "mode")

    def begin(self, *_: Any) -> None:
        """Fit when the state needs a codebook and there is none."""
        if self.app.state.mode == "codebook" and self.app.state.codebook is None:
            # An address comes before the page has loaded; what is written then is lost.
            pn.state.onload(lambda: start(self.run()))

    def wish(self) -> Ask:
        """Return the request for the clusters."""
        plain = {"mode": "nested", "codebook": None, "ablated": [], "targets": [PREDICTED]}
        return self.app.ask(k=self.app.state.k or 8, **plain)

    def key(self, wish: Ask) -> Hashable:
        """Return the key by which visitors share a fit."""
        session = self.app.session
        return (
            "codebook",
            session.model.sha256,
            session.population.key,
            *(wish.values[n] for n in FITTED_BY),
        )

    def work(self, wish: Ask, progress: Any) -> Generator[None, None, Fitted]:
        """Fit, on the worker."""
        session = self.app.session
        ask = registry.plain(wish.method).ready(session.model, wish)
        return (yield from fit(session.model, session.population.samples, ask, progress))

    def take(self, answer: Fitted) -> None:
        """Use the codebook for every picture of the page."""
        self.fitted, book = answer, answer.book
        self.say(
            f"{book.k} clusters of {len(answer.images)} images. Equal colours now mean equal clusters in every image; "
            "select one to see its best crops. Changes to K, layers or weights apply at the next fit."
        )
        self.save.disabled = False
        self.app.state.param.update(codebook=book, mode="codebook")
        self.update()

    async def compute(self) -> list[np.ndarray]:
        """Return the best crops of the selected cluster."""
        chosen, fitted = self.app.state.cluster, self.fitted
        self._crops = fitted.crops[chosen] if fitted is not None and 0 <= chosen < fitted.book.k else []
        crops = list(self._crops)
        return await asyncio.to_thread(lambda: [self.crop(i, y, x) for i, y, x, _ in crops])

    def write(self, answer: list[np.ndarray]) -> None:
        """Write the table, and the crops of the selected cluster."""
        if self.fitted is None:
            return
        chosen, k = self.app.state.cluster, self.fitted.book.k
        self.listing.rows = self.rows(self.fitted)
        self.listing.selected = str(chosen) if 0 <= chosen < k else ""
        self.found.objects = [self.film, self.listing] if answer else [self.listing]
        if answer:
            names = self.app.session.names
            said = [f"{names[i]}, squared distance {d:.3f}" for i, _, _, d in self._crops]
            self.film.replace(np.stack(answer), captions=said)

    def archive(self) -> io.BytesIO:
        """Return the codebook as a zip: weights as safetensors and a card with the names, for ``Codebook.load``."""
        assert self.fitted is not None
        given, book = self.app.state.names, self.fitted.book
        named = book.named([given.get(str(c), "") or n for c, n in enumerate(book.names)])
        return zipped(named.save, "codebook")

    def rows(self, fitted: Fitted) -> list[dict[str, Any]]:
        """Return the rows of the table."""
        app, parts = self.app, self.app.samples.attrs.get("parts", ())
        classes, given = app.model.classes, app.state.names
        spread = fitted.by_class(app.session.population.label, len(classes))

        def pure(c: int) -> str:
            part, much = fitted.purity[c] if fitted.purity is not None else (0, 0.0)
            return f"{(parts[part] if part < len(parts) else '') or 'background'} {much:.0%}" if much else ""

        return [
            {
                "id": str(c),
                "cluster": str(c),
                "name": given.get(str(c), "") or fitted.book.names[c],
                "share": float(fitted.share[c]),
                "images": int(fitted.shown[c]),
                "purity": pure(c),
                "class": f"{classes[int(own.argmax())]} {own.max():.0%}" if own.any() else "",
            }
            for c, own in enumerate(spread)
        ]

    def crop(self, i: int, y: int, x: int) -> np.ndarray:
        """Return a square crop of sample ``i`` around a position."""
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
                "A codebook clusters the positions of all samples once: equal colours mean equal clusters in every image. A name "
                "is the class that the last layer reads from the cluster, or one you give under Cluster; it is an interpretation."
            ),
            self.buttons(self.save),
            self.words,
            self.found,
            sizing_mode="stretch_width",
        )
