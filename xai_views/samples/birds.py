"""A generator of two-dimensional birds: every pixel's part is known, and any part can be left out.

The scene is data; :func:`render` is a pure function of it, so an image without a tail is the same image in every
other pixel. Modelled after FunnyBirds (Hesse, Schaub-Meyer, Roth, ICCV 2023), drawn with polygons.

Bird coordinates: origin at the body's centre, x towards the head, y up, unit = image width.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from functools import cache
from math import cos, pi, sin

import numpy as np
from PIL import Image, ImageDraw

from ..errors import SamplesError

PARTS = ("beak", "eye", "foot", "tail", "wing")
#: Names by id of the index map; 100 + i is background object i.
PART_NAMES = ("nothing", "body", *PARTS)
OBJECT_ID = 100
N_CLASSES = 50
SUPERSAMPLE = 4

BACKGROUND = (85, 85, 153)
BODY = (170, 170, 170)
COLOURS = {"red": (220, 0, 0), "green": (0, 170, 0), "blue": (0, 60, 255)}
OBJECT_COLOURS = {"red": (220, 0, 0), "green": (0, 170, 0), "blue": (0, 60, 255), "yellow": (255, 230, 0)}
YELLOW = (255, 230, 0)
FOOT_COLOUR = (230, 120, 0)
OBJECT_KINDS = ("rectangle", "triangle", "circle", "ellipse", "octagon")

TAILS = {
    "fan": ((-.24, .06), (-.46, .20), (-.50, .06), (-.46, -.08), (-.24, -.04)),
    "stick": ((-.24, .05), (-.52, .02), (-.52, -.04), (-.24, -.03)),
    "fork": ((-.24, .06), (-.50, .22), (-.36, .03), (-.50, -.14), (-.24, -.04)),
}
BEAKS = {
    "cone": ((.37, .26), (.37, .14), (.49, .20)),
    "needle": ((.37, .225), (.37, .175), (.62, .20)),
    "hook": ((.36, .27), (.46, .25), (.50, .10), (.43, .16), (.37, .15)),
    "duck": ((.37, .25), (.55, .24), (.55, .16), (.37, .15)),
}
POINTED_WING = ((.10, .08), (-.04, .13), (-.24, -.10), (-.02, -.06), (.08, -.02))
EYES = ("small", "large", "slit")
FEET = ("toes", "web", "claw", "block")
WINGS = ("round", "pointed")

VARIANTS: dict[str, tuple[str, ...]] = {
    "beak": tuple(BEAKS),
    "eye": EYES,
    "foot": FEET,
    "tail": tuple(f"{shape} {colour}" for shape in TAILS for colour in COLOURS),
    "wing": tuple(f"{shape} {colour}" for shape in WINGS for colour in COLOURS),
}


def _ellipse(x: float, y: float, rx: float, ry: float, tilt: float = 0.0, n: int = 36) -> tuple:
    c, s = cos(tilt), sin(tilt)
    points = ((rx * cos(t), ry * sin(t)) for t in (2 * pi * k / n for k in range(n)))
    return tuple((x + c * u - s * v, y + s * u + c * v) for u, v in points)


def _box(x0: float, y0: float, x1: float, y1: float) -> tuple:
    return ((x0, y0), (x1, y0), (x1, y1), (x0, y1))


@cache
def classes(n: int = N_CLASSES, seed: int = 0) -> tuple[dict[str, str], ...]:
    """Draw ``n`` distinct classes, each one variant per part; the same for the same seed."""
    rng = np.random.default_rng(seed)
    limit = int(np.prod([len(v) for v in VARIANTS.values()]))
    if not 1 <= n <= limit:
        raise SamplesError(f"{n} bird classes were asked for; there are between 1 and {limit}.")
    found: dict[tuple[str, ...], None] = {}
    while len(found) < n:
        found.setdefault(tuple(str(rng.choice(VARIANTS[p])) for p in PARTS))
    return tuple(dict(zip(PARTS, key, strict=True)) for key in found)


def class_names(n: int = N_CLASSES) -> list[str]:
    """Short names "bird 00" ... of the classes."""
    return [f"bird {i:02d}" for i in range(n)]


@dataclass(frozen=True)
class BackgroundObject:
    """One object; position, half sizes and rotation in image widths and radians; ``front`` draws it over the bird."""

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
    """Everything that decides an image.

    Attributes
    ----------
    label : int
        Class index.
    variants : dict
        Variant of every part.
    mirror : bool
        Whether the bird looks to the left.
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
        """The scene as JSON text."""
        return json.dumps(asdict(self))

    @staticmethod
    def from_json(text: str) -> Scene:
        """The scene that :meth:`to_json` wrote."""
        fields = json.loads(text)
        fields["objects"] = tuple(BackgroundObject(**o) for o in fields["objects"])
        return Scene(**fields)


def scene(seed: int, index: int, label: int | None = None, n_classes: int = N_CLASSES, occlude: bool = False) -> Scene:
    """Draw the scene of sample ``index``; it depends on ``(seed, index)`` alone, so any one can be drawn by itself.

    Parameters
    ----------
    seed, index : int
        Which sample of which set.
    label : int, optional
        Class; ``index % n_classes`` by default, so that sets are balanced.
    n_classes : int
        Number of classes.
    occlude : bool
        Let some background objects stand in front of the bird.
    """
    rng = np.random.default_rng([seed, index])
    label = index % n_classes if label is None else label
    u = rng.uniform
    pose = {
        "mirror": bool(rng.random() < 0.5), "rotation": float(np.radians(u(-20, 20))),
        "scale": float(0.92 * u(0.85, 1.1)), "shift_x": float(u(-0.05, 0.05)), "shift_y": float(u(-0.05, 0.05)),
        "brightness": float(u(0.85, 1.1)),
    }
    objects = tuple(
        BackgroundObject(
            str(rng.choice(OBJECT_KINDS)), str(rng.choice(tuple(OBJECT_COLOURS))), float(u(-0.5, 0.5)),
            float(u(-0.5, 0.5)), float(u(0.04, 0.14)), float(u(0.04, 0.14)), float(u(0, 2 * pi)),
            bool(occlude and rng.random() < 0.25),
        )
        for _ in range(rng.integers(0, 13))
    )
    return Scene(label, classes(n_classes)[label], **pose, objects=objects)


@cache
def _foot(kind: str) -> tuple:
    shapes: list[tuple] = []
    for x in (-.07, .08):
        shapes.append(_box(x - .012, -.14, x + .012, -.32))
        if kind == "toes":
            shapes += [((x - .01, -.31), (x + .01, -.31), (x + d + .012, -.38), (x + d - .012, -.38))
                       for d in (-.05, .0, .05)]
        elif kind == "web":
            shapes.append(((x, -.29), (x + .08, -.38), (x - .06, -.38)))
        elif kind == "claw":
            shapes.append(((x - .012, -.30), (x + .09, -.33), (x + .10, -.38), (x + .06, -.35), (x - .012, -.345)))
        else:
            shapes.append(_box(x - .045, -.31, x + .055, -.375))
    return tuple(shapes)


def _eye(kind: str) -> tuple:
    if kind == "small":
        return ((_ellipse(.29, .23, .035, .035), (255, 255, 255)), (_ellipse(.29, .23, .016, .016), (0, 0, 0)))
    if kind == "large":
        return ((_ellipse(.29, .23, .062, .062), (255, 255, 255)), (_ellipse(.31, .23, .022, .022), (0, 0, 0)))
    return ((_ellipse(.29, .23, .062, .028), (0, 0, 0)), (_ellipse(.29, .23, .025, .012), (255, 255, 255)))


@cache
def _shapes(part: str, variant: str) -> tuple:
    """Polygons and colours of one part, in bird coordinates."""
    if part == "beak":
        return ((BEAKS[variant], YELLOW),)
    if part == "eye":
        return _eye(variant)
    if part == "foot":
        return tuple((shape, FOOT_COLOUR) for shape in _foot(variant))
    shape, colour = variant.split()
    if part == "tail":
        return ((TAILS[shape], COLOURS[colour]),)
    return ((_ellipse(-.04, .03, .15, .085, -.25) if shape == "round" else POINTED_WING, COLOURS[colour]),)


BODY_SHAPES = ((_ellipse(0, 0, .27, .17), BODY), (_ellipse(.27, .19, .125, .125), BODY))


def _object_polygon(o: BackgroundObject) -> np.ndarray:
    w, h = o.half_width, o.half_height
    points = {
        "rectangle": lambda: _box(-w, -h, w, h), "triangle": lambda: ((-w, -h), (w, -h), (0, h)),
        "circle": lambda: _ellipse(0, 0, w, w), "ellipse": lambda: _ellipse(0, 0, w, h),
        "octagon": lambda: _ellipse(0, 0, w, w, pi / 8, n=8),
    }[o.kind]()
    c, s = cos(o.rotation), sin(o.rotation)
    return np.asarray(points) @ np.array([[c, s], [-s, c]]) + (o.x, o.y)


class _Painter:
    """Draws polygons on the picture and on the map of ids at once, at four times the size."""

    def __init__(self, size: int) -> None:
        self.width = size * SUPERSAMPLE
        self.picture = Image.new("RGB", (self.width, self.width), BACKGROUND)
        self.ids = Image.new("L", (self.width, self.width), 0)
        self._draw, self._draw_ids = ImageDraw.Draw(self.picture), ImageDraw.Draw(self.ids)

    def polygon(self, points: np.ndarray, colour: tuple, index: int) -> None:
        pixels = np.stack([points[:, 0] + 0.5, 0.5 - points[:, 1]], 1) * self.width
        flat = pixels.ravel().tolist()
        self._draw.polygon(flat, fill=colour, outline=(0, 0, 0))
        self._draw_ids.polygon(flat, fill=index, outline=index)

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


def render(s: Scene, keep: Iterable[str] | None = None, remove_background: Iterable[int] | bool | None = None,
           size: int = 64) -> tuple[np.ndarray, np.ndarray]:
    """Draw a scene, or the same scene with parts or background objects left out.

    Parameters
    ----------
    s : Scene
        What to draw.
    keep : iterable of str, optional
        Parts to draw (of ``PARTS``); all by default. Body and head are always drawn.
    remove_background : iterable of int or True, optional
        Background objects to leave out, by position in ``s.objects``; True for all.
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
        For an unknown part.
    """
    kept = set(PARTS if keep is None else keep)
    if kept - set(PARTS):
        raise SamplesError(f"bird part {sorted(kept - set(PARTS))[0]!r} is not known; the parts are {', '.join(PARTS)}.")
    gone = set(range(len(s.objects))) if remove_background is True else set(remove_background or ())
    painter = _Painter(size)
    matrix, shift = _pose(s)

    def objects(front: bool) -> None:
        for i, o in enumerate(s.objects):
            if o.front == front and i not in gone:
                painter.polygon(_object_polygon(o), OBJECT_COLOURS[o.colour], OBJECT_ID + i)

    def shapes(polygons: tuple, index: int) -> None:
        for points, colour in polygons:
            lit = tuple(min(255, round(v * s.brightness)) for v in colour)
            painter.polygon(np.asarray(points) @ matrix + shift, lit, index)

    objects(front=False)
    for part in ("tail", "foot", "body", "wing", "beak", "eye"):
        if part == "body":
            shapes(BODY_SHAPES, 1)
        elif part in kept:
            shapes(_shapes(part, s.variants[part]), PART_NAMES.index(part))
    objects(front=True)
    return painter.result()


def compatible(keep: Iterable[str], label: int, n_classes: int = N_CLASSES) -> np.ndarray:
    """Classes that agree with class ``label`` in all parts of ``keep``: ``[n_classes]`` float32, 0 or 1."""
    wanted = classes(n_classes)[label]
    keep = tuple(keep)
    return np.array([all(c[p] == wanted[p] for p in keep) for c in classes(n_classes)], np.float32)


def training_arrays(n: int, seed: int, parts_dropped: float = 0.5, n_classes: int = N_CLASSES, size: int = 64
                    ) -> tuple[np.ndarray, np.ndarray]:
    """Birds for training of which a share ``parts_dropped`` lacks a random, non-empty set of parts.

    Returns
    -------
    images : ndarray
        ``[n, size, size, 3]`` uint8.
    targets : ndarray
        ``[n, n_classes]`` float32: 1 for every class compatible with the parts that are left.
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
