"""The static twin of the paper: a record as SVG text in mm, true to size when it is printed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any
from xml.sax.saxutils import escape

import numpy as np

from xai_views.errors import XaiViewsError
from xai_views.views import colour
from xai_views.views.ecg_paper.layout import (
    BAND,
    LEFT,
    PAGE,
    PULSE_WIDTH,
    PULSE_X,
    RIGHT,
    STRIP_HEIGHT,
    TOP,
    TOTALS,
    Segment,
    Sheet,
    sheet,
)
from xai_views.views.ecg_paper.record import Record
from xai_views.views.ecg_paper.wire import extremes, sentence

#: Fine and bold lines of the grid: pink, and grey behind full bands.
GRIDS = {"pink": ("#fbdcdc", "#efa6a6"), "grey": ("#ebebeb", "#c6c6c6")}
ROW_Y, ROW_HEIGHT, NUMBER = 0.4, 4.2, 2.6  # mm from the top of a band: the row of clusters, and its numbers
UNSURE = (1 / 3, 2 / 3)  # entropies from which on a band is broken into stripes
STRIPES = ((1.0, 1.0), (2.0, 1.0), (2.0, 0.5))  # mm from stripe to stripe, and of each
ROW_STRIPES = ((1.0, 1.0), (1.4, 0.8), (1.4, 0.4))  # in the row above a strip
#: How the clusters are drawn: a row above each strip, also behind the trace, or not at all.
BANDS = ("thin", "full", "off")
LEGEND = 5.0  # mm below the sheet for the names of the clusters
LETTER = 0.56  # width of an average letter, in its size
PER_MM = 40  # points of a trace in a mm, beyond which its extremes are drawn
HATCHES = {
    "diagonal": "M-1 1 1-1M0 2 2 0M1 3 3 1",
    "back-diagonal": "M-1 1 1 3M0 0 2 2M1-1 3 1",
    "horizontal": "M0 1h2",
    "dots": "M.75 1h.5",
}


class SvgText(str):
    """SVG text that a notebook shows as a picture."""

    __slots__ = ()

    def _repr_svg_(self) -> str:
        return str(self)


def plot_ecg(
    record: Record,
    layout: str = "3x4+1",
    speed: float = 25.0,
    gain: float = 10.0,
    start: float = 0.0,
    explain: bool = True,
    truth: bool = False,
    opacity: float = 0.4,
    rhythm: str = "II",
    bands: str = "thin",
) -> SvgText:
    """Draw a record on paper.

    Parameters
    ----------
    record : Record
        What is drawn.
    layout : str
        "3x4+1", "3x4", "6x2" or "12x1" (the record from ``start`` to its end).
    speed, gain : float
        mm/s and mm/mV.
    start : float
        First second on the page.
    explain : bool
        Clusters (striped where the assignment is uncertain: from an entropy of 1/3 on, finer from 2/3 on), strips of
        contributions under the leads, totals.
    truth : bool
        Brackets around the ground truth.
    opacity : float
        Of full bands.
    rhythm : str
        Lead of the long strip.
    bands : str
        "thin" = a row of clusters above each strip, "full" = also behind the traces, on grey paper, "off" = none.

    Returns
    -------
    SvgText
        SVG with a size in mm; what the canvas draws with the same settings.

    Raises
    ------
    XaiViewsError
        If the layout or a number is not possible.
    """
    bands = {True: "thin", False: "off"}.get(bands, bands)  # type: ignore[call-overload]  # of links before there were three
    if bands not in BANDS:
        raise XaiViewsError(
            f"bands came as {bands!r} and should be one of {', '.join(BANDS)}; choose one of them."
        )
    banded = explain and record.cluster is not None and bands != "off"
    rows = 0 if record.contribution is None or not explain else len(record.contribution)
    strip = "none" if not rows else "last" if rows == 1 else "each"
    totals = rows > 0 and record.totals is not None
    seconds = max(record.seconds - start, 1 / record.rate) if layout == "12x1" else PAGE
    page = sheet(layout, record.leads, start, seconds, speed, gain, strip, totals, rhythm, banded)
    full = banded and bands == "full"
    parts = list(_grid(page, GRIDS["grey" if full else "pink"]))
    for segment in page.segments if banded or rows else ():
        if banded:
            parts += _bands(record, page, segment, opacity if full else 0.0)
        if segment.strip is not None:
            parts += _strip(record, page, segment)
    if totals:
        parts += _totals(record, page)
    if truth:
        parts += (part for segment in page.segments for part in _truth(record, page, segment))
    parts += _pulses(page)
    for segment in page.segments:
        parts += _trace(record, page, segment)
        parts.append(_text(record.leads[segment.lead], segment.x + 1, segment.y + 3.4, 3.2, weight=600))
    if banded:
        for segment in page.segments:
            parts += _numbers(record, page, segment)
        parts += _legend(record, page)
    parts += _words(record, page)
    height = page.height + LEGEND * banded
    size = f'width="{_n(page.width)}mm" height="{_n(height)}mm" viewBox="0 0 {_n(page.width)} {_n(height)}"'
    about = f"<title>{escape(record.name or record.id)}</title><desc>{escape(record.text or sentence(record))}</desc>"
    parts.insert(0, _rect(0, 0, page.width, height, "#fff"))
    head = f'<svg xmlns="http://www.w3.org/2000/svg" role="img" font-family="sans-serif" {size}>{about}{_patterns(record)}'
    return SvgText("\n".join((head, *parts, "</svg>")))


def _n(value: float) -> str:
    """Write a number in at most three digits after the point."""
    return f"{value:.3f}".rstrip("0").rstrip(".")


def _text(text: str, x: float, y: float, size: float = 3.0, weight: int = 400, anchor: str = "start",
          fill: str = "#1a1a1a", extra: str = "") -> str:  # fmt: skip
    return (
        f'<text x="{_n(x)}" y="{_n(y)}" font-size="{size}" font-weight="{weight}" text-anchor="{anchor}" '
        f'fill="{fill}"{extra}>{escape(text)}</text>'
    )


def _cut(text: str, size: float, room: float) -> str:
    """Return as much of a text as fits into ``room`` mm, with dots where it was cut."""
    most = int(room / (LETTER * size))
    return text if len(text) <= most else f"{text[: most - 1].rstrip()}…" if most > 1 else ""


def _rect(x: float, y: float, width: float, height: float, fill: str, extra: str = "") -> str:
    return f'<rect x="{_n(x)}" y="{_n(y)}" width="{_n(width)}" height="{_n(height)}" fill="{fill}"{extra}/>'


def _path(data: str, stroke: str = "#000", width: float = 0.3, extra: str = "") -> str:
    return f'<path d="{data}" fill="none" stroke="{stroke}" stroke-width="{width}"{extra}/>'


def _grid(page: Sheet, colours: tuple[str, str]) -> Iterator[str]:
    for name, stroke, width, wanted in (
        ("mm", colours[0], 0.1, lambda k: k % 5), ("squares", colours[1], 0.2, lambda k: not k % 5)
    ):  # fmt: skip
        columns = "".join(f"M{k} 0v{_n(page.height)}" for k in range(int(page.width) + 1) if wanted(k))
        rows = "".join(f"M0 {k}h{_n(page.width)}" for k in range(int(page.height) + 1) if wanted(k))
        yield _path(columns + rows, stroke, width, f' class="{name}"')


def _pulses(page: Sheet) -> Iterator[str]:
    """Draw 1 mV over 5 mm before each row."""
    for baseline in page.baselines:
        data = f"M{_n(PULSE_X - 2)} {_n(baseline)}h2v{_n(-page.gain)}h{_n(PULSE_WIDTH)}v{_n(page.gain)}h2"
        yield _path(data, extra=' class="pulse"')


def _trace(record: Record, page: Sheet, segment: Segment) -> Iterator[str]:
    """Draw the trace of a segment, or a dashed line and a word where the lead is missing."""
    if segment.column:
        yield _path(f"M{_n(segment.x)} {_n(segment.baseline - 4)}v8", extra=' class="tick"')
    if record.missing(segment.lead):
        yield _path(
            f"M{_n(segment.x)} {_n(segment.baseline)}h{_n(segment.width)}",
            "#444",
            0.15,
            ' stroke-dasharray="1"',
        )
        yield _text("missing", segment.x + 2, segment.baseline - 1.5, fill="#444")
        return
    first = max(0, int(np.ceil(segment.start * record.rate - 1e-6)))
    last = min(record.steps, int(np.floor(segment.stop * record.rate + 1e-6)) + 1)
    if last - first < 2:
        return
    values = record.signal[segment.lead, first:last].astype(float)
    times = np.arange(first, last) / record.rate
    bins = int(segment.width * PER_MM / 2)
    if len(values) > 2 * bins:
        edges = np.arange(bins) * len(values) // bins
        values, times = extremes(values[None], bins)[0], np.repeat(times[edges], 2)
    x = segment.x + (times - segment.start) * page.speed
    y = segment.baseline - values * page.gain
    points = " ".join(f"{a:.2f} {b:.2f}" for a, b in zip(x, y, strict=True))
    name = escape(record.leads[segment.lead], {'"': "&quot;"})
    yield _path(f"M{points}", extra=f' stroke-linejoin="round" class="trace" data-lead="{name}"')


def _runs(
    values: np.ndarray, step: float, offset: float, start: float, stop: float, group: Callable = int
) -> Iterator[tuple[Any, float, float]]:
    """Yield ``(value, from s, to s)`` of equal neighbours between two times."""
    first = max(0, int(np.floor((start - offset) / step + 1e-9)))
    last = min(len(values), int(np.ceil((stop - offset) / step - 1e-9)))
    begin = first
    for i in range(first, last):
        if i + 1 == last or group(values[i + 1]) != group(values[i]):
            yield group(values[begin]), max(start, offset + begin * step), min(stop, offset + (i + 1) * step)
            begin = i + 1


def _doubt(entropy: float) -> int:
    return int(entropy >= UNSURE[0]) + int(entropy >= UNSURE[1])


def _row(values: np.ndarray | None, lead: int) -> np.ndarray:
    assert values is not None  # drawn only where the record has them
    return values[0 if len(values) == 1 else lead]


def _clusters(record: Record, segment: Segment) -> Iterator[tuple[int, float, float]]:
    """Yield ``(cluster, from s, to s)`` of the stretches of a segment."""
    stop = min(segment.stop, record.seconds)
    found = _runs(_row(record.cluster, segment.lead), record.step, record.offset, segment.start, stop)
    return ((id_, a, b) for id_, a, b in found if id_ >= 0)


def _bands(record: Record, page: Sheet, segment: Segment, opacity: float) -> Iterator[str]:
    """Draw the clusters of a segment in the row above it and, with an ``opacity``, behind the trace; whole or in stripes."""
    place = lambda t: segment.x + (t - segment.start) * page.speed  # noqa: E731
    assert segment.band is not None
    for id_, a, b in _clusters(record, segment):
        fill, hatch = colour.category(id_)
        fills = [fill] if hatch == "none" else [fill, f"url(#{hatch})"]
        levels: Iterable[tuple[int, float, float]] = [(0, a, b)]
        if record.entropy is not None:
            levels = _runs(_row(record.entropy, segment.lead), record.step, record.offset, a, b, _doubt)
        known = [(level, place(c), place(d) - place(c)) for level, c, d in levels]
        row = _striped(known, segment.band + ROW_Y, ROW_HEIGHT, ROW_STRIPES)
        behind = _striped(known, segment.y, segment.height, STRIPES) if opacity else ""
        for paint in fills:
            yield f'<path d="{row}" fill="{paint}" class="cluster-{id_}"/>'
            if behind:
                yield f'<path d="{behind}" fill="{paint}" fill-opacity="{opacity}" class="behind-{id_}"/>'


def _striped(
    levels: Iterable[tuple[int, float, float]],
    top: float,
    height: float,
    stripes: tuple[tuple[float, float], ...],
) -> str:
    """Return the path of a stretch: whole where the assignment is certain, in stripes where it is not."""
    body = ""
    for level, x, width in levels:
        pitch, tall = stripes[level] if level else (height, height)
        for k in range(int(np.ceil(height / pitch - 1e-9))):
            high = min(tall, height - k * pitch)
            body += f"M{_n(x)} {_n(top + k * pitch)}h{_n(width)}v{_n(high)}h{_n(-width)}z"
    return body


def _numbers(record: Record, page: Sheet, segment: Segment) -> Iterator[str]:
    """Write the numbers of the clusters in their row: none that does not fit, and none on a trace that leaves its strip."""
    assert segment.band is not None
    for id_, a, b in _clusters(record, segment):
        half = len(str(id_)) * NUMBER * LETTER / 2
        middle = segment.x + ((a + b) / 2 - segment.start) * page.speed
        if (b - a) * page.speed < 2 * half or _crossed(record, page, segment, middle - half, middle + half):
            continue
        halo = ' stroke="#fff" stroke-width="0.7" stroke-opacity="0.85" paint-order="stroke" stroke-linejoin="round"'
        y = segment.band + ROW_Y + ROW_HEIGHT / 2 + 0.95
        yield _text(str(id_), middle, y, NUMBER, 600, "middle", extra=halo)


def _crossed(record: Record, page: Sheet, segment: Segment, left: float, right: float) -> bool:
    """Whether a trace of this row or of the one above passes through the band of a segment between two mm."""
    top = segment.band or 0.0
    for other in page.segments:
        begin, end = max(left, other.x), min(right, other.x + other.width)
        if other.row not in (segment.row, segment.row - 1) or end <= begin or record.missing(other.lead):
            continue
        first, last = ((other.start + (x - other.x) / page.speed) * record.rate for x in (begin, end))
        values = record.signal[other.lead, max(0, int(first)) : min(record.steps, int(last) + 2)]
        y = other.baseline - values.astype(float) * page.gain
        if len(y) and y.min() < top + BAND and y.max() > top:
            return True
    return False


def _strip(record: Record, page: Sheet, segment: Segment) -> Iterator[str]:
    """Draw the contributions under a segment as signed bars with one limit for all leads."""
    step, offset = record.strip_grid
    values, limit = _row(record.contribution, segment.lead), record.bound or 1.0
    assert segment.strip is not None
    middle, stop = segment.strip + STRIP_HEIGHT / 2, min(segment.stop, record.seconds)
    yield _rect(segment.x, segment.strip, segment.width, STRIP_HEIGHT, "#fff", ' fill-opacity="0.8"')
    for value, a, b in _runs(values, step, offset, segment.start, stop, float):
        if not value:
            continue
        share = float(np.clip(value / limit, -1, 1))
        red, green, blue = colour.rgb("CET_D1A", np.array(share), 1.0)
        tall = share * STRIP_HEIGHT / 2
        x, y = segment.x + (a - segment.start) * page.speed, min(middle, middle - tall)
        yield _rect(
            x, y, (b - a) * page.speed, abs(tall), f"#{red:02x}{green:02x}{blue:02x}", ' class="part"'
        )
    yield _path(f"M{_n(segment.x)} {_n(middle)}h{_n(segment.width)}", "#444", 0.1)


def _totals(record: Record, page: Sheet) -> Iterator[str]:
    right = page.width - RIGHT - TOTALS + 2
    yield _text(f"total ({record.unit})", right, TOP - 1, 2.6, fill="#444")
    for segment in page.segments:
        assert record.totals is not None
        text = f"{record.leads[segment.lead]} {record.totals[segment.lead]:+.3g}".replace("-", "−")
        yield _text(text, right, segment.y + 7.2 + 4 * segment.column, 2.8)


def _truth(record: Record, page: Sheet, segment: Segment) -> Iterator[str]:
    """Draw brackets around the known truth."""
    top, bottom = segment.y + 5, segment.y + segment.height - 1
    for truth in record.truth:
        a, b = max(truth.start, segment.start), min(truth.stop, segment.stop)
        if truth.lead not in {-1, segment.lead} or b <= a:
            continue
        left, right = (segment.x + (t - segment.start) * page.speed for t in (a, b))
        foot = min(1.2, (right - left) / 2)
        data = "".join(
            f"M{_n(x + way)} {_n(top)}H{_n(x)}V{_n(bottom)}h{_n(way)}"
            for x, way in ((left, foot), (right, -foot))
        )
        yield _path(data, "#1a1a1a", 0.4, ' class="truth"')
        word = _cut(truth.word, 2.4, segment.x + segment.width - left - 1)
        if word:
            yield _text(word, left + 0.5, bottom - 0.6, 2.4, fill="#444")


def _words(record: Record, page: Sheet) -> Iterator[str]:
    """Print name, title, quality and warnings above, the setting, the seconds and what colours mean below."""
    left, right, below, gap = PULSE_X - 2, page.width - RIGHT, page.height - 1.4, 3.0
    warning = "synthetic · Not for clinical use" if record.synthetic else "Not for clinical use"
    yield _text(warning, right, 5.4, weight=600, anchor="end")
    end, x = right - gap - len(warning) * LETTER * 3.2, left
    for text, size, weight, fill in (
        (record.name or record.id, 3.6, 600, "#1a1a1a"), (record.title, 3.0, 400, "#444"), (record.flag, 3.0, 400, "#444"),
    ):  # fmt: skip
        shown = _cut(text, size, end - x)
        if shown:
            yield _text(shown, x, 5.4, size, weight, fill=fill)
            x += len(shown) * LETTER * size + gap
    yield _text(f"{page.speed:g} mm/s  {page.gain:g} mm/mV", left, below, weight=600)
    start, stop = page.segments[0].start, min(record.seconds, max(s.stop for s in page.segments))
    yield _text(f"{start:.2f} to {stop:.2f} s", LEFT + 30, below, fill="#444")
    for t in np.arange(3 * np.ceil(start / 3), stop + 1e-9, 3):  # marks of 3 s
        yield _path(f"M{_n(LEFT + (t - start) * page.speed)} {_n(TOP - 2.5)}v2", "#444", 0.2, ' class="mark"')
    if any(s.strip is not None for s in page.segments):
        text = f"strip: ±{record.bound:.3g} {record.unit}; red raises, blue lowers {record.target}".strip()
        yield _text(_cut(text, 3.0, right - LEFT - 62), LEFT + 62, below, fill="#444")


def _legend(record: Record, page: Sheet) -> Iterator[str]:
    """Name the clusters below the leads, as many as there is room for."""
    x, y = PULSE_X - 2, page.height + 0.6
    assert record.cluster is not None
    for id_ in (i for i in np.unique(record.cluster).tolist() if i >= 0):
        name = f"{id_} {record.names[id_]}".strip() if id_ < len(record.names) else str(id_)
        wide = 6 + 1.5 * len(name)
        if x + wide > page.width - RIGHT:
            yield _text("…", x, y + 2, 2.6)
            return
        fill, hatch = colour.category(id_)
        yield _rect(x, y, 2.4, 2.4, fill)
        if hatch != "none":
            yield _rect(x, y, 2.4, 2.4, f"url(#{hatch})")
        yield _text(name, x + 3.2, y + 2, 2.6, fill="#444")
        x += wide


def _patterns(record: Record) -> str:
    """Define the hatchings of clusters from the ninth on, if there are any."""
    if record.cluster is None or record.cluster.max() < 8:
        return ""
    draw = "".join(
        f'<pattern id="{name}" width="2" height="2" patternUnits="userSpaceOnUse">{_path(data, "#000", 0.25)}</pattern>'
        for name, data in HATCHES.items()
    )
    return f"<defs>{draw}</defs>"
