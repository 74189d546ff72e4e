"""A table that is read, sorted and chosen from: the text twin of what the other views draw."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import param

from xai_views.views.patches import OneWayComponent
from xai_views.views.scripts import esm


class Listing(OneWayComponent):
    """Rows of numbers, names and small pictures; sorted in the browser, chosen by click or key.

    Parameters
    ----------
    columns : list of dict
        ``{"key", "title", "kind", "digits", "limit"}``; ``kind`` is "text", "number" (``digits`` after the point,
        default 3), "signed" (a number with its sign), "bar" (a number with a signed bar, full at ``limit``), or
        "image" (a data URI).
    rows : list of dict
        One value per column and an ``id``.
    selected : str
        Id of the chosen row, "" for none.
    page : int
        Rows shown at first; a button shows more.
    """

    columns = param.List([], item_type=dict, doc="What each column shows.")
    rows = param.List([], item_type=dict, doc="The rows, each with an 'id'.")
    selected = param.String("", doc="Id of the chosen row; '' = none.")
    label = param.String("Table", doc="Caption of the table.")
    page = param.Integer(50, bounds=(1, None), doc="Rows shown at first.")
    height_limit = param.Integer(
        420, bounds=(80, None), doc="Height in CSS pixels beyond which the table scrolls."
    )
    dark = param.Boolean(None, allow_None=True, doc="Dark colours; None follows the page.")
    jump = param.Dict({}, doc="Which row code (not the hand) chose; set by the listing itself.")

    _esm = esm("shared_js/dom", "listing/listing", css="listing/listing")
    _rename = {"selected": None}

    def __init__(self, **params: Any) -> None:
        self._callbacks: list[Callable[[str], Any]] = []
        self._from_browser = False
        params.setdefault("sizing_mode", "stretch_width")
        super().__init__(**params)
        self.param.watch(self._jump, "selected")
        self._jump()

    def on_select(self, function: Callable[[str], Any]) -> None:
        """Call ``function(id)`` when a row was chosen by click or key."""
        self._callbacks.append(function)

    def _jump(self, *_: Any) -> None:
        if not self._from_browser:
            self.jump = {"n": self.jump.get("n", 0) + 1, "selected": self.selected}

    def _handle_msg(self, message: Any) -> None:
        if not isinstance(message, Mapping) or message.get("type") != "select":
            return
        chosen = str(message.get("id", ""))
        if not any(str(row.get("id")) == chosen for row in self.rows):
            return
        self._from_browser = True
        try:
            self.selected = chosen
        finally:
            self._from_browser = False
        for function in self._callbacks:
            function(chosen)
