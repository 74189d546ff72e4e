"""Hands of the support panel's tests: what a person does with its buttons and tables."""

from __future__ import annotations

import re

import numpy as np
import param

from xai_views.methods.sic.population import figures


def z_of(app) -> np.ndarray:
    return app.session.population.z[app.state.sample][None]


def logits(app, supports) -> np.ndarray:
    return figures(app.model, supports, app.session.population.z, app.session.population.label)["logit"]


def pairs(supports) -> list[tuple[int, int]]:
    return list(zip(supports.index.tolist(), supports.label.tolist(), strict=True))


def press(button) -> None:
    assert not button.disabled, f"{button.label!r} is switched off"
    button.clicks += 1


def slide(app, number: int) -> None:
    """Let the slider go at a number."""
    with param.edit_constant(app.supports.count):
        app.supports.count.param.update(value=number, value_throttled=number)


def choose(app, row: int = 0) -> tuple[int, int]:
    """Choose a row of the table as a hand does; training position and class."""
    identity = app.supports.table.listing.rows[row]["id"]
    app.supports.table.listing._handle_msg({"type": "select", "id": identity})
    return tuple(int(v) for v in identity.split("-"))


def choose_candidate(app, row: int) -> tuple[int, int]:
    identity = app.supports.candidates.listing.rows[row]["id"]
    app.supports.candidates.listing._handle_msg({"type": "select", "id": identity})
    return tuple(int(v) for v in identity.split("-"))


def words(app) -> str:
    return re.sub("<[^>]+>", "", app.supports.effect.object).replace("&#x27;", "'")


# -- excluding, replacing, adding -----------------------------------------------------------------------------
