"""The schema of an explanation: invalid ones are rejected, and saving keeps every bit."""

import numpy as np
import pytest
import xarray as xr

from xai_views.contract.explanation import PROVENANCE, combine, load, save, validate
from xai_views.errors import XaiViewsError


def part(i=0, size=4):
    rng = np.random.default_rng(i)
    return xr.Dataset(
        {
            "logit": (("sample", "class"), rng.random((1, 3), np.float32)),
            "bias": ("class", np.full(3, -0.7, np.float32)),
            "evidence": (("sample", "support"), rng.random((1, 5), np.float32)),
            "contribution": (("sample", "target", "y", "x"), rng.random((1, 2, size, size), np.float32)),
            "rendering": (
                ("sample", "target", "y", "x", "rgba"),
                rng.integers(0, 255, (1, 2, size, size, 4), np.uint8),
            ),
        },
        coords={
            "class": ["ä", "long name", "c"],
            "support_class": ("support", [0, 0, 1, 2, 2]),
            "target_class": (("sample", "target"), [[i % 3, 1]]),
        },
    )


def whole(n=3):
    attrs = dict.fromkeys(PROVENANCE, "x") | {"seed": 0, "exact": 1, "parameters": '{"smoothing": 9}'}
    return (
        combine([part(i) for i in range(n)])
        .assign_coords(sample=[f"s{i}" for i in range(n)])
        .assign_attrs(attrs)
    )


def test_combine_joins_samples_and_keeps_what_is_shared():
    ds = combine([part(i) for i in range(3)])
    assert ds.sizes["sample"] == 3
    assert ds["bias"].dims == ("class",)
    assert ds["support_class"].dims == ("support",)
    assert ds["target_class"].values.tolist() == [[0, 1], [1, 1], [2, 1]]
    for i in range(3):
        for name in ("logit", "contribution", "rendering"):
            np.testing.assert_array_equal(ds[name].values[i], part(i)[name].values[0])
            assert ds[name].dtype == part(i)[name].dtype
    xr.testing.assert_identical(combine([part(1)]), combine([part(1)]))


def test_a_round_trip_keeps_every_bit(tmp_path):
    ds = whole()
    save(ds, tmp_path / "e.zarr")
    back = load(tmp_path / "e.zarr")
    xr.testing.assert_identical(back, ds)
    assert {n: back[n].dtype for n in back.data_vars} == {n: ds[n].dtype for n in ds.data_vars}
    other = whole(2)
    assert save(other, str(tmp_path / "e.zarr")) == tmp_path / "e.zarr"
    xr.testing.assert_identical(load(tmp_path / "e.zarr"), other)
    assert [p.name for p in tmp_path.iterdir()] == ["e.zarr"], "nothing is left aside"


def test_an_older_explanation_survives_a_failed_save(tmp_path):
    save(whole(), tmp_path / "e.zarr")
    broken = whole(2)
    broken["logit"][0, 0] = np.nan
    with pytest.raises(XaiViewsError):
        save(broken, tmp_path / "e.zarr")
    assert load(tmp_path / "e.zarr").sizes["sample"] == 3


def without(name):
    def change(ds):
        del ds.attrs[name]
        return ds

    return change


def unfinite(value):
    def change(ds):
        ds["contribution"][1, 0, 2, 2] = value
        return ds

    return change


WRONG = {
    "unknown variable": (lambda ds: ds.assign(heat=ds["logit"]), "'heat'"),
    "turned": (lambda ds: ds.transpose("class", ...), "transpose"),
    "wrong dims": (lambda ds: ds.assign(bias=ds["logit"].rename("bias")), "'bias'"),
    "nan": (unfinite(np.nan), "not finite"),
    "inf": (unfinite(np.inf), "not finite"),
    **{f"no {a}": (without(a), f"'{a}'") for a in PROVENANCE},
}


@pytest.mark.parametrize("name", WRONG)
def test_what_does_not_follow_the_schema_is_refused_in_one_sentence(name, tmp_path):
    change, says = WRONG[name]
    for call in (validate, lambda ds: save(ds, tmp_path / "e.zarr")):
        with pytest.raises(XaiViewsError) as caught:
            call(change(whole()))
        assert says in str(caught.value)
        assert "\n" not in str(caught.value)
        assert str(caught.value).endswith(".")
    assert not (tmp_path / "e.zarr").exists()
    assert validate(whole()) is not None


def test_foreign_folders_are_neither_read_nor_replaced(tmp_path):
    mine = tmp_path / "thesis"
    mine.mkdir()
    (mine / "chapter.txt").write_text("years of work")
    for call in (
        lambda: save(whole(), mine),
        lambda: load(mine),
        lambda: load(tmp_path / "nowhere"),
        lambda: save(whole(), mine / "chapter.txt"),
    ):
        with pytest.raises(XaiViewsError) as caught:
            call()
        assert "\n" not in str(caught.value)
    assert (mine / "chapter.txt").read_text() == "years of work"
    assert [p.name for p in tmp_path.iterdir()] == ["thesis"]


def test_exact_is_what_the_residual_says():
    from xai_views import explain, open_model, open_samples

    birds = open_samples("birds/test").isel(sample=[0])
    assert explain(open_model("birds-cnn"), birds, "nave").attrs["exact"] == 1
    assert explain(open_model("birds-vit"), birds, "nave").attrs["exact"] == 0, (
        "its blocks normalise before the head"
    )


@pytest.mark.parametrize(
    ("model", "samples", "method"),
    [
        ("digits-sic", "digits/test", "sic"),
        ("birds-cnn", "birds/test", "nave"),
        ("ecg-resnet", "ecg/test", "ecg_clusters"),
    ],
)
def test_the_method_that_suits_the_model_is_taken(model, samples, method):
    from xai_views import explain, open_samples

    assert explain(model, open_samples(samples).isel(sample=[0])).attrs["method"] == method


def test_the_method_of_a_network_without_a_card_follows_from_what_it_takes():
    import torch

    from xai_views import methods, open_model

    image = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten())
    signal = torch.nn.Sequential(torch.nn.Conv1d(2, 4, 3), torch.nn.AdaptiveAvgPool1d(1), torch.nn.Flatten())
    assert methods.suited(open_model(image, mean=0.0, std=1.0)) == "nave"
    assert (
        methods.suited(open_model(signal, channels=2, size=(64,), leads=["I", "II"], rate=100))
        == "ecg_clusters"
    )
