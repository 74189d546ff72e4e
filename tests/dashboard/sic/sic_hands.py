"""Actions of the SIC app's tests: the acts of a person in its tabs, and waits until the page is idle."""

from __future__ import annotations

import asyncio
import html
import re

import numpy as np
import param

from xai_views.methods.sic.population import figures
from xai_views_dashboard.core import tasks
from xai_views_dashboard.sic.supports import SupportPanel


def panel_of(app, kind):
    """Return a tab of the app."""
    return next(p for p in app.panels if isinstance(p, kind))


async def quiet() -> None:
    """Wait until everything that was started has ended."""
    await asyncio.sleep(0)
    while running := [t for t in tasks._running if not t.done()]:
        await asyncio.wait(running, timeout=60)
    await asyncio.sleep(0)


async def opened(app, kind):
    """Open a tab, and wait until it is written; return its panel."""
    panel = panel_of(app, kind)
    await begun(app)
    app.tabs.bring(panel.title)
    await quiet()
    return panel


async def begun(app):
    """Let the page begin as if the browser had loaded it, and wait until it is at rest; return the app."""
    if app.tabs.outer is None:
        app.begin()
    await quiet()
    return app


def supports_of(app):
    """The support set that the state asks for."""
    return app.session.supports(app.ask())


def z_of(app) -> np.ndarray:
    """Evidence vectors of all samples."""
    return app.listed.predictions.latent


def logits(app, supports) -> np.ndarray:
    return figures(app.model, supports, z_of(app), app.session.population.label)["logit"]


def pairs(supports) -> list[tuple[int, int]]:
    return list(zip(supports.index.tolist(), supports.label.tolist(), strict=True))


def words(pane) -> str:
    """The text of a pane."""
    return html.unescape(re.sub("<[^>]+>", "", pane.object))


class Hand:
    """A person at the tab of support samples; every act waits until the page has answered."""

    def __init__(self, app, panel) -> None:
        self.app, self.panel = app, panel

    @classmethod
    async def at(cls, app) -> Hand:
        return cls(app, await opened(app, SupportPanel))

    async def press(self, button) -> None:
        assert not button.disabled, f"{button.label!r} is switched off"
        button.clicks += 1
        await quiet()

    async def slide(self, number: int) -> None:
        """Let the slider go at a number."""
        with param.edit_constant(self.panel.count):
            self.panel.count.param.update(value=number, value_throttled=number)
        await quiet()

    async def set(self, widget, value) -> None:
        widget.value = value
        await quiet()

    async def choose(self, row: int = 0) -> tuple[int, int]:
        """Choose a row of the table; training position and class."""
        return await self._chosen(self.panel.table, row)

    async def choose_candidate(self, row: int) -> tuple[int, int]:
        return await self._chosen(self.panel.candidates, row)

    async def exclude(self, row: int = 0) -> tuple[int, int]:
        """Choose a row of the table and exclude it."""
        chosen = await self.choose(row)
        await self.press(self.panel.exclude)
        return chosen

    @staticmethod
    async def _chosen(listing, row: int) -> tuple[int, int]:
        identity = listing.rows[row]["id"]
        listing._handle_msg({"type": "select", "id": identity})
        await quiet()
        return tuple(int(v) for v in identity.split("-"))

    @property
    def said(self) -> str:
        return words(self.panel.effect)

    @property
    def card(self) -> str:
        return words(self.panel.card)
