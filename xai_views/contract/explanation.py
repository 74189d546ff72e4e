"""The schema of an explanation: one ``xarray.Dataset`` whose names mean the same everywhere."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import xarray as xr

from xai_views.errors import XaiViewsError

#: Dimensions of every variable; a name in brackets may be replaced as shown in the second tuple.
VARIABLES: dict[str, tuple[tuple[str, ...], ...]] = {
    "logit": (("sample", "class"),),
    "probability": (("sample", "class"),),
    "bias": (("class",),),
    "evidence": (("sample", "support"),),
    "latent": (("sample", "dimension"),),
    "latent_evidence": (("sample", "match", "dimension"),),
    "contribution": (("sample", "target", "y", "x"), ("sample", "target", "lead", "time")),
    "rendering": (("sample", "target", "y", "x", "rgba"),),
    "support_contribution": (("sample", "match", "y", "x"), ("sample", "match", "lead", "time")),
    "self_contribution": (("support", "y", "x"), ("support", "lead", "time")),
    "residual": (("sample", "target"),),
    "norm": (("sample",),),
    "best_cosine": (("sample",),),
    # Steps of the signal are finer than those that are clustered: time they have of their own.
    "attribution": (("sample", "y", "x"), ("sample", "lead", "time"), ("sample", "lead", "signal_time")),
    "attribution_gap": (("sample",),),
    "uncertainty": (("sample", "y", "x"), ("sample", "lead", "time")),
    "segment": (("sample", "y", "x"),),
    "region": (("sample", "y", "x"),),
    "region_attribution": (("sample", "y", "x"),),
    "kept": (("sample",),),
    "cluster": (("sample", "time"), ("sample", "y", "x")),
    "proportion": (("sample", "cluster"),),
    "cluster_contribution": (("sample", "target", "cluster"),),
    "padding_contribution": (("sample", "target"),),
    "time_contribution": (("sample", "target", "time"),),
    # On the grid of the clustering, which is coarser than the image: (row, column).
    "assignment": (("sample", "row", "column"),),
    "entropy": (("sample", "time"), ("sample", "y", "x"), ("sample", "row", "column")),
    "ensemble_entropy": (("sample", "time"),),
    "margin": (("sample", "time"), ("sample", "row", "column")),
    "second": (("sample", "time"), ("sample", "row", "column")),
    "layer_share": (("sample", "layer", "row", "column"),),
    "similarity": (("sample", "layer", "row", "column"),),
    "token_norm": (("sample", "layer", "row", "column"),),
    "inertia": (("sample",),),
    "inertia_exact": (("sample",),),
    "temperature": (("sample",),),
    "cluster_class": (("sample", "cluster", "rank"),),
    "cluster_class_probability": (("sample", "cluster", "rank"),),
    "cluster_shapley": (("sample", "target", "cluster"),),
    "ablated_logit": (("sample", "class"),),
    "ablated_probability": (("sample", "class"),),
    "depth_segment": (("sample", "depth", "y", "x"),),
    "peer_segment": (("sample", "y", "x"),),
    "peer_figures": (("sample", "peer", "figure"),),
    "effective_number": (("sample", "depth"),),
    "explained": (("sample", "depth"),),
}
PROVENANCE = (
    "method",
    "parameters",
    "model",
    "model_sha256",
    "samples_sha256",
    "version",
    "seed",
    "device",
    "exact",
)


def validate(ds: xr.Dataset) -> xr.Dataset:
    """Return ``ds`` when it follows the schema.

    Raises
    ------
    XaiViewsError
        In one sentence, for an unknown variable, wrong dimensions, a value that is not finite, or missing provenance.
    """
    for name, variable in ds.data_vars.items():
        if name not in VARIABLES:
            raise XaiViewsError(f"an explanation has no variable {name!r}; known are {', '.join(VARIABLES)}.")
        if variable.dims not in VARIABLES[name]:
            raise XaiViewsError(
                f"{name!r} has dimensions {list(variable.dims)} and should have {list(VARIABLES[name][0])}; transpose it."
            )
        if variable.dtype.kind == "f" and not bool(np.isfinite(variable.values).all()):
            raise XaiViewsError(
                f"{name!r} holds values that are not finite; the explanation cannot be trusted."
            )
    missing = [a for a in PROVENANCE if a not in ds.attrs]
    if missing:
        raise XaiViewsError(
            f"the explanation does not say its {missing[0]!r}; explanations carry {', '.join(PROVENANCE)}."
        )
    return ds


def combine(parts: Sequence[xr.Dataset]) -> xr.Dataset:
    """Join explanations of single samples; what does not depend on the sample is taken from the first.

    Samples may have different numbers of clusters: where there are fewer, shares and contributions are 0 and ids are -1.
    """
    parts = _padded(parts, "cluster")
    first = parts[0]
    shared = [n for n in [*first.data_vars, *first.coords] if "sample" not in first[n].dims]
    joined = xr.concat([p.drop_vars(shared) for p in parts], "sample")
    return joined.assign({n: first[n] for n in shared if n in first.data_vars}).assign_coords(
        {n: first[n] for n in shared if n in first.coords}
    )


def _padded(parts: Sequence[xr.Dataset], dim: str) -> Sequence[xr.Dataset]:
    """Datasets of one length along a dimension that may differ."""
    most = max(p.sizes.get(dim, 0) for p in parts)
    if all(p.sizes.get(dim, most) == most for p in parts):
        return parts
    filled = {n: -1 if v.dtype.kind == "i" else 0 for n, v in parts[0].variables.items() if dim in v.dims}
    return [p.pad({dim: (0, most - p.sizes[dim])}, constant_values=filled) for p in parts]


def adds_up(ds: xr.Dataset) -> bool:
    """Whether the parts of an explanation sum to the logit, up to a thousandth of the largest; True where none are claimed."""
    if "residual" not in ds:
        return True
    scale = max(1.0, float(np.abs(ds["logit"].values).max()) if "logit" in ds else 1.0)
    return bool(np.abs(ds["residual"].values).max() <= 1e-3 * scale)


def save(ds: xr.Dataset, path: str | Path) -> Path:
    """Write an explanation to a Zarr folder; an existing one is replaced only when the new one is complete."""
    import shutil

    path = Path(path)
    if path.exists() and not (path / ".zgroup").is_file():
        raise XaiViewsError(f"{str(path)!r} exists and is not a Zarr folder; choose another name.")
    aside = path.with_name(path.name + ".part")
    shutil.rmtree(aside, ignore_errors=True)
    validate(ds).to_zarr(aside, mode="w", zarr_format=2, consolidated=True)
    if path.exists():
        shutil.rmtree(path)
    aside.rename(path)
    return path


def load(path: str | Path) -> xr.Dataset:
    """Open an explanation that :func:`save` wrote.

    Raises
    ------
    XaiViewsError
        When there is none, or it does not follow the schema.
    """
    path = Path(path)
    if not path.is_dir():
        raise XaiViewsError(
            f"there is no explanation {str(path)!r}; explanations are Zarr folders written by save."
        )
    try:
        ds = xr.open_zarr(path, consolidated=True)
    except (KeyError, ValueError, FileNotFoundError, OSError) as e:
        raise XaiViewsError(
            f"{str(path)!r} is not a Zarr folder that can be read ({str(e).partition(chr(10))[0][:80]})."
        ) from None
    return validate(ds.load())
