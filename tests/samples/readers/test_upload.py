"""Uploads: images from browsers become RGB, anything else is rejected in one sentence and within limits."""

import io
import struct
import subprocess
import sys
import tracemalloc
import zlib

import numpy as np
import pytest
from PIL import Image

from xai_views.kinds.pixels import decode_sized
from xai_views.samples import decode_upload, fit

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF")


def encoded(image: Image.Image, kind: str = "PNG", **options) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


@pytest.fixture
def picture(rgb) -> Image.Image:
    return Image.fromarray(rgb[0])


def png_of(width: int, height: int) -> bytes:
    """A PNG that states this size and contains no pixels."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + check

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b"\0" * 100))
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("kind", FORMATS)
def test_formats_of_browsers(kind, picture, rgb):
    image = decode_upload(encoded(picture, kind))
    assert image.shape == (12, 10, 3)
    assert image.dtype == np.uint8
    if kind in ("PNG", "BMP", "TIFF"):
        np.testing.assert_array_equal(image, rgb[0])


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "I;16"])
def test_modes_of_png(mode):
    grey = Image.fromarray(np.tile(np.linspace(0, 255, 16).astype(np.uint8), (16, 1)))
    wide = Image.fromarray(np.asarray(grey).astype(np.uint16) * 257)
    picture = wide if mode == "I;16" else grey.convert(mode)
    image = decode_upload(encoded(picture))
    assert image.shape == (16, 16, 3)
    if mode != "1":
        np.testing.assert_allclose(image[..., 0], np.asarray(grey), atol=1)


def test_sixteen_bit_grey_is_not_stretched():
    dark = np.full((8, 8), 200, np.uint16)  # almost black, although it would fit into 8 bits
    assert decode_upload(encoded(Image.fromarray(dark))).max() == 1


def test_cmyk_jpeg():
    image = decode_upload(encoded(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "JPEG"))
    assert image[4, 4, 0] > 200
    assert image[4, 4, 1] < 60


def test_transparent_is_over_white():
    clear = Image.new("RGBA", (4, 4), (255, 0, 0, 0))
    np.testing.assert_array_equal(decode_upload(encoded(clear)), 255)
    palette = Image.new("P", (4, 4), 0)
    np.testing.assert_array_equal(decode_upload(encoded(palette, "GIF", transparency=0)), 255)


def test_first_picture_of_an_animation():
    frames = [Image.new("RGB", (6, 5), c) for c in ("red", "lime", "blue")]
    image = decode_upload(encoded(frames[0], "GIF", save_all=True, append_images=frames[1:]))
    assert image.shape == (5, 6, 3)
    assert image[0, 0].tolist() == [255, 0, 0]


def test_a_phone_held_sideways(rgb):
    exif = Image.Exif()
    exif[0x0112] = 6
    image = decode_upload(encoded(Image.fromarray(rgb[0]), "PNG", exif=exif))
    np.testing.assert_array_equal(image, np.rot90(rgb[0], -1))


@pytest.mark.parametrize(
    "data",
    [
        b"hello",
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        b"%PDF-1.4",
        b"PK\x03\x04" + b"\0" * 50,
        b"\x89PNG\r\n\x1a\n",
        b"\xff\xd8\xff\xe0",
        b"GIF89a",
        b"RIFF\0\0\0\0WEBP",
        b"BM",
        b"II*\0",
        b"%!PS-Adobe-3.0 EPSF-3.0\n",
    ],
)
def test_what_is_no_image(data, sentence):
    with sentence("not an image|damaged"):
        decode_upload(data)


def test_other_formats_of_pillow_are_not_tried(picture, sentence):
    for kind in ("PPM", "ICO", "TGA", "EPS", "PDF"):
        with sentence("not an image"):
            decode_upload(encoded(picture, kind))


def test_empty_and_not_bytes(sentence):
    with sentence("is empty"):
        decode_upload(b"")
    with sentence("came as str"):
        decode_upload("image.png")


def test_too_many_bytes(picture, sentence):
    with sentence("limit: 0 MB"):
        decode_upload(encoded(picture), max_bytes=100)
    with sentence(r"10.0 MB \(limit: 10 MB"):
        decode_upload(b"\0" * 10_000_001)


@pytest.mark.parametrize("size", [(8000, 8000), (30000, 30000), (2**31 - 1, 2**31 - 1), (10**9, 1)])
def test_bombs_are_refused_before_decoding(size, sentence):
    data = png_of(*size)
    tracemalloc.start()
    try:
        with sentence("pixels"):
            decode_upload(data)
        assert tracemalloc.get_traced_memory()[1] < 5e6
    finally:
        tracemalloc.stop()


def test_a_real_bomb_by_its_pixels(sentence):
    data = encoded(Image.new("L", (9000, 6000)))
    assert len(data) < 1e6
    with sentence("9000x6000"):
        decode_upload(data)
    with sentence("10x12"):
        decode_upload(encoded(Image.new("L", (10, 12))), max_pixels=100)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "BMP", "TIFF"])
def test_cut_off(kind, sentence):
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8))
    data = encoded(noise, kind)
    for share in (0.3, 0.6, 0.9):
        with sentence("damaged|not an image"):
            decode_upload(data[: int(len(data) * share)])


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
def test_damaged_at_random_is_an_image_or_a_sentence(sentence):
    rng = np.random.default_rng(1)
    noise = Image.fromarray(rng.integers(0, 256, (24, 24, 3), np.uint8))
    for kind in FORMATS:
        whole = np.frombuffer(encoded(noise, kind), np.uint8)
        for _ in range(40):
            data = whole.copy()
            data[rng.integers(0, len(data), 6)] = rng.integers(0, 256, 6)
            try:
                image = decode_upload(data.tobytes())
            except ValueError:
                with sentence("image|upload"):
                    decode_upload(data.tobytes())
            else:
                assert image.ndim == 3
                assert image.shape[2] == 3
                assert image.dtype == np.uint8


# --- large pictures ----------------------------------------------------------------------------------------

EIGHT = """
import struct, sys, zlib
from concurrent.futures import ThreadPoolExecutor
from xai_views.samples import decode_upload

def chunk(kind, content):
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

side, packed = 7000, zlib.compressobj(1)
rows = b"".join(packed.compress(bytes(side + 1)) for _ in range(side)) + packed.flush()
header = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0))
data = b"\\x89PNG\\r\\n\\x1a\\n" + header + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
assert len(data) < 1e6

def peak():
    if sys.platform == "linux":  # the peak of getrusage begins with that of the process which started this one
        return next(int(x.split()[1]) / 1e3 for x in open("/proc/self/status") if x.startswith("VmHWM"))
    import resource
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6

before = peak()
with ThreadPoolExecutor(8) as pool:
    shapes = list(pool.map(lambda _: decode_upload(data).shape, range(8)))
assert shapes == [(1750, 1750, 3)] * 8, shapes
print(peak() - before)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="how much memory a process had is asked elsewhere")
def test_eight_large_pictures_at_once_are_held_one_by_one():
    done = subprocess.run([sys.executable, "-c", EIGHT], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 600, "3,900 MB when all are decoded at once"


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16", "F", "CMYK"])
@pytest.mark.parametrize("exif", [1, 6])
def test_a_large_picture_comes_smaller(mode, exif, rgb):
    y, x = np.mgrid[:1300, :2100]
    smooth = np.stack([x / 2100, y / 1300, (x + y) / 3400], -1)
    picture = Image.fromarray((smooth * 255).astype(np.uint8))
    if mode == "I;16":
        picture = Image.fromarray((smooth[..., 0] * 65535).astype(np.uint16))
    elif mode == "F":
        picture = Image.fromarray((smooth[..., 0] * 1000).astype(np.float32))
    else:
        picture = picture.convert(mode)
    words = Image.Exif()
    words[0x0112] = exif
    kind = "TIFF" if mode in ("F", "CMYK") else "PNG"
    data = encoded(picture, kind, exif=words, **({"compression": "tiff_lzw"} if kind == "TIFF" else {}))
    whole = decode_upload(data, max_bytes=20e6, max_kept=1e9).astype(int)
    small, came = decode_sized(data, max_bytes=20e6, max_kept=700_000)
    small = small.astype(int)
    assert came == whole.shape[:2]
    assert small.shape[:2] == tuple(-(-n // 2) for n in whole.shape[:2])
    reduced = whole.reshape(small.shape[0], 2, small.shape[1], 2, 3).mean((1, 3))
    assert np.abs(small - reduced).mean() < 1
    assert np.abs(small - reduced).max() < 3


def test_a_large_jpeg_and_thin_pictures():
    jpeg = encoded(Image.new("RGB", (4100, 3100), "teal"), "JPEG", progressive=True)
    small, came = decode_sized(jpeg)
    assert came == (3100, 4100)
    assert small.shape == (1550, 2050, 3)
    np.testing.assert_allclose(small[900, 900], (0, 128, 128), atol=3)
    assert decode_upload(encoded(Image.new("L", (3000, 1))), max_kept=100).shape == (1, 100, 3)
    assert decode_upload(encoded(Image.new("L", (1, 3000))), max_kept=100).shape == (100, 1, 3)


def test_what_a_decoder_would_hold_several_times(sentence, monkeypatch):
    with sentence("limit for WebP: 17 megapixels"):
        decode_upload(encoded(Image.new("L", (4200, 4200)), "WEBP"))
    tags = {256: 16, 257: 16, 258: 8, 259: 5, 262: 1, 277: 1, 322: 30000, 323: 30000, 324: 8, 325: 8}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    with sentence("limit: 50 megapixels"):  # a small picture in one huge tile
        decode_upload(b"II*\0" + struct.pack("<IQH", 16, 0, len(tags)) + entries + bytes(4))
    jpeg = encoded(Image.new("L", (16, 16)), "JPEG")
    with sentence("more than 200 scans"):
        decode_upload(jpeg[:-2] + b"\xff\xda" * 300 + jpeg[-2:])


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "TIFF", "PNG"])
def test_of_many_pictures_one_is_decoded(kind, monkeypatch):
    frames = [Image.new("RGB", (64, 48), (i, 255 - i, 0)) for i in range(0, 250, 5)]
    options = {"lossless": True} if kind == "WEBP" else {}
    data = encoded(frames[0], kind, save_all=True, append_images=frames[1:], **options)
    seen = []
    seek = Image.Image.seek
    monkeypatch.setattr(Image.Image, "seek", lambda self, frame: (seen.append(frame), seek(self, frame))[1])
    assert decode_upload(data)[0, 0].tolist() == [0, 255, 0]
    assert not any(seen)


# --- fitting to a model ------------------------------------------------------------------------------------


def test_fit_averages_exact_multiples(rgb):
    image = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    expected = image.reshape(8, 4, 8, 4, 3).mean((1, 3))
    np.testing.assert_allclose(fit(image, (8, 8), 3), expected, atol=1)


def test_fit_crops_around_the_centre():
    image = np.zeros((10, 30, 3), np.uint8)
    image[:, 10:20] = 255
    np.testing.assert_array_equal(fit(image, (10, 10), 3), 255)
    np.testing.assert_array_equal(fit(image.transpose(1, 0, 2), (5, 5), 3), 255)


@pytest.mark.parametrize("size", [(7, 5), (64, 64), (1, 1), (40, 13), None])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("came", [1, 3])
def test_fit_gives_what_the_model_wants(size, channels, came):
    image = np.full((12, 17, came), 90, np.uint8)
    out = fit(image, size, channels)
    assert out.shape == (*(size or (12, 17)), channels)
    assert out.dtype == np.uint8
    np.testing.assert_array_equal(out, 90)


def test_fit_leaves_alone_what_fits(rgb):
    np.testing.assert_array_equal(fit(rgb[0], (12, 10), 3), rgb[0])


@pytest.mark.parametrize(
    ("image", "size", "channels", "words"),
    [
        (np.zeros((9, 9, 3), np.float32), (4, 4), 3, "type float32; give"),
        (np.zeros((9, 9), np.uint8), (4, 4), 3, r"\[9, 9\]"),
        (np.zeros((9, 9, 4), np.uint8), (4, 4), 3, r"\[9, 9, 4\]"),
        (np.zeros((0, 9, 3), np.uint8), (4, 4), 3, r"\[0, 9, 3\]"),
        (np.zeros((9, 9, 3), np.uint8), (0, 4), 3, r"size=\(0, 4\)"),
        (np.zeros((9, 9, 3), np.uint8), 4, 3, "size=4"),
        (np.zeros((9, 9, 3), np.uint8), (4, 4), 2, "cannot have 2 channels"),
    ],
)
def test_what_cannot_be_fitted(image, size, channels, words, sentence):
    with sentence(words):
        fit(image, size, channels)
