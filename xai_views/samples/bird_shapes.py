"""The shapes and colours that birds are made of.

Bird coordinates: origin at the body's centre, x towards the head, y up, unit = image width. Colours are RGB,
0 to 255. The polygons are our own, after the parts of FunnyBirds (Hesse, Schaub-Meyer, Roth, ICCV 2023).
"""

from __future__ import annotations

from functools import cache
from math import cos, pi, sin

BACKGROUND = (85, 85, 153)
BODY = (170, 170, 170)
WHITE, BLACK = (255, 255, 255), (0, 0, 0)
COLOURS = {"red": (220, 0, 0), "green": (0, 170, 0), "blue": (0, 60, 255)}
OBJECT_COLOURS = {"red": (220, 0, 0), "green": (0, 170, 0), "blue": (0, 60, 255), "yellow": (255, 230, 0)}
YELLOW = (255, 230, 0)
FOOT_COLOUR = (230, 120, 0)

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


@cache
def _circle(n: int) -> tuple:
    return tuple((cos(2 * pi * k / n), sin(2 * pi * k / n)) for k in range(n))


def ellipse(x: float, y: float, rx: float, ry: float, tilt: float = 0.0, n: int = 36) -> tuple:
    """Return the ``n`` corners of an ellipse with radii ``rx``, ``ry``, tilted by ``tilt`` radians."""
    c, s = cos(tilt), sin(tilt)
    points = ((rx * a, ry * b) for a, b in _circle(n))
    return tuple((x + c * u - s * v, y + s * u + c * v) for u, v in points)


def box(x0: float, y0: float, x1: float, y1: float) -> tuple:
    """Return the corners of a rectangle."""
    return ((x0, y0), (x1, y0), (x1, y1), (x0, y1))


@cache
def _foot(kind: str) -> tuple:
    shapes: list[tuple] = []
    for x in (-.07, .08):
        shapes.append(box(x - .012, -.14, x + .012, -.32))
        if kind == "toes":
            shapes += [((x - .01, -.31), (x + .01, -.31), (x + d + .012, -.38), (x + d - .012, -.38))
                       for d in (-.05, .0, .05)]
        elif kind == "web":
            shapes.append(((x, -.29), (x + .08, -.38), (x - .06, -.38)))
        elif kind == "claw":
            shapes.append(((x - .012, -.30), (x + .09, -.33), (x + .10, -.38), (x + .06, -.35),
                           (x - .012, -.345)))
        else:
            shapes.append(box(x - .045, -.31, x + .055, -.375))
    return tuple(shapes)


def _eye(kind: str) -> tuple:
    if kind == "small":
        return ((ellipse(.29, .23, .035, .035), WHITE), (ellipse(.29, .23, .016, .016), BLACK))
    if kind == "large":
        return ((ellipse(.29, .23, .062, .062), WHITE), (ellipse(.31, .23, .022, .022), BLACK))
    return ((ellipse(.29, .23, .062, .028), BLACK), (ellipse(.29, .23, .025, .012), WHITE))


@cache
def shapes(part: str, variant: str) -> tuple:
    """Return the polygons and colours of one part, in the order in which they are drawn."""
    if part == "beak":
        return ((BEAKS[variant], YELLOW),)
    if part == "eye":
        return _eye(variant)
    if part == "foot":
        return tuple((shape, FOOT_COLOUR) for shape in _foot(variant))
    shape, colour = variant.split()
    if part == "tail":
        return ((TAILS[shape], COLOURS[colour]),)
    return ((ellipse(-.04, .03, .15, .085, -.25) if shape == "round" else POINTED_WING, COLOURS[colour]),)


BODY_SHAPES = ((ellipse(0, 0, .27, .17), BODY), (ellipse(.27, .19, .125, .125), BODY))
