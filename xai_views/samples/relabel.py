"""Labels of samples as classes of a model, matched by name and never by position."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import xarray as xr

SHOWN = 4  # number of names in a sentence
_UNNAMED = re.compile(r"class \d+")


def labelled_for(samples: xr.Dataset, classes: Sequence[str]) -> xr.Dataset:
    """Convert the labels of samples to the classes of a model.

    Parameters
    ----------
    samples : Dataset
        With or without ``label`` (positions in ``attrs["classes"]``, or 0/1 per class).
    classes : sequence of str
        Classes of the model. If they are unnamed ("class 0", "class 1", …) and equal in number, positions are kept.

    Returns
    -------
    Dataset
        ``samples`` itself when the classes are equal or unknown. Otherwise with ``label`` and ``attrs["classes"]`` of the
        model; labels that are no class of the model are removed, and ``attrs["note"]`` says so.
    """
    classes, own = [str(c) for c in classes], [str(c) for c in samples.attrs.get("classes", ())]
    unnamed = all(map(_UNNAMED.fullmatch, classes)) and len(own) <= len(classes)
    if "label" not in samples or not own or own == classes or unnamed:
        return samples
    label = np.asarray(samples["label"].values)
    place = np.array([classes.index(c) if c in classes else -1 for c in own])
    if label.ndim == 1:
        used = np.bincount(label[label >= 0], minlength=len(own)) > 0
        changed = samples.assign(label=("sample", np.where(label >= 0, place[label], -1)))
    else:
        used = np.any(label, axis=0)
        nothing = {n: v.dtype.type(0) for n, v in samples.data_vars.items() if "class" in v.dims}
        named = samples.assign_coords({"class": own}).reindex({"class": classes}, fill_value=nothing)
        changed = named.drop_vars("class")
    unknown = [own[c] for c in np.flatnonzero(used & (place < 0))]
    note = str(samples.attrs.get("note", ""))
    if unknown:
        more = f" and {len(unknown) - SHOWN} more" if len(unknown) > SHOWN else ""
        names = ", ".join(unknown[:SHOWN]) + more
        note = f"{note} Some are labelled {names}: the network has no such class, so these labels are left out.".strip()
    return changed.assign_attrs(classes=classes, note=note)
