"""Shapes and colours of the birds' parts.

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
    "fan": ((-0.24, 0.06), (-0.46, 0.20), (-0.50, 0.06), (-0.46, -0.08), (-0.24, -0.04)),
    "stick": ((-0.24, 0.05), (-0.52, 0.02), (-0.52, -0.04), (-0.24, -0.03)),
    "fork": ((-0.24, 0.06), (-0.50, 0.22), (-0.36, 0.03), (-0.50, -0.14), (-0.24, -0.04)),
}
BEAKS = {
    "cone": ((0.37, 0.26), (0.37, 0.14), (0.49, 0.20)),
    "needle": ((0.37, 0.225), (0.37, 0.175), (0.62, 0.20)),
    "hook": ((0.36, 0.27), (0.46, 0.25), (0.50, 0.10), (0.43, 0.16), (0.37, 0.15)),
    "duck": ((0.37, 0.25), (0.55, 0.24), (0.55, 0.16), (0.37, 0.15)),
}
POINTED_WING = ((0.10, 0.08), (-0.04, 0.13), (-0.24, -0.10), (-0.02, -0.06), (0.08, -0.02))
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
    for x in (-0.07, 0.08):
        shapes.append(box(x - 0.012, -0.14, x + 0.012, -0.32))
        if kind == "toes":
            shapes += [
                ((x - 0.01, -0.31), (x + 0.01, -0.31), (x + d + 0.012, -0.38), (x + d - 0.012, -0.38))
                for d in (-0.05, 0.0, 0.05)
            ]
        elif kind == "web":
            shapes.append(((x, -0.29), (x + 0.08, -0.38), (x - 0.06, -0.38)))
        elif kind == "claw":
            shapes.append(
                (
                    (x - 0.012, -0.30),
                    (x + 0.09, -0.33),
                    (x + 0.10, -0.38),
                    (x + 0.06, -0.35),
                    (x - 0.012, -0.345),
                )
            )
        else:
            shapes.append(box(x - 0.045, -0.31, x + 0.055, -0.375))
    return tuple(shapes)


def _eye(kind: str) -> tuple:
    if kind == "small":
        return ((ellipse(0.29, 0.23, 0.035, 0.035), WHITE), (ellipse(0.29, 0.23, 0.016, 0.016), BLACK))
    if kind == "large":
        return ((ellipse(0.29, 0.23, 0.062, 0.062), WHITE), (ellipse(0.31, 0.23, 0.022, 0.022), BLACK))
    return ((ellipse(0.29, 0.23, 0.062, 0.028), BLACK), (ellipse(0.29, 0.23, 0.025, 0.012), WHITE))


@cache
def shapes(part: str, variant: str) -> tuple:
    """Return the polygons and colours of one part, in drawing order."""
    if part == "beak":
        return ((BEAKS[variant], YELLOW),)
    if part == "eye":
        return _eye(variant)
    if part == "foot":
        return tuple((shape, FOOT_COLOUR) for shape in _foot(variant))
    shape, colour = variant.split()
    if part == "tail":
        return ((TAILS[shape], COLOURS[colour]),)
    return (
        (ellipse(-0.04, 0.03, 0.15, 0.085, -0.25) if shape == "round" else POINTED_WING, COLOURS[colour]),
    )


BODY_SHAPES = ((ellipse(0, 0, 0.27, 0.17), BODY), (ellipse(0.27, 0.19, 0.125, 0.125), BODY))
