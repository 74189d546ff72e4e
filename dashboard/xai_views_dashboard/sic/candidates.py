"""Training images that could become supports: the nearest ones to what is in view."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import numpy as np
import panel as pn
import panel_material_ui as pmui

from xai_views.methods.sic.population import nearest_training
from xai_views.methods.sic.support_sets import training_inputs
from xai_views.views import Listing
from xai_views.views.plots import data_uri
from xai_views_dashboard.sic.edits import class_of, later
from xai_views_dashboard.sic.frame import support_name

NEAREST = 12
KEPT = 3000  # thumbnails
REST_S = 0.15  # pictures are fetched when nothing has changed for this long

COLUMNS = [
    {"key": "picture", "title": "", "kind": "image"},
    {"key": "support", "title": "training image"},
    {"key": "class", "title": "labelled"},
    {"key": "cosine", "title": "cosine", "kind": "number", "digits": 3},
]


class Candidates(pn.viewable.Viewer):
    """The training images nearest to a vector that do not support a class yet.

    Parameters
    ----------
    app : SicApp
        Gives the session.
    changed : callable
        Called when another candidate was chosen.
    """

    def __init__(self, app: Any, changed: Callable[[], Any]) -> None:
        super().__init__()
        self.app = app
        self.listing = Listing(
            label="Candidates", columns=COLUMNS, page=NEAREST, height_limit=300, margin=(4, 16)
        )
        self.pool = pmui.Select(
            label="Candidates", width=220, size="small", value=False, margin=(10, 16),
            options={"labelled with this class": False, "of every class": True},
        )  # fmt: skip
        self._asked: tuple | None = None
        self._pictures: dict[int, str] = {}
        self._turn = 0
        self.listing.on_select(lambda _: changed())
        self.pool.param.watch(lambda *_: self._asked and (self.offer(*self._asked), changed()), "value")

    @property
    def chosen(self) -> tuple[int, int] | None:
        """Training position and class of the chosen candidate."""
        return pair(self.listing.selected)

    @property
    def first(self) -> tuple[int, int] | None:
        """Training position and class of the nearest candidate."""
        return pair(self.listing.rows[0]["id"]) if self.listing.rows else None

    def offer(self, reference: np.ndarray | None, target: int, what: str) -> None:
        """Show the candidates.

        Parameters
        ----------
        reference : ndarray or None
            ``[p]``: they are the nearest to it; None shows nothing.
        target : int
            Class that they would support.
        what : str
            What ``reference`` belongs to.
        """
        self._turn = turn = self._turn + 1
        self._asked = (reference, target, what)
        model, latents = self.app.model, self.app.model.latents
        if latents is None or reference is None:
            self.listing.label = (
                "The model holds no training vectors" if latents is None else "No candidates yet"
            )
            self._fill([])
            return
        rows, cosine = nearest_training(
            model, self.app.session.supports, reference, target, self.pool.value, NEAREST
        )
        index = [int(i) for i in latents.index[rows]]
        self.listing.label = f"Training images nearest to {what} that do not support {model.classes[target]}"
        missing = tuple(i for i in index if i not in self._pictures)
        if missing and not later(lambda: self._fetch(missing, turn)):
            self._keep(missing, self._images(missing))
        self._fill([
            {"id": f"{i}-{target}", "support": support_name(i), "class": class_of(latents, r, model.classes),
             "cosine": float(c)} for i, r, c in zip(index, rows, cosine, strict=True)
        ])  # fmt: skip

    def _images(self, index: tuple[int, ...]) -> np.ndarray:
        found = training_inputs(self.app.model, index)
        return (
            np.full((len(index), *self.app.model.supports.image.shape[1:]), 128, np.uint8)
            if found is None
            else found
        )

    async def _fetch(self, index: tuple[int, ...], turn: int) -> None:
        await asyncio.sleep(REST_S)
        if turn == self._turn:
            self._keep(index, await asyncio.to_thread(self._images, index))
            self._fill(self.listing.rows)

    def _keep(self, index: tuple[int, ...], pictures: np.ndarray) -> None:
        if len(self._pictures) > KEPT:
            self._pictures.clear()
        self._pictures |= {i: data_uri(p, 80) for i, p in zip(index, pictures, strict=True)}

    def _fill(self, rows: list[dict]) -> None:
        self.listing.rows = [{**r, "picture": self._pictures.get(pair(r["id"])[0], "")} for r in rows]
        if self.listing.selected not in {r["id"] for r in rows}:
            self.listing.selected = ""

    def __panel__(self) -> Any:
        return pn.Column(self.pool, self.listing, sizing_mode="stretch_width")


def pair(identity: str) -> tuple[int, int] | None:
    """Return training position and class of a row's id."""
    if not identity:
        return None
    position, _, target = identity.partition("-")
    return int(position), int(target)
