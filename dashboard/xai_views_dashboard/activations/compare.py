"""Two to four networks on the same image: the same number of clusters, matched colours, one scale."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import numpy as np
import panel as pn
import panel_material_ui as pmui

from xai_views import catalogue
from xai_views.engine.clusters.match import match_labels
from xai_views.engine.clusters.measures import ari, best_overlap, effective_number, fragmentation
from xai_views.errors import XaiViewsError
from xai_views.views import Frame, Listing
from xai_views_dashboard.activations.frame import SEGMENT, density
from xai_views_dashboard.core.former_picture_panel import PicturePanel
from xai_views_dashboard.core.page import caption
from xai_views_dashboard.core.session import context_of

MOST = 3  # further models
SIDE = 210
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


class ComparePanel(PicturePanel):
    """Pictures of this model and of up to three others, and a table of figures."""

    watched = ("compared", "k", "mode", "assigner", "seed", "grid", "interp", "target")

    def __init__(self, app: Any) -> None:
        self._opened: dict[str, Any] = {}
        super().__init__(app)
        names = [n for n in catalogue.models() if n != app.model.name]
        self.choice = pmui.MultiChoice(
            label="Compare with", options=names, value=[n for n in app.state.compared if n in names][:MOST], max_items=MOST,
            width=420,
        )  # fmt: skip
        self.choice.param.watch(lambda e: setattr(app.state, "compared", list(e.new)), "value")
        app.state.param.watch(
            lambda e: setattr(self.choice, "value", [n for n in e.new if n in names][:MOST]), "compared"
        )
        self.listing = Listing(label="The networks side by side", columns=COLUMNS)

    def _models(self) -> list[str]:
        return [self.app.model.name, *[n for n in self.app.state.compared if n in catalogue.models()][:MOST]]

    def layout(self) -> dict:
        """Clusters above, contributions below, the difference of the first two at the end."""
        tiles: dict[str, dict] = {}
        for i, name in enumerate(self._models()):
            tiles[f"clusters-{i}"] = {
                "group": "clusters",
                "size": SIDE,
                "label": name,
                "photo": "photo-0",
                "link": "compared",
            }
        for i, name in enumerate(self._models()):
            tiles[f"parts-{i}"] = {
                "group": "parts",
                "size": SIDE,
                "label": name,
                "photo": "photo-0",
                "link": "compared",
            }
        if len(self._models()) > 1:
            tiles["difference"] = {
                "group": "parts", "size": SIDE, "label": " − ".join(self._models()[:2]), "photo": "photo-0", "link": "compared",
            }  # fmt: skip
        return {
            "tiles": tiles,
            "groups": {
                "clusters": {"title": "Clusters, colours matched by overlap"},
                "parts": {"title": "Contribution to the answer, one scale"},
            },
        }

    def wish(self) -> Any:
        """The ask for this model; others get the same with their own layers."""
        return self.app.session.ask(self.app.state, ablation=None), tuple(self._models())

    def key(self, wish: Any) -> Any:
        """The content of the ask and the names of the models."""
        return context_of(wish[0]), wish[1]

    async def session(self, name: str) -> Any:
        """The samples asked of another model, opened by the kernel once."""
        if name not in self._opened:
            from xai_views.models import open_model

            app = self.app
            model = await asyncio.wrap_future(app.session.kernel.run(lambda progress: open_model(name)))  # noqa: ARG005
            if model.channels != app.model.channels:
                raise XaiViewsError(
                    f"{name!r} takes {model.channels} channel(s) and {app.model.name!r} {app.model.channels}; compare models "
                    "of one kind."
                )
            self._opened[name] = await asyncio.to_thread(app.session.other, model)
        return self._opened[name]

    async def frame(self, key: str, sample: int, wish: Any) -> bytes:
        """All pictures in one frame, so that they share limits."""
        ask, names = wish
        results = [await self.app.session.explain(sample, ask, priority=1)]
        models = [self.app.model]
        same = self.app.model.classes
        for name in names[1:]:
            other = await self.session(name)
            targets = ask.targets if other.model.classes == same else (-1,)
            own = replace(ask, taps=other.layers.default, weights="authors", codebook=None, targets=targets)
            own = own if ask.mode != "codebook" else replace(own, mode="nested")
            results.append(await other.explain(sample, own, priority=1))
            models.append(other.model)
        image = await asyncio.to_thread(self.app.session.image, sample)
        return await asyncio.to_thread(self._build, key, image, sample, list(names), models, results)

    def _build(
        self, key: str, image: np.ndarray, sample: int, names: list[str], models: list, results: list
    ) -> bytes:
        shape = image.shape[:2]
        frame = Frame(
            key,
            text=f"{' and '.join(names)} on the same image with {results[0].sizes['cluster']} clusters each.",
        )
        frame.photo(image, "photo-0")
        reference = results[0]["segment"].values[0]
        truth = self.app.session.truth(sample)
        rows, maps = [], []
        for i, (name, model, result) in enumerate(zip(names, models, results, strict=True)):
            ids = resized(result["segment"].values[0], shape)
            if i:
                ids = match_labels(reference, ids)[ids]
            frame.label_map(f"clusters-{i}", SEGMENT, ids)
            maps.append(resized(density(result), shape) * (result["segment"].values[0].size / ids.size))
            frame.signed_map(f"parts-{i}", "contribution", maps[-1])
            target = int(result["target_class"].values[0, 0])
            top = int(result["logit"].values[0].argmax())
            probability = float(result["probability"].values[0, top])
            frame.tile(
                f"clusters-{i}",
                title=f"{model.classes[top]} {probability:.2f}",
                size=list(shape),
                alt=f"Clusters of {name}",
            )
            frame.tile(
                f"parts-{i}",
                title=f"for {model.classes[target]}",
                size=list(shape),
                alt=f"Contributions in {name}",
            )
            rows.append(
                {
                    "id": name,
                    "model": name,
                    "predicted": model.classes[top],
                    "probability": probability,
                    **figures(ids, reference, truth),
                }
            )
        if len(maps) > 1:
            frame.signed_map("difference", "contribution", maps[0] - maps[1])
            frame.tile("difference", size=list(shape), alt=f"Contributions of {names[0]} minus {names[1]}")
        frame.legend(SEGMENT, title="cluster (matched)")
        frame.legend(
            "contribution",
            title="contribution of its cluster, per pixel",
            target="the class named above",
            unit="logit",
        )
        self.app_rows(rows)
        return frame.to_bytes()

    def app_rows(self, rows: list[dict]) -> None:
        """Write the table from the thread that built the frame."""
        from xai_views_dashboard.core.tasks import on_page

        on_page(lambda: setattr(self.listing, "rows", rows))

    def selected(self, message: Any) -> None:
        """A cluster chosen here is chosen everywhere."""
        label = (message.get("labels") or {}).get(SEGMENT)
        if label is not None:
            self.app.state.cluster = -1 if int(label) == self.app.state.cluster else int(label)

    def __panel__(self) -> Any:
        return pn.Column(
            caption(
                "Equal colours mean the largest overlap of regions, found by Hungarian matching; they do not mean the same "
                "concept. A network with random weights is the control: what it finds as well is in the image and the "
                "architecture, not in what was learnt."
            ),
            self.choice,
            self.canvas,
            self.listing,
            caption(
                "Coherence: share of neighbouring pixels in the same cluster. Overlap: intersection over union of the object "
                "with the best cluster, which an oracle chose."
            ),
            sizing_mode="stretch_width",
        )


def resized(values: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Nearest-neighbour resize of ``[y, x]``."""
    rows = ((np.arange(shape[0]) + 0.5) * values.shape[0] / shape[0]).astype(int)
    columns = ((np.arange(shape[1]) + 0.5) * values.shape[1] / shape[1]).astype(int)
    return values[rows][:, columns]


def figures(ids: np.ndarray, reference: np.ndarray, truth: tuple | None) -> dict[str, float]:
    """What the table says of one partition."""
    pieces = fragmentation(ids)
    overlap = best_overlap(ids, truth[0] > 0)[1] if truth is not None else None
    return {
        "effective": effective_number(np.bincount(ids.ravel())),
        "ari": ari(reference, ids),
        "coherence": pieces["coherence"],
        "pieces": pieces["pieces"],
        "truth": overlap,
    }
