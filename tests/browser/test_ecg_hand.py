"""ECG paper in a real Chromium: gestures, keys, texts, and the order of messages."""

import re

import numpy as np
import pytest
from acts import until
from ecg_page import ROOT, SERVED, Paper, app

from xai_views.views.ecg_paper.layout import LEADS, sheet
from xai_views.views.wire import decode_header

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def server(serve_app):
    return serve_app(SERVED)


@pytest.fixture
def paper(page, server):
    return Paper(page, f"{server.url}/four")


def test_readout_names_time_lead_volts_cluster_and_entropy(paper):
    paper.press("ArrowRight")
    paper.shows("beats")
    options = {"strip": "each", "totals": True, "bands": True}
    paper.page.mouse.move(*paper.place("V2", 5.84, **options))
    readout = paper.page.locator(".xe-readout")
    assert readout.get_attribute("aria-live") == "polite"
    time = float(readout.inner_text().split(" s")[0])
    assert time == pytest.approx(5.84, abs=0.01)
    record = app.RECORDS["beats"]
    mv = record.signal[7, round(time * 400)]
    assert readout.inner_text() == f"{time:.3f} s · lead V2 · +{mv:.3f} mV · cluster 1 QRS · uncertainty 0.10"
    told = paper.told("hover", lambda value: value["name"] == "V2")
    assert (told["lead"], told["cluster"], told["sample"]) == (7, 1, "beats")
    assert told["mv"] == pytest.approx(mv, abs=1e-3)


def test_a_brushed_interval_is_told_and_stands_out(paper):
    paper.page.keyboard.down("Shift")
    paper.drag(paper.place("II", 0.6), paper.place("II", 1.8))
    paper.page.keyboard.up("Shift")
    told = paper.told("select")
    assert (told["lead"], told["name"], told["sample"]) == (1, "II", "square")
    assert (told["start"], told["stop"]) == pytest.approx((0.6, 1.8), abs=0.011)
    paper.press("Escape")
    assert paper.told("select", lambda value: value["start"] is None)["lead"] is None


def test_a_cluster_is_chosen_by_click_key_and_legend(paper):
    paper.press("ArrowRight")
    paper.shows("beats")
    options = {"strip": "each", "totals": True, "bands": True}
    before = paper.pixels()
    paper.page.mouse.click(*paper.place("II", 1.84, **options))
    assert paper.told("cluster") == 1
    faded = paper.pixels()
    rhythm = sheet("3x4+1", LEADS, **options).segments[-1]
    p, qrs = (
        (int((rhythm.band + 0.8) * 4), int((15 + (1.6 + share * 0.8) * 25) * 4)) for share in (0.16, 0.3)
    )
    assert faded[qrs].tolist() == before[qrs].tolist()
    assert faded[p].min() > before[p].min() + 100
    paper.press("1")
    assert paper.told("cluster", lambda value: value is None) is None
    np.testing.assert_array_equal(paper.pixels(), before)
    paper.page.locator('[data-cluster="2"]').click()
    assert paper.told("cluster", lambda value: value == 2)
    paper.page.get_by_role("button", name="highlight QRS").click()
    paper.page.wait_for_selector('[data-cluster="1"][aria-pressed=true]')


def test_calipers_measure_by_hand_and_by_key(paper):
    paper.press("c")
    paper.drag(paper.place("II", 0.5, 5), paper.place("II", 1.25, 5))
    text = paper.text("caliper")
    ms = int(re.search(r"Lead II: (\d+) ms", text)[1])
    assert ms == pytest.approx(750, abs=12)
    first = paper.page.get_by_role("slider", name="Caliper 1")
    second = paper.page.get_by_role("slider", name="Caliper 2")
    start = float(first.get_attribute("aria-valuenow"))
    second.focus()
    paper.press("ArrowRight")
    assert int(re.search(r"(\d+) ms", paper.text("caliper"))[1]) == pytest.approx(ms + 2.5, abs=0.51)
    paper.press("Shift+ArrowLeft", "x", "ArrowLeft")
    assert float(first.get_attribute("aria-valuenow")) == pytest.approx(start - 1 / 400, abs=1e-3)
    a, b = (float(m.get_attribute("aria-valuenow")) for m in (first, second))
    mv = float(app.square()[round(b * 400)] - app.square()[round(a * 400)])
    sign = "−" if mv < 0 else "+"
    found = re.fullmatch(r"Lead II: (\d+) ms · (.+) mV · ([\d.]+) bpm", paper.text("caliper"))
    assert float(found[1]) == pytest.approx(1000 * (b - a), abs=2)
    assert found[2] == f"{sign}{abs(mv):.3f}"
    assert float(found[3]) == pytest.approx(60 / (b - a), rel=0.01)
    paper.press("Enter")
    told = paper.told("select")
    assert (told["name"], told["start"], told["stop"]) == (
        "II",
        pytest.approx(a, abs=1e-3),
        pytest.approx(b, abs=1e-3),
    )


def test_qt_is_corrected_by_the_preceding_rr(paper):
    paper.press("c")
    paper.drag(paper.place("II", 0.5), paper.place("II", 1.3))
    rr = int(re.search(r"(\d+) ms", paper.text("caliper"))[1])
    paper.page.get_by_role("button", name="Use as RR").click()
    paper.drag(paper.place("II", 1.0), paper.place("II", 1.4))
    found = re.search(
        r"QT (\d+) ms .* RR (\d+) ms .* QTc (\d+) ms \(Bazett\), (\d+) ms \(Fridericia\)",
        paper.text("caliper"),
    )
    qt, same, bazett, fridericia = map(int, found.groups())
    assert same == rr
    assert qt == pytest.approx(400, abs=12)
    assert bazett == pytest.approx(qt / (rr / 1000) ** (1 / 2), abs=1.6)
    assert fridericia == pytest.approx(qt / (rr / 1000) ** (1 / 3), abs=1.6)


def test_corrections_of_qt_against_known_values(page):
    page.add_script_tag(content=(ROOT / "xai_views/views/ecg_paper/measure.js").read_text())
    at_60, at_100 = page.evaluate("[correctedQt(400, 1000), correctedQt(360, 600)]")
    assert at_60 == {"bazett": 400, "fridericia": 400}
    assert (at_100["bazett"], at_100["fridericia"]) == pytest.approx((464.758, 426.831), abs=1e-2)
    assert page.evaluate("intervalOf(2, 2.6)") == pytest.approx({"ms": 600, "bpm": 100})
    assert page.evaluate("caliperWords({a: 1, b: 1})") == "0 ms"


def test_a_scrolled_record_moves_under_minimap_keys_and_drag(paper):
    paper.choose("layout", "12x1")
    paper.press("+", "+")
    zoomed = paper.number("seconds")
    assert zoomed < 9
    window = paper.page.locator(".xe-map")
    window.focus()
    paper.press("End")
    assert paper.number("start") == pytest.approx(10.24 - zoomed, abs=0.01)
    paper.press("ArrowLeft")
    assert paper.number("start") == pytest.approx(10.24 - zoomed - 0.5, abs=0.01)
    box = window.bounding_box()
    second = box["width"] / 10.24
    middle = box["x"] + (paper.number("start") + zoomed / 2) * second
    paper.drag((middle, box["y"] + 20), (middle - second, box["y"] + 20))
    assert paper.number("start") == pytest.approx(10.24 - zoomed - 1.5, abs=0.05)
    start = paper.number("start")
    paper.drag(paper.at(150, 60), paper.at(125, 60))  # 25 mm to the left
    wanted = min(start + 25 / 25, 10.24 - zoomed)  # 25 mm are a second
    assert paper.number("start") == pytest.approx(wanted, abs=0.03)
    assert paper.number("ppm") == pytest.approx(4 * 1.25**2)
    paper.press("Home")
    assert paper.number("ppm") == 4
    assert float(window.get_attribute("aria-valuenow")) == paper.number("start")


def test_settings_are_keys_too_and_told_to_python(paper):
    paper.press("l", "v", "g")
    told = paper.told("settings", lambda value: value["gain"] == 20)
    assert (told["layout"], told["speed"]) == ("3x4", 50)
    assert paper.text("line").startswith("50 mm/s  20 mm/mV, 3x4")
    paper.press("n")
    told = paper.page.locator(".told pre")
    assert until(paper.page, lambda: "key n" in told.inner_text().splitlines())
    paper.press("?")
    assert "next finding" in paper.page.get_by_role("dialog", name="Keys").inner_text()
    paper.press("Escape")
    assert not paper.page.get_by_role("dialog", name="Keys").is_visible()


def test_coarse_first_in_40_kb_then_in_full(page, server):
    paper = Paper(page, f"{server.url}/many", "r0")
    page.wait_for_timeout(1500)
    frames = [data for data in paper.got if isinstance(data, bytes) and data[:4] == b"XV1\0"]
    sent = [(decode_header(data), len(data)) for data in frames]
    assert [header["key"] for header, _ in sent if header["full"]] == ["r0|"]  # only what is in view
    coarse = {header["key"]: size for header, size in sent if not header["full"]}
    assert set(coarse) == {f"r{i}|" for i in range(9)}
    assert max(coarse.values()) <= 40_000
    assert paper.root.get_attribute("data-full") == "true"


def test_scrubbing_draws_from_the_cache_and_keeps_64(page, server):
    paper = Paper(page, f"{server.url}/many", "r0")
    page.wait_for_selector(".xe[data-cached='9']")  # itself and the eight after it
    shown = page.evaluate("""() => {
      const inside = (e) => (e.shadowRoot ? all(e.shadowRoot) : []);
      const all = (node) => [...node.querySelectorAll("*")].flatMap((e) => [e, ...inside(e)]);
      const root = all(document).find((e) => e.matches(".xe")), keys = [];
      for (let i = 0; i < 4; i++) {
        root.dispatchEvent(new KeyboardEvent("keydown", {key: "ArrowRight", bubbles: true, composed: true}));
        keys.push(root.dataset.key);
      }
      return keys;
    }""")  # drawn within the very event
    assert shown == ["r1|", "r2|", "r3|", "r4|"]
    for position in range(10, 100, 5):
        page.locator("input.xv-scrubber").evaluate(
            "(input, value) => { input.value = value; input.dispatchEvent(new Event('input')); }", position
        )
        paper.shows(f"r{position}", full=False)
        page.wait_for_timeout(150)
    page.wait_for_timeout(1500)
    assert int(paper.root.get_attribute("data-cached")) == 64


def test_stale_answers_are_dropped(page, server):
    paper = Paper(page, f"{server.url}/slow")
    paper.press("ArrowRight", "ArrowLeft")
    page.wait_for_timeout(1200)
    assert paper.root.get_attribute("data-key") == "square|"


def test_calibration_makes_the_paper_true_to_size(page, server):
    paper = Paper(page, f"{server.url}/app")
    assert "fitted to the width, not true to size" in paper.text("line")
    paper.page.locator(".xv-more summary").first.click()
    paper.choose("size", "true")  # not known yet: the calibration opens instead
    bar = paper.page.locator(".xe-card")
    box = bar.bounding_box()
    y = box["y"] + 10
    paper.drag((box["x"] + box["width"] - 2, y), (box["x"] + 428, y))
    paper.page.get_by_role("button", name="Keep").click()
    assert paper.number("ppm") == pytest.approx(428 / 85.6, abs=0.02)
    assert "true to size on this screen as calibrated" in paper.text("line")
    stored = float(page.evaluate("localStorage.getItem('xai-views.px-per-mm')"))
    assert stored == pytest.approx(paper.number("ppm"), abs=1e-3)
    page.reload()
    paper.shows("square")
    paper.page.locator(".xv-more summary").first.click()
    paper.choose("size", "true")
    assert paper.number("ppm") == pytest.approx(stored, abs=1e-3)


def test_on_a_phone_the_paper_stays_legible_and_is_dragged(page, server):
    page.set_viewport_size({"width": 390, "height": 844})
    paper = Paper(page, f"{server.url}/app")
    assert paper.number("ppm") == 2.4
    assert "smallest legible size" in paper.text("line")
    before = paper.pixels()
    assert before.shape[1] < 390
    paper.drag(paper.at(117, 60), paper.at(20, 60))  # 97 mm to the left
    after = paper.pixels()
    shift = 97 * 2.4
    assert after[3].tolist() != before[3].tolist()
    columns = np.flatnonzero((after[3] == [0xEF, 0xA6, 0xA6]).all(-1))
    assert (columns[:5] + shift) / 12 == pytest.approx(np.rint((columns[:5] + shift) / 12), abs=0.09)
