"""A record as one frame of the canvas: traces as int16 in whole microvolts, first coarse, then in full.

The frame is that of :mod:`xai_views.views.wire` with these maps of the tile ``"ecg"``: ``signal`` (int16 codes,
``scale`` mV each), ``cluster`` (ids), ``entropy`` (uint8) and ``contribution`` (int8, one scale for all leads). What
numbers and words belong to them stands in the header's ``record``.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from xai_views.contract.grids import shares
from xai_views.errors import XaiViewsError
from xai_views.views.ecg_paper.record import Record
from xai_views.views.wire import Frame, decode

TILE = "ecg"
#: Bytes of traces in a coarse frame; clusters, contributions and words take the rest of 40 KB.
COARSE = 24_000
#: Steps of clusters or contributions that a coarse frame has room for, over all their rows.
COARSE_CELLS = 3_000
#: Codes of traces that a full frame may hold; of longer records it holds what is around the view.
FULL = 600_000
#: Clusters of which share and stretches are told.
MOST_SHARES = 32
#: Steps of the line in the minimap.
OVERVIEW = 500
_WHOLE = 10**9  # maps are sent with all their cells


def encode(
    record: Record,
    key: str | None = None,
    full: bool = True,
    window: tuple[float, float] | None = None,
    seq: int = 0,
) -> bytes:
    """Put a record into the wire format.

    Parameters
    ----------
    record : Record
        What is drawn.
    key : str, optional
        The wish that it answers. Default: ``record.id``.
    full : bool
        Every step of the traces, or the least and largest value of each of at most ``COARSE`` bytes' worth of bins.
    window : tuple of float, optional
        Seconds that the full traces must cover when the record is too long to be sent as a whole. If they are too many,
        extremes of the whole record are sent, as fine as there is room for.
    seq : int
        Sequence number of the wish.

    Returns
    -------
    bytes
        A frame. At most 40 KB if not ``full`` and with 12 leads.

    Notes
    -----
    A trace is ``code * scale``: ``scale`` is a whole number of µV, 1 unless the record exceeds 32.767 mV, so signals
    that are whole µV are exact and others are off by at most half a step.
    """
    codes, scale = microvolts(record.signal[:, : record.steps])
    start, bins = 0, 0
    overview = _overview(record, codes)
    room = max(1, FULL // len(codes))
    whole = (
        window is not None and (window[1] - window[0]) * record.rate > room
    )  # more than can be sent step by step
    if full and not whole:
        start, stop = covered(record, window)
        codes = codes[:, start:stop]
    else:
        bins = room // 2 if full else max(1, COARSE // (4 * len(codes)))
        if codes.shape[1] > 2 * bins:
            codes = extremes(codes, bins)
        else:
            bins, full = 0, True  # nothing to gain: the coarse frame is the full one
    frame = Frame(record.id if key is None else key, text=record.text or sentence(record))
    frame.label_map(TILE, "signal", codes, scale=scale * 1e-3, unit="mV")
    for name in ("cluster", "entropy", "contribution"):
        if (values := getattr(record, name)) is not None:
            _add(frame, name, values, 1 if full else max(1, math.ceil(values.size / COARSE_CELLS)), record)
    return frame.header(
        record=_about(record),
        answer=record.answer,
        full=full,
        start=start,
        bins=bins,
        overview=overview,
        room=room / record.rate,
    ).to_bytes(seq)


def microvolts(signal: np.ndarray) -> tuple[np.ndarray, int]:
    """Return int16 codes of a signal in mV and the µV of one code (a whole number, at least 1)."""
    micro = np.asarray(signal, np.float64) * 1000
    scale = max(1, math.ceil(float(np.abs(micro).max(initial=0.0)) / 32767))
    return np.rint(micro / scale).astype(np.int16), scale


def extremes(codes: np.ndarray, bins: int) -> np.ndarray:
    """Return ``[lead, 2 * bins]``: least and largest code of each bin, in the order in which they come.

    Bin ``b`` holds the steps ``b * steps // bins`` to ``(b + 1) * steps // bins - 1``.
    """
    leads, steps = codes.shape
    edges = np.arange(bins) * steps // bins
    low = np.minimum.reduceat(codes, edges, axis=1)
    high = np.maximum.reduceat(codes, edges, axis=1)
    rising = codes[:, edges] <= codes[:, np.append(edges[1:], steps) - 1]
    out = np.empty((leads, 2 * bins), codes.dtype)
    out[:, ::2], out[:, 1::2] = np.where(rising, low, high), np.where(rising, high, low)
    return out


def covered(record: Record, window: tuple[float, float] | None) -> tuple[int, int]:
    """Return the first and the last but one step of a full frame: all of them, or as many as fit around ``window``."""
    room = max(1, FULL // len(record.leads))
    if record.steps <= room:
        return 0, record.steps
    begin, end = window or (0.0, 0.0)
    middle = round((begin + end) / 2 * record.rate)
    start = int(np.clip(middle - room // 2, 0, record.steps - room))
    return start, start + room


def _add(frame: Frame, name: str, values: np.ndarray, stride: int, record: Record) -> None:
    """Add one sequence; with a stride, ids and entropies of every n-th step and means of contributions."""
    about: dict[str, Any] = {"stride": stride}
    if name == "cluster":
        frame.label_map(TILE, name, values[:, ::stride], **about)
    elif name == "entropy":
        frame.sequential(TILE, name, values[:, ::stride], limit=1.0, side=_WHOLE, **about)
    else:
        frame.signed_map(TILE, name, averaged(values, stride), record.bound or None, _WHOLE, **about)


def averaged(values: np.ndarray, stride: int) -> np.ndarray:
    """Return the means of every ``stride`` neighbours along the rows (the last of what is left over)."""
    edges = np.arange(0, values.shape[1], stride)
    return np.add.reduceat(values, edges, axis=1) / np.diff(np.append(edges, values.shape[1]))


def _overview(record: Record, codes: np.ndarray) -> list[int]:
    """Return the extremes of the lead that the minimap shows."""
    there = [i for i in range(len(codes)) if not record.missing(i)] or [0]
    lead = next((i for i in there if record.leads[i] == "II"), there[0])
    line = codes[lead : lead + 1]
    return (line if line.shape[1] <= OVERVIEW else extremes(line, OVERVIEW // 2))[0].tolist()


def sentence(record: Record) -> str:
    """Return one sentence about a record, for those who do not see it."""
    text = f"{record.name or record.id}: {len(record.leads)} leads, {record.seconds:.1f} s"
    if record.cluster is not None:
        known = shares(record.cluster)
        largest = sorted(known, key=lambda row: -row[1])[:3]
        said = ", ".join(f"{i} ({share:.0%} of the time)" for i, share, _ in largest)
        text += f", {len(known)} clusters, most of it {said}" if known else ", no cluster"
    if record.totals is not None:
        best = int(np.argmax(np.abs(record.totals)))
        text += f", largest total of a lead {record.leads[best]} {record.totals[best]:+.3g} {record.unit}"
    return f"{text}. {record.flag}".strip()


def _shares(record: Record) -> list[tuple[int, float, int]]:
    """Share and stretches of the largest clusters, by id; more than a table of them would be a step too large to send."""
    known = [] if record.cluster is None else shares(record.cluster)
    kept = sorted(sorted(known, key=lambda row: -row[1])[:MOST_SHARES])
    return [(i, round(share, 4), runs) for i, share, runs in kept]


def _about(record: Record) -> dict[str, Any]:
    step, offset = record.strip_grid
    return {
        "id": record.id, "name": record.name or record.id, "leads": list(record.leads), "rate": record.rate,
        "steps": record.steps, "present": [not record.missing(i) for i in range(len(record.leads))],
        "title": record.title, "flag": record.flag, "synthetic": record.synthetic,
        "cluster": {"step": record.step, "offset": record.offset, "names": list(record.names),
                    "steps": 0 if record.cluster is None else record.cluster.shape[1],
                    "shares": _shares(record)},
        "contribution": {"step": step, "offset": offset, "limit": record.bound, "target": record.target,
                         "unit": record.unit, "totals": None if record.totals is None else list(record.totals),
                         "steps": 0 if record.contribution is None else record.contribution.shape[1]},
        "truth": [list(asdict(interval).values()) for interval in record.truth],
        "ledger": record.ledger,
    }  # fmt: skip


@dataclass
class Sent:
    """A frame read back: what the browser knows of a record.

    ``signal`` is ``[lead, steps]`` float64 in mV (``bins`` > 0: extremes in pairs; ``start``: the step of the first
    column), ``cluster`` int ids, ``entropy`` and ``contribution`` float64 or None, ``about`` the header's ``record``.
    """

    key: str
    full: bool
    start: int
    bins: int
    signal: np.ndarray
    cluster: np.ndarray | None
    entropy: np.ndarray | None
    contribution: np.ndarray | None
    about: dict[str, Any]


def read(data: bytes) -> Sent:
    """Read a frame of a record back, as the browser does.

    Raises
    ------
    XaiViewsError
        If the bytes are no frame, or one without a record.
    """
    frame = decode(data)
    header = frame.header
    if "record" not in header:
        raise XaiViewsError(
            "this frame holds no ECG record; build one with xai_views.views.ecg_paper.wire.encode."
        )
    (scale,) = (entry["scale"] for entry in header["maps"] if entry["layer"] == "signal")
    parts = {layer: values for (_, layer), values in frame.maps.items()}
    return Sent(
        key=header["key"], full=header["full"], start=header["start"], bins=header["bins"],
        signal=parts["signal"].astype(np.float64) * scale, cluster=parts.get("cluster"), entropy=parts.get("entropy"),
        contribution=parts.get("contribution"), about=header["record"],
    )  # fmt: skip
