"""How much of a logit an interval of a record carries."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xarray as xr


@dataclass(frozen=True)
class Inside:
    """What lies in an interval.

    Attributes
    ----------
    part : float
        Sum of the contributions inside.
    logit : float
        Logit of the explained class.
    share : float
        Of the absolute contributions; NaN where all are zero.
    time : float
        Share of the record's time.
    by_lead : bool
        Whether only the contributions of one lead are counted.
    """

    part: float
    logit: float
    share: float
    time: float
    by_lead: bool


def inside(
    result: xr.Dataset, start: float, stop: float, seconds: float, recorded: float = 0.0, lead: int = -1
) -> Inside:
    """Return how much of the logit of the first explained class an interval carries.

    Parameters
    ----------
    result : Dataset
        An explanation by ``ecg_clusters`` of one record.
    start, stop : float
        Of the interval, s.
    seconds : float
        Of the model's input, s.
    recorded : float
        Seconds of it that are signal; 0 = all.
    lead : int
        Count the attribution of this lead only, where the explanation has a map by lead; -1 = all leads.

    Notes
    -----
    A step that lies partly in the interval counts with the part of its time that does.
    """
    target = int(result["target_class"].values[0, 0])
    by_lead = lead >= 0 and "attribution" in result
    values = result["attribution"].values[0] if by_lead else result["time_contribution"].values[0, :1]
    values = values.astype(np.float64)
    edges = np.linspace(0.0, seconds, values.shape[1] + 1)
    step = seconds / values.shape[1]
    weight = np.clip(np.minimum(edges[1:], stop) - np.maximum(edges[:-1], start), 0.0, None) / step
    row = values[lead] if by_lead else values[0]
    whole = float(np.abs(values).sum())
    return Inside(
        part=float(row @ weight),
        logit=float(result["logit"].values[0, target]),
        share=float(np.abs(row) @ weight) / whole if whole > 0 else float("nan"),
        time=(min(stop, recorded or seconds) - max(start, 0.0)) / (recorded or seconds),
        by_lead=by_lead,
    )
