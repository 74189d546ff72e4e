"""The controls of the activation explorer: layers with their weights, number of clusters, grid, class."""

from __future__ import annotations

from typing import Any

import panel as pn
import panel_material_ui as pmui

from xai_views_dashboard.activations import state as choices
from xai_views_dashboard.core.page import HALVES, caption, halved
from xai_views_dashboard.core.state import PREDICTED

WORDS = {
    "nested": "one merge tree",
    "exact": "k-means for each K",
    "codebook": "codebook of all samples",
    "shallowest": "shallowest layer",
    "input": "pixels of the image",
    "double": "twice the tokens",
    "authors": "as the authors: (1 + C₁) / (1 + C)",
    "equal": "equal",
    "deep-first": "deep first",
    "own": "set by hand",
}
MOST_SHOWN = 60  # class names in the choice of the explained class


def controls(app: Any) -> pn.viewable.Viewable:
    """What is changed often: class, K, how clusters are cut, the grid, and what the large picture shows."""
    state = app.state
    classes = app.model.classes[:MOST_SHOWN] if len(app.model.classes) > 200 else app.model.classes
    target = pmui.AutocompleteInput if len(app.model.classes) > 200 else pmui.Select
    widgets = [
        _target(target, app, classes),
        _linked(
            halved(pmui.IntSlider(label="Clusters K (0 = elbow)", start=0, end=16, width=190)), state, "k"
        ),
        _select("Cut", state, "mode", choices.MODES, 170),
        _select("Grid", state, "grid", choices.GRIDS, 160),
        _select("Picture", state, "shown", choices.MAPS, 120),
    ]
    return pn.FlexBox(*widgets, align_items="center", gap="4px", margin=(4, 8), stylesheets=[HALVES])


def _target(kind: type, app: Any, classes: list[str]) -> Any:
    """A choice among few classes; beyond 200 the name is typed."""
    state, every = app.state, app.model.classes
    if kind is pmui.Select:
        options = {"the predicted class": PREDICTED} | {c: i for i, c in enumerate(classes)}
        return _linked(
            halved(pmui.Select(label="Explain class", options=options, width=190, size="small")),
            state,
            "target",
        )
    widget = kind(
        label="Explain class (type a name)",
        options=["the predicted class", *every],
        value="the predicted class" if state.target < 0 else every[state.target],
        case_sensitive=False,
        restrict=True,
        width=230,
        size="small",
    )
    place = {"the predicted class": PREDICTED} | {c: i for i, c in enumerate(every)}
    widget.param.watch(lambda e: setattr(state, "target", place.get(e.new, PREDICTED)), "value")
    state.param.watch(
        lambda e: setattr(widget, "value", every[e.new] if e.new >= 0 else "the predicted class"), "target"
    )
    return widget


class LayerPanel(pn.viewable.Viewer):
    """Chips for the layers, a weight for each, and everything else that decides the clustering.

    Parameters
    ----------
    app : ActivationsApp
        Gives session and state.
    """

    def __init__(self, app: Any) -> None:
        super().__init__()
        self.app, self.state = app, app.state
        layers = app.session.layers
        self.offered = list(layers.default)
        self.chips = pmui.CheckButtonGroup(
            label="Layers", options=self.offered, value=list(self.taps), size="small", button_type="primary"
        )
        self.more = pmui.MultiChoice(
            label="Further layers", options=[p for p in layers.taps if p not in self.offered], width=320,
            value=[p for p in self.taps if p not in self.offered],
        )  # fmt: skip
        self.preset = _select("Weights", self.state, "preset", choices.PRESETS, 260)
        self.sliders = pn.FlexBox(gap="8px", margin=(0, 8))
        self.chips.param.watch(self._taken, "value")
        self.more.param.watch(self._taken, "value")
        self.state.param.watch(lambda *_: self._drawn(), ["taps", "preset"])
        self._quiet = self._own = False
        self._drawn()

    @property
    def taps(self) -> tuple[str, ...]:
        """The layers in use."""
        return tuple(self.state.taps) or tuple(self.app.session.layers.default)

    def _taken(self, *_: Any) -> None:
        """A chip was pressed; without any layer there is nothing to cluster."""
        if self._quiet:
            return
        chosen = set(self.chips.value) | set(self.more.value)
        if not chosen:
            self.app.problem = "At least one layer is needed; the last one stays."
            self._drawn()
            return
        self.app.problem = ""
        ordered = [p for p in self.app.session.layers.taps if p in chosen]
        self.state.param.update(taps=ordered, **({"preset": "authors"} if self.state.preset == "own" else {}))

    def _drawn(self) -> None:
        """Write chips and sliders for what the state says."""
        if self._own:
            return
        self._quiet = True
        try:
            self.chips.value = [p for p in self.taps if p in self.offered]
            self.more.value = [p for p in self.taps if p not in self.offered]
        finally:
            self._quiet = False
        values = self.weights()
        self.sliders.objects = [self._slider(i, p, values[i]) for i, p in enumerate(self.taps)]

    def weights(self) -> list[float]:
        """The weights in use, one per layer."""
        if self.state.preset == "own" and len(self.state.weights) == len(self.taps):
            return list(self.state.weights)
        from xai_views.engine.clusters.features import preset_weights

        channels = [self.app.session.layers.taps[p].channels for p in self.taps]
        return [
            float(w)
            for w in preset_weights(channels, self.state.preset if self.state.preset != "own" else "authors")
        ]

    def _slider(self, i: int, path: str, value: float) -> Any:
        tap = self.app.session.layers.taps[path]
        size = "×".join(str(n) for n in tap.grid)
        slider = pmui.FloatSlider(
            label=f"{path} · {tap.channels} channels · {size}", start=0, end=max(2.0, value), step=0.01, value=value, width=230,
        )  # fmt: skip

        def changed(event: Any) -> None:
            weights = self.weights()
            weights[i] = round(float(event.new), 3)
            if not any(weights):
                self.app.problem = "One layer needs a weight above zero."
                return
            self.app.problem = ""
            self._keep(weights)

        slider.param.watch(changed, "value")
        return slider

    def _keep(self, weights: list[float]) -> None:
        """Take over weights set by hand without building the sliders anew under the hand."""
        self._own = True
        try:
            self.state.param.update(weights=weights, preset="own")
        finally:
            self._own = False

    def __panel__(self) -> Any:
        state = self.state
        return pn.Column(
            caption(
                "Each layer's activations are brought to one grid and normalised at every position; a weight says how much a "
                "layer counts in the distance. Layers and weights change without asking the network again."
            ),
            pn.FlexBox(self.chips, self.more, align_items="center", gap="8px", margin=(0, 8)),
            self.preset,
            self.sliders,
            pn.FlexBox(
                _select("Interpolation", state, "interp", choices.INTERPOLATIONS, 140),
                _select("Assigner", state, "assigner", choices.ASSIGNERS, 170),
                _select("Soft assignment", state, "soft", choices.SOFT, 150),
                _linked(
                    pmui.FloatInput(label="Temperature (0 = mean distance)", start=0, step=0.05, width=210),
                    state,
                    "temperature",
                ),
                _linked(pmui.IntInput(label="Seed", start=0, end=9999, width=110), state, "seed"),
                align_items="center",
                gap="8px",
                margin=(0, 8),
            ),
            sizing_mode="stretch_width",
        )


def _select(label: str, state: Any, name: str, options: tuple[str, ...], width: int) -> Any:
    named = {WORDS.get(o, o): o for o in options}
    widget = pmui.Select(label=label, options=named, width=width, size="small")
    return _linked(halved(widget), state, name)


def _linked(widget: Any, state: Any, name: str) -> Any:
    """Tie a widget to a parameter of the state, both ways."""
    widget.value = getattr(state, name)
    widget.link(state, value=name, bidirectional=True)
    return widget
