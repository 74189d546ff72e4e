"""Fixtures for kinds: a model as kinds see it, samples of every kind, and a check that errors are sentences."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import pytest

from xai_views.errors import XaiViewsError
from xai_views.kinds.cine import cine_dataset
from xai_views.kinds.image import dataset
from xai_views.kinds.signal_schema import signal_dataset
from xai_views.kinds.table import table_dataset


@dataclass
class Asked:
    """What a kind may know about a model; not a network."""

    kind: str
    channels: int
    size: tuple[int, ...] | None = None
    rate: float | None = None
    leads: tuple[str, ...] = ()
    name: str = "m"


@pytest.fixture
def asked():
    return Asked


@pytest.fixture
def sentence():
    @contextmanager
    def check(words: str):
        with pytest.raises(XaiViewsError, match=words) as caught:
            yield
        text = str(caught.value)
        assert "\n" not in text
        assert len(text) < 300
        assert text.endswith(".")

    return check


@pytest.fixture
def samples() -> dict:
    """Three samples of every kind."""
    rng = np.random.default_rng(0)
    label = ["a", "b", "a"]
    return {
        "image": dataset(rng.integers(0, 256, (3, 12, 10, 3), np.uint8), label),
        "signal": signal_dataset(rng.normal(0, 1, (3, 2, 50)), 100, ["I", "II"], label),
        "cine": cine_dataset(
            rng.integers(0, 256, (3, 6, 12, 10), np.uint8), 30, label, mm_per_pixel=[0.5, 0.4]
        ),
        "table": table_dataset(rng.normal(0, 1, (3, 4)), ["age", "weight", "x", "y"], label),
    }
