"""The samples above the picture, in their order, and how often the network is right about them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np
import panel as pn
import param

from xai_views.methods.sic.population import accuracy
from xai_views.methods.sic.support_sets import UNCHANGED
from xai_views.samples import images
from xai_views.views import Filmstrip
from xai_views_dashboard.core.page import MUTED
from xai_views_dashboard.core.panel import Panel
from xai_views_dashboard.core.state import NONE
from xai_views_dashboard.core.tasks import caller
from xai_views_dashboard.sic.state import SicState

NUMBERS = ("confidence", "margin", "concentration", "distance")
RIGHT = {1: "right", 0: "wrong", -1: "unknown"}


@dataclass(frozen=True, eq=False)
class Known:
    """Evidence vectors ``[N, p]`` of all samples, and their figures with the model's own supports and those of the state."""

    z: np.ndarray
    own: Mapping[str, np.ndarray]
    figures: Mapping[str, np.ndarray]


def thumbnails(app: Any, **look: Any) -> Filmstrip:
    """The population as small pictures; a chosen one comes into view."""
    population = app.session.population
    made = Filmstrip(lambda rows: images(population.samples, rows), count=population.n, **look)
    made.on_select(lambda i: app.state.param.update(sample=i))
    return made


class Strip(Panel):
    """The samples in one line, in the chosen order. It stands above the picture, so that it is always in view.

    Parameters
    ----------
    app : SicApp
        Gives session and state, and, when it begins, the canvas.

    Attributes
    ----------
    known : Known or None
        None until every sample was observed.
    index : list of int
        Positions of the samples that are shown, in their order.
    rows : list of dict
        What is said of each sample.
    """

    watched = SicState.EDITS
    known = param.Parameter(doc="What is known of all samples; None until all were observed.")
    index = param.List([], doc="Positions of what is shown, in order.")

    def __init__(self, app: Any) -> None:
        self.film = thumbnails(app, size=48, label="Test samples", current=app.state.sample)
        self.words = pn.pane.HTML("", margin=(0, 8), styles=MUTED, sizing_mode="stretch_width")
        self.trouble, self.counted = "", 0
        self.rows: list[dict[str, Any]] = []
        super().__init__(app)
        self.index = list(range(app.session.population.n))

    def begin(self) -> None:
        """Bring the order into the canvas, and ask for what needs every sample when the page has loaded."""
        state = self.app.state
        state.param.watch(self.order, ["sort", "descending", "shown", "label"])
        state.param.watch(self.mark, "sample")
        self.fill()
        pn.state.onload(lambda: setattr(self, "active", True))

    def mark(self, *_: Any) -> None:
        """Mark the sample in view; uploads lie beyond the strip."""
        i = self.app.state.sample
        self.film.current = i if i < self.app.session.population.n else -1

    # -- figures ------------------------------------------------------------------------------------------------

    async def compute(self) -> Known:
        """The figures of all samples; no pass of the network once they were observed."""
        session, ask, page = self.app.session, self.app.ask(), caller()
        counted = None if self.known else lambda done, _: page(lambda: self.count(done))
        z = await asyncio.wrap_future(session.vectors(counted))
        both = await asyncio.to_thread(
            lambda: [session.figures(a, z) for a in (ask.replace(**UNCHANGED), ask)]
        )
        return Known(z, *both)

    def count(self, done: int) -> None:
        """Tell how many samples were observed."""
        self.counted = done
        self.write_words()

    def failed(self, sentence: str) -> None:
        """Say why there are no figures."""
        self.trouble = sentence
        self.write_words()

    def write(self, answer: Known) -> None:
        """Take over the figures."""
        self.trouble = ""
        self.known = answer
        self.fill()

    def fill(self) -> None:
        """Write captions and marks, then the order."""
        self.rows = self.table()
        self.film.param.update(**self.captions())
        self.order()

    def table(self) -> list[dict[str, Any]]:
        """What is known of each sample."""
        population, classes, known = self.app.session.population, self.app.model.classes, self.known
        rows = []
        for i, (name, label) in enumerate(zip(population.names, population.label.tolist(), strict=True)):
            row = {
                "id": name,
                "sample": name,
                "label": classes[label] if 0 <= label < len(classes) else "unknown",
            }
            if known is not None:
                f = known.figures
                row |= {"predicted": classes[f["predicted"][i]], "right": RIGHT[int(f["right"][i])]}
                row |= {k: float(f[k][i]) for k in NUMBERS}
            rows.append(row)
        return rows

    def captions(self) -> dict[str, list[str]]:
        """Captions and marks of the thumbnails."""
        said = [
            f"{r['id']}: predicted {r['predicted']}, labelled {r['label']}, confidence {r['confidence']:.2f}"
            if "predicted" in r
            else f"{r['id']}: labelled {r['label']}"
            for r in self.rows
        ]
        return {
            "captions": said,
            "marks": ["wrong" if r.get("right") == "wrong" else "" for r in self.rows],
        }

    # -- order --------------------------------------------------------------------------------------------------

    def wanted(self) -> list[int]:
        """Positions of the samples that the filters leave, in the chosen order."""
        s, label = self.app.state, self.app.session.population.label
        keep = np.ones(len(label), bool) if s.label < 0 else label == s.label
        if self.known is None:
            return np.flatnonzero(keep).tolist()
        f = self.known.figures
        if s.shown != "all":
            keep &= f["right"] == (1 if s.shown == "right" else 0)
        index = np.flatnonzero(keep)
        if s.sort == "order":
            return index[:: -1 if s.descending else 1].tolist()
        column = f["predicted" if s.sort == "class" else s.sort][index]
        return index[np.argsort(-column if s.descending else column, kind="stable")].tolist()

    def order(self, *_: Any) -> None:
        """Bring the order into every view; the sample in view stays in view, and an empty choice changes nothing."""
        app, names = self.app, self.app.session.names
        if app.state.label >= len(app.model.classes):  # an address may ask for a class that is not there
            app.state.label = NONE
        index = self.wanted() or self.index
        chosen = [names[i] for i in index] + [name for name, _, _ in app.session.uploads]
        current = names[min(app.state.sample, len(names) - 1)]
        if current not in chosen:
            chosen = [current, *chosen]
        if app.canvas.order != chosen:
            app.canvas.param.update(order=chosen, position=chosen.index(current))
        self.film.items = index
        self.mark()
        self.index = index
        self.write_words()

    # -- words --------------------------------------------------------------------------------------------------

    def write_words(self) -> None:
        """Write the line below the strip."""
        self.words.object = f"<p>{escape(self.sentence())}</p>"

    def sentence(self) -> str:
        """How many samples are shown, and how often the network is right with this support set."""
        n, count = self.app.session.population.n, len(self.index)
        text = f"{count} of {n} shown"
        if not self.wanted():
            text = f"No sample is left by this choice; {count} of {n} are still shown"
        if self.trouble:
            return f"{text}; order and accuracy are missing, for not all samples could be observed: {self.trouble}"
        if self.known is None:
            return f"{text}; observing {self.counted} of {n} …, order and accuracy follow."
        right = self.known.figures["right"]
        if labelled := int((right >= 0).sum()):
            over = f" over all {n}:" if labelled == n else f" over the {labelled} with a label:"
            text += f", accuracy{'' if count == labelled == n else over} {accuracy(right):.3f}"
            if self.app.state.edited:
                text += f" (model's own supports {accuracy(self.known.own['right']):.3f})"
        return text + "."

    def __panel__(self) -> Any:
        return pn.Column(self.film, self.words, sizing_mode="stretch_width")
