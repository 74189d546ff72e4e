"""Upload of a file: read within bounds, prepared for the model, explained like any other sample; images here."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from html import escape
from typing import Any, ClassVar

import numpy as np
import panel as pn
import panel_material_ui as pmui

from xai_views.errors import XaiViewsError, without_folders
from xai_views.kinds.pixels import decode_sized, pictures_in
from xai_views.samples import fit
from xai_views.views import Listing, patches
from xai_views.views.plots import data_uri
from xai_views_dashboard.core.page import caption, note
from xai_views_dashboard.core.panel import Panel
from xai_views_dashboard.core.pictures import png
from xai_views_dashboard.core.tasks import on_page, start

MAX_BYTES = 10_000_000
CHUNK = 2_000_000  # bytes in one message: a larger file than the server takes must not end the connection
REFUSED = 200_000_000  # beyond this the browser does not begin to send
WAITING = 40  # files of all pages that wait to be read, each in memory
MOST_NAME = 200  # letters of a file's name that are kept
CSS = """
:host { font-family: Roboto, system-ui, sans-serif; }
div { display: flex; flex-wrap: wrap; gap: 16px; }
figure { margin: 0; width: 160px; }
img { display: block; max-width: 160px; max-height: 160px; border-radius: 6px; border: 1px solid var(--mui-palette-divider); }
img.fitted { width: 160px; image-rendering: pixelated; }
figcaption { font-size: 0.75rem; line-height: 1.4; margin-top: 4px; color: var(--mui-palette-text-secondary); }
"""
COLUMNS = [{"key": "picture", "title": "", "kind": "image"}, {"key": "name", "title": "sample"},
           {"key": "file", "title": "file"}]  # fmt: skip


# Files are read one after the other: eight at once would take eight times the memory, and the threads of all pages.
_reader = ThreadPoolExecutor(1, "upload")
_waiting = 0


async def read_alone(read: Callable[..., Any], *args: Any) -> Any:
    """Return the result of reading an upload, while no other upload is read.

    Raises
    ------
    XaiViewsError
        When too many wait already.
    """
    global _waiting  # noqa: PLW0603 - one for all pages
    if _waiting >= WAITING:
        raise XaiViewsError(
            f"{_waiting} files of other visitors are waiting to be read; try again in a minute."
        )
    _waiting += 1
    try:
        return await asyncio.get_running_loop().run_in_executor(_reader, read, *args)
    finally:
        _waiting -= 1


def arrived(value: Any, advice: str) -> bytes:
    """Return the bytes of an upload, or refuse it.

    Raises
    ------
    XaiViewsError
        For more than ``MAX_BYTES``, with ``advice`` as its end, and for anything but the bytes of one file.
    """
    if not isinstance(value, bytes | bytearray):
        raise XaiViewsError("No file arrived; choose one file.")
    if len(value) > MAX_BYTES:  # how large it really is was not kept
        raise XaiViewsError(f"The file is too large (limit: {MAX_BYTES / 1e6:.0f} MB); {advice}")
    return bytes(value)


class Input(patches.BoundedFileInput):
    """A file input that holds no more than this page takes."""

    most, most_name = MAX_BYTES, MOST_NAME


@dataclass(frozen=True)
class Taken:
    """A sample from a file: its position, its row in the table, and what it is compared with."""

    position: int
    row: Mapping[str, Any]
    came: Any = None


class FilePanel(Panel):
    """Upload a file and explain what is in it; it lives with this page and is stored nowhere.

    Subclasses give ``read``, ``compare`` where there is something to compare, and ``fields`` with ``asked_for`` where a file may
    not say all that is needed: the page then asks for it, and keeps the file until it is read again.

    Attributes
    ----------
    what, accept : str
        Kind of file, for the button, and the endings or types that the browser offers.
    smaller : str
        What to do about a file that is too large.
    words, beneath : str
        Above the button, and under the table.
    table, columns : str, sequence of mapping
        Name and columns of the table of what was uploaded.
    """

    question = "what-if"
    watched = ()
    what: ClassVar[str]
    accept: ClassVar[str]
    smaller: ClassVar[str]
    words: ClassVar[str] = ""
    beneath: str = ""
    table: ClassVar[str]
    columns: ClassVar[Sequence[Mapping[str, Any]]]

    def __init__(self, app: Any) -> None:
        self.input = Input(
            label=f"Choose {self.what} file",
            uploaded_label=f"Choose another {self.what} file",
            accept=self.accept,
            multiple=False,
            chunk_size=CHUNK,
            max_file_size=REFUSED,
            variant="outlined",
            width=260,
            margin=(8, 16),
        )
        self.again = pmui.Button(label="Read file again", variant="outlined", size="small", visible=False)
        self._held: tuple[bytes, str] | None = None
        self.asked = self.fields()
        self.problem = pn.Column(sizing_mode="stretch_width")
        self.answer = pn.Column(sizing_mode="stretch_width")
        self.listing = Listing(label=self.table, columns=list(self.columns), margin=(4, 16))
        self.taken = pn.Column(sizing_mode="stretch_width")
        self.listing.on_select(lambda name: setattr(app.state, "sample", app.session.names.index(name)))
        super().__init__(app)
        app.state.param.watch(self.write, "sample")
        self.input.param.watch(self._arrived, "value")
        self.again.on_click(self._read_again)

    # -- for subclasses -----------------------------------------------------------------------------------------

    def read(self, data: bytes, file: str) -> list[Taken]:
        """Read a file, bring what is in it to the model and add it to the session; called on a thread."""
        raise NotImplementedError

    def fields(self) -> list[Any]:
        """Return fields for what a file may not say; none by default."""
        return []

    def asked_for(self, error: XaiViewsError) -> str:  # noqa: ARG002 - for subclasses
        """Return the sentence that asks for what a file does not say; "" for another error."""
        return ""

    def compare(self, taken: Taken) -> list[Any]:  # noqa: ARG002 - for subclasses
        """Return the original beside the network's input."""
        return []

    # -- taking -------------------------------------------------------------------------------------------------

    def _arrived(self, event: Any) -> None:
        if event.new is not None:
            start(self.take(event.new, self.input.filename or ""))

    def _read_again(self, *_: Any) -> None:
        if self._held is not None:
            start(self.take(*self._held))

    async def take(self, data: bytes, file: str = "") -> None:
        """Read a file and show it; what is wrong becomes one sentence beside the control and changes nothing else.

        Parameters
        ----------
        data : bytes
            The file.
        file : str
            Its name, for people; its ending may say what it is.
        """
        try:
            taken = await read_alone(self.read, arrived(data, self.smaller), file)
        except XaiViewsError as e:
            asked = self.asked_for(e)
            text = asked or without_folders(e)
            # where the page has fields, what is in them may be what is wrong: the file is kept to be read again
            self._held = (
                (data, file)
                if self.asked and isinstance(data, bytes | bytearray) and len(data) <= MAX_BYTES
                else None
            )
            self.again.visible = self._held is not None
            self.problem.objects = [note(text[:1].upper() + text[1:], "info" if asked else "error")]
            return
        finally:
            self.input.clear()  # so that the same file can be chosen again
        on_page(lambda: self._show(taken, file[:MOST_NAME]))

    def _show(self, taken: list[Taken], file: str) -> None:
        """Show what was read."""
        self.problem.objects = []
        self._held, self.again.visible = None, False
        names = [self.app.session.names[t.position] for t in taken]
        rows = [{"id": n, "name": n, "file": file, **t.row} for n, t in zip(names, taken, strict=True)]
        self.listing.rows = [*self.listing.rows, *rows]
        self.taken.objects = [self.listing]
        self.app.canvas.order = [*self.app.canvas.order, *names]
        self.app.state.sample = taken[0].position
        self.write()
        self.answer.objects = self.compare(taken[0])

    def write(self, *_: Any) -> None:
        """Mark the sample in view."""
        name = self.app.session.names[self.app.state.sample]
        self.listing.selected = name if any(r["id"] == name for r in self.listing.rows) else ""

    def __panel__(self) -> Any:
        beneath = [caption(self.beneath)] if self.beneath else []
        return pn.Column(
            caption(self.words),
            pn.FlexBox(self.input, *self.asked, self.again, align_items="center", gap="8px"),
            self.problem,
            self.answer,
            self.taken,
            *beneath,
            sizing_mode="stretch_width",
        )


class UploadPanel(FilePanel):
    """Upload an image.

    Parameters
    ----------
    app : App
        Gives session, state and canvas.

    Attributes
    ----------
    hint : str
        Where the page says whether the image resembles the training images; set by an app with such a place.
    """

    title = "Your image"
    what, accept = "image", "image/*"
    smaller = "make the image smaller."
    words = "Upload an image (at most 10 MB). It stays in memory only while this page is open. A copied link cannot include it."
    table, columns = "Your images on this page", COLUMNS

    hint: ClassVar[str] = ""

    def __init__(self, app: Any) -> None:
        self.beneath = f"The network answers for any image, even one showing none of its classes{self.hint}."
        super().__init__(app)

    def read(self, data: bytes, file: str) -> list[Taken]:  # noqa: ARG002 - what it is stands in the file
        """Decode an image and fit it to the model."""
        session, model = self.app.session, self.app.model
        size, original, image = _fitted(data, model.size or session.size, model.channels)
        position = session.add(image)
        return [Taken(position, {"picture": data_uri(image, 80)}, (original, image, size, pictures_in(data)))]

    def compare(self, taken: Taken) -> list[Any]:
        """Return the uploaded image beside the network's input."""
        name, (original, image, size, pages) = self.app.session.names[taken.position], taken.came
        pictures = "".join(
            f'<figure><img class="{kind}" src="{source}" alt="{escape(name)} {words}"><figcaption>{words}</figcaption></figure>'
            for kind, source, words in (
                ("", data_uri(original, 320), "original"),
                ("fitted", png(image), "the network's input"),
            )
        )
        return [
            note(f"{name}: {changes(original, image, size, pages)}"),
            pn.pane.HTML(
                f"<div>{pictures}</div>", stylesheets=[CSS], sizing_mode="stretch_width", margin=(4, 16)
            ),
        ]


def _fitted(
    data: bytes, size: tuple[int, int] | None, channels: int
) -> tuple[tuple[int, int], np.ndarray, np.ndarray]:
    """Return the original size of an image, a picture of it of bounded size, and the model's input."""
    original, came = decode_sized(data, max_bytes=MAX_BYTES)
    return came, original, fit(original, size, channels)


def changes(
    original: np.ndarray, image: np.ndarray, size: tuple[int, int] | None = None, pages: int = 1
) -> str:
    """Say how an image ``[H, W, 3]`` was prepared for the model, ``[height, width, channels]``.

    Parameters
    ----------
    original, image : ndarray
        The uploaded image and the model's input.
    size : tuple of int, optional
        Original height and width, where ``original`` is smaller.
    pages : int
        Pictures in the file; the first is used.
    """
    (height, width), (to_height, to_width) = size or original.shape[:2], image.shape[:2]
    done = [f"the first of {pages} pictures in the file is used"] if pages > 1 else []
    if width * to_height != height * to_width:
        done.append("cropped around its centre")
    if (height, width) != (to_height, to_width):
        done.append(f"resized from {width}×{height} to {to_width}×{to_height} pixels")
    if image.shape[2] == 1:
        done.append("converted to grey")
    if not done:
        return f"used unchanged ({width}×{height} pixels)."
    said = f"{', '.join(done[:-1])}{' and ' if len(done) > 1 else ''}{done[-1]}"
    return f"{said}; the network sees the picture on the right."
