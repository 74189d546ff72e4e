"""One support sample, large: its image and its own contribution map."""

from __future__ import annotations

from html import escape
from typing import Any

import numpy as np

from xai_views.methods.sic.ledger import own_sum
from xai_views.methods.sic.population import similarities
from xai_views.models.supports import Supports
from xai_views.views import colour
from xai_views_dashboard.core.numbers import number
from xai_views_dashboard.core.pictures import composed, png
from xai_views_dashboard.sic.frame import support_name

CLIP = 99.5  # percentile of the absolute values drawn in the full colour; the legend marks it with ≤ and ≥
NONE_CHOSEN = "Select a support sample in the table to see its own contribution map."
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


def card(model: Any, supports: Supports, row: int | None, z: np.ndarray, own_map: np.ndarray | None) -> str:
    """Return HTML with a support sample beside its own contribution map.

    Parameters
    ----------
    model : Model
        A SIC network.
    supports : Supports
        The set.
    row : int or None
        Row of the support; None = no selection.
    z : ndarray
        ``[1, p]``: evidence vector of the current sample.
    own_map : ndarray or None
        Its own map; None while it is being computed.
    """
    if row is None:
        return f"<p>{NONE_CHOSEN}</p>"
    name, words = (
        escape(support_name(int(supports.index[row]))),
        escape(model.classes[int(supports.label[row])]),
    )
    image, scale = supports.image[row], ""
    pictures = _figure(png(image), f"Support sample {name}", "the training image")
    if own_map is not None:
        alt = f"Support sample {name} with its own contribution to {words}"
        limit = float(np.percentile(np.abs(own_map), CLIP))
        pictures += _figure(png(composed(image, own_map, limit)), alt, "its own contribution")
        scale = _scale(limit, words)
    text = escape(card_words(model, supports, row, z, own_map))
    return f'<h3>{name} supports {words}</h3><div class="pictures">{pictures}{scale}</div><p>{text}</p>'


def card_words(model: Any, supports: Supports, row: int, z: np.ndarray, own_map: np.ndarray | None) -> str:
    """Describe a support sample in sentences."""
    words = model.classes[int(supports.label[row])]
    own = own_sum(supports.vectors[row], np.zeros(0) if own_map is None else own_map)
    text = f"Support sample {support_name(int(supports.index[row]))} of class {words}: |V| = {own.norm:.4f}. "
    if own_map is None:
        text += "Computing its own map. "
    elif not own_map.any():
        text += "The training samples are not available, so its picture is grey and its own map empty. "
    else:
        text += f"Its own map sums to {own.total:.4f}; its negative values sum to {number(own.negative)}. "
    evidence, cosine = (float(v[row]) for v in similarities(model, supports, z))
    return f"{text}Its evidence for {words} in this image is {number(evidence)} (cosine {cosine:.3f})."


def _figure(source: str, alt: str, words: str) -> str:
    return f'<figure><img src="{source}" alt="{alt}"><figcaption>{words}</figcaption></figure>'


def _scale(limit: float, words: str) -> str:
    """Return the legend: both ends with numbers and words."""
    stops = ", ".join(colour.palette("CET_D1A")[::14])
    top = f"{limit:.4f}"
    return (
        f'<div class="scale"><i style="background:linear-gradient(to right, {stops})"></i>'
        f"<span><b>≤ −{top}</b><b>0</b><b>≥ +{top}</b></span><span><b>lowers {words}</b><b>raises {words}</b></span></div>"
    )
