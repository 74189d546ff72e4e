"""Headers of WFDB records (``.hea``), parsed and checked here because errors that wfdb ignores give wrong signals.

wfdb reads them as ASCII, so that µV becomes V; replaces an unreadable rate by 250 Hz; does not check the size of
signal files; and takes minutes for the headers of a set of 20,000 records. The signals are read by wfdb.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

from xai_views.errors import SamplesError
from xai_views.samples.readers.raw_record import positive_rate, to_mv, unique_leads
from xai_views.samples.signal_quality import listed

#: Bytes per step of the formats of fixed size (WFDB, signal(5)).
BYTES = {
    "8": Fraction(1), "16": Fraction(2), "24": Fraction(3), "32": Fraction(4), "61": Fraction(2), "80": Fraction(1),
    "160": Fraction(2), "212": Fraction(3, 2), "310": Fraction(4, 3), "311": Fraction(4, 3),
}  # fmt: skip
#: Formats whose size depends on their content: compressed ones, and "no file".
OTHERS = ("0", "508", "516", "524")
#: Allowed file names in a header. wfdb passes them to fsspec, which would resolve "::" and "://" to other locations.
PLAIN = re.compile(r"[A-Za-z0-9_~-][A-Za-z0-9._~-]*")
MOST_HEADER = 4_000_000
#: format[xframes][:skew][+offset] of a signal line (WFDB, header(5)).
FORM = re.compile(r"(\d+)(?:x([1-9]\d*))?(?::(\d+))?(?:\+(\d+))?")
#: rate[/counter[(base)]] of a record line, and gain(baseline)/units of a signal line, each part optional (WFDB, header(5)).
RATE = re.compile(r"\d*\.?\d+(?:[eE][-+]?\d+)?(?:/[-+.\deE]+(?:\([-.\d]+\))?)?")
GAIN = re.compile(r"(?P<gain>[-+]?\d*\.?\d+(?:[eE][-+]?\d+)?)?(?:\((?P<base>-?\d+)\))?(?:/(?P<unit>\S+))?")


@dataclass(frozen=True)
class Line:
    """One signal of a header; None = not stated."""

    file: str
    form: str
    offset: int
    frames: int
    skew: int
    gain: float | None
    unit: str | None
    checksum: int | None
    name: str


@dataclass(frozen=True)
class Header:
    """A checked header.

    Attributes
    ----------
    path : Path
        The ``.hea`` file.
    leads : tuple of str
        Standard names of the signals that are voltages.
    channels : tuple of int
        Positions of these signals in the record.
    units : tuple of float
        Size of the unit of each signal in mV.
    checksums : tuple of int or None
        As stated in the header; None where missing or not comparable.
    rate, steps : float, int
        Sampling rate in Hz; length.
    remarks, gain, comments
        As in :class:`xai_views.samples.readers.raw_record.Source`.
    stated : bool
        Whether the header states its length.
    """

    path: Path
    leads: tuple[str, ...]
    channels: tuple[int, ...]
    units: tuple[float, ...]
    checksums: tuple[int | None, ...]
    rate: float
    steps: int
    remarks: tuple[str, ...]
    gain: str
    comments: tuple[str, ...]
    stated: bool


def record_path(path: Path) -> Path | None:
    """Return the header of a record given with or without extension, or None."""
    for candidate in (path, path.with_suffix(".hea"), path.with_name(path.name + ".hea")):
        if candidate.suffix == ".hea" and candidate.is_file():
            return candidate
    return None


def segments_of(headers: list[Path]) -> set[Path]:
    """Return the headers that are segments of other records in the list."""
    found = set()
    for path in headers:
        try:
            rows, _ = rows_of(path)
        except SamplesError:
            continue
        if "/" in rows[0].split()[0]:
            found |= {path.with_name(f"{row.split()[0]}.hea") for row in rows[1:] if row.split()}
    return found


def read_header(path: Path) -> Header:
    """Read and check the header of a record, without its signals.

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
        For a header that cannot be parsed, refers to other locations, describes another number of signals than
        announced, has no voltage among its signals, or whose signal file is missing or cut off.
    """
    rows, comments = rows_of(path)
    first = rows[0].split()
    announced = int(first[1]) if len(first) > 1 and first[1].isdigit() else 0
    if not announced:
        raise SamplesError(f"header {path.name!r} announces 0 leads; give a record that has leads.")
    if (len(first) > 2 and not RATE.fullmatch(first[2])) or (len(first) > 3 and not first[3].isdigit()):
        raise SamplesError(
            f"header {path.name!r} begins with {rows[0][:80]!r}; name, number of signals, rate in Hz and length are expected."
        )
    rate = positive_rate(re.split("[/(]", first[2])[0] if len(first) > 2 else 250, f"header {path.name!r}")
    remarks = (
        [] if len(first) > 2 else ["the header states no sampling rate: 250 Hz assumed, as WFDB defines"]
    )
    stated = int(first[3]) if len(first) > 3 else None
    if "/" in first[0]:
        lines, steps = _segments(path, rows), stated
    else:
        lines = [_line(path, row, k) for k, row in enumerate(rows[1:])]
        steps = _steps(path, lines, stated) if len(lines) == announced else None
    if len(lines) != announced:
        raise SamplesError(
            f"header {path.name!r} announces {announced} leads and describes {len(lines)}; restore it from its source."
        )
    if not steps:
        raise SamplesError(f"record {path.stem!r} is empty; give one with at least one step.")
    return _described(path, lines, rate, steps, remarks, tuple(comments), stated is not None)


def rows_of(path: Path) -> tuple[list[str], list[str]]:
    """Return the lines of a header, and its comments."""
    try:
        raw = path.read_bytes()[: MOST_HEADER + 1]
    except OSError as e:
        raise SamplesError(f"header {path.name!r} cannot be read ({e.strerror}); check the path.") from None
    if len(raw) > MOST_HEADER:
        raise SamplesError(
            f"header {path.name!r} is larger than {MOST_HEADER / 1e6:.0f} MB; give a WFDB header."
        )
    # wfdb reads ASCII and drops the rest, so that µV would become V; units are therefore read here.
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


def _line(path: Path, row: str, k: int) -> Line:
    """Parse one signal line: file, format, gain, resolution, zero, first value, checksum, block size, name."""
    parts = row.split()
    form = FORM.fullmatch(parts[1]) if len(parts) > 1 else None
    gain = GAIN.fullmatch(parts[2]) if len(parts) > 2 else None
    # Resolution, zero, first value, checksum and block size; some headers omit the last ones before the name.
    named = next((i for i, x in enumerate(parts[3:8], 3) if not re.fullmatch(r"-?\d+", x)), 8)
    if form is None or (len(parts) > 2 and gain is None):
        raise SamplesError(
            f"header {path.name!r} has the line {row[:80]!r}, which does not describe a signal; restore it from its "
            "source."
        )
    if parts[0] != "~" and not PLAIN.fullmatch(parts[0]):
        raise SamplesError(
            f"header {path.name!r} names the file {parts[0][:80]!r}; signal files must be in its folder, under plain names."
        )
    if form[1] not in BYTES and form[1] not in OTHERS:
        raise SamplesError(
            f"header {path.name!r} has the format {form[1][:20]}, which WFDB does not define; restore it."
        )
    value = float(gain["gain"]) if gain and gain["gain"] else None
    if value is not None and value < 0:
        raise SamplesError(
            f"header {path.name!r} has the gain {value:g}, which should be positive; restore it."
        )
    return Line(
        parts[0],
        form[1],
        int(form[4] or 0),
        int(form[2] or 1),
        int(form[3] or 0),
        value or None,
        gain["unit"] if gain else None,
        int(parts[6]) if min(named, len(parts)) > 6 else None,
        " ".join(parts[named:]) or f"signal {k + 1}",
    )


def _steps(path: Path, lines: list[Line], stated: int | None) -> int | None:
    """Return the number of steps of the record, checked against the size of its files."""
    for file in dict.fromkeys(line.file for line in lines):
        mine = [line for line in lines if line.file == file]
        where = path.with_name(file)
        if file == "~":
            continue  # the layout of the segments that follow
        if len({(line.form, line.offset) for line in mine}) > 1:
            raise SamplesError(
                f"header {path.name!r} has several formats or offsets for the file {file!r}; restore it."
            )
        if not where.is_file():
            raise SamplesError(
                f"header {path.name!r} names the file {file!r}, which is not in its folder; copy both."
            )
        if mine[0].form not in BYTES:
            continue  # compressed: only its decoder knows the length
        size = where.stat().st_size - mine[0].offset
        held = int(size / (sum(line.frames for line in mine) * BYTES[mine[0].form])) if size > 0 else 0
        stated = held if stated is None else stated
        if held < stated:
            raise SamplesError(
                f"{file!r} holds {held} of the {stated} steps that its header describes; it is cut off, copy it again."
            )
    return stated


def _segments(path: Path, rows: list[str]) -> list[Line]:
    """Return the signals of a record in segments; a lead may change its gain between segments, but not its unit.

    The first segment names all signals: a layout of length 0, or itself when all segments have the same signals.
    """
    layout: list[Line] | None = None
    for name in dict.fromkeys(row.split()[0] for row in rows[1:]):
        if name == "~":
            continue
        if not PLAIN.fullmatch(name):
            raise SamplesError(
                f"header {path.name!r} names the file {name[:80]!r}; segments must be in its folder, under plain names."
            )
        where = path.with_name(f"{name}.hea")
        own, _ = rows_of(where)
        first = own[0].split()
        lines = [_line(where, row, k) for k, row in enumerate(own[1:])]
        _steps(where, lines, int(first[3]) if len(first) > 3 and first[3].isdigit() else None)
        layout = lines if layout is None else layout
        for line in lines:
            known = next((x for x in layout if x.name == line.name), line)
            if to_mv(known.unit or "mV") != to_mv(line.unit or "mV"):
                raise SamplesError(
                    f"lead {line.name!r} of record {path.stem!r} changes its unit from {known.unit} to {line.unit}; open "
                    "its segments one by one."
                )
    # Checksums and steps of frames belong to the segments.
    return [replace(x, checksum=None, frames=1) for x in layout or []]


def _described(
    path: Path,
    lines: list[Line],
    rate: float,
    steps: int,
    remarks: list[str],
    comments: tuple[str, ...],
    stated: bool,
) -> Header:
    """Return names, units and remarks of the signals that are voltages."""
    names = [line.name for line in lines]
    factors = [to_mv(line.unit or "mV") for line in lines]
    kept = [i for i, f in enumerate(factors) if f is not None]
    if not kept:
        units = ", ".join(sorted({str(line.unit) for line in lines}))
        raise SamplesError(
            f"record {path.stem!r} holds signals in {units} and none in V, mV or uV; give an ECG."
        )
    left = [f"{names[i]} ({lines[i].unit})" for i in range(len(names)) if i not in kept]
    if left:
        remarks.append(f"{listed(left)} left out: not a voltage")
    leads = unique_leads([names[i] for i in kept])
    without = [x for x, i in zip(leads, kept, strict=True) if lines[i].gain is None]
    if without:
        verb = "no gain" if len(without) == 1 else "no gains"
        remarks.append(
            f"the header has {verb} for {listed(without)}: 200 units per mV assumed, as WFDB defines"
        )
    several = [x for x, i in zip(leads, kept, strict=True) if lines[i].frames > 1]
    if several:
        remarks.append(f"{listed(several)}: several steps per frame, averaged to {rate:g} Hz")
    plain = all(line.frames == 1 and line.skew == 0 for line in lines)
    gains = sorted({f"{lines[i].gain or 200.0:g} units per {lines[i].unit or 'mV'}" for i in kept})
    return Header(
        path,
        leads,
        tuple(kept),
        tuple(float(f) for f in (factors[i] for i in kept) if f is not None),
        tuple(lines[i].checksum if plain else None for i in kept),
        rate,
        steps,
        tuple(remarks),
        ", ".join(gains[:3]),
        comments,
        stated,
    )
