"""Code shared by the composed sets: the person whose beat a record uses, and fields composed on access."""

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
    with _drawing:  # dask composes records in parallel, and each would draw all beats
        return _drawn_beats(people, seed)


def person(i: int, people: int, seed: int) -> int:
    """Return the person whose beat record ``i`` uses: the first draw of its generator."""
    return int(np.random.default_rng([seed, i]).integers(people))


def persons(n: int, people: int, seed: int) -> np.ndarray:
    """Return the person of each of ``n`` records: ``[n]`` int64; records of one person are not independent."""
    return np.array([person(i, people, seed) for i in range(n)])


def template_of(i: int, people: int, seed: int) -> Template:
    """Return the beat that record ``i`` of a set uses."""
    return _beats(people, seed)[person(i, people, seed)]


def _block(made: Callable[..., Record], field: str, *which: int) -> np.ndarray:
    return getattr(made(*which), field)[None]


def lazy_field(made: Callable[..., Record], field: str, which: list[tuple], dtype: type, tail: tuple) -> Any:
    """Return a field of many records as one dask array ``[n, *tail]`` with one record per chunk, composed on access.

    Parameters
    ----------
    made : callable
        Composes a record from its arguments, and caches the latest.
    field : str
        Field of :class:`Record`.
    which : list of tuple
        Arguments of each record.
    dtype, tail : type, tuple of int
        Type and shape of the field.
    """
    from dask.array import Array
    from dask.base import tokenize

    # The graph is written by hand, as for birds: map_blocks takes seconds for this many chunks.
    name, place = f"ecg-{made.__name__}-{field}-{tokenize(which)}", (0,) * len(tail)
    graph = {(name, i, *place): (_block, made, field, *one) for i, one in enumerate(which)}
    return Array(graph, name, ((1,) * len(which), *((k,) for k in tail)), dtype=dtype)
