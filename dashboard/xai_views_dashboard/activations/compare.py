"""Two to four networks on the same image: the same number of clusters, matched colours, one scale."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import panel_material_ui as pmui
import xarray as xr

from xai_views import catalogue
from xai_views.contract.method import PREDICTED
from xai_views.engine.clusters.labels import resize_labels
from xai_views.engine.clusters.match import match_labels
from xai_views.engine.clusters.measures import compared
from xai_views.errors import XaiViewsError
from xai_views.models import open_model
from xai_views.views import Frame
from xai_views_dashboard.activations.frame import PER_PIXEL, SEGMENT, contribution_of
from xai_views_dashboard.activations.session import Fitted
from xai_views_dashboard.core.panel import ASK
from xai_views_dashboard.core.picture_panel import PicturePanel, side_by_side
from xai_views_dashboard.core.wishes import Wish

MOST = 3  # further models
GROUPS = {
    "clusters": "Clusters, colours matched by overlap",
    "parts": "Contribution to the answer, one scale",
}
COLUMNS = [
    {"key": "model", "title": "model"},
    {"key": "predicted", "title": "predicted"},
    {"key": "probability", "title": "probability", "kind": "number", "digits": 3},
    {"key": "effective", "title": "effective clusters", "kind": "number", "digits": 1},
    {"key": "ari", "title": "ARI with this model", "kind": "number", "digits": 2},
    {"key": "truth", "title": "best overlap with the object", "kind": "number", "digits": 2},
    {"key": "coherence", "title": "coherence", "kind": "number", "digits": 3},
    {"key": "pieces", "title": "connected pieces", "kind": "number", "digits": 0},
]


@dataclass
class Named:
    """A network and what it says."""

    name: str
    classes: list[str]
    result: xr.Dataset


class ComparePanel(PicturePanel):
    """Pictures of this model and of up to three others, and a table of figures."""

    title = "Compare models"
    question = "compared"
    watched = ("sample", ASK, "compared")
    words = (
        "Equal colours mean the largest overlap of regions, found by Hungarian matching; they do not mean the same concept. A "
        "network with random weights is the control: what it finds as well is in the image and the architecture, not in what "
        "was learnt."
    )
    table, columns = "The networks side by side", COLUMNS
    beneath = (
        "Coherence: share of neighbouring pixels in the same cluster. Overlap: intersection over union of the object with the "
        "best cluster, which an oracle chose."
    )

    def __init__(self, app: Any) -> None:
        self._others: dict[str, Fitted] = {}
        self.offered = [n for n in catalogue.models() if n != app.model.name]
        super().__init__(app)
        self.choice = pmui.MultiChoice(
            label="Compare with", options=self.offered, value=self.names()[1:], max_items=MOST, width=420
        )
        self.choice.param.watch(lambda e: setattr(app.state, "compared", list(e.new)), "value")
        app.state.param.watch(lambda *_: setattr(self.choice, "value", self.names()[1:]), "compared")

    def names(self) -> list[str]:
        """Name of the page's model, and of the others."""
        others = [n for n in self.app.state.compared if n in self.offered]
        return [self.app.model.name, *others[:MOST]]

    def layout(self) -> dict[str, Any]:
        """Clusters above, contributions below, the difference of the first two at the end."""
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
        """The ask for this model; others get the same with their own layers."""
        return Wish(self.app.ask(ablated=[]), {"names": tuple(self.names())}, self.app.state.sample)

    async def other(self, name: str) -> Fitted:
        """The samples asked of another model, which the worker opens once for all visitors."""
        if name not in self._others:
            app = self.app
            model = await asyncio.wrap_future(
                app.session.job(("model", name), lambda progress: open_model(name))  # noqa: ARG005
            )
            if model.channels != app.model.channels:
                raise XaiViewsError(
                    f"{name!r} takes {model.channels} channel(s) and {app.model.name!r} {app.model.channels}; compare models "
                    "of one kind."
                )
            self._others[name] = await asyncio.to_thread(Fitted, model, app.session)
        return self._others[name]

    async def explained(self, sample: int, wish: Wish) -> list[Named]:
        """The same image asked of every model."""
        app, ask = self.app, wish.ask
        found = [Named(app.model.name, app.model.classes, await app.session.explain(sample, ask, priority=1))]
        for name in wish.drawn["names"][1:]:
            other = await self.other(name)
            same = other.model.classes == app.model.classes
            own = ask.replace(
                taps=(),
                weights=ask.weights if isinstance(ask.weights, str) else "authors",
                mode=ask.mode if ask.mode != "codebook" else "nested",
                codebook=None,
                targets=ask.targets if same else (PREDICTED,),
            )
            found.append(Named(name, other.model.classes, await other.explain(sample, own, priority=1)))
        return found

    def draw(
        self,
        frame: Frame,
        sample: int,
        image: Any,
        answer: list[Named],
        wish: Wish,  # noqa: ARG002
    ) -> list[dict[str, Any]]:
        """All pictures in one frame, so that they share limits; the rows of the table."""
        shape, first = image.shape[:2], answer[0].result
        said = " and ".join(n.name for n in answer)
        frame.header(text=f"{said} on the same image with {first.sizes['cluster']} clusters each.")
        frame.photo(image, "photo-0")
        reference, truth = first["segment"].values[0], self.app.session.truth(sample)
        rows, maps = [], []
        for i, named in enumerate(answer):
            name, classes, result = named.name, named.classes, named.result
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
        if len(maps) > 1:
            frame.signed_map("difference", "contribution", maps[0] - maps[1])
            words = f"Contributions of {answer[0].name} minus {answer[1].name}"
            frame.tile("difference", size=list(shape), alt=words)
        frame.legend(SEGMENT, title="cluster (matched)")
        frame.legend("contribution", title=PER_PIXEL, target="the class named above", unit="logit")
        return rows

    def selected(self, message: Any) -> None:
        """A cluster chosen here is chosen everywhere."""
        label = (message.get("labels") or {}).get(SEGMENT)
        if label is not None:
            self.app.state.cluster = -1 if int(label) == self.app.state.cluster else int(label)

    def above(self) -> list[Any]:
        """The choice of the models."""
        return [self.choice]
