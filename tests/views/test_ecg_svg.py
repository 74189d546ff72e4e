"""The static version, measured in mm."""

from __future__ import annotations

import re
from xml.etree import ElementTree as ET

import ecg_app as app
import numpy as np
import pytest

from xai_views.errors import XaiViewsError
from xai_views.views.ecg_paper.layout import LEADS, sheet
from xai_views.views.ecg_paper.record import Interval, Record
from xai_views.views.ecg_paper.svg import plot_ecg

SVG = "{http://www.w3.org/2000/svg}"


def read(text):
    return ET.fromstring(text)


def of_class(root, name, tag="*"):
    return [e for e in root.iter() if e.get("class") == name and (tag == "*" or e.tag == SVG + tag)]


def words(root):
    return [e.text or "" for e in root.iter(SVG + "text")]


def points(path):
    return np.array(re.findall(r"-?[\d.]+", path.get("d")), float).reshape(-1, 2)


@pytest.mark.parametrize(("speed", "gain"), [(25, 10), (50, 5), (12.5, 20)])
def test_size_squares_pulse_and_square_wave(speed, gain):
    root = read(plot_ecg(app.RECORDS["square"], speed=speed, gain=gain))
    page = sheet("3x4+1", LEADS, speed=speed, gain=gain)
    assert root.get("width") == f"{page.width:g}mm"
    assert root.get("viewBox") == f"0 0 {page.width:g} {page.height:g}"
    (bold,) = of_class(root, "squares")
    assert re.findall(r"M(\d+) 0v", bold.get("d")) == [str(k) for k in range(0, int(page.width) + 1, 5)]
    assert len(of_class(root, "pulse")) == 4
    assert of_class(root, "pulse")[0].get("d") == f"M3 {page.baselines[0]:g}h2v-{gain}h5v{gain}h2"
    rhythm = points(of_class(root, "trace")[-1])
    rises = rhythm[np.flatnonzero(np.diff(rhythm[:, 1]) < 0) + 1, 0]
    np.testing.assert_allclose(rises, 15 + np.arange(1, 11) * speed, atol=0.006)
    assert set(rhythm[:, 1]) == {page.baselines[-1], page.baselines[-1] - gain}


def test_words_on_the_paper():
    text = words(read(plot_ecg(app.RECORDS["beats"])))
    assert "25 mm/s  10 mm/mV" in text
    marks = [float(e.get("d")[1:].split()[0]) for e in of_class(read(plot_ecg(app.RECORDS["beats"])), "mark")]
    assert marks == [15, 90, 165, 240]
    assert "synthetic · Not for clinical use" in text
    assert not any("Hz" in word for word in text)
    assert sum(word in LEADS for word in text) == 13
    assert f"I {app.RECORDS['beats'].totals[0]:+.3g}".replace("-", "−") in text
    assert "synthetic" not in " ".join(words(read(plot_ecg(app.RECORDS["square"]))))


def test_bands_have_the_place_of_their_clusters_and_stripes_where_uncertain():
    root = read(plot_ecg(app.RECORDS["beats"]))
    page = sheet("3x4+1", LEADS, strip="each", totals=True, bands=True)
    rhythm = page.segments[-1]
    known = [
        re.findall(r"M([\d.]+) ([\d.]+)h([\d.]+)v([\d.]+)", e.get("d"))
        for e in of_class(root, "cluster-1", "path")
    ]
    bars = [float(x) for ((x, y, _, tall),) in known if (float(y), float(tall)) == (rhythm.band + 0.4, 4.2)]
    record = app.RECORDS["beats"]
    starts = np.flatnonzero(np.diff((record.cluster[0] == 1).astype(int)) == 1) + 1
    np.testing.assert_allclose(bars, [15 + s * 0.02 * 25 for s in starts if s * 0.02 < 10])
    assert not [e for e in root.iter() if (e.get("class") or "").startswith("behind")], (
        "nothing is behind the trace"
    )
    root = read(plot_ecg(app.RECORDS["beats"], bands="full"))
    bodies = {
        id_: {
            h for e in of_class(root, f"behind-{id_}", "path") for h in re.findall(r"v([\d.]+)", e.get("d"))
        }
        for id_ in (1, 2, 9)
    }
    assert bodies == {1: {"30"}, 2: {"1"}, 9: {"0.5"}}  # whole, and stripes of 1 mm and 0.5 mm
    assert len(of_class(root, "behind-2", "path")[0].get("d").split("M")) - 1 == 15  # one every 2 mm of 30
    fills = {e.get("fill") for e in of_class(root, "cluster-9")}
    assert fills == {"#E69F00", "url(#diagonal)"}
    assert {"0 P", "1 QRS", "2 T", "9 rest"} <= set(words(root))
    assert root.find(f".//{SVG}pattern[@id='diagonal']") is not None


def test_strip_bars_add_up_to_the_contributions_in_view():
    record = app.RECORDS["beats"]
    root = read(plot_ecg(record, layout="12x1"))
    page = sheet("12x1", LEADS, seconds=record.seconds, strip="each", totals=True, bands=True)
    for s in page.segments:
        middle = s.strip + 4
        bars = [e for e in of_class(root, "part") if s.strip <= float(e.get("y")) <= s.strip + 8]
        area = sum(
            float(e.get("width")) * float(e.get("height")) * (1 if float(e.get("y")) < middle - 1e-6 else -1)
            for e in bars
        )
        wanted = record.contribution[s.lead].sum() / record.bound * 4 * record.step * 25
        assert area == pytest.approx(wanted, abs=0.02 * abs(wanted) + 0.05), LEADS[s.lead]


def test_without_explanation_the_paper_is_pink_and_nothing_is_behind():
    root = read(plot_ecg(app.RECORDS["beats"], explain=False))
    assert of_class(root, "squares")[0].get("stroke") == "#efa6a6"
    for bands, line in (("thin", "#efa6a6"), ("off", "#efa6a6"), ("full", "#c6c6c6")):
        made = read(plot_ecg(app.RECORDS["beats"], bands=bands))
        assert made.find(f".//{SVG}path[@class='squares']").get("stroke") == line
    assert not [e for e in root.iter() if (e.get("class") or "").startswith(("cluster", "behind", "part"))]


def test_missing_leads_are_said_and_truth_is_bracketed():
    root = read(plot_ecg(app.RECORDS["missing"], truth=True))
    assert "missing" in words(root)
    assert "V3 is missing" in words(root)
    assert "V3" not in {e.get("data-lead") for e in of_class(root, "trace")}
    record = Record("t", ("I",), 100.0, np.zeros((1, 1000)), truth=(Interval(-1, 1.0, 2.0, "here"),))
    root = read(plot_ecg(record, layout="12x1", truth=True))
    (bracket,) = of_class(root, "truth")
    assert bracket.get("d").startswith("M41.2 15H40V29h1.2M63.8 15H65V29")
    assert "here" in words(root)


def test_long_records_keep_their_peaks():
    signal = np.zeros((1, 200_000), np.float32)
    signal[0, 100_003] = 2.0
    root = read(plot_ecg(Record("long", ("II",), 4000.0, signal), layout="12x1"))
    (trace,) = of_class(root, "trace")
    assert len(points(trace)) <= 50_000
    top = points(trace)[points(trace)[:, 1].argmin()]
    assert top == pytest.approx([15 + 25.00075 * 25, 20 - 20], abs=0.13)


def test_no_number_lies_on_a_trace_that_leaves_its_strip():
    signal = np.zeros((1, 1000), np.float32)
    signal[0, 248:252] = 3.0  # an R wave that rises through the row of clusters
    cluster = np.repeat(np.arange(10) % 2, 10)
    about = {"cluster": cluster, "step": 0.1}
    calm = words(read(plot_ecg(Record("calm", ("I",), 100.0, np.zeros((1, 1000)), **about), layout="12x1")))
    tall = words(read(plot_ecg(Record("tall", ("I",), 100.0, signal, **about), layout="12x1")))
    assert (calm.count("0"), tall.count("0")) == (6, 5)  # with that of the legend
    assert calm.count("1") == tall.count("1")


def test_long_words_end_in_dots_and_stay_on_the_sheet():
    record = Record("n" * 60, ("I",), 100.0, np.zeros((1, 1000)), title="t" * 60, flag="f" * 400)
    found = [t for t in read(plot_ecg(record, layout="12x1")).iter(SVG + "text") if float(t.get("y")) == 5.4]
    ends = [
        float(t.get("x")) + 0.56 * float(t.get("font-size")) * len(t.text)
        for t in found
        if t.get("text-anchor") == "start"
    ]
    begins = [float(t.get("x")) for t in found if t.get("text-anchor") == "start"]
    assert all(b >= e for e, b in zip(ends, begins[1:], strict=False))
    assert max(ends) < 270 - 5 - 0.56 * 3 * len("Not for clinical use")
    assert any(t.text.endswith("…") for t in found)


def test_names_are_escaped_and_notebooks_show_it():
    record = Record("<a&b>", ('"x"',), 100.0, np.zeros((1, 200)))
    text = plot_ecg(record)
    assert "<a&b>" in words(read(text))
    assert text._repr_svg_() == str(text)
    with pytest.raises(XaiViewsError, match="nearest"):
        plot_ecg(record, layout="3x5")
