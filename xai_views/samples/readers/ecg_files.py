"""``open_ecg``: a WFDB record, a DICOM waveform, tracings in HDF5, a table of numbers, or a folder of these."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import xarray as xr

from xai_views.errors import SamplesError
from xai_views.kinds.signal_schema import validate_signals
from xai_views.samples.readers.data_sets import Labelled, find_labels, of_rate
from xai_views.samples.readers.dicom import dicom_source, looks_like_waveform
from xai_views.samples.readers.ecg_header import record_path, segments_of
from xai_views.samples.readers.hdf5 import SUFFIXES, hdf5_sources, looks_like_tracings
from xai_views.samples.readers.label_tables import csv_source, looks_like_table
from xai_views.samples.readers.raw_record import Source, chosen, gather, left_out, with_note
from xai_views.samples.readers.signal_arrays import looks_like_arrays, open_npz, open_zarr
from xai_views.samples.readers.wfdb import wfdb_source

#: Number of folder entries that :func:`is_ecg` checks, and of subfolders that are searched.
GLANCE, DEPTH = 3000, 4


def open_ecg(
    path: str | Path,
    *,
    labels: Any = None,
    rate: float | None = None,
    leads: Sequence[str] | None = None,
    classes: Sequence[str] | None = None,
) -> xr.Dataset:
    """Open ECG records as samples in mV.

    Parameters
    ----------
    path : str or Path
        A WFDB record (``.hea``, ``.dat``, ``.mat`` or without extension), a DICOM file, a ``.csv``, ``.npz`` or
        ``.zarr``, a ``.hdf5`` of tracings as in CODE-15, or a folder of WFDB records, DICOM files or such ``.hdf5``
        (searched with its subfolders).
    labels : optional
        One class (index or name) per record, a mapping from record names to classes, a CSV of labels, or
        ``"folder"``: the name of the folder around each record. By default the label files of known sets are used.
    rate : float, optional
        Sampling rate in Hz of a table or HDF5 without one; for PTB-XL, which of its two rates (100 or 500).
    leads : sequence of str, optional
        Names of the columns of a table, or of HDF5 leads other than twelve, that have none; else the leads to keep.
    classes : sequence of str, optional
        Class names, or the classes of a known set to keep.

    Returns
    -------
    xarray.Dataset
        ``signal [sample, lead, time]`` float32 in mV with ``length``, ``present`` and ``flag``; see
        :mod:`xai_views.samples.signals`. From 1 GiB on it is lazy, ``present`` and ``flag`` included.

    Raises
    ------
    SamplesError
        In one sentence: what was given, what was expected, what to do.
    """
    path = Path(path).expanduser()
    header = record_path(path)
    if header is not None:
        return _one(wfdb_source(header), header, labels, rate, leads, classes)
    if not path.exists():
        raise SamplesError(f"there is no record, file or folder {str(path)[-200:]!r}; check the path.")
    if path.is_dir() and not _is_zarr(path):
        return _folder(path, labels, rate, leads, classes)
    if path.suffix.lower() in (".dcm", ".dicom") or (path.is_file() and looks_like_waveform(path)):
        source = dicom_source(path, path.stem)
        return _one(source, path, labels, rate, leads, classes)
    if path.suffix.lower() == ".csv":
        return _one(csv_source(path, path.stem, rate, leads), path, labels, None, None, classes)
    if path.suffix.lower() == ".npz":
        return open_npz(path, path.stem, labels, rate, leads, classes)
    if _is_zarr(path):
        return open_zarr(path, labels, rate, leads, classes)
    if path.suffix.lower() in SUFFIXES:
        return _many(path.parent, path.stem, hdf5_sources(path, rate, leads), [], labels, classes)
    raise SamplesError(
        f"{path.name!r} cannot be opened as an ECG; give a WFDB record (.hea beside its .dat), a DICOM waveform, "
        ".csv, .npz, .zarr, .hdf5 of tracings, or a folder of records."
    )


def is_ecg(path: str | Path) -> bool:
    """Return whether a path looks like ECG records; only names and first bytes are checked.

    Parameters
    ----------
    path : str or Path
        Any path.

    Returns
    -------
    bool
        True for a WFDB record, a DICOM file of waveforms, a table, archive or HDF5 of signals, or a folder with a record.
    """
    path = Path(path).expanduser()
    try:
        if record_path(path) is not None:
            return True
        if path.is_dir() and not _is_zarr(path):
            return _folder_has_records(path)
        if looks_like_table(path) or looks_like_arrays(path) or looks_like_tracings(path):
            return True
        return path.is_file() and looks_like_waveform(path)
    except OSError:
        return False


def _is_zarr(path: Path) -> bool:
    return path.suffix == ".zarr" or any((path / f).is_file() for f in ("zarr.json", ".zgroup", ".zmetadata"))


def _walk(folder: Path) -> Iterator[Path]:
    """Yield the files of a folder and its subfolders, in order; hidden ones are skipped."""
    root = len(folder.parts)
    for where, below, files in os.walk(folder):
        below[:] = (
            sorted(b for b in below if not b.startswith(".")) if len(Path(where).parts) - root < DEPTH else []
        )
        yield from (Path(where, f) for f in sorted(files) if not f.startswith("."))


def _folder_has_records(folder: Path) -> bool:
    looked = 0
    for i, file in enumerate(_walk(folder)):
        if file.suffix == ".hea":
            return True
        if looked < 5 and file.suffix.lower() in (".dcm", ".dicom"):
            looked += 1
            if looks_like_waveform(file):
                return True
        if looks_like_tracings(file):
            return True
        if i > GLANCE:
            break
    return False


def _one(source: Source, path: Path, labels: Any, rate: float | None, leads: Any, classes: Any) -> xr.Dataset:
    """Open a single record; it gets a label only when one is given."""
    ds, _ = gather([chosen(source, rate, leads)], title=path.stem)
    if labels is None:
        return ds if classes is None else ds.assign_attrs(classes=[str(c) for c in classes])
    return _labelled(ds, [0], find_labels(path.parent, [path.stem], [source.comments], labels, classes))


def sources_of(folder: Path, rate: float | None, leads: Any) -> tuple[list[Source], list[str]]:
    """Return the WFDB records of a folder, else its DICOM waveforms, else its HDF5 tracings, and why others cannot be read.

    Raises
    ------
    SamplesError
        When none can be read.
    """
    files = list(_walk(folder))
    found = [f for f in files if f.suffix == ".hea"]
    headers = of_rate(folder, found, rate)
    if found and not headers:
        raise SamplesError(f"folder {folder.name!r} holds no records of {rate:g} Hz; omit the rate.")
    dicoms = [f for f in files if f.suffix.lower() in (".dcm", ".dicom")] if not headers else []
    if not headers and not dicoms:
        return _tracings_of(folder, [f for f in files if f.suffix.lower() in SUFFIXES], rate, leads)
    # The header of a segmented record comes with those of its segments, which are not records of their own.
    parts = segments_of(headers)
    sources, failed = [], []
    for file in [f for f in headers if f not in parts] or dicoms:
        name = file.relative_to(folder).with_suffix("").as_posix()
        try:
            source = replace(wfdb_source(file), name=name) if headers else dicom_source(file, name)
            sources.append(chosen(source, rate, leads))
        except SamplesError as e:
            failed.append(str(e))
    if not sources:
        raise SamplesError(failed[0])
    return sources, failed


def _tracings_of(
    folder: Path, files: list[Path], rate: float | None, leads: Any
) -> tuple[list[Source], list[str]]:
    """Return the records of all files of tracings in a folder; HDF5 files without tracings are skipped."""
    sources, failed = [], []
    for file in filter(looks_like_tracings, files):
        try:
            sources.extend(hdf5_sources(file, rate, leads))
        except SamplesError as e:
            failed.append(str(e))
    if not sources:
        raise SamplesError(
            failed[0]
            if failed
            else f"folder {folder.name!r} holds no WFDB record (.hea), no DICOM file (.dcm) and no tracings (.hdf5); "
            "give one that does."
        )
    return sources, failed


def _folder(folder: Path, labels: Any, rate: float | None, leads: Any, classes: Any) -> xr.Dataset:
    """Combine the records of a folder with their labels."""
    return _many(folder, folder.name, *sources_of(folder, rate, leads), labels, classes)


def _many(
    folder: Path, title: str, sources: list[Source], failed: list[str], labels: Any, classes: Any
) -> xr.Dataset:
    """Combine records with the labels that are given or found in a folder."""
    found = find_labels(folder, [s.name for s in sources], [s.comments for s in sources], labels, classes)
    if found.label is not None and found.known.any():
        said = f"no label in {found.origin}"
        sources = [
            s if k else replace(s, remarks=(*s.remarks, said))
            for s, k in zip(sources, found.known, strict=True)
        ]
    ds, kept = gather(sources, title=title)
    ds = ds.assign_attrs(with_note(ds.attrs, left_out(failed, len(sources) + len(failed))))
    return _labelled(ds, kept, found)


def _labelled(ds: xr.Dataset, kept: list[int], found: Labelled) -> xr.Dataset:
    """Assign labels to the records that were kept."""
    if found.label is None:
        return ds.assign_attrs(classes=found.classes)
    if not found.known.any():
        return ds.assign_attrs(with_note(ds.attrs, f"None of the records has a label in {found.origin}."))
    label = found.label[kept]
    ds = ds.assign(label=(("sample", "class")[: label.ndim], label)).assign_attrs(
        classes=found.classes, labels=found.origin
    )
    return validate_signals(ds.assign({k: ("sample", v[kept]) for k, v in found.extra.items()}))
