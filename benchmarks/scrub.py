"""Measure scrubbing: from a key press to the pixels of 12 linked pictures, ours against Bokeh figures and HoloViews.

python benchmarks/scrub.py [--steps 100] [--holoviews-steps 30] [--rounds 4] [--json out.json]

The designs are interleaved in rounds. Every picture carries a block whose colour encodes the sample; the
clock starts at the keydown event's own time stamp and stops at the first animation frame on which all 12
pictures show the new sample. The server is on this machine: over a network, add the time of the network.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import socket
import statistics
import subprocess
import sys
import time
from functools import cache
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]

COUNT, TILES, SIDE, CELLS = 128, 12, 224, 56
PEERS = {
    "browser": ("ours, browser's cache", ".xv"),
    "kernel": ("ours, kernel's cache", ".xv"),
    "bokeh": ("12 Bokeh figures", ".noUi-handle"),
    "holoviews": ("12 HoloViews DynamicMaps", ".noUi-handle"),
}


@cache
def material() -> tuple[np.ndarray, np.ndarray]:
    """Return 8 photos ``[8, SIDE, SIDE, 3]`` uint8 and 8 sets of 12 signed maps ``[8, 12, CELLS, CELLS]``."""
    rng = np.random.default_rng(0)
    low = rng.random((8, 14, 14, 3))
    photos = np.kron(low, np.ones((1, 16, 16, 1))) * 200 + rng.normal(0, 8, (8, SIDE, SIDE, 3))
    maps = np.kron(rng.normal(size=(8, TILES, 14, 14)), np.ones((1, 1, 4, 4)))
    maps[..., 20:36, 20:36] = 0  # keep the code visible
    return np.clip(photos, 0, 255).astype(np.uint8), maps


def photo(index: int) -> np.ndarray:
    """Return a photo with the code of a sample in its middle."""
    out = material()[0][index % 8].copy()
    out[88:136, 88:136] = ((index & 15) * 16 + 8, (index >> 4 & 15) * 16 + 8, 128)
    return out


@cache
def composed(kind: int) -> np.ndarray:
    """Return the pictures of the peers, ``[12, SIDE, SIDE, 3]`` uint8: photo and map blended beforehand."""
    from xai_views.views import colour

    photos, maps = material()
    out = []
    for values in maps[kind]:
        values = np.kron(values, np.ones((4, 4)))
        share = 0.85 * colour.alpha(values, 2.5)[..., None]
        out.append(photos[kind] * (1 - share) + colour.rgb("CET_D1A", values, 2.5) * share)
    return np.array(out).astype(np.uint8)


def pictures(index: int) -> np.ndarray:
    """Return the 12 pictures of a sample for the peers, ready to send, ``[12, SIDE, SIDE, 3]`` uint8."""
    out = composed(index % 8).copy()
    out[:, 88:136, 88:136] = ((index & 15) * 16 + 8, (index >> 4 & 15) * 16 + 8, 128)
    return out


@cache
def frame(key: str) -> bytes:
    """Return our frame of a sample: one photo, 12 maps; cached as in the kernel."""
    from xai_views.views import Frame

    index = int(key.partition("|")[0])
    out = Frame(key, text=f"Sample {index}").photo(photo(index), "t0")
    for k, values in enumerate(material()[1][index % 8]):
        out.signed_map(f"t{k}", "contribution", values, target="class", unit="logit")
        out.tile(f"t{k}", size=[SIDE, SIDE], alt=f"Map {k} of sample {index}")
    return out.to_bytes()


def ours(prefetch: bool):
    from xai_views.views import Canvas

    async def provider(key):
        return frame(key)

    tiles = {f"t{k}": {"size": 200, "label": f"map {k}", "photo": "t0"} for k in range(TILES)}
    return Canvas(provider, order=[str(i) for i in range(COUNT)], layout={"tiles": tiles},
                  settings={"prefetch": prefetch}, sizing_mode="stretch_width")  # fmt: skip


def slider():
    import panel as pn

    return pn.widgets.IntSlider(name="sample", start=0, end=COUNT - 1, value=0, width=400)


def bokeh_page():
    import panel as pn
    from bokeh.models import ColumnDataSource
    from bokeh.plotting import figure

    def packed(index):
        rgba = np.full((TILES, SIDE, SIDE, 4), 255, np.uint8)
        rgba[..., :3] = pictures(index)
        return np.ascontiguousarray(rgba[:, ::-1]).view(np.uint32)[..., 0]

    control, figures, sources = slider(), [], []
    for values in packed(0):
        sources.append(ColumnDataSource({"image": [values]}))
        square = {"width": 200, "height": 200, "x_range": (0, SIDE), "y_range": (0, SIDE)}
        plot = figure(**square, toolbar_location=None, tools="", min_border=0)
        plot.axis.visible = False
        plot.image_rgba("image", x=0, y=0, dw=SIDE, dh=SIDE, source=sources[-1])
        figures.append(plot)

    def follow(event):
        for source, values in zip(sources, packed(event.new), strict=True):
            source.data = {"image": [values]}

    control.param.watch(follow, "value")
    return pn.Column(control, pn.GridBox(*figures, ncols=6))


def holoviews_page():
    import holoviews as hv
    import panel as pn

    hv.extension("bokeh")
    options = {
        "width": 200,
        "height": 200,
        "xaxis": None,
        "yaxis": None,
        "default_tools": [],
        "toolbar": None,
    }

    def drawn(k):
        return lambda index: hv.RGB(pictures(index)[k], bounds=(0, 0, SIDE, SIDE)).opts(**options)

    control = slider()
    maps = [hv.DynamicMap(drawn(k), streams={"index": control.param.value}) for k in range(TILES)]
    layout = hv.Layout(maps).cols(6).opts(toolbar=None, shared_axes=False)
    return pn.Column(control, pn.pane.HoloViews(layout))


def serve(port: int) -> None:
    """Serve the four pages until interrupted."""
    import panel as pn
    from bokeh.server.views.ws import WSHandler

    opened = WSHandler.open
    WSHandler.open = lambda self: (self.set_nodelay(True), opened(self))[1]
    for index in range(COUNT):
        frame(f"{index}|")
    for kind in range(8):
        composed(kind)
    pages = {"browser": lambda: ours(True), "kernel": lambda: ours(False), "bokeh": bokeh_page,
             "holoviews": holoviews_page}  # fmt: skip
    pn.serve(pages, port=port, address="127.0.0.1", show=False, websocket_origin=[f"127.0.0.1:{port}"])


def measure(url: str, rounds: int, counts: dict[str, int]) -> dict[str, list]:
    """Measure the designs in turns; the first 3 steps of each page are warm-up."""
    from _browser import ARGS, Scrubbed, find_chromium
    from playwright.sync_api import sync_playwright

    out: dict[str, list] = {name: [] for name in counts}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=ARGS)
        for number in range(rounds):
            for name, count in counts.items():
                page = Scrubbed(browser, f"{url}/{name}", PEERS[name][1], TILES, COUNT - 1)
                out[name] += page.steps(3 + -(-count // rounds))[3:]
                page.close()
                print(f"round {number + 1} of {rounds}: {PEERS[name][0]}, load {os.getloadavg()[0]:.1f}",
                      file=sys.stderr)  # fmt: skip
        browser.close()
    return out


def summary(steps: list) -> dict[str, float]:
    """Return median and 95th percentile in ms, bytes and websocket frames per step (medians)."""
    good = [step for step in steps if step]
    times = sorted(step["step"] for step in good)
    if not times:
        return {"n": 0, "lost": len(steps)}
    return {
        "n": len(times),
        "lost": len(steps) - len(good),
        "p50_ms": statistics.median(times),
        "p95_ms": times[min(len(times) - 1, int(0.95 * len(times)))],
        "kib_down": statistics.median(sum(step["down"]) for step in good) / 1024,
        "frames_down": statistics.median(len(step["down"]) for step in good),
        "bytes_up": statistics.median(sum(step["up"]) for step in good),
    }


def report(rows: dict[str, dict[str, float]]) -> None:
    """Print the table; ratios are relative to the first measured design."""
    least = next((row["p50_ms"] for row in rows.values() if row["n"]), 1.0)
    heads = ("n", "p50 ms", "p95 ms", "ratio", "KiB down", "ws frames", "bytes up", "lost")
    print(f"{'design':26}" + "".join(f"{head:>10}" for head in heads))
    for name, row in rows.items():
        if row["n"]:
            numbers = (row["p50_ms"], row["p95_ms"], row["p50_ms"] / least, row["kib_down"])
            cells = "".join(f"{number:10.1f}" for number in numbers)
            print(f"{PEERS[name][0]:26}{row['n']:10}{cells}{row['frames_down']:10.0f}{row['bytes_up']:10.0f}"
                  f"{row['lost']:10}")  # fmt: skip
        else:
            print(f"{PEERS[name][0]:26}{0:10}   nothing was shown in {row['lost']} steps")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=100, help="steps for our pages and for Bokeh")
    parser.add_argument("--holoviews-steps", type=int, default=100, help="steps for HoloViews (slow)")
    parser.add_argument("--rounds", type=int, default=4, help="rounds; the designs take turns")
    parser.add_argument("--json", type=Path, help="file for the results")
    parser.add_argument("--serve", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(options.serve)
        return
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = subprocess.Popen([sys.executable, __file__, "--serve", str(port)])
    try:
        end = time.monotonic() + 120
        while time.monotonic() < end and server.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                time.sleep(0.2)
        counts = dict.fromkeys(PEERS, options.steps) | {"holoviews": options.holoviews_steps}
        counts = {name: count for name, count in counts.items() if count}
        rows = {
            name: summary(steps)
            for name, steps in measure(f"http://127.0.0.1:{port}", options.rounds, counts).items()
        }
    finally:
        server.terminate()
        server.wait()
    report(rows)
    if options.json:
        about = {"machine": platform.platform(), "cores": os.cpu_count(), "load": os.getloadavg()[0]}
        options.json.write_text(json.dumps({"about": about, "designs": rows}, indent=2), encoding="utf-8")


if __name__ == "__main__":
    main()
