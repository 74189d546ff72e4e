"""What the composed sets share: whose beat a record is made of, and fields that are composed when they are looked at."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from threading import Lock
from typing import Any

import numpy as np

from xai_views.samples.sets.ecg.composing import Record
from xai_views.samples.sets.ecg.templates import Template, templates

NOTE = "Synthetic: beats of a generative network (deepfake-ecg), rhythm and findings composed by rules. Not for clinical use."


ORIGIN = "xai_views.samples.sets.ecg.composing on beats of the package deepfake-ecg 1.1.2"


_drawing = Lock()


@lru_cache(maxsize=3)
def _drawn_beats(people: int, seed: int) -> list[Template]:
    return templates(people, seed)


def _beats(people: int, seed: int) -> list[Template]:
    with _drawing:  # dask composes records side by side, and each would draw the beats of all
        return _drawn_beats(people, seed)


def person(i: int, people: int, seed: int) -> int:
    """Whose beat record ``i`` is made of: the first that its generator draws."""
    return int(np.random.default_rng([seed, i]).integers(people))


def persons(n: int, people: int, seed: int) -> np.ndarray:
    """Whose beat each of ``n`` records is made of: ``[n]`` int64; records of one person are no independent records."""
    return np.array([person(i, people, seed) for i in range(n)])


def template_of(i: int, people: int, seed: int) -> Template:
    """The beat that record ``i`` of a set is made of."""
    return _beats(people, seed)[person(i, people, seed)]


def _block(made: Callable[..., Record], field: str, *which: int) -> np.ndarray:
    return getattr(made(*which), field)[None]


def lazy_field(made: Callable[..., Record], field: str, which: list[tuple], dtype: type, tail: tuple) -> Any:
    """A field of many records as one dask array ``[n, *tail]`` of one record a chunk, composed when looked at.

    Parameters
    ----------
    made : callable
        Composes a record from its arguments; remembers the last ones.
    field : str
        Of :class:`Record`.
    which : list of tuple
        Arguments of each record.
    dtype, tail : type, tuple of int
        Of the field.
    """
    from dask.array import Array
    from dask.base import tokenize

    # The graph is written out, as for birds: map_blocks takes seconds for as many chunks.
    name, place = f"ecg-{made.__name__}-{field}-{tokenize(which)}", (0,) * len(tail)
    graph = {(name, i, *place): (_block, made, field, *one) for i, one in enumerate(which)}
    return Array(graph, name, ((1,) * len(which), *((k,) for k in tail)), dtype=dtype)
