"""Cross-validation folds of records: stratified by the target, and grouped by person where known."""

from __future__ import annotations

import warnings

import numpy as np

from xai_views.errors import MethodError

Folds = list[tuple[np.ndarray, np.ndarray]]
LEAST = 2


def split(target: np.ndarray, folds: int, groups: np.ndarray | None = None, seed: int = 0) -> Folds:
    """Split records into folds.

    Parameters
    ----------
    target : ndarray
        ``[n]`` classes, or ``[n, C]`` 0/1, where each combination counts as a class. Classes with fewer records than folds
        are merged for the stratification.
    folds : int
        Number of folds; reduced to the number of records (or groups) if there are fewer.
    groups : ndarray, optional
        ``[n]`` person or source; all records of one group are in one fold.
    seed : int
        Random seed of the split.

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
        raise MethodError(
            f"groups of {len(groups)} records were given for {n} records; give one group per record."
        )
    units = n if groups is None else len(np.unique(groups))
    count = min(folds, units)
    if count < LEAST:
        raise MethodError(
            f"{folds} folds of {units} {'records' if groups is None else 'groups'} were requested; at least two folds are "
            "needed, so give more records or groups."
        )
    strata = _strata(target, count)
    kind = StratifiedKFold if groups is None else StratifiedGroupKFold
    with warnings.catch_warnings():
        # merged rare classes may still have fewer records than folds
        warnings.simplefilter("ignore", UserWarning)
        return list(kind(count, shuffle=True, random_state=seed).split(np.zeros(n), strata, groups))


def _strata(target: np.ndarray, folds: int) -> np.ndarray:
    """Stratum of each record ``[n]``; classes rarer than the number of folds are merged, into the largest if still too few."""
    _, ids, counts = np.unique(target, axis=0, return_inverse=True, return_counts=True)
    rare = counts < folds
    ids = np.where(rare[ids.ravel()], -1, ids.ravel())
    if 0 < (ids == -1).sum() < folds and (ids >= 0).any():
        ids = np.where(ids == -1, counts.argmax(), ids)
    return ids
