"""Names, labels and texts of samples of every kind, and their checks."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from xai_views.errors import SamplesError

#: Characters that need no escaping in a URL (RFC 3986, "unreserved").
SAFE_NAME = re.compile(r"[A-Za-z0-9._~-]+")


WORDS = {"title": "", "synthetic": 0, "note": "", "licence": "", "origin": ""}


def numbered(n: int) -> list[str]:
    """Return names for ``n`` samples that have none."""
    return [f"sample-{i:05d}" for i in range(n)]


def as_labels(label: Any, classes: list[str] | None, n: int) -> tuple[np.ndarray, list[str]]:
    """Return labels in any form as integers ``[N]`` or ``[N, classes]``, and the class names."""
    try:
        label = np.asarray(label)
    except ValueError:
        label = np.asarray(None)
    if label.ndim not in (1, 2):
        raise SamplesError(
            f"labels have shape {list(label.shape)} and should be one class per image, or 0/1 "
            "[samples, classes]."
        )
    if len(label) != n:
        raise SamplesError(f"{len(label)} labels were given for {n} samples; give one each.")
    if label.dtype.kind == "O" and all(isinstance(c, str) for c in label.flat):
        label = label.astype(str)  # a column of pandas
    if label.dtype.kind in "UST" and label.ndim == 1:
        return from_names([str(c) for c in label], classes)
    if label.dtype.kind not in "iub":
        raise SamplesError(
            f"labels are {label.dtype} and should be class indices or class names; number the classes from 0."
        )
    label = label.astype(np.int64)
    if classes is None:
        count = label.shape[1] if label.ndim == 2 else int(label.max(initial=-1)) + 1
        classes = [f"class {i}" for i in range(count)]
    return label, classes


def from_names(label: Sequence[str], classes: list[str] | None) -> tuple[np.ndarray, list[str]]:
    """Convert class names to indices, in alphabetical order when ``classes`` are not given.

    Returns
    -------
    label, classes : ndarray, list of str
        ``[N]`` int64 and the class names.

    Raises
    ------
    SamplesError
        For a label that is not in ``classes``.
    """
    classes = sorted(set(label)) if classes is None else classes
    index = {c: i for i, c in enumerate(classes)}
    strange = next((c for c in label if c not in index), None)
    if strange is not None:
        raise SamplesError(
            f"the label {strange!r} is not one of the {len(classes)} classes; add it to classes."
        )
    return np.asarray([index[c] for c in label], np.int64), classes


def in_memory(variable: xr.DataArray) -> bool:
    """Return whether the values are available without reading or computing."""
    # Not `.data`, which would read the whole file when it was opened without dask.
    return isinstance(variable.variable._data, np.ndarray)


def check_names(name: xr.DataArray) -> None:
    """Raise a one-sentence :class:`SamplesError` unless names are unique and can be used in a URL."""
    if name.dims != ("sample",):
        raise SamplesError(f"'name' has dimensions {list(name.dims)} and should have ['sample'].")
    seen: set[str] = set()
    for text in map(str, name.values.tolist()):
        if not SAFE_NAME.fullmatch(text):
            raise SamplesError(
                f"the name {text[:80]!r} cannot be used in a URL; use only letters, digits and . _ ~ -."
            )
        if text in seen:
            raise SamplesError(f"the name {text!r} is used more than once; names must be unique.")
        seen.add(text)


def check_label(label: xr.DataArray, classes: list[str]) -> None:
    """Raise a one-sentence :class:`SamplesError` unless labels are indices, or 0/1, of ``classes``."""
    if label.dims[:1] != ("sample",) or label.ndim > 2 or label.dtype.kind not in "iub":
        raise SamplesError(
            f"'label' is {label.dtype} {list(label.dims)} and should be integers ['sample'], "
            "or 0/1 "
            "['sample', 'class']."
        )
    low, high = int(label.min()), int(label.max())
    if label.ndim == 2:
        if label.shape[1] != len(classes):
            raise SamplesError(
                f"labels have {label.shape[1]} columns for {len(classes)} class names; name each class."
            )
        if low < 0 or high > 1:
            raise SamplesError(
                f"labels [samples, classes] hold values in [{low}, {high}] and should be 0 or 1."
            )
    elif low < -1 or high >= max(len(classes), 0):
        raise SamplesError(
            f"labels lie in [{low}, {high}] for {len(classes)} class names; number the "
            "classes from 0 and use -1 for unknown."
        )
