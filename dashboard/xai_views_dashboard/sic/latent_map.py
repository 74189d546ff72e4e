"""The latent map of the SIC app: every test sample and every support sample as a point, pictures on hover."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from html import escape
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import panel as pn
import panel_material_ui as pmui

from xai_views.methods.sic.projection import FEWEST, neighbours_map, principal_axes
from xai_views.samples import images
from xai_views.views.plots import data_uri
from xai_views_dashboard.core.page import caption
from xai_views_dashboard.core.tasks import on_page, start
from xai_views_dashboard.sic.frame import support_name

MOST = 2000
TIP = (
    '<div style="max-width:200px"><img src="@thumb" alt="" style="display:block;width:64px;image-rendering:pixelated">'
    "<div>@said</div></div>"
)
#: Data URIs of a population's pictures: made once for all visitors.
_pictures: WeakKeyDictionary[Any, list[str]] = WeakKeyDictionary()


class MapView(pn.viewable.Viewer):
    """Test samples (filled) and supports (open diamonds) in two dimensions; a tap chooses.

    Parameters
    ----------
    app : SicApp
        Gives session and state.
    """

    def __init__(self, app: Any) -> None:
        super().__init__()
        self.app = app
        self.pane = pn.pane.Bokeh(None, sizing_mode="stretch_width", min_height=420)
        ways = {"Principal axes": "pca", "Neighbours (t-SNE)": "tsne"}
        self.how = pmui.RadioButtonGroup(options=ways, value="pca", size="small", width=300)
        self.how.param.watch(lambda *_: on_page(self._show), "value")
        self.words = caption("The map appears when every sample was observed.")
        n = app.session.population.n
        self.rows = np.unique(np.linspace(0, max(n - 1, 0), min(n, MOST)).astype(int))
        self._said: list[str] = []
        self._positions: dict[tuple[str, str], tuple] = {}
        self._computing: set[tuple[str, str]] = set()
        self._thumbs: dict[int, str] = {}
        self._drawn: tuple[str, str] | None = None

    def __panel__(self) -> Any:
        return pn.Column(pn.Row(self.how, margin=(0, 16)), self.pane, self.words, sizing_mode="stretch_width")

    def fill(self, said: Sequence[str]) -> None:
        """Bring the map up to date with the supports as they are now.

        Parameters
        ----------
        said : sequence of str
            What is said of each sample when the pointer rests on it.
        """
        self._said = [said[i] for i in self.rows]
        on_page(self._show)

    def follow(self) -> None:
        """Move the ring to the sample in view."""
        on_page(self._ringed)

    def _ringed(self) -> None:
        if self._drawn is not None:
            here = self._here(self._drawn)
            if here != dict(self._ring.data):
                self._ring.data = here

    # -- positions ----------------------------------------------------------------------------------------------

    def _show(self, *_: Any) -> None:
        """Draw what is asked for; what takes long is computed beside the event loop first."""
        if not self._said:
            return
        supports, how = self.app.session.supports, self.how.value
        z, key = self.app.session.population.z[self.rows], (how, supports.key)
        if key not in self._positions and how == "pca":
            self._positions[key] = principal_axes(z, supports.vectors)
        if key not in self._positions:
            self._arrange(key, z, supports.vectors)
            return
        share = self._positions[key][2]
        if self._drawn is None or self._drawn[0] != how or (how == "tsne" and self._drawn != key):
            self._draw(key)
        else:
            self._drawn = key
            self._points.data["said"] = self._said
            self._supports.data = self._support_columns(key)
            self.follow()
        held = "" if share is None else f" The two axes hold {share:.0%} of the variance of the directions."
        self._say(
            "Each point is a test sample, whatever the filter, in the colour and shape of its label; each open diamond is a "
            "support sample, the ring the sample in view. Close points have similar directions of z, but distances on this "
            f"flat map are not the distances in latent space.{held} Ctrl and the wheel zoom."
        )

    def _arrange(self, key: tuple[str, str], z: np.ndarray, vectors: np.ndarray) -> None:
        if len(z) + len(vectors) < FEWEST or z.shape[1] < 2:
            self._say("There are too few points for an arrangement by neighbours.")
            return
        self._say("The points are being arranged by their neighbours, which takes some seconds …")
        if key not in self._computing:
            self._computing.add(key)
            start(self._compute(key, z, vectors))

    async def _compute(self, key: tuple[str, str], z: np.ndarray, vectors: np.ndarray) -> None:
        try:
            self._positions[key] = await asyncio.to_thread(neighbours_map, z, vectors)
        finally:
            self._computing.discard(key)
        on_page(self._show)  # what is asked for by now may be something else

    def _say(self, text: str) -> None:
        self.words.object = f"<p>{escape(text)}</p>"

    # -- the figure ---------------------------------------------------------------------------------------------

    def _draw(self, key: tuple[str, str]) -> None:
        from bokeh.models import ColumnDataSource, HoverTool, LassoSelectTool, TapTool, WheelZoomTool

        from xai_views.views import latent_map

        population, xy = self.app.session.population, self._positions[key][0]
        names, label = [population.names[i] for i in self.rows], population.label[self.rows]
        figure = latent_map(xy, label, self.app.model.classes, ids=names, on_select=self._tapped)
        points = figure.renderers[0]
        self._points = points.data_source
        self._points.data.update(said=self._said, thumb=self._population_thumbs())
        self._supports = ColumnDataSource(self._support_columns(key), name="supports")
        self._supports.selected.on_change("indices", lambda _attr, _old, new: self._tapped_support(new))
        self._ring = ColumnDataSource(self._here(key), name="ring")
        line = {"fill_color": None, "marker": "diamond", "line_color": "#7a7f87", "line_width": 1.5}
        support = figure.scatter("x", "y", source=self._supports, size=11, nonselection_line_alpha=1, **line)
        line = {"fill_color": None, "marker": "circle", "line_color": "#0f8a9d", "line_width": 3}
        figure.scatter("x", "y", source=self._ring, size=18, **line)
        # A page must scroll under the pointer and under a finger, so nothing is dragged or zoomed unless asked for.
        figure.tools = [t for t in figure.tools if not isinstance(t, (HoverTool, LassoSelectTool))]
        figure.add_tools(HoverTool(renderers=[points, support], tooltips=TIP))
        figure.select_one(TapTool).renderers = [points, support]
        figure.select_one(WheelZoomTool).modifiers = {"ctrl": True}
        figure.toolbar.active_drag = None
        self.pane.object, self._drawn = figure, key

    def _population_thumbs(self) -> list[str]:
        population = self.app.session.population
        if population not in _pictures:
            _pictures[population] = [data_uri(image) for image in images(population.samples, self.rows)]
        return _pictures[population]

    def _support_columns(self, key: tuple[str, str]) -> dict[str, Any]:
        supports, classes = self.app.session.supports, self.app.model.classes
        _, xy, _ = self._positions[key]
        for row, position in enumerate(supports.index.tolist()):
            if position not in self._thumbs:
                self._thumbs[position] = data_uri(supports.image[row])
        at = list(zip(supports.index.tolist(), supports.label.tolist(), strict=True))
        return {
            "x": xy[:, 0],
            "y": xy[:, 1],
            "position": [i for i, _ in at],
            "said": [f"support sample {support_name(i)}: {classes[c]}" for i, c in at],
            "thumb": [self._thumbs[i] for i, _ in at],
        }

    def _here(self, key: tuple[str, str]) -> dict[str, list]:
        xy = self._positions[key][0][self.rows == self.app.state.sample]
        return {"x": xy[:, 0].tolist(), "y": xy[:, 1].tolist()}

    # -- choosing: a tapped point is not kept selected, for the ring shows what is in view -----------------------

    def _tapped(self, indices: list[int]) -> None:
        if not indices:
            return
        self._points.selected.indices = []
        chosen = int(self.rows[indices[0]])
        if self.app.state.sample != chosen:
            self.app.state.sample = chosen

    def _tapped_support(self, indices: list[int]) -> None:
        if not indices:
            return
        self._supports.selected.indices = []
        position = int(self._supports.data["position"][indices[0]])
        if self.app.state.support != position:
            self.app.state.support = position
