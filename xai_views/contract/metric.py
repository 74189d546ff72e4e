"""Base class of metrics: one value for one map of one sample, with its direction and chance level."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import param

from xai_views.contract.protocols import Model
from xai_views.errors import XaiViewsError, nearest


class Metric(param.Parameterized):
    """One way to score a map; metrics depend on maps, ground truth and models, and on no view.

    Attributes
    ----------
    key, title : str
        Name in commands; name for people.
    question : str
        "correct" (against the ground truth), "faithful" (against the model) or "sane" (against randomisation); values of
        different questions are never averaged.
    better : str
        "higher" or "lower".
    needs : tuple of str
        Ground truth that a sample must have: "mask"; () for none.
    """

    key: ClassVar[str]
    title: ClassVar[str]
    question: ClassVar[str]
    better: ClassVar[str] = "higher"
    needs: ClassVar[tuple[str, ...]] = ()

    def __init__(self, **parameters: Any) -> None:
        known = [name for name in self.param if name != "name"]
        for name in parameters:
            if name not in known:
                raise XaiViewsError(
                    f"metric {self.key!r} has no parameter {name!r}; it has {nearest(name, known)}."
                )
        try:
            super().__init__(**parameters)
        except (ValueError, TypeError) as error:
            raise XaiViewsError(
                f"metric {self.key!r} cannot take these parameters: {str(error).rstrip('.')}."
            ) from None

    def score(
        self, map_: np.ndarray, *, mask: np.ndarray | None, model: Model, image: np.ndarray, target: int
    ) -> tuple[float, float]:
        """Return the score of one map, and its chance level.

        Parameters
        ----------
        map_ : ndarray
            ``[y, x]`` or ``[lead, time]``, signed.
        mask : ndarray or None
            Ground truth, of the same shape, bool.
        model : Model
            The network; a "faithful" metric runs it.
        image : ndarray
            The sample as the model takes it.
        target : int
            The explained class.

        Returns
        -------
        tuple of float
            Score and chance level; NaN where the sample does not allow them.
        """
        raise NotImplementedError
