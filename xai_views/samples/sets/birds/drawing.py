"""Generator of two-dimensional birds: the part of every pixel is known, and any part can be left out.

The scene is data, and :func:`render` is a pure function of it, so an image without a tail is equal in
all other pixels. Modelled after FunnyBirds (Hesse, Schaub-Meyer, Roth, ICCV 2023), drawn with polygons.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from functools import cache
from math import cos, pi, sin
from typing import Any

import numpy as np
import xarray as xr
from PIL import Image, ImageDraw

from xai_views.errors import SamplesError
from xai_views.samples.sets.birds.shapes import (
    BACKGROUND,
    BODY_SHAPES,
    OBJECT_COLOURS,
    VARIANTS,
    box,
    ellipse,
    shapes,
)

PARTS = ("beak", "eye", "foot", "tail", "wing")
#: Names by id in the index map; 100 + i is background object i.
PART_NAMES = ("nothing", "body", *PARTS)
OBJECT_ID = 100
OBJECT_KINDS = ("rectangle", "triangle", "circle", "ellipse", "octagon")
N_CLASSES = 50
SUPERSAMPLE = 4
#: Number of birds and seed of the catalogue's sets.
SETS = {"train": (5000, 1), "test": (200, 2)}


@cache
def classes(n: int = N_CLASSES, seed: int = 0) -> tuple[dict[str, str], ...]:
    """Draw ``n`` distinct classes, each with one variant per part; deterministic for a seed.

    Raises
    ------
    SamplesError
        When fewer different birds are possible.
    """
    rng = np.random.default_rng(seed)
    limit = int(np.prod([len(v) for v in VARIANTS.values()]))
    if not 1 <= n <= limit:
        raise SamplesError(f"{n} bird classes are not possible; give a number between 1 and {limit}.")
    found: dict[tuple[str, ...], None] = {}
    while len(found) < n:
        found.setdefault(tuple(str(rng.choice(VARIANTS[p])) for p in PARTS))
    return tuple(dict(zip(PARTS, key, strict=True)) for key in found)


def class_names(n: int = N_CLASSES) -> list[str]:
    """Return the short names "bird 00" ... of the classes."""
    return [f"bird {i:02d}" for i in range(n)]


@dataclass(frozen=True)
class BackgroundObject:
    """One background object; lengths in image widths, rotation in radians; ``front`` draws it over the bird."""

    kind: str
    colour: str
    x: float
    y: float
    half_width: float
    half_height: float
    rotation: float
    front: bool = False


@dataclass(frozen=True)
class Scene:
    """All data of an image.

    Attributes
    ----------
    label : int
        Class index.
    variants : dict
        Variant of every part.
    mirror : bool
        Whether the bird faces left.
    rotation, scale, shift_x, shift_y : float
        Pose: radians, factor, image widths.
    brightness : float
        Factor on the bird's colours.
    objects : tuple of BackgroundObject
        Background, drawn in this order.
    """

    label: int
    variants: dict[str, str]
    mirror: bool
    rotation: float
    scale: float
    shift_x: float
    shift_y: float
    brightness: float
    objects: tuple[BackgroundObject, ...] = ()

    def to_json(self) -> str:
        """Return the scene as JSON text."""
        return json.dumps(asdict(self))

    @staticmethod
    def from_json(text: str) -> Scene:
        """Read a scene from the output of :meth:`to_json`.

        Raises
        ------
        SamplesError
            When the text is not the JSON of a scene.
        """
        try:
            fields = json.loads(text)
            fields["objects"] = tuple(BackgroundObject(**o) for o in fields["objects"])
            return Scene(**fields)
        except (ValueError, TypeError, KeyError):
            raise SamplesError(
                "the text is not the JSON of a bird scene; write it with Scene.to_json."
            ) from None


def scene(
    seed: int, index: int, label: int | None = None, n_classes: int = N_CLASSES, occlude: bool = False
) -> Scene:
    """Draw the scene of sample ``index``.

    Pose and background depend on ``(seed, index)`` alone, so any bird can be drawn without the others.

    Parameters
    ----------
    seed, index : int
        Seed of the set and index of the sample.
    label : int, optional
        Class; ``index % n_classes`` by default, so that sets are balanced.
    n_classes : int
        Number of classes.
    occlude : bool
        Place some background objects in front of the bird.

    Returns
    -------
    Scene
        Input of :func:`render`.

    Raises
    ------
    SamplesError
        For a class that does not exist, or a negative seed or index.
    """
    label = index % n_classes if label is None else label
    if min(seed, index) < 0 or not 0 <= label < n_classes:
        raise SamplesError(
            f"bird {index} of seed {seed} with class {label} does not exist; use a seed and index from 0 "
            f"and a class below {n_classes}."
        )
    rng = np.random.default_rng([seed, index])
    u = rng.uniform
    # The order of these draws must not change: another order would give other birds than the shipped ones.
    pose: dict[str, Any] = {
        "mirror": bool(rng.random() < 0.5),
        "rotation": float(np.radians(u(-20, 20))),
        "scale": float(0.92 * u(0.85, 1.1)),
        "shift_x": float(u(-0.05, 0.05)),
        "shift_y": float(u(-0.05, 0.05)),
        "brightness": float(u(0.85, 1.1)),
    }
    objects = tuple(
        BackgroundObject(
            str(rng.choice(OBJECT_KINDS)),
            str(rng.choice(tuple(OBJECT_COLOURS))),
            float(u(-0.5, 0.5)),
            float(u(-0.5, 0.5)),
            float(u(0.04, 0.14)),
            float(u(0.04, 0.14)),
            float(u(0, 2 * pi)),
            bool(occlude and rng.random() < 0.25),
        )
        for _ in range(rng.integers(0, 13))
    )
    return Scene(int(label), classes(n_classes)[label], **pose, objects=objects)


def _object_polygon(o: BackgroundObject) -> np.ndarray:
    w, h = o.half_width, o.half_height
    points = {
        "rectangle": lambda: box(-w, -h, w, h),
        "triangle": lambda: ((-w, -h), (w, -h), (0, h)),
        "circle": lambda: ellipse(0, 0, w, w),
        "ellipse": lambda: ellipse(0, 0, w, h),
        "octagon": lambda: ellipse(0, 0, w, w, pi / 8, n=8),
    }[o.kind]()
    c, s = cos(o.rotation), sin(o.rotation)
    return np.asarray(points) @ np.array([[c, s], [-s, c]]) + (o.x, o.y)


class _Painter:
    """Draws polygons on the picture and on the map of ids, at four times the size."""

    def __init__(self, size: int) -> None:
        self.width = size * SUPERSAMPLE
        self.picture = Image.new("RGB", (self.width, self.width), BACKGROUND)
        self.ids = Image.new("L", (self.width, self.width), 0)
        self._draw, self._draw_ids = ImageDraw.Draw(self.picture), ImageDraw.Draw(self.ids)

    def polygon(self, points: np.ndarray, colour: tuple, index: int) -> None:
        pixels = np.stack([points[:, 0] + 0.5, 0.5 - points[:, 1]], 1) * self.width
        flat = pixels.ravel().tolist()
        self._draw.polygon(flat, fill=colour, outline=(0, 0, 0))
        # Twice, because Pillow omits an outline of the same colour as the filling, and the picture has one.
        self._draw_ids.polygon(flat, fill=index)
        self._draw_ids.polygon(flat, outline=index)

    def result(self) -> tuple[np.ndarray, np.ndarray]:
        half = SUPERSAMPLE // 2
        image = np.asarray(self.picture.reduce(SUPERSAMPLE))
        return image, np.asarray(self.ids)[half::SUPERSAMPLE, half::SUPERSAMPLE].astype(np.int16)


def _pose(s: Scene) -> tuple[np.ndarray, np.ndarray]:
    c, n = cos(s.rotation), sin(s.rotation)
    matrix = s.scale * np.array([[c, n], [-n, c]])
    if s.mirror:
        matrix = np.diag([-1.0, 1.0]) @ matrix
    return matrix, np.array([s.shift_x, s.shift_y])


def render(
    s: Scene,
    keep: Iterable[str] | None = None,
    remove_background: Iterable[int] | bool | None = None,
    size: int = 64,
) -> tuple[np.ndarray, np.ndarray]:
    """Draw a scene, or the same scene with parts or background objects left out.

    Parameters
    ----------
    s : Scene
        Scene to draw.
    keep : iterable of str, optional
        Parts to draw (of ``PARTS``); all by default. Body and head are always drawn.
    remove_background : iterable of int or True, optional
        Background objects to leave out, by index in ``s.objects``; True for all.
    size : int
        Width and height in pixels.

    Returns
    -------
    image : ndarray
        ``[size, size, 3]`` uint8, averaged over 4x4 samples.
    index_map : ndarray
        ``[size, size]`` int16: position in ``PART_NAMES`` or ``100 + i``, of each pixel's centre sample.

    Raises
    ------
    SamplesError
        For an unknown part or background object.
    """
    kept = _known(PARTS if keep is None else keep)
    n = len(s.objects)
    gone = set(range(n)) if remove_background is True else set(remove_background or ())
    if not gone <= set(range(n)):
        raise SamplesError(
            f"background objects {sorted(gone)} cannot be removed from a scene with {n}; give indices from 0."
        )
    painter = _Painter(size)
    matrix, shift = _pose(s)

    def objects(front: bool) -> None:
        for i, o in enumerate(s.objects):
            if o.front == front and i not in gone:
                painter.polygon(_object_polygon(o), OBJECT_COLOURS[o.colour], OBJECT_ID + i)

    def draw(polygons: tuple, index: int) -> None:
        for points, colour in polygons:
            lit = tuple(min(255, round(v * s.brightness)) for v in colour)
            painter.polygon(np.asarray(points) @ matrix + shift, lit, index)

    objects(front=False)
    for part in ("tail", "foot", "body", "wing", "beak", "eye"):
        if part == "body":
            draw(BODY_SHAPES, 1)
        elif part in kept:
            draw(shapes(part, s.variants[part]), PART_NAMES.index(part))
    objects(front=True)
    return painter.result()


def _known(keep: Iterable[str]) -> frozenset[str]:
    kept = frozenset((keep,) if isinstance(keep, str) else keep)
    if kept - set(PARTS):
        raise SamplesError(
            f"bird part {min(kept - set(PARTS), key=str)!r} is not known; the parts are {', '.join(PARTS)}."
        )
    return kept


def compatible(keep: Iterable[str], label: int, n_classes: int = N_CLASSES) -> np.ndarray:
    """Return the classes that a bird with only these parts may belong to (as in the training of FunnyBirds).

    Parameters
    ----------
    keep : iterable of str
        Remaining parts.
    label : int
        Class of the bird.
    n_classes : int
        Number of classes.

    Returns
    -------
    ndarray
        ``[n_classes]`` float32: 1 for every class that agrees with ``label`` in all parts of ``keep``.

    Raises
    ------
    SamplesError
        For an unknown part or class.
    """
    if not 0 <= label < n_classes:
        raise SamplesError(f"there is no bird class {label}; give one below {n_classes}, counted from 0.")
    return np.array(_compatible(_known(keep), int(label), n_classes), np.float32)


@cache
def _compatible(keep: frozenset[str], label: int, n_classes: int) -> tuple[bool, ...]:
    wanted = classes(n_classes)[label]
    return tuple(all(c[p] == wanted[p] for p in keep) for c in classes(n_classes))


def training_arrays(
    n: int, seed: int, parts_dropped: float = 0.5, n_classes: int = N_CLASSES, size: int = 64
) -> tuple[np.ndarray, np.ndarray]:
    """Draw training birds of which some lack parts, so that a removed part is in distribution for the network.

    Parameters
    ----------
    n, seed : int
        Number of birds and seed; classes take turns.
    parts_dropped : float
        Share of birds that lack a random, non-empty set of parts.
    n_classes, size : int
        Number of classes; width and height in pixels.

    Returns
    -------
    images : ndarray
        ``[n, size, size, 3]`` uint8.
    targets : ndarray
        ``[n, n_classes]`` float32: 1 for every class compatible with the remaining parts.
    """
    images = np.empty((n, size, size, 3), np.uint8)
    targets = np.empty((n, n_classes), np.float32)
    for i in range(n):
        s = scene(seed, i, n_classes=n_classes)
        rng = np.random.default_rng([seed, i, 1])
        keep = tuple(PARTS)
        if rng.random() < parts_dropped:
            drop = rng.permutation(len(PARTS))[: rng.integers(1, len(PARTS) + 1)]
            keep = tuple(p for j, p in enumerate(PARTS) if j not in drop)
        images[i] = render(s, keep, size=size)[0]
        targets[i] = compatible(keep, s.label, n_classes)
    return images, targets


def scene_of(ds: xr.Dataset, i: int) -> Scene:
    """Return the scene of sample ``i`` of ``birds/train`` or ``birds/test``.

    Parameters
    ----------
    ds : xarray.Dataset
        One of the two, or a selection of it.
    i : int
        Position in ``ds``.

    Raises
    ------
    SamplesError
        When the sample is not a bird of the catalogue.
    """
    name = str(ds["name"].values[i])
    family, split, number = (*name.split("-"), "", "", "")[:3]
    if family != "bird" or split not in SETS or not number.isdigit():
        raise SamplesError(
            f"sample {name!r} is not a bird of the catalogue; open 'birds/train' or 'birds/test'."
        )
    return scene(SETS[split][1], int(number))
