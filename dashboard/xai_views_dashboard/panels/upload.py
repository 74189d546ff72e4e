"""One's own file: read within bounds, fitted to the model, explained like any other sample; images here, others elsewhere."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from html import escape
from typing import Any, ClassVar

import numpy as np
import panel as pn

from xai_views.errors import XaiViewsError
from xai_views.kinds.pixels import decode_sized
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
    """Return what a function makes of an upload, while no other upload is read.

    Raises
    ------
    XaiViewsError
        When too many wait already.
    """
    global _waiting  # noqa: PLW0603 - one for all pages
    if _waiting >= WAITING:
        raise XaiViewsError(f"{_waiting} files of other pages wait to be read; try again in a minute.")
    _waiting += 1
    try:
        return await asyncio.get_running_loop().run_in_executor(_reader, read, *args)
    finally:
        _waiting -= 1


def arrived(value: Any, advice: str) -> bytes:
    """Return an upload, or refuse it: the bound that holds however it was received.

    Raises
    ------
    XaiViewsError
        For more than ``MAX_BYTES``, with ``advice`` as its end, and for anything but the bytes of one file.
    """
    if not isinstance(value, bytes | bytearray):
        raise XaiViewsError(f"The upload came as {type(value).__name__}; choose one file.")
    if len(value) > MAX_BYTES:  # how large it really is was not kept
        raise XaiViewsError(f"The file has more than {MAX_BYTES / 1e6:.0f} MB; {advice}")
    return bytes(value)


class Input(patches.BoundedFileInput):
    """A file input that holds no more than this page takes."""

    most, most_name = MAX_BYTES, MOST_NAME


@dataclass(frozen=True)
class Taken:
    """What a file became: a sample of this page, what its row says, and what may be compared with it."""

    position: int
    row: Mapping[str, Any]
    came: Any = None


class FilePanel(Panel):
    """Upload a file and explain what is in it; it lives with this page and is stored nowhere.

    Subclasses give ``read``, and ``compare`` where there is something to compare.

    Attributes
    ----------
    what, accept : str
        What the button asks for, and the endings or types that the browser offers.
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
            label=f"Choose an {self.what} file",
            uploaded_label=f"Choose another {self.what} file",
            accept=self.accept,
            multiple=False,
            chunk_size=CHUNK,
            max_file_size=REFUSED,
            variant="outlined",
            width=260,
            margin=(8, 16),
        )
        self.problem = pn.Column(sizing_mode="stretch_width")
        self.answer = pn.Column(sizing_mode="stretch_width")
        self.listing = Listing(label=self.table, columns=list(self.columns), margin=(4, 16))
        self.taken = pn.Column(sizing_mode="stretch_width")
        self.listing.on_select(lambda name: setattr(app.state, "sample", app.session.names.index(name)))
        super().__init__(app)
        app.state.param.watch(self.write, "sample")
        self.input.param.watch(self._arrived, "value")

    # -- for subclasses -----------------------------------------------------------------------------------------

    def read(self, data: bytes, file: str) -> list[Taken]:
        """Read a file, bring what is in it to the model and add it to the session; called on a thread."""
        raise NotImplementedError

    def compare(self, taken: Taken) -> list[Any]:  # noqa: ARG002 - for subclasses
        """What came beside what the network is given."""
        return []

    # -- taking -------------------------------------------------------------------------------------------------

    def _arrived(self, event: Any) -> None:
        if event.new is not None:
            start(self.take(event.new, self.input.filename or ""))

    async def take(self, data: bytes, file: str = "") -> None:
        """Bring a file into view; what is wrong with it becomes one sentence and changes nothing.

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
            text = str(e)
            self.problem.objects = [note(text[:1].upper() + text[1:], "error")]
            return
        finally:
            self.input.clear()  # so that the same file can be chosen again
        on_page(lambda: self._show(taken, file[:MOST_NAME]))

    def _show(self, taken: list[Taken], file: str) -> None:
        """Bring what was taken into view."""
        self.problem.objects = []
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
            self.input,
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
        Where the page says whether the image resembles what the network knows; an app with such a place says so.
    """

    title = "Your image"
    what, accept = "image", "image/*"
    smaller = "make the image smaller."
    words = (
        "Explain an image of your own (at most 10 MB): it stays in this page's memory, is not stored, and is gone when the "
        "page is closed; an address copied from here opens the first sample instead."
    )
    table, columns = "Your images on this page", COLUMNS

    hint: ClassVar[str] = ""

    def __init__(self, app: Any) -> None:
        self.beneath = f"The network answers any image, also one that shows none of its classes{self.hint}."
        super().__init__(app)

    def read(self, data: bytes, file: str) -> list[Taken]:  # noqa: ARG002 - what it is stands in the file
        """Decode an image, and fit it to the model."""
        session, model = self.app.session, self.app.model
        size, original, image = _fitted(data, model.size or session.size, model.channels)
        position = session.add(image)
        return [Taken(position, {"picture": data_uri(image, 80)}, (original, image, size))]

    def compare(self, taken: Taken) -> list[Any]:
        """What came beside what the network sees."""
        name, (original, image, size) = self.app.session.names[taken.position], taken.came
        pictures = "".join(
            f'<figure><img class="{kind}" src="{source}" alt="{escape(name)} {words}"><figcaption>{words}</figcaption></figure>'
            for kind, source, words in (
                ("", data_uri(original, 320), "as it came"),
                ("fitted", png(image), "as the network sees it"),
            )
        )
        return [
            note(f"{name}: {changes(original, image, size)}"),
            pn.pane.HTML(
                f"<div>{pictures}</div>", stylesheets=[CSS], sizing_mode="stretch_width", margin=(4, 16)
            ),
        ]


def _fitted(
    data: bytes, size: tuple[int, int] | None, channels: int
) -> tuple[tuple[int, int], np.ndarray, np.ndarray]:
    """The size that an image came with, a picture of it of bounded size, and what the model sees of it."""
    original, came = decode_sized(data, max_bytes=MAX_BYTES)
    return came, original, fit(original, size, channels)


def changes(original: np.ndarray, image: np.ndarray, size: tuple[int, int] | None = None) -> str:
    """Say what was done to an image ``[H, W, 3]`` to make it the model's ``[height, width, channels]``.

    ``size`` is the height and width that it came with, where ``original`` is smaller.
    """
    (height, width), (to_height, to_width) = size or original.shape[:2], image.shape[:2]
    done = []
    if width * to_height != height * to_width:
        done.append("cropped around its centre")
    if (height, width) != (to_height, to_width):
        done.append(f"resized from {width}x{height} to {to_width}x{to_height} pixels")
    if image.shape[2] == 1:
        done.append("turned grey")
    if not done:
        return f"used as it came, with {width}x{height} pixels."
    return f"{', '.join(done[:-1])}{' and ' if len(done) > 1 else ''}{done[-1]}; the network sees only the right picture."
