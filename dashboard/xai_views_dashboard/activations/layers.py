"""Layers, their weights, and the other settings of the clustering."""

from __future__ import annotations

from typing import Any

import panel as pn
import panel_material_ui as pmui

from xai_views.engine.clusters.features import preset_weights
from xai_views.engine.clusters.weights import PRESETS
from xai_views_dashboard.activations.session import Layers
from xai_views_dashboard.core.controls import control
from xai_views_dashboard.core.page import caption
from xai_views_dashboard.core.panel import Panel

OWN = "set by hand"
#: Labels of the presets.
PRESET_WORDS = {"authors": "paper's weights", "equal": "equal"}
SETTINGS = {
    "interp": "Interpolation",
    "assigner": "Assignment",
    "soft": "Soft assignment",
    "temperature": "Temperature (0 = mean distance)",
    "seed": "Seed",
}


class LayerPanel(Panel):
    """Chips for the layers, a weight for each, and the other settings of the clustering."""

    title = "Layers"
    question = "why"
    watched = ("taps", "weights")

    def __init__(self, app: Any) -> None:
        self.layers = Layers({}, ())
        self._slid_for: tuple[str, ...] = ()
        self._quiet = False  # while the state is written into the widgets
        self.chips = pmui.CheckButtonGroup(label="Layers", options=[], size="small", button_type="primary")
        self.more = pmui.MultiChoice(label="More layers", options=[], width=320)
        self.preset = pmui.Select(
            label="Weights",
            options={PRESET_WORDS.get(p, p): p for p in [*PRESETS, OWN]},
            width=260,
            size="small",
        )
        self.choices, self.sliders = (
            pn.FlexBox(gap="8px", margin=(0, 8), align_items="center") for _ in range(2)
        )
        super().__init__(app)
        self.chips.param.watch(self._taken, "value")
        self.more.param.watch(self._taken, "value")
        self.preset.param.watch(self._weighted, "value")

    async def compute(self) -> Layers:
        """Return the layers."""
        return await self.app.session.layers()

    def write(self, answer: Layers) -> None:
        """Write chips and sliders for the current state."""
        self.layers, self._quiet = answer, True
        try:
            weights = self.app.state.weights
            first = list(answer.default)
            self.chips.param.update(options=first, value=[p for p in self.taps if p in first])
            others = [p for p in answer.taps if p not in first]
            self.more.param.update(options=others, value=[p for p in self.taps if p in others])
            self.preset.value = weights if isinstance(weights, str) else OWN
            self._slide()
            # Only now: changes while the browser opens the tab are lost.
            if not len(self.choices):
                self.choices.objects = [self.chips, self.more, self.preset]
        finally:
            self._quiet = False

    def _slide(self) -> None:
        """Make one slider for each layer; existing ones stay, as one may be in use."""
        values = self.weights()
        if self._slid_for != self.taps:
            self._slid_for = self.taps
            self.sliders.objects = [self._slider(p, v) for p, v in zip(self.taps, values, strict=True)]
        sliders: list[Any] = list(self.sliders)
        for slider, value in zip(sliders, values, strict=True):
            slider.param.update(end=max(slider.end, value), value=value)

    @property
    def taps(self) -> tuple[str, ...]:
        """The layers in use."""
        return tuple(p for p in self.app.state.taps if p in self.layers.taps) or self.layers.default

    def weights(self) -> list[float]:
        """The weights in use, one per layer."""
        weights = self.app.state.weights
        if not isinstance(weights, str) and len(weights) == len(self.taps):
            return list(weights)
        preset = weights if isinstance(weights, str) else PRESETS[0]
        return [float(w) for w in preset_weights([self.layers.taps[p].channels for p in self.taps], preset)]

    def _taken(self, *_: Any) -> None:
        """Take the selected layers; at least one is needed."""
        if self._quiet:
            return
        chosen, state = {*(self.chips.value or ()), *(self.more.value or ())}, self.app.state
        if not chosen:
            self.app.problem = "Select at least one layer; the last one stays selected."
            self.write(self.layers)
            return
        self.app.problem = ""
        weights = state.weights if isinstance(state.weights, str) else PRESETS[0]
        state.param.update(taps=[p for p in self.layers.taps if p in chosen], weights=weights)

    def _weighted(self, event: Any) -> None:
        if not self._quiet:
            self.app.state.weights = self.weights() if event.new == OWN else event.new

    def _slider(self, path: str, value: float) -> Any:
        tap = self.layers.taps[path]
        size = "×".join(str(n) for n in tap.grid)
        slider = pmui.FloatSlider(
            label=f"{path} · {tap.channels} channels · {size}", start=0, end=max(2.0, value), step=0.01, value=value, width=230,
        )  # fmt: skip
        slider.param.watch(self._slid, "value")
        return slider

    def _slid(self, *_: Any) -> None:
        if self._quiet:
            return
        sliders: list[Any] = list(self.sliders)
        weights = [round(float(s.value), 3) for s in sliders]
        self.app.problem = "" if any(weights) else "All weights are zero; set at least one above zero."
        if any(weights):
            self.app.state.weights = weights

    def __panel__(self) -> Any:
        return pn.Column(
            caption(
                "The activations of each layer are resampled to one grid and normalised at every position; the weight of a layer "
                "scales its part in the distance. Changing layers and weights does not re-run the network."
            ),
            self.choices,
            self.sliders,
            pn.FlexBox(
                *(control(self.app.state, *setting) for setting in SETTINGS.items()),
                align_items="center",
                gap="8px",
                margin=(0, 8),
            ),
            sizing_mode="stretch_width",
        )
