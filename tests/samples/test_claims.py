"""Files that contradict themselves or state more than they contain."""

import io
import zipfile

import numpy as np
from PIL import Image

from xai_views import samples


def test_an_array_file_that_claims_to_be_huge(tmp_path, sentence):
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": "|u1", "fortran_order": False, "shape": (10**12, 64, 64, 3)}
    )
    with zipfile.ZipFile(tmp_path / "huge.npz", "w") as file:
        file.writestr("image.npy", header.getvalue() + b"\0" * 100)
    with sentence(r"'huge\.npz' is not a complete", tmp_path):
        samples.open_samples(tmp_path / "huge.npz")


def test_a_table_with_two_labels_for_one_file(tmp_path, sentence):
    for i in range(2):
        Image.new("L", (8, 8), i).save(tmp_path / f"{i}.png")
    (tmp_path / "labels.csv").write_text("file,label\n0.png,cat\n1.png,cat\n0.png,dog\n", "utf-8")
    with sentence("two labels for '0.png', 'cat' and 'dog'"):
        samples.open_samples(tmp_path)
    (tmp_path / "labels.csv").write_text("file,label\n0.png,cat\n1.png,cat\n0.png,cat\n", "utf-8")
    assert samples.open_samples(tmp_path).attrs["classes"] == ["cat"]
