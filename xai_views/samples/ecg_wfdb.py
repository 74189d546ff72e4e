"""WFDB records (header ``.hea`` with ``.dat`` or ``.mat``) through the package wfdb, with what it lets pass checked first."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from xai_views.errors import SamplesError

from .ecg_quality import listed
from .ecg_raw import Source, positive_rate, to_mv, unique_leads

#: Bytes per step of the formats of fixed size (WFDB, signal(5)).
BYTES = {
    "8": Fraction(1), "16": Fraction(2), "24": Fraction(3), "32": Fraction(4), "61": Fraction(2), "80": Fraction(1),
    "160": Fraction(2), "212": Fraction(3, 2), "310": Fraction(4, 3), "311": Fraction(4, 3),
}  # fmt: skip
#: What a file name in a header may be. wfdb hands it to fsspec, which would follow "::" and "://" to other places.
PLAIN = re.compile(r"[A-Za-z0-9_~-][A-Za-z0-9._~-]*")
MOST_HEADER = 4_000_000
#: rate[/counter[(base)]] of a record line, and gain(baseline)/units of a signal line, each part optional (WFDB, header(5)).
RATE = re.compile(r"\d*\.?\d+(?:[eE][-+]?\d+)?(?:/[-+.\deE]+(?:\([-.\d]+\))?)?")
GAIN = re.compile(r"(?P<gain>[-+]?\d*\.?\d+(?:[eE][-+]?\d+)?)?(?:\((?P<base>-?\d+)\))?(?:/(?P<unit>\S+))?")


@dataclass(frozen=True)
class Line:
    """One signal of a header: file, format, gain as written (None = not written), unit (None = not written)."""

    file: str
    form: str
    offset: int
    frames: int
    gain: float | None
    unit: str | None


@dataclass(frozen=True)
class Header:
    """A header that has been checked; ``units`` are mV in one unit of each kept signal."""

    path: Path
    leads: tuple[str, ...]
    channels: tuple[int, ...]
    units: tuple[float, ...]
    rate: float
    steps: int
    remarks: tuple[str, ...]
    gain: str
    comments: tuple[str, ...]
    segments: bool
    stated: bool  # the header names its length


def wfdb_package() -> Any:
    """Import wfdb, or say how to install it."""
    try:
        import wfdb
    except ImportError:
        raise SamplesError(
            'WFDB records are read with the package wfdb, which is missing; pip install "xai-views[ecg]" brings it.'
        ) from None
    return wfdb


def record_path(path: Path) -> Path | None:
    """Return the header of a record that is named with or without extension, or None."""
    for candidate in (path, path.with_suffix(".hea"), path.with_name(path.name + ".hea")):
        if candidate.suffix == ".hea" and candidate.is_file():
            return candidate
    return None


def segments_of(headers: list[Path]) -> set[Path]:
    """Return those headers that are segments of other records among them."""
    found = set()
    for path in headers:
        try:
            rows, _ = _rows(path)
        except SamplesError:
            continue
        if "/" in rows[0].split()[0]:
            found |= {path.with_name(f"{row.split()[0]}.hea") for row in rows[1:] if row.split()}
    return found


def read_header(path: Path) -> Header:
    """Read and check the header of a record; its signals are not read.

    Parameters
    ----------
    path : Path
        The ``.hea`` file.

    Returns
    -------
    Header

    Raises
    ------
    SamplesError
        For a header that cannot be parsed, names other places, describes another number of signals than it
        announces, has no voltage among its signals, or whose signal file is missing or cut off.
    """
    wfdb = wfdb_package()
    rows, comments = _rows(path)
    first = rows[0].split()
    segments = "/" in first[0]
    lines = [] if segments else [_line(path, row) for row in rows[1:]]
    for name in {line.file for line in lines} | ({row.split()[0] for row in rows[1:]} if segments else set()):
        if name not in ("~", "-") and not PLAIN.fullmatch(name):
            raise SamplesError(
                f"header {path.name!r} names the file {name[:80]!r}; signal files must lie beside it under plain names."
            )
    announced = int(first[1]) if len(first) > 1 and first[1].isdigit() else 0
    if not segments and announced != len(lines):
        raise SamplesError(
            f"header {path.name!r} announces {announced} leads and describes {len(lines)}; restore it from its source."
        )
    # wfdb takes what it does not understand for missing, and 250 Hz for a missing rate.
    if (len(first) > 2 and not RATE.fullmatch(first[2])) or (len(first) > 3 and not first[3].isdigit()):
        raise SamplesError(
            f"header {path.name!r} begins with {rows[0][:80]!r}; name, number of signals, rate in Hz and length are expected."
        )
    if not announced:
        raise SamplesError(f"header {path.name!r} describes no signal; give a record that has some.")
    try:
        head = wfdb.rdheader(str(path.with_suffix("")), rd_segments=segments)
    except Exception as e:  # noqa: BLE001 - wfdb raises many kinds for headers that are none
        raise SamplesError(
            f"header {path.name!r} cannot be read ({_why(e)}); restore it from its source."
        ) from None
    rate = positive_rate(head.fs, f"header {path.name!r}")
    remarks = [] if len(first) > 2 else ["the header states no sampling rate, so 250 Hz by the rule of WFDB"]
    if segments:
        lines = _of_segments(path, head)
    steps = head.sig_len if segments else _steps(path, lines, head.sig_len)
    if not steps:
        raise SamplesError(f"record {path.stem!r} is empty: it has no steps; give one that has.")
    return _described(path, head, lines, rate, int(steps), remarks, tuple(comments))


def wfdb_source(path: Path) -> Source:
    """Return a record as a :class:`Source`; its header is read now, its signals later."""
    header = read_header(path)

    def read() -> tuple[np.ndarray, tuple[str, ...]]:
        return read_steps(header, 0, header.steps), checksums(header)

    return Source(
        path.stem, header.leads, header.rate, header.steps, read, header.remarks, header.gain, header.comments
    )


def read_steps(header: Header, start: int, stop: int) -> np.ndarray:
    """Read steps ``start`` to ``stop`` (exclusive) of a record.

    Returns
    -------
    ndarray
        ``[lead, stop - start]`` float32 in mV, NaN where the record says that there is no value.

    Raises
    ------
    SamplesError
        When the signal file cannot be read.
    """
    wfdb = wfdb_package()
    try:
        record = wfdb.rdrecord(
            str(header.path.with_suffix("")),
            sampfrom=start,
            # wfdb compares this with the length that the header states, and fails where it states none.
            sampto=stop if header.stated else None,
            channels=list(header.channels),
            return_res=32,
            force_channels=True,
        )
        signal = np.asarray(record.p_signal, np.float32).T[:, : stop - start]
    except Exception as e:  # noqa: BLE001 - as for headers
        raise SamplesError(
            f"the signals of record {header.path.stem!r} cannot be read ({_why(e)}); restore its files."
        ) from None
    if signal.shape != (len(header.leads), stop - start):
        raise SamplesError(
            f"record {header.path.stem!r} holds signals of shape {list(signal.shape)} and its header describes "
            f"{[len(header.leads), stop - start]}; restore its files."
        )
    return signal * np.asarray(header.units, np.float32)[:, None]


def checksums(header: Header) -> tuple[str, ...]:
    """Compare the checksums of a whole record with those of its header; a remark for those that differ."""
    wfdb = wfdb_package()
    if header.segments:
        return ()
    try:
        record = wfdb.rdrecord(
            str(header.path.with_suffix("")), physical=False, smooth_frames=False, ignore_skew=True
        )
        found = record.calc_checksum(expanded=True)
    except Exception:  # noqa: BLE001 - what cannot be read is said by read_steps
        return ()
    wrong = [
        lead
        for lead, i in zip(header.leads, header.channels, strict=True)
        if record.checksum[i] is not None and (int(record.checksum[i]) - int(found[i])) % 65536
    ]
    if not wrong:
        return ()
    return (f"the checksum of {listed(wrong)} differs from the header's: edited or damaged",)


def _rows(path: Path) -> tuple[list[str], list[str]]:
    """Lines of a header, and its comments."""
    try:
        raw = path.read_bytes()[: MOST_HEADER + 1]
    except OSError as e:
        raise SamplesError(f"header {path.name!r} cannot be read ({e.strerror}); check the path.") from None
    if len(raw) > MOST_HEADER:
        raise SamplesError(
            f"header {path.name!r} has more than {MOST_HEADER / 1e6:.0f} MB; give a WFDB header."
        )
    # wfdb reads ASCII and drops the rest, so that µV would become V: units are read here.
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        text = raw.decode("latin-1")
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    rows = [line.split("#")[0].strip() for line in lines if not line.startswith("#")]
    if not rows or "\0" in text:
        raise SamplesError(
            f"{path.name!r} is not a WFDB header; it should begin with a line that names the record."
        )
    return rows, [line.lstrip("# \t") for line in lines if line.startswith("#")]


def _line(path: Path, row: str) -> Line:
    """One signal line: file, format[xframes][:skew][+offset], gain(baseline)/unit, ..."""
    parts = row.split()
    form = re.fullmatch(r"(\d+)(?:x([1-9]\d*))?(?::\d+)?(?:\+(\d+))?", parts[1]) if len(parts) > 1 else None
    gain = GAIN.fullmatch(parts[2]) if len(parts) > 2 else None
    if form is None or (len(parts) > 2 and gain is None):
        raise SamplesError(
            f"header {path.name!r} has the line {row[:80]!r}, which does not describe a signal; restore it from its "
            "source."
        )
    value = float(gain["gain"]) if gain and gain["gain"] else None
    if value is not None and value < 0:
        raise SamplesError(f"header {path.name!r} gives the gain {value:g}; a gain is positive.")
    frames, offset = int(form[2] or 1), int(form[3] or 0)
    return Line(parts[0], form[1], offset, frames, value or None, gain["unit"] if gain else None)


def _steps(path: Path, lines: list[Line], stated: int | None) -> int | None:
    """Steps of the record, after a look at the size of its files."""
    for file in dict.fromkeys(line.file for line in lines):
        mine = [line for line in lines if line.file == file]
        where = path.with_name(file)
        if not where.is_file():
            raise SamplesError(
                f"header {path.name!r} names the file {file!r}, which is not beside it; copy both."
            )
        if mine[0].form not in BYTES:
            continue  # compressed: its length is known to its decoder only
        size = where.stat().st_size - mine[0].offset
        held = int(size / (sum(line.frames for line in mine) * BYTES[mine[0].form])) if size > 0 else 0
        stated = held if stated is None else stated
        if held < stated:
            raise SamplesError(
                f"{file!r} holds {held} of the {stated} steps that its header describes; it is cut off, copy it again."
            )
    return stated


def _of_segments(path: Path, head: Any) -> list[Line]:
    """The lines of the signals of a record in segments; gain and unit may not change within a lead."""
    found: dict[str, Line] = {}
    for name in dict.fromkeys(head.seg_name):
        if name == "~":
            continue
        where = path.with_name(f"{name}.hea")
        rows, _ = _rows(where)
        lines = [_line(where, row) for row in rows[1:]]
        for line, row in zip(lines, rows[1:], strict=True):
            if line.file not in ("~", "-") and not PLAIN.fullmatch(line.file):
                raise SamplesError(
                    f"header {where.name!r} names the file {line.file[:80]!r}; signal files must lie beside it under "
                    "plain names."
                )
            lead = " ".join(row.split()[8:]) or f"signal {len(found)}"
            if lead in found and to_mv(found[lead].unit or "mV") != to_mv(line.unit or "mV"):
                raise SamplesError(
                    f"lead {lead!r} of record {path.stem!r} changes its unit from {found[lead].unit} to {line.unit}; "
                    "open its segments one by one."
                )
            found.setdefault(lead, line)
        if "~" not in {line.file for line in lines} and lines:
            _steps(where, lines, None)
    missing = [str(x) for x in head.sig_name if x not in found]
    if missing:
        raise SamplesError(
            f"no segment of record {path.stem!r} describes {listed(missing)}; restore its headers."
        )
    return [found[x] for x in head.sig_name]


def _described(
    path: Path,
    head: Any,
    lines: list[Line],
    rate: float,
    steps: int,
    remarks: list[str],
    comments: tuple[str, ...],
) -> Header:
    """Names, units and remarks of the signals that are voltages."""
    names = [str(x) if x else f"signal {i + 1}" for i, x in enumerate(head.sig_name)]
    factors = [to_mv(line.unit or "mV") for line in lines]
    kept = [i for i, f in enumerate(factors) if f is not None]
    if not kept:
        units = ", ".join(sorted({str(line.unit) for line in lines}))
        raise SamplesError(
            f"record {path.stem!r} holds signals in {units} and none in V, mV or uV; give an ECG."
        )
    left = [f"{names[i]} ({lines[i].unit})" for i in range(len(names)) if i not in kept]
    if left:
        remarks.append(f"{listed(left)} left away: no voltage")
    leads = unique_leads([names[i] for i in kept])
    without = [x for x, i in zip(leads, kept, strict=True) if lines[i].gain is None]
    if without:
        verb = "no gain" if len(without) == 1 else "no gains"
        remarks.append(
            f"the header gives {verb} for {listed(without)}, so 200 units per mV by the rule of WFDB"
        )
    several = [x for x, i in zip(leads, kept, strict=True) if lines[i].frames > 1]
    if several:
        remarks.append(f"{listed(several)}: several steps per frame, averaged to {rate:g} Hz")
    gains = sorted({f"{lines[i].gain or 200.0:g} units per {lines[i].unit or 'mV'}" for i in kept})
    return Header(
        path,
        leads,
        tuple(kept),
        tuple(float(factors[i]) for i in kept),
        rate,
        steps,
        tuple(remarks),
        ", ".join(gains[:3]),
        comments,
        hasattr(head, "seg_name"),
        head.sig_len is not None,
    )


def _why(e: Exception) -> str:
    text = str(e).splitlines()[0][:80] if str(e) else ""
    return text.rstrip(".") or type(e).__name__
