"""Measure the ECG app: scrubbing against Bokeh and HoloViews, the cost of explanations, and changes without a pass.

    python benchmarks/ecg.py [--only scrub|explain|changes] [--steps 100] [--rounds 4] [--json FILE]

* ``scrub``: from a key press until 12 leads of 4096 steps show the next record, in Chromium. Ours also draws clusters and
  contributions, and sends a coarse trace first; the full trace follows when scrubbing pauses ('KiB at rest' counts both). The
  peers draw traces only. Shown = the page holds the record's data and its pixels have changed. The designs take turns.
* ``explain``: wall and CPU time in ms of an explanation that is not cached, compared with one forward pass of the same records.
* ``changes``: time in ms of changes of an explained record; the command fails if one of them needs a pass.
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
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]

from _browser import ARGS, INIT, Scrubbed, find_chromium  # noqa: E402  (found beside this file)
from _ecg_passes import changes, explain  # noqa: E402

COUNT, STEPS, RATE, CELLS = 128, 4096, 400.0, 256
LEADS = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")
APART, CODE = (
    2.0,
    1e-3,
)  # mV between the leads of the peers; mV per record in the first step, which encodes the record
PEERS = {
    "browser": ("ours, browser's cache", ".xv"),
    "server": ("ours, from the server", ".xv"),
    "bokeh": ("Bokeh, 12 lines", ".noUi-handle"),
    "holoviews": ("HoloViews DynamicMap of 12 curves", ".noUi-handle"),
}

# The record that the page holds: ours names it; for the peers the first step of all 12 lines encodes it.
HOLDS = """() => {
  const find = (root) => { for (const e of root.querySelectorAll("*")) {
    if (e.matches(".xv")) return e; if (e.shadowRoot) { const x = find(e.shadowRoot); if (x) return x } } };
  let ours = null, views = null;
  const plots = () => {
    const out = [], walk = (view) => {
      if (view?.canvas_view && view.frame && !out.includes(view)) out.push(view);
      for (const child of view?.child_views ?? []) walk(child);
    };
    for (const view of Bokeh.index.roots ?? Object.values(Bokeh.index)) walk(view);
    return out;
  };
  const canvasOf = () => {
    ours ??= find(document);
    if (ours) return ours.querySelector(".xe-sheet");
    if (!views?.length) views = plots();
    return views[0]?.canvas_view.primary.canvas;
  };
  const record = () => {
    if (ours) return ours.dataset.key ? Number(ours.dataset.key.split("|")[0].slice(1)) : -1;
    const first = [];
    for (const {data_source} of views?.[0]?.model.renderers ?? []) {
      const {data} = data_source, columns = data instanceof Map ? [...data] : Object.entries(data);
      for (const [name, values] of columns)
        if (!["time", "index"].includes(name) && !first.includes(values)) first.push(values);
    }
    const said = first.map((values) => values[0]).sort((a, b) => b - a).map((v, k) => Math.round((v + APART * k) / CODE));
    return said.length === 12 && new Set(said).size === 1 ? said[0] : -1;
  };
  const look = () => { // four columns of pixels: every lead crosses some of them
    const canvas = canvasOf(), context = canvas?.getContext("2d");
    if (!canvas?.width) return "";
    let sum = 0;
    for (const share of [0.18, 0.42, 0.61, 0.83]) {
      const {data} = context.getImageData(Math.floor(canvas.width * share), 0, 1, canvas.height);
      for (let i = 0; i < data.length; i++) sum = (sum * 31 + data[i]) | 0;
    }
    return String(sum);
  };
  let before = null;
  window.__probe = () => { const pixels = look(); return pixels && pixels !== before ? record() : -1; };
  window.__arm = (index, patience = 15000) => {
    before = look();
    window.__pressed = null; window.__down.length = window.__up.length = 0;
    window.__result = new Promise((resolve) => {
      const begun = performance.now(), tick = () => {
        const now = performance.now();
        if (window.__pressed != null && window.__probe() === index) {
          const step = now - window.__pressed;
          setTimeout(() => {
            const down = [...window.__down], up = [...window.__up];
            setTimeout(() => resolve({step, down, up, rest: [...window.__down]}), 500);
          }, 100);
        } else if (now - begun > patience) resolve(null);
        else requestAnimationFrame(tick);
      };
      requestAnimationFrame(tick);
    });
  };
}"""


# -- pages ------------------------------------------------------------------------------------------------------


@cache
def signals() -> np.ndarray:
    """Records ``[COUNT, lead, STEPS]`` float32 in mV of the shipped samples; the first step of each encodes its number."""
    from xai_views import open_samples
    from xai_views.samples import inputs
    from xai_views.samples.prepare import prepare

    records = prepare(open_samples("ecg/test").isel(sample=slice(0, COUNT)), LEADS, RATE, STEPS)
    out = inputs(records, np.arange(COUNT)).copy()
    out[:, :, 0] = CODE * np.arange(COUNT)[:, None]
    return out


@cache
def record(index: int):
    """Return one of our records with made-up clusters and contributions, as in the server's cache."""
    from xai_views.views.ecg_paper.record import Record

    rng = np.random.default_rng(index)
    return Record(
        f"r{index}", LEADS, RATE, signals()[index], cluster=np.repeat(rng.integers(0, 8, CELLS // 4), 4),
        entropy=rng.random(CELLS), step=STEPS / CELLS / RATE, contribution=rng.normal(size=(12, CELLS)),
        target="wide QRS", title="made-up clusters", synthetic=True, text=f"Record {index}.",
    )  # fmt: skip


def ours(prefetch: bool):
    from xai_views.views.ecg_paper.paper import ECGPaper

    async def provider(key):
        return record(int(key.partition("|")[0][1:]))

    order = [f"r{i}" for i in range(COUNT)]
    return ECGPaper(
        provider, order=order, settings={"prefetch": prefetch, "minimap": False}, sizing_mode="stretch_width"
    )


def stacked(index: int) -> np.ndarray:
    """Traces ``[lead, STEPS]`` below each other, as the peers draw them."""
    return signals()[index] - APART * np.arange(12, dtype=np.float32)[:, None]


def slider():
    import panel as pn

    return pn.widgets.IntSlider(name="record", start=0, end=COUNT - 1, value=0, width=400)


TIME = np.arange(STEPS, dtype=np.float32) / np.float32(RATE)
LIMITS = (-APART * 11 - 2, 2.0)


def bokeh_page():
    import panel as pn
    from bokeh.models import ColumnDataSource
    from bokeh.plotting import figure

    def data(index):
        return {"time": TIME, **dict(zip(LEADS, stacked(index), strict=True))}

    control, source = slider(), ColumnDataSource(data(0))
    plot = figure(
        width=1380, height=760, x_range=(0, STEPS / RATE), y_range=LIMITS, tools="", toolbar_location=None
    )
    for lead in LEADS:
        plot.line("time", lead, source=source, color="black")
    control.param.watch(lambda event: setattr(source, "data", data(event.new)), "value")
    return pn.Column(control, plot)


def holoviews_page():
    import holoviews as hv
    import panel as pn

    hv.extension("bokeh")

    def drawn(index):
        curves = [
            hv.Curve((TIME, y), "time", "mV", label=lead).opts(color="black")
            for lead, y in zip(LEADS, stacked(index), strict=True)
        ]
        return hv.Overlay(curves).opts(
            width=1380, height=760, ylim=LIMITS, show_legend=False, toolbar=None, default_tools=[]
        )

    control = slider()
    return pn.Column(control, pn.pane.HoloViews(hv.DynamicMap(drawn, streams={"index": control.param.value})))


def serve(port: int) -> None:
    """Serve the four pages until interrupted."""
    import panel as pn
    from bokeh.server.views.ws import WSHandler

    opened = WSHandler.open
    WSHandler.open = lambda self: (self.set_nodelay(True), opened(self))[1]
    for index in range(COUNT):
        record(index)
    pages = {"browser": lambda: ours(True), "server": lambda: ours(False), "bokeh": bokeh_page,
             "holoviews": holoviews_page}  # fmt: skip
    pn.serve(pages, port=port, address="127.0.0.1", show=False, websocket_origin=[f"127.0.0.1:{port}"])


# -- scrubbing --------------------------------------------------------------------------------------------------


class Page(Scrubbed):
    """One open page of one design; steps as in the benchmark of pictures, another probe."""

    def __init__(self, browser: Any, url: str, focus: str):
        self.context = browser.new_context(viewport={"width": 1440, "height": 900})
        self.page = self.context.new_page()
        self.page.add_init_script(INIT)
        self.page.goto(url)
        self.page.wait_for_function("() => window.Bokeh?.documents?.length", timeout=60_000)
        self.page.evaluate(HOLDS.replace("APART", str(APART)).replace("CODE", str(CODE)))
        self.page.wait_for_function("() => __probe() === 0", timeout=120_000)
        self.focus, self.position, self.direction, self.last = focus, 0, 1, COUNT - 1
        self.page.wait_for_timeout(2000)


def started() -> tuple[subprocess.Popen, int]:
    """Start the server of the pages and wait until it listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = subprocess.Popen([sys.executable, __file__, "--serve", str(port)])
    end = time.monotonic() + 120
    while time.monotonic() < end and server.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.2)
        else:
            return server, port
    server.kill()
    sys.exit("The server did not start within 120 s.")


def scrub(options: argparse.Namespace) -> dict[str, dict[str, float]]:
    """Measure the designs in turns; the first 3 steps of each page are warm-up."""
    from playwright.sync_api import sync_playwright
    from scrub import summary

    steps: dict[str, list] = {name: [] for name in PEERS}
    server, port = started()
    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=find_chromium(), args=ARGS)
            for turn in range(options.rounds):
                for name, (title, focus) in PEERS.items():
                    page = Page(browser, f"http://127.0.0.1:{port}/{name}", focus)
                    steps[name] += page.steps(3 + -(-options.steps // options.rounds))[3:]
                    page.close()
                    print(f"round {turn + 1}: {title}, load {os.getloadavg()[0]:.1f}", file=sys.stderr)
            browser.close()
    finally:
        server.terminate()
        server.wait()
    rows = {name: summary(own) for name, own in steps.items()}
    for name, own in steps.items():
        rest = [sum(s["rest"]) / 1024 for s in own if s]
        rows[name]["kib_rest"] = statistics.median(rest) if rest else float("nan")
    heads = ("n", "lost", "p50_ms", "p95_ms", "ratio", "kib_down", "kib_rest", "frames_down")
    print(f"{'key press to drawn':36}" + "".join(f"{h:>12}" for h in heads))
    for name, row in rows.items():
        row["ratio"] = row.get("p50_ms", np.nan) / rows["browser"].get("p50_ms", np.nan)
        print(f"{PEERS[name][0]:36}" + "".join(f"{row.get(h, np.nan):12.1f}" for h in heads))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    sections = {"scrub": scrub, "explain": explain, "changes": changes}
    parser.add_argument("--only", choices=list(sections), help="run one section only")
    parser.add_argument("--steps", type=int, default=100, help="steps per design, and repetitions")
    parser.add_argument("--rounds", type=int, default=4, help="rounds; the designs take turns")
    parser.add_argument("--json", type=Path, help="file for the results")
    parser.add_argument("--serve", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(options.serve)
        return
    found = {name: run(options) for name, run in sections.items() if options.only in (None, name)}
    if options.json:
        about = {"machine": platform.platform(), "cores": os.cpu_count(), "load": os.getloadavg()[0]}
        options.json.write_text(json.dumps({"about": about, **found}, indent=2), encoding="utf-8")


if __name__ == "__main__":
    main()
