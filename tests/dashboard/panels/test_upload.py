"""Uploads: explained like any sample, or refused with one sentence and no other change."""

from __future__ import annotations

import asyncio
import io
import re
import time

import numpy as np
import pytest
from PIL import Image

from xai_views.errors import XaiViewsError
from xai_views.samples import fit
from xai_views.views import patches
from xai_views_dashboard.panels import upload
from xai_views_dashboard.panels.upload import MAX_BYTES, MOST_NAME, UploadPanel, changes


def encoded(size=(40, 20), kind="PNG", mode="RGB", seed=0) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 255, (size[1], size[0], 3)).astype(np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(out, kind)
    return out.getvalue()


def panel(app) -> UploadPanel:
    return next(p for p in app.panels if isinstance(p, UploadPanel))


def said(app) -> str:
    return " ".join(re.sub("<[^>]+>", "", p.object) for p in panel(app).answer.objects)


def trouble(app) -> str:
    return " ".join(p.object for p in panel(app).problem.objects)


async def send(app, data: bytes, name: str = "mine.png", chunk: int = 1000) -> None:
    """Send a file as the browser does: pieces, then the end."""
    parts = [data[i : i + chunk] for i in range(0, len(data), chunk)]
    for k, part in enumerate(parts):
        panel(app).input._handle_msg(
            {
                "status": "upload_event",
                "name": name,
                "chunk": k + 1,
                "total_chunks": len(parts),
                "mime_type": "image/png",
                "data": part,
            }
        )
    before = (len(app.session), trouble(app))
    panel(app).input._handle_msg({"status": "finished"})
    for _ in range(3000):
        await asyncio.sleep(0.01)
        shown = len(app.session) > before[0] and app.state.sample == len(app.session) - 1
        if shown or trouble(app) != before[1]:
            break


async def test_an_upload_comes_into_view(open_app):
    app = open_app()
    data = encoded()
    await send(app, data)
    n = app.session.population.n
    assert app.state.sample == n
    assert app.session.names[-1] == "upload-1"
    assert app.canvas.order[-1] == app.canvas.sample == "upload-1"
    wanted = fit(np.asarray(Image.open(io.BytesIO(data))), (10, 10), 3)
    np.testing.assert_array_equal(app.session.image(n), wanted)
    assert app.session.label(n) == -1
    assert "cropped around its centre and resized from 40×20 to 10×10 pixels" in said(app)
    assert panel(app).answer.objects[1].object.count("<img") == 2
    assert trouble(app) == ""
    assert [r["file"] for r in panel(app).listing.rows] == ["mine.png"]
    assert list(panel(app).taken) == [panel(app).listing]


async def test_its_explanation_adds_up(open_app):
    app = open_app()
    await send(app, encoded())
    session = app.session
    result = await session.explain(app.state.sample, app.ask())
    total = result["bias"].values + [
        result["evidence"].values[0][result["support_class"].values == c].sum() for c in range(3)
    ]
    np.testing.assert_allclose(total, result["logit"].values[0], atol=1e-4)


async def test_a_grey_model_sees_grey(open_app):
    app = open_app(channels=1)
    await send(app, encoded((10, 10)))
    assert app.session.image(app.state.sample).shape == (10, 10, 1)
    assert "converted to grey" in said(app)


@pytest.mark.parametrize(
    ("kind", "mode"),
    [("JPEG", "RGB"), ("PNG", "RGBA"), ("PNG", "P"), ("GIF", "P"), ("WEBP", "RGB"), ("BMP", "RGB")],
)
async def test_many_formats(open_app, kind, mode):
    app = open_app()
    await send(app, encoded(kind=kind, mode=mode))
    assert trouble(app) == ""
    assert app.session.image(app.state.sample).shape == (10, 10, 3)


@pytest.mark.parametrize(("data", "word"), [
    (b"", "empty"), (b"only words", "not an image"), (encoded()[:200], "damaged"), (b"\x89PNG\r\n\x1a\n" + bytes(50), "image"),
    (b"%PDF-1.4 " + bytes(100), "not an image"), (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not an image"),
])  # fmt: skip
async def test_what_is_no_image_is_one_sentence(open_app, data, word):
    app = open_app(sample=3)
    await send(app, encoded())
    shown, order = said(app), app.canvas.order
    await send(app, data, "bad.png")
    assert word in trouble(app)
    assert 'role="alert"' in trouble(app)
    assert "Traceback" not in trouble(app)
    assert re.sub("<[^>]+>", "", trouble(app)).strip().count(". ") == 0
    assert said(app) == shown  # what was there stays
    assert app.canvas.order == order
    assert len(app.session.uploads) == 1
    await send(app, encoded(seed=1))
    assert trouble(app) == ""
    assert len(app.session.uploads) == 2


async def test_a_huge_file_is_neither_kept_nor_taken(open_app):
    app = open_app()
    kept = []
    collect = panel(app).input._flush_buffer
    panel(app).input._flush_buffer = lambda: (
        kept.append(sum(len(b["value"]) for b in panel(app).input._buffer)),
        collect(),
    )
    await send(app, b"\x89PNG\r\n" + bytes(25_000_000), "huge.png", chunk=2_000_000)
    assert "too large (limit: 10 MB)" in trouble(app)
    assert kept == [MAX_BYTES + 1]
    assert not app.session.uploads
    await send(app, encoded(), "huge.png")
    assert len(app.session.uploads) == 1


async def test_however_it_was_received_a_large_file_is_not_taken(open_app, monkeypatch):
    """The bound that holds when Panel no longer calls what ``ImageInput`` overrides."""
    monkeypatch.delattr(patches.BoundedFileInput, "_process_chunk")
    monkeypatch.delattr(patches.BoundedFileInput, "_flush_buffer")
    app = open_app()
    await send(app, b"\x89PNG\r\n" + bytes(12_000_000), "huge.png", chunk=2_000_000)
    assert "too large (limit: 10 MB)" in trouble(app)
    await panel(app).take(["one", "two"], "x.png")
    assert "No file arrived" in trouble(app)
    assert not app.session.uploads


def held(widget) -> int:
    pieces = [d for f in widget._file_buffer.values() for d in f["chunks"].values()]
    return sum(map(len, [*pieces, *[b["value"] for b in widget._buffer]]))


@pytest.mark.parametrize("total", [1, 2, 3, 50])
async def test_many_names_hold_no_more_than_one(open_app, total):
    widget = panel(open_app()).input
    for k in range(30):
        for first in (1, 2)[:total]:
            widget._process_chunk(
                {
                    "name": f"{k}.png",
                    "chunk": first,
                    "total_chunks": total,
                    "mime_type": "",
                    "data": bytes(1_000_000),
                }
            )
    assert held(widget) <= MAX_BYTES + 1
    piece = {"name": "x", "chunk": 2, "total_chunks": 1000, "mime_type": "", "data": b""}
    pieces = ({**piece, "chunk": k + 2} for k in range(2000))
    with pytest.raises(XaiViewsError, match="at most 1000 pieces"):
        list(map(widget._process_chunk, pieces))
    with pytest.raises(XaiViewsError, match="at most 1000 pieces"):
        widget._process_chunk({**piece, "chunk": 1, "total_chunks": 10**9})


async def test_a_large_picture_comes_into_view(open_app):
    app = open_app()
    out = io.BytesIO()
    Image.new("RGB", (3000, 2000), "teal").save(out, "PNG")
    await send(app, out.getvalue(), "x" * 5000 + ".png", chunk=2_000_000)
    assert "resized from 3000×2000 to 10×10 pixels" in said(app)
    assert len(panel(app).listing.rows[0]["file"]) == MOST_NAME


async def test_uploads_are_read_one_after_the_other(monkeypatch):
    at_once, most = 0, 0

    def read() -> None:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        time.sleep(0.005)
        at_once -= 1

    await asyncio.gather(*[upload.read_alone(read) for _ in range(8)])
    assert most == 1
    monkeypatch.setattr(upload, "WAITING", 3)
    answers = await asyncio.gather(*[upload.read_alone(read) for _ in range(5)], return_exceptions=True)
    assert [str(a) for a in answers if a] == [
        "3 files of other visitors are waiting to be read; try again in a minute."
    ] * 2
    await upload.read_alone(read)


async def test_the_same_file_twice(open_app):
    app = open_app()
    await send(app, encoded())
    await send(app, encoded())
    assert app.session.names[-2:] == ["upload-1", "upload-2"]
    panel(app).listing._handle_msg({"type": "select", "id": "upload-1"})
    assert app.session.names[app.state.sample] == "upload-1"
    app.state.sample = 0
    assert panel(app).listing.selected == ""


async def test_there_is_an_end_to_it(open_app):
    app = open_app()
    for i in range(50):
        app.session.add(np.full((10, 10, 3), i, np.uint8))
    await send(app, encoded())
    assert "50 uploaded images" in trouble(app)


async def test_two_pages_do_not_see_each_others_uploads(open_app):
    one, other = open_app(), open_app()
    await send(one, encoded())
    assert len(other.session) == other.session.population.n
    assert "upload-1" not in other.session.names
    assert "upload-1" not in other.canvas.order
    assert said(other) == ""
    await send(other, encoded(seed=5))
    assert one.session.digest(len(one.session) - 1) != other.session.digest(len(other.session) - 1)


async def test_the_address_of_an_upload_opens_the_first_sample(open_app):
    app = open_app()
    await send(app, encoded())
    query = app.state.query(app.session.names)
    other = open_app()
    problems = other.state.restore(query, other.session.names)
    assert other.state.sample == 0
    assert len(problems) == 1
    assert "upload-1" in problems[0]


async def test_names_of_files_are_text(open_app):
    app = open_app()
    await send(app, encoded(), '"><script>alert(1)</script>.png')
    assert panel(app).listing.rows[0]["file"].startswith('"><script>')  # the table writes text, never HTML
    assert "<script>" not in "".join(p.object for p in panel(app).answer.objects)


def test_what_was_done_to_it():
    def image(h, w, c=3):
        return np.zeros((h, w, c), np.uint8)

    assert changes(image(10, 10), image(10, 10)) == "used unchanged (10×10 pixels)."
    assert changes(image(20, 20), image(10, 10)).startswith("resized from 20×20 to 10×10 pixels; ")
    assert changes(image(10, 10), image(10, 10, 1)).startswith("converted to grey; ")
    assert changes(image(10, 30), image(10, 10)).startswith(
        "cropped around its centre and resized from 30×10"
    )
