"""Two explanations side by side: which maps are subtracted, and both answers by class."""

import numpy as np
import pytest
import xarray as xr

from xai_views.contract.explanation import with_roles
from xai_views.engine.comparing import Map, answers, apart, difference, label_map, limit_of, main_map


def explanation(values, name="contribution", **more):
    dims = ("sample", "target", "y", "x") if name == "contribution" else ("sample", "y", "x")
    shape = (1,) * (len(dims) - 2) + values.shape
    return with_roles(
        xr.Dataset(
            {name: (dims, values.reshape(shape)), **more},
            coords={"target_class": (("sample", "target"), [[2]])},
        )
    )


def test_clusters_are_read_by_what_they_contribute():
    segment = np.array([[0, 0], [0, 1]])
    ds = with_roles(
        xr.Dataset(
            {
                "segment": (("sample", "y", "x"), segment[None]),
                "cluster_contribution": (("sample", "target", "cluster"), [[[3.0, -2.0]]]),
                "entropy": (("sample", "y", "x"), np.ones((1, 2, 2))),
            }
        )
    )
    found = main_map(ds)
    np.testing.assert_allclose(found.values, [[1, 1], [1, -2]])
    assert found.role == "signed map"
    np.testing.assert_array_equal(label_map(ds).values, segment)


def test_maps_of_other_samples_are_no_main_map():
    ds = with_roles(
        xr.Dataset({"support_contribution": (("sample", "match", "y", "x"), np.ones((1, 2, 3, 3)))})
    )
    assert main_map(ds) is None
    assert label_map(ds) is None


def test_one_quantity_on_one_grid_is_subtracted_and_nothing_else():
    one, other = (main_map(explanation(np.full((4, 4), v))) for v in (1.0, 3.0))
    assert apart(one, other) == ""
    np.testing.assert_array_equal(difference(one, other), np.full((4, 4), 2.0))
    assert (one.target, limit_of(one, other, None)) == (2, 3.0)
    attribution = main_map(explanation(np.ones((4, 4)), "attribution"))
    assert "different quantities" in apart(one, attribution)
    assert "different grids (4×4 and 2×2)" in apart(one, Map("contribution", "signed map", np.ones((2, 2))))
    assert apart(one, None) == "One side has no map."
    with pytest.raises(ValueError, match="different quantities"):
        difference(one, attribution)


def test_both_answers_by_class():
    def answer(logit, p):
        return xr.Dataset(
            {"logit": (("sample", "class"), [logit]), "probability": (("sample", "class"), [p])}
        )

    rows = answers(
        answer([2.0, 1.0], [0.7, 0.3]), answer([5.0, 0.5], [0.9, 0.1]), (["a", "b"], ["b", "c"]), most=1
    )
    assert [r["class"] for r in rows] == ["b", "a"]
    assert rows[0] == {
        "id": "b", "class": "b", "logit_left": 1.0, "probability_left": 0.3, "logit_right": 5.0, "probability_right": 0.9,
        "logit_difference": 4.0, "probability_difference": pytest.approx(0.6),
    }  # fmt: skip
    assert "logit_right" not in rows[1], "the other model does not know this class"
