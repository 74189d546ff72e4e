"""What every metric is: one figure of one map of one sample, with its direction and its chance level."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import param

from xai_views.contract.protocols import Model
from xai_views.errors import XaiViewsError, nearest


class Metric(param.Parameterized):
    """One way to judge a map; metrics know maps, truths and models, and no screen.

    Attributes
    ----------
    key, title : str
        Name in commands, and for people.
    question : str
        "correct" (against known truth), "faithful" (against the model) or "sane" (against randomisation); figures of different
        questions are never averaged.
    better : str
        "higher" or "lower".
    needs : tuple of str
        What a sample must know: "mask"; () when nothing.
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
            raise XaiViewsError(f"metric {self.key!r} cannot take this: {str(error).rstrip('.')}.") from None

    def score(
        self, map_: np.ndarray, *, mask: np.ndarray | None, model: Model, image: np.ndarray, target: int
    ) -> tuple[float, float]:
        """The figure of one map, and what a map that knows nothing scores there.

        Parameters
        ----------
        map_ : ndarray
            ``[y, x]`` or ``[lead, time]``, signed.
        mask : ndarray or None
            Where the truth lies, of the same shape, bool.
        model : Model
            The network; a faithful metric asks it.
        image : ndarray
            The sample as the model takes it.
        target : int
            The class that is explained.

        Returns
        -------
        tuple of float
            The figure and its chance level; NaN where it cannot be had of this sample.
        """
        raise NotImplementedError
