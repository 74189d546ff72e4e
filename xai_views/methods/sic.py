"""Method ``sic``: the evidence of support samples, and the pixels that carry it.

Source: Wolf et al., SIC (ICCV 2025), with B-cos contribution maps (Boehle et al., 2024). A logit is a bias plus the
evidence of its class' supports; the evidence of a support is the sum of a map over the test image's pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, ClassVar

import numpy as np
import param
import xarray as xr

from ..models import evidence
from ..models.supports import Supports
from .base import Ask, Method

#: Stands for "the class with the largest logit" in an ask.
PREDICTED = -1


@dataclass(frozen=True)
class SICAsk(Ask):
    """What is wanted of one image.

    Attributes
    ----------
    classes : tuple of int
        Classes to map; ``PREDICTED`` stands for the one with the largest logit.
    supports : Supports or None
        An edited support set; None = the model's own.
    matches : bool
        Whether each support of the asked classes gets its own map.
    rendering : bool
        Whether the colour rendering of the first class is wanted.
    everything : bool
        Observe the latent basis, so that every other class and support costs no further pass.
    """

    classes: tuple[int, ...] = (PREDICTED,)
    supports: Supports | None = None
    matches: bool = True
    rendering: bool = False
    everything: bool = False


@dataclass(eq=False)
class SICObservation:
    """What the network said about one image.

    Attributes
    ----------
    z : ndarray
        ``[p]`` evidence vector.
    logit : ndarray
        ``[classes]``: the network's own answer, with its own supports.
    maps : dict
        ``[H, W]`` contribution map to the score of a set of supports, by the set of their keys.
    basis : ndarray or None
        ``[K, H, W]`` maps of the active latent dimensions.
    renderings : dict
        ``[H, W, 4]`` uint8, by the set of the supports' keys.
    """

    z: np.ndarray
    logit: np.ndarray
    maps: dict[frozenset, np.ndarray] = field(default_factory=dict)
    basis: np.ndarray | None = None
    renderings: dict[frozenset, np.ndarray] = field(default_factory=dict)

    @property
    def nbytes(self) -> int:
        """Bytes held, for the kernel's cache."""
        held = [self.z, *self.maps.values(), *self.renderings.values()]
        return sum(a.nbytes for a in held) + (0 if self.basis is None else self.basis.nbytes) + 512

    @property
    def active(self) -> np.ndarray:
        """Latent dimensions that are not zero; the others carry nothing."""
        return np.flatnonzero(self.z > 0)


class SICMethod(Method):
    """Support samples, their evidence, and contribution maps."""

    key: ClassVar[str] = "sic"
    title: ClassVar[str] = "Support samples and evidence"
    cost: ClassVar[str] = "1 forward pass and 1 backward pass per support of an asked class; all other classes by products"

    smoothing = param.Integer(9, bounds=(0, 63), doc="Averaging window of the colour rendering's opacity, in pixels.")
    percentile = param.Number(99.9, bounds=(50, 100), doc="Percentile of opacity that is drawn opaque.")

    def fits(self, model: Any) -> str:
        """"" for a SIC network with supports, else the reason."""
        from ..models.sic import SIC

        if not isinstance(model.module, SIC):
            return (f"method 'sic' needs a SIC network and {model.name!r} is a {type(model.module).__name__}; train one with "
                    "xai-views train sic.")
        if model.supports is None or not len(model.supports):
            return f"model {model.name!r} has no support samples; select them with xai_views.training.finish.attach_supports."
        return ""

    def default_ask(self) -> SICAsk:
        """The predicted class with the maps of its supports."""
        return SICAsk()

    # -- what is needed -----------------------------------------------------------------------------------------

    def _targets(self, model: Any, z: np.ndarray, ask: SICAsk) -> tuple[Supports, list[int]]:
        supports = model.supports if ask.supports is None else ask.supports
        if PREDICTED not in ask.classes:
            return supports, list(ask.classes)
        top = int(self._logit(model, z[None], supports)[0].argmax())
        return supports, [top if c == PREDICTED else c for c in ask.classes]

    def _wanted(self, model: Any, z: np.ndarray, ask: SICAsk) -> dict[frozenset, np.ndarray]:
        """Sets of supports whose maps are wanted, each with its pull-back vector ``[p]``."""
        supports, classes = self._targets(model, z, ask)
        vectors = evidence.pull_vectors(z[None], supports.vectors)[0]
        wanted = {}
        for c in classes:
            rows = supports.of_class(c)
            groups = [[r] for r in rows] if ask.matches else ([rows] if len(rows) else [])
            wanted |= {frozenset(supports.keys[r] for r in g): vectors[g].sum(0) for g in groups}
        return wanted

    def _rendered(self, model: Any, z: np.ndarray, ask: SICAsk) -> frozenset:
        supports, classes = self._targets(model, z, ask)
        return frozenset(supports.keys[r] for r in supports.of_class(classes[0]))

    def covers(self, model: Any, observation: SICObservation, ask: SICAsk) -> bool:
        """Whether every wanted map can be had without another pass."""
        if ask.rendering and self._rendered(model, observation.z, ask) not in observation.renderings:
            return False
        if observation.basis is not None:
            return True
        return not ask.everything and self._wanted(model, observation.z, ask).keys() <= observation.maps.keys()

    # -- the network --------------------------------------------------------------------------------------------

    def observe(self, model: Any, images: np.ndarray, asks: Sequence[SICAsk], known: Sequence[SICObservation | None]
                ) -> list[SICObservation]:
        """One forward pass; one backward pass per wanted map, or per active latent dimension when those are fewer."""
        import torch

        from ..models.bcos import add_inverse
        from .contribution import colour_rendering, contribution, pull_back

        x = add_inverse(model.tensor(images))
        plans: list[_Plan] = []

        def vectors(z: torch.Tensor) -> torch.Tensor:
            logit = model.module.logits(model.module.scores(z)).cpu().numpy()
            for i, (ask, old) in enumerate(zip(asks, known, strict=True)):
                plans.append(self._plan(model, old or SICObservation(z[i].cpu().numpy(), logit[i]), ask))
            longest = max(len(p.vectors) for p in plans)
            padded = np.zeros((len(plans), longest, z.shape[1]), np.float64)
            for out, p in zip(padded, plans, strict=True):
                out[: len(p.vectors)] = p.vectors
            return torch.from_numpy(padded).to(z)

        def keep(t: int, weights: torch.Tensor) -> np.ndarray:
            for i, p in enumerate(plans):
                if t == p.rendered:
                    rgba = colour_rendering(x[i], weights[i], self.smoothing, self.percentile)
                    p.rgba = (rgba * 255).round().to(torch.uint8).cpu().numpy()
            return contribution(weights, x).cpu().numpy()

        _, maps = pull_back(model.module, model.module.latent, x, vectors, keep)
        return [p.observation([m[i] for m in maps]) for i, p in enumerate(plans)]

    def _plan(self, model: Any, old: SICObservation, ask: SICAsk) -> _Plan:
        """Which vectors to pull back for one image, given what is known of it."""
        wanted = {k: v for k, v in self._wanted(model, old.z, ask).items() if k not in old.maps}
        active = old.active
        basis = old.basis is None and (ask.everything or len(wanted) > len(active))
        if old.basis is not None:
            wanted = {}
        rows = list(np.eye(len(old.z))[active]) if basis else list(wanted.values())
        plan = _Plan(old, basis, [] if basis else list(wanted), rows)
        if ask.rendering and (key := self._rendered(model, old.z, ask)) not in old.renderings:
            supports, classes = self._targets(model, old.z, ask)
            pull = evidence.pull_vectors(old.z[None], supports.vectors)[0]
            plan.rendered, plan.rendered_key = len(rows), key
            rows.append(pull[supports.of_class(classes[0])].sum(0))
        return plan

    # -- the explanation ----------------------------------------------------------------------------------------

    def _logit(self, model: Any, z: np.ndarray, supports: Supports) -> np.ndarray:
        m = model.module
        score = evidence.scores(z, supports.vectors.astype(z.dtype))
        return evidence.logits(score, supports.label, m.classes, m.temperature, m.bias)

    def _map(self, observation: SICObservation, keys: frozenset, vector: np.ndarray) -> np.ndarray:
        if keys in observation.maps:
            return observation.maps[keys]
        if observation.basis is not None:
            return np.tensordot(vector[observation.active].astype(observation.basis.dtype), observation.basis, 1)
        singles = [observation.maps[frozenset([k])] for k in keys]
        return np.sum(singles, 0)

    def interpret(self, model: Any, observation: SICObservation, ask: SICAsk) -> xr.Dataset:
        """Evidence, logits and maps of one image from what was observed; products and sums only."""
        z = observation.z
        supports, classes = self._targets(model, z, ask)
        score = evidence.scores(z[None], supports.vectors.astype(z.dtype))[0]
        own = supports == model.supports
        logit = observation.logit if own else self._logit(model, z[None], supports)[0]
        pull = evidence.pull_vectors(z[None], supports.vectors)[0]
        t = z.dtype.type(model.module.temperature)
        shape = supports.self_contribution.shape[1:]

        def class_map(c: int) -> np.ndarray:
            rows = supports.of_class(c)
            keys = frozenset(supports.keys[r] for r in rows)
            return self._map(observation, keys, pull[rows].sum(0)) / t if len(rows) else np.zeros(shape, z.dtype)

        contribution = np.stack([class_map(c) for c in classes])
        bias = np.full(len(logit), model.module.bias, z.dtype)
        residual = logit[classes] - bias[classes] - contribution.sum((1, 2), dtype=np.float64).astype(z.dtype)
        norm, cosine = self._distance(model, z)
        ds = xr.Dataset(
            {
                "logit": (("sample", "class"), logit[None]),
                "probability": (("sample", "class"), evidence.probability(logit)[None]),
                "bias": ("class", bias),
                "evidence": (("sample", "support"), (score / t)[None]),
                "latent": (("sample", "dimension"), z[None]),
                "contribution": (("sample", "target", "y", "x"), contribution[None]),
                "residual": (("sample", "target"), residual[None]),
                "self_contribution": (("support", "y", "x"), np.nan_to_num(supports.self_contribution)),
                "norm": ("sample", [norm]),
                "best_cosine": ("sample", [cosine]),
            },
            coords={
                "class": np.asarray(model.classes, str), "support_class": ("support", supports.label),
                "support_sample": ("support", supports.index),
                "target_class": (("sample", "target"), np.asarray([classes])),
            },
        )
        if ask.matches:
            ds = ds.merge(self._matches(observation, supports, classes, pull, t))
        if ask.rendering:
            key = self._rendered(model, z, ask)
            ds["rendering"] = (("sample", "target", "y", "x", "rgba"), observation.renderings[key][None, None])
        return ds

    def _matches(self, observation: SICObservation, supports: Supports, classes: list[int], pull: np.ndarray, t: Any
                 ) -> xr.Dataset:
        """Maps and latent evidence of each support of the asked classes; -1 pads classes with fewer supports."""
        most = int(np.bincount(supports.label).max(initial=1)) if len(supports) else 1
        shape = supports.self_contribution.shape[1:]
        rows, maps, parts = [], [], []
        for c in classes:
            own = list(supports.of_class(c))
            for r in own + [-1] * (most - len(own)):
                rows.append(r)
                blank = r < 0
                maps.append(np.zeros(shape, observation.z.dtype) if blank
                            else self._map(observation, frozenset([supports.keys[r]]), pull[r]))
                parts.append(np.zeros_like(observation.z) if blank else (pull[r] * observation.z / t))
        return xr.Dataset(
            {"support_contribution": (("sample", "match", "y", "x"), np.stack(maps)[None].astype(observation.z.dtype)),
             "latent_evidence": (("sample", "match", "dimension"), np.stack(parts)[None].astype(observation.z.dtype))},
            coords={"match_support": (("sample", "match"), np.asarray([rows]))},
        )

    def _distance(self, model: Any, z: np.ndarray) -> tuple[float, float]:
        """Norm of z, and its largest cosine with a training image (1 for a training image itself)."""
        norm = float(np.linalg.norm(z))
        if model.latents is None:
            return norm, float(evidence.cosines(z[None], model.supports.vectors).max(initial=0))
        return norm, float(evidence.cosines(z[None], model.latents.z).max(initial=0))


@dataclass
class _Plan:
    """The vectors to pull back for one image, and where the results go."""

    old: SICObservation
    basis: bool
    keys: list[frozenset]
    vectors: list[np.ndarray]
    rendered: int = -1
    rendered_key: frozenset = frozenset()
    rgba: np.ndarray | None = None

    def observation(self, maps: list[np.ndarray]) -> SICObservation:
        """What is now known of the image; the old observation stays as it was."""
        o = self.old
        renderings = dict(o.renderings)
        if self.rgba is not None:
            renderings[self.rendered_key] = self.rgba
        basis = o.basis
        if self.basis:
            n = len(o.active)
            basis = np.stack(maps[:n]) if n else np.zeros((0, *self._shape(maps)), o.z.dtype)
        return SICObservation(o.z, o.logit, o.maps | dict(zip(self.keys, maps, strict=False)), basis, renderings)

    @staticmethod
    def _shape(maps: list[np.ndarray]) -> tuple[int, ...]:
        return maps[0].shape if maps else (0, 0)


def latent_vectors(model: Any, images: np.ndarray) -> np.ndarray:
    """Evidence vectors ``[N, p]`` of ``images [N, H, W, C]``: one forward pass, no graph."""
    import torch

    from ..models.bcos import add_inverse
    from . import passes

    with torch.no_grad():
        x = add_inverse(model.tensor(images))
        passes.count_forward(len(x))
        return model.module.latent(x).cpu().numpy()


def complete(model: Any, supports: Supports) -> Supports:
    """Compute the self-contribution maps that an edited support set lacks; needs the network."""
    from .contribution import self_contributions

    rows = supports.missing
    if not len(rows):
        return supports
    maps = supports.self_contribution.copy()
    maps[rows] = self_contributions(model.module, supports.image[rows])
    return replace(supports, self_contribution=maps)


def region_evidence(explanation: xr.Dataset, region: np.ndarray, temperature: float) -> xr.DataArray:
    """Evidence of each asked support that lies inside a region of the test image; exact.

    Parameters
    ----------
    explanation : Dataset
        With ``support_contribution``.
    region : ndarray
        ``[y, x]`` bool.
    temperature : float
        T of the network.

    Returns
    -------
    DataArray
        ``(sample, match)``: sum of the map inside the region, divided by T. Inside and outside add up to the evidence.
    """
    inside = explanation["support_contribution"].where(xr.DataArray(region, dims=("y", "x")), 0.0)
    return inside.sum(("y", "x")) / temperature


@lru_cache(maxsize=16)
def typical_of(model: Any) -> evidence.Typical | None:
    """How the training images of ``model`` look in latent space; None without cached vectors."""
    return None if model.latents is None else evidence.typical(model.latents.z)
