"""What the activation explorer knows: its layers, one visitor's asks, and codebooks shared by all visitors."""

from __future__ import annotations

import threading
from typing import Any

import xarray as xr

from xai_views.errors import XaiViewsError
from xai_views.kernel import get_kernel
from xai_views.methods import get
from xai_views.samples import fit, images
from xai_views_dashboard.core.session import SampleSet, Session, once


class Layers:
    """The taps of a model, found by one forward pass and kept for the life of the process."""

    _all: dict[str, Layers] = {}
    _lock = threading.Lock()

    def __init__(self, model: Any, size: tuple[int, int]) -> None:
        from xai_views.models.heads import find_head
        from xai_views.models.taps import default_taps, taps

        self.taps = {tap.path: tap for tap in taps(model, size)}
        self.default = default_taps(model, size)
        self.exact = find_head(model, size).exact
        self.tokens = any(self.taps[p].kind == "tokens" for p in self.default)

    @classmethod
    def of(cls, model: Any, size: tuple[int, int]) -> Layers:
        """The taps of a model at an input size; asks the kernel, which owns the model."""
        key = f"{model.sha256} {size}"
        with cls._lock:
            if key not in cls._all:
                cls._all[key] = get_kernel().run(lambda progress: cls(model, size)).result(120)  # noqa: ARG005
            return cls._all[key]


class ActivationsSession(Session):
    """One visitor of the activation explorer.

    Attributes
    ----------
    layers : Layers
        What may be tapped.
    book : Codebook or None
        The clusters of the data set that the visitor chose.
    """

    kind = "activations"

    def __init__(self, model: Any, samples: xr.Dataset) -> None:
        method = get("nave")
        model = get_kernel().register(model)
        if not samples.sizes["sample"]:
            raise XaiViewsError("there is no sample to look at; give at least one image.")
        first = images(samples, [0])
        model.check(first)
        self.size = tuple(first.shape[1:3])
        self.layers = Layers.of(model, self.size)
        if not self.layers.default:
            raise XaiViewsError(
                f"model {model.name!r} has no spatial activations to cluster; choose a CNN or a ViT."
            )
        classes = tuple(model.classes)
        population = once(samples, (self.kind, classes), lambda: SampleSet(samples, classes))
        super().__init__(model, population, method)
        self.book: Any = None

    def ask(self, state: Any, **changes: Any) -> Any:
        """What the state asks of one image; ``changes`` are parameters of the method ``nave``."""
        taps = tuple(p for p in state.taps if p in self.layers.taps) or self.layers.default
        own = state.preset == "own" and len(state.weights) == len(taps) and any(state.weights)
        mode = state.mode if state.mode != "codebook" or self.book is not None else "nested"
        fields = {
            "taps": taps,
            "weights": tuple(float(w) for w in state.weights) if own else _preset(state.preset),
            "grid": state.grid,
            "interp": state.interp,
            "k": state.k,
            "mode": mode,
            "assigner": state.assigner,
            "seed": state.seed,
            "soft": state.soft,
            "temperature": state.temperature,
            "targets": (state.target,),
            "codebook": self.book if mode == "codebook" else None,
            "ablated": sorted(state.ablated),
            **changes,
        }
        if fields["ablated"]:
            fields |= {"keep": state.keep, "where": state.where, "fill": state.fill}
        return self.method.ask(**fields)

    def other(self, model: Any) -> Session:
        """The same samples asked of another model; images are fitted to what it takes."""
        return Fitted(model, self)


class Fitted(Session):
    """The samples and uploads of another session, fitted to another model."""

    kind = "compared"

    def __init__(self, model: Any, origin: ActivationsSession) -> None:
        super().__init__(model, origin.population, origin.method)
        self.origin = origin
        self.uploads = origin.uploads  # the same list: what is uploaded later counts too
        size = self.model.size or origin.size
        self.size = tuple(size)
        self.layers = Layers.of(self.model, self.size)

    def image(self, i: int) -> Any:
        """Image of sample ``i`` as this model takes it."""
        return fit(_uint8(self.origin.image(i)), self.model.size, self.model.channels)

    def digest(self, i: int) -> str:
        """Content key of the fitted image."""
        from xai_views.samples import digest

        return digest(self.image(i))


def _uint8(image: Any) -> Any:
    from xai_views.views.wire import as_uint8

    return as_uint8(image)


def _preset(name: str) -> str:
    return name if name != "own" else "authors"
