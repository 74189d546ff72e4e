"""The samples of a page, shared by all sessions of a process, and one visitor's uploads and requests."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import xarray as xr

from xai_views.errors import SamplesError
from xai_views.kernel import get_kernel
from xai_views.samples import digest, inputs, labelled_for

MOST_UPLOADS = 50
#: How many sets of samples are kept for the next visitor.
MOST_SETS = 16
_sessions = itertools.count()
_sets = itertools.count()
_lock = threading.Lock()


@dataclass
class Held:
    """What visitors share, once it is made."""

    samples: xr.Dataset  # held, so that no other Dataset gets its id
    lock: threading.Lock = field(default_factory=threading.Lock)
    made: list = field(default_factory=list)


_shared: OrderedDict[Hashable, Held] = OrderedDict()


def once(samples: xr.Dataset, key: tuple[Hashable, ...], make: Callable[[], Any]) -> Any:
    """What visitors share who look at the very same Dataset; names and titles say nothing about what was selected.

    Parameters
    ----------
    samples : xarray.Dataset
        As it was opened.
    key : tuple
        What else it depends on.
    make : callable
        Makes it for the first of them.
    """
    whole = (id(samples), *key)
    with _lock:
        held = _shared.setdefault(whole, Held(samples))
        _shared.move_to_end(whole)
        while len(_shared) > MOST_SETS:
            _shared.popitem(last=False)
    with held.lock:  # its own: large sets take their time, and those who look at others do not wait
        if not held.made:
            held.made.append(make())
        return held.made[0]


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
    population : SampleSet
        Shared by all sessions.
    method : Method
        What explanations are asked of.
    """

    kind: ClassVar[str] = "session"

    def __init__(self, model: Any, population: SampleSet, method: Any) -> None:
        self.kernel = get_kernel()
        self.model = self.kernel.register(model)
        self.population = population
        self.method = method
        self.uploads: list[tuple[str, np.ndarray, str]] = []
        self.channel = f"{self.kind}-{next(_sessions)}"
        self.size = tuple(population.image(0).shape[:2]) if population.n else (model.size or (64, 64))

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

    async def explain(self, i: int, ask: Any, priority: int = 0) -> xr.Dataset:
        """The explanation of sample ``i``; cached by the kernel."""
        image = await asyncio.to_thread(self.image, i)
        channel = "" if priority else self.channel
        future = self.kernel.explain(
            self.model, image[None], [self.digest(i)], self.method, [ask], channel=channel, priority=priority
        )
        return (await asyncio.wrap_future(future))[0]

    def explain_now(self, i: int, ask: Any) -> xr.Dataset:
        """The explanation of sample ``i``; waits for it (for notebooks, never for a page)."""
        return self.kernel.explain(
            self.model, self.image(i)[None], [self.digest(i)], self.method, [ask]
        ).result(120)[0]


def context_of(ask: Any, *more: Any) -> str:
    """A short name of everything that a frame depends on besides the sample."""
    return hashlib.sha256(repr((ask.key, more)).encode()).hexdigest()[:20]
