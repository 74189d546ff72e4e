"""Labelled records, brought to the leads, rate and length that networks are trained with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from xai_views import kinds
from xai_views.errors import SamplesError
from xai_views.samples import inputs
from xai_views.samples.prepare import prepare
from xai_views.samples.signals import LEADS

RATE, STEPS = 400, 4096


@dataclass(frozen=True, eq=False)
class Records:
    """Training or test records.

    Attributes
    ----------
    signal : ndarray
        ``[N, leads, 4096]`` float16 in mV at 400 Hz, padded with zeros.
    target : ndarray
        ``[N, classes]`` float32 0/1.
    classes, leads : list of str
        Names.
    several : bool
        Whether a record may have several classes at once, or none.
    name : str
        Of the samples.
    """

    signal: np.ndarray
    target: np.ndarray
    classes: list[str]
    leads: list[str]
    several: bool
    name: str

    @property
    def label(self) -> np.ndarray:
        """``[N]`` the class of each record; -1 where there is none or more than one."""
        return np.where(self.target.sum(1) == 1, self.target.argmax(1), -1)


def records(ds: xr.Dataset, name: str, like: Any = None) -> Records:
    """Bring labelled records to 400 Hz and 4096 steps.

    Parameters
    ----------
    ds : Dataset
        Signals of any leads, rate and length.
    name : str
        Of the samples.
    like : Records, optional
        Training records whose leads and kind of labels test records take over.

    Raises
    ------
    SamplesError
        In one sentence, when these are images, labels are missing, or test records have other classes.
    """
    if kinds.of(ds).key != "signal":
        raise SamplesError(f"{name!r} holds images; give records, or train sic, cnn or vit on it.")
    classes = list(ds.attrs.get("classes", ()))
    if "label" not in ds or not classes:
        raise SamplesError(f"records {name!r} have no labels; training needs a label for every record.")
    if like is not None and classes != like.classes:
        raise SamplesError(
            f"the test records {name!r} have the classes {', '.join(classes)} and the training records "
            f"{', '.join(like.classes)}; give the same, in the same order."
        )
    leads = [str(x) for x in ds["lead"].values]
    leads = list(LEADS) if set(leads) >= {"I", "II"} else leads
    leads = leads if like is None else list(like.leads)
    ready = prepare(ds, leads, RATE, STEPS)
    label = np.asarray(ready["label"].values)
    if label.ndim == 1 and (label < 0).any():
        raise SamplesError(f"{int((label < 0).sum())} records of {name!r} have no label; give each one.")
    target = label if label.ndim == 2 else np.eye(len(classes))[label]
    several = label.ndim == 2 and not (label.sum(1) == 1).all()
    if like is not None and several and not like.several:
        raise SamplesError(
            f"{int((label.sum(1) != 1).sum())} test records of {name!r} have no class or several and the training records "
            "have one each; leave them out."
        )
    several = several if like is None else like.several
    signal = inputs(ready, slice(None)).astype(np.float16)
    return Records(signal, target.astype(np.float32), classes, leads, bool(several), name)
