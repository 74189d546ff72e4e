"""Fixtures for samples: small pictures, image files, a heartbeat, and a check that errors are sentences."""

from contextlib import contextmanager

import numpy as np
import pytest
from PIL import Image

from xai_views.errors import SamplesError
from xai_views.samples.sets.ecg.templates import BEFORE, RATE, Template


@contextmanager
def sentence(words: str, *absent: object):
    """Expect one sentence that contains ``words`` (a regular expression) and nothing of ``absent``."""
    with pytest.raises(SamplesError, match=words) as caught:
        yield
    text = str(caught.value)
    assert "\n" not in text
    assert "Traceback" not in text
    assert len(text) < 400
    assert text.endswith((".", "?"))
    assert not [a for a in absent if str(a) in text]


@pytest.fixture(name="sentence")
def _sentence():
    return sentence


@pytest.fixture
def rgb() -> np.ndarray:
    """Four random pictures."""
    return np.random.default_rng(0).integers(0, 256, (4, 12, 10, 3), np.uint8)


@pytest.fixture
def save(tmp_path):
    """``save("cat/a.png", array)`` writes an image file under the test's folder."""

    def write(name: str, array: np.ndarray, **options):
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        array = array[..., 0] if array.ndim == 3 and array.shape[-1] == 1 else array
        Image.fromarray(array).save(file, **options)
        return file

    return write


@pytest.fixture(scope="module")
def beat() -> Template:
    """Bells for P, QRS and T of different height in each lead."""
    t = np.arange(int((0.42 + 0.62) * RATE)) / RATE - BEFORE
    size = np.array([0.6, 1.0, -0.6, 0.5, 1.0, 1.4, 1.2, 0.9])[:, None]
    bell = lambda at, wide, high: high * np.exp(-0.5 * ((t - at) / wide) ** 2)  # noqa: E731
    cut = lambda wave, a, b: wave * ((t >= a) & (t <= b))  # noqa: E731
    spans = {"P": (-0.2, -0.1), "QRS": (-0.04, 0.04), "T": (0.2, 0.4)}
    waves = [
        cut(bell(-0.15, 0.015, 0.12), *spans["P"]),
        cut(bell(0, 0.012, 1.0), *spans["QRS"]),
        cut(bell(0.3, 0.03, 0.3), *spans["T"]),
    ]
    steps = {k: (round(a * RATE), round(b * RATE)) for k, (a, b) in spans.items()}
    return Template(*(size * w for w in waves), steps)
