"""Arrays from ``.npz`` files."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path
from typing import BinaryIO

import numpy as np

from xai_views.errors import SamplesError, cause


def load_npz(path: Path | BinaryIO) -> dict[str, np.ndarray]:
    """Read all arrays of a ``.npz``, never unpickling.

    Raises
    ------
    SamplesError
        When the file is damaged, is not a ``.npz`` or contains Python objects.
    """
    try:
        file = np.load(path, allow_pickle=False)
        if isinstance(file, np.ndarray):
            return {"image": file}
        with file:
            return {k: file[k] for k in file.files}
    except (
        ValueError,
        OSError,
        zipfile.BadZipFile,
        zlib.error,
        EOFError,
        NotImplementedError,
        MemoryError,
    ) as e:  # a header may claim any size
        why = cause(e)
        name = getattr(path, "name", "the file")  # an upload has none
        raise SamplesError(
            f"{name!r} is not a complete .npz of plain arrays ({why}); save it again "
            "with "
            "numpy.savez_compressed."
        ) from None
