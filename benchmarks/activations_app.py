"""Measure the Activations app in a real browser: from a key press to the pixels of the new frame.

    python benchmarks/activations_app.py [--model birds-cnn] [--steps 100] [--pause 60]

Measured on one page. Each step waits for the previous one, and ``--pause`` milliseconds more (60: a key held down; 600: a
person who looks; work of the panels for one step delays the next):

* ``K, first time``: ] and [ on a sample whose clusterings at these K are not cached. No forward pass: the kernel cuts the
  merge tree, the frame is encoded again.
* ``K, again``: the same keys again; the browser has the frames.
* ``sample, prefetched``: right arrow after the neighbours were prefetched.
* ``sample, not seen``: jumps of ten samples; forward pass, clustering, tree, frame.

The kernel counts the forward passes during the K steps; there must be none.
"""

from __future__ import annotations

import argparse
import socket
import statistics
import subprocess
import sys
import time

from _browser import ARGS, find_chromium

STEP = """([key, patience]) => new Promise((resolve) => {
  const find = (root) => { for (const e of root.querySelectorAll("*")) {
    if (e.matches(".xv")) return e; if (e.shadowRoot) { const x = find(e.shadowRoot); if (x) return x } } };
  const e = find(document), before = e.dataset.key, begun = performance.now();
  const tick = () => {
    if (e.dataset.key !== before && e.dataset.state === "idle") resolve(performance.now() - begun);
    else if (performance.now() - begun > patience) resolve(null);
    else requestAnimationFrame(tick);
  };
  const [name, shift] = key.split("+").reverse();
  const options = {key: name, shiftKey: Boolean(shift), bubbles: true, composed: true, cancelable: true};
  e.dispatchEvent(new KeyboardEvent("keydown", options));
  tick();
})"""
SERVE = """
import sys
from xai_views_dashboard.shell.serving import serve
from xai_views.models import passes
import panel as pn

def app():
    from xai_views_dashboard.activations.app import ActivationsApp
    from xai_views import apps
    ActivationsApp(*apps.opened(sys.argv[1])).servable()

def count():
    return pn.pane.HTML(f"<p id='count'>forward {passes.forward}</p>")

serve({"app": app, "count": count}, port=int(sys.argv[2]), show=False)
"""


def started(model: str) -> tuple[subprocess.Popen, int]:
    """Start a server of one app and wait until it listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = subprocess.Popen([sys.executable, "-c", SERVE, model, str(port)])
    end = time.monotonic() + 60
    while time.monotonic() < end and server.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.2)
        else:
            return server, port
    sys.exit("The server did not start within 60 s.")


def forward(browser, port: int) -> int:
    """Return the number of forward passes of the server so far."""
    page = browser.new_page()
    page.goto(f"http://127.0.0.1:{port}/count")
    page.locator("#count", has_text="forward").wait_for(timeout=20_000)
    text = page.locator("#count").text_content()
    page.close()
    return int(text.rpartition(" ")[2])


def steps(page, keys: list[str], pause: int) -> list[float]:
    """Press keys one after another; return the milliseconds until each frame is drawn."""
    out = []
    for key in keys:
        took = page.evaluate(STEP, [key, 20_000])
        if took is not None:
            out.append(took)
        page.wait_for_timeout(pause)
    return out


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="birds-cnn")
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--pause", type=int, default=60)
    options = parser.parse_args()
    from playwright.sync_api import sync_playwright

    server, port = started(options.model)
    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=find_chromium(), args=ARGS)
            page = browser.new_page(viewport={"width": 1440, "height": 900})
            page.goto(f"http://127.0.0.1:{port}/app")
            page.locator(".xv[data-state=idle]:not([data-key=''])").first.wait_for(timeout=90_000)
            page.wait_for_timeout(3000)
            first, again, near, far = [], [], [], []
            ladder = ["]"] * 8 + ["["] * 8  # K from 5 to 13 and back
            ks = 0
            while len(first) < options.steps // 2 and len(far) < 200:
                page.wait_for_timeout(1500)
                before = forward(browser, port)
                first += steps(page, ladder[:8], options.pause)
                again += steps(page, ladder[8:], options.pause)
                ks += forward(browser, port) - before
                near += steps(page, ["ArrowRight"] * 4, 250)
                far += steps(page, ["Shift+ArrowRight"], 400)
            browser.close()
    finally:
        server.terminate()
    print(f"{options.model}: {len(first) + len(again)} changes of K with {ks} forward passes")
    print(f"{'':24}{'n':>6}{'p50 ms':>10}{'p95 ms':>10}")
    for name, times in (
        ("K, first time", first), ("K, again", again), ("sample, prefetched", near), ("sample, not seen", far),
    ):  # fmt: skip
        ordered = sorted(times)
        if ordered:
            worst = ordered[min(len(ordered) - 1, int(0.95 * len(ordered)))]
            print(f"{name:24}{len(ordered):6}{statistics.median(ordered):10.1f}{worst:10.1f}")


if __name__ == "__main__":
    main()
