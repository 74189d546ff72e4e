"""Note and own label of the sample in view, and the list of what was written on this page."""

from __future__ import annotations

from typing import Any

import panel as pn
import panel_material_ui as pmui

from xai_views.views import Listing
from xai_views_dashboard.core.keeping.cases import MOST_NOTE, MOST_WORDS
from xai_views_dashboard.core.page import caption

COLUMNS = [
    {"key": "sample", "title": "sample"},
    {"key": "label", "title": "own label"},
    {"key": "note", "title": "note"},
    {"key": "time", "title": "written"},
]
WORDS = (
    "Your note and your own label of this sample, kept while this page is open; 'Save case' in the menu 'Save' writes them to a "
    "file. They change nothing in the model or the samples."
)


class CaseEditor(pn.viewable.Viewer):
    """A note and an own label for the sample in view; a click on a row of the list brings that case back.

    Parameters
    ----------
    app : App
        The page, with ``kept``.
    """

    def __init__(self, app: Any) -> None:
        super().__init__()
        self.app = app
        self.note = pmui.TextAreaInput(label="Note", rows=3, max_length=MOST_NOTE, width=420)
        self.label = pmui.AutocompleteInput(
            label="Own label",
            options=list(app.model.classes),
            restrict=False,
            min_characters=0,
            width=260,
            size="small",
        )
        self.listing: Any = Listing(label="Cases on this page", columns=COLUMNS, rows=[])
        self._reading = False
        self.note.param.watch(lambda e: self._write(note=str(e.new or "")[:MOST_NOTE]), "value")
        self.label.param.watch(lambda e: self._write(label=str(e.new or "")[:MOST_WORDS]), "value")
        app.state.param.watch(self.read, "sample")
        app.kept.heard.append(self.read)
        self.listing.on_select(self._chosen)
        self.read()

    def read(self, *_: Any) -> None:
        """Show what was written about the sample in view."""
        case = self.app.kept.notebook.of(self.app.kept.sample)
        self._reading = True
        try:
            self.note.value, self.label.value = case.note, case.label
        finally:
            self._reading = False
        self._list()

    def _write(self, **changes: str) -> None:
        if not self._reading:
            self.app.kept.write(**changes)
            self._list()

    def _list(self) -> None:
        rows = [
            {"id": c.sample, "sample": c.sample, "label": c.label, "note": c.note, "time": c.time}
            for c in self.app.kept.notebook.written
        ]
        if rows != self.listing.rows:
            self.listing.param.update(rows=rows, visible=bool(rows))

    def _chosen(self, sample: str) -> None:
        case = self.app.kept.notebook.of(sample)
        said = self.app.kept.restore(case)
        if said:
            self.app.kept.menu.say(" ".join(said), lasting=True)

    def __panel__(self) -> Any:
        self.listing.visible = bool(self.listing.rows)
        return pn.Column(
            caption(WORDS),
            pn.FlexBox(self.label, self.note, gap="8px", align_items="flex-start", margin=(4, 16)),
            self.listing,
            sizing_mode="stretch_width",
        )
