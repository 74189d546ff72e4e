"""Uploads: what browsers send becomes RGB, everything else is refused in one sentence and within bounds."""

import io
import struct
import tracemalloc
import zlib

import numpy as np
import pytest
from PIL import Image

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
    """A PNG that claims this size and holds no pixel."""

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
    with sentence("MB are taken"):
        decode_upload(encoded(picture), max_bytes=100)
    with sentence("10.0 MB and at most 10 MB are taken"):
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
        (np.zeros((9, 9, 3), np.float32), (4, 4), 3, "float32 was to be fitted"),
        (np.zeros((9, 9), np.uint8), (4, 4), 3, r"\[9, 9\]"),
        (np.zeros((9, 9, 4), np.uint8), (4, 4), 3, r"\[9, 9, 4\]"),
        (np.zeros((0, 9, 3), np.uint8), (4, 4), 3, r"\[0, 9, 3\]"),
        (np.zeros((9, 9, 3), np.uint8), (0, 4), 3, r"size=\(0, 4\)"),
        (np.zeros((9, 9, 3), np.uint8), 4, 3, "size=4"),
        (np.zeros((9, 9, 3), np.uint8), (4, 4), 2, "2 channels was asked for"),
    ],
)
def test_what_cannot_be_fitted(image, size, channels, words, sentence):
    with sentence(words):
        fit(image, size, channels)
