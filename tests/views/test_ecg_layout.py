"""The paper in mm: known sizes of paper, and one table of cases on which Python and the browser agree."""

from __future__ import annotations

import itertools
import json
from dataclasses import asdict
from pathlib import Path

import pytest

from xai_views.errors import XaiViewsError
from xai_views.views.ecg_paper.layout import GAINS, LAYOUTS, LEADS, SPEEDS, STRIPS, TOP, ordered, sheet

SCRIPT = Path(__file__).parents[2] / "xai_views" / "views" / "ecg_paper" / "layout.js"
RECORDS = (LEADS, ("V1", "MLII"), ("II",), (*LEADS[::-1], "X", "Y", "Z"), LEADS[:8])


def by_name(page, leads, row, column):
    (found,) = [s for s in page.segments if (s.row, s.column) == (row, column)]
    return leads[found.lead]


def test_three_by_four_is_what_clinicians_know():
    page = sheet("3x4+1", LEADS)
    assert [[by_name(page, LEADS, r, c) for c in range(4)] for r in range(3)] == [
        ["I", "aVR", "V1", "V4"],
        ["II", "aVL", "V2", "V5"],
        ["III", "aVF", "V3", "V6"],
    ]
    assert [(s.x, s.width, s.start, s.stop) for s in page.segments if s.row == 0] == [
        (15, 62.5, 0, 2.5),
        (77.5, 62.5, 2.5, 5),
        (140, 62.5, 5, 7.5),
        (202.5, 62.5, 7.5, 10),
    ]
    rhythm = page.segments[-1]
    assert (LEADS[rhythm.lead], rhythm.width, rhythm.start, rhythm.stop) == ("II", 250, 0, 10)
    assert (page.width, page.height) == (270, 135)
    assert page.baselines == (25, 55, 85, 115)


def test_speed_stretches_time_only_and_gain_height_only():
    slow, fast = sheet("6x2", LEADS, speed=25), sheet("6x2", LEADS, speed=50)
    assert [s.width for s in fast.segments] == [2 * s.width for s in slow.segments] == [250] * 12
    assert [(s.start, s.y) for s in fast.segments] == [(s.start, s.y) for s in slow.segments]
    tall = sheet("6x2", LEADS, gain=20)
    assert {s.height for s in tall.segments} == {50}
    assert [s.x for s in tall.segments] == [s.x for s in slow.segments]


def test_baselines_and_rows_lie_on_the_squares():
    for layout, gain, strip, bands in itertools.product(LAYOUTS, GAINS, STRIPS, (False, True)):
        page = sheet(layout, LEADS, gain=gain, strip=strip, bands=bands)
        assert all(y % 5 == 0 for y in page.baselines)
        assert all(s.y < s.baseline < s.y + s.height and s.y % 5 == 0 for s in page.segments)


def test_strips_lie_under_their_row_and_above_the_next():
    for layout in LAYOUTS:
        page = sheet(layout, LEADS, strip="each")
        for s in page.segments:
            below = [t.y for t in page.segments if t.row == s.row + 1] or [page.height]
            assert s.y + s.height < s.strip
            assert s.strip + 8 < min(below)
        last = max(s.row for s in page.segments)
        once = sheet(layout, LEADS, strip="last")
        assert {s.row for s in once.segments if s.strip is not None} == {last}


def test_clusters_lie_above_their_row_and_below_what_is_above_it():
    for layout, strip in itertools.product(LAYOUTS, STRIPS):
        plain = sheet(layout, LEADS, strip=strip)
        assert {s.band for s in plain.segments} == {None}
        page = sheet(layout, LEADS, strip=strip, bands=True)
        for s in page.segments:
            above = [
                t.y + t.height if t.strip is None else t.strip + 8
                for t in page.segments
                if t.row == s.row - 1
            ]
            assert max(above, default=TOP) <= s.band == s.y - 5
        assert page.height == plain.height + 5 * len(page.baselines)


def test_the_order_of_the_record_does_not_matter_and_other_leads_follow():
    assert [("V1", "X", "I", "II")[i] for i in ordered(("V1", "X", "I", "II"))] == ["I", "II", "V1", "X"]
    page = sheet("3x4+1", ("V1", "MLII"))
    assert [(s.lead, s.stop - s.start) for s in page.segments] == [(0, 10), (1, 10), (0, 10)]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"layout": "4x3"}, "3x4"),
        ({"leads": ()}, "without leads"),
        ({"speed": 0}, "speed came as 0"),
        ({"gain": float("nan")}, "gain came as nan"),
        ({"strip": "both"}, "each"),
    ],
)
def test_what_cannot_be_laid_out_is_said(change, words):
    with pytest.raises(XaiViewsError, match=words):
        sheet(**{"layout": "3x4", "leads": LEADS, **change})


@pytest.mark.browser
def test_python_and_browser_agree(page):
    cases = [
        {"layout": layout, "leads": list(leads), "speed": speed, "gain": gain, "strip": strip, "totals": totals,
         "start": start, "seconds": seconds, "rhythm": rhythm, "bands": totals}
        for layout, leads, speed, gain, (strip, totals), (start, seconds, rhythm) in itertools.product(
            LAYOUTS, RECORDS, SPEEDS, GAINS, zip(STRIPS, (False, True, True), strict=True),
            ((0.0, 10.0, "II"), (3.37, 4.21, "V1")),
        )
    ]  # fmt: skip
    page.add_script_tag(content=SCRIPT.read_text(encoding="utf-8"))
    theirs = page.evaluate("cases => cases.map(sheetOf)", cases)
    assert len(cases) == 4 * 5 * 3 * 3 * 3 * 2
    for case, found in zip(cases, theirs, strict=True):
        ours = json.loads(json.dumps(asdict(sheet(**case))))
        assert len(found["segments"]) == len(ours["segments"])
        for a, b in zip(found["segments"], ours["segments"], strict=True):
            assert a == pytest.approx(b, abs=1e-9), case
        assert found["baselines"] == pytest.approx(ours["baselines"])
        for name in ("width", "height", "speed", "gain"):
            assert found[name] == pytest.approx(ours[name]), case
