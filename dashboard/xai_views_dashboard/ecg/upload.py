"""Upload of an ECG record: read within bounds, prepared for the model, explained like any other record."""

from __future__ import annotations

from typing import Any

import panel_material_ui as pmui
import xarray as xr

from xai_views.errors import XaiViewsError
from xai_views.samples.readers.ecg_upload import open_ecg_bytes
from xai_views.samples.readers.raw_record import MissingError
from xai_views_dashboard.panels.upload import MAX_BYTES, FilePanel, Taken

UNITS = {"as in the file (else mV)": "", "mV": "mV", "µV": "uV", "V": "V"}
#: What is asked on the page for something that the file does not say.
ASKED = {
    "rate": "The file has no sampling rate. Enter it in Hz, then press 'Read file again'.",
    "leads": "The file has no lead names. Enter them in the order of the columns, then press 'Read file again'.",
}
MOST_LEADS, MOST_LETTERS = 256, 2000


class RecordUploadPanel(FilePanel):
    """Upload a record; it stays in the memory of this page only."""

    title = "Your record"
    what, accept = "ECG", ".csv,.npz,.dcm,.zip"
    smaller = "cut the record shorter."
    words = (
        "Upload a record (at most 10 MB): a DICOM waveform, a .csv or .npz, or a .zip of a WFDB record. It stays in memory only "
        "while this page is open. A copied link cannot include it. Not for clinical use."
    )
    table = "Your records on this page"
    columns = (
        {"key": "name", "title": "record"},
        {"key": "file", "title": "file"},
        {"key": "done", "title": "preparation"},
    )

    def fields(self) -> list[Any]:
        """Return the fields for what a file may not say."""
        look: dict[str, Any] = {"size": "small"}
        self.rate = pmui.FloatInput(
            label="Sampling rate (Hz)", value=None, start=0, step=1, width=170, **look
        )
        self.unit = pmui.Select(label="Unit", options=UNITS, value="", width=190, **look)
        self.leads = pmui.TextInput(
            label="Lead names in order", placeholder="I, II, III, …", width=220, **look
        )
        self.start = pmui.FloatInput(
            label="Start of the window (s)", value=0.0, start=0, step=1, width=190, **look
        )
        return [self.rate, self.unit, self.leads, self.start]

    def read(self, data: bytes, file: str) -> list[Taken]:
        """Read and check a file, and prepare it for the model; the name of the file says what it is."""
        names = [n.strip() for n in (self.leads.value or "")[:MOST_LETTERS].split(",") if n.strip()]
        ds = open_ecg_bytes(
            file,
            data,
            rate=self.rate.value or None,
            leads=names[:MOST_LEADS] or None,
            unit=self.unit.value or None,
            max_bytes=MAX_BYTES,
        )
        return bring(self.app, from_second(ds, float(self.start.value or 0)))

    def asked_for(self, error: XaiViewsError) -> str:
        """Return what the page asks for, where the file does not say something; "" for another error."""
        return ASKED.get(error.what, "") if isinstance(error, MissingError) else ""


def from_second(ds: xr.Dataset, start: float) -> xr.Dataset:
    """Return records from a second on.

    Raises
    ------
    XaiViewsError
        When they end before.
    """
    first, steps = round(start * float(ds.attrs["rate"])), ds.sizes["time"]
    if first <= 0:
        return ds
    if first >= steps - 1:
        seconds = steps / float(ds.attrs["rate"])
        raise XaiViewsError(
            f"the window starts at {start:g} s and the record ends at {seconds:.1f} s; enter an earlier start."
        )
    cut = ds.isel(time=slice(first, None))
    return cut.assign(length=(ds["length"] - first).clip(1)) if "length" in ds else cut


def bring(app: Any, ds: xr.Dataset, names: list[str] | None = None) -> list[Taken]:
    """Add records to an app's session, and say how each was prepared."""
    ready, positions = app.session.take(ds, names)
    return [Taken(p, {"done": done(ds, ready, app.session.flag(p))}) for p in positions]


def done(ds: xr.Dataset, ready: xr.Dataset, flag: str) -> str:
    """Say how a record was prepared for the model."""
    rate, new = float(ds.attrs["rate"]), float(ready.attrs["rate"])
    long, used = ds.sizes["time"] / rate, ready.sizes["time"] / new
    words = [f"{ds.sizes['lead']} leads, {long:.1f} s at {rate:g} Hz"]
    if long > used + 0.5 / rate:
        words.append(f"the network uses {used:.1f} s of it; choose others by the start of the window")
    if rate != new:
        words.append(f"resampled to {new:g} Hz")
    return "; ".join([*words, *([worded(flag)] if flag else [])])


def worded(flag: str) -> str:
    """Return a remark of the readers in the words of the page."""
    return flag.replace("the file names no unit, so mV", "no unit given: mV assumed")
