"""Measure in Chromium the time from the keydown event to the frame that shows the new sample everywhere."""

from __future__ import annotations

import os
import shutil
from typing import Any

ARGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-dev-shm-usage",
    "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1 , EXCLUDE localhost",
]

# Runs before any script of the page: counts websocket traffic, records the time stamp of the key.
INIT = """
window.__down = []; window.__up = [];
const Socket = window.WebSocket;
window.WebSocket = class extends Socket {
  constructor(...all) {
    super(...all);
    Socket.prototype.addEventListener.call(this, "message", ({data}) => {
      window.__down.push(typeof data === "string" ? data.length : data.byteLength ?? data.size);
    });
  }
  send(data) { window.__up.push(typeof data === "string" ? data.length : data.byteLength); super.send(data); }
};
window.addEventListener("keydown", (event) => { window.__pressed ??= event.timeStamp; }, true);
"""

# The sample whose code every picture shows in its middle; -1 while they differ or are missing.
PROBE = """(wanted) => {
  const deep = (selector, root = document, out = []) => {
    root.querySelectorAll("*").forEach((e) => {
      if (e.matches(selector)) out.push(e);
      if (e.shadowRoot) deep(selector, e.shadowRoot, out);
    });
    return out;
  };
  const decode = (d) => Math.abs(d[2] - 128) > 20 || d[3] < 200 ? -1
    : Math.round((d[0] - 8) / 16) + 16 * Math.round((d[1] - 8) / 16);
  const middle = (canvas) => {
    const context = canvas.getContext("2d");
    const at = [Math.floor(canvas.width / 2), Math.floor(canvas.height / 2)];
    return decode(context.getImageData(...at, 1, 1).data);
  };
  let canvases = null;
  window.__probe = () => {
    canvases ??= deep(".xv canvas[data-tile]");
    if (!canvases.length) {
      const views = [], walk = (view) => {
        if (view?.canvas_view && view.frame && !views.includes(view)) views.push(view);
        for (const child of view?.child_views ?? []) walk(child);
      };
      for (const view of Bokeh.index.roots ?? Object.values(Bokeh.index)) walk(view);
      canvases = views.map((view) => view.canvas_view.primary.canvas);
    }
    const shown = new Set(canvases.map(middle));
    const all = canvases.length === wanted && shown.size === 1;
    if (!all && canvases.length !== wanted) canvases = null;
    return all ? [...shown][0] : -1;
  };
  window.__arm = (index, patience = 15000) => {
    window.__pressed = null; window.__down.length = window.__up.length = 0;
    window.__result = new Promise((resolve) => {
      const begun = performance.now(), tick = () => {
        const now = performance.now();
        if (window.__pressed != null && window.__probe() === index) {
          const step = now - window.__pressed;
          setTimeout(() => resolve({step, down: [...window.__down], up: [...window.__up]}), 120);
        } else if (now - begun > patience) resolve(null);
        else requestAnimationFrame(tick);
      };
      requestAnimationFrame(tick);
    });
  };
}"""


def find_chromium() -> str | None:
    """Return the path of Chromium; None for the one of Playwright."""
    names = [os.environ.get("CHROMIUM", ""), "chromium", "chromium-browser", "google-chrome"]
    return next((path for path in map(shutil.which, filter(None, names)) if path), None)


class Scrubbed:
    """One open page of one design; ``steps(n)`` presses keys and returns the cost of each."""

    def __init__(self, browser: Any, url: str, focus: str, pictures: int = 12, last: int = 127):
        self.context = browser.new_context(viewport={"width": 1440, "height": 900})
        self.page = self.context.new_page()
        self.page.add_init_script(INIT)
        self.page.goto(url)
        self.page.evaluate(PROBE, pictures)
        self.page.wait_for_function("() => window.Bokeh && __probe() === 0", timeout=120_000)
        self.focus, self.position, self.direction, self.last = focus, 0, 1, last
        self.page.wait_for_timeout(2000)

    def steps(self, count: int, pause: int = 120) -> list[dict[str, Any]]:
        """Press a key ``count`` times and wait for the pixels of each; None where they never appear."""
        self.page.bring_to_front()
        self.page.locator(self.focus).first.focus()
        out = []
        for _ in range(count):
            if not 0 <= self.position + self.direction <= self.last:
                self.direction = -self.direction
            self.position += self.direction
            self.page.evaluate("(index) => __arm(index)", self.position)
            self.page.keyboard.press("ArrowRight" if self.direction > 0 else "ArrowLeft")
            out.append(self.page.evaluate("() => __result"))
            self.page.wait_for_timeout(pause)
        return out

    def close(self) -> None:
        self.context.close()
