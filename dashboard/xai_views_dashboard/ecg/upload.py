"""One's own record: read within bounds, brought to the model, explained like any other."""

from __future__ import annotations

from typing import Any

import xarray as xr

from xai_views.samples.readers.ecg_upload import open_ecg_bytes
from xai_views_dashboard.panels.upload import MAX_BYTES, FilePanel, Taken


class RecordUploadPanel(FilePanel):
    """Records of one's own, kept in this page's memory only."""

    title = "Your record"
    what, accept = "ECG", ".csv,.npz,.dcm,.zip"
    smaller = "cut the record shorter."
    words = (
        "Explain a record of your own (at most 10 MB): a DICOM waveform, a .csv or .npz with lead names and sampling rate, or a "
        ".zip of a WFDB record. It stays in this page's memory, is not stored, and is gone when the page is closed. Not for "
        "clinical use."
    )
    table = "Your records on this page"
    columns = (
        {"key": "name", "title": "record"},
        {"key": "file", "title": "file"},
        {"key": "done", "title": "what was done to it"},
    )

    def read(self, data: bytes, file: str) -> list[Taken]:
        """Read, check and bring to the model; its name says what the file is."""
        return bring(self.app, open_ecg_bytes(file, data, max_bytes=MAX_BYTES))


def bring(app: Any, ds: xr.Dataset, names: list[str] | None = None) -> list[Taken]:
    """Take records into an app's session, and say what was done to each."""
    ready, positions = app.session.take(ds, names)
    return [Taken(p, {"done": done(ds, ready, app.session.flag(p))}) for p in positions]


def done(ds: xr.Dataset, ready: xr.Dataset, flag: str) -> str:
    """Say what was done to a record to make it the model's."""
    rate, new = float(ds.attrs["rate"]), float(ready.attrs["rate"])
    words = [f"{ds.sizes['lead']} leads of {ds.sizes['time'] / rate:.1f} s at {rate:g} Hz"]
    return "; ".join(
        [*words, *([f"resampled to {new:g} Hz"] if rate != new else []), *([flag] if flag else [])]
    )
