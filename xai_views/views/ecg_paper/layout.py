"""Where each piece of an ECG lies on the paper, in mm: one pure function, the same in ``layout.js``."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from xai_views.errors import XaiViewsError, nearest

#: The twelve leads in the order in which paper shows them.
LEADS = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")
#: Rows of leads and height of a row in mV; a trace that needs more runs into its neighbour, as on paper.
LAYOUTS = {"3x4+1": (3, 3.0), "3x4": (3, 3.0), "6x2": (6, 2.5), "12x1": (0, 2.0)}
SPEEDS = (12.5, 25.0, 50.0)  # mm/s
GAINS = (5.0, 10.0, 20.0)  # mm/mV
STRIPS = ("none", "each", "last")  # contributions under each row of leads, or once under the last row

LEFT, RIGHT, TOP, BOTTOM = 15.0, 5.0, 10.0, 5.0  # margins in mm
PULSE_X, PULSE_WIDTH = 5.0, 5.0  # the calibration pulse of 1 mV before each row
BAND = 5.0  # mm above a row that hold its clusters: no trace begins there, and all rows stay on the squares
LANE = 10.0  # mm under a row that hold its strip
STRIP_TOP, STRIP_HEIGHT = 1.0, 8.0  # of the strip in its lane
TOTALS = 20.0  # mm at the right edge for the totals of the leads
PAGE = 10.0  # seconds on a page that is not scrolled


@dataclass(frozen=True)
class Segment:
    """One lead over one stretch of time. ``x, y, width, height, baseline, strip, band`` are mm on the paper.

    ``lead`` is its position in the record, ``start`` and ``stop`` are seconds, ``strip`` is the top edge of the
    contribution strip under it or None, ``band`` that of the row of clusters above it or None.
    """

    lead: int
    row: int
    column: int
    start: float
    stop: float
    x: float
    y: float
    width: float
    height: float
    baseline: float
    strip: float | None
    band: float | None = None


@dataclass(frozen=True)
class Sheet:
    """A page: its size in mm, the segments from top to bottom, and the baseline of each row (for the pulses)."""

    width: float
    height: float
    speed: float
    gain: float
    segments: tuple[Segment, ...]
    baselines: tuple[float, ...]


def ordered(leads: Sequence[str]) -> list[int]:
    """Return positions of leads in the order of the paper: the known twelve first, then others as they came."""
    known = [leads.index(name) for name in LEADS if name in leads]
    return known + [i for i in range(len(leads)) if i not in known]


def sheet(
    layout: str,
    leads: Sequence[str],
    start: float = 0.0,
    seconds: float = PAGE,
    speed: float = 25.0,
    gain: float = 10.0,
    strip: str = "none",
    totals: bool = False,
    rhythm: str = "II",
    bands: bool = False,
) -> Sheet:
    """Lay a record out on paper.

    Parameters
    ----------
    layout : str
        One of ``LAYOUTS``. The leads fill the columns from top to bottom; the columns follow each other in time and
        share a page of 10 s ("12x1": one column of ``seconds``).
    leads : sequence of str
        Names of the record's leads, in the order of the record.
    start, seconds : float
        First second in view; seconds in view (used by "12x1" only).
    speed, gain : float
        mm/s and mm/mV.
    strip : str
        One of ``STRIPS``.
    totals : bool
        Whether room is left for totals at the right edge.
    rhythm : str
        Lead of the long strip of "3x4+1"; the first lead of the paper when the record lacks it.
    bands : bool
        Whether room is left above each row for its clusters.

    Raises
    ------
    XaiViewsError
        If a name is unknown, a number is not positive, or there is no lead.
    """
    _check(layout, leads, seconds, speed, gain, strip)
    names = list(leads)
    order = ordered(names)
    wanted, tall = LAYOUTS[layout]
    rows = min(wanted or len(order), len(order))
    columns = math.ceil(len(order) / rows)
    span = seconds if layout == "12x1" else PAGE / columns
    height = 5 * math.ceil(tall * gain / 5)  # whole squares of 5 mm
    long = layout == "3x4+1"
    count = rows + long
    lanes = [strip == "each" or (strip == "last" and row == count - 1) for row in range(count)]
    above = BAND * bands
    tops = [TOP + above + row * (height + above) + LANE * sum(lanes[:row]) for row in range(count)]
    offset = 5 * math.ceil(height / 10)

    def segment(lead: int, row: int, column: int, length: float) -> Segment:
        begin = start + column * span
        return Segment(
            lead=lead,
            row=row,
            column=column,
            start=begin,
            stop=begin + length,
            x=LEFT + column * span * speed,
            y=tops[row],
            width=length * speed,
            height=float(height),
            baseline=tops[row] + offset,
            strip=tops[row] + height + STRIP_TOP if lanes[row] else None,
            band=tops[row] - BAND if bands else None,
        )

    segments = [segment(lead, i % rows, i // rows, span) for i, lead in enumerate(order)]
    if long:
        lead = names.index(rhythm) if rhythm in names else order[0]
        segments.append(segment(lead, rows, 0, span * columns))
    return Sheet(
        width=LEFT + span * columns * speed + RIGHT + TOTALS * totals,
        height=TOP + count * (height + above) + LANE * sum(lanes) + BOTTOM,
        speed=float(speed),
        gain=float(gain),
        segments=tuple(segments),
        baselines=tuple(top + offset for top in tops),
    )


def _check(layout: str, leads: Sequence[str], seconds: float, speed: float, gain: float, strip: str) -> None:
    if layout not in LAYOUTS:
        raise XaiViewsError(
            f"the layout {layout!r} is not known; the nearest are {nearest(layout, list(LAYOUTS))}."
        )
    if strip not in STRIPS:
        raise XaiViewsError(
            f"strip came as {strip!r} and should be one of {', '.join(STRIPS)}; choose one of them."
        )
    if not len(leads):
        raise XaiViewsError("a record without leads cannot be laid out; give at least one.")
    for name, value in (("seconds", seconds), ("speed", speed), ("gain", gain)):
        if not (math.isfinite(value) and value > 0):
            raise XaiViewsError(f"{name} came as {value!r} and should be a positive number; give one.")
