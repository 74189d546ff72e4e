"""What a page gives to be saved."""

from __future__ import annotations

import io
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path


def zipped(save: Callable[[Path], Path], name: str) -> io.BytesIO:
    """The folder that ``save(folder)`` writes, as a zip in which it is called ``name``."""
    out = io.BytesIO()
    with tempfile.TemporaryDirectory() as place, zipfile.ZipFile(out, "w") as file:
        folder = save(Path(place) / name)
        for part in sorted(p for p in folder.rglob("*") if p.is_file()):
            file.write(part, part.relative_to(folder.parent).as_posix())
    out.seek(0)
    return out
