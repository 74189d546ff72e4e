"""The streamed sample of a codebook: it depends on the seed and the images only."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import yaml

from xai_views.engine.clusters.codebook import Codebook
from xai_views.engine.clusters.sample import CARD, ROWS, Sample
from xai_views.errors import MethodError


def part(layers: list[torch.Tensor], *which: int) -> list[torch.Tensor]:
    return [a[list(which)] for a in layers]


@pytest.fixture
def layers(make_layers, shapes, dtype):
    return make_layers(shapes, n=5, dtype=dtype)


def equal(one: Sample, two: Sample) -> bool:
    return torch.equal(one.origin, two.origin) and torch.allclose(one.rows, two.rows, atol=1e-5)


def test_rows_are_those_of_the_positions_that_origin_names(layers, make_naive, shapes, dtype):
    sample = Sample(per_image=9, weights="equal", interp="bilinear")
    sample.add(layers)
    rows = make_naive(layers, shapes[0][1], "bilinear", [1, 1, 1])
    cells = int(np.prod(shapes[0][1]))
    assert len(sample) == 45
    index = sample.origin[:, 0] * cells + sample.origin[:, 1]
    assert len(index.unique()) == 45
    torch.testing.assert_close(sample.rows, rows[index].to(dtype), atol=1e-5, rtol=1e-4)
    assert torch.equal(torch.bincount(sample.origin[:, 0]), torch.full((5,), 9))


def test_positions_are_drawn_evenly(make_layers):
    ones = [torch.ones(400, 2, 4, 4)]
    sample = Sample(per_image=4)
    sample.add(ones)
    drawn = torch.bincount(sample.origin[:, 1], minlength=16).double()
    chi2 = float(((drawn - 100) ** 2 / 100).sum())
    assert chi2 < 37.7, "the 99.9 % quantile with 15 degrees of freedom; the seed is fixed"


def test_chunks_order_and_merging_leave_no_trace(layers):
    once = Sample(7)
    once.add(layers)
    streamed = Sample(7)
    for i in range(5):
        streamed.add(part(layers, i))
    backwards = Sample(7)
    for i in (4, 2, 0, 3, 1):
        backwards.add(part(layers, i), numbers=[i])
    left, right = Sample(7), Sample(7)
    left.add(part(layers, 3, 1), numbers=[3, 1])
    right.add(part(layers, 0, 4, 2), numbers=[0, 4, 2])
    left.merge(right)
    for other in (streamed, backwards, left):
        assert equal(once, other)
        assert other.origin.tolist() == sorted(other.origin.tolist()), "by image, then by position"
        assert other.images == 5


def test_the_bound_keeps_a_fair_part_whatever_comes_last(layers):
    once, streamed = Sample(20, most=30), Sample(20, most=30)
    once.add(layers)
    for i in (4, 1, 0, 3, 2):
        streamed.add(part(layers, i), numbers=[i])
    assert len(once) == 30
    assert equal(once, streamed)
    counts = torch.bincount(once.origin[:, 0], minlength=5)
    assert counts.min() >= 1
    assert counts.max() <= 15, "no image displaces the others"
    unbound = Sample(20)
    unbound.add(layers)
    everything = {tuple(o) for o in unbound.origin.tolist()}
    assert {tuple(o) for o in once.origin.tolist()} < everything


def test_another_seed_draws_other_positions(layers):
    one, two = Sample(7, seed=1), Sample(7, seed=2)
    one.add(layers)
    two.add(layers)
    assert not torch.equal(one.origin, two.origin)


def test_padding_and_dead_positions_are_never_drawn(layers, shapes):
    grid = shapes[0][1]
    keep = torch.ones(5, *grid, dtype=torch.bool)
    keep[..., grid[-1] // 2 :] = False
    sample = Sample(10_000)
    sample.add(layers, keep=keep)
    column = sample.origin[:, 1] % grid[-1]
    assert len(sample) == 5 * int(np.prod(grid)) // 2
    assert int(column.max()) == grid[-1] // 2 - 1
    dark = [torch.cat([a[:1], torch.zeros_like(a[:1])]) for a in layers]
    only = Sample(10_000)
    only.add(dark)
    assert set(only.origin[:, 0].tolist()) == {0}
    assert only.images == 2


def test_a_mask_on_another_grid_is_read_at_the_nearest_cells(layers, shapes):
    grid = shapes[0][1]
    fine = tuple(4 * g for g in grid)
    keep = torch.zeros(5, *fine, dtype=torch.bool)
    keep[..., : fine[-1] // 2] = True
    sample = Sample(10_000)
    sample.add(layers, keep=keep)
    assert int((sample.origin[:, 1] % grid[-1]).max()) == grid[-1] // 2 - 1


@pytest.mark.parametrize("options", [{}, {"weights": (1, 2, 3), "interp": "nearest", "most": 12, "seed": 3}])
def test_another_process_goes_on_where_this_one_stopped(layers, tmp_path, options):
    whole, first = Sample(6, **options), Sample(6, **options)
    whole.add(layers)
    first.add(part(layers, 0, 1))
    again = Sample.load(first.save(tmp_path / "half"))
    assert {p.name for p in (tmp_path / "half").iterdir()} == {ROWS, CARD}
    again.add(part(layers, 2, 3, 4))
    assert equal(whole, again)
    for name in ("images", "values", "sizes", "most", "seed", "per_image", "interp", "grid"):
        assert getattr(again, name) == getattr(whole, name), name
    one, two = Codebook.of(whole, 3, ("a", "b", "c")), Codebook.of(again, 3, ("a", "b", "c"))
    assert torch.equal(one.counts, two.counts)
    for m, n in zip(one.centroids, two.centroids, strict=True):
        torch.testing.assert_close(m, n, atol=1e-5, rtol=1e-4)


DAMAGES = {
    "no rows": lambda f: (f / ROWS).unlink(),
    "half the rows": lambda f: (f / ROWS).write_bytes((f / ROWS).read_bytes()[:90]),
    "no card": lambda f: (f / CARD).unlink(),
    "an empty card": lambda f: (f / CARD).write_text("", "utf-8"),
    "a card without a seed": lambda f: (f / CARD).write_text(yaml.safe_dump({"kind": "sample"}), "utf-8"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_files_are_one_sentence(make_layers, tmp_path, damage):
    sample = Sample(3)
    sample.add(make_layers(((4, (6, 6)),)))
    folder = sample.save(tmp_path / "drawn")
    DAMAGES[damage](folder)
    with pytest.raises(
        MethodError, match=r"'drawn' contains no readable sample .*; draw it again\.$"
    ) as caught:
        Sample.load(folder)
    assert "\n" not in str(caught.value)


def test_what_does_not_fit_is_one_sentence(layers):
    sample = Sample(4)
    sample.add(layers)
    other = Sample(4)
    other.add(layers)
    with pytest.raises(MethodError, match=r"image number 0 is in both samples"):
        sample.merge(other)
    with pytest.raises(MethodError, match=r"use the same seed, settings and taps"):
        sample.merge(Sample(5))
    with pytest.raises(MethodError, match=r"were given after layers of"):
        sample.add(layers[:2])
    with pytest.raises(MethodError, match=r"2 image numbers were given for 5 images"):
        sample.add(layers, numbers=[8, 9])
    with pytest.raises(MethodError, match=r"a mask of shape \[2, 3\] does not fit 5 images"):
        sample.add(layers, keep=torch.ones(2, 3, dtype=torch.bool))
    with pytest.raises(MethodError, match=r"0 positions per image were requested"):
        Sample(0)
    assert sample.images == 5, "failed calls change nothing"
