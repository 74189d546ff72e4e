"""The static versions: symmetric limits, colour bars, texts; thumbnails without a server."""

import numpy as np
import pytest
import xarray as xr

from xai_views.errors import XaiViewsError
from xai_views.views import latent_map, plot


@pytest.fixture
def result():
    rng = np.random.default_rng(0)
    return xr.Dataset(
        {
            "contribution": (("sample", "target", "y", "x"), rng.normal(size=(2, 2, 8, 8))),
            "evidence": (("sample", "support"), rng.normal(size=(2, 20))),
            "segment": (("sample", "y", "x"), rng.integers(-1, 10, (2, 8, 8))),
        },
        coords={"class": ["tern", "gull"], "target_class": (("sample", "target"), [[0, 1], [1, 0]])},
        attrs={"method": "sic"},
    )


def test_signed_maps_share_symmetric_limits_and_say_the_words(result):
    layout = plot(result, 1, ["contribution"])
    assert len(layout) == 2
    top = float(np.abs(result.contribution.values[1]).max())
    for element, name in zip(layout, ["gull", "tern"], strict=True):
        options = element.opts.get().kwargs
        assert options["clim"] == pytest.approx((-top, top))
        assert options["colorbar"]
        assert name in element.label
        assert "positive" in element.label
        assert "negative" in element.label


def test_everything_that_is_there_is_drawn(result):
    import holoviews as hv

    layout = plot(result, images=np.zeros((2, 8, 8, 3), np.uint8))
    kinds = [type(element).__name__ for element in layout]
    assert kinds == ["RGB", "Image", "Image", "Image", "Bars"]
    assert len(layout.Bars.Evidence) == 12
    hv.render(layout, backend="bokeh")


def test_what_superpixels_read_of_a_map_is_drawn_beside_the_map():
    rng = np.random.default_rng(0)
    maps = {
        n: (("sample", "y", "x"), rng.normal(size=(1, 8, 8))) for n in ("attribution", "region_attribution")
    }
    layout = plot(xr.Dataset(maps, attrs={"method": "nas"}))
    assert [str(element.vdims[0]) for element in layout] == ["attribution", "region_attribution"]
    for element, (_, values) in zip(layout, maps.values(), strict=True):
        top = float(np.abs(values).max())
        assert element.opts.get().kwargs["clim"] == pytest.approx((-top, top))
        assert "red positive, blue negative" in element.label


def test_maps_on_a_coarser_grid_are_drawn_when_they_are_named(result):
    result["entropy"] = (("sample", "row", "column"), np.full((2, 4, 4), 0.5))
    assert len(plot(result, variables=["segment", "entropy"])) == 2
    assert len(plot(result)) == 4


def test_a_variable_of_a_strangers_method_is_drawn_by_its_role():
    rng = np.random.default_rng(0)
    ds = xr.Dataset(
        {
            "mine.ranks": (("sample", "y", "x"), rng.random((1, 8, 8)), {"role": "unsigned map"}),
            "mine.parts": (("sample", "y", "x"), rng.integers(0, 3, (1, 8, 8)), {"role": "labels"}),
            "mine.sum": (("sample", "part"), rng.normal(size=(1, 3)), {"role": "ledger"}),
            "mine.colours": (
                ("sample", "y", "x", "rgba"),
                rng.integers(0, 255, (1, 8, 8, 4), np.uint8),
                {"role": "image"},
            ),
            "mine.figure": ("sample", [1.0], {"role": "scalar"}),
        },
        attrs={"method": "mine"},
    )
    assert [type(e).__name__ for e in plot(ds)] == ["Image", "Image", "RGB", "Bars"]
    with pytest.raises(XaiViewsError, match=r"'mine\.figure' cannot be drawn"):
        plot(ds, variables=["mine.figure"])


@pytest.mark.parametrize(
    ("arguments", "match"),
    [({"variables": ["contributon"]}, "contribution"), ({"sample": 5}, "2 samples")],
)
def test_mistakes_are_answered_in_a_sentence(result, arguments, match):
    with pytest.raises(XaiViewsError, match=match):
        plot(result, **arguments)


def test_nothing_to_draw(result):
    with pytest.raises(XaiViewsError, match="logit"):
        plot(xr.Dataset({"logit": (("sample", "class"), np.zeros((1, 2)))}))


def test_latent_map_has_offline_thumbnails_and_reports_taps():
    rng = np.random.default_rng(0)
    chosen = []
    figure = latent_map(
        rng.normal(size=(30, 2)), rng.integers(-1, 3, 30), ["a", "b", "c"], rng.random((30, 16, 16, 3)),
        on_select=chosen.append,
    )  # fmt: skip
    source = figure.select_one({"name": "points"}) or figure.renderers[0].data_source
    assert all(thumb.startswith("data:image/jpeg;base64,") for thumb in source.data["thumb"])
    source.selected.indices = [3, 4]
    assert chosen == [[3, 4]]
    with pytest.raises(XaiViewsError, match="labels"):
        latent_map(np.zeros((3, 2)), [0], ["a"])
