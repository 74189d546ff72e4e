"""The population of the SIC app: filmstrip, sorting and filtering, grid, latent map and table."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import panel as pn
import panel_material_ui as pmui

from dashboard import sic_data
from dashboard.sic_map import MapView
from dashboard.sic_panels import MUTED, caption
from dashboard.state import NONE, SHOWN, SORTS
from xai_views.samples import images
from xai_views.views import Filmstrip, Listing

COLUMNS = [
    {"key": "sample", "title": "sample"},
    {"key": "label", "title": "label"},
    {"key": "predicted", "title": "predicted"},
    {"key": "right", "title": "right"},
    {"key": "confidence", "title": "confidence", "kind": "number", "digits": 4},
    {"key": "margin", "title": "margin", "kind": "number", "digits": 3},
    {"key": "concentration", "title": "evidence concentration", "kind": "number", "digits": 3},
    {"key": "distance", "title": "distance to supports", "kind": "number", "digits": 4},
]
RIGHT = {1: "right", 0: "wrong", -1: "unknown"}


class PopulationPanel:
    """Everything that shows all samples at once; chosen samples go into the state, and follow it.

    Parameters
    ----------
    app : SicApp
        Gives session, state and canvas.

    Attributes
    ----------
    strip, tab : viewable
        Above the canvas, and in the tab "Population".
    figures : dict or None
        Columns per sample (see :func:`dashboard.sic_data.figures`); None until all samples were observed.
    """

    def __init__(self, app: Any) -> None:
        self.app = app
        self.figures: dict[str, np.ndarray] | None = None
        population = app.session.population
        self._own = None  # accuracy with the model's own supports

        def thumbnails(rows: np.ndarray) -> np.ndarray:
            return images(population.samples, rows)

        self.film = Filmstrip(thumbnails, count=population.n, size=48, label="Test samples")
        self.grid = Filmstrip(
            thumbnails, count=population.n, size=56, mode="grid", rows=4, label="Test samples, grid"
        )
        self.words = pn.pane.HTML("", margin=(0, 8), styles=MUTED, sizing_mode="stretch_width")
        self.listing = Listing(label="Test samples and what the network says of them", columns=COLUMNS)
        self.map = MapView(app)
        self._link()
        self.strip = pn.Column(self.film, self.words, sizing_mode="stretch_width")
        self.controls = self._controls()
        self.tab = pn.Column(
            caption(
                "All test samples in the order chosen above; a framed picture with a cross is predicted wrongly."
            ),
            self.grid,
            self.map,
            caption(
                "Margin: largest minus second logit. Evidence concentration: the largest share of one support sample "
                "in the predicted class' evidence. Distance: one minus the best cosine with a support sample."
            ),
            self.listing,
            sizing_mode="stretch_width",
        )
        # What is sent while the browser still loads the page is lost, so an answer that comes then waits for it.
        self._loaded = pn.state.curdoc is None
        self.refresh()
        self._wait(population.ready)
        pn.state.onload(self._has_loaded)

    def _controls(self) -> list:
        state, classes = self.app.state, self.app.model.classes
        words = {
            "order": "as they come", "class": "by predicted class", "confidence": "by confidence",
            "margin": "by margin", "concentration": "by evidence concentration", "distance": "by distance to supports",
        }  # fmt: skip
        sort = pmui.Select(
            label="Order", options={words[s]: s for s in SORTS}, value=state.sort, width=150, size="small"
        )
        down = pmui.Checkbox(label="largest first", value=state.descending)
        choices = {"all" if s == "all" else f"{s} predictions": s for s in SHOWN}
        shown = pmui.Select(label="Show", options=choices, value=state.shown, width=150, size="small")
        label = pmui.Select(
            label="Labelled",
            options={"any class": NONE} | {c: i for i, c in enumerate(classes)},
            value=state.label,
            width=150,
            size="small",
        )
        for widget, name in ((sort, "sort"), (down, "descending"), (shown, "shown"), (label, "label")):
            widget.link(state, value=name, bidirectional=True)
        return [sort, down, shown, label]

    def _link(self) -> None:
        state = self.app.state
        for view in (self.film, self.grid):
            view.on_select(self.choose)
        self.listing.on_select(lambda name: self.choose(self.app.session.names.index(name)))
        state.param.watch(lambda *_: self._follow(), "sample")
        state.param.watch(lambda *_: self._order(), ["sort", "descending", "shown", "label"])

    def choose(self, index: int) -> None:
        """Bring sample ``index`` into view."""
        if self.app.state.sample != index:
            self.app.state.sample = int(index)

    def _has_loaded(self) -> None:
        self._loaded = True
        if self.figures is None:
            self.refresh()

    def _arrived(self) -> None:
        if self._loaded and self.figures is None:
            self.refresh()

    def _wait(self, ready: Any) -> None:
        """Fill in what needs every sample observed, when it is."""
        doc = pn.state.curdoc
        if ready.done():
            return
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            loop = None

        def arrived(future: Any) -> None:
            if future.cancelled() or future.exception() is not None:
                return
            if doc is not None:
                doc.add_next_tick_callback(self._arrived)
            elif loop is not None:
                loop.call_soon_threadsafe(self._arrived)
            else:
                self._arrived()

        ready.add_done_callback(arrived)

    def refresh(self) -> None:
        """Compute the figures again for the support set as it is now, and show them; no pass of the network."""
        session, population = self.app.session, self.app.session.population
        if population.ready.done() and not np.isnan(population.z).any():
            self.figures = sic_data.figures(session.model, session.supports, population.z, population.label)
            if self._own is None:
                own = sic_data.figures(session.model, session.model.supports, population.z, population.label)
                self._own = accuracy(own["right"])
            self._fill()
        self._order()

    def _fill(self) -> None:
        f, names, classes = self.figures, self.app.session.population.names, self.app.model.classes
        label = self.app.session.population.label
        rows, captions, marks = [], [], []
        for i, name in enumerate(names):
            known, said = (classes[label[i]] if label[i] >= 0 else "unknown"), classes[f["predicted"][i]]
            rows.append(
                {
                    "id": name,
                    "sample": name,
                    "label": known,
                    "predicted": said,
                    "right": RIGHT[int(f["right"][i])],
                    **{k: float(f[k][i]) for k in ("confidence", "margin", "concentration", "distance")},
                }
            )
            captions.append(
                f"{name}: predicted {said}, labelled {known}, confidence {f['confidence'][i]:.2f}"
            )
            marks.append("wrong" if f["right"][i] == 0 else "")
        self._rows = {row["id"]: row for row in rows}
        for view in (self.film, self.grid):
            view.param.update(captions=captions, marks=marks)
        self.map.fill()

    def order(self) -> list[int]:
        """Positions of the samples that the filters leave, in the chosen order."""
        s, population = self.app.state, self.app.session.population
        keep = np.ones(population.n, bool) if s.label < 0 else population.label == s.label
        if self.figures is None:
            return np.flatnonzero(keep).tolist()
        if s.shown != "all":
            keep &= self.figures["right"] == (1 if s.shown == "right" else 0)
        index = np.flatnonzero(keep)
        if s.sort != "order":
            column = self.figures["predicted" if s.sort == "class" else s.sort][index]
            index = index[np.argsort(-column if s.descending else column, kind="stable")]
        elif s.descending:
            index = index[::-1]
        return index.tolist()

    def _order(self) -> None:
        """Bring the order into every view; the sample in view stays in view."""
        app, names = self.app, self.app.session.names
        index = self.order()
        empty = not index
        index = index or list(range(app.session.population.n))
        chosen = [names[i] for i in index] + [name for name, _, _ in app.session.uploads]
        current = names[app.state.sample]
        if current not in chosen:
            chosen = [current, *chosen]
        if app.canvas.order != chosen:
            app.canvas.param.update(order=chosen, position=chosen.index(current))
        for view in (self.film, self.grid):
            view.items = index
        if self.figures is not None:
            self.listing.rows = [self._rows[names[i]] for i in index]
        self._follow()
        self.words.object = f"<p>{self.sentence(0 if empty else len(index))}</p>"

    def sentence(self, count: int) -> str:
        """How many samples are shown, and how often the network is right with this support set."""
        n = self.app.session.population.n
        if self.figures is None:
            return (
                f"{count} of {n} samples; the network is looking at all of them, order and accuracy follow."
            )
        text = f"{count} of {n} samples" if count else f"No sample is left by this choice; all {n} are shown"
        right = self.figures["right"]
        if (right >= 0).any():
            text += f", accuracy {accuracy(right):.3f}"
            if self.app.state.edited and self._own is not None:
                text += f" (with the model's own support samples {self._own:.3f})"
        return text + "."

    def _follow(self) -> None:
        i = self.app.state.sample
        inside = i < self.app.session.population.n
        for view in (self.film, self.grid):
            view.current = i if inside else -1
        self.listing.selected = self.app.session.names[i] if inside else ""
        self.map.follow()


def accuracy(right: np.ndarray) -> float:
    """Share of right predictions among the samples with a label."""
    known = right[right >= 0]
    return float(known.mean()) if len(known) else float("nan")
