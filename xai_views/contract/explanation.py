"""Schema of an explanation: an ``xarray.Dataset`` whose variable names have the same meaning for every method."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xarray as xr

from xai_views.errors import XaiViewsError

#: How a variable is drawn. Views depend on roles, not on methods, so that the output of a new method can be drawn at once.
ROLES: Mapping[str, str] = {
    "signed map": "positive and negative values around zero",
    "unsigned map": "values from zero up",
    "labels": "ids of regions or clusters, -1 = none",
    "ledger": "signed contributions that add up to a total",
    "curve": "values along an axis",
    "scalar": "single values, or one per class",
    "landmark": "positions",
    "image": "colours, drawn unchanged",
}


@dataclass(frozen=True)
class Variable:
    """Role and dimensions of one variable name.

    Attributes
    ----------
    role : str
        One of :data:`ROLES`.
    dims : tuple of tuple of str
        The dimensions that it may have.
    """

    role: str
    dims: tuple[tuple[str, ...], ...]


def _over(role: str, *dims: str) -> Variable:
    return Variable(role, tuple(tuple(d.split()) for d in dims))


#: The common names. A method adds its own as ``"<method>.<name>"``, with a role and any dimensions.
VARIABLES: Mapping[str, Variable] = {
    "logit": _over("scalar", "sample class"),
    "probability": _over("scalar", "sample class"),
    "bias": _over("scalar", "class"),
    "evidence": _over("ledger", "sample support"),
    "latent": _over("curve", "sample dimension"),
    "latent_evidence": _over("ledger", "sample match dimension"),
    "contribution": _over("signed map", "sample target y x", "sample target lead time"),
    "rendering": _over("image", "sample target y x rgba"),
    "support_contribution": _over("signed map", "sample match y x", "sample match lead time"),
    "self_contribution": _over("signed map", "support y x", "support lead time"),
    "residual": _over("scalar", "sample target"),
    "norm": _over("scalar", "sample"),
    "best_cosine": _over("scalar", "sample"),
    # The steps of the signal are finer than those that are clustered, and have a dimension of their own.
    "attribution": _over("signed map", "sample y x", "sample lead time", "sample lead signal_time"),
    "attribution_gap": _over("scalar", "sample"),
    "uncertainty": _over("unsigned map", "sample y x", "sample lead time", "sample lead signal_time"),
    "segment": _over("labels", "sample y x"),
    "region": _over("labels", "sample y x"),
    "region_attribution": _over("signed map", "sample y x"),
    "kept": _over("scalar", "sample"),
    "cluster": _over("labels", "sample time", "sample y x"),
    "proportion": _over("scalar", "sample cluster"),
    "cluster_contribution": _over("ledger", "sample target cluster"),
    "padding_contribution": _over("ledger", "sample target"),
    "time_contribution": _over("curve", "sample target time"),
    # On the grid of the clustering, which is coarser than the image: (row, column).
    "assignment": _over("labels", "sample row column"),
    "entropy": _over("unsigned map", "sample time", "sample y x", "sample row column"),
    "ensemble_entropy": _over("unsigned map", "sample time"),
    "margin": _over("unsigned map", "sample time", "sample row column"),
    "second": _over("labels", "sample time", "sample row column"),
    "layer_share": _over("unsigned map", "sample layer row column"),
    "similarity": _over("signed map", "sample layer row column"),
    "token_norm": _over("unsigned map", "sample layer row column"),
    "inertia": _over("scalar", "sample"),
    "inertia_exact": _over("scalar", "sample"),
    "temperature": _over("scalar", "sample"),
    "cluster_class": _over("labels", "sample cluster rank"),
    "cluster_class_probability": _over("scalar", "sample cluster rank"),
    "cluster_shapley": _over("ledger", "sample target cluster"),
    "ablated_logit": _over("scalar", "sample class"),
    "ablated_probability": _over("scalar", "sample class"),
    "depth_segment": _over("labels", "sample depth y x"),
    "peer_segment": _over("labels", "sample y x"),
    "peer_figures": _over("scalar", "sample peer figure"),
    "effective_number": _over("curve", "sample depth"),
    "explained": _over("curve", "sample depth"),
}
PROVENANCE = (
    "method", "parameters", "model", "model_sha256", "samples_sha256", "version", "seed", "device", "exact", "batch",
)  # fmt: skip


def with_roles(ds: xr.Dataset, gives: Mapping[str, str] = {}) -> xr.Dataset:
    """Return ``ds`` with a role in the attributes of every variable: that of its common name, or the one in ``gives``.

    Parameters
    ----------
    ds : Dataset
        Explanation of a method; it is not modified.
    gives : mapping
        Roles of the method's own variables, by name.
    """
    out = ds.copy(deep=False)
    # xarray treats a variable that is named like a dimension, such as "cluster", as a coordinate
    for name in [*ds.data_vars, *(n for n in ds.coords if n in VARIABLES)]:
        common = VARIABLES.get(str(name))
        role = common.role if common is not None else gives.get(str(name))
        if role is not None:
            out[name] = out[name].assign_attrs(role=role)
    return out


def validate(ds: xr.Dataset) -> xr.Dataset:
    """Return ``ds`` when it follows the schema.

    Raises
    ------
    XaiViewsError
        In one sentence: an unknown variable, wrong dimensions, a non-finite value, a missing role or missing
        provenance.
    """
    for name, variable in ds.data_vars.items():
        _checked(str(name), variable, str(ds.attrs.get("method", "")))
    missing = [a for a in PROVENANCE if a not in ds.attrs]
    if missing:
        raise XaiViewsError(
            f"the explanation has no attribute {missing[0]!r}; explanations need {', '.join(PROVENANCE)}."
        )
    return ds


def _checked(name: str, variable: xr.DataArray, method: str) -> None:
    common = VARIABLES.get(name)
    if common is None:
        if not (method and name.startswith(f"{method}.") and len(name) > len(method) + 1):
            raise XaiViewsError(
                f"an explanation has no variable {name!r}; use a common name, or {method or '<method>'}.{name} with a role."
            )
        if variable.attrs.get("role") not in ROLES:
            raise XaiViewsError(
                f"{name!r} has the role {variable.attrs.get('role')!r}; declare one of {', '.join(ROLES)} in the method's gives."
            )
    elif variable.dims not in common.dims:
        raise XaiViewsError(
            f"{name!r} has dimensions {list(variable.dims)} and should have {list(common.dims[0])}; transpose it."
        )
    if variable.dtype.kind == "f" and not bool(np.isfinite(variable.values).all()):
        raise XaiViewsError(f"{name!r} contains values that are not finite; the explanation cannot be used.")


def combine(parts: Sequence[xr.Dataset]) -> xr.Dataset:
    """Join explanations of single samples; variables that do not depend on the sample are taken from the first one.

    Samples may differ in their number of clusters: missing ones get contributions of 0 and ids of -1.
    """
    parts = _padded(parts, "cluster")
    first = parts[0]
    shared = [n for n in [*first.data_vars, *first.coords] if "sample" not in first[n].dims]
    joined = xr.concat([p.drop_vars(shared) for p in parts], "sample")
    return joined.assign({n: first[n] for n in shared if n in first.data_vars}).assign_coords(
        {n: first[n] for n in shared if n in first.coords}
    )


def _padded(parts: Sequence[xr.Dataset], dim: str) -> Sequence[xr.Dataset]:
    """Pad Datasets to one length along a dimension in which they differ."""
    most = max(p.sizes.get(dim, 0) for p in parts)
    if all(p.sizes.get(dim, most) == most for p in parts):
        return parts
    filled = {n: -1 if v.dtype.kind == "i" else 0 for n, v in parts[0].variables.items() if dim in v.dims}
    return [p.pad({dim: (0, most - p.sizes[dim])}, constant_values=filled) for p in parts]


def adds_up(ds: xr.Dataset) -> bool:
    """Return whether the contributions sum to the logit within 0.1 % of the largest logit; True without a residual."""
    if "residual" not in ds:
        return True
    scale = max(1.0, float(np.abs(ds["logit"].values).max()) if "logit" in ds else 1.0)
    return bool(np.abs(ds["residual"].values).max() <= 1e-3 * scale)


def save(ds: xr.Dataset, path: str | Path) -> Path:
    """Write an explanation to a Zarr folder; an existing folder is replaced only once the new one is complete."""
    import shutil

    path = Path(path)
    if path.exists() and not (path / ".zgroup").is_file():
        raise XaiViewsError(f"{str(path)!r} exists and is not a Zarr folder; choose another path.")
    aside = path.with_name(path.name + ".part")
    shutil.rmtree(aside, ignore_errors=True)
    validate(ds).to_zarr(aside, mode="w", zarr_format=2, consolidated=True)
    if path.exists():
        shutil.rmtree(path)
    aside.rename(path)
    return path


def load(path: str | Path) -> xr.Dataset:
    """Open an explanation written by :func:`save`.

    Raises
    ------
    XaiViewsError
        When it does not exist or does not follow the schema.
    """
    path = Path(path)
    if not path.is_dir():
        raise XaiViewsError(f"there is no explanation {str(path)!r}; pass a Zarr folder written by save.")
    try:
        ds = xr.open_zarr(path, consolidated=True)
    except (KeyError, ValueError, FileNotFoundError, OSError) as e:
        raise XaiViewsError(
            f"{str(path)!r} cannot be read as a Zarr folder ({str(e).partition(chr(10))[0][:80]}); pass one written by save."
        ) from None
    return validate(ds.load())
