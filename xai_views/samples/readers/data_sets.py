"""Labels of ECG data sets: PTB-XL, CODE-15, the CinC challenges, and custom tables."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from xai_views.errors import SamplesError, nearest
from xai_views.kinds.checks import as_labels, from_names
from xai_views.samples.readers.csv_table import read_table

if TYPE_CHECKING:
    import pandas as pd

#: Superclasses of PTB-XL (Wagner et al. 2020, table 5).
PTBXL = ("NORM", "MI", "STTC", "CD", "HYP")
#: Labels of CODE-15 (Ribeiro et al. 2020), as named in exams.csv.
CODE15 = ("1dAVb", "RBBB", "LBBB", "SB", "ST", "AF")
#: Letters of the 2017 challenge and numbers of CPSC 2018.
CINC2017 = {"N": "normal", "A": "atrial fibrillation", "O": "other rhythm", "~": "noise"}
CPSC2018 = ("normal", "AF", "I-AVB", "LBBB", "RBBB", "PAC", "PVC", "STD", "STE")
CHAGAS = ("no Chagas disease", "Chagas disease")
KEYS = ("name", "record", "record_name", "file", "filename", "file_name", "path", "id", "ecg_id", "exam_id")
LABELS = ("label", "class", "diagnosis")
#: Number of parent folders in which the label file of a set is searched.
ABOVE = 3


@dataclass(frozen=True)
class Labelled:
    """Labels of records.

    Attributes
    ----------
    label : ndarray or None
        ``[N]`` class indices (-1 = unknown) or ``[N, classes]`` 0/1.
    classes : list of str
        Names.
    known : ndarray
        ``[N]`` bool: whether the record has an entry.
    extra : dict of str to ndarray
        ``fold`` or ``patient`` ``[N]``, where the set provides them.
    origin : str
        Source of the labels, "" for none.
    """

    label: np.ndarray | None
    classes: list[str]
    known: np.ndarray
    extra: dict[str, np.ndarray] = field(default_factory=dict)
    origin: str = ""


def set_file(folder: Path, name: str, above: int = ABOVE) -> Path | None:
    """Return the file ``name`` in a folder or in its nearest parent that has one."""
    for place in (folder, *list(folder.resolve().parents)[:above]):
        if (place / name).is_file():
            return place / name
    return None


def of_rate(folder: Path, headers: list[Path], rate: float | None) -> list[Path]:
    """Keep one of the two rates in which PTB-XL stores every record: 500 Hz (``_hr``) unless 100 is requested."""
    if set_file(folder, "ptbxl_database.csv") is None:
        return headers
    ends = ("_hr", "_lr") if rate is None else ("_lr",) if rate < 300 else ("_hr",)
    for end in ends:
        kept = [h for h in headers if h.stem.endswith(end)]
        if kept:
            return kept
    return headers if rate is None else []


def find_labels(
    folder: Path,
    names: Sequence[str],
    comments: Sequence[Sequence[str]],
    labels: Any = None,
    classes: Sequence[str] | None = None,
) -> Labelled:
    """Find the labels of records.

    Parameters
    ----------
    folder : Path
        The opened folder; label files are searched in it and in three parent folders.
    names : sequence of str
        Path of each record in the folder, without extension.
    comments : sequence of sequence of str
        Comments of each header.
    labels : optional
        As in :func:`xai_views.samples.readers.ecg_files.open_ecg`.
    classes : sequence of str, optional
        Class names, or the classes to keep.

    Returns
    -------
    Labelled

    Raises
    ------
    SamplesError
        For an unusable label file, an unknown class, or labels that do not match.
    """
    wanted = None if classes is None else [str(c) for c in classes]
    if labels is not None:
        return _given(folder, names, labels, wanted)
    for file, read in (("ptbxl_database.csv", _ptbxl), ("exams.csv", _code15), ("REFERENCE.csv", _reference)):
        where = set_file(folder, file)
        if where is not None:
            return read(where, names, wanted)
    own = folder / "labels.csv"
    if own.is_file():
        return _own_table(own, names, wanted)
    if any(_comment(c, "Dx") for c in comments):
        return _dx(folder, comments, wanted)
    if any(_comment(c, "Chagas label") for c in comments):
        said = [_comment(c, "Chagas label").lower() for c in comments]
        label = np.asarray([{"true": 1, "false": 0}.get(x, -1) for x in said], np.int64)
        return Labelled(label, list(wanted or CHAGAS), label >= 0, origin="the headers")
    return Labelled(None, list(wanted or []), np.zeros(len(names), bool))


def _given(folder: Path, names: Sequence[str], labels: Any, wanted: list[str] | None) -> Labelled:
    if isinstance(labels, str) and labels == "folder":
        places = [Path(n).parent.name for n in names]
        if not all(places):
            raise SamplesError(
                "labels='folder' was given, but some records are in no subfolder; put each into one named after its class."
            )
        label, classes = from_names(places, wanted)
        return Labelled(label, classes, np.ones(len(names), bool), origin="the subfolders")
    if isinstance(labels, str | Path):
        inside = folder / labels
        file = inside if inside.is_file() else Path(labels).expanduser()
        if not file.is_file():
            raise SamplesError(
                f"there is no label file {str(labels)[-100:]!r}; give labels= the path of a CSV."
            )
        reader = {"ptbxl_database.csv": _ptbxl, "exams.csv": _code15, "REFERENCE.csv": _reference}
        return reader.get(file.name, _own_table)(file, names, wanted)
    if isinstance(labels, Mapping):
        found = [labels.get(n, labels.get(Path(n).name)) for n in names]
        return _named(found, wanted, "the mapping")
    label, classes = as_labels(labels, wanted, len(names))
    return Labelled(label, classes, np.ones(len(names), bool), origin="the given labels")


def _named(found: Sequence[Any], wanted: list[str] | None, origin: str) -> Labelled:
    """Return the labels of records with one class each; None or "" for none."""
    known = np.asarray([f is not None and str(f) != "" for f in found])
    texts = [str(f) for f, k in zip(found, known, strict=True) if k]
    if (
        texts
        and all(re.fullmatch(r"\d{1,4}", t) for t in texts)
        and (wanted is None or set(texts) - set(wanted))
    ):
        index = [int(t) for t in texts]
        classes = wanted or [f"class {i}" for i in range(max(index) + 1)]
        if max(index) >= len(classes):
            raise SamplesError(
                f"{origin} gives class {max(index)} for {len(classes)} names; name each class."
            )
    else:
        rows, classes = from_names(texts, wanted) if texts else (np.zeros(0, np.int64), wanted or [])
        index = rows.tolist()
    label = np.full(len(found), -1, np.int64)
    label[known] = index
    return Labelled(label, classes, known, origin=origin)


def _column(table: pd.DataFrame, names: Sequence[str], file: Path) -> str:
    found = next((c for c in table.columns if str(c).strip().lower() in [n.lower() for n in names]), None)
    if found is None:
        raise SamplesError(
            f"{file.name!r} has the columns {[str(c) for c in table.columns][:8]} and needs one of {', '.join(names)}."
        )
    return found


def _rows_of(keys: Sequence[str], names: Sequence[str], file: Path) -> np.ndarray:
    """Return ``[N]`` the row of each record, -1 for none; keys may include folders and extensions."""
    at: dict[str, int] = {}
    for i, key in enumerate(keys):
        plain = (
            Path(str(key).strip()).with_suffix("").as_posix()
            if "/" in str(key) or "." in str(key)
            else str(key)
        )
        if at.setdefault(plain.strip(), i) != i:
            raise SamplesError(f"{file.name!r} has two rows for {plain!r}; keep one.")
    return np.asarray([at.get(n, at.get(Path(n).name, -1)) for n in names], np.int64)


def _ptbxl(file: Path, names: Sequence[str], wanted: list[str] | None) -> Labelled:
    """Read PTB-XL: superclasses from scp_statements.csv, or the requested SCP codes."""
    table = read_table(file)
    codes = table[_column(table, ["scp_codes"], file)]
    ids = {str(i).strip(): k for k, i in enumerate(table[_column(table, ["ecg_id"], file)])}
    row = np.asarray(
        [ids.get(str(int(m[1])), -1) if (m := re.match(r"0*(\d+)_", Path(n).name)) else -1 for n in names]
    )
    own = [_scp(codes.iloc[i], file) if i >= 0 else set() for i in row]
    statements = file.with_name("scp_statements.csv")
    supers = _superclasses(statements) if statements.is_file() else {}
    counted = Counter(c for found in own for c in found)
    classes = wanted or (list(PTBXL) if supers else sorted(counted))
    possible = {*PTBXL, *supers, *counted}
    strange = next((c for c in classes if c not in possible), None)
    if strange is not None:
        raise SamplesError(
            f"PTB-XL has no class {strange!r}; the nearest classes: {nearest(strange, sorted(possible))}."
        )
    # As in the example code of the set, a diagnosis counts whatever its likelihood.
    has = [found | {supers[c] for c in found if c in supers} for found in own]
    label = np.asarray([[int(c in found) for c in classes] for found in has], np.int64).reshape(
        len(names), -1
    )
    extra = {}
    for key, column, missing in (("fold", "strat_fold", -1), ("patient", "patient_id", -1)):
        if column in table:
            extra[key] = _integers(table[column].to_numpy(), row, missing)
    return Labelled(label, classes, row >= 0, extra, f"{file.name} (PTB-XL)")


def _superclasses(file: Path) -> dict[str, str]:
    """Return the superclass of each diagnostic SCP code; form and rhythm statements have none."""
    table = read_table(file)
    kinds = table[_column(table, ["diagnostic_class"], file)]
    diagnostic = table[_column(table, ["diagnostic"], file)].str.startswith("1")
    return {c: k for c, k, d in zip(table[table.columns[0]], kinds, diagnostic, strict=True) if d and k}


def _scp(text: str, file: Path) -> set[str]:
    try:
        found = ast.literal_eval(text) if len(text) < 5000 else None
    except (ValueError, SyntaxError):
        found = None
    if not isinstance(found, dict):
        raise SamplesError(
            f"{file.name!r} has the SCP codes {text[:60]!r}, which are not a dictionary; restore the file."
        )
    return {str(c) for c in found}


def _integers(column: np.ndarray, row: np.ndarray, missing: int) -> np.ndarray:
    texts = [str(column[i]).split(".")[0] if i >= 0 else "" for i in row]
    return np.asarray([int(t) if re.fullmatch(r"-?\d+", t) else missing for t in texts], np.int64)


def _code15(file: Path, names: Sequence[str], wanted: list[str] | None) -> Labelled:
    """Read CODE-15: exams.csv with True / False columns; records are named by their exam_id."""
    table = read_table(file)
    row = _rows_of(table[_column(table, ["exam_id"], file)].tolist(), names, file)
    classes = wanted or [c for c in CODE15 if c in table.columns]
    label = _flags(table, classes, row, file)
    extra = {"patient": _integers(table["patient_id"].to_numpy(), row, -1)} if "patient_id" in table else {}
    return Labelled(label, classes, row >= 0, extra, f"{file.name} (CODE-15)")


def _flags(table: pd.DataFrame, classes: Sequence[str], row: np.ndarray, file: Path) -> np.ndarray:
    """Return ``[N, classes]`` 0/1 from columns with 0/1 or True/False."""
    values = {"1": 1, "true": 1, "1.0": 1, "0": 0, "false": 0, "0.0": 0, "": 0}
    out = np.zeros((len(row), len(classes)), np.int64)
    for j, name in enumerate(classes):
        if name not in table.columns:
            raise SamplesError(
                f"{file.name!r} has no column {name!r}; the nearest columns: {nearest(name, map(str, table.columns))}."
            )
        column = table[name].to_numpy()
        for n, i in enumerate(row):
            text = str(column[i]).strip().lower() if i >= 0 else ""
            if text not in values:
                raise SamplesError(
                    f"{file.name!r} holds {text[:40]!r} in column {name!r}; 0 or 1 is expected."
                )
            out[n, j] = values[text]
    return out


def _reference(file: Path, names: Sequence[str], wanted: list[str] | None) -> Labelled:
    """Read REFERENCE.csv: a letter per record (CinC 2017), or up to three numbers (CPSC 2018)."""
    table = read_table(file, header=None)
    if str(table.iloc[0, 0]).strip().lower() in ("recording", "record", "name"):
        table = table.iloc[1:]
    row = _rows_of(table[0].tolist(), names, file)
    numbers = table.iloc[:, 1:].to_numpy()
    if all(re.fullmatch(r"[1-9]?", str(x).strip()) for x in numbers.flat):
        classes = wanted or list(CPSC2018)
        at = [CPSC2018.index(c) if c in CPSC2018 else None for c in classes]
        if None in at:
            raise SamplesError(f"{file.name!r} has the classes {', '.join(CPSC2018)}; choose among them.")
        has = [{int(x) - 1 for x in numbers[i] if str(x).strip()} if i >= 0 else set() for i in row]
        label = np.asarray([[int(a in found) for a in at] for found in has], np.int64)
        return Labelled(label, classes, row >= 0, origin=f"{file.name} (CPSC 2018)")
    found = [str(numbers[i][0]).strip() if i >= 0 else None for i in row]
    if set(found) - {None} <= set(CINC2017):
        found = [None if f is None else CINC2017[f] for f in found]
        wanted = wanted or list(CINC2017.values())
    return _named(found, wanted, file.name)


def _own_table(file: Path, names: Sequence[str], wanted: list[str] | None) -> Labelled:
    """Read a custom table: a column that names the records, and ``label`` or one 0/1 column per class."""
    table = read_table(file)
    key = _column(table, KEYS, file)
    row = _rows_of(table[key].tolist(), names, file)
    single = next((c for c in table.columns if str(c).strip().lower() in LABELS), None)
    if single is not None:
        column = table[single].to_numpy()
        return _named([column[i] if i >= 0 else None for i in row], wanted, file.name)
    classes = wanted or [
        str(c)
        for c in table.columns
        if c != key and {str(v).strip().lower() for v in table[c]} <= {"0", "1", "true", "false"}
    ]
    if not classes:
        raise SamplesError(f"{file.name!r} has no column 'label' and no columns of 0 and 1; add either.")
    return Labelled(_flags(table, classes, row, file), classes, row >= 0, origin=file.name)


def _comment(comments: Sequence[str], key: str) -> str:
    """Return the value of a comment "key: value", "" for none."""
    for line in comments:
        head, _, value = line.partition(":")
        if head.strip().lower() == key.lower():
            return value.strip()
    return ""


def _dx(folder: Path, comments: Sequence[Sequence[str]], wanted: list[str] | None) -> Labelled:
    """Read SNOMED CT codes in the headers (CinC 2020 and 2021), named by the challenge's mapping when available."""
    own = [re.findall(r"\d{5,}", _comment(c, "Dx")) for c in comments]
    short: dict[str, str] = {}
    for name in ("dx_mapping_scored.csv", "Dx_map.csv"):
        file = set_file(folder, name)
        if file is not None:
            table = read_table(file)
            code = _column(table, ["SNOMEDCTCode", "SNOMED CT Code", "SNOMED Code"], file)
            short = dict(zip(table[code], table[_column(table, ["Abbreviation"], file)], strict=True))
            break
    has = [{short.get(c, c) for c in codes} | set(codes) for codes in own]
    counted = {c for found in has for c in found}
    classes = wanted or (
        [a for a in dict.fromkeys(short.values()) if a in counted] or sorted({c for o in own for c in o})
    )
    strange = next((c for c in classes if c not in counted and c not in short.values()), None)
    if strange is not None:
        raise SamplesError(
            f"no header has the diagnosis {strange!r}; the nearest diagnoses: {nearest(strange, sorted(counted))}."
        )
    label = np.asarray([[int(c in found) for c in classes] for found in has], np.int64).reshape(len(own), -1)
    known = np.asarray([bool(o) for o in own])
    return Labelled(label, classes, known, origin="the headers (SNOMED CT)")
