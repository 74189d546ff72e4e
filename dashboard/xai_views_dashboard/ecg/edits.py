"""Edits of a record: a lead muted, an interval silenced, a beat of another record blended in."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np


def edited(
    signal: np.ndarray,
    edits: Sequence[dict],
    rate: float,
    other: Callable[[str], np.ndarray] | None = None,
) -> np.ndarray:
    """Apply edits one after another.

    Parameters
    ----------
    signal : ndarray
        ``[lead, time]`` in mV.
    edits : sequence of dict
        ``{"kind": "mute", "lead"}`` sets a lead to zero; ``{"kind": "silence", "lead", "start", "stop"}`` draws a straight
        line from ``start`` to ``stop`` (s); ``{"kind": "blend", "lead", "start", "stop", "record", "from"}`` puts in what
        the other record shows from ``from`` (s) on, shifted to meet the ends. ``lead`` -1 means all leads.
    rate : float
        Steps per second.
    other : callable, optional
        ``other(name)`` returns the signal ``[lead, time]`` of another record; needed by "blend" only.

    Returns
    -------
    ndarray
        ``[lead, time]`` float32; the given one is left alone.
    """
    out = np.array(signal, np.float32)
    for edit in edits:
        rows = range(len(out)) if edit["lead"] < 0 else [edit["lead"]] if edit["lead"] < len(out) else []
        if edit["kind"] == "mute":
            out[list(rows)] = 0
            continue
        first, last = (int(np.clip(round(edit[k] * rate), 0, out.shape[1])) for k in ("start", "stop"))
        if last - first < 2:
            continue
        source = other(edit["record"]) if edit["kind"] == "blend" and other else None
        for row in rows:
            ends = out[row, first], out[row, last - 1]
            line = np.linspace(*ends, last - first, dtype=np.float32)
            out[row, first:last] = line if source is None else _blended(source[row], edit["from"], rate, line)
    return out


def _blended(source: np.ndarray, start: float, rate: float, line: np.ndarray) -> np.ndarray:
    """A piece of another trace whose ends lie where the line's are."""
    at = int(np.clip(round(start * rate), 0, max(0, len(source) - len(line))))
    piece = np.zeros_like(line)
    taken = source[at : at + len(line)]
    piece[: len(taken)] = taken
    return piece - np.linspace(piece[0], piece[-1], len(piece), dtype=np.float32) + line


def sentence(edit: dict, leads: Sequence[str]) -> str:
    """Say what an edit does."""
    where = (
        "all leads" if edit["lead"] < 0 else leads[edit["lead"]] if edit["lead"] < len(leads) else "no lead"
    )
    if edit["kind"] == "mute":
        return f"{where} muted"
    span = f"{edit['start']:.2f} to {edit['stop']:.2f} s of {where}"
    if edit["kind"] == "silence":
        return f"{span} silenced"
    return f"{span} replaced by {edit['record']} from {edit['from']:.2f} s on"
