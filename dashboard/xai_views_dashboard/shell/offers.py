"""What fits what, as cards say it: the apps that open a model, and the samples that it takes. Nothing is opened for this."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from xai_views import apps, catalogue
from xai_views.contract import registry
from xai_views.errors import XaiViewsError

logger = logging.getLogger("xai_views.dashboard")

#: Files and folders of a checkpoint, and the part of a model that each holds.
PARTS = {"supports.safetensors": "supports", "latents.safetensors": "latents", "clusters": "codebook"}


@dataclass(frozen=True)
class Offer:
    """A model or a sample set as its card describes it.

    Attributes
    ----------
    name, title : str
        In addresses, and for people.
    kind : str
        "image", "signal", …; "" where nothing is known before it is opened.
    shape : tuple
        Height, width and channels of images; None where any is possible or nothing is known.
    method, samples : str
        Of a model: its main method, and the samples that belong to it.
    parts : frozenset of str
        Of a model: what it holds beside its weights.
    card : mapping
        The card itself.
    """

    name: str
    title: str
    kind: str = ""
    shape: tuple[int | None, ...] = ()
    method: str = ""
    samples: str = ""
    parts: frozenset[str] = frozenset()
    card: Mapping[str, Any] = field(default_factory=dict)


def card_of(folder: Path) -> dict[str, Any]:
    """Return the card of a folder; {} and a line in the log when it cannot be read."""
    try:
        found = catalogue.card(folder)
    except (XaiViewsError, OSError, ValueError) as error:
        logger.warning("The card in %s cannot be read: %s", folder.name, error)
        return {}
    return dict(found) if isinstance(found, Mapping) else {}


def model_offer(name: str, source: Any) -> Offer:
    """Return what is known of a model before it is opened.

    Parameters
    ----------
    name : str
        Under which it is offered.
    source : str, Path or object
        As in :attr:`xai_views_dashboard.shell.shelf.Shelf.models`; code of one's own has no card.
    """
    folder = catalogue.models().get(source) if isinstance(source, str) else source
    if not isinstance(folder, Path):
        return Offer(name, name)
    card = card_of(folder)
    built = card.get("architecture") or {}
    size = card.get("size") or built.get("size")
    size = (size, size) if isinstance(size, int) else tuple(size or ())
    parts = frozenset(part for file, part in PARTS.items() if (folder / file).exists())
    kind = str(card.get("kind") or ("signal" if len(size) == 1 else "image"))
    shape = (*size, built.get("channels")) if kind == "image" and size and built.get("size") else ()
    return Offer(
        name,
        str(card.get("title") or name),
        kind,
        shape,
        str(card.get("method") or ""),
        str(card.get("samples") or ""),
        parts,
        card,
    )


def samples_offer(name: str, folder: Path, models: Mapping[str, Offer]) -> Offer:
    """Return what is known of a sample set before it is opened; its shape is that of the models made for its family."""
    card = card_of(folder)
    family = name.partition("/")[0]
    own = next((m for m in models.values() if m.samples.partition("/")[0] == family), None)
    size = card.get("size")
    shape = (*size, 3) if isinstance(size, (list, tuple)) and len(size) == 2 else own.shape if own else ()
    return Offer(name, set_title(name, card), own.kind if own else "", shape, card=card)


def family_title(name: str, card: Mapping[str, Any]) -> str:
    """Return the title of a card without the set that it is about."""
    return str(card.get("title") or name.partition("/")[0]).removesuffix(" set").partition(", t")[0]


def set_title(name: str, card: Mapping[str, Any]) -> str:
    """Return the title of one set; sets that share a card differ in their own names."""
    split = name.partition("/")[2]
    told = str(card.get("name") or "")
    if not split or told.replace("-", "/") == name:
        return str(card.get("title") or name)
    return f"{family_title(name, card)}, {split} set"


def reasons(offer: Offer, model: Any = None) -> dict[str, str]:
    """Return for each installed app "" when it opens a model, else the reason in one sentence.

    Parameters
    ----------
    offer : Offer
        The model as its card describes it.
    model : Model, optional
        The model itself where it is open: its word counts.
    """
    if model is not None:
        return {name: kind.fits(model) for name, kind in apps.classes().items()}
    return {name: _reason(kind, offer) for name, kind in apps.classes().items()}


def _reason(kind: Any, offer: Offer) -> str:
    methods = [registry.plain(key) for key in (kind.method, *getattr(kind, "beside", ())) if key]
    if not offer.kind or not methods or offer.method in {m.key for m in methods}:
        return ""
    main = methods[0]
    if offer.kind not in main.takes:
        return f"{kind.title} is for {' and '.join(f'{k}s' for k in main.takes)}; {offer.title} takes {offer.kind}s."
    missing = [need for need in main.needs if need in PARTS.values() and need not in offer.parts]
    return f"{kind.title} needs a model with {missing[0]}; {offer.title} has none." if missing else ""


def app_for(offer: Offer, first: str = "", model: Any = None) -> str:
    """Return the app that opens a model: ``first`` when it can, else its method's, else the most preferred; "" for none.

    Parameters
    ----------
    offer, model
        As for :func:`reasons`.
    first : str
        The app to stay in when possible.
    """
    kinds = apps.classes()
    fitting = [name for name, reason in reasons(offer, model).items() if not reason]
    wanted = [first, apps.of_method(offer.method)]
    best = sorted(fitting, key=lambda name: -kinds[name].preference)
    return next((name for name in [*wanted, *best] if name in fitting), "")


def takes(model: Offer, samples: Offer) -> str:
    """Return "" when a model takes a sample set, else the reason in one sentence."""
    if model.kind and samples.kind and model.kind != samples.kind:
        return f"{model.title} takes {model.kind}s; these are {samples.kind}s."
    if model.kind == "image" and model.shape and samples.shape and model.shape != samples.shape:
        return f"{model.title} takes {_sized(model.shape)}; these have {_sized(samples.shape)}."
    return ""


def _sized(shape: tuple[int | None, ...]) -> str:
    height, width, channels = shape
    return f"{height} × {width} pixels{' in grey' if channels == 1 else ''}"
