"""What a panel may rely on in an app, whichever it is: panels of every app, and of a stranger's, are written against this."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from concurrent.futures import Future
from typing import Any, Protocol

import numpy as np
import xarray as xr

from xai_views.contract.ask import Ask
from xai_views_dashboard.core.wishes import Wish


class PageSession(Protocol):
    """One visitor's samples and requests, see :class:`xai_views_dashboard.core.session.Session`."""

    kernel: Any
    model: Any
    population: Any
    channel: str

    @property
    def names(self) -> list[str]:
        """Ids of all samples, uploads at the end."""
        ...

    def __len__(self) -> int: ...

    def image(self, i: int) -> np.ndarray:
        """Values of sample ``i``, as the model takes them."""
        ...

    def label(self, i: int) -> int:
        """Known class, -1 = unknown."""
        ...

    def asked_of(self, i: int, wish: Wish) -> Ask:
        """What a wish asks of sample ``i``."""
        ...

    async def explain(self, i: int, ask: Ask, priority: int = 0) -> xr.Dataset:
        """The explanation of sample ``i``."""
        ...

    def job(
        self,
        key: Hashable | None,
        work: Callable[[Any], Any],
        counted: Callable[[int, int], None] | None = None,
        priority: int = 2,
    ) -> Future:
        """The future of work on the worker, shared by all who ask for the same key."""
        ...


class PageApp(Protocol):
    """An app as its panels see it, see :class:`xai_views_dashboard.core.app.App`."""

    model: Any
    samples: xr.Dataset
    session: Any  # a PageSession, with what the app's own knows beyond it
    state: Any  # an AppState with the parameters of the methods
    canvas: Any
    problem: Any

    def ask(self, method: str = "", /, **changes: Any) -> Ask:
        """What the state asks of a method."""
        ...

    def asked_by(self) -> list[str]:
        """Parameters of the state that decide what is asked."""
        ...

    def wish(self) -> Wish:
        """Everything that the main picture depends on now."""
        ...
