"""What the method ``sic`` is asked, what it observes, and which vectors it pulls back for that."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from xai_views.contract.method import Ask
from xai_views.models.supports import Supports

#: Stands for "the class with the largest logit" in an ask.
PREDICTED = -1

#: Keys of the supports that a map belongs to, sorted. A key may occur twice: two supports with equal vectors.
Group = tuple[str, ...]


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
        Whether the colour rendering of each asked class is wanted.
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
        ``[H, W]`` contribution map to the score of a group of supports, by their sorted keys.
    basis : ndarray or None
        ``[K, H, W]`` maps of the active latent dimensions.
    renderings : dict
        ``[H, W, 4]`` uint8, by the sorted keys of the class' supports.
    """

    z: np.ndarray
    logit: np.ndarray
    maps: dict[Group, np.ndarray] = field(default_factory=dict)
    basis: np.ndarray | None = None
    renderings: dict[Group, np.ndarray] = field(default_factory=dict)

    @property
    def nbytes(self) -> int:
        """Bytes held, for the kernel's cache."""
        held = [self.z, *self.maps.values(), *self.renderings.values()]
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


def group_of(supports: Supports, rows: Sequence[int]) -> Group:
    """Return the sorted keys of the supports in ``rows``: what their common map is stored under."""
    return tuple(sorted(supports.keys[r] for r in rows))


@dataclass
class Plan:
    """The vectors to pull back for one image, and where the results go."""

    old: SICObservation
    basis: bool
    keys: list[Group]
    vectors: list[np.ndarray] = field(default_factory=list)
    rendered: dict[int, Group] = field(default_factory=dict)
    pictures: dict[Group, np.ndarray] = field(default_factory=dict)

    def observation(self, maps: list[np.ndarray], shape: tuple[int, int]) -> SICObservation:
        """What is now known of the image; the old observation stays as it was."""
        o = self.old
        basis = o.basis
        if self.basis:
            n = len(o.active)
            basis = np.stack(maps[:n]) if n else np.zeros((0, *shape), o.z.dtype)
        new = dict(zip(self.keys, maps, strict=False))
        return SICObservation(o.z, o.logit, o.maps | new, basis, o.renderings | self.pictures)
