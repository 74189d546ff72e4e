"""The population of the SIC app: filmstrip, sorting and filtering, grid, latent map and table."""

from __future__ import annotations

import threading
import weakref
from html import escape
from typing import Any

import numpy as np
import panel as pn

from xai_views.errors import XaiViewsError
from xai_views.methods.sic.population import accuracy, figures
from xai_views.samples import images
from xai_views.views import Filmstrip, Listing
from xai_views_dashboard.core.page import MUTED, caption
from xai_views_dashboard.core.state import NONE
from xai_views_dashboard.core.tasks import caller
from xai_views_dashboard.sic.latent_map import MapView
from xai_views_dashboard.sic.order import controls

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
NUMBERS = ("confidence", "margin", "concentration", "distance")
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
    controls : list of viewables
        Order and filters.
    figures : dict or None
        Columns per sample (see :func:`xai_views.methods.sic.population.figures`); None until all samples were observed.
    """

    def __init__(self, app: Any) -> None:
        self.app = app
        self.figures: dict[str, np.ndarray] | None = None
        population = app.session.population
        self._own = None  # accuracy with the model's own supports
        self._index = list(range(population.n))  # what is shown
        self._captions: list[str] = []
        self._lock = threading.RLock()  # a script is told by the worker thread

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
        self.controls = controls(app.state, app.model.classes)
        self.tab = pn.Column(
            caption(
                "All test samples in the order chosen above; a framed picture with a cross is predicted wrongly."
            ),
            self.grid,
            self.map,
            caption(
                "Confidence: sigmoid of the largest logit, which no one has calibrated. Margin: largest minus second logit. "
                "Evidence concentration: the largest share of one support sample in the predicted class' evidence. "
                "Distance: one minus the best cosine with a support sample."
            ),
            self.listing,
            sizing_mode="stretch_width",
        )
        # What is sent while the browser still loads the page is lost, so an answer that comes then waits for it.
        self._loaded = pn.state.curdoc is None
        self.refresh()
        self._wait()
        pn.state.onload(self._has_loaded)

    def _link(self) -> None:
        state = self.app.state
        self._known_label()
        for view in (self.film, self.grid):
            view.on_select(self.choose)
        self.listing.on_select(lambda name: self.choose(self.app.session.names.index(name)))
        state.param.watch(lambda *_: self._follow(), "sample")
        state.param.watch(lambda *_: self._order(), ["sort", "descending", "shown", "label"])

    def choose(self, index: int) -> None:
        """Bring sample ``index`` into view."""
        if self.app.state.sample != index:
            self.app.state.sample = int(index)

    def _known_label(self) -> None:
        """An address may ask for a class that is not there."""
        if self.app.state.label >= len(self.app.model.classes):
            self.app.state.label = NONE

    # -- until every sample was observed -------------------------------------------------------------------------

    def _has_loaded(self) -> None:
        self._loaded = True
        if self.figures is None:
            self.refresh()
        else:
            self.map.fill(self._captions)

    def _wait(self) -> None:
        """Tell how far the observing is, and fill in what needs every sample when it is done."""
        ready, me, page = self.app.session.population.ready, weakref.ref(self), caller()
        if self.figures is not None:
            return

        def write() -> None:
            panel = me()
            if panel is not None and panel._loaded and panel.figures is None:
                panel.refresh() if ready.done() else panel._write()

        stop = self.app.session.kernel.subscribe(lambda _: page(write))

        def arrived(_: Any) -> None:
            stop()
            page(write)

        ready.add_done_callback(arrived)
        if pn.state.curdoc is not None:
            pn.state.on_session_destroyed(lambda _: stop())

    def _trouble(self) -> str:
        """Why there are no figures although the observing has ended; "" when all is well."""
        population = self.app.session.population
        if not population.ready.done():
            return ""
        if population.ready.cancelled():
            return "it was cancelled."
        error = population.ready.exception()
        if error is None:
            return "the network gives no number for some of them." if np.isnan(population.z).any() else ""
        return str(error) if isinstance(error, XaiViewsError) else "the log says why."

    # -- figures ------------------------------------------------------------------------------------------------

    def refresh(self) -> None:
        """Compute the figures again for the support set as it is now, and show them; no pass of the network."""
        with self._lock:
            self._compute()
            self._fill()
            self._order()

    def _compute(self) -> None:
        session, population = self.app.session, self.app.session.population
        if population.ready.done() and not self._trouble():
            self.figures = figures(session.model, session.supports, population.z, population.label)
            if self._own is None:
                own = figures(session.model, session.model.supports, population.z, population.label)
                self._own = accuracy(own["right"])

    def _fill(self) -> None:
        f, population, classes = self.figures, self.app.session.population, self.app.model.classes
        self._rows, captions, marks = [], [], []
        for i, (name, label) in enumerate(zip(population.names, population.label.tolist(), strict=True)):
            known = classes[label] if 0 <= label < len(classes) else "unknown"
            row = {"id": name, "sample": name, "label": known}
            if f is not None:
                row |= {"predicted": classes[f["predicted"][i]], "right": RIGHT[int(f["right"][i])]}
                row |= {k: float(f[k][i]) for k in NUMBERS}
            self._rows.append(row)
            said = (
                f"predicted {row['predicted']}, labelled {known}, confidence {row['confidence']:.2f}"
                if f is not None
                else f"labelled {known}"
            )
            captions.append(f"{name}: {said}")
            marks.append("wrong" if row.get("right") == "wrong" else "")
        self._captions = [c + (f", {m}" if m else "") for c, m in zip(captions, marks, strict=True)]
        for view in (self.film, self.grid):
            view.param.update(captions=captions, marks=marks)
        if f is not None and self._loaded:
            self.map.fill(self._captions)

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
        """Bring the order into every view; the sample in view stays in view, and an empty choice changes nothing."""
        self._known_label()
        app, names = self.app, self.app.session.names
        self._index = self.order() or self._index
        chosen = [names[i] for i in self._index] + [name for name, _, _ in app.session.uploads]
        current = names[app.state.sample] if app.state.sample < len(names) else ""
        if current and current not in chosen:
            chosen = [current, *chosen]
        if app.canvas.order != chosen:
            app.canvas.param.update(order=chosen, position=chosen.index(current) if current else 0)
        for view in (self.film, self.grid):
            view.items = self._index
        self.listing.rows = [self._rows[i] for i in self._index]
        self._follow()
        self._write()

    def _write(self) -> None:
        self.words.object = f"<p>{escape(self.sentence())}</p>"

    def sentence(self) -> str:
        """How many samples are shown, and how often the network is right with this support set."""
        population, count = self.app.session.population, len(self._index)
        n, text = population.n, f"{count} of {population.n} shown"
        if not self.order():
            text = f"No sample is left by this choice; {count} of {n} are still shown"
        if self.figures is None:
            trouble = self._trouble()
            if trouble:
                return f"{text}; order and accuracy are missing, for not all samples could be observed: {trouble}"
            observed = n - int(np.isnan(population.z).any(1).sum())
            return f"{text}; observing {observed} of {n} …, order and accuracy follow."
        right = self.figures["right"]
        known = int((right >= 0).sum())
        if known:
            over = f" over all {n}:" if known == n else f" over the {known} with a label:"
            text += f", accuracy{'' if count == known == n else over} {accuracy(right):.3f}"
            if self.app.state.edited and self._own is not None:
                text += f" (model's own supports {self._own:.3f})"
        return text + "."

    def _follow(self) -> None:
        i = self.app.state.sample
        inside = i < self.app.session.population.n  # uploads lie beyond
        for view in (self.film, self.grid):
            view.current = i if inside else -1
        self.listing.selected = self.app.session.population.names[i] if inside else ""
        self.map.follow()
