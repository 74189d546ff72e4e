"""Relevance curves of the saliency panel, drawn while they are computed: original maps, superpixels and controls."""

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
KINDS = {"raw": "original", "superpixels": "superpixels"}
REDRAW_S = 0.25
COLUMNS = [
    {"key": "map", "title": "map"},
    {"key": "kind", "title": "kind"},
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
    """Remove pixels by relevance and follow the probability.

    Parameters
    ----------
    app : ActivationsApp
        Gives session and state.
    asked : callable
        Returns the wish for the map and the superpixels.
    """

    verb = "Draw relevance curves"
    doing = "Computing relevance curves"
    stopped = "Cancelled; the curves show what was computed until then."

    def __init__(self, app: Any, asked: Callable[[], Wish]) -> None:
        self.asked = asked
        self.order = pmui.RadioButtonGroup(
            options={"least relevant first": "lerf", "most relevant first": "morf"},
            value="lerf",
            size="small",
        )
        fills = {"mean colour": "mean", "black": "zero", "blur": "blur"}
        self.fill = pmui.Select(
            label="Replace removed pixels with", options=fills, value="mean", width=210, size="small"
        )
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
        # All lines from the start: additions to a plot may arrive before the plot itself.
        self._sources: dict[tuple[str, str], ColumnDataSource] = {}
        items: list[Any] = []
        for i, name in enumerate((MAP, *CONTROLS)):
            for kind in ("raw", "superpixels"):
                source = self._sources[name, kind] = ColumnDataSource({"x": [], "y": []})
                line = plot.line(
                    "x", "y", source=source, line_width=2.5 if name == MAP else 1.5, color=colour.CATEGORICAL[i],
                    line_dash="solid" if kind == "superpixels" else "dashed",
                )  # fmt: skip
                items.append((f"{name}, {KINDS[kind]}", [line]))
        plot.add_layout(Legend(items=items, location="center"), "right")
        return plot

    def wish(self) -> tuple[Wish, str]:
        """Return the wish for map and superpixels, and the replacement of removed pixels."""
        return self.asked(), self.fill.value

    async def submit(self, wish: tuple[Wish, str], told: Told) -> Future:
        """Request the map, which is cached when it is drawn, then its curves and those of the controls."""
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

        return session.job(None, grow, title=self.doing)

    def refine(self, part: dict[Any, Any], done: int, total: int) -> None:  # noqa: ARG002
        """Draw the current curves."""
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
        """Write the lines of the selected order."""
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
        """Return the areas by map, kind and rule for ties."""
        area, out = areas(self._curves)["area"], []
        for name, kind, ties in dict.fromkeys((k[0], k[1], k[3]) for k in self._curves):
            where = {"method": name, "kind": kind, "ties": ties}
            lerf, morf = (float(area.loc[{**where, "order": o}]) for o in ("lerf", "morf"))
            words = TIES[ties] if kind == "superpixels" else "pixel by pixel"
            row = {"id": f"{name} {kind} {ties}", "map": name, "kind": KINDS[kind], "ties": words}
            out.append(row | {"lerf": lerf, "morf": morf, "gap": lerf - morf})
        return out

    def sentence(self) -> str:
        """Describe the areas, and their range over the rules for ties."""
        rows = [r for r in self.rows() if r["map"] not in CONTROLS]
        if not rows:
            return "The map is a control; compare its curves with those of the others."
        own = [r["lerf"] for r in rows if r["kind"] == KINDS["superpixels"]]
        chance = [
            r["lerf"] for r in self.rows() if r["map"] == "random" and r["kind"] == KINDS["superpixels"]
        ]
        text = (
            f"Least relevant first, {rows[0]['map']} on superpixels has an area of {min(own):.3f} to {max(own):.3f}, depending "
            "only on the order inside regions"
        )
        return text + (
            f"; a random map on the same superpixels has {min(chance):.3f} to {max(chance):.3f}."
            if chance
            else "."
        )

    def __panel__(self) -> Any:
        return pn.Column(
            caption(
                "Relevance curves: pixels are removed in the order of the map, and the network is re-run. Removing the least "
                "relevant pixels first should leave the answer intact (large area). Within a region all pixels tie, so three "
                "orders are shown. Even a random map on superpixels often scores well, because the large background is removed "
                "first."
            ),
            self.buttons(self.order, self.fill),
            self.words,
            self.drawn,
            sizing_mode="stretch_width",
        )
