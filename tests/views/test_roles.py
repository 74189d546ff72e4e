"""Drawing by role: pictures, scales, and values that only the table shows."""

import numpy as np
import pytest
import xarray as xr

from xai_views.contract.explanation import with_roles
from xai_views.errors import XaiViewsError
from xai_views.views import decode, roles

RNG = np.random.default_rng(0)


@pytest.fixture
def image():
    ds = xr.Dataset(
        {
            "contribution": (("sample", "target", "y", "x"), RNG.normal(size=(1, 2, 8, 8))),
            "segment": (("sample", "y", "x"), RNG.integers(-1, 3, (1, 8, 8))),
            "entropy": (("sample", "row", "column"), RNG.random((1, 4, 4))),
            "logit": (("sample", "class"), [[0.5, -9.0, 2.0]]),
            "cluster_contribution": (("sample", "target", "cluster"), RNG.normal(size=(1, 2, 3))),
            "mine.colours": (("sample", "y", "x", "rgba"), RNG.integers(0, 255, (1, 8, 8, 4), np.uint8)),
            "mine.unknown": (("sample", "y", "x"), RNG.random((1, 8, 8))),
        },
        coords={"class": ["tern", "gull", "skua"], "target_class": (("sample", "target"), [[2, 0]])},
    )
    return with_roles(ds, {"mine.colours": "image"})


@pytest.fixture
def signal():
    values = {
        n: (("sample", "lead", "time"), RNG.random((1, 2, 100))) for n in ("attribution", "uncertainty")
    }
    return with_roles(xr.Dataset(values, coords={"time": np.arange(100) / 50.0}))


def test_every_map_becomes_a_tile_and_the_rest_does_not(image):
    found = {p.id: p for p in roles.pictures(image)}
    assert list(found) == ["contribution.0", "contribution.1", "segment", "entropy", "mine.colours"]
    assert found["contribution.0"].title == "contribution for skua"
    np.testing.assert_array_equal(found["contribution.1"].values, image["contribution"].values[0, 1])
    assert set(roles.layout(list(found.values()))["tiles"]) == {"photo", *found}


def test_the_wire_holds_what_the_dataset_holds_on_one_scale(image):
    frame = decode(roles.frame("k", image, RNG.random((8, 8, 3)), "a"))
    maps = {(m["tile"], m["layer"]): m for m in frame.header["maps"]}
    scales = {m["scale"] for (tile, _), m in maps.items() if tile.startswith("contribution")}
    assert scales == {np.abs(image["contribution"].values).max() / 127}
    assert maps["segment", "segment"]["kind"] == "label"
    assert maps["entropy", "entropy"]["kind"] == "sequential"
    assert frame.header["text"].startswith(
        "Sample a: the network predicts skua. Shown: contribution, segment, entropy, colours"
    )
    assert not decode(roles.frame("k", image, RNG.random((8, 8, 3)), final=False)).header["final"]


def test_figures_say_the_answer_first_and_shares_by_size(image):
    rows = roles.figures(image)
    assert [r["what"] for r in rows if r["id"].startswith("logit")] == [
        "logit skua",
        "logit tern",
        "logit gull",
    ]
    shares = [abs(r["value"]) for r in rows if r["id"].startswith("cluster")]
    assert shares == sorted(shares, reverse=True)
    assert rows[3]["what"].startswith("cluster contribution for ")


def test_maps_of_a_record_become_papers_of_its_length(signal):
    record = RNG.normal(size=(2, 100)).astype(np.float32)
    papers = roles.records(signal, record, ["I", "II"], 50.0, "r")
    assert [p.name for p in papers] == ["r: attribution", "r: uncertainty"]
    for paper, name in zip(papers, ("attribution", "uncertainty"), strict=True):
        np.testing.assert_allclose(paper.contribution, signal[name].values[0])
        assert paper.contribution_step * paper.contribution.shape[1] == pytest.approx(2.0)


def test_a_variable_called_like_a_dimension_is_drawn_too():
    ds = xr.Dataset({"proportion": (("sample", "cluster"), [[0.5, 0.5]])})
    ds = ds.assign(cluster=(("sample", "time"), np.array([[0, 0, 1, 1]])))
    ds = with_roles(ds.assign(time_contribution=(("sample", "target", "time"), RNG.normal(size=(1, 1, 4)))))
    assert {p.variable: p.role for p in roles.pictures(ds)} == {
        "cluster": "labels",
        "time_contribution": "signed map",
    }


def test_a_sample_that_is_not_there_is_one_sentence(image):
    with pytest.raises(XaiViewsError, match="sample 3 was requested and the explanation has 1"):
        roles.pictures(image, 3)
