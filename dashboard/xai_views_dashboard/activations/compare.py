"""Two to four networks on the same image: equal K, matched colours, one scale."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import panel as pn
import panel_material_ui as pmui
import xarray as xr

from xai_views.contract.method import PREDICTED
from xai_views.engine.clusters.labels import resize_labels
from xai_views.engine.clusters.match import match_labels
from xai_views.engine.clusters.measures import compared
from xai_views.errors import XaiViewsError, without_folders
from xai_views.models import open_model
from xai_views.views import Frame
from xai_views_dashboard.activations.frame import PER_PIXEL, SEGMENT, contribution_of
from xai_views_dashboard.activations.session import Fitted
from xai_views_dashboard.core.panel import ASK
from xai_views_dashboard.core.picture_panel import PicturePanel, side_by_side
from xai_views_dashboard.core.wishes import Wish
from xai_views_dashboard.panels.compare import models_for

MOST = 3  # further models
GROUPS = {
    "clusters": "Clusters, colours matched by overlap",
    "parts": "Contribution to the logit, one scale",
}
COLUMNS = [
    {"key": "model", "title": "model"},
    {"key": "predicted", "title": "predicted"},
    {"key": "probability", "title": "probability", "kind": "number", "digits": 3},
    {"key": "effective", "title": "effective clusters", "kind": "number", "digits": 1},
    {"key": "ari", "title": "ARI with this model", "kind": "number", "digits": 2},
    {"key": "truth", "title": "IoU with the object", "kind": "number", "digits": 2},
    {"key": "coherence", "title": "coherence", "kind": "number", "digits": 3},
    {"key": "pieces", "title": "connected pieces", "kind": "number", "digits": 0},
]


@dataclass
class Named:
    """A network and its explanation, or the reason why there is none."""

    name: str
    classes: list[str]
    result: xr.Dataset | None
    reason: str = ""


class ComparePanel(PicturePanel):
    """Pictures of this model and of up to three others, and a table of measures."""

    title = "Compare models"
    question = "compared"
    watched = ("sample", ASK, "compared")
    words = (
        "Equal colours mark regions with the largest overlap (Hungarian matching), not the same concept. A network with random "
        "weights is the control: whatever it also finds comes from the image and the architecture, not from training."
    )
    table, columns = "The networks side by side", COLUMNS
    beneath = (
        "Coherence: share of neighbouring pixels in the same cluster. IoU: overlap of the object with its best cluster (chosen "
        "with knowledge of the ground truth)."
    )

    def __init__(self, app: Any) -> None:
        self._others: dict[str, Fitted] = {}
        fitting, self.unfit = models_for(app)
        self.offered = list(fitting.values())
        super().__init__(app)
        self.choice = pmui.MultiChoice(
            label="Compare with", options=self.offered, value=self.names()[1:], max_items=MOST, width=420
        )
        self.said = pn.pane.HTML("", sizing_mode="stretch_width", margin=(4, 16))
        self.refused()
        self.choice.param.watch(self.taken, "value")
        app.state.param.watch(self.chosen, "compared")

    def taken(self, event: Any) -> None:
        """Keep the chosen models; a choice that only follows the state changes nothing."""
        if list(event.new) != self.names()[1:]:
            self.app.state.compared = list(event.new)

    def chosen(self, *_: Any) -> None:
        """Take over the models of the state."""
        self.choice.value = self.names()[1:]
        self.refused()

    def refused(self, more: Sequence[str] = ()) -> None:
        """Say which of the chosen models cannot be compared, and why."""
        wanted = [n for n in self.app.state.compared if n not in self.offered and n != self.app.model.name]
        known = {n: next((r for r in self.unfit if r.startswith(repr(n))), "") for n in wanted}
        reasons = [r or f"There is no shipped model {n!r}." for n, r in known.items()]
        if not self.offered:
            reasons.append("No other shipped model can open these samples.")
        self.said.object = "".join(f"<p>{escape(r)}</p>" for r in [*reasons, *more])

    def names(self) -> list[str]:
        """Return the name of the page's model, then those of the others."""
        others = [n for n in self.app.state.compared if n in self.offered]
        return [self.app.model.name, *others[:MOST]]

    def layout(self) -> dict[str, Any]:
        """Return the tiles: clusters, then contributions, then the difference of the first two."""
        names, made = self.names(), {"tiles": {}, "groups": {}}
        for group, title in GROUPS.items():
            labels = {f"{group}-{i}": name for i, name in enumerate(names)}
            if group == "parts" and len(names) > 1:
                labels["difference"] = " − ".join(names[:2])
            for key, value in side_by_side(
                labels, 210, group, title, link="compared", photo="photo-0"
            ).items():
                made[key] |= value
        return made

    def wish(self) -> Wish:
        """Return the request for this model; the others get the same with their own layers."""
        return Wish(self.app.ask(ablated=[]), {"names": tuple(self.names())}, self.app.state.sample)

    async def other(self, name: str) -> Fitted:
        """Return the samples in another model, which the worker opens once for all visitors."""
        if name not in self._others:
            app = self.app
            model = await asyncio.wrap_future(
                app.session.job(
                    ("model", name),
                    lambda progress: open_model(name),  # noqa: ARG005
                    title=f"Opening {name}",
                )
            )
            if model.channels != app.model.channels:
                raise XaiViewsError(
                    f"{name!r} needs {model.channels}-channel input and cannot be compared with this model."
                )
            self._others[name] = await asyncio.to_thread(Fitted, model, app.session)
        return self._others[name]

    async def explained(self, sample: int, wish: Wish) -> list[Named]:
        """Explain the same image with every model; one that fails does not stop the others."""
        app, ask = self.app, wish.ask
        found = [Named(app.model.name, app.model.classes, await app.session.explain(sample, ask, priority=1))]
        for name in wish.drawn["names"][1:]:
            try:
                other = await self.other(name)
            except XaiViewsError as error:
                found.append(Named(name, [], None, without_folders(error)))
                continue
            same = other.model.classes == app.model.classes
            own = ask.replace(
                taps=(),
                weights=ask.weights if isinstance(ask.weights, str) else "authors",
                mode=ask.mode if ask.mode != "codebook" else "nested",
                codebook=None,
                targets=ask.targets if same else (PREDICTED,),
            )
            try:
                found.append(Named(name, other.model.classes, await other.explain(sample, own, priority=1)))
            except XaiViewsError as error:
                found.append(Named(name, other.model.classes, None, without_folders(error)))
        return found

    def draw(
        self,
        frame: Frame,
        sample: int,
        image: Any,
        answer: list[Named],
        wish: Wish,  # noqa: ARG002
    ) -> tuple[list[dict[str, Any]], list[str]]:
        """Draw all pictures into one frame, so that they share limits; return the rows of the table, and problems."""
        shape, first = image.shape[:2], answer[0].result
        assert first is not None
        said = " and ".join(n.name for n in answer)
        frame.header(text=f"{said} on the same image with {first.sizes['cluster']} clusters each.")
        frame.photo(image, "photo-0")
        reference, truth = first["segment"].values[0], self.app.session.truth(sample)
        rows, maps = [], []
        for i, named in enumerate(answer):
            name, classes, result = named.name, named.classes, named.result
            if result is None:
                for group in GROUPS:
                    frame.tile(f"{group}-{i}", photo="photo-0", title="not available", alt=named.reason)
                continue
            ids = resize_labels(result["segment"].values[0], shape)
            maps.append(contribution_of(result, ids))
            ids = match_labels(reference, ids)[ids] if i else ids
            frame.label_map(f"clusters-{i}", SEGMENT, ids)
            frame.signed_map(f"parts-{i}", "contribution", maps[-1])
            target, top = int(result["target_class"].values[0, 0]), int(result["logit"].values[0].argmax())
            probability = float(result["probability"].values[0, top])
            title = f"{classes[top]} {probability:.2f}"
            frame.tile(f"clusters-{i}", title=title, size=list(shape), alt=f"Clusters of {name}")
            title = f"for {classes[target]}"
            frame.tile(f"parts-{i}", title=title, size=list(shape), alt=f"Contributions in {name}")
            figures = compared(ids, reference, None if truth is None else truth[0] > 0)
            about = {"id": name, "model": name, "predicted": classes[top], "probability": probability}
            rows.append(about | figures)
        if len(answer) > 1 and answer[1].result is not None:
            frame.signed_map("difference", "contribution", maps[0] - maps[1])
            words = f"Contributions of {answer[0].name} minus {answer[1].name}"
            frame.tile("difference", size=list(shape), alt=words)
        frame.legend(SEGMENT, title="cluster (matched)")
        frame.legend("contribution", title=PER_PIXEL, target="the class above", unit="logit")
        return rows, [named.reason for named in answer if named.reason]

    def write(self, answer: tuple[list[dict[str, Any]], list[str]]) -> None:
        """Write the table and what could not be compared."""
        rows, problems = answer
        super().write(rows)
        self.refused(problems)

    def selected(self, message: Any) -> None:
        """Select the clicked cluster in all pictures."""
        label = (message.get("labels") or {}).get(SEGMENT)
        if label is not None:
            self.app.state.cluster = -1 if int(label) == self.app.state.cluster else int(label)

    def above(self) -> list[Any]:
        """Return the choice of the models."""
        return [self.choice, self.said]
