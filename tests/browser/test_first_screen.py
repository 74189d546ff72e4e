"""The first screen of every app and shipped model: answer, case, ledger, population and tabs without scrolling."""

from __future__ import annotations

import pytest
from acts import PATIENCE

pytestmark = pytest.mark.browser

HEADER, STATUS = 48, 26
DESKTOPS = [(1440, 900), (1366, 768)]
PAGES = {
    "sic": ["birds-sic", "digits-sic", "nuclei-sic"],
    "activations": [
        "birds-cnn", "birds-cnn-watermark", "birds-vit", "birds-vit-registers", "birds-sic", "digits-sic", "nuclei-sic",
        "efficientnet-lite0", "efficientnet-lite0-random",
    ],
    "ecg": ["ecg-resnet", "ecg-sic"],
}  # fmt: skip
#: Where each part is, through all shadow roots: [left, top, right, bottom] of what is drawn, in CSS pixels.
PLACES = """() => {
  const all = (selector, root = document) => {
    const found = [...root.querySelectorAll(selector)];
    for (const e of root.querySelectorAll("*")) if (e.shadowRoot) found.push(...all(selector, e.shadowRoot));
    return found;
  };
  const seen = (e) => { const r = e.getBoundingClientRect(); return r.width > 0 && r.height > 0 ? r : null; };
  const place = (r) => r && [r.left, r.top, r.right, r.bottom];
  const first = (selector) => all(selector).map(seen).find(Boolean);
  const sums = all("tfoot tr").filter((e) => /logit/.test(e.textContent)).map(seen).filter(Boolean);
  return {
    answer: place(first(".xa")), predicted: place(first(".xa-predicted")), case: place(first(".xv-stage canvas, .xe-sheet")),
    sum: place(sums[0]), population: place(first(".xf")), tabs: place(first("[role=tab]")),
    scroll: document.scrollingElement.scrollTop, wide: document.documentElement.scrollWidth,
  };
}"""
IDLE = """() => {
  const all = (selector, root = document) => {
    const found = [...root.querySelectorAll(selector)];
    for (const e of root.querySelectorAll("*")) if (e.shadowRoot) found.push(...all(selector, e.shadowRoot));
    return found;
  };
  const [xv] = all(".xv"), [line] = all(".xa-predicted");
  const sums = all("tfoot tr").some((e) => /logit/.test(e.textContent) && e.getClientRects().length);
  return xv && xv.dataset.state === "idle" && xv.dataset.key && line?.textContent && sums;
}"""


@pytest.fixture(scope="module")
def server(serve_app):
    return serve_app([])


def places(page, server, app: str, model: str) -> dict:
    page.goto(f"{server.url}/{app}?model={model}")
    page.wait_for_function(IDLE, timeout=3 * PATIENCE)
    return page.evaluate(PLACES)


pages = pytest.mark.parametrize(("app", "model"), [(app, m) for app, models in PAGES.items() for m in models])


@pages
def test_everything_is_on_the_first_screen(page, server, app, model):
    for width, height in DESKTOPS:
        page.set_viewport_size({"width": width, "height": height})
        found = places(page, server, app, model)
        assert found["scroll"] == 0
        assert found["wide"] <= width, "the page scrolls sideways"
        for part in ("answer", "predicted", "case", "sum", "population", "tabs"):
            left, top, right, bottom = found[part]
            assert left >= 0, (part, width)
            assert right <= width, (part, width)
            assert top >= HEADER - 1, (part, width)
            assert bottom <= height - STATUS + 1, (part, width, found)
        assert found["population"][2] <= found["case"][0], "the population stands at the left"
        assert found["answer"][3] <= found["case"][1], "the answer stands above the case"
        assert found["sum"][0] >= found["case"][2], "the ledger stands beside the case"


@pages
def test_a_telephone_shows_the_answer_and_then_the_picture(page, server, app, model):
    width, height = 390, 844
    page.set_viewport_size({"width": width, "height": height})
    found = places(page, server, app, model)
    assert found["wide"] <= width, "the page scrolls sideways"
    assert found["answer"][1] >= HEADER - 1
    assert found["answer"][3] <= found["case"][1]
    assert found["case"][3] <= height - STATUS, "the explained picture is whole on the first screen"
    assert found["case"][1] - found["answer"][3] < 60, "nothing stands between answer and picture"
