"""The SIC app: a test sample, the support samples whose evidence adds up to its logit, and the pixels with that evidence.

``panel serve dashboard/sic.py`` serves it alone; ``xai-views serve`` serves it at ``/sic``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from xai_views.errors import XaiViewsError, without_folders
from xai_views.methods.sic.support_sets import UNCHANGED, check_supports
from xai_views_dashboard.core.app import App
from xai_views_dashboard.core.region import RegionResult
from xai_views_dashboard.core.tasks import on_page, start
from xai_views_dashboard.core.wishes import Wish
from xai_views_dashboard.panels.upload import UploadPanel
from xai_views_dashboard.sic import frame as pictures
from xai_views_dashboard.sic.answer import AnswerPanel, RegionPanel, covered
from xai_views_dashboard.sic.controls import controls
from xai_views_dashboard.sic.latent_map import MapView
from xai_views_dashboard.sic.session import SicSession
from xai_views_dashboard.sic.state import SicState
from xai_views_dashboard.sic.supports import SupportPanel


class YourImage(UploadPanel):
    """An uploaded image."""

    hint = "; All classes says whether it resembles the training images"


class SicApp(App):
    """Explain each answer by the training images behind it.

    Parameters
    ----------
    model : Model
        An opened SIC network with supports.
    samples : xarray.Dataset
        Images that fit it.
    **state
        First values of the state: parameters of the method ``sic``, and what
        :class:`xai_views_dashboard.sic.state.SicState` adds; ``sample`` may be an id.
    """

    key, title, method, preference = "sic", "SIC", "sic", 30
    selection, session_kind = SicState, SicSession
    panels_own = (AnswerPanel, SupportPanel, RegionPanel, MapView, YourImage)
    keys = {
        "1…9": "explain the n-th most probable class",
        "u": "undo the last change of the support set",
    }
    words = (
        "Red pixels raise the logit of the explained class, blue pixels lower it; the table lists the training images whose "
        "evidence adds up to the logit. This is what the network computed; it may still be wrong."
    )
    source = (
        "After Wolf et al., SIC (ICCV 2025), on B-cos networks (Boehle et al., 2024). Evidence is never negative, but single "
        "pixels can be: they mark what does not match."
    )

    def prepare(self) -> None:
        """Undo an impossible support set."""
        self.problem = self.refused()

    def layout(self) -> dict[str, Any]:
        """Tiles of the canvas."""
        return pictures.layout(known=bool({"part", "mask"} & set(self.samples.data_vars)))

    def frame(self, key: str, sample: int, result: xr.Dataset, wish: Wish) -> bytes:
        """Maps and ledger of one sample, with the supports of the wish."""
        edited = bool(self.changed(sample, wish))
        return pictures.build(key, self.session, sample, result, self.session.supports(wish.ask), edited)

    def begin(self) -> None:
        """Begin what sends to the browser, also the result of a region."""
        super().begin()
        self.regions.active = True

    def controls(self) -> list[Any]:
        """Return the choices of the explained and the compared class."""
        return [controls(self.state, self.model.classes)]

    def changed(self, sample: int, wish: Wish) -> str:  # noqa: ARG002 - of every sample
        """Return a remark where the support set was edited."""
        return "" if wish.ask.replace(**UNCHANGED).key == wish.ask.key else "edited support set"

    def facts(self) -> Mapping[str, Any]:
        """Return how many supports the model has."""
        return {"Supports": len(self.model.supports)}

    def link(self) -> None:
        """Mark the selected support in the ledger, and tell the result of a brushed region."""
        self.regions = RegionResult(self, lambda result: result["contribution"].values[0, 0], covered)
        self.state.param.watch(self.chosen, "support")
        self.chosen()

    def chosen(self, *_: Any) -> None:
        """Mark the selected support."""
        self.canvas.row = str(self.state.support) if self.state.support >= 0 else ""

    def asked(self, *events: Any) -> None:
        """Request what the state says, unless the support set is impossible."""
        problem = self.refused()
        if problem or any(e.name in self.state.EDITS for e in events):
            self.problem = problem
        if not problem:
            super().asked()

    def refused(self) -> str:
        """Undo an impossible support set and return the reason; "" for a possible one."""
        try:
            check_supports(self.model, self.ask())
        except XaiViewsError as error:
            if not self.state.undo():  # it came from an address or a script
                self.state.param.update(**UNCHANGED)
            return without_folders(error)
        return ""

    def selected(self, message: Mapping[str, Any]) -> None:
        """Select the clicked support."""
        row = str(message.get("row"))
        if row.isdigit():
            self.state.support = int(row)

    def pressed(self, key: str) -> None:
        """Explain the n-th most probable class for a digit, undo the last edit for ``u``."""
        if self.state.hidden and key.isdigit():
            return  # the class would be shown above the picture
        if key.isdigit() and key != "0":
            start(self.explain_place(int(key), self.state.sample, self.wish()))
        elif key == "u":
            self.state.undo()

    async def explain_place(self, place: int, sample: int, wish: Wish) -> None:
        """Explain the class of a rank (1 = the most probable) in the current explanation."""
        try:
            result = await self.explained(sample, wish, priority=1)
        except XaiViewsError:
            return  # the canvas says what went wrong
        order = np.argsort(-result["logit"].values[0], kind="stable")
        if place <= len(order):
            on_page(
                lambda: sample == self.state.sample and self.state.param.update(target=int(order[place - 1]))
            )
