"""The page of an app: what it waits for, and what it shows where the app cannot open the model."""

from __future__ import annotations

from html import escape
from typing import Any

import panel as pn

from xai_views.contract import registry
from xai_views.errors import XaiViewsError, without_folders
from xai_views_dashboard.core.page import NAME, note, page
from xai_views_dashboard.shell.examples import guide
from xai_views_dashboard.shell.header import address, header
from xai_views_dashboard.shell.offers import app_for, model_offer
from xai_views_dashboard.shell.shelf import Shelf, asked_for


def waiting(model: str) -> Any:
    """Return a page that says what is being opened and tries again by itself."""
    words = note(f"Opening {model}: the first time takes some seconds. This page continues by itself.")
    return page(
        NAME, [words, pn.indicators.Progress(active=True, sizing_mode="stretch_width")], meta_refresh="2"
    )


def app_page(name: str, shelf: Shelf) -> Any:
    """Return the page function of an installed app.

    Parameters
    ----------
    name : str
        As in :func:`xai_views.contract.registry.entries`.
    shelf : Shelf
        What may be opened.
    """

    def make() -> Any:
        model, samples = shelf.asked(pn.state.session_args or {}, name)
        future = shelf.open(model, samples)
        if not future.done():
            return waiting(model)
        try:
            opened, found = future.result()
        except XaiViewsError as error:  # other samples, or another model, may do
            return failed(name, without_folders(error), header(shelf, name, model, samples))
        kind = registry.load("apps", name)
        reason = kind.fits(opened)
        if reason:
            return refused(shelf, name, model, samples, reason)
        bar = header(shelf, name, model, samples)
        try:
            app = kind(opened, found)
        except XaiViewsError as error:
            return failed(name, without_folders(error), bar)
        app.servable(header=bar, guide=guide(asked_for(pn.state.session_args or {}, "task"), model))
        return None

    return make


def failed(name: str, sentence: str, bar: list[Any]) -> Any:
    """Return a page that says why an app could not be opened, with the choices of another model or other samples."""
    return page(
        registry.load("apps", name).title, [note(sentence[:1].upper() + sentence[1:], "error")], header=bar
    )


def refused(shelf: Shelf, name: str, model: str, samples: str, reason: str) -> Any:
    """Return a page that says why an app cannot open a model, and leads to the app that can."""
    other = app_for(model_offer(model, shelf.models[model]), model=shelf.opened(model, samples))
    title = registry.load("apps", name).title
    way = f'<a href="{escape(address(other, model, samples))}">Open it in {escape(registry.load("apps", other).title)}</a>'
    words = [note(f"{title} cannot open {model}: {reason}", "warning")]
    links = [pn.pane.HTML(way, margin=(8, 16))] if other else []
    return page(f"{title}: {model}", [*words, *links], header=header(shelf, name, model, samples))
