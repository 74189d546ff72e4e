"""Copy link, and the menu that saves and opens what a page shows."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from typing import Any

import param

from xai_views.views.patches import OneWayComponent
from xai_views.views.scripts import esm, style

SCRIPTS = ("shared_js/dom", "save_menu/save_menu")
#: Bytes of a file that is opened; the browser refuses larger ones, and so does the page.
MOST_BYTES = 1_000_000


class SaveMenu(OneWayComponent):
    """The buttons "Copy link" and "Save"; downloads and the clipboard are the browser's.

    Parameters
    ----------
    entries : list of dict
        Of the menu: ``{"id", "label", "disabled"}``; ``disabled`` is "" or the reason. An entry of the id "open" lets the
        person choose a file.
    fixed : dict
        Entries that a copied link holds although the address may not, such as the model.
    remark : str
        Said when a link is copied, beside "Link copied"; "" for nothing.
    """

    entries = param.List([], item_type=dict, doc="Entries of the menu.")
    fixed = param.Dict({}, doc="Entries that a copied link always holds.")
    remark = param.String("", doc="What a copied link cannot include.")
    file = param.Dict({}, doc="The file that the browser saves next; set by hand_over().")
    said = param.Dict({}, doc="The sentence under the buttons; set by say().")
    revealed = param.Dict({}, doc="What the page scrolls to; set by reveal().")
    most = param.Integer(MOST_BYTES, doc="Bytes of a file that is opened.")
    dark = param.Boolean(None, allow_None=True, doc="Dark colours; None follows the page.")

    _esm = f"const MENU_CSS = {style('save_menu/save_menu')};\n" + esm(*SCRIPTS)

    def __init__(self, **params: Any) -> None:
        self._chosen: list[Callable[[str], Any]] = []
        self._opened: list[Callable[[str], Any]] = []
        super().__init__(**{"margin": 0, "align": "center", **params})

    def on_choose(self, function: Callable[[str], Any]) -> None:
        """Call ``function(id)`` when an entry of the menu is chosen; one that is disabled never is."""
        self._chosen.append(function)

    def on_open(self, function: Callable[[str], Any]) -> None:
        """Call ``function(text)`` with the text of a file that was chosen."""
        self._opened.append(function)

    def hand_over(self, name: str, data: str | bytes, kind: str, drawn: bool = False) -> None:
        """Let the browser save a file.

        Parameters
        ----------
        name : str
            Of the file.
        data : str or bytes
            What it holds.
        kind : str
            Its media type.
        drawn : bool
            Whether ``data`` is SVG that the browser draws at twice its size and saves as PNG.
        """
        raw = data.encode() if isinstance(data, str) else data
        self.file = {
            "n": self.file.get("n", 0) + 1,
            "name": name,
            "kind": kind,
            "drawn": drawn,
            "data": base64.b64encode(raw).decode(),
        }

    def say(self, text: str, href: str = "", link: str = "", lasting: bool = False) -> None:
        """Show one sentence under the buttons, with a link where there is one; a lasting one stays until it is closed."""
        self.said = {
            "n": self.said.get("n", 0) + 1,
            "text": text,
            "href": href,
            "link": link,
            "lasting": lasting,
        }

    def reveal(self, css_class: str) -> None:
        """Scroll the page to the first element of a class."""
        self.revealed = {"n": self.revealed.get("n", 0) + 1, "css": css_class}

    def _handle_msg(self, message: Any) -> None:
        if not isinstance(message, Mapping):
            return
        kind = message.get("type")
        if kind == "choose":
            wanted = {e["id"]: e.get("disabled", "") for e in self.entries}
            if wanted.get(message.get("id"), "not there") == "":
                for function in self._chosen:
                    function(str(message["id"]))
        elif kind == "open" and isinstance(message.get("text"), str):
            for function in self._opened:
                function(message["text"])
