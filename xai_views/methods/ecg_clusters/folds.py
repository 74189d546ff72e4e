"""Folds of records: stratified by what is to be learnt, and by person where it is known."""

from __future__ import annotations

import warnings

import numpy as np

from xai_views.errors import MethodError

Folds = list[tuple[np.ndarray, np.ndarray]]
LEAST = 2


def split(target: np.ndarray, folds: int, groups: np.ndarray | None = None, seed: int = 0) -> Folds:
    """Divide records into folds.

    Parameters
    ----------
    target : ndarray
        ``[n]`` classes, or ``[n, C]`` 0/1, of which each combination counts as a class. Classes with fewer records than
        folds are put together for the stratification.
    folds : int
        Wanted; at most as many as there are records (or groups).
    groups : ndarray, optional
        ``[n]`` person or source; all records of one are in one fold.
    seed : int
        Of the draw.

    Returns
    -------
    list of (ndarray, ndarray)
        Training and test records of each fold, int64; every record is tested once.

    Raises
    ------
    MethodError
        When fewer than two folds can be made, or groups do not fit the records.
    """
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    n = len(target)
    if groups is not None and len(groups) != n:
        raise MethodError(f"groups are of {len(groups)} records and there are {n}; name the group of each.")
    units = n if groups is None else len(np.unique(groups))
    count = min(folds, units)
    if count < LEAST:
        raise MethodError(
            f"{folds} folds were asked for and there are {units} {'records' if groups is None else 'groups'}; two folds are the "
            "least."
        )
    strata = _strata(target, count)
    kind = StratifiedKFold if groups is None else StratifiedGroupKFold
    with warnings.catch_warnings():
        # the rare classes that are left over may be fewer than the folds
        warnings.simplefilter("ignore", UserWarning)
        return list(kind(count, shuffle=True, random_state=seed).split(np.zeros(n), strata, groups))


def _strata(target: np.ndarray, folds: int) -> np.ndarray:
    """Class of each record ``[n]``; classes with fewer records than folds are one, and together with the largest if still few."""
    _, ids, counts = np.unique(target, axis=0, return_inverse=True, return_counts=True)
    rare = counts < folds
    ids = np.where(rare[ids.ravel()], -1, ids.ravel())
    if 0 < (ids == -1).sum() < folds and (ids >= 0).any():
        ids = np.where(ids == -1, counts.argmax(), ids)
    return ids
