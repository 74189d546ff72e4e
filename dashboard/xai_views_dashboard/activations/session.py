"""The session of the Activations app, and the same samples in another model."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from xai_views.models.taps import Tap, taps
from xai_views.samples import digest, fit
from xai_views.views.wire import as_uint8
from xai_views_dashboard.core.session import Session


@dataclass(frozen=True)
class Layers:
    """The layers of a model in the order of the forward pass, and those used by default."""

    taps: Mapping[str, Tap]
    default: tuple[str, ...]

    @classmethod
    def of(cls, model: Any, size: tuple[int, int]) -> Self:
        """Find the layers of a model; on the worker."""
        found = taps(model, size)
        return cls({t.path: t for t in found}, tuple(t.path for t in found if t.default))


class ActivationsSession(Session):
    """One visitor of the Activations app."""

    kind = "activations"

    async def layers(self) -> Layers:
        """Return the layers; found once for all visitors."""
        model, size = self.model, self.size
        key = ("layers", model.sha256, size)
        job = self.job(key, lambda progress: Layers.of(model, size), title="Finding the layers")  # noqa: ARG005
        return await asyncio.wrap_future(job)


class Fitted(Session):
    """The samples and uploads of another session, fitted to another model."""

    kind = "compared"

    def __init__(self, model: Any, origin: Session) -> None:
        super().__init__(model, origin.population)
        self.origin = origin
        self.uploads = origin.uploads  # the same list, so that later uploads are included
        self.size = tuple(self.model.size or origin.size)

    def image(self, i: int) -> Any:
        """Return the image of sample ``i``, fitted to this model."""
        return fit(as_uint8(self.origin.image(i)), self.model.size, self.model.channels)

    def digest(self, i: int) -> str:
        """Return the content key of the fitted image."""
        return digest(self.image(i))
