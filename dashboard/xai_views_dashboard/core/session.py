"""The samples of a page, shared by all sessions of a process, and one visitor's uploads and requests."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future
from typing import Any, ClassVar

import numpy as np
import panel as pn
import xarray as xr

from xai_views.contract import registry
from xai_views.contract.ask import Ask
from xai_views.engine.predictions import (
    Predictions,
    Typicality,
    known_classes,
    predict,
    typicality_of,
)
from xai_views.errors import SamplesError
from xai_views.kernel import PREFETCH, Same, Shared, get_kernel
from xai_views.methods import explain
from xai_views.samples import digest, inputs, labelled_for
from xai_views_dashboard.core.wishes import Wish

MOST_UPLOADS = 50
#: How many sets of samples are kept for the next visitor.
MOST_SETS = 16
_sessions = itertools.count()
_sets = itertools.count()
_runs = itertools.count()


_shared = Shared(MOST_SETS)


def once(samples: xr.Dataset, key: tuple[Hashable, ...], make: Callable[[], Any]) -> Any:
    """What visitors share who look at the very same Dataset; names and titles say nothing about what was selected.

    Parameters
    ----------
    samples : xarray.Dataset
        As it was opened.
    key : tuple
        What else it depends on.
    make : callable
        Makes it for the first of them; those who look at others do not wait.
    """
    return _shared.get((Same(samples), *key), make)


class SampleSet:
    """Samples with ids, labels, content keys and known regions; images are read when they are asked for.

    Parameters
    ----------
    samples : Dataset
        Images or signals.
    classes : sequence of str
        Of the model: labels are brought to them by name, so that a number means the same class everywhere.

    Attributes
    ----------
    key : int
        A number that no other set of this process has; caches are kept by it.
    """

    def __init__(self, samples: xr.Dataset, classes: Sequence[str]) -> None:
        self.key = next(_sets)
        self.samples = samples = labelled_for(samples, classes)
        self.n = samples.sizes["sample"]
        self.names = [str(n) for n in samples["name"].values]
        label = samples["label"].values if "label" in samples else np.full(self.n, -1)
        first = label if label.ndim == 1 else np.where(label.any(1), label.argmax(1), -1)
        self.label = np.asarray(first, np.int64)
        #: Classes that each sample is labelled with: none, one or several.
        self.known = known_classes(samples)
        self._digests: dict[int, str] = {}

    @property
    def title(self) -> str:
        """Catalogue name of the set; "" for one's own."""
        return str(self.samples.attrs.get("title", ""))

    def image(self, i: int) -> np.ndarray:
        """Image ``[H, W, C]`` or signal ``[lead, time]`` of sample ``i``."""
        return inputs(self.samples, [i])[0]

    def digest(self, i: int) -> str:
        """Content key of sample ``i``."""
        if i not in self._digests:
            self._digests[i] = digest(self.image(i))
        return self._digests[i]

    def truth(self, i: int) -> tuple[np.ndarray, list[str]] | None:
        """Known regions of sample ``i``: ids ``[y, x]`` (-1 = nothing) and their names; None when nothing is known."""
        if "part" in self.samples:
            part = self.samples["part"].isel(sample=i).values.astype(np.int16)
            return np.where(part > 0, part, -1), list(self.samples.attrs.get("parts", ()))
        if "mask" in self.samples:
            mask = self.samples["mask"].isel(sample=i).values
            return np.where(mask, 1, -1).astype(np.int16), ["", "outline"]
        return None


class Session:
    """One visitor: a model, the shared samples, own uploads, and explanations through the kernel.

    Parameters
    ----------
    model : Model
        Registered with the kernel.
    samples : Dataset or SampleSet
        A set that is shared already is taken as it is.
    """

    kind: ClassVar[str] = "session"
    #: Parameters of the main method on which the predictions depend.
    predicted_by: ClassVar[tuple[str, ...]] = ()

    def __init__(self, model: Any, samples: xr.Dataset | SampleSet) -> None:
        self.kernel = get_kernel()
        self.model = self.kernel.register(model)
        if not isinstance(samples, SampleSet):
            classes = tuple(self.model.classes)
            if not samples.sizes["sample"]:
                raise SamplesError("there is no sample to look at; give at least one.")
            whole = samples
            samples = once(whole, (self.kind, classes), lambda: SampleSet(whole, classes))
        self.population: Any = samples  # what its own app knows of it besides
        self.uploads: list[tuple[str, np.ndarray, str]] = []
        self.channel = f"{self.kind}-{next(_sessions)}"
        self.size = tuple(samples.image(0).shape[:2]) if samples.n else (self.model.size or (64, 64))

    @property
    def names(self) -> list[str]:
        """Ids of the population's samples and then of the uploads."""
        return self.population.names + [name for name, _, _ in self.uploads]

    def __len__(self) -> int:
        return self.population.n + len(self.uploads)

    def image(self, i: int) -> np.ndarray:
        """Image ``[H, W, C]`` or signal ``[lead, time]`` of sample ``i``."""
        return self.population.image(i) if i < self.population.n else self.uploads[i - self.population.n][1]

    def digest(self, i: int) -> str:
        """Content key of sample ``i``."""
        return self.population.digest(i) if i < self.population.n else self.uploads[i - self.population.n][2]

    def label(self, i: int) -> int:
        """Known class of sample ``i``, -1 = unknown."""
        return int(self.population.label[i]) if i < self.population.n else -1

    def known(self, i: int) -> frozenset[int]:
        """Classes that sample ``i`` is labelled with: none, one or several; none of an upload."""
        return self.population.known[i] if i < self.population.n else frozenset()

    def truth(self, i: int) -> tuple[np.ndarray, list[str]] | None:
        """Known regions of sample ``i``; nothing is known of uploads."""
        return self.population.truth(i) if i < self.population.n else None

    def add(self, image: np.ndarray) -> int:
        """Add an uploaded image ``[H, W, C]`` that fits the model; returns its position."""
        self.model.check(image[None])
        if len(self.uploads) >= MOST_UPLOADS:
            raise SamplesError(
                f"this page already holds {MOST_UPLOADS} uploaded images; reload it to start again."
            )
        self.uploads.append((f"upload-{len(self.uploads) + 1}", image, digest(image)))
        return len(self) - 1

    # -- explanations -------------------------------------------------------------------------------------------

    def asked_of(self, i: int, wish: Wish) -> Ask:  # noqa: ARG002 - for subclasses
        """What a wish asks of sample ``i``; apps whose samples differ in what is asked (length, edits) say so here."""
        return wish.ask

    def request(
        self,
        i: int,
        image: np.ndarray,
        ask: Ask,
        priority: int = 0,
        partial: Callable[[int, Any, int, int], None] | None = None,
    ) -> Future:
        """The kernel's future of ``[explanation]`` of sample ``i``; what is in view replaces what was on its channel.

        Parameters
        ----------
        i : int
            Position of the sample.
        image : ndarray
            Its values, read before: reading may take its time.
        ask : Ask
            What is asked.
        priority : int
            0 = in view; others do not replace each other.
        partial : callable, optional
            ``partial(0, dataset or None, done, total)``, on the worker's thread, while a long method is at work.
        """
        channel = "" if priority else self.channel
        method = registry.plain(ask.method)
        return self.kernel.explain(
            self.model,
            image[None],
            [self.digest(i)],
            method,
            [ask],
            channel=channel,
            priority=priority,
            partial=partial,
        )

    async def explain(self, i: int, ask: Ask, priority: int = 0) -> xr.Dataset:
        """The explanation of sample ``i``; cached by the kernel."""
        image = await asyncio.to_thread(self.image, i)
        return (await asyncio.wrap_future(self.request(i, image, ask, priority)))[0]

    def job(
        self,
        key: Hashable | None,
        work: Callable[[Any], Any],
        counted: Callable[[int, int], None] | None = None,
        priority: int = 2,
        title: str = "",
    ) -> Future:
        """The future of ``work(progress)`` on the worker, shared by all who ask for the same key (None = by nobody).

        Parameters
        ----------
        key : hashable
            What the result depends on, model and samples included.
        work : callable
            A generator function: between its yields the worker serves others.
        counted : callable, optional
            ``counted(done, total)``, on the worker's thread.
        priority : int
            Lower is served first; ``xai_views.kernel.PREFETCH`` waits for whatever is in view.
        title : str
            What the status line says meanwhile, such as "Comparing models".
        """
        own = (self.channel, next(_runs)) if key is None else key
        run = self.kernel.shared(own, work, priority=priority, title=title)
        if counted is not None:
            run.subscribe(counted)
        return run

    async def predicted(
        self,
        ask: Ask | None = None,  # noqa: ARG002 - for subclasses
        counted: Callable[[int, int], None] | None = None,
    ) -> Predictions:
        """What the model predicts for the shared samples: run once for all visitors, after what is in view.

        Parameters
        ----------
        ask : Ask, optional
            What is asked of the main method; sessions whose predictions depend on it (:attr:`predicted_by`) use it.
        counted : callable, optional
            ``counted(done, total)``, on the worker's thread.
        """
        model, population = self.model, self.population

        def run(progress: Callable[[int, int], None]) -> Any:
            return predict(model, population.samples, progress)

        key = ("predictions", model.sha256, population.key)
        return await asyncio.wrap_future(
            self.job(key, run, counted, PREFETCH, title="Running the model on all samples")
        )

    async def typicality(self, i: int) -> Typicality | None:
        """How typical sample ``i`` is of the training data; None where the model holds none to compare it with."""
        model = self.model
        if model.latents is None:
            return None
        given = await asyncio.to_thread(self.image, i)

        def work(progress: Any) -> Typicality | None:  # noqa: ARG001 - one pass
            return typicality_of(model, given)

        return await asyncio.wrap_future(
            self.job(
                ("typicality", model.sha256, self.digest(i)), work, title="Comparing with the training data"
            )
        )

    # -- beside another model ------------------------------------------------------------------------------------

    def beside(self, model: Any) -> Session:
        """Return the samples of this page, uploads too, for another model of the same input.

        Raises
        ------
        XaiViewsError
            When the model does not take them.
        """
        made = Session(model, self.population)
        if self.population.n:
            made.model.check(self.population.image(0)[None])
        made.uploads = self.uploads  # the same list: what is uploaded later counts too
        return made

    def with_own(self, ask: Ask) -> Ask:
        """Return the same request with what belongs to a model, its layers and codebook, as this model begins."""
        plain = registry.plain(ask.method).ask()
        own = {n: plain.values[n] for n in ("taps", "codebook", "codebook_key") if n in ask.values}
        if "weights" in ask.values and not isinstance(ask.weights, str):
            own["weights"] = plain.weights
        if ask.values.get("mode") == "codebook":
            own["mode"] = plain.mode
        return ask.replace(**own)

    # -- for people who write Python ----------------------------------------------------------------------------

    def dataset(self, i: int) -> xr.Dataset:
        """Sample ``i`` alone, as :func:`xai_views.explain` takes it."""
        if i < self.population.n:
            return self.population.samples.isel(sample=[i])
        name, image, _ = self.uploads[i - self.population.n]
        return xr.Dataset(
            {"image": (("sample", "y", "x", "channel"), image[None]), "name": ("sample", [name])}
        )

    def explained_now(self, i: int, ask: Ask) -> xr.Dataset:
        """The explanation of sample ``i`` with its provenance: what ``xv.explain`` gives, made on the worker."""
        samples = self.dataset(i)

        def explained(progress: Any) -> xr.Dataset:
            return explain(self.model, samples, ask, progress=progress)

        return self.wait(self.kernel.run(explained, title="Explaining the sample"))

    @staticmethod
    def wait(future: Future) -> Any:
        """The value of a future, in a notebook or a script.

        Raises
        ------
        RuntimeError
            In a page: a callback that waits would hold the whole server.
        """
        doc = pn.state.curdoc
        if doc is not None and doc.session_context is not None:
            raise RuntimeError("a page's callback must not wait for the kernel; await the future instead")
        return future.result()
