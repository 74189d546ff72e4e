"""ECG paper in a real Chromium: grid, pulse, traces and explanations, measured in pixels."""

import json
import re

import numpy as np
import pytest
from ecg_page import SERVED, Paper, app

from xai_views.views.colour import CATEGORICAL
from xai_views.views.ecg_paper.layout import LEADS, sheet

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def server(serve_app):
    return serve_app(SERVED)


@pytest.fixture
def paper(page, server):
    return Paper(page, f"{server.url}/four")


def dark(line):
    """Centres of the runs of black pixels along a line of pixels."""
    black = (line.max(-1) < 150).astype(int)
    edges = np.flatnonzero(np.diff(np.concatenate(([0], black, [0]))))
    return (edges[::2] + edges[1::2]) / 2


def like(line, colour):
    return np.flatnonzero((line == [int(colour[i : i + 2], 16) for i in (1, 3, 5)]).all(-1))


def test_squares_are_1_and_5_mm(paper):
    pixels = paper.pixels()
    across, down = pixels[10, :1080], pixels[:540, 1070]  # beside everything that is printed
    np.testing.assert_array_equal(like(across, "#efa6a6"), np.arange(0, 1080, 20))
    np.testing.assert_array_equal(like(down, "#efa6a6"), np.arange(0, 540, 20))
    fine = like(across, "#fbdcdc")
    np.testing.assert_array_equal(fine, [x for x in range(0, 1080, 4) if x % 20])
    assert paper.text("line").startswith("25 mm/s  10 mm/mV, 3x4+1, 4.00 px per mm (fixed size)")


@pytest.mark.parametrize("gain", [5, 10, 20])
def test_the_pulse_is_1_mv_and_5_mm_wide(paper, gain):
    paper.choose("gain", gain)
    pixels = paper.pixels()
    for baseline in sheet("3x4+1", LEADS, gain=gain).baselines:
        top, bottom = int((baseline - gain - 2) * 4), int((baseline + 2) * 4)
        foot, head = dark(pixels[top:bottom, 16]) + top, dark(pixels[top:bottom, 30]) + top
        assert foot == pytest.approx([baseline * 4], abs=0.75)
        assert head == pytest.approx([(baseline - gain) * 4], abs=0.75)
        sides = dark(pixels[int((baseline - gain / 2) * 4), :55])
        assert sides == pytest.approx([20, 40], abs=0.75)


@pytest.mark.parametrize(("speed", "seconds"), [(12.5, 10), (25, 10), (50, 6.5)])
def test_a_square_wave_of_1_hz_and_1_mv_lies_where_it_should(paper, speed, seconds):
    paper.choose("speed", speed)
    pixels = paper.pixels()
    plan = sheet("3x4+1", LEADS, speed=speed)
    rhythm = plan.segments[-1]
    row = pixels[int((rhythm.baseline - 5) * 4)]
    wanted = [(15 + t * speed) * 4 for t in np.arange(0.5, seconds, 0.5)]
    edges = dark(row)
    edges = edges[(edges > 64) & (edges < (15 + seconds * speed) * 4 - 2)]
    assert edges == pytest.approx(wanted, abs=0.75)
    for t, level in ((1.25, 1), (1.75, 0)):
        column = pixels[int((rhythm.y + 2) * 4) :, int((15 + t * speed) * 4)]
        assert dark(column)[0] + int((rhythm.y + 2) * 4) == pytest.approx(
            (rhythm.baseline - 10 * level) * 4, abs=0.75
        )


def test_the_twelve_leads_lie_in_four_columns_with_ticks(paper):
    paper.press("ArrowRight")
    paper.shows("beats")
    paper.press("o")  # the explanation is off
    assert paper.pixels()[2, 20].tolist() == [0xEF, 0xA6, 0xA6]
    pixels = paper.pixels()
    for s in sheet("3x4+1", LEADS).segments:
        t = next(k * 0.8 + 0.24 for k in range(20) if s.start + 0.3 < k * 0.8 + 0.24 < s.stop)  # an R wave
        x, height = (s.x + (t - s.start) * 25) * 4, app.GAINS[s.lead] * 1.1 * 10
        if abs(height) < 4:
            continue
        y = (s.baseline - height) * 4
        window = pixels[int(y) - 8 : int(y) + 9, int(x) - 6 : int(x) + 7].max(-1) < 150
        ys = np.flatnonzero(window.any(1)) + int(y) - 8
        assert (ys.min() if height > 0 else ys.max()) == pytest.approx(y, abs=3)
        if s.column:
            tick = pixels[int((s.baseline + 2) * 4) : int((s.baseline + 4) * 4), int(s.x * 4)]
            assert (tick.max(-1) < 150).all()


def test_clusters_lie_in_a_row_above_pink_paper_and_behind_the_trace_when_asked(paper):
    paper.press("ArrowRight")
    paper.shows("beats")
    pixels = paper.pixels()
    assert pixels[2, 20].tolist() == [0xEF, 0xA6, 0xA6]
    plan = sheet("3x4+1", LEADS, strip="each", totals=True, bands=True)
    rhythm = plan.segments[-1]
    x = int((15 + (1.6 + 0.3 * 0.8 + 0.03) * 25) * 4)  # beside the R wave, in its cluster
    low = pixels[int((rhythm.baseline + 8) * 4) : int((rhythm.baseline + 13) * 4), x]
    assert (low[:, 1] == low[:, 2]).all(), "nothing but pink behind the trace"
    centre = {0: 0.16, 1: 0.3, 2: 0.52}
    for id_, share in centre.items():
        x, y = int((15 + (1.6 + share * 0.8) * 25) * 4), int((rhythm.band + 0.8) * 4)
        colour = np.array([int(CATEGORICAL[id_][i : i + 2], 16) for i in (1, 3, 5)])
        ink, seen = 255 - colour, 255 - pixels[y, x]  # a number's white rim may lie over the colour
        share = float(ink @ seen / (ink @ ink))
        assert 0.7 < share < 1.05, id_
        assert seen == pytest.approx(share * ink, abs=20), id_
    paper.choose("bands", "full")
    pixels = paper.pixels()
    assert pixels[2, 20].tolist() == [0xC6] * 3
    x = int((15 + (1.6 + 0.3 * 0.8 + 0.03) * 25) * 4)  # beside the R wave, in its band
    low = pixels[int((rhythm.baseline + 8) * 4) : int((rhythm.baseline + 13) * 4), x]
    assert (low[:, 0] > low[:, 2] + 30).all()  # orange, whole
    x = int((15 + (1.6 + 0.52 * 0.8) * 25) * 4)
    unsure = pixels[int((rhythm.y + 20) * 4) : int((rhythm.y + 29) * 4), x]
    green = (unsure[:, 1] > unsure[:, 0] + 20).astype(int)
    assert 0.35 < green.mean() < 0.65  # half of it: stripes 2 mm apart
    assert np.diff(np.flatnonzero(np.diff(green) == 1)) == pytest.approx(8, abs=1)


def test_strip_has_signed_colours_shared_limits_and_totals(paper):
    paper.press("ArrowRight")
    paper.shows("beats")
    pixels = paper.pixels()
    plan = sheet("3x4+1", LEADS, strip="each", totals=True, bands=True)
    heights = {}
    for s in plan.segments[:12]:
        t = next(k * 0.8 + 0.24 for k in range(20) if s.start + 0.2 < k * 0.8 + 0.24 < s.stop - 0.1)
        column = pixels[int(s.strip * 4) : int((s.strip + 8) * 4), int((s.x + (t - s.start) * 25) * 4)]
        red, blue = column[:, 0] > column[:, 2] + 20, column[:, 2] > column[:, 0] + 20
        heights[LEADS[s.lead]] = int(red.sum()) - int(blue.sum())
        assert not red[17:].any(), "for is above the line"
        assert not blue[:15].any(), "against is below the line"
    for lead, gain in zip(LEADS, app.GAINS, strict=True):
        assert heights[lead] == pytest.approx(16 * gain / 1.2, abs=1.6), lead
    scale = paper.page.locator(".xv-scale")
    assert scale.get_attribute("data-limit") == "0.024"
    assert re.search(r"wide QRS.*lowers −0.024.*0.024\d* raises", " ".join(scale.inner_text().split()))
    paper.page.locator(".xe-twin summary").click()
    twin = paper.page.locator(".xe-twin").inner_text()
    total = app.RECORDS["beats"].totals[0]
    assert re.search(rf"I\s+−{abs(total):.3f}", twin)


def test_python_highlights_an_interval(paper):
    paper.press("ArrowRight")
    paper.shows("beats")
    full = paper.pixels()
    paper.page.get_by_role("button", name="highlight interval").click()
    rhythm = sheet("3x4+1", LEADS, strip="each", totals=True, bands=True).segments[-1]
    inside, outside = ((int((rhythm.band + 0.8) * 4), int((15 + (t * 0.8 + 0.24) * 25) * 4)) for t in (3, 6))
    for _ in range(50):
        veiled = paper.pixels()
        if veiled[outside].min() > full[outside].min() + 60:
            break
        paper.page.wait_for_timeout(100)
    assert veiled[outside].min() > full[outside].min() + 60
    assert veiled[inside].tolist() == full[inside].tolist()


def test_truth_is_bracketed_when_asked(paper):
    paper.press("ArrowRight")
    paper.shows("beats")
    paper.choose("layout", "12x1")
    off = paper.pixels()
    paper.press("t")
    on = paper.pixels()
    rows, columns = np.nonzero((off != on).any(-1))
    plan = sheet("12x1", LEADS, strip="each", totals=True, bands=True)
    v1 = next(s for s in plan.segments if s.lead == 6)
    assert rows.min() >= v1.y * 4
    assert rows.max() <= (v1.y + v1.height) * 4
    assert columns.min() == pytest.approx((15 + 0.24 * 0.8 * 25) * 4, abs=2)


def test_another_context_asks_again_and_one_row_is_one_strip(page, server):
    paper = Paper(page, f"{server.url}/four")
    paper.press("ArrowRight")
    paper.shows("beats")
    page.get_by_role("button", name="last").click()
    page.wait_for_selector('.xe[data-key="beats|last"][data-state=idle]')
    height = paper.page.locator(".xe-sheet").evaluate("canvas => canvas.height")
    assert height == sheet("3x4+1", LEADS, strip="last", bands=True).height * 4


def test_missing_leads_and_errors_are_words(paper):
    paper.press("ArrowRight", "ArrowRight")
    paper.shows("missing")
    paper.page.locator(".xe-twin summary").click()
    assert "V3 is missing" in paper.text("text")
    pixels = paper.pixels()
    v3 = next(s for s in sheet("3x4+1", LEADS).segments if s.lead == 8)
    along = pixels[int(v3.baseline * 4), int(v3.x * 4) + 40 : int((v3.x + v3.width) * 4)].max(-1)
    assert 0.3 < (along < 170).mean() < 0.7  # dashed
    paper.root.focus()
    paper.press("ArrowRight", "ArrowRight")
    alert = paper.page.get_by_role("alert")
    alert.wait_for()
    assert "the record 'broken' has no leads" in alert.inner_text().lower().replace(
        "the record", "the record"
    )


def test_paper_stays_paper_in_the_dark(paper):
    before = paper.pixels()
    paper.page.get_by_role("button", name="dark").click()
    paper.page.wait_for_selector(".xe[data-theme=dark]")
    np.testing.assert_array_equal(paper.pixels(), before)
    ink = paper.page.locator(".xe-line").evaluate("e => getComputedStyle(e).color")
    assert min(json.loads(re.sub(r"rgb\((.*)\)", r"[\1]", ink))) > 128
