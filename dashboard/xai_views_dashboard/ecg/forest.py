"""A forest that knows only the shares of the clusters: how much of the network's answer, and of the truth, is in them."""

from __future__ import annotations

import asyncio
from html import escape
from typing import Any

import numpy as np
import panel as pn
import panel_material_ui as pmui

from xai_views.errors import XaiViewsError
from xai_views.views import Listing
from xai_views_dashboard.core.page import caption
from xai_views_dashboard.core.tasks import on_page, start
from xai_views_dashboard.ecg.ledger import swatch

COLUMNS = [
    {"key": "what", "title": "what answers"},
    {"key": "agreement", "title": "agrees with the network", "kind": "number", "digits": 3},
    {"key": "agreement_se", "title": "± s.e.", "kind": "number", "digits": 3},
    {"key": "accuracy", "title": "accuracy on labels", "kind": "number", "digits": 3},
    {"key": "accuracy_se", "title": "± s.e.", "kind": "number", "digits": 3},
    {"key": "auroc", "title": "AUROC", "kind": "number", "digits": 3},
    {"key": "auroc_se", "title": "± s.e.", "kind": "number", "digits": 3},
]
IMPORTANCE = [
    {"key": "swatch", "title": "", "kind": "image"},
    {"key": "cluster", "title": "cluster"},
    {"key": "fall", "title": "agreement falls by", "kind": "bar", "digits": 3, "limit": 0.5},
    {"key": "se", "title": "± s.e.", "kind": "number", "digits": 3},
]
FEW = 30  # records below which ten folds say nothing


class ForestPanel(pn.viewable.Viewer):
    """The forest's table beside the network, chance and two controls, and which clusters it rests on.

    Parameters
    ----------
    app : EcgApp
        Gives session and state.
    """

    def __init__(self, app: Any) -> None:
        super().__init__()
        self.app = app
        self.go = pmui.Button(label="Grow the forests", variant="contained", size="small")
        self.stop = pmui.Button(label="Stop", variant="outlined", size="small", disabled=True)
        self.words = pn.pane.HTML("", sizing_mode="stretch_width", margin=(4, 16))
        self.listing = Listing(
            label="Ten folds: forests on shares of clusters beside the network", columns=COLUMNS
        )
        self.importance = Listing(label="Clusters that the forest rests on", columns=IMPORTANCE)
        self.importance.on_select(lambda c: setattr(app.state, "cluster", int(c)))
        self.shown = pn.Column(sizing_mode="stretch_width")
        self._future: Any = None
        self.go.on_click(lambda _: start(self.run()))
        self.stop.on_click(lambda _: self._future is not None and self._future.cancel())

    async def run(self) -> None:
        """Compute on the kernel; the page stays usable meanwhile."""
        session, found = self.app.session, self.app.records.found
        if found is None or len(found) < FEW:
            n = 0 if found is None else len(found)
            self.words.object = f"<p>{n} records are known; ten folds want at least {FEW}.</p>"
            return

        def forests(progress: Any) -> Any:
            from xai_views.methods.ecg_clusters.controls import judged

            return (yield from judged(session.model, session.population.samples, found, progress))

        self._future = session.kernel.run(forests, priority=2)
        self.go.disabled, self.stop.disabled = True, False
        self.words.object = "<p>Growing forests fold by fold; the line at the bottom counts.</p>"
        answer, said = None, "The forests were stopped."
        try:
            answer = await asyncio.wrap_future(self._future)
        except asyncio.CancelledError:
            pass
        except XaiViewsError as e:
            said = str(e)
        on_page(lambda: self.ended(answer, said))

    def ended(self, answer: Any, said: str) -> None:
        """Show the tables, or why there are none."""
        from xai_views.methods.ecg_clusters.forest import table

        self.go.disabled, self.stop.disabled = False, True
        if answer is None:
            self.words.object = f"<p>{escape(said)}</p>"
            return
        figures = table(answer)
        known = [c for c in COLUMNS if c["key"] == "what" or np.isfinite(figures[_name(c["key"])]).any()]
        self.listing.columns = known
        self.listing.rows = [
            {
                "id": str(what),
                "what": str(what),
                **{c["key"]: float(np.nan_to_num(row[_name(c["key"])])) for c in known[1:]},
            }
            for what, row in figures.iterrows()
        ]
        fall, error = answer[0].importances()
        self.importance.rows = [
            {
                "id": str(c),
                "swatch": swatch(c),
                "cluster": str(c),
                "fall": float(fall[c]),
                "se": float(np.nan_to_num(error[c])),
            }
            for c in np.argsort(-fall, kind="stable")
        ]
        chance = float(figures["chance"].iloc[0])
        several = (
            " Accuracy on labels is not there: records carry several labels, a forest says one class."
            if self.app.records.found.several
            else ""
        )
        self.words.object = (
            f"<p>Always saying the commonest answer agrees with the network in {chance:.3f} of the records. What a forest "
            f"reaches is in the shares of the clusters; what only the controls' distance shows is owed to training.{several}</p>"
        )
        self.shown.objects = [self.listing, self.importance]
        self.app.records.forest = answer[0].said.argmax(1)
        self.app.records.write()

    def __panel__(self) -> Any:
        return pn.Column(
            caption(
                "A random forest sees only how much of each record every cluster takes, and learns to say what the network "
                "says, or what is true. Its answers also feed the label-quality queue under Records."
            ),
            pn.FlexBox(self.go, self.stop, align_items="center", gap="8px", margin=(4, 16)),
            self.words,
            self.shown,
            sizing_mode="stretch_width",
        )


def _name(key: str) -> str:
    return key.replace("_se", " se")
