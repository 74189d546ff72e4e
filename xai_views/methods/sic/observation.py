"""Observations of the method ``sic``, and the plan of the vectors to pull back for them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np

from xai_views.contract.ask import Ask
from xai_views.contract.method import PREDICTED
from xai_views.errors import MethodError
from xai_views.methods.sic.support_sets import support_set
from xai_views.models import evidence
from xai_views.models.supports import Supports

#: Sorted keys of the supports that a map belongs to. A key may occur twice: two supports with equal vectors.
Group = tuple[str, ...]
#: A group, with the smoothing and percentile of its colour image.
Rendered = tuple[Group, int, float]


@dataclass(eq=False)
class SICObservation:
    """Outputs and contribution maps of the network for one sample.

    Attributes
    ----------
    z : ndarray
        ``[p]`` evidence vector.
    logit : ndarray
        ``[classes]``: the network's own logits, with its original supports.
    maps : dict
        ``[H, W]`` contribution map to the score of a group of supports, by their sorted keys.
    basis : ndarray or None
        ``[K, H, W]`` maps of the active latent dimensions.
    renderings : dict
        ``[H, W, 4]`` uint8, by the sorted keys of the class's supports, smoothing and percentile.
    own_maps : dict
        ``[H, W]`` own contribution maps of supports that are missing from the checkpoint, by training position.
    """

    z: np.ndarray
    logit: np.ndarray
    maps: dict[Group, np.ndarray] = field(default_factory=dict)
    basis: np.ndarray | None = None
    renderings: dict[Rendered, np.ndarray] = field(default_factory=dict)
    own_maps: dict[int, np.ndarray] = field(default_factory=dict)

    @property
    def nbytes(self) -> int:
        """Size in bytes, for the kernel's cache."""
        held = [self.z, *self.maps.values(), *self.renderings.values(), *self.own_maps.values()]
        return sum(a.nbytes for a in held) + (0 if self.basis is None else self.basis.nbytes) + 512

    @property
    def active(self) -> np.ndarray:
        """Latent dimensions that are above zero; the others contribute nothing."""
        return np.flatnonzero(self.z > 0)

    def has(self, group: Group) -> bool:
        """Return whether the map of a group is known or is a sum of known maps."""
        return (
            self.basis is not None
            or group in self.maps
            or (len(group) > 1 and all((k,) in self.maps for k in group))
        )

    def map(self, group: Group, vector: np.ndarray) -> np.ndarray:
        """Return the map of a group whose pull-back vector is ``vector [p]``, from known maps (see :meth:`has`)."""
        if group in self.maps:
            return self.maps[group]
        if self.basis is not None:
            return np.tensordot(vector[self.active].astype(self.basis.dtype), self.basis, 1)
        return np.sum([self.maps[k,] for k in group], 0)

    def lacking(self, supports: Supports) -> list[int]:
        """Training positions of supports whose own map is neither in the checkpoint nor in this observation."""
        return [p for p in supports.index[supports.missing].tolist() if p not in self.own_maps]

    def with_own_maps(self, supports: Supports, known: Mapping[int, np.ndarray]) -> Self:
        """Return a copy with the missing own maps of ``supports``; ``self`` does not change."""
        lacking = self.lacking(supports)
        return replace(self, own_maps=self.own_maps | {p: known[p] for p in lacking}) if lacking else self


@dataclass(frozen=True)
class Reading:
    """A request for one sample, resolved: supports, classes, logits and pull-back vectors.

    Attributes
    ----------
    supports : Supports
        The requested support set.
    targets : list of int
        Explained classes, with the predicted class as its index.
    logit : ndarray
        ``[classes]``: the network's own logits, or those of the requested supports when they differ.
    pull : ndarray
        ``[S, p]``: the score of support s is ``pull[s] . z``.
    """

    supports: Supports
    targets: list[int]
    logit: np.ndarray
    pull: np.ndarray

    @classmethod
    def of(cls, model: Any, observation: SICObservation, ask: Ask) -> Self:
        """Resolve a request.

        Raises
        ------
        MethodError
            When it names no class, or a class that the model does not have.
        """
        supports, z = support_set(model, ask), observation.z
        own = supports == model.supports
        logit = observation.logit if own else logits(model, supports, z[None])[0]
        wrong = [c for c in ask.targets if c != PREDICTED and not 0 <= c < len(logit)]
        if wrong or not ask.targets:
            what = f"class {wrong[0]} was" if wrong else "no class was"
            raise MethodError(
                f"{what} requested and {model.name!r} has the classes 0 to {len(logit) - 1}; choose one of those."
            )
        top = int(logit.argmax())
        targets = [top if c == PREDICTED else c for c in ask.targets]
        return cls(supports, targets, logit, evidence.pull_vectors(z[None], supports.vectors)[0])

    def group(self, rows: Iterable[int]) -> Group:
        """Return the sorted keys of the supports in ``rows``, under which their joint map is stored."""
        return tuple(sorted(self.supports.keys[r] for r in rows))

    def vector(self, rows: Any) -> np.ndarray:
        """Return the joint pull-back vector ``[p]`` of the supports in ``rows``."""
        return self.pull[rows].sum(0)

    def wanted(self, matches: bool) -> dict[Group, np.ndarray]:
        """Return the pull-back vector of each group whose map is requested: single supports, or all supports of a class."""
        rows = [self.supports.of_class(c) for c in self.targets]
        groups = [[r] for own in rows for r in own] if matches else [own for own in rows if len(own)]
        return {self.group(g): self.vector(g) for g in groups}

    def rendered(self, ask: Ask) -> dict[Rendered, np.ndarray]:
        """Return the pull-back vector of each requested colour image."""
        if not ask.rendering:
            return {}
        rows = [self.supports.of_class(c) for c in self.targets]
        return {(self.group(own), ask.smoothing, ask.percentile): self.vector(own) for own in rows}


def logits(model: Any, supports: Supports, z: np.ndarray) -> np.ndarray:
    """Compute logits ``[N, classes]`` of evidence vectors ``z [N, p]`` for any support set; matrix products only."""
    m = model.module
    score = evidence.scores(z, supports.vectors.astype(z.dtype))
    return evidence.logits(score, supports.label, m.classes, m.temperature, m.bias)


@dataclass
class Plan:
    """The vectors to pull back for one sample, and where the results are stored."""

    old: SICObservation
    ask: Ask
    basis: bool
    keys: list[Group]
    vectors: list[np.ndarray]
    rendered: dict[int, Rendered] = field(default_factory=dict)
    pictures: dict[Rendered, np.ndarray] = field(default_factory=dict)

    @classmethod
    def of(cls, model: Any, old: SICObservation, ask: Ask) -> Self:
        """Plan what is missing from the observation to answer ``ask``."""
        reading = Reading.of(model, old, ask)
        wanted = {g: v for g, v in reading.wanted(ask.matches).items() if not old.has(g)}
        active = old.active
        if old.basis is None and (ask.everything or len(wanted) > len(active)):
            plan = cls(old, ask, True, [], list(np.eye(len(old.z))[active]))
        else:
            plan = cls(old, ask, False, list(wanted), list(wanted.values()))
        for rendered, vector in reading.rendered(ask).items():
            if rendered not in old.renderings:
                plan.render(rendered, vector)
        return plan

    @property
    def empty(self) -> bool:
        """Whether nothing is missing, so that no pass is needed."""
        return not (self.basis or self.vectors)

    def render(self, rendered: Rendered, vector: np.ndarray) -> None:
        """Plan a colour image, sharing the pass of the map of the same group where there is one."""
        if rendered[0] in self.keys:
            self.rendered[self.keys.index(rendered[0])] = rendered
        else:
            self.rendered[len(self.vectors)] = rendered
            self.vectors.append(vector)

    def observation(self, maps: list[np.ndarray], shape: tuple[int, int]) -> SICObservation:
        """Return the extended observation; the old one does not change."""
        o, basis = self.old, self.old.basis
        if self.basis:
            n = len(o.active)
            basis = np.stack(maps[:n]) if n else np.zeros((0, *shape), o.z.dtype)
        new = dict(zip(self.keys, maps, strict=False))
        return replace(o, maps=o.maps | new, basis=basis, renderings=o.renderings | self.pictures)
