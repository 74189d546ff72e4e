"""A day of ECG in a real browser: overview, window, keys, and the window that is explained."""

from __future__ import annotations

import re

import numpy as np
import pytest
from acts import tab, until
from playwright.sync_api import expect

pytestmark = pytest.mark.browser
RATE, HOURS, GAIN = 250, 24, 200


@pytest.fixture(scope="module")
def server(serve_app, tmp_path_factory):
    """A server of a 24-hour record of two leads: a beat a second, none in the hours 6 to 12."""
    folder = tmp_path_factory.mktemp("day")
    shape = np.exp(-0.5 * ((np.arange(RATE) - 100) / 4) ** 2)
    hour = np.tile(np.rint(np.stack([shape, -0.5 * shape], 1) * GAIN).astype("<i2"), (3600, 1))
    with (folder / "day.dat").open("wb") as file:
        for h in range(HOURS):
            file.write((hour * (not 6 <= h < 12)).astype("<i2").tobytes())
    lead = f"day.dat 16 {GAIN} 16 0 0 0 0"
    (folder / "day.hea").write_text(f"day 2 {RATE} {RATE * 3600 * HOURS}\n{lead} MLII\n{lead} V5\n")
    return serve_app(["--model", "ecg-resnet", "--samples", str(folder / "day")])


def opened(page, server, query: str = ""):
    """Open the tab and wait for overview and window."""
    page.goto(f"{server.url}/ecg?tab=Long%20record{query}")
    page.locator(".xe[data-state=idle]:not([data-key=''])").first.wait_for(timeout=90_000)
    page.locator(".ll[data-state=idle][data-overview=true]").wait_for(timeout=30_000)
    page.wait_for_timeout(300)
    return page.locator(".ll")


def settled(page, root, act) -> tuple[float, float]:
    """Do something and return start and length of the window once its data have arrived."""
    before = root.get_attribute("data-start"), root.get_attribute("data-seconds")
    act()
    page.wait_for_function(
        "([e, b]) => (e.dataset.start !== b[0] || e.dataset.seconds !== b[1])",
        arg=[root.element_handle(), before],
    )
    page.wait_for_timeout(150)
    page.locator(".ll[data-state=idle]").wait_for()
    return float(root.get_attribute("data-start")), float(root.get_attribute("data-seconds"))


def ink(root, canvas: str, rows: int = 108) -> np.ndarray:
    """How many pixels of each column are drawn in the first rows; those of the first lead by default."""
    return np.asarray(
        root.locator(canvas).evaluate(
            """(canvas, rows) => {
          const {width, height} = canvas, data = canvas.getContext("2d").getImageData(0, 0, width, height).data, out = [];
          const tall = Math.min(height, rows);
          for (let x = 44; x < width; x++) {
            let count = 0;
            for (let y = 0; y < tall; y++) count += data[4 * (y * width + x) + 3] > 200;
            out.push(count);
          }
          return out;
        }""",
            rows,
        )
    )


def test_the_overview_shows_the_day_and_a_click_goes_there(page, server):
    root = opened(page, server, "&long_start=3600&long_seconds=30")
    first, both = ink(root, ".ll-wide", 38)[20:-20], ink(root, ".ll-wide")[20:-20]
    hour = len(both) / 24
    for drawn in (first, both - first):  # a lane for each lead
        assert drawn[int(2 * hour) : int(5 * hour)].mean() > 5 * drawn[int(7 * hour) : int(11 * hour)].mean()
    expect(root.locator("output")).to_have_text("1:00:00.0 to 1:00:30.0 of 24:00:00")
    root.locator(".ll-wide").scroll_into_view_if_needed()
    box = root.locator(".ll-wide").bounding_box()
    at = box["x"] + 44 + (box["width"] - 44) * 9 / 24
    start, seconds = settled(page, root, lambda: page.mouse.click(at, box["y"] + 20))
    assert (start + 15, seconds) == (pytest.approx(9 * 3600, abs=120), 30)
    assert until(page, lambda: ink(root, ".ll-near").max() < 20), "nothing beats at 9 h"
    page.wait_for_function("() => Number(new URLSearchParams(location.search).get('long_start')) > 30000")


def test_keys_pan_and_zoom(page, server):
    root = opened(page, server, "&long_start=3600&long_seconds=32")
    root.focus()
    paper = page.locator(".xe").first.get_attribute("data-key")
    for key, wanted in (
        ("ArrowRight", (3608, 32)),
        ("Shift+ArrowRight", (3640, 32)),
        ("ArrowLeft", (3632, 32)),
        ("+", (3640, 16)),
        ("-", (3632, 32)),
        ("End", (86400 - 32, 32)),
        ("Home", (0, 86400)),
    ):
        assert settled(page, root, lambda key=key: page.keyboard.press(key)) == wanted, key
    assert page.locator(".xe").first.get_attribute("data-key") == paper, "the paper stays where it is"
    page.get_by_role("button", name="Narrower (+)").focus()
    assert settled(page, root, lambda: page.keyboard.press("Space")) == (21600, 43200)


def test_a_window_shows_its_beats_and_is_explained(page, server):
    root = opened(page, server, "&long_start=7200&long_seconds=10")

    def beats() -> int:
        tall = ink(root, ".ll-near", 24) > 0  # only the peaks reach there
        return int(np.diff(tall.astype(int)).clip(0).sum())

    assert until(page, lambda: 9 <= beats() <= 11)
    page.get_by_role("button", name="Explain window").click()
    page.locator(".xe[data-key^='day-7199.88s|'][data-state=idle]").wait_for(timeout=30_000)
    said = page.get_by_text("as record day-7199.88s").inner_text()
    assert re.search(r"2 leads, 10.2 s at 250 Hz; resampled to 400 Hz; .*MLII taken as II", said)
    root.focus()
    settled(page, root, lambda: page.keyboard.press("ArrowRight"))
    page.keyboard.press("Enter")
    page.locator(".xe[data-key^='day-7202.38s|'][data-state=idle]").wait_for(timeout=30_000)
    tab(page, "Ledger")
    page.locator("p", has_text="the network's logit for").wait_for()


def test_a_narrow_page_holds_the_strip(page, server):
    page.set_viewport_size({"width": 390, "height": 844})
    root = opened(page, server)
    assert until(page, lambda: page.evaluate("document.documentElement.scrollWidth") <= 390)
    assert root.bounding_box()["width"] <= 390
