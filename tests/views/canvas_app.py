"""A small page of synthetic samples on the canvas, for the browser tests and for viewing.

``python tests/views/canvas_app.py PORT``. Every picture carries a block whose colour encodes the sample's
index; the maps are closed formulas, so that a test can compute every read-out.
"""

from __future__ import annotations

import asyncio
import sys

import numpy as np
import panel as pn
from PIL import Image, ImageDraw, ImageFilter

from xai_views.errors import MethodError
from xai_views.views import Canvas, Filmstrip, Frame

N, SIDE, CELLS, SUPPORTS = 40, 128, 32, 6
CLASS = "laysan albatross"
NAMES = ["sky", "beak", "wing", "breast", "tail", "leg", "eye", "ground", "bough", "leaf"]


def code(index: int) -> tuple[int, int, int]:
    """Return the colour that encodes a sample."""
    return (index & 15) * 16 + 8, (index >> 4 & 15) * 16 + 8, 128


def photo(index: int, side: int = SIDE) -> np.ndarray:
    """Return a made-up bird, ``[side, side, 3]`` uint8, with the code in its lower left corner."""
    rng = np.random.default_rng(index)
    top, bottom = rng.integers(90, 220, 3), rng.integers(120, 230, 3)
    ramp = np.linspace(0, 1, side)[:, None, None]
    sky = np.broadcast_to(top * (1 - ramp) + bottom * ramp, (side, side, 3)).astype(np.uint8)
    image = Image.fromarray(sky.copy())
    draw = ImageDraw.Draw(image)
    x, y = rng.uniform(0.38, 0.6, 2) * side
    body, wing = tuple(rng.integers(30, 230, 3)), tuple(rng.integers(30, 230, 3))
    draw.ellipse([x - 0.28 * side, y - 0.14 * side, x + 0.2 * side, y + 0.16 * side], fill=body)
    draw.ellipse([x + 0.1 * side, y - 0.24 * side, x + 0.3 * side, y - 0.04 * side], fill=body)
    draw.polygon(
        [
            (x + 0.28 * side, y - 0.16 * side),
            (x + 0.42 * side, y - 0.12 * side),
            (x + 0.28 * side, y - 0.09 * side),
        ],
        fill=(230, 160, 40),
    )
    draw.polygon(
        [
            (x - 0.2 * side, y - 0.06 * side),
            (x + 0.1 * side, y - 0.02 * side),
            (x - 0.12 * side, y + 0.14 * side),
        ],
        fill=wing,
    )
    draw.ellipse([x + 0.2 * side, y - 0.18 * side, x + 0.24 * side, y - 0.14 * side], fill=(15, 15, 20))
    out = np.array(image.filter(ImageFilter.GaussianBlur(side / 160)))
    grain = rng.normal(0, 5, out.shape)
    out = np.clip(out + grain, 0, 255).astype(np.uint8)
    out[-side // 8 :, : side // 8] = code(index)
    return out


def contribution(index: int, salt: int = 0, cells: int = CELLS) -> np.ndarray:
    """Return a signed map ``[cells, cells]`` of a few smooth bumps."""
    rng = np.random.default_rng(1000 * salt + index)
    yy, xx = np.mgrid[0:cells, 0:cells] / cells
    out = np.zeros((cells, cells))
    for _ in range(6):
        y, x, width = rng.uniform(0.2, 0.8), rng.uniform(0.2, 0.8), rng.uniform(0.05, 0.14)
        out += rng.normal() * np.exp(-((yy - y) ** 2 + (xx - x) ** 2) / (2 * width**2))
    return 0.02 * out


def clusters(index: int) -> np.ndarray:
    """Return a label map ``[CELLS, CELLS]`` with ids 0 to 9 and a border that is not explained."""
    rng = np.random.default_rng(index)
    points = rng.uniform(0, CELLS, (10, 2))
    yy, xx = np.mgrid[0:CELLS, 0:CELLS]
    ids = np.argmin([(yy - y) ** 2 + (xx - x) ** 2 for y, x in points], axis=0)
    ids[:2] = -1
    return ids


def frame(key: str) -> bytes:
    """Return the frame of ``"s<index>|<context>"``."""
    sample, _, context = key.partition("|")
    index = int(sample[1:])
    target = context or CLASS
    out = Frame(
        key, text=f"Sample {index} is called {target}: logit 2.31, six support samples carry 2.19 of it."
    )
    supports = [(7 * index + 3 * k + 1) % N for k in range(SUPPORTS)]
    out.photo([photo(index), *map(photo, supports)], ["sample", *(f"support-{k}" for k in range(SUPPORTS))])
    about = {"target": target, "unit": "logit", "title": "contribution"}
    out.legend("contribution", **about)
    out.signed_map("sample", "contribution", contribution(index))
    out.signed_map("target", "contribution", contribution(index, 9) * 0.4)
    if index != 3:
        out.label_map("clusters", "cluster", clusters(index), NAMES)
    out.tile(
        "sample", title=f"{target}, sample {index}", alt=f"Sample {index} with its contribution to {target}"
    )
    if index % 2:
        out.label_map("truth", "truth", clusters(index) // 5)
    out.tile("target", title="against sooty tern")
    out.tile("clusters", title="ten clusters", reason="No clusters: fewer than four positions were active.")
    rows = []
    for k, other in enumerate(supports):
        value = float(np.random.default_rng(100 * index + k).normal(0.2, 0.5))
        out.signed_map(f"support-{k}", "contribution", contribution(other, 2))
        out.signed_map(f"match-{k}", "contribution", contribution(index, 10 + k))
        out.tile(
            f"match-{k}", photo="sample", size=[SIDE, SIDE], alt=f"Where sample {index} matches support {k}"
        )
        out.tile(f"support-{k}", alt=f"Support sample {other}")
        rows.append(
            {
                "id": f"support-{k}",
                "tiles": [f"match-{k}", f"support-{k}"],
                "cells": [f"s{other}", "0.82"],
                "value": value,
            }
        )
    total = sum(row["value"] for row in rows)
    out.table(
        ["sample", "similarity"],
        rows,
        caption=f"What the logit of {target} consists of",
        tile_columns=["match", "support"],
        value_column="evidence",
        footer=[
            ["bias", "+0.120"],
            ["sum of the evidence", f"{total:+.3f}"],
            ["logit", f"{total + 0.12:+.3f}"],
        ],
    )
    return out.to_bytes()


async def provider(key: str) -> bytes:
    """Serve frames like a kernel with a full cache, except for two samples that are slow or broken."""
    if key.startswith("s30|"):
        raise MethodError("the sample 's30' has 4 channels, the model expects 3; convert it to RGB.")
    if key.startswith("s31|"):
        raise RuntimeError("secret detail")
    if key.startswith("s20|"):
        await asyncio.sleep(0.6)
    return frame(key)


LAYOUT = {
    "tiles": {
        "sample": {
            "group": "main",
            "size": 320,
            "label": "Sample",
            "layers": ["contribution"],
            "link": "image",
        },
        "target": {"group": "side", "size": 154, "label": "Other class", "photo": "sample", "link": "image"},
        "clusters": {"group": "side", "size": 154, "label": "Clusters", "photo": "sample", "link": "image"},
        "truth": {
            "group": "side",
            "size": 154,
            "label": "Ground truth",
            "photo": "sample",
            "layers": ["truth"],
            "optional": True,
        },
    },
    "groups": {"main": {"title": "The sample"}, "side": {"title": "Other views of it"}},
    "table": {"size": 56},
}


def page(order=None, **params):
    """Return the page; ``canvas.log`` holds what the callbacks were told."""
    canvas = Canvas(
        provider,
        order=order or [f"s{i}" for i in range(N)],
        layout=LAYOUT,
        sizing_mode="stretch_width",
        keys={"[": "previous cluster", "]": "next cluster"},
        caption="A made-up bird & its contribution.",
        **params,
    )
    told = pn.pane.Str(
        "",
        css_classes=["told"],
        sizing_mode="stretch_width",
        styles={"font-size": "9px", "overflow": "hidden"},
    )

    def tell(kind):
        def function(value):
            told.object = f"{kind} {value}"

        return function

    for kind in ("select", "region", "key", "position"):
        getattr(canvas, f"on_{kind}")(tell(kind))
    dark = pn.widgets.Checkbox(name="dark", value=False)
    dark.link(canvas, value="dark")
    other = pn.widgets.Button(name="other class")
    other.on_click(lambda _: setattr(canvas, "context", "" if canvas.context else "sooty tern"))
    jump = pn.widgets.Button(name="jump to 29")
    jump.on_click(lambda _: setattr(canvas, "position", 29))
    half = pn.widgets.Button(name="half")
    half.on_click(lambda _: canvas.compose(opacity=0.5))
    hide = pn.widgets.Button(name="hide")
    hide.on_click(lambda _: canvas.compose(hidden=not canvas.settings["hidden"]))
    save = [pn.widgets.Button(name=f"save {kind}") for kind in ("png", "svg")]
    for kind, button in zip(("png", "svg"), save, strict=True):
        button.on_click(lambda _, kind=kind: canvas.save(kind, "a bird/1"))
    canvas.on_region(lambda event: canvas.tell(event["tile"], said_of(event["polygon"])))
    return pn.Column(
        canvas,
        pn.FlexBox(dark, other, jump, half, hide, *save, styles={"margin-top": "24px"}),
        pn.widgets.IntSlider(name="a slider of the page", end=10),
        told,
        sizing_mode="stretch_width",
    )


def said_of(polygon) -> str:
    """Return what an app would say of a region."""
    return f"{len(polygon)} corners" if polygon else ""


def film(mode="strip", count=10_000, **params):
    """Return a filmstrip of a large population, every seventh of it marked."""
    few = np.stack([photo(i, 48) for i in range(N)])
    strip = Filmstrip(
        lambda indices: few[indices % N],
        count=count,
        mode=mode,
        captions=[f"sample s{i}" for i in range(count)],
        marks=["wrong" if i % 7 == 3 else "" for i in range(count)],
        current=0,
        **params,
    )
    told = pn.pane.Str("", css_classes=["told"])
    strip.on_select(lambda index: setattr(told, "object", f"select {index}"))
    return pn.Column(strip, told, sizing_mode="stretch_width")


def narrow_film():
    """Return a filmstrip in a column of 200 pixels, with a broken picture, and what hides the model's output."""
    few = np.stack([photo(i, 48) for i in range(N)])

    def images(indices):
        if 5 in indices:
            raise MethodError("the file '/srv/secret/folder/s5.png' is not an image; replace it.")
        return few[indices]

    strip = Filmstrip(
        images,
        count=N,
        mode="grid",
        rows=0,
        size=44,
        captions=[f"s{i}: predicted gull" for i in range(N)],
        marks=["wrong" if i % 7 == 3 else "" for i in range(N)],
        current=0,
        sizing_mode="stretch_both",
    )
    hide, none = pn.widgets.Button(name="hide"), pn.widgets.Button(name="none")
    hide.on_click(lambda _: setattr(strip, "hidden", not strip.hidden))
    none.on_click(lambda _: setattr(strip, "items", []))
    return pn.Column(pn.Column(strip, width=200, height=300), hide, none)


APPS = {
    "app": page,
    "dark": lambda: page(dark=True),
    "few": lambda: page(order=[f"s{i}" for i in range(5)]),
    "empty": lambda: Canvas(provider, order=["s0"], layout={"tiles": {"nobody": {"size": 160}}}),
    "strip": film,
    "grid": lambda: film("grid"),
    "narrow": narrow_film,
}

if __name__ == "__main__":
    port = int(sys.argv[1])
    pn.serve(APPS, port=port, address="127.0.0.1", show=False, websocket_origin=[f"127.0.0.1:{port}"])
