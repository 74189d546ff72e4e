"""Small pictures of sample sets for the start page, as data URIs: no route, no file name from a browser."""

from __future__ import annotations

import base64
import io
import logging
from concurrent.futures import Future, ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path
from typing import Any

logger = logging.getLogger("xai_views.dashboard")

WIDTH = 640
COLUMNS, ROWS = 4, 2
SIDE = WIDTH // COLUMNS
#: Seconds of a record that are drawn.
TRACE_S = 3.0

_pool = ThreadPoolExecutor(1, thread_name_prefix="previews")
_drawn: dict[str, Future] = {}


def preview(name: str, folder: Path | None) -> str:
    """Return the picture of a sample set, or "" while it is being drawn.

    Parameters
    ----------
    name : str
        As in the catalogue.
    folder : pathlib.Path, optional
        Where ``preview.png`` may lie; without it the picture is drawn from the samples, once, in the
        background.

    Returns
    -------
    str
        A ``data:`` URI or "".
    """
    file = folder / "preview.png" if folder is not None else None
    if file is not None and file.is_file():
        return _of_file(file, file.stat().st_mtime_ns)
    if name not in _drawn:
        _drawn[name] = _pool.submit(_of_samples, name)
    return _drawn[name].result() if _drawn[name].done() else ""


def wait(timeout: float = 30) -> None:
    """Wait for everything that is being drawn, for tests."""
    for future in list(_drawn.values()):
        future.result(timeout)


@lru_cache(maxsize=64)
def _of_file(file: Path, _changed: int) -> str:
    from PIL import Image

    with Image.open(file) as opened:
        strip = opened.convert("RGB")
    side, count = strip.height, round(strip.width / strip.height)
    if count < 5:
        return _encoded(strip)
    pitch = (strip.width - side) / (count - 1)  # a row of tiles, with or without gaps, becomes two rows
    columns = -(-count // 2)
    sheet = Image.new("RGB", (columns * side, 2 * side))
    for i in range(count):
        left = round(i * pitch)
        sheet.paste(strip.crop((left, 0, left + side, side)), (i % columns * side, i // columns * side))
    return _encoded(sheet)


def _of_samples(name: str) -> str:
    try:
        import numpy as np
        from PIL import Image

        from xai_views import kinds
        from xai_views.samples import images, open_samples

        samples = open_samples(name)
        if kinds.of(samples).key == "signal":
            tiles = _traces(samples)
        else:
            count = min(COLUMNS * ROWS, samples.sizes["sample"])
            tiles = images(samples, np.linspace(0, samples.sizes["sample"] - 1, count).astype(int))
        if tiles.dtype != np.uint8:
            tiles = (np.clip(tiles, 0, 1) * 255).astype(np.uint8)
        sheet = Image.new("RGB", (WIDTH, SIDE * -(-len(tiles) // COLUMNS)), "white")
        for i, tile in enumerate(tiles):
            picture = Image.fromarray(tile[..., 0] if tile.shape[-1] == 1 else tile).convert("RGB")
            sheet.paste(picture.resize((SIDE, SIDE)), (i % COLUMNS * SIDE, i // COLUMNS * SIDE))
        return _encoded(sheet)
    except Exception:
        logger.exception("The preview of %s could not be drawn.", name)
        return ""


def _traces(samples: Any) -> Any:
    """The beginning of one lead of several records, or of several leads of the only one: tiles ``[N, H, W, 3]`` uint8."""
    import numpy as np

    from xai_views.samples.signals import trace_tile

    few = COLUMNS * ROWS
    steps = slice(int(TRACE_S * float(samples.attrs["rate"])))
    signal = samples["signal"].isel(sample=slice(few), time=steps).values
    traces = signal[:, min(1, signal.shape[1] - 1)] if len(signal) > 1 else signal[0]
    return np.stack([trace_tile(trace, SIDE) for trace in traces[:few]])


def _encoded(picture: Any) -> str:
    from PIL import Image

    picture.thumbnail((WIDTH, WIDTH), Image.Resampling.LANCZOS)
    sink = io.BytesIO()
    picture.save(sink, "JPEG", quality=82, optimize=True)
    return f"data:image/jpeg;base64,{base64.b64encode(sink.getvalue()).decode()}"
