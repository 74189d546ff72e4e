"""The start page: what can be opened here, with the figures that its cards state."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import quote

import panel as pn

from xai_views import apps, catalogue
from xai_views.contract import registry
from xai_views.errors import XaiViewsError
from xai_views_dashboard.core.page import NAME, page
from xai_views_dashboard.shell.previews import preview
from xai_views_dashboard.shell.shelf import Shelf

logger = logging.getLogger("xai_views.dashboard")

# What a card may state under `metrics` and `twin`, in the words of the page.
FIGURES = {"test_accuracy": "Accuracy", "test_balanced_accuracy": "Balanced accuracy"}
METHODS = {
    "sic": "SIC",
    "nave": "Activation clusters",
    "nas": "Superpixels",
    "ecg_clusters": "Time-localised clusters",
}
APPS = {
    "sic": "SIC: support samples and evidence",
    "activations": "Activations: what a network treats alike",
    "ecg": "ECG: records on paper, clusters in time",
}
# Methods that ask more of a network than spatial activations; every other app opens any model of images.
OWN_APPS = {"sic": "sic", "ecg_clusters": "ecg"}

OWN = """\
import xai_views as xv

model = xv.open_model(my_module, classes=["cat", "dog"])
samples = xv.open_samples("~/pictures")
xv.explore(model, samples)"""


def start_page(shelf: Shelf | None = None) -> Any:
    """Return the start page.

    Parameters
    ----------
    shelf : Shelf, optional
        What this server offers.

    Returns
    -------
    panel_material_ui.Page
    """
    shelf = shelf or Shelf()
    folders = catalogue.samples()
    cards = {name: _card(path) for name, path in folders.items()}
    families: dict[str, list[str]] = {}
    for name in folders:
        families.setdefault(name.partition("/")[0], []).append(name)
    models = {name: _card(path) for name, path in catalogue.models().items()}
    own = [name for name in shelf.models if name not in models]
    parts = [
        _hero(),
        _section("models", "Models", [*(_own_card(n) for n in own), *_model_cards(models, cards, folders)])
        or _empty("Models", "No model is shipped here yet."),
        _section("samples", "Samples", [_samples_card(names, cards, folders) for names in families.values()]),
        _section("apps", "Apps", [_app_card(name, shelf.first(name)) for name in registry.entries("apps")]),
        _own_model(),
    ]
    html = pn.pane.HTML("".join(parts), stylesheets=[CSS], sizing_mode="stretch_width", margin=0)
    return page(
        NAME, html, main_width=1200, meta_description="Look into a trained model and check what you see."
    )


def _card(folder: Path) -> dict[str, Any]:
    """Read a card; a broken one is a line in the log, not a broken page."""
    try:
        card = catalogue.card(folder)
    except (XaiViewsError, OSError, ValueError) as error:
        logger.warning("The card in %s cannot be read: %s", folder.name, error)
        return {}
    return dict(card) if isinstance(card, Mapping) else {}


def _hero() -> str:
    return (
        '<header class="hero"><h1>Look into a trained model and check what you see.</h1>'
        "<p>Scrub through samples, the training examples behind an answer and the pixels that count. "
        "The numbers add up in front of your eyes, and every picture says how far it can be trusted."
        "</p></header>"
    )


def _section(name: str, title: str, cards: list[str]) -> str:
    if not cards:
        return ""
    return (
        f'<section aria-labelledby="h-{name}"><h2 id="h-{name}">{title}</h2>'
        f'<div class="cards {name}">{"".join(cards)}</div></section>'
    )


def _empty(title: str, text: str) -> str:
    return f'<section><h2>{title}</h2><p class="quiet">{text}</p></section>'


def _model_cards(models: dict, sets: dict[str, dict], folders: dict[str, Path]) -> list[str]:
    cards = []
    for name, card in models.items():
        data = str(card.get("samples") or "")
        about = sets.get(data, {})
        tags = [METHODS.get(str(card.get("method")), str(card.get("method") or ""))]
        picture = preview(data, folders[data]) if data in folders else ""
        cards.append(
            _article(
                title=str(card.get("title") or name),
                link=_address(name, str(card.get("method") or "")),
                picture=picture,
                tags=tags,
                synthetic=bool(card.get("synthetic", about.get("synthetic"))),
                table=_figures(card),
                facts=_model_facts(card, about, data),
                note=str(card.get("note") or ""),
                also=_also(name, str(card.get("method") or "")),
            )
        )
    return cards


def _also(model: str, method: str) -> list[tuple[str, str]]:
    """Return the other apps that open a model: words and address."""
    main = _app(method)
    if method == "ecg_clusters":  # a network of signals
        return []
    fit = [
        a
        for a in registry.entries("apps")
        if a != main and a not in set(OWN_APPS.values()) - {OWN_APPS.get(method)}
    ]
    return [(f"Open in {APPS.get(a, a).partition(':')[0]}", f"{quote(a)}?model={quote(model)}") for a in fit]


def _app(method: str) -> str:
    """Return the app that belongs to a method; the first installed one when none does."""
    installed = registry.entries("apps")
    app = apps.of_method(method)
    return app if app in installed else next(iter(installed), "")


def _own_card(name: str) -> str:
    return _article(
        name, _address(name, ""), tags=["yours"], note="The model that this server was started with."
    )


def _figures(card: Mapping) -> str:
    """Put the model's figures beside its black-box twin's and beside guessing."""
    metrics, twin = card.get("metrics"), card.get("twin")
    if not isinstance(metrics, Mapping):
        return ""
    twin = twin if isinstance(twin, Mapping) else {}
    classes = card.get("classes") or []
    rows = ""
    for key, words in FIGURES.items():
        if metrics.get(key) is None:
            continue
        cells = [
            _percent(metrics[key]),
            _percent(twin.get(key)),
            _percent(1 / len(classes) if classes else None),
        ]
        rows += f'<tr><th scope="row">{words}</th>' + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"
    if not rows:
        return ""
    heads = "".join(f'<th scope="col">{head}</th>' for head in ("this", "black-box twin", "guessing"))
    head = f'<tr><th scope="col">on test samples</th>{heads}</tr>'
    return f"<table><thead>{head}</thead><tbody>{rows}</tbody></table>"


def _model_facts(card: Mapping, about: Mapping, data: str) -> list[tuple[str, str]]:
    facts = []
    size = card.get("size") or (card.get("architecture") or {}).get("size")
    if isinstance(size, (list, tuple)) and len(size) >= 2:
        facts.append(("Image", f"{size[0]} × {size[1]}"))
    elif isinstance(size, (list, tuple)) and len(size) == 1:
        of = card["architecture"]
        facts.append(("Signal", f"{of.get('channels')} leads × {size[0]} steps at {of.get('rate')} Hz"))
    elif isinstance(size, int):
        facts.append(("Image", f"{size} × {size}"))
    if card.get("classes"):
        facts.append(("Classes", str(len(card["classes"]))))
    if data:
        facts.append(("Samples", _family(about, data)))
    return facts


def _samples_card(names: list[str], cards: Mapping[str, Mapping], folders: Mapping[str, Path]) -> str:
    """Show one family, such as birds/test and birds/train."""
    card = cards[names[0]]
    facts = [(name, _size(name, cards[name])) for name in names]
    if card.get("classes"):
        facts.append(("Classes", str(len(card["classes"]))))
    if card.get("licence"):
        facts.append(("Licence", str(card["licence"])))
    return _article(
        title=_family(card, names[0]),
        picture=preview(names[0], folders[names[0]]),
        synthetic=bool(card.get("synthetic")),
        facts=facts,
        note=str(card.get("note") or ""),
    )


def _family(card: Mapping, name: str) -> str:
    """Return the title of a card without the set that it is about."""
    return str(card.get("title") or name.partition("/")[0]).removesuffix(" set").removesuffix(", test")


def _size(name: str, card: Mapping) -> str:
    """Say how many images a set has, as far as its card says."""
    split = name.partition("/")[2]
    number = card.get("samples")
    if isinstance(number, Mapping):
        number = number.get(split)
    elif split and not str(card.get("name", split)).endswith(split):
        return "made on request"
    if isinstance(number, (list, tuple)):
        number = sum(number)
    what = "records" if name.startswith("ecg") else "images"
    return f"{_count(number)} {what}" if number is not None else ""


def _app_card(name: str, model: str) -> str:
    address = f"{quote(name)}?model={quote(model)}" if model else quote(name)
    return _article(APPS.get(name, name), address, note=registry.described("apps", name), picture=None)


def _address(model: str, method: str) -> str:
    app = _app(method)
    return f"{quote(app)}?model={quote(model)}" if app else ""


def _article(
    title: str,
    link: str = "",
    picture: str | None = "",
    tags: list[str] | None = None,
    synthetic: bool = False,
    facts: list[tuple[str, str]] | None = None,
    note: str = "",
    table: str = "",
    also: list[tuple[str, str]] | None = None,
) -> str:
    """One card; everything but the picture is text from a card file and escaped."""
    head = f'<a href="{escape(link)}">{escape(title)}</a>' if link else escape(title)
    image = ""
    if picture is not None:
        image = f'<img alt="" src="{picture}">' if picture else '<div class="blank"></div>'
    labels = "".join(f'<span class="tag">{escape(tag)}</span>' for tag in tags or [] if tag)
    if synthetic:
        labels += '<span class="tag synthetic">synthetic data</span>'
    rows = "".join(f"<div><dt>{escape(k)}</dt><dd>{escape(v)}</dd></div>" for k, v in facts or [])
    others = " · ".join(f'<a href="{escape(href)}">{escape(words)}</a>' for words, href in also or [])
    return (
        f'<article class="card{" link" if link else ""}">{image}<div class="body"><h3>{head}</h3>'
        + (f'<p class="tags">{labels}</p>' if labels else "")
        + table
        + (f"<dl>{rows}</dl>" if rows else "")
        + (f"<p>{escape(note)}</p>" if note else "")
        + (f'<p class="also">{others}</p>' if others else "")
        + "</div></article>"
    )


def _own_model() -> str:
    command = "xai-views serve --model my_model.py:load --samples ~/pictures"
    return (
        '<section aria-labelledby="h-own"><h2 id="h-own">Your own model</h2>'
        '<p class="quiet">Any <code>torch.nn.Module</code>, in a notebook or a script:</p>'
        f'<pre tabindex="0">{escape(OWN)}</pre>'
        f'<p class="quiet">or from the command line:</p><pre tabindex="0">{escape(command)}</pre></section>'
    )


def _percent(value: Any) -> str:
    return "–" if value is None else f"{float(value) * 100:.1f} %"


def _count(value: Any) -> str:
    return f"{value:,}".replace(",", "\u202f") if isinstance(value, int) else str(value)


CSS = """
:host { font-family: Roboto, system-ui, sans-serif; color: var(--panel-on-background-color); }
* { box-sizing: border-box; }
.hero { padding: 40px 20px 8px; max-width: 800px; }
h1 {
  font-size: clamp(1.5rem, 3.4vw, 2.125rem); line-height: 1.2; letter-spacing: -0.015em; margin: 0 0 12px;
}
.hero p { font-size: 1.0625rem; line-height: 1.6; color: var(--mui-palette-text-secondary); margin: 0; }
section { padding: 28px 20px 4px; }
section:last-child { padding-bottom: 48px; }
h2 { font-size: 1.125rem; margin: 0 0 14px; }
h3 { font-size: 1.0625rem; line-height: 1.35; margin: 0; overflow-wrap: anywhere; }
a { color: var(--panel-primary-color); text-decoration: none; }
a:hover { text-decoration: underline; }
a:focus-visible, pre:focus-visible { outline: 2px solid var(--panel-primary-color); outline-offset: 3px; }
.cards { display: grid; gap: 20px; grid-template-columns: repeat(auto-fill, minmax(min(100%, 340px), 1fr)); }
.card {
  position: relative; display: flex; flex-direction: column; overflow: hidden; border-radius: 10px;
  background: var(--panel-surface-color); border: 1px solid var(--mui-palette-divider);
  transition: border-color 120ms, box-shadow 120ms;
}
.card.link:hover { border-color: var(--panel-primary-color); box-shadow: 0 2px 14px rgb(0 0 0 / 0.08); }
.card.link h3 a::after { content: ""; position: absolute; inset: 0; }
.card.link h3 a:focus-visible { outline: none; }
.card.link:focus-within { outline: 2px solid var(--panel-primary-color); outline-offset: 2px; }
.card img, .blank { display: block; width: 100%; aspect-ratio: 2 / 1; object-fit: cover; }
.card .also { position: relative; z-index: 1; margin-top: auto; }
.blank {
  background: repeating-linear-gradient(45deg, transparent 0 11px, var(--mui-palette-divider) 11px 12px);
}
.body { padding: 14px 16px 16px; display: flex; flex-direction: column; gap: 10px; flex: 1; }
.body p { margin: 0; font-size: 0.875rem; line-height: 1.5; color: var(--mui-palette-text-secondary); }
.tags { display: flex; flex-wrap: wrap; gap: 6px; }
.tag {
  font-size: 0.75rem; line-height: 1; padding: 5px 8px; border-radius: 99px;
  border: 1px solid var(--mui-palette-divider); color: var(--panel-on-surface-color);
}
.tag.synthetic { border-style: dashed; border-color: var(--mui-palette-text-secondary); }
dl { margin: 0; font-size: 0.875rem; line-height: 1.45; }
dl div { display: flex; justify-content: space-between; gap: 12px; padding: 3px 0; }
dl div + div { border-top: 1px solid var(--mui-palette-divider); }
dt { color: var(--mui-palette-text-secondary); }
dd { margin: 0; text-align: right; font-variant-numeric: tabular-nums; overflow-wrap: anywhere; }
table { border-collapse: collapse; width: 100%; font-size: 0.875rem; line-height: 1.45; }
th { font-weight: 400; color: var(--mui-palette-text-secondary); text-align: left; padding: 3px 0; }
thead th { font-size: 0.75rem; }
th[scope="col"]:not(:first-child), td { text-align: right; padding-left: 10px; white-space: nowrap; }
td { font-variant-numeric: tabular-nums; }
td:nth-child(2) { font-weight: 700; }
tbody tr { border-top: 1px solid var(--mui-palette-divider); }
.quiet { color: var(--mui-palette-text-secondary); margin: 0 0 8px; font-size: 0.9375rem; }
pre {
  margin: 0 0 16px; padding: 14px 16px; border-radius: 10px; overflow-x: auto; font-size: 0.8125rem;
  line-height: 1.6; background: var(--panel-surface-color); border: 1px solid var(--mui-palette-divider);
  max-width: 760px; color: var(--panel-on-surface-color);
}
pre, code { font-family: ui-monospace, 'SF Mono', Menlo, Consolas, 'DejaVu Sans Mono', monospace; }
@media (prefers-reduced-motion: reduce) { .card { transition: none; } }
"""
