"""Edits of a record before it enters the network: mute a lead, silence an interval, insert a beat of another record.

An edit is a JSON-compatible dict, so that an explanation records how its input was edited:

* ``{"kind": "mute", "lead": 1}`` sets a lead to zero;
* ``{"kind": "silence", "lead": 1, "start": 1.0, "stop": 1.4, "fill": "line"}`` replaces an interval (s);
* ``{"kind": "blend", "lead": 1, "start": 1.0, "stop": 1.4, "piece": "…"}`` inserts a piece of another record, shifted to
  meet the record at both ends; :func:`blend` makes one. ``"record"`` and ``"from"`` may name the source of the piece.

``lead`` -1 means all leads.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from xai_views.contract.content import packed, unpacked
from xai_views.errors import MethodError, nearest

#: Fields of each kind of edit, in addition to ``kind`` and ``lead``.
KINDS: Mapping[str, tuple[str, ...]] = {
    "mute": (),
    "silence": ("start", "stop", "fill"),
    "blend": ("start", "stop", "piece", "record", "from"),
}
#: Replacement of a silenced interval: a straight line between its neighbours, zero, or the mean of the lead.
FILLS = ("line", "zero", "mean")
#: Lead index that means all leads.
ALL_LEADS = -1

Edit = Mapping[str, Any]


def edited(signal: np.ndarray, edits: Iterable[Edit], rate: float, length: int | None = None) -> np.ndarray:
    """Apply edits to a record, one after another.

    Parameters
    ----------
    signal : ndarray
        ``[lead, time]`` in mV; not modified.
    edits : iterable of mapping
        As described in this module. The mean of a lead is that of the unedited record; everything else applies to the
        result of the previous edits.
    rate : float
        Steps per second (Hz).
    length : int, optional
        Number of steps that are signal; the rest is padding, which no edit changes.

    Returns
    -------
    ndarray
        ``[lead, time]``, of the same dtype (float32 for integers).

    Raises
    ------
    MethodError
        In one sentence, for an invalid edit.
    """
    signal = np.asarray(signal)
    out = np.array(signal, signal.dtype if signal.dtype.kind == "f" else np.float32)
    end = out.shape[1] if length is None else length
    for edit in edits:
        _apply(checked(edit, len(out)), out[:, :end], signal[:, :end], rate)
    return out


def checked(edit: Any, leads: int) -> dict[str, Any]:
    """Return an edit in canonical form, so that equal edits compare equal.

    Raises
    ------
    MethodError
        In one sentence, when the edit is not valid for a record with this number of leads.
    """
    if not isinstance(edit, Mapping) or str(edit.get("kind")) not in KINDS:
        raise MethodError(
            f"{_short(edit)} is not an edit; give a dict whose kind is one of {', '.join(KINDS)}."
        )
    kind = str(edit["kind"])
    unknown = [name for name in edit if name not in ("kind", "lead", *KINDS[kind])]
    if unknown:
        raise MethodError(
            f"an edit of kind {kind!r} has no field {unknown[0]!r}; use {', '.join(('lead', *KINDS[kind]))}."
        )
    try:
        out: dict[str, Any] = {"kind": kind, "lead": int(edit.get("lead", ALL_LEADS))}
        if kind != "mute":
            out |= {"start": float(edit["start"]), "stop": float(edit["stop"])}
    except (TypeError, ValueError, KeyError):
        raise MethodError(
            f"the edit {_short(edit)} is not valid; give the index of a lead (-1 = all), and start and stop in s."
        ) from None
    if not (out["lead"] == ALL_LEADS or 0 <= out["lead"] < leads):
        raise MethodError(
            f"lead {out['lead']} was given and the record has the leads 0 to {leads - 1}; choose one of those, or -1 for all."
        )
    if kind == "mute":
        return out
    if not (math.isfinite(out["start"]) and math.isfinite(out["stop"]) and out["start"] < out["stop"]):
        raise MethodError(
            f"an interval from {out['start']:g} s to {out['stop']:g} s was given; give a start and a later stop."
        )
    if kind == "blend":
        rows = leads if out["lead"] == ALL_LEADS else 1
        if len(_piece(edit)) != rows:
            raise MethodError(
                f"a beat of {len(_piece(edit))} lead(s) was given for {rows} lead(s); give the same number."
            )
        origin: dict[str, Any] = {"record": str(edit["record"])} if "record" in edit else {}
        origin |= {"from": float(edit["from"])} if "from" in edit else {}
        return out | {"piece": edit["piece"]} | origin
    fill = str(edit.get("fill", FILLS[0]))
    if fill not in FILLS:
        raise MethodError(f"fill {fill!r} is not known for signals; choose {nearest(fill, FILLS)}.")
    return out | {"fill": fill}


def blend(
    source: np.ndarray, lead: int, start: float, stop: float, at: float, rate: float, record: str = ""
) -> dict[str, Any]:
    """Return the edit that inserts a piece of another record; it stores the values of the piece exactly.

    Parameters
    ----------
    source : ndarray
        ``[lead, time]`` in mV of the other record, with the same leads and rate as the edited one.
    lead : int
        Index of the lead; -1 = all.
    start, stop : float
        Interval of the edited record to replace, s.
    at : float
        Start of the piece in the other record, s.
    rate : float
        Hz.
    record : str
        Name of the other record.

    Raises
    ------
    MethodError
        When the other record has no such lead, or the interval is empty.
    """
    source = np.asarray(source, np.float32)
    shape = {"kind": "silence", "lead": lead, "start": start, "stop": stop}
    edit = checked(shape, len(source)) | {"kind": "blend"}
    del edit["fill"]
    rows = source if edit["lead"] == ALL_LEADS else source[edit["lead"], None]
    steps = round(edit["stop"] * rate) - round(edit["start"] * rate)
    first = min(max(round(at * rate), 0), max(0, source.shape[1] - steps))
    piece = np.zeros((len(rows), steps), np.float32)
    taken = rows[:, first : first + steps]
    piece[:, : taken.shape[1]] = taken
    return edit | {"piece": packed(piece), "record": record, "from": float(at)}


def key(edits: Sequence[Edit]) -> Hashable:
    """Return the key by which lists of canonical edits are compared."""
    return tuple(tuple(sorted(edit.items())) for edit in edits)


def _apply(edit: dict[str, Any], out: np.ndarray, plain: np.ndarray, rate: float) -> None:
    """Apply one edit to ``out [lead, steps of signal]`` in place; ``plain`` is the unedited record."""
    length = out.shape[1]
    rows = range(len(out)) if edit["lead"] == ALL_LEADS else [edit["lead"]]
    if edit["kind"] == "mute":
        out[list(rows)] = 0
        return
    begin, end = round(edit["start"] * rate), round(edit["stop"] * rate)
    first, last = (min(max(step, 0), length) for step in (begin, end))
    if last <= first:
        return  # outside the record, or shorter than half a step
    if edit["kind"] == "silence":
        for row in rows:
            out[row, first:last] = _filled(out[row], plain[row], first, last, edit["fill"])
        return
    piece = _piece(edit)
    if piece.shape[1] != end - begin:
        raise MethodError(
            f"a beat of {piece.shape[1]} steps was given for an interval of {end - begin} steps at {rate:g} Hz; make the "
            "edit with xai_views.methods.ecg_clusters.edits.blend."
        )
    for row, values in zip(rows, piece[:, first - begin : last - begin].astype(np.float64), strict=True):
        ends = float(out[row, first]), float(out[row, last - 1])
        out[row, first:last] = values + np.linspace(ends[0] - values[0], ends[1] - values[-1], last - first)


def _piece(edit: Edit) -> np.ndarray:
    """Values ``[lead, time]`` that an edit inserts."""
    try:
        piece = unpacked(edit["piece"])
        if piece.ndim != 2 or piece.dtype.kind != "f" or not np.isfinite(piece).all():
            raise ValueError
    except (KeyError, TypeError, ValueError, EOFError, OSError, AttributeError):
        raise MethodError(
            "an edit of kind 'blend' has no readable piece; make it with "
            "xai_views.methods.ecg_clusters.edits.blend."
        ) from None
    return piece


def _filled(row: np.ndarray, plain: np.ndarray, first: int, last: int, fill: str) -> np.ndarray | float:
    """Replacement for ``row[first:last]``; ``plain`` is the unedited lead, without padding."""
    if fill == "zero":
        return 0.0
    if fill == "mean":
        return float(plain.mean(dtype=np.float64))
    beside = ((first - 1, first > 0), (last, last < len(plain)))
    known = [float(row[i]) for i, there in beside if there]  # only one at an end of the record
    return np.linspace(known[0], known[-1], last - first + 2)[1:-1] if known else 0.0


def _short(edit: Any) -> str:
    said = repr(dict(edit) if isinstance(edit, Mapping) else edit)
    return said if len(said) <= 80 else f"{said[:77]}..."
