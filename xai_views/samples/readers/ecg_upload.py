"""One uploaded file as ECG records, within bounds: a table, an archive, a DICOM waveform, or a zip of WFDB files."""

from __future__ import annotations

import io
import tempfile
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import xarray as xr

from xai_views.errors import SamplesError
from xai_views.samples.readers.dicom import DEFLATED, dicom_source
from xai_views.samples.readers.ecg_files import sources_of
from xai_views.samples.readers.ecg_header import PLAIN
from xai_views.samples.readers.label_tables import csv_source
from xai_views.samples.readers.raw_record import gather, left_out, with_note
from xai_views.samples.readers.signal_arrays import open_npz

#: What a zip may hold, and how many of it.
INSIDE, MOST_FILES = (".hea", ".dat", ".mat"), 200


def open_ecg_bytes(
    name: str,
    data: bytes,
    *,
    rate: float | None = None,
    leads: Sequence[str] | None = None,
    max_bytes: float = 20e6,
    max_unpacked: float = 100e6,
) -> xr.Dataset:
    """Open the bytes of one uploaded file.

    Parameters
    ----------
    name : str
        The name it was uploaded under; only its last part is used, to know the kind and to call the record.
    data : bytes
        The file: ``.csv``, ``.npz``, ``.dcm``, or a ``.zip`` of ``.hea`` with ``.dat`` or ``.mat``.
    rate, leads
        As in :func:`xai_views.samples.readers.ecg_files.open_ecg`.
    max_bytes, max_unpacked : float
        Bounds on the file, and on what it unpacks to; checked before anything is unpacked.

    Returns
    -------
    xarray.Dataset
        In memory; nothing of it stays on disk.

    Raises
    ------
    SamplesError
        In one sentence: empty, too large, of another kind, damaged, or a zip that names other places.
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
            f"the upload has {len(data) / 1e6:.1f} MB and at most {max_bytes / 1e6:.0f} MB are taken; give a shorter record."
        )
    if suffix == "csv":
        ds, _ = gather([csv_source(io.BytesIO(data), stem, rate, leads)], lazy=False, title=stem)
    elif suffix == "npz":
        ds = open_npz(io.BytesIO(data), stem, None, rate, leads, most_bytes=max_unpacked)
    elif suffix in ("dcm", "dicom"):
        ds = _dicom(data, stem)
    elif suffix == "zip":
        ds = _zip(data, max_unpacked)
    else:
        raise SamplesError(
            f"the upload is {plain[:80]!r}; choose a .csv, .npz, .dcm, or a .zip of .hea and .dat."
        )
    return ds.assign_attrs(title=stem)


def _dicom(data: bytes, stem: str) -> xr.Dataset:
    # A deflated file unpacks to any size before anything of it can be looked at.
    if DEFLATED in data[:4096]:
        raise SamplesError(
            f"the upload {stem!r} is a deflated DICOM file, which is not taken; export it uncompressed."
        )
    ds, _ = gather([dicom_source(io.BytesIO(data), stem)], lazy=False)
    return ds


def _zip(data: bytes, most: float) -> xr.Dataset:
    """Unpack WFDB files under plain names into a folder that is gone afterwards."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive, tempfile.TemporaryDirectory() as place:
            _unpack(archive, Path(place), most)
            # Not open_ecg: it would look for label files around the folder, and read large sets later.
            sources, failed = sources_of(Path(place), None, None)
            held = sum(4 * len(s.leads) * s.steps for s in sources)
            if held > 4 * most:  # a header may claim any length of a compressed or an empty segment
                raise SamplesError(
                    f"the records of the .zip unpack to {held / 1e6:.0f} MB and at most {4 * most / 1e6:.0f} MB are taken; "
                    "pack shorter ones."
                )
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
        why = str(e).splitlines()[0][:80] if str(e) else type(e).__name__
        raise SamplesError(f"the upload is not a complete .zip ({why}); pack it again.") from None


def _unpack(archive: zipfile.ZipFile, place: Path, most: float) -> None:
    files = [f for f in archive.infolist() if not f.is_dir() and not f.filename.startswith("__MACOSX/")]
    wanted = [f for f in files if PurePosixPath(f.filename).suffix.lower() in INSIDE]
    if not any(f.filename.lower().endswith(".hea") for f in wanted):
        raise SamplesError("the .zip holds no WFDB header (.hea); pack the .hea and its .dat together.")
    if any(f.flag_bits & 1 for f in wanted):
        raise SamplesError("the .zip is locked with a password; pack it again without.")
    size = sum(f.file_size for f in wanted)
    if size > most or len(wanted) > MOST_FILES:
        raise SamplesError(
            f"the .zip holds {len(wanted)} files of {size / 1e6:.0f} MB and at most {MOST_FILES} of {most / 1e6:.0f} MB are "
            "taken; pack fewer records."
        )
    for file in wanted:
        path = PurePosixPath(file.filename)
        if path.is_absolute() or "\\" in file.filename or not all(PLAIN.fullmatch(p) for p in path.parts):
            raise SamplesError(
                f"the .zip names the file {file.filename[:80]!r}; plain names of letters, digits and . _ ~ - are taken."
            )
        target = place.joinpath(*path.parts)
        if len(path.parts) > 4 or target.exists():
            raise SamplesError(
                f"the .zip holds {file.filename[:80]!r} twice or too deep; pack the records side by side."
            )
        target.parent.mkdir(parents=True, exist_ok=True)
        with archive.open(file) as source:
            # The size in a zip's directory is a claim: no more than it is read, and the rest is refused.
            content = source.read(file.file_size + 1)
        if len(content) > file.file_size:
            raise SamplesError("the .zip unpacks to more than it claims; pack it again.")
        target.write_bytes(content)
