"""Touch it: mute a lead, silence an interval or blend in another record's beat, and see clusters and answer follow."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

import numpy as np
import panel as pn
import panel_material_ui as pmui

from xai_views.views import Listing
from xai_views_dashboard.core.following import Following
from xai_views_dashboard.core.numbers import number
from xai_views_dashboard.core.page import caption
from xai_views_dashboard.ecg.state import MOST_EDITS

COLUMNS = [
    {"key": "class", "title": "class"},
    {"key": "before", "title": "logit before", "kind": "signed", "digits": 3},
    {"key": "after", "title": "logit after", "kind": "signed", "digits": 3},
    {"key": "p_before", "title": "probability before", "kind": "number", "digits": 4},
    {"key": "p_after", "title": "probability after", "kind": "number", "digits": 4},
]
ALL = "all leads"


class TouchPanel(Following):
    """Edits of the record in view; the paper shows the edited record, this panel what the answer was before and is after.

    Parameters
    ----------
    app : EcgApp
        Gives session, state and the brushed interval.
    """

    watched = ("sample", "edits_made", "target", "mode", "k", "temperature")

    def __init__(self, app: Any) -> None:
        super().__init__(app)
        leads = [ALL, *app.session.leads]
        self.lead = pmui.Select(
            label="Lead", options=leads, value=leads[min(2, len(leads) - 1)], width=120, size="small"
        )
        self.start = pmui.FloatInput(label="from (s)", value=1.0, step=0.1, start=0, width=110, size="small")
        self.stop = pmui.FloatInput(label="to (s)", value=2.0, step=0.1, start=0, width=110, size="small")
        self.mute = pmui.Button(label="Mute the lead", variant="outlined", size="small")
        self.silence = pmui.Button(label="Silence the interval", variant="outlined", size="small")
        self.record = pmui.AutocompleteInput(
            label="Other record",
            options=list(app.session.population.names[:2000]),
            value="",
            width=190,
            size="small",
        )
        self.origin = pmui.FloatInput(
            label="its time (s)", value=1.0, step=0.1, start=0, width=110, size="small"
        )
        self.blend = pmui.Button(label="Blend its beat in", variant="outlined", size="small")
        self.undo = pmui.Button(label="Undo", variant="outlined", size="small", disabled=True)
        self.clear = pmui.Button(label="Start again", variant="outlined", size="small", disabled=True)
        self.words = pn.pane.HTML("", sizing_mode="stretch_width", margin=(4, 16))
        self.listing = Listing(label="The answer before and after the edits", columns=COLUMNS)
        self.mute.on_click(lambda _: self.add({"kind": "mute"}))
        self.silence.on_click(lambda _: self.add({"kind": "silence", **self._span()}))
        self.blend.on_click(lambda _: self.add_beat())
        self.undo.on_click(lambda _: app.state.undo())
        self.clear.on_click(lambda _: app.state.edit(edits_made=[]))
        app.state.param.watch(self._brushed, "interval")
        app.state.param.watch(lambda *_: app.state.edits_made and app.state.edit(edits_made=[]), "sample")

    def _span(self) -> dict[str, float]:
        return {"start": float(self.start.value or 0), "stop": float(self.stop.value or 0)}

    def _brushed(self, event: Any) -> None:
        if event.new:
            lead, start, stop = event.new
            self.lead.value = ALL if lead < 0 else self.app.session.leads[lead]
            self.start.value, self.stop.value = round(start, 3), round(stop, 3)

    def add(self, edit: dict) -> None:
        """Make one more edit of the chosen lead."""
        state = self.app.state
        lead = -1 if self.lead.value == ALL else self.app.session.leads.index(self.lead.value)
        if edit["kind"] != "mute" and edit["stop"] - edit["start"] < 0.01:
            span = f"{edit['start']:g} to {edit['stop']:g} s"
            self.app.problem = f"The interval {span} is empty: brush one on the paper or give two times."
            return
        if len(state.edits_made) >= MOST_EDITS:
            self.app.problem = f"This record already has {MOST_EDITS} edits; undo some or start again."
            return
        self.app.problem = ""
        state.edit(edits_made=[*state.edits_made, {**edit, "lead": lead}])

    def add_beat(self) -> None:
        """Blend in what another record shows."""
        if self.record.value not in self.app.session.names:
            self.app.problem = (
                f"There is no record {self.record.value!r}: choose one from the list to take a beat from."
            )
            return
        self.add(
            {
                "kind": "blend",
                **self._span(),
                "record": self.record.value,
                "from": float(self.origin.value or 0),
            }
        )

    async def compute(self) -> Any:
        """Both answers."""
        app, state = self.app, self.app.state
        i = state.sample
        edits, ask = list(state.edits_made), app.session.ask(state, i, ablated=[])
        before = await app.session.explain(i, ask, priority=1)
        return before, await app.session.explain_edited(i, edits, ask, priority=1)

    def write(self, answer: Any) -> None:
        """Write both answers and what was done."""
        before, after = answer
        app, classes = self.app, self.app.model.classes
        edits = app.state.edits_made
        order = np.argsort(-np.maximum(before["logit"].values[0], after["logit"].values[0]), kind="stable")[
            :6
        ]
        self.listing.rows = [
            {
                "id": str(c),
                "class": classes[c],
                "before": float(before["logit"].values[0, c]),
                "after": float(after["logit"].values[0, c]),
                "p_before": float(before["probability"].values[0, c]),
                "p_after": float(after["probability"].values[0, c]),
            }
            for c in map(int, order)
        ]
        top = int(before["logit"].values[0].argmax())
        one, two = (float(r["logit"].values[0, top]) for r in (before, after))
        done = "; ".join(sentence(e, app.session.leads) for e in edits) or "Nothing is edited yet"
        said = f"{done}. The logit of {classes[top]} is {number(one)} before and {number(two)} after."
        self.words.object = f"<p>{escape(said)}</p>"
        self.undo.disabled, self.clear.disabled = not app.state.can_undo, not edits

    def __panel__(self) -> Any:
        return pn.Column(
            caption(
                "Brush an interval on the paper (Shift and drag) or give times, and change the record; the network is asked "
                "anew and paper, clusters and ledger follow. An edited record may be one that no heart makes."
            ),
            pn.FlexBox(
                self.lead,
                self.start,
                self.stop,
                self.mute,
                self.silence,
                align_items="center",
                gap="8px",
                margin=(4, 16),
            ),
            pn.FlexBox(
                self.record,
                self.origin,
                self.blend,
                self.undo,
                self.clear,
                align_items="center",
                gap="8px",
                margin=(4, 16),
            ),
            self.words,
            self.listing,
            sizing_mode="stretch_width",
        )


def sentence(edit: dict, leads: Sequence[str]) -> str:
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
