"""Edit the photo: erase, blur or paste a region, and see clusters, contributions and prediction follow."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np
import panel as pn
import panel_material_ui as pmui
import xarray as xr

from xai_views.contract import registry
from xai_views.engine.clusters.match import match_labels
from xai_views.engine.perturbation.edits import edited
from xai_views.samples import digest
from xai_views.views import Frame
from xai_views.views.wire import as_uint8
from xai_views_dashboard.activations.frame import PER_PIXEL, SEGMENT, contribution_of
from xai_views_dashboard.core.numbers import number
from xai_views_dashboard.core.panel import ASK
from xai_views_dashboard.core.picture_panel import PicturePanel, side_by_side
from xai_views_dashboard.core.wishes import Wish

MOST_EDITS = 40
KINDS = {"blur": "blur", "erase": "erase (mean colour)", "paste": "paste from clicked position"}
COLUMNS = [
    {"key": "class", "title": "class"},
    {"key": "before", "title": "logit before", "kind": "signed", "digits": 3},
    {"key": "after", "title": "logit after", "kind": "signed", "digits": 3},
    {"key": "p_before", "title": "probability before", "kind": "number", "digits": 4},
    {"key": "p_after", "title": "probability after", "kind": "number", "digits": 4},
]


@dataclass
class Answer:
    """The edited image, and the explanations of both."""

    image: np.ndarray
    before: xr.Dataset
    after: xr.Dataset
    target: int
    edits: int


class TouchPanel(PicturePanel):
    """The original and the edited photo on one scale; the brushed region is edited."""

    title = "Edit"
    question = "what-if"
    watched = ("sample", ASK, "touched")
    words = (
        "Brush a region on the photo (Shift and drag, r, or the lasso), choose an edit, and apply it. The network is re-run on "
        "the edited image; an edit may add artefacts such as edges."
    )
    table, columns = "Prediction before and after the edits", COLUMNS

    def __init__(self, app: Any) -> None:
        super().__init__(app)
        self.kind = pmui.RadioButtonGroup(
            options={v: k for k, v in KINDS.items()}, value="blur", size="small"
        )
        self.go = pmui.Button(label="Apply to brushed region", variant="outlined", size="small")
        self.undo = pmui.Button(label="Undo edit", variant="outlined", size="small", disabled=True)
        self.clear = pmui.Button(label="Reset photo", variant="outlined", size="small", disabled=True)
        self.said = pn.pane.HTML("", sizing_mode="stretch_width", margin=(4, 16))
        self.go.on_click(lambda _: self.apply())
        self.undo.on_click(lambda _: self._keep(app.state.touched[:-1]))
        self.clear.on_click(lambda _: self._keep([]))
        app.state.param.watch(self._offer, "touched")
        self._offer()
        self.canvas.on_region(lambda m: setattr(app.state, "region", m.get("polygon") or []))

    def apply(self) -> None:
        """Edit the brushed region."""
        state, kind = self.app.state, self.kind.value
        at = [float(v) for v in state.place] if kind == "paste" else []
        self.app.problem = self.refused(at)
        if not self.app.problem:
            self._keep([*state.touched, {"kind": kind, "region": [list(p) for p in state.region], "at": at}])

    def refused(self, at: list[float]) -> str:
        """Return why nothing can be edited, in one sentence; "" when it can."""
        state = self.app.state
        if len(state.region) < 3:
            return "No region is brushed: hold Shift and drag on the photo, press r, or choose the lasso in the toolbar."
        if len(state.touched) >= MOST_EDITS:
            return f"This image already has {MOST_EDITS} edits (the limit); undo some or reset the photo."
        if self.kind.value == "paste" and len(at) != 2:
            return "Click the position to copy from first; then brush the region to paste over."
        return ""

    def _keep(self, edits: list) -> None:
        self.app.state.touched = list(edits)

    def _offer(self, *_: Any) -> None:
        self.undo.disabled = self.clear.disabled = not self.app.state.touched

    def layout(self) -> dict:
        """Return the tiles: original above, edited below."""
        made: dict[str, Any] = {"tiles": {}, "groups": {}}
        for row, words in (("before", "Original"), ("after", "Edited")):
            labels = {
                f"{row}-photo": words,
                f"{row}-{SEGMENT}": f"{words}: clusters",
                f"{row}-contribution": f"{words}: contribution",
            }
            for key, value in side_by_side(labels, 230, row, link="touch", photo=f"{row}-photo").items():
                made[key] |= value
            made["tiles"][f"{row}-photo"]["layers"] = []
        return made

    def wish(self) -> Wish:
        """Return the request and the edits."""
        state = self.app.state
        return Wish(self.app.ask(ablated=[]), {"touched": state.frozen(state.touched)}, state.sample)

    async def explained(self, sample: int, wish: Wish) -> Answer:
        """Explain both pictures for one class."""
        session = self.app.session
        before = await session.explain(sample, wish.ask, priority=1)
        image = await asyncio.to_thread(
            lambda: edited(as_uint8(session.image(sample)), wish.drawn["touched"])
        )
        target = int(before["target_class"].values[0, 0])
        ask = wish.ask.replace(targets=(target,))
        after = await asyncio.wrap_future(
            session.kernel.explain(
                session.model, image[None], [digest(image)], registry.plain(ask.method), [ask], priority=1
            )
        )
        return Answer(image, before, after[0], target, len(wish.drawn["touched"]))

    def draw(self, frame: Frame, sample: int, image: Any, answer: Answer, wish: Wish) -> Answer:  # noqa: ARG002
        """Draw both pictures on one scale, with matched colours."""
        words = self.app.model.classes[answer.target]
        frame.header(text=f"The sample before and after the edits, explained for {words}.")
        frame.photo([image, answer.image], ["before-photo", "after-photo"])
        reference = answer.before["segment"].values[0]
        for row, result in (("before", answer.before), ("after", answer.after)):
            ids = result["segment"].values[0]
            ids = ids if row == "before" else match_labels(reference, ids)[ids]
            frame.label_map(f"{row}-{SEGMENT}", SEGMENT, ids)
            frame.signed_map(f"{row}-contribution", "contribution", contribution_of(result))
            top = int(result["logit"].values[0].argmax())
            title = f"{self.app.model.classes[top]} {float(result['probability'].values[0, top]):.3f}"
            frame.tile(f"{row}-photo", title=title, alt=f"The photo {row}")
        frame.legend(SEGMENT, title="cluster (matched)", short=True)
        frame.legend("contribution", title=PER_PIXEL, target=words, unit="logit")
        return answer

    def write(self, answer: Answer) -> None:
        """Write table and sentence."""
        before, after, target, edits = answer.before, answer.after, answer.target, answer.edits
        best = [int(c) for r in (before, after) for c in np.argsort(-r["logit"].values[0], kind="stable")[:4]]
        names = self.app.model.classes
        self.listing.rows = [
            {
                "id": str(c),
                "class": names[c],
                "before": float(before["logit"].values[0, c]),
                "after": float(after["logit"].values[0, c]),
                "p_before": float(before["probability"].values[0, c]),
                "p_after": float(after["probability"].values[0, c]),
            }
            for c in dict.fromkeys([target, *best])
        ]
        one, two = (float(r["logit"].values[0, target]) for r in (before, after))
        said = f"{edits} edit{'' if edits == 1 else 's'}: " if edits else "No edits yet. "
        said += f"The logit of {names[target]} goes from {number(one)} to {number(two)}." if edits else ""
        said += f" Edits apply to {self.app.session.names[self.app.state.sample]} only." if edits else ""
        self.said.object = f"<p>{escape(said)}</p>"

    def above(self) -> list[Any]:
        """Return the tools, and the sentence about the edits."""
        buttons = (self.kind, self.go, self.undo, self.clear)
        return [pn.FlexBox(*buttons, align_items="center", gap="8px", margin=(4, 16)), self.said]
