"""Masks: their definition, their exact variance, and that only seed and block determine them."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from xai_views.engine.perturbation import masks as module
from xai_views.engine.perturbation.masks import BLOCK, KINDS, Masks, hoeffding
from xai_views.errors import MethodError

SIZES = [(20, 31), (224, 224), (7, 7), (9, 64), (50,), (1000,)]


def many(masks: Masks, blocks: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.cat([masks.block(b, dtype=dtype) for b in range(blocks)])


# -- definition ---------------------------------------------------------------------------------------------------


def slow(masks: Masks, grid: np.ndarray, offset: tuple[int, ...]) -> np.ndarray:
    """One mask by the definition: enlarge, extend by reflection (RELAX), crop."""
    cells = torch.from_numpy(grid.astype(np.float64))[None, None]
    mode = "bilinear" if grid.ndim == 2 else "linear"
    if masks.kind == "rise":
        cell = [-(-n // c) for n, c in zip(masks.size, masks.grid, strict=True)]
        long = F.interpolate(
            cells, size=[(c + 1) * p for c, p in zip(masks.grid, cell, strict=True)], mode=mode
        )
        long = long[0, 0].numpy()
    else:
        long = F.interpolate(cells, size=masks.size, mode=mode)[0, 0].numpy()
        long = np.pad(long, [(c // 2, c // 2) for c in masks.grid], mode="reflect")
    return long[tuple(slice(o, o + n) for o, n in zip(offset, masks.size, strict=True))]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("size", "cells"), [((20, 31), 7), ((20, 31), (4, 6)), ((50,), 8), ((9, 9), 9)])
def test_masks_are_what_a_slow_version_makes(kind, size, cells, monkeypatch):
    masks = Masks(size, kind, cells, 0.4, seed=3)
    drawn, real = [], torch.rand
    monkeypatch.setattr(torch, "rand", lambda *a, **k: drawn.append(real(*a, **k)) or drawn[-1])
    found = masks.block(2, dtype=torch.float64).numpy()
    kept, shift = drawn[0].numpy() < 0.4, drawn[1].numpy()
    ways = [-(-n // c) if kind == "rise" else 2 * (c // 2) + 1 for n, c in zip(size, masks.grid, strict=True)]
    for mask, grid, u in zip(found, kept, shift, strict=True):
        want = slow(masks, grid, tuple(np.floor(u * ways).astype(int)))
        np.testing.assert_allclose(mask, want, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", SIZES)
def test_masks_lie_between_0_and_1_and_have_the_size_that_was_asked_for(kind, size):
    found = Masks(size, kind).block(0)
    assert found.shape == (BLOCK, *size)
    assert found.min() >= 0
    assert found.max() <= 1 + 1e-6
    assert len({m.numpy().tobytes() for m in found}) > 0.9 * BLOCK


@pytest.mark.parametrize("keep", [0.2, 0.5, 0.8])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [(24, 30), (90,)])
def test_the_mean_of_every_pixel_is_the_share_that_is_kept(kind, keep, size):
    masks = Masks(size, kind, keep=keep)
    found = many(masks, 40)
    error = (masks.variance() / len(found)).sqrt()
    assert ((found.mean(0) - keep).abs() < 4.5 * error).all()


def test_keeping_all_makes_masks_of_ones():
    for kind in KINDS:
        torch.testing.assert_close(Masks((12, 15), kind, keep=1.0).block(0), torch.ones(BLOCK, 12, 15))


def test_one_cell_hides_all_or_nothing():
    for kind in KINDS:
        found = Masks((5, 6), kind, cells=1).block(0).flatten(1)
        torch.testing.assert_close(found.amin(1), found.amax(1))
        assert set(found.round().unique().tolist()) == {0, 1}


# -- the grid --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [(24, 30), (90,)])
def test_the_variance_is_that_of_many_masks(kind, size):
    masks = Masks(size, kind, keep=0.4)
    found = many(masks, 120, torch.float64)
    want = masks.variance()
    assert want.dtype == torch.float64
    np.testing.assert_allclose(found.var(0), want, rtol=0.12)
    assert float((found.var(0) / want).mean()) == pytest.approx(1, abs=0.02)


def test_the_variance_by_enumeration_of_all_masks():
    for kind in KINDS:
        masks = Masks((6,), kind, cells=3, keep=0.3)
        ways = 2 if kind == "rise" else 3
        mean, square = np.zeros(6), np.zeros(6)
        for cells in itertools.product((0, 1), repeat=3):
            chance = 0.3 ** sum(cells) * 0.7 ** (3 - sum(cells)) / ways
            for offset in range(ways):
                mask = slow(masks, np.array(cells), (offset,))
                mean, square = mean + chance * mask, square + chance * mask**2
        np.testing.assert_allclose(mean, 0.3)
        np.testing.assert_allclose(masks.variance(), square - mean**2)


def test_shifts_by_a_cell_leave_hardly_a_grid_and_shifts_by_a_few_pixels_leave_one():
    inside = {k: Masks((224, 224), k).variance()[32:-32, 32:-32] for k in KINDS}
    low, high = (float(f(inside["rise"])) for f in (torch.min, torch.max))
    assert low > 0.09
    assert high < 0.125
    low, high = (float(f(inside["relax"])) for f in (torch.min, torch.max))
    assert low < 0.07
    assert high > 0.19


# -- determinism -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [(20, 31), (64, 64), (400,)])
def test_a_part_of_a_block_has_the_same_masks_bit_for_bit(kind, size, dtype):
    masks = Masks(size, kind)
    whole = masks.block(3, dtype=dtype)
    assert whole.dtype == dtype
    for step in (1, 7, 50):
        parts = [
            masks.block(3, s, min(s + step, BLOCK), dtype=dtype)
            for s in range(0, BLOCK, step if step > 1 else 17)
        ]
        want = whole if step > 1 else whole[::17]
        assert torch.equal(torch.cat(parts), want)
    assert torch.equal(Masks(size, kind).block(3, dtype=dtype), whole)


def test_both_precisions_show_the_same_masks():
    masks = Masks((33, 20))
    torch.testing.assert_close(
        masks.block(1).double(), masks.block(1, dtype=torch.float64), rtol=0, atol=1e-6
    )


def test_seed_and_block_change_them_and_what_others_draw_does_not():
    first = Masks((16, 16), seed=0).block(0)
    torch.manual_seed(5)
    torch.rand(3)
    assert torch.equal(Masks((16, 16), seed=0).block(0), first)
    assert not torch.equal(Masks((16, 16), seed=1).block(0), first)
    assert not torch.equal(Masks((16, 16), seed=0).block(1), first)
    state = torch.get_rng_state()
    Masks((16, 16)).block(0)
    assert torch.equal(torch.get_rng_state(), state)


def test_masks_are_compared_by_what_they_are():
    assert Masks((8, 8)) == Masks((8, 8))
    assert len({Masks((8, 8)), Masks((8, 8)), Masks((8, 8), seed=1)}) == 2


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"size": (8, 8), "kind": "ris"}, "choose 'rise'"),
        ({"size": (8, 8, 8)}, "one or two sides"),
        ({"size": (8, 8), "cells": (2, 2, 2)}, "as many"),
        ({"size": (8, 8), "cells": 9}, "give at least 1"),
        ({"size": (8, 8), "cells": 0}, "give at least 1"),
        ({"size": (8, 8), "keep": 0.0}, "give keep above 0"),
        ({"size": (8, 8), "seed": -1}, "at least 0"),
    ],
)
def test_what_makes_no_masks_is_said(given, said):
    with pytest.raises(MethodError, match=said):
        Masks(**given)


def test_the_bound_of_hoeffding():
    assert (
        hoeffding(0.03, 0.01) == 2944
    )  # 2943.5, so that 2943 are just too few and the paper's 3000 are enough
    assert hoeffding(0.05, 0.05) == 738
    assert 2 * np.exp(-2 * 3000 * 0.03**2) == pytest.approx(0.0090, abs=1e-4)
    assert module.BLOCK % 2 == 0
