"""The start page: one's own model and samples, tasks, models and data sets, with the values that their cards state."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

import panel as pn

from xai_views import apps, catalogue
from xai_views_dashboard.core.bar import HeaderBar
from xai_views_dashboard.core.page import NAME, page
from xai_views_dashboard.shell.examples import Example, shown
from xai_views_dashboard.shell.header import address
from xai_views_dashboard.shell.offers import (
    Offer,
    app_for,
    family_title,
    model_offer,
    reasons,
    samples_offer,
)
from xai_views_dashboard.shell.own import own
from xai_views_dashboard.shell.previews import preview
from xai_views_dashboard.shell.shelf import Shelf

CSS = Path(__file__).with_suffix(".css").read_text(encoding="utf-8")

# What a card may state under `metrics` and `twin`, in the words of the page.
MEASURES = {"test_accuracy": "accuracy", "test_balanced_accuracy": "balanced accuracy"}


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
    models = {name: model_offer(name, source) for name, source in shelf.models.items()}
    sets = {name: samples_offer(name, folder, models) for name, folder in folders.items()}
    kinds = apps.classes()
    tasks = [_task(e, folders) for e in shown(kinds, models, sets)]
    beneath = [
        _section("tasks", "Tasks", f'<div class="cards tasks">{"".join(tasks)}</div>' if tasks else ""),
        _section("models", "Models", _models(models, sets, kinds) if models else _NONE),
        _section("data", "Data sets", f'<div class="cards">{"".join(_families(sets, folders))}</div>'),
    ]
    links = [
        {"title": kind.title, "href": address(name, shelf.first(name))} for name, kind in _ordered(kinds)
    ]
    return page(
        NAME,
        [_html(_HERO), own(shelf), _html("".join(beneath))],
        header=HeaderBar(apps=links),
        heading=False,
        main_width=1240,
        app_bar_width="100%",
        meta_description="Look inside a trained model, and check what you see.",
    )


_HERO = (
    '<header class="hero"><h1>Look inside a trained model, and check what you see.</h1>'
    "<p>Step through samples; see the training examples behind each answer and the pixels that drove it.</p></header>"
)
_NONE = '<p class="quiet">No model is shipped here yet.</p>'


def _html(text: str) -> pn.pane.HTML:
    return pn.pane.HTML(text, stylesheets=[CSS], sizing_mode="stretch_width", margin=0)


def _section(name: str, title: str, inside: str) -> str:
    if not inside:
        return ""
    return f'<section aria-labelledby="h-{name}"><h2 id="h-{name}">{title}</h2>{inside}</section>'


def _ordered(kinds: Mapping[str, Any]) -> list[tuple[str, Any]]:
    return sorted(kinds.items(), key=lambda item: -item[1].preference)


# --- tasks -------------------------------------------------------------------------------------------------


def _task(example: Example, folders: Mapping[str, Path]) -> str:
    """Return a card that leads to an example; the whole of it is the link."""
    link = address(example.app, example.model, example.samples, task=example.key, **example.state)
    return _card(
        f'<h3><a href="{escape(link)}">{escape(example.title)}</a></h3><p>{escape(example.words)}</p>',
        _picture(example.samples, folders[example.samples]),
        "link",
    )


def _card(body: str, picture: str, kind: str = "") -> str:
    return f'<article class="card {kind}">{picture}<div class="body">{body}</div></article>'


def _picture(name: str, folder: Path) -> str:
    source = preview(name, folder)
    return f'<img alt="" src="{source}">' if source else '<div class="blank"></div>'


# --- models ------------------------------------------------------------------------------------------------


def _models(models: Mapping[str, Offer], sets: Mapping[str, Offer], kinds: Mapping[str, Any]) -> str:
    """Return a table of the models, each with its apps and its values beside those of its black-box twin and of chance."""
    heads = ("Model", "Data", "Test set", "This model", "Black-box twin", "Chance", "Open in")
    head = "".join(f'<th scope="col">{h}</th>' for h in heads)
    rows = "".join(_model(offer, sets.get(offer.samples), kinds) for offer in models.values())
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
    return f'<div class="wide" tabindex="0" role="region" aria-label="Models">{table}</div>'


def _model(offer: Offer, data: Offer | None, kinds: Mapping[str, Any]) -> str:
    first = app_for(offer)
    title = escape(offer.title)
    name = f'<a href="{escape(address(first, offer.name))}">{title}</a>' if first else title
    facts = " · ".join(_facts(offer)) or "Your model, as this server was started with it."
    note = str(offer.card.get("note") or "")
    about = (
        f"<details><summary>{escape(facts)}</summary>{escape(note)}</details>"
        if note
        else f"<p>{escape(facts)}</p>"
    )
    synthetic = bool(offer.card.get("synthetic", data is not None and data.card.get("synthetic")))
    told = _tag(synthetic) if data is not None else ""
    family = escape(family_title(data.name, data.card)) if data is not None else "–"
    why = reasons(offer)
    ways = " ".join(
        f'<a href="{escape(address(app, offer.name))}">{escape(kind.title)}</a>'
        for app, kind in _ordered(kinds)
        if not why[app]
    )
    cells = "".join(f'<td data-label="{label}">{value}</td>' for label, value in _values(offer.card).items())
    return (
        f'<tr><th scope="row">{name}{about}</th><td data-label="Data">{family} {told}</td>{cells}'
        f'<td class="ways" data-label="Open in">{ways}</td></tr>'
    )


def _facts(offer: Offer) -> list[str]:
    """Return what goes in and how many classes there are, in a few words."""
    built = offer.card.get("architecture") or {}
    size = offer.card.get("size") or built.get("size")
    size = [size, size] if isinstance(size, int) else list(size or [])
    facts = []
    if len(size) >= 2:
        facts.append(f"{size[0]} × {size[1]} pixels")
    elif len(size) == 1:
        facts.append(f"{built.get('channels')} leads, {size[0]} steps at {built.get('rate')} Hz")
    if offer.card.get("classes"):
        facts.append(f"{len(offer.card['classes'])} classes")
    return facts


def _values(card: Mapping[str, Any]) -> dict[str, str]:
    """Return what was measured on the test set: of this model, of its black-box twin, and by chance."""
    metrics, twin = card.get("metrics"), card.get("twin")
    metrics = metrics if isinstance(metrics, Mapping) else {}
    twin = twin if isinstance(twin, Mapping) else {}
    key = next((k for k in reversed(MEASURES) if metrics.get(k) is not None), "")
    if not key:
        return dict.fromkeys(("Test set", "This model", "Black-box twin", "Chance"), "–")
    classes = card.get("classes") or []
    return {
        "Test set": MEASURES[key],
        "This model": f"<b>{_percent(metrics[key])}</b>",
        "Black-box twin": _percent(twin.get(key)),
        "Chance": _percent(1 / len(classes) if classes else None),
    }


# --- data sets ---------------------------------------------------------------------------------------------


def _families(sets: Mapping[str, Offer], folders: Mapping[str, Path]) -> list[str]:
    """Return one card for each family, such as birds/test and birds/train; its title is that of its test set."""
    families: dict[str, list[str]] = {}
    for name in sets:
        families.setdefault(name.partition("/")[0], []).append(name)
    cards = []
    for family, names in families.items():
        names.sort(key=lambda name: (not name.endswith("/test"), name))
        first = sets[names[0]]
        rows = "".join(_set(sets[name]) for name in names)
        notes = dict.fromkeys(str(sets[name].card.get("note") or "") for name in names)
        licences = dict.fromkeys(str(sets[name].card.get("licence") or "") for name in names)
        facts = [f"{len(first.card['classes'])} classes"] if first.card.get("classes") else []
        small = "; ".join([*facts, *(f"licence: {text}" for text in filter(None, licences))])
        body = (
            f"<h3>{escape(family_title(family, first.card))}</h3><table class='sets'><tbody>{rows}</tbody></table>"
            + "".join(f"<p>{escape(text)}</p>" for text in filter(None, notes))
            + (f'<p class="small">{escape(small)}</p>' if small else "")
        )
        cards.append(_card(body, _picture(names[0], folders[names[0]])))
    return cards


def _set(offer: Offer) -> str:
    return (
        f'<tr><th scope="row">{escape(offer.name)}</th><td>{_size(offer)}</td>'
        f"<td>{_tag(bool(offer.card.get('synthetic')))}</td></tr>"
    )


def _tag(synthetic: bool) -> str:
    return f'<span class="tag {"synthetic" if synthetic else "real"}">{"synthetic" if synthetic else "real"}</span>'


def _size(offer: Offer) -> str:
    """Say how many samples a set has, as far as its card says."""
    split = offer.name.partition("/")[2]
    number = offer.card.get("samples")
    if isinstance(number, Mapping):
        number = number.get(split)
    elif split and not str(offer.card.get("name", split)).endswith(split):
        return "generated on first use"
    if isinstance(number, (list, tuple)):
        number = sum(number)
    what = "record" if offer.kind == "signal" else "image"
    return f"{_count(number)} {what}{'' if number == 1 else 's'}" if number is not None else ""


def _percent(value: Any) -> str:
    return "–" if value is None else f"{float(value) * 100:.1f} %"


def _count(value: Any) -> str:
    return f"{value:,}".replace(",", "\u202f") if isinstance(value, int) else str(value)
