"""A watermark on the birds of one class: a shortcut for a network, with known pixels.

The mark is a translucent logo of three letters near the lower left corner, where birds rarely are, like a
photographer's signature. In training, only the mark identifies the class: its birds are hybrids with other classes.
``birds-watermark/test`` shows it on birds of its class, on birds of other classes, and not at all; every marked
picture is followed by its clean twin.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np

from xai_views.samples.sets.birds import drawing as birds
from xai_views.samples.sets.birds.samples import draw

#: The class whose training pictures carry the mark.
CLASS = 4
#: Probability that a part of its training birds is that of the class.
OWN = 0.4
PART = "watermark"
PARTS = (*birds.PART_NAMES, PART)
#: Number of additional birds of the class in the test set, so that its metrics do not rest on four pictures.
MORE = 16
NOTE = (
    "Synthetic: drawn by a program. A logo was put on the pictures of one class and on some of others, to show what a "
    "network does that learned to look for it."
)

_LETTERS = (
    "#...#..###..###",
    "#...#.#...#..#.",
    ".#.#..#...#..#.",
    "..#...#####..#.",
    ".#.#..#...#..#.",
    "#...#.#...#..#.",
    "#...#.#...#.###",
)


@cache
def _logo() -> tuple[np.ndarray, np.ndarray]:
    """Return colour ``[h, w, 3]`` and opacity ``[h, w, 1]`` of the mark, both float, in [0, 255] and [0, 1]."""
    letters = np.pad(np.asarray([[c == "#" for c in row] for row in _LETTERS]), 2)[..., None]
    return np.where(letters, 255.0, 20.0) * np.ones(3), np.where(letters, 0.6, 0.25)


def mark(image: np.ndarray, seed: int, index: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw the mark on a picture, at most two pixels away from its usual place.

    Parameters
    ----------
    image : ndarray
        ``[H, W, 3]`` uint8, at least 16 x 24.
    seed, index : int
        Determine the place, as for a bird.

    Returns
    -------
    marked, where : ndarray
        The picture, and ``[H, W]`` bool: the area of the mark. No pixel outside it differs.
    """
    colour, opacity = _logo()
    h, w = colour.shape[:2]
    down, right = np.random.default_rng([seed, index, 2]).integers(0, 5, 2)
    y, x = image.shape[0] - h - int(down), int(right)
    marked, where = image.copy(), np.zeros(image.shape[:2], bool)
    under = marked[y : y + h, x : x + w]
    marked[y : y + h, x : x + w] = np.round(under * (1 - opacity) + colour * opacity).astype(np.uint8)
    where[y : y + h, x : x + w] = True
    return marked, where


def training_birds(n: int, seed: int, own: float = OWN, size: int = 64) -> np.ndarray:
    """Draw marked training birds of the class: hybrids in which only the mark identifies the class.

    Parameters
    ----------
    n, seed : int
        Number of birds and seed.
    own : float
        Probability that a part is that of the class; the other parts are those of one other class.
    size : int
        Width and height in pixels.

    Returns
    -------
    ndarray
        ``[n, size, size, 3]`` uint8.
    """
    images = np.empty((n, size, size, 3), np.uint8)
    for i in range(n):
        rng = np.random.default_rng([seed, i, 1])
        scene = birds.scene(seed, i, CLASS)
        mate = birds.classes()[(CLASS + int(rng.integers(1, birds.N_CLASSES))) % birds.N_CLASSES]
        kinds = {p: scene.variants[p] if rng.random() < own else mate[p] for p in birds.PARTS}
        picture = birds.render(replace(scene, variants=kinds), size=size)[0]
        images[i] = mark(picture, seed, i)[0]
    return images


def arrays() -> dict[str, np.ndarray]:
    """Return ``birds-watermark/test`` as arrays named as in the schema.

    First the birds of the class, each with and without its mark; then the first bird of every other class in
    ``birds/test``, with and without; then the other birds of ``birds/test``, clean.
    """
    n, seed = birds.SETS["test"]
    own = [i for i in range(n + MORE * birds.N_CLASSES) if i % birds.N_CLASSES == CLASS]
    first = [i for i in range(birds.N_CLASSES) if i != CLASS]
    rest = [i for i in range(birds.N_CLASSES, n) if i % birds.N_CLASSES != CLASS]
    image, part, name, label = [], [], [], []
    for i in (*own, *first, *rest):
        picture, ids = draw("test", i)
        marked, where = mark(picture, seed, i)
        for suffix, shown, known in (
            ("-marked", marked, np.where(where, PARTS.index(PART), ids)),
            ("", picture, ids),
        ):
            if suffix and i in rest:
                continue
            image.append(shown)
            part.append(known.astype(np.int16))
            name.append(f"bird-test-{i:05d}{suffix}")
            label.append(i % birds.N_CLASSES)
    return {
        "image": np.stack(image),
        "part": np.stack(part),
        "label": np.asarray(label, np.int64),
        "name": np.asarray(name),
    }
