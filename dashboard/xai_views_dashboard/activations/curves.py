"""Relevance curves of the saliency panel, drawn while they grow: raw against superpixels, with the controls beside them."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from concurrent.futures import Future
from typing import Any

import numpy as np
import panel as pn
import panel_material_ui as pmui
from bokeh.models import ColumnDataSource, Range1d
from bokeh.models.annotations import Legend
from bokeh.plotting import figure

from xai_views.engine.attribution.maps import CONTROLS, control
from xai_views.scores.curves import areas, comparison, predictor, relevance_curves
from xai_views.views import Listing, colour
from xai_views_dashboard.core.job import Job, Told
from xai_views_dashboard.core.page import caption
from xai_views_dashboard.core.picture_panel import read
from xai_views_dashboard.core.tasks import on_page
from xai_views_dashboard.core.wishes import Wish

MAP = "the map"
REDRAW_S = 0.25
COLUMNS = [
    {"key": "map", "title": "map"},
    {"key": "kind", "title": "as"},
    {"key": "ties", "title": "order inside a region"},
    {"key": "lerf", "title": "area, least relevant first", "kind": "number", "digits": 3},
    {"key": "morf", "title": "area, most relevant first", "kind": "number", "digits": 3},
    {"key": "gap", "title": "difference", "kind": "bar", "digits": 3},
]
TIES = {
    "regions": "whole regions at once",
    "random": "random pixels, mean of 3",
    "original": "the map's own order",
}


class CurvesPanel(Job):
    """Remove pixels by relevance and watch the answer.

    Parameters
    ----------
    app : ActivationsApp
        Gives session and state.
    asked : callable
        Gives the wish for the map and the superpixels.
    """

    verb = "Draw the relevance curves"
    begun = "Removing pixels step by step; the curves grow from coarse to fine."
    stopped = "Stopped; what was computed until then is drawn."

    def __init__(self, app: Any, asked: Callable[[], Wish]) -> None:
        self.asked = asked
        self.order = pmui.RadioButtonGroup(
            options={"least relevant first": "lerf", "most relevant first": "morf"},
            value="lerf",
            size="small",
        )
        fills = {"the mean colour": "mean", "black": "zero", "a blur": "blur"}
        self.fill = pmui.Select(label="Removed become", options=fills, value="mean", width=170, size="small")
        self.listing = Listing(label="Areas under the curves", columns=COLUMNS)
        self.plot = pn.pane.Bokeh(self._figure(), sizing_mode="stretch_width", height=320)
        self.drawn = pn.Column(sizing_mode="stretch_width")  # the plot, then its table
        self._curves: dict[Any, Any] = {}
        super().__init__(app)
        self.order.param.watch(lambda *_: on_page(self.draw), "value")

    def _figure(self) -> Any:
        plot = figure(
            height=320, sizing_mode="stretch_width", x_range=Range1d(start=0, end=1), toolbar_location=None
        )
        plot.xaxis.axis_label, plot.yaxis.axis_label = "share of pixels removed", "probability"
        # All lines from the start: what is added to a plot that the browser already has may arrive before it.
        self._sources: dict[tuple[str, str], ColumnDataSource] = {}
        items: list[Any] = []
        for i, name in enumerate((MAP, *CONTROLS)):
            for kind in ("raw", "superpixels"):
                source = self._sources[name, kind] = ColumnDataSource({"x": [], "y": []})
                line = plot.line(
                    "x", "y", source=source, line_width=2.5 if name == MAP else 1.5, color=colour.CATEGORICAL[i],
                    line_dash="solid" if kind == "superpixels" else "dashed",
                )  # fmt: skip
                items.append((f"{name}, {'as it is' if kind == 'raw' else 'on superpixels'}", [line]))
        plot.add_layout(Legend(items=items, location="center"), "right")
        return plot

    def wish(self) -> tuple[Wish, str]:
        """The map and the superpixels in view, and what removed pixels become."""
        return self.asked(), self.fill.value

    async def submit(self, wish: tuple[Wish, str], told: Told) -> Future:
        """Ask for the map, which is there when it is drawn, and then for its curves beside those of the controls."""
        session, (shown, fill) = self.app.session, wish
        ask, sample = shown.ask, shown.sample
        answer = await session.explain(sample, ask, priority=1)
        image = await read(session, sample)
        maps = {ask.map: answer["attribution"].values[0]}
        maps |= {name: control(image[None], name)[0] for name in CONTROLS if name not in maps}
        target = int(answer["target_class"].values[0, 0])
        jobs = comparison(maps, answer["region"].values[0], fill=fill, steps=16, how=ask.how)

        def grow(progress: Any) -> Generator[None, None, dict[Any, Any]]:
            curves, drawn = {}, 0.0
            for curves in relevance_curves(predictor(session.model), image, jobs, target):
                values = [c.value for c in curves.values()]
                done = sum(int(np.isfinite(v).sum()) for v in values), sum(v.size for v in values)
                progress(*done)
                if time.monotonic() - drawn > REDRAW_S:
                    drawn = time.monotonic()
                    told(*done, curves)
                yield
            return curves

        return session.job(None, grow)

    def refine(self, part: dict[Any, Any], done: int, total: int) -> None:  # noqa: ARG002
        """Draw the curves as they are now."""
        self._curves = part
        self.draw()
        if not len(self.drawn):
            self.drawn.objects = [self.plot]

    def take(self, answer: dict[Any, Any]) -> None:
        """Draw the curves and write their areas."""
        self.refine(answer, 0, 0)
        self.say(self.sentence())
        self.listing.rows = self.rows()
        self.drawn.objects = [self.plot, self.listing]

    def draw(self) -> None:
        """Write the lines of the chosen order."""
        for (name, kind), source in self._sources.items():
            ties = "regions" if kind == "superpixels" else "original"
            wanted = next((n for n in self._maps if n not in CONTROLS), MAP) if name == MAP else name
            curve = self._curves.get((wanted, kind, self.order.value, ties))
            if curve is None:
                source.data = {"x": [], "y": []}
                continue
            known = np.isfinite(curve.mean)
            source.data = {"x": curve.fraction[known], "y": curve.mean[known]}

    @property
    def _maps(self) -> list[str]:
        return list(dict.fromkeys(k[0] for k in self._curves))

    def rows(self) -> list[dict[str, Any]]:
        """The text twin: areas by map, kind and rule for ties."""
        area, out = areas(self._curves)["area"], []
        for name, kind, ties in dict.fromkeys((k[0], k[1], k[3]) for k in self._curves):
            where = {"method": name, "kind": kind, "ties": ties}
            lerf, morf = (float(area.loc[{**where, "order": o}]) for o in ("lerf", "morf"))
            words = TIES[ties] if kind == "superpixels" else "pixel by pixel"
            row = {"id": f"{name} {kind} {ties}", "map": name, "kind": kind, "ties": words}
            out.append(row | {"lerf": lerf, "morf": morf, "gap": lerf - morf})
        return out

    def sentence(self) -> str:
        """What the areas say, and how much of it is the rule for ties."""
        rows = [r for r in self.rows() if r["map"] not in CONTROLS]
        own = [r["lerf"] for r in rows if r["kind"] == "superpixels"]
        chance = [r["lerf"] for r in self.rows() if r["map"] == "random" and r["kind"] == "superpixels"]
        text = (
            f"Least relevant first, {rows[0]['map']} on superpixels has an area of {min(own):.3f} to {max(own):.3f}, "
            "depending on the order inside regions alone"
        )
        return text + (
            f"; a random map on the same superpixels has {min(chance):.3f} to {max(chance):.3f}."
            if chance
            else "."
        )

    def __panel__(self) -> Any:
        return pn.Column(
            caption(
                "Relevance curves: pixels are removed in the order of the map while the network is asked again. Removing the "
                "least relevant first should leave the answer standing (large area). Regions of one value leave their inner "
                "order open: three rules are shown. A random map on superpixels often does well, because large background "
                "goes first."
            ),
            self.buttons(self.order, self.fill),
            self.words,
            self.drawn,
            sizing_mode="stretch_width",
        )
