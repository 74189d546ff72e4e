"""What the method ``sic`` observes of one sample, and which vectors it pulls back for that."""

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

#: Keys of the supports that a map belongs to, sorted. A key may occur twice: two supports with equal vectors.
Group = tuple[str, ...]
#: A group, and the smoothing and percentile of its colour rendering.
Rendered = tuple[Group, int, float]


@dataclass(eq=False)
class SICObservation:
    """What the network said about one sample.

    Attributes
    ----------
    z : ndarray
        ``[p]`` evidence vector.
    logit : ndarray
        ``[classes]``: the network's own answer, with its own supports.
    maps : dict
        ``[H, W]`` contribution map to the score of a group of supports, by their sorted keys.
    basis : ndarray or None
        ``[K, H, W]`` maps of the active latent dimensions.
    renderings : dict
        ``[H, W, 4]`` uint8, by the sorted keys of the class' supports, smoothing and percentile.
    own_maps : dict
        ``[H, W]`` own contribution map of supports that the checkpoint holds none of, by training position.
    """

    z: np.ndarray
    logit: np.ndarray
    maps: dict[Group, np.ndarray] = field(default_factory=dict)
    basis: np.ndarray | None = None
    renderings: dict[Rendered, np.ndarray] = field(default_factory=dict)
    own_maps: dict[int, np.ndarray] = field(default_factory=dict)

    @property
    def nbytes(self) -> int:
        """Bytes held, for the kernel's cache."""
        held = [self.z, *self.maps.values(), *self.renderings.values(), *self.own_maps.values()]
        return sum(a.nbytes for a in held) + (0 if self.basis is None else self.basis.nbytes) + 512

    @property
    def active(self) -> np.ndarray:
        """Latent dimensions that are not zero; the others carry nothing."""
        return np.flatnonzero(self.z > 0)

    def has(self, group: Group) -> bool:
        """Whether the map of a group is known, or the maps that it is the sum of."""
        return (
            self.basis is not None
            or group in self.maps
            or (len(group) > 1 and all((k,) in self.maps for k in group))
        )

    def map(self, group: Group, vector: np.ndarray) -> np.ndarray:
        """The map of a group whose pull-back vector is ``vector [p]``; from what is known, see :meth:`has`."""
        if group in self.maps:
            return self.maps[group]
        if self.basis is not None:
            return np.tensordot(vector[self.active].astype(self.basis.dtype), self.basis, 1)
        return np.sum([self.maps[k,] for k in group], 0)

    def lacking(self, supports: Supports) -> list[int]:
        """Training positions of the supports whose own map is neither in the checkpoint nor here."""
        return [p for p in supports.index[supports.missing].tolist() if p not in self.own_maps]

    def with_own_maps(self, supports: Supports, known: Mapping[int, np.ndarray]) -> Self:
        """The same with the own maps that ``supports`` lack; ``self`` stays as it was."""
        lacking = self.lacking(supports)
        return replace(self, own_maps=self.own_maps | {p: known[p] for p in lacking}) if lacking else self


@dataclass(frozen=True)
class Reading:
    """An ask of one sample, spelled out.

    Attributes
    ----------
    supports : Supports
        The set that was asked for.
    targets : list of int
        The asked classes, the predicted one by its number.
    logit : ndarray
        ``[classes]``: the network's own, unless the supports are others.
    pull : ndarray
        ``[S, p]``: the score of support s is ``pull[s] . z``.
    """

    supports: Supports
    targets: list[int]
    logit: np.ndarray
    pull: np.ndarray

    @classmethod
    def of(cls, model: Any, observation: SICObservation, ask: Ask) -> Self:
        """Read an ask.

        Raises
        ------
        MethodError
            When it names a class that the model does not have, or none.
        """
        supports, z = support_set(model, ask), observation.z
        own = supports == model.supports
        logit = observation.logit if own else logits(model, supports, z[None])[0]
        wrong = [c for c in ask.targets if c != PREDICTED and not 0 <= c < len(logit)]
        if wrong or not ask.targets:
            what = f"class {wrong[0]} was" if wrong else "no class was"
            raise MethodError(
                f"{what} asked for and {model.name!r} has the classes 0 to {len(logit) - 1}; ask for those."
            )
        top = int(logit.argmax())
        targets = [top if c == PREDICTED else c for c in ask.targets]
        return cls(supports, targets, logit, evidence.pull_vectors(z[None], supports.vectors)[0])

    def group(self, rows: Iterable[int]) -> Group:
        """The sorted keys of the supports in ``rows``: what their common map is stored under."""
        return tuple(sorted(self.supports.keys[r] for r in rows))

    def vector(self, rows: Any) -> np.ndarray:
        """``[p]``: the pull-back vector of the supports in ``rows`` together."""
        return self.pull[rows].sum(0)

    def wanted(self, matches: bool) -> dict[Group, np.ndarray]:
        """Pull-back vector of each group whose map is wanted: single supports, or those of a class together."""
        rows = [self.supports.of_class(c) for c in self.targets]
        groups = [[r] for own in rows for r in own] if matches else [own for own in rows if len(own)]
        return {self.group(g): self.vector(g) for g in groups}

    def rendered(self, ask: Ask) -> dict[Rendered, np.ndarray]:
        """Pull-back vector of each colour rendering that is wanted."""
        if not ask.rendering:
            return {}
        rows = [self.supports.of_class(c) for c in self.targets]
        return {(self.group(own), ask.smoothing, ask.percentile): self.vector(own) for own in rows}


def logits(model: Any, supports: Supports, z: np.ndarray) -> np.ndarray:
    """Logits ``[N, classes]`` of evidence vectors ``z [N, p]`` with any supports; products of matrices only."""
    m = model.module
    score = evidence.scores(z, supports.vectors.astype(z.dtype))
    return evidence.logits(score, supports.label, m.classes, m.temperature, m.bias)


@dataclass
class Plan:
    """The vectors to pull back for one sample, and where the results go."""

    old: SICObservation
    ask: Ask
    basis: bool
    keys: list[Group]
    vectors: list[np.ndarray]
    rendered: dict[int, Rendered] = field(default_factory=dict)
    pictures: dict[Rendered, np.ndarray] = field(default_factory=dict)

    @classmethod
    def of(cls, model: Any, old: SICObservation, ask: Ask) -> Self:
        """Plan what ``ask`` lacks beside what is known."""
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
        """Whether nothing is lacking: no pass is needed."""
        return not (self.basis or self.vectors)

    def render(self, rendered: Rendered, vector: np.ndarray) -> None:
        """Plan a colour rendering, with the pass of the map of the same group where there is one."""
        if rendered[0] in self.keys:
            self.rendered[self.keys.index(rendered[0])] = rendered
        else:
            self.rendered[len(self.vectors)] = rendered
            self.vectors.append(vector)

    def observation(self, maps: list[np.ndarray], shape: tuple[int, int]) -> SICObservation:
        """What is now known of the sample; the old observation stays as it was."""
        o, basis = self.old, self.old.basis
        if self.basis:
            n = len(o.active)
            basis = np.stack(maps[:n]) if n else np.zeros((0, *shape), o.z.dtype)
        new = dict(zip(self.keys, maps, strict=False))
        return replace(o, maps=o.maps | new, basis=basis, renderings=o.renderings | self.pictures)
