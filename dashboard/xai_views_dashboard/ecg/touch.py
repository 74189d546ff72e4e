"""Edit a record: mute a lead, silence an interval or insert another record's beat; clusters and prediction follow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from html import escape
from typing import Any

import numpy as np
import panel as pn
import panel_material_ui as pmui
import xarray as xr

from xai_views.views import Listing
from xai_views_dashboard.core.numbers import number
from xai_views_dashboard.core.page import caption
from xai_views_dashboard.core.panel import ASK, Panel
from xai_views_dashboard.ecg.pickers import record_picker

COLUMNS = [
    {"key": "class", "title": "class"},
    {"key": "before", "title": "logit before", "kind": "signed", "digits": 3},
    {"key": "after", "title": "logit after", "kind": "signed", "digits": 3},
    {"key": "p_before", "title": "probability before", "kind": "number", "digits": 4},
    {"key": "p_after", "title": "probability after", "kind": "number", "digits": 4},
]
ALL = "all leads"


class TouchPanel(Panel):
    """Edits of the record in view; the paper shows the edited record, this panel the prediction before and after."""

    title = "Edit"
    question = "what-if"
    watched = ("sample", ASK)

    def __init__(self, app: Any) -> None:
        leads, names = [ALL, *app.session.leads], list(app.session.population.names)

        def seconds(label: str, value: float) -> Any:
            return pmui.FloatInput(label=label, value=value, step=0.1, start=0, width=110, size="small")

        def button(label: str, disabled: bool = False) -> Any:
            return pmui.Button(label=label, variant="outlined", size="small", disabled=disabled)

        self.lead = pmui.Select(
            label="Lead", options=leads, value=leads[min(2, len(leads) - 1)], width=120, size="small"
        )
        self.start, self.stop = seconds("From (s)", 1.0), seconds("To (s)", 2.0)
        self.mute, self.silence = button("Mute lead"), button("Silence interval")
        self.record = record_picker("Take beat from", names)
        self.origin, self.blend = seconds("At time (s)", 1.0), button("Insert beat", True)
        self.missing = pn.pane.HTML("", margin=(0, 8))
        self.undo, self.clear = button("Undo", True), button("Reset", True)
        self.words = pn.pane.HTML("", sizing_mode="stretch_width", margin=(4, 16))
        self.listing = Listing(label="Prediction before and after the edits", columns=COLUMNS)
        super().__init__(app)
        self.mute.on_click(lambda _: self.add({"kind": "mute"}))
        self.silence.on_click(lambda _: self.add({"kind": "silence", **self._span()}))
        self.blend.on_click(lambda _: self.add_beat())
        self.undo.on_click(lambda _: app.state.undo())
        self.clear.on_click(lambda _: app.state.edit(edits_made=[], ablated=[]))
        self.record.param.watch(self._ready, "value")
        self._ready()
        app.state.param.watch(self._brushed, "interval")

    def _ready(self, *_: Any) -> None:
        """Enable the button once a record is chosen, and say before what is missing."""
        known = self.record.value in self.app.session.names
        self.blend.disabled = not known
        self.missing.object = "" if known else "<span>Choose a record to take the beat from.</span>"

    def _span(self) -> dict[str, float]:
        return {"start": float(self.start.value or 0), "stop": float(self.stop.value or 0)}

    def _brushed(self, event: Any) -> None:
        if event.new:
            lead, start, stop = event.new
            self.lead.value = ALL if lead < 0 else self.app.session.leads[lead]
            self.start.value, self.stop.value = round(start, 3), round(stop, 3)

    def add(self, edit: dict[str, Any]) -> None:
        """Add an edit of the selected lead."""
        lead = -1 if self.lead.value == ALL else self.app.session.leads.index(self.lead.value)
        if edit["kind"] != "mute" and edit["stop"] - edit["start"] < 0.01:
            span = f"{edit['start']:g} to {edit['stop']:g} s"
            self.app.problem = (
                f"The interval {span} is empty; select one on the paper or enter two different times."
            )
            return
        self.app.change({**edit, "lead": lead})

    def add_beat(self) -> None:
        """Insert the beat of another record."""
        name = self.record.value
        self.add({"kind": "blend", **self._span(), "record": name, "from": float(self.origin.value or 0)})

    async def compute(self) -> tuple[xr.Dataset, xr.Dataset, Sequence[Mapping[str, Any]]]:
        """Explain the record with its edits and without."""
        app, wish = self.app, self.app.wish()
        after = replace(wish, ask=wish.ask.replace(ablated=()))
        before = replace(wish, ask=after.ask.replace(edits=()))
        answers = [await app.explained(wish.sample, w, priority=1) for w in (before, after)]
        return answers[0], answers[1], wish.ask.edits

    def write(self, answer: tuple[xr.Dataset, xr.Dataset, Sequence[Mapping[str, Any]]]) -> None:
        """Write both predictions and the edits."""
        before, after, edits = answer
        app, classes = self.app, self.app.model.classes
        logits = before["logit"].values[0], after["logit"].values[0]
        chances = before["probability"].values[0], after["probability"].values[0]
        order = np.argsort(-np.maximum(*logits), kind="stable")[:6]
        self.listing.rows = [
            {
                "id": str(c),
                "class": classes[c],
                "before": float(logits[0][c]),
                "after": float(logits[1][c]),
                "p_before": float(chances[0][c]),
                "p_after": float(chances[1][c]),
            }
            for c in map(int, order)
        ]
        top = int(logits[0].argmax())
        one, two = (number(logit[top]) for logit in logits)
        done = "; ".join(sentence(e, app.session.leads) for e in edits) or "No edits yet"
        said = f"{done}. Logit of {classes[top]}: {one} → {two}."
        self.words.object = f"<p>{escape(said)}</p>"
        made = bool(edits) or bool(app.state.ablated)
        self.undo.disabled, self.clear.disabled = not app.state.can_undo, not made

    def __panel__(self) -> Any:
        above = (self.lead, self.start, self.stop, self.mute, self.silence)
        below = (self.record, self.origin, self.blend, self.missing, self.undo, self.clear)
        return pn.Column(
            caption(
                "Select an interval on the paper (Shift + drag) or enter times, and edit the record: the network is re-run, and "
                "paper, clusters and ledger follow. An edited record may be physiologically impossible; edits are dropped when "
                "you open another record."
            ),
            *(pn.FlexBox(*row, align_items="center", gap="8px", margin=(4, 16)) for row in (above, below)),
            self.words,
            self.listing,
            sizing_mode="stretch_width",
        )


def sentence(edit: Mapping[str, Any], leads: Sequence[str]) -> str:
    """Describe an edit."""
    where = (
        "all leads" if edit["lead"] < 0 else leads[edit["lead"]] if edit["lead"] < len(leads) else "no lead"
    )
    if edit["kind"] == "mute":
        return f"{where} muted"
    span = f"{edit['start']:.2f} to {edit['stop']:.2f} s of {where}"
    if edit["kind"] == "silence":
        return f"{span} silenced"
    return f"{span} replaced by {edit['record']} from {edit['from']:.2f} s on"
