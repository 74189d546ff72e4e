"""ECGs as tables: ``.csv`` with one column per lead."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from xai_views.errors import SamplesError, cause
from xai_views.kinds.signal_schema import LEADS, lead_name
from xai_views.samples.readers.raw_record import (
    MissingError,
    Source,
    chosen,
    positive_rate,
    to_mv,
    unique_leads,
)
from xai_views.samples.signal_quality import listed

if TYPE_CHECKING:
    import pandas as pd

TIMES = ("time", "t", "seconds", "sec", "s", "elapsed time", "ms")
COUNTERS = ("", "index", "sample", "sample #", "step", "unnamed: 0")
#: Names, besides the standard leads, by which :func:`looks_like_table` recognises an ECG.
MORE = re.compile(r"(ecg|ekg|lead|ml)[\s_.-]?(i{1,3}|[1-9]|v[1-6])?", re.IGNORECASE)


def looks_like_table(path: Path) -> bool:
    """Return whether the column names of a ``.csv`` are those of an ECG; only its beginning is read."""
    if path.suffix.lower() != ".csv" or not path.is_file():
        return False
    with path.open("rb") as file:
        start = file.read(4096).decode("utf-8-sig", "replace")
    rows = [line for line in start.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    names = [_plain(c)[0] for c in re.split(r"[,;\t]", rows[0])] if rows else []
    return any((lead_name(n) in LEADS and not n.isdigit()) or MORE.fullmatch(n) for n in names if n)


def csv_source(
    path: Any,
    name: str,
    rate: float | None = None,
    leads: Sequence[str] | None = None,
    unit: str | None = None,
) -> Source:
    """Read a table with one column for each lead.

    The rate is read from a column of times (``time``, ``t`` in seconds or with a unit, "time (ms)"), from a comment
    ``# rate: 500``, or from ``rate``. Units are read from the names ("II (uV)") or a comment ``# unit: uV``; without
    them mV is assumed and noted in the flag.

    Parameters
    ----------
    path : Path or file
        Table in UTF-8, with commas, semicolons or tabs between columns.
    name : str
        Name of the record.
    rate : float, optional
        Rate in Hz, required when the table does not state it.
    leads : sequence of str, optional
        Names of the columns if they have none, else the leads to keep.
    unit : str, optional
        Unit of columns without one; by default mV, which is noted in the flag.

    Raises
    ------
    SamplesError
        With a one-sentence message.
    """
    text = path.read_bytes() if isinstance(path, Path) else path.read()
    said = _words(text)
    table = _read(text, name)
    table, numbered = _named(table, leads, name)
    times: list[tuple] = []
    counters: list[tuple] = []
    columns: list[tuple] = []
    for c in table.columns:
        plain, unit = _plain(c)
        kind = times if plain.lower() in TIMES else counters if plain.lower() in COUNTERS else columns
        kind.append((c, plain, unit))
    if not columns or not len(table):
        raise SamplesError(f"table {name!r} holds no signal; give a column for each lead.")
    best = _agreed(table, times, said, rate, name)
    signal, units = _columns(table, columns, said.get("unit", said.get("units", unit)), name)
    remarks = () if all(units) else ("no unit given: mV assumed",)
    gain = f"unit {listed(sorted({u or 'mV' for u in units}))}"
    names = unique_leads([p for _, p, _ in columns])
    source = Source(name, names, best, signal.shape[1], lambda: (signal, ()), remarks, gain)
    return source if numbered else chosen(source, None, leads)


def _agreed(
    table: pd.DataFrame,
    times: list[tuple[Any, str, str]],
    said: dict[str, str],
    rate: float | None,
    name: str,
) -> float:
    """Return the sampling rate from the comment, ``rate`` and the times, which must agree."""
    words = said.get("rate", said.get("fs", said.get("sampling rate")))
    stated = None if words is None else positive_rate(words.lower().removesuffix("hz"), f"table {name!r}")
    given = None if rate is None else positive_rate(rate, "rate=")
    measured = _rate(table[times[0][0]], times[0][2], name) if times else None
    # Times are rounded when printed; a stated rate is not, and takes precedence.
    known = [r for r in (stated, given, measured) if r is not None]
    if not known:
        raise MissingError(
            "rate", f"table {name!r} gives no sampling rate; give rate= in Hz, or a column 'time' in seconds."
        )
    if max(known) > 1.01 * min(known):
        raise SamplesError(
            f"the sampling rate of table {name!r} is {min(known):g} or {max(known):g} Hz, according to its times, its comment "
            "or rate=; make them agree."
        )
    return known[0]


def _named(table: pd.DataFrame, leads: Sequence[str] | None, name: str) -> tuple[pd.DataFrame, bool]:
    """Return the table with named columns, and whether the names are from ``leads``."""
    if not all(re.fullmatch(r"\d+", str(c)) for c in table.columns):
        return table, False
    count = len(table.columns)
    if leads is None:
        raise MissingError(
            "leads",
            f"table {name!r} has {count} columns without names; give leads=, the name of each column.",
        )
    if len(leads) != count:
        raise SamplesError(
            f"{len(leads)} lead names were given for {count} columns of table {name!r}; name each column."
        )
    return table.set_axis(list(leads), axis=1), True


def _words(text: bytes) -> dict[str, str]:
    """Return the comments "# key: value" at the top of a table."""
    found = {}
    for line in text[:20_000].decode("utf-8-sig", "replace").splitlines():
        if not line.lstrip().startswith("#"):
            break
        key, _, value = line.lstrip("# \t").partition(":")
        found[key.strip().lower()] = value.strip()
    return found


def _read(text: bytes, name: str) -> pd.DataFrame:
    import io

    import pandas as pd

    try:
        start = text[:50_000].decode("utf-8-sig", "strict" if len(text) <= 50_000 else "ignore")
        rows = [line for line in start.splitlines() if line.strip() and not line.lstrip().startswith("#")]
        sep = max(",;\t", key=rows[0].count) if rows else ","
        decimal = "," if sep == ";" and any(re.search(r"\d,\d", r) for r in rows[:5]) else "."
        first = rows[0].split(sep) if rows else []
        # pandas would use an unnamed first column as index and misname all others.
        longer = [
            r
            for r in rows[1:200]
            if r.count(sep) > rows[0].rstrip(sep).count(sep) and r.rsplit(sep, 1)[1].strip()
        ]
        if longer:
            raise ValueError(f"{rows[0].count(sep) + 1} names for {longer[0].count(sep) + 1} columns")
        head = None if all(_is_number(x) for x in first) else "infer"
        return pd.read_csv(
            io.BytesIO(text), sep=sep, decimal=decimal, comment="#", header=head, encoding="utf-8-sig",
            skipinitialspace=True, low_memory=False,
        )  # fmt: skip
    except (ValueError, pd.errors.ParserError, MemoryError) as e:
        why = cause(e)
        raise SamplesError(f"{name!r} cannot be read as a table ({why}); save it as CSV in UTF-8.") from None


def _is_number(text: str) -> bool:
    return (
        re.fullmatch(r"\s*[-+]?(\d+([.,]\d*)?|[.,]\d+)([eE][-+]?\d+)?\s*|\s*nan\s*|", text, re.IGNORECASE)
        is not None
    )


def _plain(column: Any) -> tuple[str, str]:
    """Return the name of a column and its unit: "II (uV)", "II [mV]", "time_s"."""
    text = str(column).strip().strip("'\"").strip()
    # A short word in brackets is a unit, known or not; a long one ("Einthoven") belongs to the name.
    found = re.fullmatch(r"(.*?)[\s_]*[(\[]\s*(\S{1,7})\s*[)\]]", text)
    if found:
        return found[1].strip(), found[2]
    found = re.fullmatch(r"(.*)_(s|ms|mv|uv)", text, re.IGNORECASE)
    return (found[1], found[2]) if found else (text, "")


def _rate(column: pd.Series, unit: str, name: str) -> float:
    """Return the steps per second of a column of times, which must be evenly spaced."""
    import pandas as pd

    times = pd.to_numeric(column, errors="coerce").to_numpy(np.float64)
    scale = 1e-3 if unit.lower() == "ms" or str(column.name).strip().lower() == "ms" else 1.0
    steps = np.diff(times) * scale
    if not len(steps) or not np.isfinite(steps).all():
        raise SamplesError(
            f"the times of table {name!r} are not all numbers; give them in seconds, or drop them and give rate=."
        )
    middle = (times[-1] - times[0]) * scale / len(steps)
    # Printed times are rounded, so single steps may differ as long as none drifts.
    drift = np.abs(times * scale - times[0] * scale - middle * np.arange(len(times))).max()
    if middle <= 0 or drift > 0.6 * middle or steps.min() <= 0:
        raise SamplesError(
            f"the times of table {name!r} are uneven: steps of {1000 * steps.min():.3g} to {1000 * steps.max():.3g} ms; "
            "resample it before opening."
        )
    rate = 1 / middle
    return float(round(rate)) if abs(rate - round(rate)) < 1e-3 * rate else float(rate)


def _columns(
    table: pd.DataFrame, columns: list[tuple[Any, str, str]], unit: str | None, name: str
) -> tuple[np.ndarray, list[str]]:
    """Return ``[lead, step]`` in mV, and the unit named in each column."""
    import pandas as pd

    out, units = [], []
    for c, plain, own in columns:
        written = own or unit or ""
        factor = to_mv(written or "mV")
        if factor is None:
            raise SamplesError(
                f"column {plain!r} of table {name!r} is in {written!r}; V, mV, uV or nV are expected."
            )
        values = pd.to_numeric(table[c], errors="coerce")
        strange = table[c][values.isna() & table[c].notna()]
        if len(strange):
            raise SamplesError(
                f"column {plain!r} of table {name!r} holds {str(strange.iloc[0])[:40]!r}; give numbers."
            )
        out.append(values.to_numpy(np.float64) * factor)
        units.append(written)
    return np.asarray(out, np.float32), units
