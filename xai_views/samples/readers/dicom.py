"""DICOM waveforms, read with the package pydicom."""

from __future__ import annotations

from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from xai_views.errors import SamplesError, cause
from xai_views.kinds.signal_schema import LEADS, lead_name
from xai_views.samples.readers.raw_record import Source, positive_rate, to_mv, unique_leads
from xai_views.samples.signal_quality import listed

#: Prefix of the SOP classes of waveforms (DICOM PS3.4, B.5): ECGs of 12 leads, general, ambulatory, ...
WAVEFORMS = b"1.2.840.10008.5.1.4.1.1.9."
DEFLATED = b"1.2.840.10008.1.2.1.99"
#: The twelve leads as numbers of the code schemes MDC (ISO 11073-10101: "2:61") and SCP-ECG ("5.6.3-9-61").
CODES = dict(zip(("1", "2", "61", "62", "63", "64", "3", "4", "5", "6", "7", "8"), LEADS, strict=True))


def looks_like_waveform(path: Path) -> bool:
    """Return whether the first bytes of a file identify a DICOM waveform; nothing else is read."""
    with path.open("rb") as file:
        start = file.read(4096)
    return start[128:132] == b"DICM" and WAVEFORMS in start


def dicom_source(file: Path | BinaryIO, name: str) -> Source:
    """Read the waveforms of a DICOM file.

    If there are several groups of channels, the one named RHYTHM is used, else the longest.

    Parameters
    ----------
    file : Path or binary stream
        The file.
    name : str
        Name of the record; nothing that identifies a patient is read from the file.

    Returns
    -------
    Source
        Its signals are already in memory, because a DICOM file is read as a whole.

    Raises
    ------
    SamplesError
        When pydicom is missing, or the file is not DICOM, has no waveform, no voltage, or incomplete data.
    """
    try:
        import pydicom
    except ImportError:
        raise SamplesError(
            'DICOM waveforms need the package pydicom, which is not installed; run pip install "xai-views[ecg]".'
        ) from None
    shown = Path(name).name
    try:
        ds = pydicom.dcmread(file)
    except Exception as e:  # noqa: BLE001 - pydicom raises many types for other files
        raise SamplesError(
            f"{shown!r} cannot be read as a DICOM file ({cause(e)}); export it again."
        ) from None
    groups = list(ds.get("WaveformSequence", None) or [])
    if not groups:
        kind = f" (modality {ds.Modality})" if ds.get("Modality") else ""
        raise SamplesError(
            f"DICOM file {shown!r}{kind} holds no waveforms; give an ECG, or open pictures as an image folder."
        )
    index = max(
        range(len(groups)), key=lambda i: (_rhythm(groups[i]), _number(groups[i], "NumberOfWaveformSamples"))
    )
    return _source(ds, groups, index, name, shown)


def _source(ds: Any, groups: list[Any], index: int, name: str, shown: str) -> Source:
    group = groups[index]
    rate = positive_rate(group.get("SamplingFrequency"), f"DICOM file {shown!r}")
    expected = (
        _number(group, "NumberOfWaveformSamples")
        * _number(group, "NumberOfWaveformChannels")
        * (_number(group, "WaveformBitsAllocated") // 8)
    )
    held = len(group.get("WaveformData", b"") or b"")
    if not expected:
        raise SamplesError(f"the waveform of DICOM file {shown!r} is empty; give one with at least one step.")
    if held < expected:
        raise SamplesError(
            f"DICOM file {shown!r} holds {held} of the {expected} bytes that its waveform needs; it is cut off, copy it "
            "again."
        )
    channels = list(group.get("ChannelDefinitionSequence", None) or [])
    if len(channels) != _number(group, "NumberOfWaveformChannels"):
        raise SamplesError(
            f"DICOM file {shown!r} announces {_number(group, 'NumberOfWaveformChannels')} leads and describes "
            f"{len(channels)}; export it again."
        )
    try:
        raw = ds.waveform_array(index).T
        counts = _counts(group)
    except Exception as e:  # noqa: BLE001 - as above
        raise SamplesError(
            f"the waveform of DICOM file {shown!r} cannot be read ({cause(e)}); export it again."
        ) from None
    units = [_unit(c) for c in channels]
    kept = [i for i, u in enumerate(units) if to_mv(u) is not None]
    if not kept:
        found = ", ".join(sorted({u or "no unit" for u in units}))
        raise SamplesError(
            f"the waveforms of DICOM file {shown!r} are in {found} and none is a voltage; give an ECG."
        )
    signal = (raw[kept] * np.asarray([[to_mv(units[i])] for i in kept])).astype(np.float32)
    padding = _padding(group)
    if padding is not None:
        signal[counts[kept] == padding] = np.nan
    remarks = []
    names = [_lead(c, i) for i, c in enumerate(channels)]
    left = [f"{names[i]} ({units[i] or 'no unit'})" for i in range(len(names)) if i not in kept]
    if left:
        remarks.append(f"{listed(left)} left out: not a voltage")
    others = [str(g.get("MultiplexGroupLabel", "") or "unnamed") for k, g in enumerate(groups) if k != index]
    note = f"Other waveforms of the DICOM file are not shown: {', '.join(others)}." if others else ""
    leads = unique_leads([names[i] for i in kept])
    gain = listed(
        sorted({f"{float(channels[i].get('ChannelSensitivity', 1)):g} {units[i]} per unit" for i in kept})[:3]
    )
    return Source(name, leads, rate, signal.shape[1], lambda: (signal, ()), tuple(remarks), gain, (), note)


def _lead(channel: Any, i: int) -> str:
    """Return the standard name of a channel, by its code when its text is not one."""
    source = (channel.get("ChannelSourceSequence", None) or [None])[0]
    words = str(source.get("CodeMeaning", "") or "") if source is not None else ""
    known = lead_name(words)
    if known not in LEADS and source is not None:
        code = str(source.get("CodeValue", "") or "")
        scheme = str(source.get("CodingSchemeDesignator", "") or "")
        number = code.rsplit(":", 1)[-1] if scheme == "MDC" and code.startswith("2:") else ""
        number = code.rsplit("-", 1)[-1] if code.startswith("5.6.3-9-") else number
        known = CODES.get(number, known)
    return known or str(channel.get("ChannelLabel", "") or f"signal {i + 1}")


def _unit(channel: Any) -> str:
    """Return the unit of a channel; without a sensitivity its numbers are counts without a unit."""
    if channel.get("ChannelSensitivity", None) is None:
        return ""
    unit = (channel.get("ChannelSensitivityUnitsSequence", None) or [None])[0]
    return "" if unit is None else str(unit.get("CodeValue", "") or "")


def _padding(group: Any) -> int | None:
    """Return the count that marks missing values, if the file defines one."""
    value = group.get("WaveformPaddingValue", None)
    if value is None:
        return None
    if isinstance(value, bytes):
        signed = str(group.get("WaveformSampleInterpretation", "SS")) in ("SS", "SB", "SL", "SV")
        return int.from_bytes(value[: _number(group, "WaveformBitsAllocated") // 8], "little", signed=signed)
    return int(value)


def _counts(group: Any) -> np.ndarray:
    """Return ``[channel, step]``: the numbers as stored."""
    from pydicom.dataset import Dataset
    from pydicom.waveforms.numpy_handler import multiplex_array

    ds = Dataset()
    ds.WaveformSequence = [group]
    return multiplex_array(ds, 0, as_raw=True).T


def _rhythm(group: Any) -> bool:
    return "RHYTHM" in str(group.get("MultiplexGroupLabel", "") or "").upper()


def _number(group: Any, key: str) -> int:
    return int(group.get(key, 0) or 0)
