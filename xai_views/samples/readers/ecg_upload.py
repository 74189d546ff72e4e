"""Uploaded ECG records, within limits: a table, an archive, a DICOM waveform, or a zip of WFDB files."""

from __future__ import annotations

import io
import tempfile
import zipfile
import zlib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import numpy as np
import xarray as xr

from xai_views.errors import SamplesError, cause
from xai_views.samples.readers.dicom import DEFLATED, dicom_source
from xai_views.samples.readers.ecg_files import sources_of
from xai_views.samples.readers.ecg_header import FORM, PLAIN, rows_of
from xai_views.samples.readers.label_tables import csv_source
from xai_views.samples.readers.raw_record import Source, gather, left_out, with_note
from xai_views.samples.readers.signal_arrays import open_npz

#: Allowed files in a zip, and their largest number.
INSIDE, MOST_FILES = (".hea", ".dat", ".mat"), 200
#: Limits: numbers in a file (12 leads of 27 minutes at 500 Hz), lead names, bytes of a header, letters of a column name.
MOST_VALUES, MOST_LEADS, MOST_HEADER, MOST_NAME = 10_000_000, 256, 64_000, 200
#: Limits on an array of text: entries, and bytes per entry.
MOST_TEXT, MOST_WORD = 10_000, 4_000


def open_ecg_bytes(
    name: str,
    data: bytes,
    *,
    rate: float | None = None,
    leads: Sequence[str] | None = None,
    unit: str | None = None,
    max_bytes: float = 20e6,
    max_unpacked: float = 100e6,
    max_values: float = MOST_VALUES,
) -> xr.Dataset:
    """Open the bytes of one uploaded file.

    Parameters
    ----------
    name : str
        Name of the uploaded file; only its last part is used, for the file type and the record name.
    data : bytes
        The file: ``.csv``, ``.npz``, ``.dcm``, or a ``.zip`` of ``.hea`` with ``.dat`` or ``.mat``.
    rate, leads
        As in :func:`xai_views.samples.readers.ecg_files.open_ecg`.
    unit : str, optional
        Unit of a table or an archive without one; by default mV, which is noted in the flag.
    max_bytes, max_unpacked : float
        Limits on the file and on its unpacked size; checked before unpacking.
    max_values : float
        Limit on its numbers, with all records padded to the longest and to the union of leads.

    Returns
    -------
    xarray.Dataset
        In memory; nothing is left on disk.

    Raises
    ------
    SamplesError
        In one sentence: empty, too large, of another type, damaged, or a zip with paths to other places;
        :class:`~xai_views.samples.readers.raw_record.MissingError` when the file has no rate or no lead names.
    """
    if not isinstance(data, bytes | bytearray | memoryview):
        raise SamplesError(f"the upload came as {type(data).__name__}; give the bytes of a file.")
    data = bytes(data)
    plain = PurePosixPath(str(name).replace("\\", "/")).name
    stem, suffix = plain.rpartition(".")[0][:80] or "upload", plain.rpartition(".")[2].lower()
    if not data:
        raise SamplesError("the upload is empty; choose a file with an ECG.")
    if len(data) > max_bytes:
        raise SamplesError(
            f"the upload has {len(data) / 1e6:.1f} MB (limit: {max_bytes / 1e6:.0f} MB); give a shorter record."
        )
    if suffix == "csv":
        _columns(data, stem)
        sources = [csv_source(io.BytesIO(data), stem, rate, leads, unit)]
        _bounded(sources, max_values)
        ds, _ = gather(sources, lazy=False, title=stem)
    elif suffix == "npz":
        check_arrays(data, stem, max_values)
        ds = open_npz(io.BytesIO(data), stem, None, rate, leads, most_bytes=max_unpacked, unit=unit)
    elif suffix in ("dcm", "dicom"):
        ds = _dicom(data, stem, max_values)
    elif suffix == "zip":
        ds = _zip(data, max_unpacked, max_values)
    else:
        raise SamplesError(
            f"the upload is {plain[:80]!r}; choose a .csv, .npz, .dcm, or a .zip of .hea and .dat."
        )
    return ds.assign_attrs(title=stem)


def _bounded(sources: Sequence[Source], most: float) -> None:
    """Raise when records would exceed the limit once all have the union of leads, one rate and one length."""
    leads = {x for s in sources for x in s.leads}
    rate = Counter(s.rate for s in sources).most_common(1)[0][0]
    longest = max(s.steps * max(rate / s.rate, 1) for s in sources)
    _few(len(sources) * len(leads) * longest, most)
    if len(leads) > MOST_LEADS:
        raise SamplesError(f"the upload has {len(leads)} leads (limit: {MOST_LEADS}); give fewer.")


def _few(values: float, most: float) -> None:
    if values > most:
        raise SamplesError(
            f"the upload has {values / 1e6:.1f} million numbers (records x leads x steps; limit: "
            f"{most / 1e6:.0f} million); give fewer or shorter records."
        )


def _columns(data: bytes, stem: str) -> None:
    """Raise for a table with too many columns or too long names, before it is read."""
    first = b""
    for line in io.BytesIO(data.replace(b"\r", b"\n")):
        first = line.strip()
        if first and not first.startswith(b"#"):
            break
    count = 1 + max(first.count(sep) for sep in (b",", b";", b"\t"))
    longest = max(len(name) for name in first.replace(b";", b",").replace(b"\t", b",").split(b","))
    if count > MOST_LEADS or longest > MOST_NAME or first.count(b'"') % 2:
        raise SamplesError(
            f"table {stem!r} begins with a line of {count} columns, the longest of {longest} letters (limit: "
            f"{MOST_LEADS} columns of {MOST_NAME} letters); give one column for each lead."
        )


def check_arrays(data: bytes, stem: str, most: float) -> None:
    """Raise when the stated sizes of an archive's arrays exceed the limits, before unpacking."""
    total = 0
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            names = archive.namelist()
            for name in names[:MOST_FILES]:
                with archive.open(name) as file:
                    version = np.lib.format.read_magic(file)
                    head = np.lib.format
                    read = head.read_array_header_1_0 if version == (1, 0) else head.read_array_header_2_0
                    shape, _, kind = read(file)
                count = int(np.prod([int(n) for n in shape], dtype=object))
                if kind.kind not in "biuf" and (count > MOST_TEXT or kind.itemsize > MOST_WORD):
                    raise SamplesError(
                        f"array {name[:40]!r} of {stem!r} has {count} words of {kind.itemsize} bytes (limit: "
                        f"{MOST_TEXT} of {MOST_WORD}); give a name for each lead and record."
                    )
                total = max(total, count)
    except SamplesError:
        raise
    except (zipfile.BadZipFile, zlib.error, ValueError, EOFError, OSError, NotImplementedError, RuntimeError):
        return  # load_npz reports what is wrong
    if len(names) > MOST_FILES:
        raise SamplesError(f"{stem!r} has {len(names)} arrays (limit: {MOST_FILES}); leave some out.")
    _few(total, most)


def _dicom(data: bytes, stem: str, most: float) -> xr.Dataset:
    # A deflated file can unpack to any size before it can be checked. The mark of a deflated file may be anywhere in
    # a head of any length.
    if DEFLATED in data:
        raise SamplesError(
            f"the upload {stem!r} is a deflated DICOM file, which is not supported; export it uncompressed."
        )
    sources = [dicom_source(io.BytesIO(data), stem)]
    _bounded(sources, most)
    ds, _ = gather(sources, lazy=False)
    return ds


def _zip(data: bytes, most: float, values: float) -> xr.Dataset:
    """Unpack WFDB files under plain names into a temporary folder, and open them."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive, tempfile.TemporaryDirectory() as place:
            _unpack(archive, Path(place), most)
            # Not open_ecg, which would search for label files around the folder and read large sets later.
            _few(sum(_claimed(path) for path in Path(place).rglob("*.hea")), values)
            sources, failed = sources_of(Path(place), None, None)
            held = sum(4 * len(s.leads) * s.steps for s in sources)
            if held > 4 * most:  # a header may state any length of a compressed or an empty segment
                raise SamplesError(
                    f"the records of the .zip unpack to {held / 1e6:.0f} MB (limit: {4 * most / 1e6:.0f} MB); "
                    "pack shorter ones."
                )
            _bounded(sources, values)
            ds, _ = gather(sources, lazy=False)
            return ds.assign_attrs(with_note(ds.attrs, left_out(failed, len(sources) + len(failed))))
    except SamplesError:
        raise
    except (
        zipfile.BadZipFile,
        zlib.error,
        EOFError,
        NotImplementedError,
        RuntimeError,
        ValueError,
        OSError,
    ) as e:
        why = cause(e)
        raise SamplesError(f"the upload is not a complete .zip ({why}); pack it again.") from None


def _claimed(path: Path) -> int:
    """Return how many numbers the decoder of a record's files will produce: steps times values per step."""
    rows, _ = rows_of(path)
    first = rows[0].split()
    if len(first) < 4 or not first[3].isdigit() or "/" in first[0]:
        return 0  # its files, or those of its segments, determine its length
    forms = [
        FORM.fullmatch(row.split()[1]) for row in rows[1:] if len(row.split()) > 1 and row.split()[0] != "~"
    ]
    return int(first[3]) * sum(int(form[2] or 1) for form in forms if form)


def _unpack(archive: zipfile.ZipFile, place: Path, most: float) -> None:
    files = [f for f in archive.infolist() if not f.is_dir() and not f.filename.startswith("__MACOSX/")]
    wanted = [f for f in files if PurePosixPath(f.filename).suffix.lower() in INSIDE]
    if not any(f.filename.lower().endswith(".hea") for f in wanted):
        raise SamplesError("the .zip holds no WFDB header (.hea); pack the .hea and its .dat together.")
    if any(f.flag_bits & 1 for f in wanted):
        raise SamplesError("the .zip is locked with a password; pack it again without.")
    head = max((f.file_size for f in wanted if f.filename.lower().endswith(".hea")), default=0)
    if head > MOST_HEADER:
        raise SamplesError(
            f"the .zip has a header of {head / 1000:.0f} kB (limit: {MOST_HEADER / 1000:.0f} kB); pack "
            "records with fewer leads or segments."
        )
    size = sum(f.file_size for f in wanted)
    if size > most or len(wanted) > MOST_FILES:
        raise SamplesError(
            f"the .zip has {len(wanted)} files of {size / 1e6:.0f} MB (limit: {MOST_FILES} of {most / 1e6:.0f} MB); "
            "pack fewer records."
        )
    for file in wanted:
        path = PurePosixPath(file.filename)
        if path.is_absolute() or "\\" in file.filename or not all(PLAIN.fullmatch(p) for p in path.parts):
            raise SamplesError(
                f"the .zip names the file {file.filename[:80]!r}; use plain names of letters, digits and . _ ~ -."
            )
        target = place.joinpath(*path.parts)
        if len(path.parts) > 4 or target.exists():
            raise SamplesError(
                f"the .zip has {file.filename[:80]!r} twice or in nested folders; pack the records side by side."
            )
        target.parent.mkdir(parents=True, exist_ok=True)
        with archive.open(file) as source:
            # The size in a zip's directory is only a claim: no more than it is read, and larger files are rejected.
            content = source.read(file.file_size + 1)
        if len(content) > file.file_size:
            raise SamplesError("the .zip unpacks to more than it states; pack it again.")
        target.write_bytes(content)
