"""One's own record: read within bounds, brought to the model, explained like any other."""

from __future__ import annotations

from html import escape
from typing import Any

import panel as pn

from xai_views.errors import XaiViewsError
from xai_views.views import Listing
from xai_views_dashboard.core.page import caption, note
from xai_views_dashboard.core.panel import Panel
from xai_views_dashboard.core.tasks import on_page, start
from xai_views_dashboard.panels.upload import (
    CHUNK,
    MAX_BYTES,
    MOST_NAME,
    REFUSED,
    ImageInput,
    arrived,
    read_alone,
)

COLUMNS = [
    {"key": "name", "title": "record"},
    {"key": "file", "title": "file"},
    {"key": "done", "title": "what was done to it"},
]


class RecordUploadPanel(Panel):
    """Records of one's own, kept in this page's memory only."""

    title = "Your record"
    question = "what-if"
    watched = ()

    def __init__(self, app: Any) -> None:
        self.input = ImageInput(
            label="Choose an ECG file",
            uploaded_label="Choose another ECG file",
            accept=".csv,.npz,.dcm,.zip",
            multiple=False,
            chunk_size=CHUNK,
            max_file_size=REFUSED,
            variant="outlined",
            width=260,
            margin=(8, 16),
        )
        self.problem = pn.Column(sizing_mode="stretch_width")
        self.listing = Listing(label="Your records on this page", columns=COLUMNS, margin=(4, 16))
        self.taken = pn.Column(sizing_mode="stretch_width")
        super().__init__(app)
        self.listing.on_select(lambda name: setattr(app.state, "sample", app.session.names.index(name)))
        self.input.param.watch(self._arrived, "value")

    def _arrived(self, event: Any) -> None:
        if event.new is not None:
            start(self.take(event.new, self.input.filename or ""))

    async def take(self, data: bytes, file: str = "") -> None:
        """Bring records into view; what is wrong with them becomes one sentence and changes nothing.

        Parameters
        ----------
        data : bytes
            The file.
        file : str
            Its name: its ending says what it is.
        """
        try:
            data = arrived(data, "cut the record shorter.")
            added = await read_alone(self._read, data, file)
        except XaiViewsError as e:
            text = str(e)
            self.problem.objects = [note(text[:1].upper() + text[1:], "error")]
            return
        finally:
            self.input.clear()  # so that the same file can be chosen again
        on_page(lambda: self._show(added, file[:MOST_NAME]))

    def _read(self, data: bytes, file: str) -> list[tuple[int, str]]:
        """Read, check and bring to the model; returns positions and what was done to each."""
        from xai_views.samples.readers.ecg_upload import open_ecg_bytes

        return bring(self.app, open_ecg_bytes(file, data, max_bytes=MAX_BYTES))

    def _show(self, added: list[tuple[int, str]], file: str) -> None:
        """Bring what was taken into view."""
        self.problem.objects = []
        names = self.app.session.names
        rows = [{"id": names[p], "name": names[p], "file": file, "done": words} for p, words in added]
        self.listing.rows = [*self.listing.rows, *rows]
        self.taken.objects = [self.listing]
        self.app.canvas.order = [*self.app.canvas.order, *(names[p] for p, _ in added)]
        self.app.state.sample = added[0][0]

    def __panel__(self) -> Any:
        return pn.Column(
            caption(
                "Explain a record of your own (at most 10 MB): a DICOM waveform, a .csv or .npz with lead names and sampling "
                "rate, or a .zip of a WFDB record. It stays in this page's memory, is not stored, and is gone when the page is "
                "closed. Not for clinical use."
            ),
            self.input,
            self.problem,
            self.taken,
            sizing_mode="stretch_width",
        )


def bring(app: Any, ds: Any, names: list[str] | None = None) -> list[tuple[int, str]]:
    """Take records into an app's session, see its method ``take``; their positions and what was done."""
    ready, positions = app.session.take(ds, names)
    return [(p, done(ds, ready, app.session.flag(p))) for p in positions]


def done(ds: Any, ready: Any, flag: str) -> str:
    """Say what was done to a record to make it the model's."""
    words = [
        f"{ds.sizes['lead']} leads of {ds.sizes['time'] / float(ds.attrs['rate']):.1f} s at {ds.attrs['rate']:g} Hz"
    ]
    if float(ds.attrs["rate"]) != float(ready.attrs["rate"]):
        words.append(f"resampled to {ready.attrs['rate']:g} Hz")
    if flag:
        words.append(flag)
    return escape("; ".join(words))
