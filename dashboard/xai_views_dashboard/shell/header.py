"""The header of an app's page: all apps, and the model and samples that travel from one to the other."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from xai_views import apps, catalogue
from xai_views_dashboard.core.bar import HeaderBar
from xai_views_dashboard.shell.offers import Offer, app_for, model_offer, reasons, samples_offer, takes
from xai_views_dashboard.shell.shelf import Shelf


def header(
    shelf: Shelf, app_key: str, model_name: str, samples_name: str = "", alone: bool = False
) -> list[Any]:
    """Return what stands in the header of a page.

    Parameters
    ----------
    shelf : Shelf
        What may be opened.
    app_key : str
        The present app; "" for a page that is none.
    model_name, samples_name : str
        As in the address; no samples stand for those that belong to the model.
    alone : bool
        True where the other apps are not served.

    Returns
    -------
    list of viewable
        For ``servable(header=...)``.
    """
    models = {name: model_offer(name, source) for name, source in shelf.models.items()}
    model = models[model_name]
    opened = shelf.opened(model_name, samples_name)
    sets = _sets(shelf, models, model_name, samples_name)
    return [
        HeaderBar(
            apps=[a for a in _apps(app_key, model, samples_name, opened) if a["current"] or not alone],
            choices=[
                _models(app_key, models, model_name, samples_name, sets),
                _samples(app_key, model, samples_name, sets),
            ],
        )
    ]


def address(app: str, model: str = "", samples: str = "", **state: str) -> str:
    """Return the address of an app, relative to the start page; what is "" is left out."""
    query = {"model": model, "samples": samples, **state}
    text = urlencode({k: v for k, v in query.items() if v})
    return f"./{app}?{text}" if text else f"./{app}"


def _apps(app_key: str, model: Offer, samples: str, opened: Any) -> list[dict[str, Any]]:
    why = reasons(model, opened)
    return [
        {
            "key": name,
            "title": kind.title or name,
            "href": address(name, model.name, samples),
            "current": name == app_key,
            "reason": "" if name == app_key else why[name],
        }
        for name, kind in sorted(apps.classes().items(), key=lambda item: -item[1].preference)
    ]


def _models(
    app_key: str, models: dict[str, Offer], present: str, samples: str, sets: dict[str, Offer]
) -> dict[str, Any]:
    options = []
    for name, offer in models.items():
        app = app_for(offer, app_key)
        kept = samples if samples in sets and not takes(offer, sets[samples]) else ""
        options.append(
            {
                "name": name,
                "title": offer.title,
                "href": address(app, name, kept),
                "reason": "" if app else "No installed app opens this model.",
            }
        )
    return {"label": "Model", "value": present, "options": options}


def _sets(shelf: Shelf, models: dict[str, Offer], model: str, samples: str) -> dict[str, Offer]:
    """The sample sets by name; ``""`` stands for those that the model was opened with."""
    folders = catalogue.samples()
    found = {name: samples_offer(name, folders[name], models) for name in shelf.samples if name in folders}
    found |= {name: Offer(name, name) for name in shelf.samples if name not in folders}
    uploaded = shelf.uploads.get(samples)  # only who has the address sees it
    if uploaded is not None:
        found[samples] = Offer(samples, uploaded.title, uploaded.kind)
    own = shelf.own_title(model)
    return {**({"": Offer("", own, models[model].kind)} if own else {}), **found}


def _samples(app_key: str, model: Offer, samples: str, sets: dict[str, Offer]) -> dict[str, Any]:
    """Return the choice of samples; what the model cannot take says why."""
    present = samples if samples in sets else "" if "" in sets else model.samples
    options = [
        {
            "name": name,
            "title": offer.title,
            "href": address(app_key, model.name, name),
            "reason": takes(model, offer),
        }
        for name, offer in sets.items()
    ]
    return {"label": "Samples", "value": present, "options": options}
