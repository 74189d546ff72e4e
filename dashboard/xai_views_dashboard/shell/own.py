"""One's own model and samples, at the top of the start page: the command that opens them, and uploads of samples."""

from __future__ import annotations

import json
from html import escape
from pathlib import Path
from typing import Any

import panel as pn
import param

from xai_views.errors import XaiViewsError, without_folders
from xai_views.samples.uploaded import ACCEPT, open_uploaded
from xai_views.views.patches import OneWayComponent
from xai_views_dashboard.core.page import note
from xai_views_dashboard.core.tasks import on_page, start
from xai_views_dashboard.panels.upload import CHUNK, REFUSED, Input, arrived, read_alone
from xai_views_dashboard.shell.found import found
from xai_views_dashboard.shell.header import address
from xai_views_dashboard.shell.offers import app_for, model_offer
from xai_views_dashboard.shell.shelf import Shelf

_HERE = Path(__file__).parent


def _module() -> str:
    css = json.dumps((_HERE / "own.css").read_text(encoding="utf-8"))
    return f"const CSS = {css};\n{(_HERE / 'own.js').read_text(encoding='utf-8')}"


class Command(OneWayComponent):
    """The command that starts a server with one's own model and samples, ready to copy.

    Parameters
    ----------
    models, samples : list of str
        What was found, relative to the folder of the server; the first of each is chosen.
    """

    models = param.List([], item_type=str, doc="Values for --model.")
    samples = param.List([], item_type=str, doc="Values for --samples.")

    _esm = _module()


class Upload(pn.viewable.Viewer):
    """Takes one file and says with which models and apps its samples can be opened.

    Parameters
    ----------
    shelf : Shelf
        Keeps the samples, in memory.
    """

    def __init__(self, shelf: Shelf) -> None:
        super().__init__()
        self.shelf = shelf
        self.input = Input(
            label="Upload samples",
            uploaded_label="Upload other samples",
            accept=ACCEPT,
            multiple=False,
            chunk_size=CHUNK,
            max_file_size=REFUSED,
            variant="outlined",
            width=200,
            margin=0,
        )
        self.answer = pn.Column(sizing_mode="stretch_width", margin=0)
        self.input.param.watch(self._arrived, "value")

    def _arrived(self, event: Any) -> None:
        if event.new is not None:
            start(self.take(event.new, self.input.filename or ""))

    async def take(self, data: bytes, file: str) -> None:
        """Read a file; what is wrong with it becomes one sentence beside the button.

        Parameters
        ----------
        data : bytes
            The file.
        file : str
            Its name; its ending says what it is.
        """
        try:
            uploaded = await read_alone(lambda: open_uploaded(file, arrived(data, "choose a smaller file.")))
        except XaiViewsError as error:
            text = without_folders(error)
            shown: Any = note(text[:1].upper() + text[1:], "error")
        else:
            name = self.shelf.uploads.add(uploaded)
            shown = pn.pane.HTML(
                ways(self.shelf, name), stylesheets=[CSS], sizing_mode="stretch_width", margin=0
            )
        finally:
            self.input.clear()  # so that the same file can be chosen again
        on_page(lambda: setattr(self.answer, "objects", [shown]))

    def __panel__(self) -> Any:
        return pn.Column(self.input, _small(_UPLOAD), self.answer, sizing_mode="stretch_width", margin=0)


def ways(shelf: Shelf, name: str) -> str:
    """Return links to every model that takes uploaded samples, each in the app that suits it, as HTML."""
    uploaded = shelf.uploads.get(name)
    offers = [model_offer(model, source) for model, source in shelf.models.items()]
    links = [
        f'<a href="{escape(address(app, offer.name, name))}">{escape(offer.title)}</a>'
        for offer in offers
        if offer.kind in {uploaded.kind, ""} and (app := app_for(offer))
    ]
    number = len(uploaded.names)
    what = {"image": "image", "signal": "record"}.get(uploaded.kind, "sample") + ("s" if number != 1 else "")
    kept = "Kept in this server's memory; only who has the link can open them."
    head = f"<p><b>{escape(uploaded.title)}</b>: {number} {what}. {kept}</p>"
    return f'<div class="ways" role="status">{head}<p>Open with: {" · ".join(links) or "no model here takes them."}</p></div>'


_RUN = "Run this in a terminal, with a function that returns your PyTorch model."
_UPLOAD = "Images, a .zip or .npz of images, or an ECG; at most 10 MB."


def _small(text: str) -> pn.pane.HTML:
    return pn.pane.HTML(
        f'<p class="small">{text}</p>', stylesheets=[CSS], sizing_mode="stretch_width", margin=0
    )


def own(shelf: Shelf) -> Any:
    """Return the part of the start page for one's own model and samples."""
    here = found()
    title = '<h2 id="own">Your model and samples</h2>'
    command = Command(
        models=list(here.models), samples=list(here.samples), sizing_mode="stretch_width", margin=0
    )
    return pn.Column(
        pn.pane.HTML(title, stylesheets=[CSS], margin=0),
        pn.FlexBox(
            pn.Column(command, _small(_RUN), min_width=280, margin=0, styles={"flex": "3 1 480px"}),
            pn.Column(Upload(shelf), min_width=200, margin=0, styles={"flex": "1 1 280px"}),
            gap="12px 20px",
            sizing_mode="stretch_width",
            margin=0,
        ),
        css_classes=["xv-own"],
        stylesheets=[BOX],
        sizing_mode="stretch_width",
        margin=(8, 20),
    )


BOX = """
:host(.xv-own) {
  padding: 12px 16px 14px; border-radius: 10px; background: var(--panel-surface-color);
  border: 1px solid var(--mui-palette-divider); box-sizing: border-box;
}
"""
CSS = """
:host { font-family: Roboto, system-ui, sans-serif; color: var(--mui-palette-text-primary); }
h2 { font-size: 1rem; margin: 0 0 8px; }
.small { margin: 6px 0 0; font-size: 0.8125rem; line-height: 1.4; color: var(--mui-palette-text-secondary); }
.ways p { margin: 8px 0 0; font-size: 0.8125rem; line-height: 1.5; color: var(--mui-palette-text-secondary); }
.ways a { color: var(--panel-primary-color); }
"""
