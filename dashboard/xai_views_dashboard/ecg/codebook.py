"""The codebook: clusters that all records share, shipped with the model or fitted on the samples of the page."""

from __future__ import annotations

import asyncio
import io
import tempfile
import zipfile
from concurrent.futures import Future
from dataclasses import replace
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import panel as pn
import panel_material_ui as pmui

from xai_views.errors import XaiViewsError
from xai_views.views import Listing
from xai_views_dashboard.core.page import caption
from xai_views_dashboard.core.tasks import on_page, start
from xai_views_dashboard.ecg.controls import linked
from xai_views_dashboard.ecg.ledger import swatch

COLUMNS = [
    {"key": "swatch", "title": "", "kind": "image"},
    {"key": "cluster", "title": "cluster"},
    {"key": "name", "title": "name"},
    {"key": "share", "title": "share of the sampled steps", "kind": "number", "digits": 3},
]
MODES = {"shared by all records (codebook)": "codebook", "of each record alone": "own"}


class BookPanel(pn.viewable.Viewer):
    """Which clusters are in use; fitting others, naming and saving them.

    Parameters
    ----------
    app : EcgApp
        Gives session and state.
    """

    def __init__(self, app: Any) -> None:
        super().__init__()
        self.app = app
        self.mode = linked(pmui.RadioButtonGroup(options=MODES, size="small"), app.state, "mode")
        self.k = linked(pmui.IntInput(label="K", start=2, end=16, width=90, size="small"), app.state, "k")
        self.temperature = linked(
            pmui.FloatInput(label="Temperature (0 = default)", start=0, step=0.05, width=190, size="small"),
            app.state,
            "temperature",
        )
        self.fit = pmui.Button(label="Fit on these records", variant="contained", size="small")
        self.cancel = pmui.Button(label="Stop", variant="outlined", size="small", disabled=True)
        self.save = pmui.FileDownload(
            callback=self.archive, filename="codebook.zip", label="Save the codebook", size="small"
        )
        self.words = pn.pane.HTML("", sizing_mode="stretch_width", margin=(4, 16))
        self.listing = Listing(label="The clusters of the codebook", columns=COLUMNS)
        self.listing.on_select(lambda c: setattr(app.state, "cluster", int(c)))
        self.fit.on_click(lambda _: start(self.run()))
        self.cancel.on_click(lambda _: self._future is not None and self._future.cancel())
        app.state.param.watch(lambda *_: self.write(), ["names", "cluster"])
        self._future: Future | None = None
        self.write()

    async def run(self) -> None:
        """Fit, or take what somebody fitted already; the page stays usable meanwhile."""
        self._future = future = self.app.session.fit(self.app.state.k)
        self.fit.disabled, self.cancel.disabled = True, False
        self.words.object = (
            "<p>Fitting: every record goes through the network once; the line at the bottom counts.</p>"
        )
        said = "The fit was stopped."
        fitted = None
        try:
            fitted = await asyncio.wrap_future(future)
        except asyncio.CancelledError:
            pass
        except XaiViewsError as e:
            said = str(e)
        on_page(lambda: self.ended(fitted, said))

    def ended(self, fitted: Any, said: str) -> None:
        """Use a codebook for every record of the page, or say why there is none."""
        self.fit.disabled, self.cancel.disabled = False, True
        if fitted is None:
            self.words.object = f"<p>{escape(said)}</p>"
            return
        app = self.app
        app.session.fitted = fitted
        app.state.param.update(mode="codebook", cluster=-1, ablated=[], names={})
        self.write()
        app.refresh()
        app.records.begin()

    def write(self) -> None:
        """Write what the codebook holds."""
        book = self.app.session.book
        self.save.disabled = book is None
        if book is None:
            self.words.object = (
                "<p>This model ships no codebook: each record is clustered alone until one is fitted.</p>"
            )
            return
        counts = book.counts.numpy() if book.counts.numel() else np.ones(book.k)
        names = [self.app.state.names.get(str(c), "") or n for c, n in enumerate(book.names)]
        self.listing.rows = [
            {
                "id": str(c),
                "swatch": swatch(c),
                "cluster": str(c),
                "name": names[c],
                "share": float(counts[c] / counts.sum()),
            }
            for c in range(book.k)
        ]
        c = self.app.state.cluster
        self.listing.selected = str(c) if 0 <= c < book.k else ""
        self.words.object = (
            f"<p>{book.k} clusters of {int(counts.sum())} steps of {escape(book.samples or 'the training records')}, on "
            f"{escape(', '.join(book.taps))}. Equal colours mean equal clusters in every record. The default "
            f"temperature is {self.app.session.temperature:.3f}, a quarter of their spread.</p>"
        )

    def archive(self) -> io.BytesIO:
        """The codebooks as a zip: weights as safetensors and a card with the names, for ``Fitted.load``."""
        fitted, given = self.app.session.fitted, self.app.state.names
        named = replace(
            fitted,
            book=fitted.book.named([given.get(str(c), "") or n for c, n in enumerate(fitted.book.names)]),
        )
        out = io.BytesIO()
        with tempfile.TemporaryDirectory() as place, zipfile.ZipFile(out, "w") as file:
            root = named.save(Path(place) / "clusters")
            for part in sorted(root.rglob("*")):
                if part.is_file():
                    file.write(part, part.relative_to(root.parent).as_posix())
        out.seek(0)
        return out

    def __panel__(self) -> Any:
        return pn.Column(
            caption(
                "One set of clusters for all records, so that the same colour means the same thing everywhere. Their names are "
                "yours to give, under Ledger; a name is an interpretation."
            ),
            self.mode,
            pn.FlexBox(
                self.k,
                self.temperature,
                self.fit,
                self.cancel,
                self.save,
                align_items="center",
                gap="8px",
                margin=(4, 16),
            ),
            self.words,
            self.listing,
            sizing_mode="stretch_width",
        )
