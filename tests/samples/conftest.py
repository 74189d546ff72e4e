"""What tests of samples share: small pictures, files of them, and a check that errors are sentences."""

from contextlib import contextmanager

import numpy as np
import pytest
from PIL import Image

from xai_views.errors import SamplesError


@contextmanager
def sentence(words: str, *absent: object):
    """One sentence that contains ``words`` (a regular expression) and nothing of ``absent``."""
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
