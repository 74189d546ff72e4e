"""Touch it: mute a lead, silence an interval or blend in another record's beat, and see clusters and answer follow."""

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

COLUMNS = [
    {"key": "class", "title": "class"},
    {"key": "before", "title": "logit before", "kind": "signed", "digits": 3},
    {"key": "after", "title": "logit after", "kind": "signed", "digits": 3},
    {"key": "p_before", "title": "probability before", "kind": "number", "digits": 4},
    {"key": "p_after", "title": "probability after", "kind": "number", "digits": 4},
]
ALL = "all leads"


class TouchPanel(Panel):
    """Edits of the record in view; the paper shows the edited record, this panel what the answer was before and is after."""

    title = "Touch it"
    question = "what-if"
    watched = ("sample", ASK)

    def __init__(self, app: Any) -> None:
        leads, names = [ALL, *app.session.leads], list(app.session.population.names[:2000])

        def seconds(label: str, value: float) -> Any:
            return pmui.FloatInput(label=label, value=value, step=0.1, start=0, width=110, size="small")

        def button(label: str, disabled: bool = False) -> Any:
            return pmui.Button(label=label, variant="outlined", size="small", disabled=disabled)

        self.lead = pmui.Select(
            label="Lead", options=leads, value=leads[min(2, len(leads) - 1)], width=120, size="small"
        )
        self.start, self.stop = seconds("from (s)", 1.0), seconds("to (s)", 2.0)
        self.mute, self.silence = button("Mute the lead"), button("Silence the interval")
        self.record = pmui.AutocompleteInput(
            label="Other record", options=names, value="", width=190, size="small"
        )
        self.origin, self.blend = seconds("its time (s)", 1.0), button("Blend its beat in")
        self.undo, self.clear = button("Undo", True), button("Start again", True)
        self.words = pn.pane.HTML("", sizing_mode="stretch_width", margin=(4, 16))
        self.listing = Listing(label="The answer before and after the edits", columns=COLUMNS)
        super().__init__(app)
        self.mute.on_click(lambda _: self.add({"kind": "mute"}))
        self.silence.on_click(lambda _: self.add({"kind": "silence", **self._span()}))
        self.blend.on_click(lambda _: self.add_beat())
        self.undo.on_click(lambda _: app.state.undo())
        self.clear.on_click(lambda _: app.state.edit(edits_made=[]))
        app.state.param.watch(self._brushed, "interval")

    def _span(self) -> dict[str, float]:
        return {"start": float(self.start.value or 0), "stop": float(self.stop.value or 0)}

    def _brushed(self, event: Any) -> None:
        if event.new:
            lead, start, stop = event.new
            self.lead.value = ALL if lead < 0 else self.app.session.leads[lead]
            self.start.value, self.stop.value = round(start, 3), round(stop, 3)

    def add(self, edit: dict[str, Any]) -> None:
        """Make one more edit of the chosen lead."""
        lead = -1 if self.lead.value == ALL else self.app.session.leads.index(self.lead.value)
        if edit["kind"] != "mute" and edit["stop"] - edit["start"] < 0.01:
            span = f"{edit['start']:g} to {edit['stop']:g} s"
            self.app.problem = f"The interval {span} is empty: brush one on the paper or give two times."
            return
        self.app.change({**edit, "lead": lead})

    def add_beat(self) -> None:
        """Blend in what another record shows."""
        name = self.record.value
        if name not in self.app.session.names:
            self.app.problem = f"There is no record {name!r}: choose one from the list to take a beat from."
            return
        self.add({"kind": "blend", **self._span(), "record": name, "from": float(self.origin.value or 0)})

    async def compute(self) -> tuple[xr.Dataset, xr.Dataset, Sequence[Mapping[str, Any]]]:
        """Both answers, and what was done between them."""
        app, wish = self.app, self.app.wish()
        after = replace(wish, ask=wish.ask.replace(ablated=()))
        before = replace(wish, ask=after.ask.replace(edits=()))
        answers = [await app.explained(wish.sample, w, priority=1) for w in (before, after)]
        return answers[0], answers[1], wish.ask.edits

    def write(self, answer: tuple[xr.Dataset, xr.Dataset, Sequence[Mapping[str, Any]]]) -> None:
        """Write both answers and what was done."""
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
        done = "; ".join(sentence(e, app.session.leads) for e in edits) or "Nothing is edited yet"
        said = f"{done}. The logit of {classes[top]} is {one} before and {two} after."
        self.words.object = f"<p>{escape(said)}</p>"
        self.undo.disabled, self.clear.disabled = not app.state.can_undo, not edits

    def __panel__(self) -> Any:
        above = (self.lead, self.start, self.stop, self.mute, self.silence)
        below = (self.record, self.origin, self.blend, self.undo, self.clear)
        return pn.Column(
            caption(
                "Brush an interval on the paper (Shift and drag) or give times, and change the record; the network is asked "
                "anew and paper, clusters and ledger follow. An edited record may be one that no heart makes."
            ),
            *(pn.FlexBox(*row, align_items="center", gap="8px", margin=(4, 16)) for row in (above, below)),
            self.words,
            self.listing,
            sizing_mode="stretch_width",
        )


def sentence(edit: Mapping[str, Any], leads: Sequence[str]) -> str:
    """Say what an edit does."""
    where = (
        "all leads" if edit["lead"] < 0 else leads[edit["lead"]] if edit["lead"] < len(leads) else "no lead"
    )
    if edit["kind"] == "mute":
        return f"{where} muted"
    span = f"{edit['start']:.2f} to {edit['stop']:.2f} s of {where}"
    if edit["kind"] == "silence":
        return f"{span} silenced"
    return f"{span} replaced by {edit['record']} from {edit['from']:.2f} s on"
