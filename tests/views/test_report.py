"""A report is one file that opens offline: nothing runs, nothing is loaded, and its numbers are those of the explanation."""

import csv
import io
import xml.etree.ElementTree as ET
from html.parser import HTMLParser

import numpy as np
import pytest
import xarray as xr
from PIL import Image

from xai_views.views import Frame, colour
from xai_views.views.report import figures, ledgers, sheet
from xai_views.views.report.report import Words, report

CLASSES = ["one", "<two>"]
PROVENANCE = {
    "method": "mine", "parameters": '{"k": 3, "targets": [-1]}', "model": "toy", "model_sha256": "a" * 64,
    "samples_sha256": "b" * 64, "version": "1", "seed": 0, "device": "cpu", "exact": 1, "batch": 1,
}  # fmt: skip


class Tags(list):
    """Every tag of a page with its attributes."""

    def __init__(self, page):
        super().__init__()
        reader = HTMLParser()
        reader.handle_starttag = lambda tag, attributes: self.append((tag, dict(attributes)))
        reader.feed(page)


@pytest.fixture
def ds():
    rng = np.random.default_rng(0)
    parts, bias = rng.normal(size=4), rng.normal(size=2)
    logit = np.array([bias[0] + parts.sum() + 0.25, -1.0])
    return xr.Dataset(
        {
            "logit": (("sample", "class"), logit[None]),
            "probability": (("sample", "class"), [[0.75, 0.25]]),
            "bias": ("class", bias),
            "cluster_contribution": (("sample", "target", "cluster"), parts[None, None]),
            "residual": (("sample", "target"), [[0.25]]),
            "contribution": (("sample", "target", "y", "x"), rng.normal(size=(1, 1, 8, 8))),
        },
        coords={"class": CLASSES, "target_class": (("sample", "target"), [[0]])},
        attrs=PROVENANCE,
    )


@pytest.fixture
def frame():
    photo = np.full((8, 8, 3), 200, np.uint8)
    values = np.linspace(-1, 1, 64).reshape(8, 8)
    made = Frame("s|x")
    made.photo([photo, photo], ["main", "row-0"])
    made.signed_map("main", "contribution", values)
    made.legend("contribution", title="contribution", target="<two>", unit="logit")
    made.label_map("clusters", "cluster", np.repeat([[0, 1]], 8, 0).repeat(4, 1), ["a", "b"])
    made.tile("empty", reason="nothing")
    made.signed_map("row-0", "support", values)
    made.table(["x"], [{"id": "0", "tiles": ["row-0"], "cells": ["x"], "value": 1.0}])
    return made.to_bytes()


LAYOUT = {
    "tiles": {
        "main": {"label": "Sample", "layers": ["contribution"]},
        "clusters": {"label": "Clusters", "photo": "main"},
        "empty": {"label": "Nothing"},
    },
    "table": {"layers": ["support"]},
}


def test_the_ledger_adds_up_to_the_logit(ds):
    found = ledgers.ledger_of(ds)
    sums = dict(found.sums)
    assert (found.target, len(found.rows)) == ("one", 4)
    assert sum(v for _, v in found.rows) + sums["bias"] + sums["residual"] == pytest.approx(
        sums["sum"], abs=1e-12
    )
    assert sums["sum"] == pytest.approx(sums["logit"], abs=1e-12)


def test_the_table_holds_all_digits_and_the_provenance(ds):
    text = ledgers.explanation_csv(ds, {"link": "http://x\n# model: another"})
    head = [line for line in text.splitlines() if line.startswith("# ")]
    assert {line.partition(": ")[0][2:] for line in head} >= set(PROVENANCE)
    assert sum(line.startswith("# model:") for line in head) == 1, "a value cannot begin a line of its own"
    rows = list(csv.DictReader(line for line in io.StringIO(text) if not line.startswith("#")))
    logits = {r["item"]: float(r["value"]) for r in rows if r["quantity"] == "logit"}
    assert logits == dict(zip(CLASSES, ds["logit"].values[0].tolist(), strict=True)), "bit for bit"
    assert len([r for r in rows if r["quantity"] == "cluster_contribution"]) == 4


def test_a_spreadsheet_runs_nothing_of_a_table():
    text = ledgers.table_csv(
        [{"key": "a"}, {"key": "b", "kind": "image"}],
        [{"a": '=HYPERLINK("x")', "b": 1}, {"a": -0.5}, {"a": "-0.5"}],
    )
    rows = list(csv.reader(io.StringIO(text)))
    assert rows == [["a"], ['\'=HYPERLINK("x")'], ["-0.5"], ["-0.5"]]


def test_pictures_are_those_of_the_canvas(frame):
    main, clusters = figures.of_frame(frame, LAYOUT)
    assert (main.title, clusters.title) == ("Sample", "Clusters"), "an empty tile is left out"
    (legend,) = main.legends
    assert legend.ticks[0] == "−" + legend.ticks[2][1:], "symmetric"
    assert (legend.low, legend.high) == ("lowers <two>", "raises <two>")
    reds = main.pixels[..., 0].astype(int) - main.pixels[..., 2]
    assert reds[0, 0] < -30, "negative is blue"
    assert reds[-1, -1] > 30, "positive is red"
    assert abs(reds[3, 7]) < 12, "zero shows the photo"
    assert [n for _, n in clusters.legends[0].names] == ["0 a", "1 b"]
    assert clusters.legends[0].names[0][0] == colour.category(0)[0]
    assert figures.row_pictures(frame, LAYOUT)["row-0"].shape == (8, 8, 3)


def test_the_original_is_shown_once(frame):
    photo = np.full((8, 8, 3), 200, np.uint8)
    first, *_ = more = figures.with_original(figures.of_frame(frame, LAYOUT), photo)
    assert (first.title, len(more)) == ("Original", 3)
    assert len(figures.with_original(more, photo)) == 3


def test_a_report_runs_and_loads_nothing(ds, frame):
    evil = '"><script>alert(1)</script><img src=http://x.org/a.png onerror=alert(1)>'
    words = Words(
        evil,
        {"Model": evil},
        evil,
        evil,
        (evil,),
        evil,
        evil,
        "javascript:alert(1)",
        evil,
        synthetic=True,
        medical=True,
    )
    drawn = figures.of_frame(frame, LAYOUT)
    drawn[0] = figures.Figure(evil, evil, drawn[0].pixels, legends=drawn[0].legends)
    page = report(ds, drawn, words)
    tags = Tags(page)
    assert "script" not in {tag for tag, _ in tags}
    assert not [n for _, attributes in tags for n in attributes if n.startswith("on")]
    addresses = [a[n] for _, a in tags for n in ("src", "href") if n in a]
    assert addresses
    assert all(a.startswith("data:image/png") for a in addresses), "no link that is not http, nothing to load"
    assert "url(" not in page
    assert "default-src 'none'" in page
    assert page.count("<h1>") == 1
    assert "Synthetic data" in page
    assert "Not for clinical use" in page


def test_a_report_says_everything(ds, frame):
    drawn = figures.of_frame(frame, LAYOUT)
    words = Words(
        "T",
        {"Model": "toy"},
        "one, probability 0.75",
        "It shows a.",
        ("b",),
        "my note\nsecond line",
        "mine",
        "http://h/sic?x=1",
        "now",
    )
    page = report(ds, drawn, words, row_pictures=[[drawn[0].pixels]] * 4)
    for said in (
        "one, probability 0.75",
        "It shows a.",
        "my note",
        "second line",
        "mine",
        "now",
        'href="http://h/sic?x=1"',
        "a" * 64,
        "k = 3",
    ):
        assert said in page, said
    assert "Synthetic data" not in page
    assert "Not for clinical use" not in page
    assert page.count("data:image/png") == 2 + 4
    number = f"{float(ds['logit'].values[0, 0]):+.4f}".replace("-", "−")
    assert page.count(number) >= 2, "in the table of classes and as the sum"


def test_sheets_are_files(frame):
    drawn = figures.of_frame(frame, LAYOUT)
    root = ET.fromstring(sheet.svg("a < b", drawn, "caption & more"))
    texts = "".join(root.itertext())
    assert all(word in texts for word in ("a < b", "caption & more", "raises <two>", "0 a"))
    assert len([e for e in root.iter() if e.tag.endswith("image")]) == 2
    picture = Image.open(io.BytesIO(sheet.raster("a", drawn, "caption")))
    assert picture.format == "PNG"
    assert picture.width >= 2 * sheet.SIDE
    alone = figures.Figure("ecg", svg="<svg/>")
    assert sheet.svg("x", [alone]) == "<svg/>"
