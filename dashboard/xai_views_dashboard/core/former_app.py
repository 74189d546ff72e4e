"""What all apps share: the sample in view, problems as sentences, the address, notebooks."""

from __future__ import annotations

from typing import Any, ClassVar, Self

import panel as pn
import param

from xai_views_dashboard.core.page import note, page


class App(pn.viewable.Viewer):
    """An app on a model and its samples.

    Subclasses set ``session``, ``model``, ``samples``, ``state``, ``canvas`` and ``status``.
    """

    title: ClassVar[str] = ""

    problem = param.String("", doc="The last thing that went wrong, in one sentence; shown on the page.")

    def notes(self) -> list:
        """What the samples and the model want said, and the place for problems."""
        words = [self.session.population.samples.attrs.get("note", ""), self.model.card.get("note", "")]
        said = [note(" ".join(dict.fromkeys(w for w in words if w)))] if any(words) else []
        place = pn.Column(sizing_mode="stretch_width")

        def show(*_: Any) -> None:
            place.objects = [note(self.problem, "error")] if self.problem else []

        self.param.watch(show, "problem")
        show()
        return [*said, place]

    def show_position(self, position: int) -> None:
        """Go to a position of the canvas' order, which is the population's order after sorting and filtering."""
        if position < len(self.canvas.order):
            self.state.sample = self.session.names.index(self.canvas.order[position])

    def moved(self, *_: Any) -> None:
        """Bring the sample of the state into view."""
        if self.state.sample >= len(self.session):
            self.state.sample = len(self.session) - 1
            return
        name = self.session.names[self.state.sample]
        if name not in self.canvas.order:  # chosen from outside of the filter
            self.canvas.order = [name, *self.canvas.order]
        self.canvas.sample = name
        self.state.region = []

    def ipywidget(self) -> Any:
        """Return the app as an ipywidget, to stand among others."""
        return pn.ipywidget(self)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> Any:
        if pn.config.comms in {"vscode", "ipywidgets"}:
            return self.ipywidget()._repr_mimebundle_(include=include, exclude=exclude)
        return super()._repr_mimebundle_(include, exclude)

    def servable(self, title: str = "", **params: Any) -> Self:
        """Put the app into the page that is being served, with its state in the address."""
        location = pn.state.location
        if location is not None:
            self._follow(location)
        page(
            title or self.model.card.get("title") or f"{self.title}: {self.model.name}",
            [self],
            status=self.status,
            **params,
        ).servable()
        return self

    def _follow(self, location: Any) -> None:
        """Restore the state from the address, then keep the address in step with it."""
        query = {k: v[0].decode("utf-8", "replace") for k, v in (pn.state.session_args or {}).items()}
        problems = self.state.restore(query, self.session.names)
        self.problem = " ".join(problems)
        kept = {k: query[k] for k in ("model", "samples", "theme") if k in query}

        def write(*_: Any) -> None:
            location.search = self.state.search(self.session.names, **kept)

        self.state.param.watch(write, [n for n in self.state.param if n != "name"])
