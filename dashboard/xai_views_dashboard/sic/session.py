"""What the SIC app knows: a population shared by all sessions, and one session's samples and support set."""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np
import xarray as xr

from xai_views.errors import XaiViewsError
from xai_views.kernel import PREFETCH, get_kernel
from xai_views.methods import get
from xai_views.models import evidence
from xai_views.models.supports import Supports, select
from xai_views.samples import images
from xai_views_dashboard.core.session import SampleSet, Session, once

CHUNK = 32
#: Completed support sets that a session keeps; an edit makes one, undo goes back to one.
KEPT_SETS = 16


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
        from xai_views.methods.sic.method import latent_vectors

        for start in range(0, self.n, CHUNK):
            rows = np.arange(start, min(start + CHUNK, self.n))
            self.z[rows] = latent_vectors(self.model, images(self.samples, rows))
            progress(rows[-1] + 1, self.n)
            yield


def figures(model: Any, supports: Supports, z: np.ndarray, label: np.ndarray) -> dict[str, np.ndarray]:
    """Columns of the population table for a support set; matrix products only.

    Returns
    -------
    dict
        ``logit [N, C]``, ``predicted``, ``confidence`` (sigmoid of the largest logit), ``margin`` (largest minus second),
        ``concentration`` (largest share of one support in the predicted class' evidence), ``distance`` (1 - best cosine
        with a support), ``right`` (1, 0, or -1 without a label).
    """
    m = model.module
    score = evidence.scores(z, supports.vectors)
    logit = evidence.logits(score, supports.label, m.classes, m.temperature, m.bias)
    top = np.sort(logit, 1)
    predicted = logit.argmax(1)
    own = score * (supports.label[None] == predicted[:, None])
    total = own.sum(1)
    return {
        "logit": logit,
        "predicted": predicted,
        "confidence": evidence.probability(logit.max(1)),
        "margin": top[:, -1] - top[:, -2] if logit.shape[1] > 1 else top[:, -1],
        "concentration": own.max(1, initial=0) / np.where(total > 0, total, 1),
        "distance": 1 - evidence.cosines(z, supports.vectors).max(1, initial=0),
        "right": np.where(label < 0, -1, (predicted == label).astype(int)),
    }


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
        self._completed: dict[str, Future] = {}

    # -- supports -----------------------------------------------------------------------------------------------

    def edit(
        self, per_class: int = 0, rule: str = "model", excluded: list | tuple = (), added: list | tuple = ()
    ) -> Supports:
        """Choose the support set from cached evidence vectors; no pass of the network.

        Self-contribution maps of supports that the checkpoint does not hold are missing until :meth:`completed`.
        """
        own, latents = self.model.supports, self.model.latents
        if rule == "model" and not per_class:
            chosen = own.take(~np.isin(own.index, list(excluded)))
        else:
            if latents is None:
                raise XaiViewsError(
                    f"model {self.model.name!r} holds no vectors of its training set to choose supports from."
                )
            rows, label = _selected(
                self.model,
                per_class or _per_class(own),
                "k-means" if rule == "model" else rule,
                frozenset(int(i) for i in excluded),
            )
            chosen = self._assemble(rows, label)
        if added and latents is not None:
            position = {int(p): r for r, p in enumerate(latents.index)}
            pairs = [
                (position[int(i)], int(c))
                for i, c in added
                if int(i) in position and 0 <= int(c) < self.model.module.classes
            ]
            taken = set(zip(chosen.index.tolist(), chosen.label.tolist(), strict=True))
            pairs = [(r, c) for r, c in dict.fromkeys(pairs) if (int(latents.index[r]), c) not in taken]
            if pairs:
                more = self._assemble(np.array([r for r, _ in pairs]), np.array([c for _, c in pairs]))
                chosen = _joined(chosen, more)
        self.supports = chosen
        return chosen

    def _assemble(self, rows: np.ndarray, label: np.ndarray) -> Supports:
        """Supports from rows of the cached vectors; images from the training samples, known maps from the checkpoint."""
        own, latents = self.model.supports, self.model.latents
        known = {(int(i), int(c)): r for r, (i, c) in enumerate(zip(own.index, own.label, strict=True))}
        index = latents.index[rows]
        have = [known.get((int(i), int(c)), -1) for i, c in zip(index, label, strict=True)]
        shape = own.image.shape[1:]
        image = np.zeros((len(rows), *shape), np.uint8)
        maps = np.full((len(rows), *shape[:2]), np.nan, np.float32)
        missing = [k for k, r in enumerate(have) if r < 0]
        for k, r in enumerate(have):
            if r >= 0:
                image[k], maps[k] = own.image[r], own.self_contribution[r]
        if missing:
            image[missing] = training_images(latents.samples, tuple(int(i) for i in index[missing]), shape)
        return Supports(latents.z[rows], np.asarray(label, np.int64), index, image, maps)

    def completed(self, supports: Supports) -> Future:
        """Future of the same set with all self-contribution maps; computed once for each set of a session."""
        from xai_views.methods.sic.method import complete

        known = self._completed.get(supports.key)
        if known is None or known.cancelled() or (known.done() and known.exception() is not None):
            if len(supports.missing):
                known = self.kernel.run(lambda progress: complete(self.model, supports))  # noqa: ARG005
            else:
                known = Future()
                known.set_result(supports)
            self._completed[supports.key] = known
            while len(self._completed) > KEPT_SETS:
                self._completed.pop(next(iter(self._completed)))
        return known

    # -- explanations -------------------------------------------------------------------------------------------

    def ask(
        self, target: int = -1, against: int = -1, colours: bool = False, supports: Supports | None = None
    ) -> Any:
        """The request for one sample: target class first, then the class to compare with."""
        from xai_views.methods.sic.method import SICAsk

        chosen = self.supports if supports is None else supports
        classes = (target,) if against < 0 else (target, against)
        return SICAsk(classes, None if chosen == self.model.supports else chosen, True, colours)


def _per_class(supports: Supports) -> int:
    return int(np.bincount(supports.label).max(initial=1))


def _joined(a: Supports, b: Supports) -> Supports:
    """Both sets, ordered by class."""
    names = ("vectors", "label", "index", "image", "self_contribution")
    both = replace(a, **{n: np.concatenate([getattr(a, n), getattr(b, n)]) for n in names})
    return both.take(np.argsort(both.label, kind="stable"))


@lru_cache(maxsize=64)
def _selected(model: Any, per_class: int, rule: str, exclude: frozenset) -> tuple[np.ndarray, np.ndarray]:
    return select(model.latents, per_class, model.module.classes, rule, exclude=exclude)


@lru_cache(maxsize=64)
def training_images(samples: str, index: tuple[int, ...], shape: tuple[int, ...]) -> np.ndarray:
    """Images of training positions ``index``; grey where the training samples are not at hand."""
    from xai_views.samples import open_samples

    try:
        return images(open_samples(samples), np.asarray(index))
    except XaiViewsError:
        return np.full((len(index), *shape), 128, np.uint8)
