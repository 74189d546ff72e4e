"""The ECG paper of ``tests/views/ecg_app.py``, with the readings and actions of the browser tests."""

import ast
import base64
from pathlib import Path

import ecg_app as app
import numpy as np

from xai_views.views.ecg_paper.layout import LEADS, sheet

ROOT = Path(__file__).parents[2]
SERVED = (
    f"import sys\nsys.path.insert(0, {str(Path(app.__file__).parent)!r})\nfrom ecg_app import APPS as apps"
)

PIXELS = """canvas => {
  const {width, height} = canvas, {data} = canvas.getContext("2d").getImageData(0, 0, width, height);
  let text = "";
  for (let i = 0; i < data.length; i += 8192) text += String.fromCharCode(...data.subarray(i, i + 8192));
  return [width, height, btoa(text)];
}"""


class Paper:
    """A page with the paper."""

    def __init__(self, page, url, shows="square"):
        self.page, self.got = page, []
        page.on("websocket", self.listen)
        page.goto(url)
        self.root = page.locator(".xe")
        self.shows(shows)

    def listen(self, socket):
        def received(data):
            self.got.append(data)

        socket.on("framereceived", received)

    def shows(self, key, full=True):
        state = f'[data-key="{key}|"][data-state=idle]' + ("[data-full=true]" if full else "")
        self.page.wait_for_selector(f".xe{state}")

    def press(self, *keys):
        for key in keys:
            self.page.keyboard.press(key)

    def pixels(self, canvas=".xe-sheet"):
        """``[y, x, 3]`` int."""
        width, height, text = self.page.locator(canvas).evaluate(PIXELS)
        return np.frombuffer(base64.b64decode(text), np.uint8).reshape(height, width, 4)[..., :3].astype(int)

    def choose(self, name, value):
        self.page.select_option(f"select[name={name}]", str(value))

    def number(self, name):
        return float(self.root.get_attribute(f"data-{name}"))

    def at(self, x, y):
        """The point of the window that shows a point of the paper (mm) of an unzoomed sheet."""
        box, ppm = self.page.locator(".xe-sheet").bounding_box(), self.number("ppm")
        return box["x"] + x * ppm, box["y"] + y * ppm

    def place(self, lead, time, up=0.0, layout="3x4+1", **options):
        """A time in the first segment of a lead that shows it, ``up`` mm above its baseline."""
        plan = sheet(layout, LEADS, start=self.number("start"), seconds=self.number("seconds"), **options)
        s = next(s for s in plan.segments if LEADS[s.lead] == lead and s.start <= time < s.stop)
        return self.at(s.x + (time - s.start) * plan.speed, s.baseline - up)

    def drag(self, start, stop):
        self.page.mouse.move(*start)
        self.page.mouse.down()
        self.page.mouse.move(*stop, steps=4)
        self.page.mouse.up()

    def told(self, kind, check=lambda value: True):
        """Return the last message to Python, once it passes the check (messages take time)."""
        for _ in range(300):
            text = self.page.locator(".told pre").inner_text()
            for line in text.splitlines():
                if line.startswith(f"{kind} ") and check(
                    value := ast.literal_eval(line.removeprefix(f"{kind} "))
                ):
                    return value
            self.page.wait_for_timeout(100)
        raise AssertionError(f"Python was last told: {text}")

    def text(self, part):
        return self.page.locator(f".xe-{part}").inner_text()
