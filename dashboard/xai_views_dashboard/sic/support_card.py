"""One support sample, large: its image, and what in it makes the network read it as its class."""

from __future__ import annotations

import asyncio
from html import escape
from typing import Any

import numpy as np
import panel as pn

from xai_views.errors import XaiViewsError
from xai_views.methods.sic.ledger import own_sum
from xai_views.methods.sic.population import similarities
from xai_views.views import colour
from xai_views_dashboard.core.numbers import number
from xai_views_dashboard.core.pictures import composed, png
from xai_views_dashboard.sic.edits import later
from xai_views_dashboard.sic.frame import support_name

CLIP = 99.5  # percentile of the map's size that gets the full colour; the legend says so with ≤ and ≥
CSS = """
:host { font-family: Roboto, system-ui, sans-serif; color: var(--panel-on-background-color); }
.pictures { display: flex; flex-wrap: wrap; gap: 12px; }
figure { margin: 0; width: min(176px, calc(50% - 6px)); }
figure img {
  display: block; width: 100%; image-rendering: pixelated; border-radius: 6px;
  border: 1px solid var(--mui-palette-divider); box-sizing: border-box;
}
figcaption, .scale { font-size: 0.75rem; line-height: 1.4; color: var(--mui-palette-text-secondary); margin-top: 4px; }
.scale { width: 176px; margin: 0; }
.scale i { display: block; height: 8px; border-radius: 2px; margin-bottom: 2px; }
.scale b { font-weight: 400; }
.scale span { display: flex; justify-content: space-between; font-variant-numeric: tabular-nums; }
h3 { font-size: 1rem; margin: 0 0 8px; }
p { font-size: 0.875rem; line-height: 1.5; margin: 8px 0 0; max-width: 60ch; font-variant-numeric: tabular-nums; }
"""


class SupportCard(pn.viewable.Viewer):
    """The chosen support sample beside its own contribution map.

    Parameters
    ----------
    app : SicApp
        Gives session and state.

    Attributes
    ----------
    row : int or None
        Row of the session's supports that is shown.
    text : str
        The text twin.
    """

    def __init__(self, app: Any) -> None:
        super().__init__()
        self.app = app
        self.row: int | None = None
        self.text = ""
        self._maps: dict[str, np.ndarray] = {}
        self._pane = pn.pane.HTML("", stylesheets=[CSS], sizing_mode="stretch_width", margin=(8, 16))

    def show(self, row: int | None, z: np.ndarray | None) -> None:
        """Show a support.

        Parameters
        ----------
        row : int or None
            Row of the session's supports; None asks to choose one.
        z : ndarray or None
            ``[1, p]``: the sample in view, if it was observed.
        """
        self.row = row
        if row is None:
            self.text = "Choose a support sample in the table to see what the network reads in it."
            self._pane.object = f"<p>{escape(self.text)}</p>"
            return
        supports = self.app.session.supports
        key, values = supports.keys[row], supports.self_contribution[row]
        if np.isnan(values).any():
            values = self._maps.get(key)
            if values is None:
                self._compute(row, key, z)
        self.text = self.words(row, values, z)
        self._pane.object = self._html(row, values)

    def _compute(self, row: int, key: str, z: np.ndarray | None) -> None:
        """Take the map of a support that the checkpoint does not hold from the explanation in view."""
        session, s = self.app.session, self.app.state
        ask = session.ask(s.target, s.against, s.colours)

        async def compute() -> None:
            try:
                result = await session.explain(s.sample, ask, priority=1)
            except (XaiViewsError, asyncio.CancelledError):
                return
            self._maps[key] = result["self_contribution"].values[row]
            supports = self.app.session.supports
            if self.row is not None and self.row < len(supports) and supports.keys[self.row] == key:
                self.show(self.row, z)

        later(compute)  # a script stays without a map

    def words(self, row: int, values: np.ndarray | None, z: np.ndarray | None) -> str:
        """Return the numbers of a support in sentences."""
        supports, model = self.app.session.supports, self.app.model
        name, c = support_name(int(supports.index[row])), int(supports.label[row])
        own = own_sum(supports.vectors[row], np.zeros(0) if values is None else values)
        text = f"Support sample {name} of class {model.classes[c]}: |V| = {own.norm:.4f}. "
        if values is None:
            text += "Its own map is computed when it is chosen. "
        elif not values.any():
            text += "The training samples are not at hand, so its picture is grey and its own map empty. "
        else:
            text += f"Its own map adds up to {own.total:.4f}, of which {number(own.negative)} is negative. "
        if z is not None:
            evidence, cosine = (float(v[row]) for v in similarities(model, supports, z))
            text += (
                f"It gives the sample in view {number(evidence)} of evidence for {model.classes[c]} "
                f"(cosine {cosine:.3f})."
            )
        return text.strip()

    def _html(self, row: int, values: np.ndarray | None) -> str:
        supports = self.app.session.supports
        name, words = support_name(int(supports.index[row])), self.app.model.classes[int(supports.label[row])]
        title, name, words = escape(f"{name} supports {words}"), escape(name), escape(words)
        pictures = _figure(png(supports.image[row]), f"Support sample {name}", "the training image")
        scale = ""
        if values is not None:
            alt = f"Support sample {name} with what makes the network read it as {words}"
            limit = float(np.percentile(np.abs(values), CLIP))
            pictures += _figure(
                png(composed(supports.image[row], values, limit)), alt, "its own contribution, over grey"
            )
            scale = _scale(limit, words)
        return f'<h3>{title}</h3><div class="pictures">{pictures}{scale}</div><p>{escape(self.text)}</p>'

    def __panel__(self) -> Any:
        return self._pane


def _figure(source: str, alt: str, words: str) -> str:
    return f'<figure><img src="{source}" alt="{alt}"><figcaption>{words}</figcaption></figure>'


def _scale(limit: float, words: str) -> str:
    """Return the legend: both ends with numbers and words."""
    stops = ", ".join(colour.palette("CET_D1A")[::14])
    top = f"{limit:.4f}"
    return (
        f'<div class="scale"><i style="background:linear-gradient(to right, {stops})"></i>'
        f"<span><b>≤ −{top}</b><b>0</b><b>≥ +{top}</b></span><span><b>against {words}</b><b>for</b></span></div>"
    )
