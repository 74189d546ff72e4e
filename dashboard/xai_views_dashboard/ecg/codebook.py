"""The codebook: clusters that all records share, shipped with the model or fitted on the records of the page."""

from __future__ import annotations

import io
from collections.abc import Generator, Hashable
from dataclasses import replace
from typing import Any

import panel as pn
import panel_material_ui as pmui

from xai_views.errors import XaiViewsError
from xai_views.methods.ecg_clusters.fit import Fitted, fit
from xai_views.views import Listing
from xai_views_dashboard.core.archive import zipped
from xai_views_dashboard.core.controls import control, linked
from xai_views_dashboard.core.job import Job
from xai_views_dashboard.core.page import caption
from xai_views_dashboard.ecg.ledger import swatch

COLUMNS = [
    {"key": "swatch", "title": "", "kind": "image"},
    {"key": "cluster", "title": "cluster"},
    {"key": "name", "title": "name"},
    {"key": "share", "title": "share of sampled steps", "kind": "number", "digits": 3},
]
MODES = {"shared (codebook)": "codebook", "per record": "own"}


class CodebookPanel(Job):
    """The clusters in use; fit others and save them."""

    title = "Codebook"
    question = "why"
    watched = ("names", "cluster", "codebook")
    verb = "Fit codebook"
    doing = "Fitting a codebook"
    stopped = "Fit cancelled."

    def __init__(self, app: Any) -> None:
        state = app.state
        self.mode = linked(pmui.RadioButtonGroup(options=MODES, size="small"), state, "mode")
        self.k = control(state, "k", "Number of clusters K", width=190, description="")
        self.temperature = control(
            state, "temperature", "Temperature (0 = spread of the distances)", width=270
        )
        self.save = pmui.FileDownload(
            callback=self.archive, filename="codebook.zip", label="Save codebook", size="small"
        )
        self.listing = Listing(label="The clusters of the codebook", columns=COLUMNS)
        self.listing.on_select(lambda c: setattr(state, "cluster", int(c)))
        super().__init__(app)

    def wish(self) -> int:
        """Return the number of clusters."""
        return self.app.state.k

    def key(self, wish: int) -> Hashable:
        """Return what makes two fits the same: model, records and number of clusters."""
        session = self.app.session
        return "ecg codebook", session.model.sha256, session.population.key, wish

    def work(self, wish: int, progress: Any) -> Generator[None, None, Fitted]:
        """Fit on the worker."""
        session = self.app.session
        return (yield from fit(session.model, session.population.samples, k=wish, progress=progress))

    def take(self, answer: Fitted) -> None:
        """Use a codebook for every record of the page."""
        self.app.state.param.update(
            codebook=answer, mode="codebook", temperature=answer.cool, cluster=-1, ablated=[], names={}
        )
        self.update()

    def with_names(self, fitted: Fitted) -> Fitted:
        """Return a codebook with your names."""
        given = self.app.state.names
        names = [given.get(str(c), "") or n for c, n in enumerate(fitted.book.names)]
        return replace(fitted, book=fitted.book.named(names))

    def write(self, answer: Any = None) -> None:  # noqa: ARG002 - nothing is computed
        """Write the clusters of the codebook."""
        fitted = self.app.fitted
        self.save.disabled = fitted is None
        if fitted is None:
            self.say("This model ships no codebook: each record is clustered on its own until you fit one.")
            return
        book, chosen = self.with_names(fitted).book, self.app.state.cluster
        self.listing.rows = [
            {"id": str(c), "swatch": swatch(c), "cluster": str(c), "name": name, "share": float(share)}
            for c, (name, share) in enumerate(zip(book.names, fitted.share, strict=True))
        ]
        self.listing.selected = str(chosen) if 0 <= chosen < book.k else ""
        if not self.running:
            self.say(
                f"{book.k} clusters of {int(book.counts.sum())} steps of {book.samples or 'the training records'}, on "
                f"{', '.join(book.taps)}. Equal colours mean equal clusters in every record. Temperature at first: "
                f"{fitted.cool:.3f}, a quarter of their spread."
            )

    def archive(self) -> io.BytesIO:
        """Return the codebook as a zip: weights as safetensors and a card with the names, for ``Fitted.load``."""
        if self.app.fitted is None:
            raise XaiViewsError("there is no codebook to save; fit one first.")
        return zipped(self.with_names(self.app.fitted).save, "clusters")

    def __panel__(self) -> Any:
        return pn.Column(
            caption(
                "One set of clusters for all records: the same colour means the same cluster in each. You can name clusters "
                "under Ledger; a name is your interpretation."
            ),
            self.mode,
            pn.FlexBox(self.k, self.temperature, self.save, align_items="center", gap="8px", margin=(4, 16)),
            self.buttons(),
            self.words,
            self.listing,
            sizing_mode="stretch_width",
        )
