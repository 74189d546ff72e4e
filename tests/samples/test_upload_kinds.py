"""One function opens uploads of every kind."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from xai_views import kinds
from xai_views.errors import SamplesError
from xai_views.samples.upload import DECODERS, open_upload


def picture(kind: str) -> bytes:
    out = io.BytesIO()
    Image.fromarray(np.arange(48, dtype=np.uint8).reshape(6, 8)).save(out, kind)
    return out.getvalue()


FILES = {
    "image": ("a.png", picture("PNG")),
    "signal": ("a.csv", b"# rate: 100\nI,II\n" + b"0.1,0.2\n0.3,-0.4\n0.2,0.9\n" * 100),
    "cine": ("a.gif", picture("GIF")),
    "table": ("a.csv", b"age,weight\n61,80\n"),
}


@pytest.mark.parametrize("key", FILES)
def test_bytes_become_samples_of_the_kind(key):
    ds = open_upload(key, *FILES[key])
    assert kinds.of(ds).key == key
    assert ds.sizes["sample"] == 1
    assert FILES[key][0][-4:] in kinds.get(key).accepts


@pytest.mark.parametrize("key", FILES)
def test_what_is_too_large_is_refused(key):
    with pytest.raises(SamplesError, match="MB"):
        open_upload(key, *FILES[key], max_bytes=4)


def test_every_kind_has_a_decoder_and_no_other():
    assert set(DECODERS) == set(kinds.KINDS)
    with pytest.raises(SamplesError, match="no kind of input 'sound'"):
        open_upload("sound", "a.wav", b"x")
