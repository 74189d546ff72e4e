"""What the SIC app knows: a population shared by all sessions, and one session's samples and support set."""

from __future__ import annotations

from concurrent.futures import Future
from typing import Any

import numpy as np
import xarray as xr

from xai_views.contract.ask import Ask
from xai_views.contract.method import PREDICTED
from xai_views.errors import XaiViewsError
from xai_views.kernel import PREFETCH, get_kernel
from xai_views.methods import get
from xai_views.methods.sic.population import latent_vectors
from xai_views.methods.sic.support_sets import UNCHANGED, support_set
from xai_views.models.supports import Supports
from xai_views.samples import images
from xai_views_dashboard.core.session import SampleSet, Session, once
from xai_views_dashboard.core.state import NONE

CHUNK = 32


class Population(SampleSet):
    """The samples of a page with the evidence vector of each; one per process for the same model and samples.

    Attributes
    ----------
    z : ndarray
        ``[N, p]``; rows of samples that were not observed yet are not a number.
    ready : Future
        Done when every sample was observed.
    """

    def __init__(self, model: Any, samples: xr.Dataset) -> None:
        super().__init__(samples, model.classes)
        self.model = model
        self.z = np.full((self.n, model.module.latent_size), np.nan, np.float32)
        self.ready: Future = get_kernel().run(self._observe, priority=PREFETCH)

    @classmethod
    def of(cls, model: Any, samples: xr.Dataset) -> Population:
        """The population of ``model`` and ``samples``; made once."""
        return once(samples, ("sic", model.sha256), lambda: cls(model, samples))

    def _observe(self, progress: Any):
        for start in range(0, self.n, CHUNK):
            rows = np.arange(start, min(start + CHUNK, self.n))
            self.z[rows] = latent_vectors(self.model, images(self.samples, rows))
            progress(rows[-1] + 1, self.n)
            yield


class SicSession(Session):
    """One visitor's view of a population: uploads, an edited support set, and explanations through the kernel."""

    kind = "sic"

    def __init__(self, model: Any, samples: xr.Dataset) -> None:
        method = get("sic")
        model = get_kernel().register(model)
        reason = method.fits(model)
        if reason:
            raise XaiViewsError(reason)
        if samples.sizes["sample"]:
            model.check(images(samples, [0]))
        super().__init__(model, Population.of(model, samples), method)
        self.supports: Supports = self.model.supports
        self.edits = dict(UNCHANGED)

    # -- supports -----------------------------------------------------------------------------------------------

    def edit(self, **edits: Any) -> Supports:
        """Choose the support set by parameters of the method; no pass of the network."""
        edits = UNCHANGED | edits
        self.supports = support_set(self.model, self.method.ask(**edits))
        self.edits = edits
        return self.supports

    # -- explanations -------------------------------------------------------------------------------------------

    def ask(self, target: int = PREDICTED, against: int = NONE, colours: bool = False) -> Ask:
        """What is asked of one sample: the target class first, then the class to compare with."""
        targets = [target] if against == NONE else [target, against]
        return self.method.ask(targets=targets, rendering=colours, **self.edits)
