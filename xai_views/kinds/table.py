"""Tables: one number per named feature."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import xarray as xr

from xai_views.contract.kind import Taking
from xai_views.errors import ModelError, SamplesError
from xai_views.kinds.arrays import ArrayKind, described, finite
from xai_views.kinds.checks import WORDS, as_labels, in_memory, numbered

TABLE_DIMS: tuple[str, ...] = ("sample", "feature")
#: Largest upload, in bytes.
MOST_BYTES = 20e6


def table_dataset(
    table: Any,
    features: Sequence[str] | None = None,
    label: Any = None,
    name: Sequence[str] | None = None,
    classes: Sequence[str] | None = None,
    units: Sequence[str] | None = None,
    **attrs: Any,
) -> xr.Dataset:
    """Build samples from rows of numbers and what is known about them.

    Parameters
    ----------
    table : array or pandas.DataFrame
        ``[N, features]`` finite numbers; the columns of a DataFrame are the features.
    features : sequence of str, optional
        Unique names; numbered by default.
    label : array, optional
        ``[N]`` class indices (-1 = unknown) or class names, or ``[N, classes]`` 0/1.
    name, classes : sequence of str, optional
        Unique ids of the rows; class names.
    units : sequence of str, optional
        Unit of each feature, "" for none.
    **attrs
        ``title``, ``synthetic``, ``note``, ``licence``, ``origin`` and similar attributes.

    Returns
    -------
    xarray.Dataset
        Validated.

    Raises
    ------
    SamplesError
        With a one-sentence message.
    """
    if features is None and hasattr(table, "columns"):
        features = [str(c) for c in table.columns]
    table = table if hasattr(table, "__dask_graph__") else np.asarray(table)
    if table.ndim != 2 or table.dtype.kind not in "fiub":
        raise SamplesError(
            f"a table came as {table.dtype} of shape {list(table.shape)} and should be numbers [samples, features]; encode "
            "words as numbers first."
        )
    n, count = table.shape
    features = [f"feature {i}" for i in range(count)] if features is None else [str(f) for f in features]
    variables: dict[str, Any] = {"table": (TABLE_DIMS, table)}
    variables["name"] = (
        "sample",
        np.asarray(numbered(n) if name is None else [str(s) for s in name], dtype=str),
    )
    known: dict[str, Any] = {**WORDS, "classes": [str(c) for c in classes or []]}
    if label is not None:
        label, known["classes"] = as_labels(label, None if classes is None else known["classes"], n)
        variables["label"] = (("sample", "class")[: label.ndim], label)
    coords: dict[str, Any] = {"feature": features}
    if units is not None:
        coords["unit"] = ("feature", [str(u) for u in units])
    try:
        ds = xr.Dataset(variables, coords, {**known, **attrs})
    except ValueError as e:
        raise SamplesError(
            f"the fields of the table do not match it ({str(e).splitlines()[0][:120]}); give one entry per row or feature."
        ) from None
    return validate_table(ds)


def validate_table(ds: xr.Dataset) -> xr.Dataset:
    """Return ``ds`` when it follows the schema of tables, with missing names and attributes added.

    Raises
    ------
    SamplesError
        In one sentence: what was given, what was expected, what to do.
    """
    table = ds["table"]
    if table.dims != TABLE_DIMS:
        raise SamplesError(
            f"'table' has dimensions {list(table.dims)} and should have {list(TABLE_DIMS)}; transpose or rename them."
        )
    if not all(table.shape):
        raise SamplesError(f"'table' has shape {list(table.shape)} and is empty; give at least one number.")
    if table.dtype.kind not in "fiub":
        raise SamplesError(f"'table' is {table.dtype} and should be numbers; encode words as numbers first.")
    if table.dtype != np.float32:
        ds = ds.assign(table=table.astype(np.float32))
    if in_memory(ds["table"]):
        finite(ds["table"].values, "table")
    if "feature" not in ds.coords:
        ds = ds.assign_coords(feature=[f"feature {i}" for i in range(table.shape[1])])
    features = [str(f) for f in ds["feature"].values]
    if len(set(features)) < len(features):
        twice = next(f for f in features if features.count(f) > 1)
        raise SamplesError(f"the feature {twice!r} occurs twice; feature names must be unique.")
    return described(ds)


class TableKind(ArrayKind):
    """Rows ``table [sample, feature]``: float32, with named features."""

    key, plural, dims = "table", "tables", TABLE_DIMS
    accepts: ClassVar[tuple[str, ...]] = (".csv",)

    def validate(self, ds: xr.Dataset) -> xr.Dataset:
        """Validate as :func:`validate_table` does."""
        return validate_table(ds)

    def check(self, model: Taking, given: np.ndarray) -> None:
        """Raise a one-sentence :class:`ModelError` unless ``given`` is ``[N, features]`` as the model expects."""
        if given.ndim != 2 or given.dtype.kind not in "fiub" or given.shape[1] != model.channels:
            raise ModelError(
                f"model {model.name!r} got {given.dtype} of shape {list(given.shape)} and expects numbers "
                f"[N, {model.channels}]; give one number for each feature."
            )
        if not np.isfinite(given).all():
            raise ModelError(
                f"model {model.name!r} got numbers that are not finite; fill in missing values first."
            )

    def tensor(self, given: np.ndarray, device: Any, dtype: Any) -> Any:
        """Convert rows ``[N, features]`` to a tensor."""
        import torch

        return torch.from_numpy(np.ascontiguousarray(given)).to(device, dtype)

    def example(self, channels: int, size: tuple[int, ...] | None) -> list[int]:  # noqa: ARG002
        """Return the shape of the tensor of one row."""
        return [1, channels]

    def size_of(self, given: np.ndarray) -> None:  # noqa: ARG002
        """Return None: rows have no size beside their number of features."""
        return

    def said(self, model: Taking) -> str:
        """Describe in words what a model takes."""
        return f"{model.channels} feature(s)"

    def fitted(self, model: Taking, ds: xr.Dataset) -> xr.Dataset:
        """Return ``ds`` unchanged: missing features cannot be filled in.

        Raises
        ------
        SamplesError
            When the table has fewer or more features than the model takes.
        """
        if ds.sizes["feature"] != model.channels:
            raise SamplesError(
                f"the table has {ds.sizes['feature']} features and model {model.name!r} takes {model.channels}; give the "
                "same ones in the same order."
            )
        return ds

    def thumbnail(self, array: np.ndarray, side: int) -> np.ndarray:
        """Draw a row ``[features]`` as bars from a middle line, scaled to its largest value: ``[side, side, 3]`` uint8."""
        picture = np.full((side, side, 3), 255, np.uint8)
        height = np.round(array / max(float(np.abs(array).max(initial=0)), 1e-12) * (side // 2 - 1)).astype(
            int
        )
        edges = np.linspace(0, side, len(array) + 1).astype(int)
        middle = side // 2
        for h, left, right in zip(height, edges[:-1], edges[1:], strict=True):
            picture[middle - max(h, 0) : middle - min(h, 0) + 1, left : max(left + 1, right - 1)] = 60
        return picture


def decode_table(name: str, data: bytes, *, max_bytes: float = MOST_BYTES) -> xr.Dataset:
    """Decode an uploaded ``.csv`` with one row per sample; the columns ``name`` and ``label`` are ids and labels.

    Parameters
    ----------
    name : str
        Name of the file.
    data : bytes
        Contents of the file.
    max_bytes : float
        Limit on bytes.

    Raises
    ------
    SamplesError
        In one sentence: empty, too large, not a table, words among the numbers.
    """
    import pandas as pd

    if not data or len(data) > max_bytes:
        raise SamplesError(
            f"the upload has {len(data) / 1e6:.1f} MB (allowed: 1 byte to {max_bytes / 1e6:.0f} MB); choose another file."
        )
    try:
        table = pd.read_csv(io.BytesIO(data), sep=None, engine="python", encoding="utf-8-sig")
    except (ValueError, pd.errors.ParserError, UnicodeDecodeError):
        raise SamplesError(f"{name[:80]!r} cannot be read as a table; save it as CSV in UTF-8.") from None
    own = {k: table.pop(k).astype(str).to_list() for k in ("name", "label") if k in table.columns}
    words = next((str(c) for c in table.columns if table[c].dtype.kind not in "fiub"), None)
    if words is not None:
        raise SamplesError(f"the column {words!r} of {name[:80]!r} contains words; give numbers.")
    return table_dataset(table, label=own.get("label"), name=own.get("name"), title=name)
