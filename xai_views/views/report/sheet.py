"""The pictures of an explanation on one sheet, as SVG with text and legend as text, or as PNG."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from html import escape
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from xai_views.views.report.figures import Figure, Legend, enlarged, gradient, png

SIDE, GAP, HEAD = 320, 16, 24  # px: longer side of a picture, space around it, height of a line of text
COLUMNS = 4


def svg(title: str, figures: Sequence[Figure], caption: str = "") -> str:
    """Return pictures with their legends as one SVG file; pictures are embedded as PNG.

    Parameters
    ----------
    title, caption : str
        Over and under the pictures.
    figures : sequence of Figure
        An SVG among them is returned as it is when it is the only one.
    """
    if len(figures) == 1 and figures[0].svg:
        return figures[0].svg
    drawn = [f for f in figures if f.pixels is not None]
    cells, width, height = _grid(drawn)
    parts = [f'<text x="{GAP}" y="{HEAD}" font-size="16" font-weight="600">{escape(title)}</text>']
    for figure, (x, y) in zip(drawn, cells, strict=True):
        parts += _cell(figure, x, y)
    height += HEAD if caption else 0
    if caption:
        parts.append(f'<text x="{GAP}" y="{height - 8}" font-size="11" fill="#444">{escape(caption)}</text>')
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" font-family="sans-serif" font-size="12" width="{width}" '
        f'height="{height}" viewBox="0 0 {width} {height}"><title>{escape(title)}</title>'
        f'<rect width="{width}" height="{height}" fill="#fff"/>{"".join(parts)}</svg>\n'
    )


def raster(title: str, figures: Sequence[Figure], caption: str = "") -> bytes:
    """Return pictures with their legends as one PNG file."""
    drawn = [f for f in figures if f.pixels is not None]
    cells, width, height = _grid(drawn)
    height += HEAD if caption else 0
    sheet = Image.new("RGB", (width, height), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(12)
    draw.text((GAP, 6), _plain(title), fill="black", font=ImageFont.load_default(16))
    for figure, (x, y) in zip(drawn, cells, strict=True):
        draw.text((x, y - 18), _plain(_short(figure.title)), fill="black", font=font)
        sheet.paste(Image.fromarray(_fitted(figure.pixels)), (x, y))
        at = y + _fitted(figure.pixels).shape[0] + 4
        for legend in figure.legends:
            at = _raster_legend(draw, legend, x, at, font)
    if caption:
        draw.text((GAP, height - HEAD + 4), _plain(caption), fill="#444444", font=font)
    out = io.BytesIO()
    sheet.save(out, "PNG", optimize=True)
    return out.getvalue()


def _fitted(pixels: np.ndarray | None) -> np.ndarray:
    made = enlarged(np.asarray(pixels), SIDE)
    if max(made.shape[:2]) > 2 * SIDE:
        scale = 2 * SIDE / max(made.shape[:2])
        size = (max(1, round(made.shape[1] * scale)), max(1, round(made.shape[0] * scale)))
        made = np.asarray(Image.fromarray(made).resize(size, Image.Resampling.LANCZOS))
    return made


def _grid(figures: Sequence[Figure]) -> tuple[list[tuple[int, int]], int, int]:
    """Where each picture lies, and the size of the sheet."""
    sizes = [_fitted(f.pixels).shape[:2] for f in figures]
    cells, y, width = [], HEAD + GAP, 3 * SIDE // 2
    for start in range(0, len(figures), COLUMNS):
        x, row = GAP, range(start, min(start + COLUMNS, len(figures)))
        y += HEAD
        for i in row:
            cells.append((x, y))
            x += max(sizes[i][1], SIDE) + GAP
        width = max(width, x)
        y += max(sizes[i][0] + sum(map(_legend_height, figures[i].legends)) for i in row) + GAP
    return cells, width, y


def _legend_height(legend: Legend) -> int:
    return 22 + 16 * -(-len(legend.names) // 2) if legend.kind == "label" else 64


def _cell(figure: Figure, x: int, y: int) -> list[str]:
    pixels = _fitted(figure.pixels)
    height, width = pixels.shape[:2]
    uri = "data:image/png;base64," + base64.b64encode(png(pixels)).decode()
    parts = [
        f'<text x="{x}" y="{y - 6}">{escape(_short(figure.title))}</text>',
        f'<image x="{x}" y="{y}" width="{width}" height="{height}" href="{uri}"><title>{escape(figure.alt)}</title></image>',
    ]
    at = y + height + 4
    for n, legend in enumerate(figure.legends):
        parts.append(f'<text x="{x}" y="{at + 14}" fill="#444">{escape(_short(legend.title))}</text>')
        if legend.kind == "label":
            for i, (colour, name) in enumerate(legend.names):
                left, top = x + (i % 2) * SIDE // 2, at + 22 + 16 * (i // 2)
                parts.append(f'<rect x="{left}" y="{top}" width="10" height="10" fill="{colour}"/>')
                parts.append(f'<text x="{left + 14}" y="{top + 9}" font-size="11">{escape(name[:24])}</text>')
        else:
            parts += _svg_bar(legend, x, at + 20, f"bar-{x}-{y}-{n}")
        at += _legend_height(legend)
    return parts


def _svg_bar(legend: Legend, x: int, y: int, name: str) -> list[str]:
    colours = list(gradient(legend))
    stops = "".join(
        f'<stop offset="{i / (len(colours) - 1):.3f}" stop-color="{c}"/>' for i, c in enumerate(colours)
    )
    parts = [
        f'<linearGradient id="{name}">{stops}</linearGradient>',
        f'<rect x="{x}" y="{y}" width="{SIDE}" height="10" fill="url(#{name})" stroke="#bbb"/>',
    ]
    for place, anchor, tick in zip(
        (0, SIDE / 2, SIDE), ("start", "middle", "end"), legend.ticks, strict=True
    ):
        parts.append(
            f'<text x="{x + place}" y="{y + 22}" font-size="11" text-anchor="{anchor}">{tick}</text>'
        )
    for place, anchor, word in ((0, "start", legend.low), (SIDE, "end", legend.high)):
        parts.append(
            f'<text x="{x + place}" y="{y + 36}" font-size="11" text-anchor="{anchor}">{escape(word)}</text>'
        )
    return parts


def _raster_legend(draw: ImageDraw.ImageDraw, legend: Legend, x: int, y: int, font: Any) -> int:
    draw.text((x, y + 2), _plain(_short(legend.title)), fill="#444444", font=font)
    if legend.kind == "label":
        for i, (colour, name) in enumerate(legend.names):
            left, top = x + (i % 2) * SIDE // 2, y + 22 + 16 * (i // 2)
            draw.rectangle((left, top, left + 10, top + 10), fill=colour)
            draw.text((left + 14, top - 2), _plain(name[:24]), fill="black", font=font)
        return y + _legend_height(legend)
    colours = list(gradient(legend))
    for i in range(SIDE):
        draw.line((x + i, y + 20, x + i, y + 30), fill=colours[i * (len(colours) - 1) // (SIDE - 1)])
    for place, anchor, tick in zip((0, SIDE / 2, SIDE), ("la", "ma", "ra"), legend.ticks, strict=True):
        draw.text((x + place, y + 31), _plain(tick), fill="black", font=font, anchor=anchor)
    for place, anchor, word in ((0, "la", legend.low), (SIDE, "ra", legend.high)):
        draw.text((x + place, y + 45), _plain(word), fill="black", font=font, anchor=anchor)
    return y + _legend_height(legend)


def _plain(text: str) -> str:
    """Text in the letters of the font of pictures, which has no signs for minus, right and wrong."""
    return text.translate({0x2212: "-", 0x2713: "(correct)", 0x2717: "(wrong)", 0x2192: "->"})


def _short(text: str, most: int = 52) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"
