"""The latent map of the SIC app: a point for every test sample and support sample, with pictures on hover."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np
import panel as pn
import panel_material_ui as pmui
from bokeh.models import ColumnDataSource, HoverTool, LassoSelectTool, TapTool, WheelZoomTool

from xai_views.contract.ask import Ask
from xai_views.kernel import Shared
from xai_views.methods.sic.projection import FEWEST, neighbours_map, principal_axes
from xai_views.models.supports import Supports
from xai_views.samples import images
from xai_views.views import latent_map
from xai_views.views.plots import data_uri
from xai_views_dashboard.core.page import caption
from xai_views_dashboard.core.panel import Panel
from xai_views_dashboard.core.tasks import on_page
from xai_views_dashboard.sic.frame import support_name
from xai_views_dashboard.sic.support_rows import support_pictures

MOST = 2000
TIP = (
    '<div style="max-width:200px"><img src="@thumb" alt="" style="display:block;width:64px;image-rendering:pixelated">'
    "<div>@said</div></div>"
)
WAITING = "The map appears once the model was run on all samples; the progress is shown under Population."
WAYS = {"Principal axes": "pca", "Neighbours (t-SNE)": "tsne"}
#: Data URIs of the pictures of a population, and where its points lie, for all visitors; by content.
_pictures, _positions = Shared(4), Shared(16)


@dataclass(frozen=True, eq=False)
class Points:
    """The points of the map."""

    key: tuple[str, str]  # projection, and support set where the positions of samples depend on it
    samples: dict[str, Any]
    supports: dict[str, Any]
    share: float | None  # of the variance explained by the two axes


class MapView(Panel):
    """Test samples (filled) and supports (open diamonds) in two dimensions; a tap selects.

    Parameters
    ----------
    app : SicApp
        Gives session, state and the population.
    """

    title = "Latent map"
    question = "compared"
    watched = ()

    def __init__(self, app: Any) -> None:
        self.pane = pn.pane.Bokeh(None, sizing_mode="stretch_width", min_height=420)
        self.how = pmui.RadioButtonGroup(options=WAYS, value="pca", size="small", width=300)
        self.words = caption(WAITING)
        n = app.session.population.n
        self.rows = np.unique(np.linspace(0, max(n - 1, 0), min(n, MOST)).astype(int))
        self._drawn: Points | None = None
        super().__init__(app)
        self.how.param.watch(self.update, "value")
        app.listed.param.watch(self.update, "predictions")
        app.state.param.watch(self.follow, "sample")

    def follow(self, *_: Any) -> None:
        """Move the ring to the current sample, if the map is in view."""
        if self._active:
            on_page(self._ringed)
        else:
            self._stale = True

    # -- positions ----------------------------------------------------------------------------------------------

    async def compute(self) -> Points | str:
        """Return the points, or the reason why there are none; long work runs on a thread."""
        known, how, session = self.app.listed.predictions, self.how.value, self.app.session
        if known is None:
            return WAITING
        if len(self.rows) < FEWEST and how == "tsne":
            return f"t-SNE needs at least {FEWEST} samples; these are {len(self.rows)}. Choose the principal axes."
        if how == "tsne" and (self._drawn is None or self._drawn.key[0] != how):
            self.say("Computing t-SNE; this takes some seconds.")
        said, ask = list(map(", ".join, zip(*self.app.listed.said(), strict=True))), self.app.ask()
        said = [s.removesuffix(", ") for s in said]
        return await asyncio.to_thread(
            self.arranged, how, known.latent[self.rows], session.supports, ask, said
        )

    def arranged(self, how: str, z: np.ndarray, chosen: Any, ask: Ask, said: list[str]) -> Points:
        """Return the points, on a thread."""
        model, population, supports = self.app.model, self.app.session.population, chosen(ask)
        arrange = principal_axes if how == "pca" else neighbours_map
        place = (model.sha256, population.key, how, supports.key)
        xy, at, share = _positions.get(place, lambda: arrange(z, supports.vectors))
        thumbs = _pictures.get(
            population.key, lambda: [data_uri(image) for image in images(population.samples, self.rows)]
        )
        samples = {"xy": xy, "said": [said[i] for i in self.rows], "thumb": thumbs}
        key = (how, supports.key if how == "tsne" else "")
        return Points(key, samples, _columns(model, supports, at), share)

    def say(self, text: str) -> None:
        """Write the caption below the map."""
        self.words.object = f"<p>{escape(text)}</p>"

    # -- the figure ---------------------------------------------------------------------------------------------

    def write(self, answer: Points | str) -> None:
        """Draw the map, or update supports and texts of the existing one."""
        if isinstance(answer, str):
            self.say(answer)
            return
        if self._drawn is None or self._drawn.key != answer.key:
            self._draw(answer)
        else:
            self._points.data["said"] = answer.samples["said"]
            self._supports.data = answer.supports
        self._drawn = answer
        self._ringed()
        share = answer.share
        held = "" if share is None else f" (the two axes explain {share:.0%} of the variance)"
        self.say(
            "Each point is a test sample in the colour and shape of its label, whatever the filter; open diamonds are support "
            "samples; the ring marks the current sample. Nearby points have similar latent directions, but this 2-D map distorts "
            f"distances{held}. Ctrl + wheel zooms."
        )

    def _draw(self, points: Points) -> None:
        population = self.app.session.population
        names, label = [population.names[i] for i in self.rows], population.label[self.rows]
        figure = latent_map(
            points.samples["xy"], label, self.app.model.classes, ids=names, on_select=self._tapped
        )
        drawn = figure.renderers[0]
        self._points = drawn.data_source
        self._points.data.update(said=points.samples["said"], thumb=points.samples["thumb"])
        self._supports = ColumnDataSource(points.supports, name="supports")
        self._supports.selected.on_change("indices", lambda _attr, _old, new: self._tapped_support(new))
        self._ring = ColumnDataSource({"x": [], "y": []}, name="ring")
        line = {"fill_color": None, "marker": "diamond", "line_color": "#7a7f87", "line_width": 1.5}
        support = figure.scatter("x", "y", source=self._supports, size=11, nonselection_line_alpha=1, **line)
        line = {"fill_color": None, "marker": "circle", "line_color": "#0f8a9d", "line_width": 3}
        figure.scatter("x", "y", source=self._ring, size=18, **line)
        # The page must scroll under pointer and finger: no dragging or zooming by default.
        figure.tools = [t for t in figure.tools if not isinstance(t, (HoverTool, LassoSelectTool))]
        figure.add_tools(HoverTool(renderers=[drawn, support], tooltips=TIP))
        figure.select_one(TapTool).renderers = [drawn, support]
        figure.select_one(WheelZoomTool).modifiers = {"ctrl": True}
        figure.toolbar.active_drag = None
        self.pane.object = figure

    def _ringed(self) -> None:
        if self._drawn is not None:
            xy = self._drawn.samples["xy"][self.rows == self.app.state.sample]
            here = {"x": xy[:, 0].tolist(), "y": xy[:, 1].tolist()}
            if here != dict(self._ring.data):
                self._ring.data = here

    # -- selecting: a tapped point is not kept selected; the ring marks the current sample ------------------------

    def _tapped(self, indices: list[int]) -> None:
        if indices:
            self._points.selected.indices = []
            self.app.state.sample = int(self.rows[indices[0]])

    def _tapped_support(self, indices: list[int]) -> None:
        if indices:
            self._supports.selected.indices = []
            self.app.state.support = int(self._supports.data["position"][indices[0]])

    def __panel__(self) -> Any:
        return pn.Column(pn.Row(self.how, margin=(0, 16)), self.pane, self.words, sizing_mode="stretch_width")


def _columns(model: Any, supports: Supports, xy: np.ndarray) -> dict[str, Any]:
    at = list(zip(supports.index.tolist(), supports.label.tolist(), strict=True))
    return {
        "x": xy[:, 0],
        "y": xy[:, 1],
        "position": [i for i, _ in at],
        "said": [f"support sample {support_name(i)}: {model.classes[c]}" for i, c in at],
        "thumb": support_pictures(model, supports),
    }
