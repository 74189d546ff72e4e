"""One ECG record and what is explained of it, as the paper draws it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from xai_views.errors import XaiViewsError


@dataclass(frozen=True)
class Interval:
    """A stretch of time in one lead (``lead`` is its position, -1 = all leads), in s, with a word for it."""

    lead: int
    start: float
    stop: float
    word: str = ""


@dataclass(frozen=True, eq=False)
class Record:
    """A record and what is explained of it.

    Attributes
    ----------
    id, name : str
        Unique key; what people read ("" = the id).
    leads : tuple of str
        Names in the order of ``signal``.
    rate : float
        Steps per second (Hz).
    signal : ndarray
        ``[lead, time]`` float32 in mV, finite.
    length : int, optional
        Steps that are signal; what follows is padding and is not drawn. None = all.
    present : tuple of bool, optional
        False = the lead is missing; its place says so. None = all there.
    cluster : ndarray, optional
        ``[steps]`` or ``[lead, steps]`` integer ids; negative = not explained.
    entropy : ndarray, optional
        Same shape, in [0, 1]: how uncertain the assignment is.
    step, offset : float
        Seconds of one step of ``cluster`` and ``entropy``, and where the first one begins.
    names : tuple of str
        Name of each cluster id, () = numbers only.
    contribution : ndarray, optional
        ``[1, steps]`` or ``[lead, steps]`` signed parts of a logit.
    contribution_step, contribution_offset : float, optional
        As above, for the contribution; None = those of the clusters.
    limit : float, optional
        The magnitude drawn with full height, shared by all leads (and, if the app wants so, by all records). None = the
        largest of this record.
    totals : tuple of float, optional
        Per lead, shown at its right edge. None = not known.
    target, unit : str
        The class that the contribution speaks for, and its unit ("logit").
    truth : tuple of Interval
        Where the evidence is known to lie.
    title, flag, text : str
        Printed on the sheet: what this is, a remark on quality; one sentence for those who do not see it.
    synthetic : bool
        Whether "synthetic" is printed on the sheet.
    answer : dict, optional
        For the answer line, see :class:`xai_views.views.answer_line.answer_line.AnswerLine`.
    ledger : dict, optional
        Shown beside the paper: ``title``, ``rows`` of ``{"id", "part", "removed"}``, ``sums`` of ``[words, value]``, ``logit``
        ``[words, value]``, and ``after``, a sentence on the logit before and after an edit ("" for none).
    """

    id: str
    leads: tuple[str, ...]
    rate: float
    signal: np.ndarray
    name: str = ""
    length: int | None = None
    present: tuple[bool, ...] | None = None
    cluster: np.ndarray | None = None
    entropy: np.ndarray | None = None
    step: float = 0.0
    offset: float = 0.0
    names: tuple[str, ...] = ()
    contribution: np.ndarray | None = None
    contribution_step: float | None = None
    contribution_offset: float | None = None
    limit: float | None = None
    totals: tuple[float, ...] | None = None
    target: str = ""
    unit: str = "logit"
    truth: tuple[Interval, ...] = ()
    title: str = ""
    flag: str = ""
    text: str = ""
    synthetic: bool = False
    answer: dict[str, Any] | None = None
    ledger: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        put = object.__setattr__  # the way in for a frozen dataclass
        put(self, "leads", tuple(str(x) for x in self.leads))
        put(self, "signal", np.asarray(self.signal, np.float32))
        _check_signal(self)
        for name in ("cluster", "entropy", "contribution"):
            if getattr(self, name) is not None:
                put(self, name, _rows(self, name))
        _check_sequences(self)

    @property
    def steps(self) -> int:
        """Steps that are signal."""
        return self.signal.shape[1] if self.length is None else int(self.length)

    @property
    def seconds(self) -> float:
        """How long the record is, without padding."""
        return self.steps / self.rate

    @property
    def strip_grid(self) -> tuple[float, float]:
        """Seconds of one step of the contribution, and where the first one begins."""
        step, offset = self.contribution_step, self.contribution_offset
        return self.step if step is None else step, self.offset if offset is None else offset

    @property
    def bound(self) -> float:
        """The magnitude of a contribution that is drawn with full height."""
        if self.limit is not None:
            return float(self.limit)
        return 0.0 if self.contribution is None else float(np.abs(self.contribution).max(initial=0.0))

    def missing(self, lead: int) -> bool:
        """Whether a lead is not there."""
        return self.present is not None and not self.present[lead]


def record_of(samples: Any, index: int = 0, **about: Any) -> Record:
    """Take one record out of samples of signals.

    Parameters
    ----------
    samples : xarray.Dataset
        With ``signal (sample, lead, time)`` in mV (see the schema of signals).
    index : int
        Position of the record.
    **about
        Any attribute of :class:`Record`; what an explanation knows goes here.

    Returns
    -------
    Record
        With the truth of the record's ``mask`` as intervals.
    """
    if "signal" not in samples:
        raise XaiViewsError(
            "ECG paper needs samples with a variable 'signal'; these have none, open signals."
        )
    one = samples.isel(sample=index)
    rate = float(samples.attrs["rate"])
    name = str(one["name"].values) if "name" in one else str(index)
    known: dict[str, Any] = {
        "id": name,
        "leads": tuple(map(str, one["lead"].values)),
        "rate": rate,
        "signal": np.asarray(one["signal"].values, np.float32),
        "title": str(samples.attrs.get("title", "")),
        "synthetic": bool(samples.attrs.get("synthetic", False)),
    }
    if "length" in one:
        known["length"] = int(one["length"])
    if "present" in one:
        known["present"] = tuple(map(bool, one["present"].values))
    if "flag" in one:
        known["flag"] = str(one["flag"].values)
    if "mask" in one:
        known["truth"] = intervals(np.asarray(one["mask"].values, bool), rate)
    unknown = set(about) - {f.name for f in fields(Record)}
    if unknown:
        raise XaiViewsError(f"a record has no {min(unknown)!r}; see xai_views.views.Record for what it has.")
    return Record(**{**known, **about})


def intervals(mask: np.ndarray, rate: float, word: str = "") -> tuple[Interval, ...]:
    """Return the runs of a mask ``[lead, time]`` as intervals; runs that all leads share become one of lead -1."""
    runs = [_runs(row) for row in np.atleast_2d(mask)]
    shared = set(runs[0]).intersection(*runs[1:]) if len(runs) > 1 else set()
    found = [Interval(-1, a / rate, b / rate, word) for a, b in sorted(shared)]
    for lead, own in enumerate(runs):
        found += [Interval(lead, a / rate, b / rate, word) for a, b in own if (a, b) not in shared]
    return tuple(found)


def _runs(row: np.ndarray) -> list[tuple[int, int]]:
    edges = np.flatnonzero(np.diff(np.concatenate(([0], row.astype(np.int8), [0]))))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))


def _check_signal(record: Record) -> None:
    signal, leads = record.signal, record.leads
    if signal.ndim != 2 or signal.shape[0] != len(leads) or not signal.size:
        raise XaiViewsError(
            f"the signal of {record.id!r} has shape {list(signal.shape)} and should be [{len(leads)}, steps], "
            "one row for each of its leads; transpose it or name the leads."
        )
    if not np.isfinite(signal).all():
        raise XaiViewsError(
            f"the signal of {record.id!r} holds values that are no numbers; set them to zero and 'present' to False."
        )
    if not (math.isfinite(record.rate) and record.rate > 0):
        raise XaiViewsError(
            f"the rate of {record.id!r} came as {record.rate!r} and should be positive, in Hz."
        )
    if record.length is not None and not 0 < record.length <= signal.shape[1]:
        raise XaiViewsError(
            f"the length of {record.id!r} came as {record.length} and should lie in 1 to {signal.shape[1]} steps."
        )
    for name in ("present", "totals"):
        given: Sequence | None = getattr(record, name)
        if given is not None and len(given) != len(leads):
            raise XaiViewsError(
                f"{name!r} has {len(given)} values for {len(leads)} leads; give one for each."
            )


def _rows(record: Record, name: str) -> np.ndarray:
    """Return a sequence as ``[1 or lead, steps]``."""
    array = np.asarray(getattr(record, name))
    array = array[None] if array.ndim == 1 else array
    if array.ndim != 2 or array.shape[0] not in (1, len(record.leads)) or not array.size:
        raise XaiViewsError(
            f"{name!r} of {record.id!r} has shape {list(array.shape)} and should be [steps], [1, steps] or "
            f"[{len(record.leads)}, steps]; give one row for all leads or one for each."
        )
    if not np.isfinite(array).all():
        raise XaiViewsError(f"{name!r} of {record.id!r} holds values that are no numbers; leave them out.")
    return array


def _check_sequences(record: Record) -> None:
    if record.cluster is not None and record.cluster.dtype.kind not in "iu":
        raise XaiViewsError(f"'cluster' must hold integer ids, not {record.cluster.dtype}; round them.")
    if record.entropy is not None:
        if record.cluster is None or record.entropy.shape != record.cluster.shape:
            raise XaiViewsError("'entropy' needs a 'cluster' of the same shape; give both, or none.")
        if record.entropy.min() < 0 or record.entropy.max() > 1:
            raise XaiViewsError("'entropy' must lie in [0, 1]; divide it by the logarithm of the clusters.")
    if record.cluster is not None and not record.step > 0:
        raise XaiViewsError(f"the step of the clusters came as {record.step} and should be seconds; give it.")
    if record.contribution is not None and not record.strip_grid[0] > 0:
        raise XaiViewsError("the contribution has no step in seconds; give contribution_step.")
    if record.limit is not None and not (math.isfinite(record.limit) and record.limit >= 0):
        raise XaiViewsError(f"the limit came as {record.limit!r} and should be a number >= 0; give one.")
