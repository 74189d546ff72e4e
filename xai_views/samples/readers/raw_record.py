"""Records as stored in files, and their combination into one set: union of leads, one rate, padding, remarks."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from xai_views.errors import SamplesError
from xai_views.kinds.signal_preparing import FLAG, ratio_of, resampled
from xai_views.kinds.signal_schema import LEADS, lead_name, signal_dataset
from xai_views.samples.signal_quality import check, listed

#: Bytes of signal above which a folder is read on access rather than when it is opened.
EAGER_BYTES = 2**30
#: Number of records in a lazily read block.
BLOCK = 16
#: Length in seconds of the longest record that is opened as one sample.
LONGEST_S = 3600.0
#: mV in one of each unit that files use.
UNITS = {"v": 1e3, "mv": 1.0, "uv": 1e-3, "µv": 1e-3, "μv": 1e-3, "nv": 1e-6}  # micro sign and Greek mu


@dataclass(frozen=True)
class Source:
    """One record that can be read.

    Attributes
    ----------
    name : str
        Origin: a path without extension, or a number.
    leads : tuple of str
        Standard names, unique.
    rate : float
        Hz.
    steps : int
        Length in steps.
    read : callable
        Returns ``[lead, steps]`` float32 in mV, NaN where values are missing, and remarks made while reading.
    remarks : tuple of str
        Remarks made before reading.
    gain : str
        Conversion of the file's numbers to mV.
    comments : tuple of str
        Free text of the header, in which some sets keep their labels.
    note : str
        A sentence on other content of the file, "" for none.
    """

    name: str
    leads: tuple[str, ...]
    rate: float
    steps: int
    read: Callable[[], tuple[np.ndarray, tuple[str, ...]]]
    remarks: tuple[str, ...] = ()
    gain: str = ""
    comments: tuple[str, ...] = ()
    note: str = ""


def to_mv(unit: Any) -> float | None:
    """Return the mV in one of a unit ("uV", "µV", "mV", "V", "nV"), or None when it is not a voltage."""
    return UNITS.get(str(unit).strip().lower())


def unique_leads(names: Sequence[Any]) -> tuple[str, ...]:
    """Return standard names; a repeated name ("ECG", "ECG") gets a letter ("ECG b")."""
    # Not a number: "ECG 2" would be read as lead II.
    plain = [lead_name(name) for name in names]
    seen: Counter[str] = Counter()
    times = []
    for name in plain:
        times.append(seen[name])
        seen[name] += 1
    return tuple(
        f"{x} {chr(ord('a') + k) if k < 26 else k}" if k else x for x, k in zip(plain, times, strict=True)
    )


def positive_rate(rate: Any, what: str) -> float:
    """Return a sampling rate as a float, or raise a one-sentence error that names ``what``."""
    try:
        value = float(rate)
    except (TypeError, ValueError):
        value = np.nan
    if not (np.isfinite(value) and value > 0):
        raise SamplesError(f"{what} has the sampling rate {rate!r}; it should be a positive number of Hz.")
    return value


def chosen(source: Source, rate: float | None, leads: Sequence[str] | None) -> Source:
    """Check a given rate against the file's, and keep the requested leads.

    Raises
    ------
    SamplesError
        When the file states another rate, or has none of the leads.
    """
    if rate is not None and abs(float(rate) - source.rate) > 0.01 * source.rate:
        raise SamplesError(
            f"record {source.name!r} states {source.rate:g} Hz and rate={rate:g} was given; omit the rate and "
            "resample with xai_views.samples.prepare."
        )
    if leads is None:
        return source
    wanted = [lead_name(x) for x in leads]
    at = [source.leads.index(x) for x in wanted if x in source.leads]
    if not at:
        raise SamplesError(
            f"record {source.name!r} has the leads {', '.join(source.leads)} and none of {', '.join(wanted)}; "
            "choose some of its own."
        )
    lacking = [x for x in wanted if x not in source.leads]
    remarks = (*source.remarks, f"{listed(lacking)} missing in the file") if lacking else source.remarks

    def read() -> tuple[np.ndarray, tuple[str, ...]]:
        signal, said = source.read()
        return signal[at], said

    kept = tuple(source.leads[i] for i in at)
    return replace(source, leads=kept, read=read, remarks=remarks)


class MissingError(SamplesError):
    """A file lacks information that is needed to read it.

    Attributes
    ----------
    what : str
        "rate" or "leads".
    """

    def __init__(self, what: str, sentence: str) -> None:
        super().__init__(sentence)
        self.what = what


@dataclass(frozen=True)
class Frame:
    """Leads, rate and length that all records of a set share once combined."""

    leads: tuple[str, ...]
    rate: float
    steps: int

    def fitted(self, source: Source) -> tuple[np.ndarray, np.ndarray, int, str]:
        """Read a record and convert it to the leads, rate and length of the set.

        Returns
        -------
        tuple
            ``[lead, steps]`` float32, ``[lead]`` bool, its length in steps, and the remark for ``flag``.

        Raises
        ------
        SamplesError
            When it cannot be read or has no signal.
        """
        raw, said = source.read()
        looked = check(raw, source.rate, source.leads, source.gain)
        if not looked.present.any():
            raise SamplesError(f"record {source.name!r} holds no signal ({'; '.join(looked.remarks)[:150]}).")
        remarks = [*source.remarks, *said, *looked.remarks]
        ratio = ratio_of(self.rate, source.rate)
        part = resampled(looked.signal[:, : looked.length], ratio.numerator, ratio.denominator)
        if ratio != 1:
            remarks.append(f"resampled from {source.rate:g} to {self.rate:g} Hz, the rate of most records")
        out = np.zeros((len(self.leads), self.steps), np.float32)
        present = np.zeros(len(self.leads), bool)
        at = [self.leads.index(x) for x in source.leads]
        length = min(part.shape[-1], self.steps)
        out[at, :length] = part[:, :length]
        present[at] = looked.present
        lacking = [x for x in self.leads if x not in source.leads]
        if lacking:
            remarks.append(f"{listed(lacking)} {'is' if len(lacking) == 1 else 'are'} missing")
        return out, present, length, "; ".join(remarks)


def gather(
    sources: Sequence[Source], *, lazy: bool | None = None, **words: Any
) -> tuple[xr.Dataset, list[int]]:
    """Combine records into one Dataset.

    The union of their leads is used (standard leads first when records differ), records with other rates than the
    most common one are resampled to it, and shorter records are padded with zeros (``length``). All this is noted in
    ``flag``. Records that cannot be read or have no signal are left out and named in the attribute ``note``, unless
    there is only one.

    Parameters
    ----------
    sources : sequence of Source
        At least one.
    lazy : bool, optional
        Read blocks of records on access; by default from 1 GiB on. ``present`` and ``flag`` are then
        lazy too, because they are known only after reading.
    **words
        Attributes: ``title``, ``note``, ``licence``, ``origin``.

    Returns
    -------
    ds : xarray.Dataset
        Validated.
    kept : list of int
        Positions of the records that are included.

    Raises
    ------
    SamplesError
        For a record of more than an hour, rates that differ more than fifty-fold, or when none can be read.
    """
    for s in sources:
        if s.steps / s.rate > LONGEST_S:
            raise SamplesError(
                f"record {s.name!r} lasts {s.steps / s.rate / 3600:.1f} h and one sample holds at most "
                f"{LONGEST_S / 3600:.0f} h; open it with xai_views.samples.readers.long_record.open_long and cut from that."
            )
    slow, fast = min(s.rate for s in sources), max(s.rate for s in sources)
    if fast > 50 * slow:
        raise SamplesError(
            f"the records have rates from {slow:g} to {fast:g} Hz, too far apart for one set; open them one by one."
        )
    rate = Counter(s.rate for s in sources).most_common(1)[0][0]
    every = {x: None for s in sources for x in s.leads}
    leads = sources[0].leads  # the order of the file, unless files differ
    if any(s.leads != leads for s in sources):
        leads = tuple([x for x in LEADS if x in every] + [x for x in every if x not in LEADS])
    ratios = [(s, ratio_of(rate, s.rate)) for s in sources]
    steps = max(-(-s.steps * q.numerator // q.denominator) for s, q in ratios)
    frame = Frame(leads, rate, steps)
    if lazy is None:
        lazy = 4 * len(sources) * len(leads) * steps > EAGER_BYTES
    names = record_names([s.name for s in sources])
    for note in dict.fromkeys(s.note for s in sources if s.note):
        words = with_note(words, note)
    if lazy:
        return _late(sources, frame, names, words), list(range(len(sources)))
    done, kept, failed = [], [], []
    for i, source in enumerate(sources):
        try:
            done.append(frame.fitted(source))
            kept.append(i)
        except SamplesError as e:
            failed.append(str(e))
    if not done:
        raise SamplesError(
            failed[0] if len(failed) == 1 else f"none of {len(failed)} records can be used: {failed[0]}"
        )
    longest = max(d[2] for d in done)
    ds = signal_dataset(
        np.stack([d[0][:, :longest] for d in done]),
        rate,
        leads,
        name=[names[i] for i in kept],
        length=[d[2] for d in done],
        present=np.stack([d[1] for d in done]),
        flag=[d[3] for d in done],
        **with_note(words, left_out(failed, len(sources))),
    )
    return ds, kept


def left_out(failed: Sequence[str], n: int) -> str:
    """Return the sentence that names the records left out of the samples, "" for none."""
    if not failed:
        return ""
    more = f" (and {len(failed) - 3} more)" if len(failed) > 3 else ""
    return f"{len(failed)} of {n} records were left out: {' '.join(failed[:3])}{more}"


def with_note(words: dict[str, Any], note: str) -> dict[str, Any]:
    """Return attributes with a sentence appended to ``note``."""
    return {**words, "note": " ".join(filter(None, [str(words.get("note", "")), note]))}


def record_names(paths: Sequence[str]) -> list[str]:
    """Return unique names for URLs: the last part of each path if these differ, else the whole path."""
    last = [Path(p).name for p in paths]
    if len(set(last)) < len(last):
        last = list(paths)
    safe = [re.sub(r"[^A-Za-z0-9._~-]+", "-", x).strip("-") or "record" for x in last]
    seen: Counter[str] = Counter()
    out = []
    taken = set(safe)
    for name in safe:
        seen[name] += 1
        new = name
        while seen[name] > 1 and new in taken:
            new = f"{name}~{seen[name]}"
            seen[name] += new in taken
        taken.add(new)
        out.append(new)
    return out


def _late(sources: Sequence[Source], frame: Frame, names: list[str], words: dict[str, Any]) -> xr.Dataset:
    """Build a set whose signals, presence and remarks are read by block."""
    import dask
    import dask.array as da

    @dask.delayed
    def read(block: tuple[Source, ...]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        done = [frame.fitted(s) for s in block]
        signal, present, _, flag = zip(*done, strict=True)
        return np.stack(signal), np.stack(present), np.asarray(flag, dtype=str)

    shapes: list[tuple[tuple[int, ...], Any]] = [
        ((len(frame.leads), frame.steps), np.float32),
        ((len(frame.leads),), bool),
    ]
    parts: list[list[Any]] = [[], [], []]
    for start in range(0, len(sources), BLOCK):
        block = tuple(sources[start : start + BLOCK])
        blocks = read(block)
        for k, (shape, dtype) in enumerate([*shapes, ((), FLAG)]):
            parts[k].append(da.from_delayed(blocks[k], (len(block), *shape), dtype))
    signal, present, flag = (da.concatenate(p) for p in parts)
    ratios = [ratio_of(frame.rate, s.rate) for s in sources]
    length = [-(-s.steps * q.numerator // q.denominator) for s, q in zip(sources, ratios, strict=True)]
    ds = signal_dataset(signal, frame.rate, frame.leads, name=names, length=length, **words)
    return ds.assign(present=(("sample", "lead"), present), flag=("sample", flag))
