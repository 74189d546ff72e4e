"""The population of an app: all samples, which of them are shown and in which order; list, keys and picture are one set."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import panel as pn
import param

from xai_views import kinds
from xai_views.engine.predictions import Predictions, labelled_with
from xai_views.errors import XaiViewsError, without_folders
from xai_views.samples import inputs
from xai_views.views import Filmstrip, SampleFilter
from xai_views_dashboard.core.numbers import percent
from xai_views_dashboard.core.state import NONE
from xai_views_dashboard.core.tasks import caller, on_page, start

SIDE = 44  # CSS pixels of a thumbnail: four in a column of 216
SORTS = {
    "order": "dataset order",
    "confidence": "confidence",
    "margin": "margin",
    "loss": "loss",
    "uncertainty": "uncertainty",
    "distance": "distance to training data",
    "concentration": "evidence concentration",
}
UNLABELLED = "these samples have no labels"
SEVERAL = "A sample with several labels counts in each of their rows."
#: Of what takes the height that is left in a column; a height that stretches would stretch the whole page.
FILL = {"flex": "1 1 auto", "min-height": "0", "max-height": "none"}
#: Marks of the thumbnails.
ERROR, YOURS = "misclassified", "yours"


class Population(pn.viewable.Viewer):
    """All samples of a page, as a form over a list of thumbnails.

    It keeps the order of the canvas: the arrow keys walk through what the list shows. The sample in view is always one of
    them: the first comes into view when a filter leaves the one in view out, and a sample that is chosen from elsewhere
    drops the filters that leave it out. Where nothing is left, everything stays as it was.

    Parameters
    ----------
    app : App
        Gives session, state and canvas.

    Attributes
    ----------
    predictions, own : Predictions or None
        What the model predicts for the shared samples as the state asks it, and without edits; None until it was run.
    index : list of int
        Positions of the samples shown, in their order.
    """

    predictions = param.Parameter(
        doc="What the model predicts for all samples; None until it was run on them."
    )
    index = param.List([], item_type=int, doc="Positions of the samples shown, in order.")

    def __init__(self, app: Any) -> None:
        super().__init__()
        self.app: Any = app
        state, session = app.state, app.session
        self.own: Predictions | None = None
        self.trouble = ""
        self.empty = False
        self._turn, self._counted, self._begun = 0, 0, False
        self._count = len(session)
        self._folded = [n.casefold() for n in session.names]
        traces = kinds.of(session.population.samples).key == "signal"
        self.film = Filmstrip(
            self.thumbnails,
            count=self._count,
            size=SIDE,
            mode="auto",
            rows=0,
            named=traces,  # records look alike
            label=f"{app.noun}s",
            channel=session.channel,
            css_classes=["xv-list"],
            styles=FILL,
            stylesheets=[".filmstrip { height: 100%; }"],
        )
        self.form = SampleFilter(
            classes=list(app.model.classes),
            noun=app.noun,
            channel=session.channel,
            unlabelled="" if any(session.population.known) else UNLABELLED,
            css_classes=["xv-filter"],
        )
        self.form.sorts = self.sorts()
        self.film.on_select(lambda i: app.state.param.update(sample=i))
        self.form.on_set(self.chosen)
        self.form.on_jump(lambda: app.state.param.update(sample=self.index[0]))
        self.form.on_reset(self.reset)
        state.param.watch(self.filtered, [*state.FILTERS, *state.ORDER])
        state.param.watch(self.hidden, "hidden")
        edits = [n for n in session.predicted_by if n in state.param]
        if edits:
            state.param.watch(self.update, edits)
        self.index = list(range(self._count))
        self._applied = self.wish()
        self.describe()
        self.apply()

    def inputs(self, rows: np.ndarray) -> Sequence[np.ndarray]:
        """Values of samples, uploads among them, as the model takes them."""
        session = self.app.session
        shared = rows[rows < session.population.n]
        own = [session.image(i) for i in rows[len(shared) :].tolist()]
        return [*(inputs(session.population.samples, shared) if len(shared) else []), *own]

    def thumbnails(self, rows: np.ndarray) -> list[np.ndarray]:
        """Small pictures of samples; of a record the first third, so that single beats are seen."""
        kind = kinds.of(self.app.session.population.samples)
        arrays = self.inputs(rows)
        if kind.key == "signal":
            arrays = [a[:, : max(1, a.shape[1] // 3)] for a in arrays]
        return [kind.thumbnail(a, 2 * SIDE) for a in arrays]

    # -- what is chosen -----------------------------------------------------------------------------------------

    def chosen(self, values: Mapping[str, Any]) -> None:
        """Take what a person changed in the form; what is not possible changes nothing."""
        state = self.app.state
        try:
            state.param.update(**values)
        except (ValueError, TypeError):
            self.redraw()

    def reset(self) -> None:
        """Drop all filters; the order stays."""
        state = self.app.state
        state.param.update(**{n: state.param[n].default for n in state.FILTERS})

    def sorts(self) -> list[dict[str, str]]:
        """The orders, with the reason why one is not possible here."""
        model, known = self.app.model, self.app.session.population.known
        reasons = {
            "loss": "" if any(known) else UNLABELLED,
            "distance": "" if model.latents is not None else "not known for this model",
        }
        offered = self.app.state.param.sort.objects
        return [{"key": s, "label": SORTS[s], "reason": reasons.get(s, "")} for s in offered]

    def wish(self) -> tuple[Any, ...]:
        """What decides which samples are shown."""
        state = self.app.state
        return (*(getattr(state, n) for n in (*state.FILTERS, *state.ORDER)), state.hidden)

    def wanted(self) -> list[int]:
        """Positions that the filters leave, in the chosen order.

        What needs predictions waits for them. While the model's output is hidden only the search counts, so that nothing can
        be read from which samples are there. Uploads come last; they have no label and are not among the predictions.
        """
        state, found, n = self.app.state, self.predictions, self.app.session.population.n
        keep = np.ones(self._count, bool)
        if state.search:
            needle = state.search.casefold()
            keep &= np.fromiter((needle in name for name in self._folded), bool, self._count)
        if state.hidden:
            return np.flatnonzero(keep).tolist()
        own = np.flatnonzero(keep[n:]) + n
        if state.true_class != NONE:
            keep[:n] &= labelled_with(self.app.session.population.known, state.true_class)
        if found is not None:
            keep[:n] &= found.rows(state.outcome, predicted_class=state.predicted_class)
        rows = np.flatnonzero(keep[:n])
        if found is not None:
            rows = found.ranked(rows, state.sort, state.descending)
        elif state.sort == "order" and state.descending:
            rows = rows[::-1]
        plain = (state.outcome, state.true_class, state.predicted_class) == ("all", NONE, NONE)
        return [*rows.tolist(), *(own.tolist() if plain else [])]

    # -- one set for list, keys and picture ---------------------------------------------------------------------

    def filtered(self, *_: Any) -> None:
        """Follow the filters of the state."""
        state, classes = self.app.state, len(self.app.model.classes)
        wrong = {n: NONE for n in ("true_class", "predicted_class") if getattr(state, n) >= classes}
        if wrong:  # an address made with another model
            state.param.update(**wrong)
            return
        if any(s["key"] == state.sort and s["reason"] for s in self.form.sorts):
            state.sort = "order"
            return
        self.apply()

    def hidden(self, *_: Any) -> None:
        """Hide what the model says, or show it again; the sample in view stays."""
        self.describe()
        self.admit(self.app.state.sample)

    def apply(self) -> None:
        """Bring the set into list, keys and picture."""
        state, names = self.app.state, self.app.session.names
        wanted = self.wanted()
        self._applied = self.wish()
        self.empty = not wanted
        index = wanted or self.index
        at = state.sample if state.sample in set(index) else index[0]
        canvas, order = self.app.canvas, [names[i] for i in index]
        if canvas.order != order:
            canvas.param.update(order=order, position=index.index(at))
        if self.film.items != index:
            self.film.items = index
        self.index = index
        self.redraw()
        if at != state.sample:
            state.sample = at

    def admit(self, sample: int) -> None:
        """Make a sample one of those that are shown: it comes into view.

        Filters that were chosen together with it, as by an address, come first; those that were there are dropped.
        """
        if len(self.app.session) != self._count:
            self.grow()
        if sample not in set(self.wanted()) and self.wish()[:-1] == self._applied[:-1]:
            self.reset()
        self.apply()

    def grow(self) -> None:
        """Take uploads into the list."""
        names = self.app.session.names
        self._count, self._folded = len(names), [n.casefold() for n in names]
        captions, marks = self.said()
        self.film.extend(self._count, items=self.film.items, captions=captions, marks=marks)

    # -- predictions --------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Run the model on all samples, once the page has loaded."""
        self._begun = True
        self.update()

    def update(self, *_: Any) -> None:
        """Ask for what the model predicts as the state asks it."""
        self._turn += 1
        if not self._begun:
            return
        try:
            asyncio.get_running_loop()
        except RuntimeError:  # no page
            return
        start(self._predict(self._turn))

    async def _predict(self, turn: int) -> None:
        session, page = self.app.session, caller()
        counted = None if self.own else lambda done, _: page(lambda: self.count(done))
        try:
            ask = self.app.ask()
            own = await session.predicted(None, counted)
            found = await session.predicted(ask) if session.predicted_by else own
        except asyncio.CancelledError:
            return
        except XaiViewsError as e:
            sentence = without_folders(e)
            on_page(lambda: turn == self._turn and self.failed(sentence))
            return
        on_page(lambda: turn == self._turn and self.take(own, found))

    def count(self, done: int) -> None:
        """Tell on how many samples the model has been run."""
        self._counted = done
        self.redraw()

    def failed(self, sentence: str) -> None:
        """Say why there are no predictions."""
        self.trouble = sentence
        self.redraw()

    def take(self, own: Predictions, found: Predictions) -> None:
        """Take what the model predicts; filters and orders that waited for it hold from here on."""
        self.trouble, self.own, self.predictions = "", own, found
        self.describe()
        self.apply()

    # -- what is said -------------------------------------------------------------------------------------------

    def describe(self) -> None:
        """Write captions, marks and the confusion matrix."""
        hidden, found = self.app.state.hidden, self.predictions
        captions, marks = self.said()
        self.film.param.update(captions=captions, marks=marks)
        cells = [] if hidden or found is None else np.argwhere(found.confusion).tolist()
        counts = found.confusion if found is not None else np.zeros((0, 0))
        self.form.param.update(
            hidden=hidden,
            confusion=[[t, p, int(counts[t, p])] for t, p in cells],
            remark=SEVERAL if cells and found is not None and found.several else "",
        )

    def said(self) -> tuple[list[str], list[str]]:
        """Captions and marks of all samples; names alone while the model's output is hidden."""
        session, found = self.app.session, self.predictions
        names, n, hidden = session.names, session.population.n, self.app.state.hidden
        yours = [f"{name} (yours)" for name in names[n:]]
        if hidden:
            return [*names[:n], *yours], [*([""] * n), *([YOURS] * len(yours))]
        classes = self.app.model.classes
        labels = [", ".join(classes[c] for c in sorted(k)) or "unknown" for k in session.population.known]
        if found is None:
            captions, marks = [f"{a}: label {b}" for a, b in zip(names, labels, strict=False)], [""] * n
        else:
            each = zip(names, found.predicted.tolist(), labels, found.confidence.tolist(), strict=False)
            captions = [f"{a}: predicted {classes[p]}, label {b}, confidence {c:.2f}" for a, p, b, c in each]
            marks = np.where(found.correct == 0, ERROR, "").tolist()
        return [*captions, *yours], [*marks, *([YOURS] * len(yours))]

    def redraw(self) -> None:
        """Write the form as the state says, and the sentence."""
        state = self.app.state
        n, found = self.app.session.population.n, self.predictions
        running = self._begun and found is None and not self.trouble and not state.hidden
        self.form.param.update(
            values={k: getattr(state, k) for k in (*state.FILTERS, *state.ORDER)},
            words=self.sentence(),
            busy=self._counted / max(n, 1) if running else -1.0,
        )

    def sentence(self) -> str:
        """How many samples are shown, and how often the model is right."""
        state, n, found = self.app.state, self.app.session.population.n, self.predictions
        text = f"{len(self.index)} shown of {self._count}"
        if self.empty:
            text = (
                f"No {self.app.noun.lower()} matches; the list still shows {len(self.index)} of {self._count}"
            )
        if state.hidden:
            return f"{text}."
        if self.trouble:
            return f"{text}. The model could not be run on all samples: {self.trouble}"
        if found is None:
            return (
                f"{text}. Running the model on all samples: {self._counted} of {n}" if self._begun else text
            )
        labelled = int((found.correct >= 0).sum())
        if not labelled:
            return f"{text} · no labels"
        over = "" if labelled == n else f" on {labelled} with a label"
        edited = self.own is not None and self.own is not found
        was = f" (original supports: {percent(self.own.accuracy)})" if edited and self.own else ""
        errors = f"{found.errors} error{'' if found.errors == 1 else 's'}"
        return f"{text} · accuracy {percent(found.accuracy)}{over}{was}, {errors}"

    def __panel__(self) -> Any:
        return pn.Column(self.form, self.film, sizing_mode="stretch_width", styles=FILL, margin=0)
