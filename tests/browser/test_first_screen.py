"""The first screen of every app and shipped model: answer, case, ledger, population and tabs without scrolling."""

from __future__ import annotations

import pytest
from acts import PATIENCE

pytestmark = pytest.mark.browser

HEADER, STATUS = 48, 26
DESKTOPS = [(1440, 900), (1366, 768)]
TELEPHONE = (390, 844)
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


#: The words of sentences on the first screen: not those of tables, lists, controls, legends and the answer line.
WORDS = """() => {
  const skipped = [
    "table, select, option, button, label, input, textarea, nav, a, pre, code, svg, canvas, style, script, template, datalist",
    "[role=tab], [role=tablist], [role=listbox], [role=menu], [role=combobox], [role=toolbar], [role=slider]",
    ".xv-top, .xe-top, .xv-title, .xv-label, .xe-line, .xa, .xp, .xf, .MuiAppBar-root", // values and scales
  ].join();
  const said = [];
  const look = (node) => {
    if (node.nodeType === Node.TEXT_NODE) {
      const room = node.parentElement?.getBoundingClientRect().right ?? innerWidth, range = document.createRange();
      for (const {0: word, index} of node.data.matchAll(/\\S+/g)) {
        range.setStart(node, index);
        range.setEnd(node, index + word.length);
        const box = range.getBoundingClientRect(); // what is cut off lies beyond its element, or under the status line
        const seen = box.width && box.right <= room + 1 && box.bottom > 0 && box.bottom <= innerHeight - 26;
        if (seen) said.push(word);
      }
      return;
    }
    if (node.nodeType === Node.ELEMENT_NODE) {
      if (node.matches(skipped) || getComputedStyle(node).visibility === "hidden") return;
      const box = node.getBoundingClientRect();
      if (box.width === 1 && box.height === 1) return; // for screen readers
      if (node.localName === "details" && !node.open) node = node.querySelector("summary") ?? node;
    }
    for (const child of (node.shadowRoot ?? node).childNodes) look(child);
  };
  look(document.body);
  return said;
}"""
MOST_WORDS = 60


@pytest.fixture(scope="module")
def server(serve_app):
    return serve_app([])


@pytest.fixture(scope="module")
def window(chromium):
    """One page for all models: scripts that it has read once come from its cache."""
    context = chromium.new_context(viewport={"width": 1366, "height": 768}, color_scheme="light")
    page = context.new_page()
    yield page
    context.close()


def opened(page, server, app: str, model: str) -> None:
    page.set_viewport_size({"width": 1366, "height": 768})
    page.goto(f"{server.url}/{app}?model={model}")
    page.wait_for_function(IDLE, timeout=3 * PATIENCE)


def places(page, width: int, height: int) -> dict:
    """Return where everything is in a window of this size, once two readings are equal."""
    page.set_viewport_size({"width": width, "height": height})
    page.wait_for_function(IDLE, timeout=3 * PATIENCE)
    before, found = None, page.evaluate(PLACES)
    while before != found:
        page.wait_for_timeout(250)
        before, found = found, page.evaluate(PLACES)
    return found


@pytest.mark.parametrize(("app", "model"), [(app, m) for app, models in PAGES.items() for m in models])
def test_the_first_screen_holds_answer_case_sum_population_and_tabs(window, server, app, model):
    opened(window, server, app, model)
    faults = [
        fault for width, height in DESKTOPS for fault in misfits(places(window, width, height), width, height)
    ]
    if len(words := window.evaluate(WORDS)) > MOST_WORDS:
        faults.append(f"{len(words)} words: {' '.join(words)}")
    faults += telephone(places(window, *TELEPHONE), *TELEPHONE)
    assert not faults, "\n".join(faults)


def misfits(found: dict, width: int, height: int) -> list[str]:
    """Return what is not where a desktop's first screen has it."""
    said = [] if found["wide"] <= width else ["the page scrolls sideways"]
    if found["scroll"]:
        said.append("the page is scrolled")
    for part in ("answer", "predicted", "case", "sum", "population", "tabs"):
        if not found[part]:
            said.append(f"there is no {part}")
            continue
        left, top, right, bottom = found[part]
        if left < 0 or right > width or top < HEADER - 1 or bottom > height - STATUS + 1:
            said.append(f"{part} is off the screen: {[round(v) for v in found[part]]}")
    if all(found[part] for part in ("answer", "case", "sum", "population")):
        if found["population"][2] > found["case"][0]:
            said.append("the population does not stand at the left")
        if found["answer"][3] > found["case"][1]:
            said.append("the answer does not stand above the case")
        if found["sum"][0] < found["case"][2]:
            said.append("the ledger does not stand beside the case")
    return [f"{width} x {height}: {fault}" for fault in said]


def telephone(found: dict, width: int, height: int) -> list[str]:
    """Return what is not where a telephone's first screen has it: the answer, and then the whole picture."""
    if not (found["answer"] and found["case"]):
        return ["telephone: no answer or no picture"]
    said = [] if found["wide"] <= width else ["the page scrolls sideways"]
    if found["answer"][1] < HEADER - 1:
        said.append("the answer is under the header")
    gap = found["case"][1] - found["answer"][3]
    if not 0 <= gap < 60:
        said.append(f"{gap:.0f} pixels from answer to picture")
    if found["case"][3] > height - STATUS:
        said.append(f"the picture ends at {found['case'][3]:.0f}")
    return [f"telephone: {fault}" for fault in said]


def test_few_words_stand_on_the_start_page(window, server):
    window.set_viewport_size({"width": 1366, "height": 768})
    window.goto(server.url)
    window.get_by_role("heading", name="Look inside a trained model").wait_for()
    words = window.evaluate(WORDS.replace("table, ", "table, article, "))  # cards are lists
    assert 0 < len(words) <= MOST_WORDS, " ".join(words)
