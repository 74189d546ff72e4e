"""Files for downloads."""

from __future__ import annotations

import io
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path


def zipped(save: Callable[[Path], Path], name: str) -> io.BytesIO:
    """Return the folder written by ``save(folder)`` as a zip file, under the name ``name``."""
    out = io.BytesIO()
    with tempfile.TemporaryDirectory() as place, zipfile.ZipFile(out, "w") as file:
        folder = save(Path(place) / name)
        for part in sorted(p for p in folder.rglob("*") if p.is_file()):
            file.write(part, part.relative_to(folder.parent).as_posix())
    out.seek(0)
    return out
