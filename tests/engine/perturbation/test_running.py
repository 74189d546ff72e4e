"""Sums over masks: equal to a loop over masks, additive, and with errors that match the spread between runs."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from xai_views.engine.perturbation.masks import KINDS, Masks
from xai_views.engine.perturbation.running import RULES, SPREADS, Halves, Running, rank_correlation
from xai_views.errors import MethodError

SIZE = (18, 23)
DTYPES = {torch.float32: 2e-5, torch.float64: 1e-10}


def score(masks: torch.Tensor) -> torch.Tensor:
    """A score near 0.9 that depends non-linearly on the upper left of a mask."""
    flat = masks.double().flatten(1)
    weight = torch.linspace(1, 0, flat.shape[1], dtype=torch.float64) ** 4
    return 0.9 + 0.02 * torch.tanh(3 * (flat @ weight / weight.sum() - 0.5)) + 0.002 * flat[:, -1] ** 2


def drawn(blocks: int = 4, dtype: torch.dtype = torch.float64, size=SIZE, **options):
    masks = Masks(size, **options)
    found = torch.cat([masks.block(b, dtype=dtype) for b in range(blocks)])
    return found, score(found)


def summed(masks, scores, batch: int = 50, shift: float = 0.9, dtype=torch.float64) -> Running:
    run = Running.empty(tuple(masks.shape[1:]), shift, dtype)
    for s in range(0, len(masks), batch):
        run = run.add(scores[s : s + batch], masks[s : s + batch])
    return run


def loop(masks, scores):
    """R, V and W by West's update, one mask at a time."""
    r, v, w = (np.zeros(masks.shape[1:]) for _ in range(3))
    for m, s in zip(masks.double().numpy(), scores.double().numpy(), strict=True):
        w = w + m
        old = r
        r = r + m * (s - r) / np.maximum(w, 1e-300)
        v = v + m * (s - r) * (s - old)
    return r, v, w


# -- agreement -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [SIZE, (60,)])
def test_sums_equal_a_loop_over_masks(dtype, kind, size):
    masks, scores = drawn(4, dtype, size, kind=kind)
    run, (r, v, w) = summed(masks, scores), loop(masks, scores)
    tight = DTYPES[dtype]
    np.testing.assert_allclose(run.importance(), r, rtol=min(tight, 1e-6))
    np.testing.assert_allclose(run.scatter(), v, rtol=10 * tight)
    np.testing.assert_allclose(run.uncertainty(), v / w, rtol=10 * tight)
    np.testing.assert_allclose(run.uncertainty("sample"), v / (w - 1), rtol=10 * tight)
    np.testing.assert_allclose(run.uncertainty("sum"), v, rtol=10 * tight)
    m, s = masks.double().numpy(), scores.numpy().reshape(-1, *[1] * len(size))
    se = np.sqrt((m**2 * (s - r) ** 2).sum(0)) / w
    np.testing.assert_allclose(run.standard_error(), se, rtol=10 * tight)
    assert run.count == len(masks)
    assert run.mean == pytest.approx(float(scores.mean()))
    assert run.variance == pytest.approx(float(scores.var(correction=0)))


def test_sums_in_float32_are_what_they_should_be():
    masks, scores = drawn(10, torch.float32)
    run, (r, v, w) = summed(masks, scores, dtype=torch.float32), loop(masks, scores)
    assert run.first.dtype == torch.float32
    np.testing.assert_allclose(run.importance(), r, rtol=1e-6)
    np.testing.assert_allclose(run.uncertainty(), v / w, rtol=1e-3)


def test_the_error_of_the_attribution_equals_that_of_single_masks():
    masks, scores = drawn(4)
    run, n = summed(masks, scores), len(masks)
    w, s = masks.mean(0), scores[:, None, None]
    influence = masks / w * (s - run.importance()) - (s - scores.mean())
    np.testing.assert_allclose(influence.sum(0), 0, atol=1e-11)
    want = influence.square().sum(0).sqrt() / n
    np.testing.assert_allclose(run.standard_error(centred=True), want, rtol=1e-8)


def test_attribution_is_covariance_over_mean_and_slope_over_variance():
    masks, scores = drawn(4)
    run = summed(masks, scores)
    cov = (masks * scores[:, None, None]).mean(0) - masks.mean(0) * scores.mean()
    np.testing.assert_allclose(run.attribution(), cov / masks.mean(0), rtol=1e-8, atol=1e-15)
    np.testing.assert_allclose(run.slope(), cov / masks.var(0, correction=0), rtol=1e-8, atol=1e-15)
    np.testing.assert_allclose(run.mask_variance(), masks.var(0, correction=0), rtol=1e-10)


def test_importances_lie_between_the_scores():
    masks, scores = drawn(2, torch.float32)
    found = summed(masks, scores).importance()
    assert float(scores.min()) <= float(found.min()) < float(found.max()) <= float(scores.max())


# -- additivity ------------------------------------------------------------------------------------------------------


def same(a: Running, b: Running, rtol: float = 1e-9) -> None:
    assert a.count == b.count
    for name in ("importance", "attribution", "scatter", "uncertainty", "standard_error", "slope"):
        np.testing.assert_allclose(
            getattr(a, name)(), getattr(b, name)(), rtol=rtol, atol=1e-13, err_msg=name
        )
    assert a.mean == pytest.approx(b.mean, rel=1e-12)
    assert a.variance == pytest.approx(b.variance, rel=1e-8)


def test_order_and_batches_of_masks_do_not_matter():
    masks, scores = drawn(4)
    want = summed(masks, scores)
    order = torch.from_numpy(np.random.default_rng(0).permutation(len(masks)))
    for batch in (1, 7, 200):
        same(summed(masks[order], scores[order], batch), want)


def test_two_halves_are_the_whole_also_about_other_shifts():
    masks, scores = drawn(4)
    want = summed(masks, scores)
    for shift in (0.9, 0.0, -2.0):
        first, second = summed(masks[:70], scores[:70]), summed(masks[70:], scores[70:], shift=shift)
        same(first + second, want, 1e-7)
        same(second + first, want, 1e-7)
    same(want.shifted(0.3), want, 1e-7)
    same(Running.empty(SIZE) + want, want)


def test_a_shift_keeps_digits():
    masks, scores = drawn(4)
    scores = 1 + 1e-6 * (scores - 0.9)
    want = torch.from_numpy(loop(masks, scores - 1)[1])
    gap = {c: float((summed(masks, scores, shift=c).scatter() - want).abs().max()) for c in (0.0, 1.0)}
    assert gap[1.0] < 1e-8 * float(want.max())
    assert gap[1.0] < gap[0.0]


def test_adding_leaves_what_was_there():
    masks, scores = drawn(2)
    run = summed(masks[:50], scores[:50])
    before = run.first.clone(), run.second.clone(), run.importance().clone()
    run.add(scores[50:], masks[50:])
    run + run
    assert all(
        torch.equal(a, b) for a, b in zip(before, (run.first, run.second, run.importance()), strict=True)
    )


# -- edges -----------------------------------------------------------------------------------------------------------


def test_masks_of_ones_give_the_mean_score_everywhere():
    scores = torch.linspace(0.2, 0.6, 9, dtype=torch.float64)
    run = summed(torch.ones(9, 4, 5, dtype=torch.float64), scores)
    np.testing.assert_allclose(run.importance(), 0.4)
    np.testing.assert_allclose(run.attribution(), 0, atol=1e-15)
    np.testing.assert_allclose(run.uncertainty(), float(scores.var(correction=0)))
    np.testing.assert_allclose(run.slope(), 0)
    np.testing.assert_allclose(run.standard_error(centred=True), 0, atol=1e-7)


def test_a_constant_score_has_no_uncertainty():
    masks, _ = drawn(2)
    run = summed(masks, torch.ones(100), shift=1.0)
    for name, want in (
        ("importance", 1),
        ("scatter", 0),
        ("attribution", 0),
        ("standard_error", 0),
        ("slope", 0),
    ):
        np.testing.assert_array_equal(getattr(run, name)(), np.full(SIZE, want))


def test_what_no_mask_has_shown_is_neutral():
    masks, scores = drawn(1)
    masks[:, :3] = 0
    run = summed(masks, scores)
    assert torch.isfinite(
        torch.stack([run.importance(), run.uncertainty(), run.standard_error(), run.slope()])
    ).all()
    np.testing.assert_allclose(run.attribution()[:3], 0, atol=1e-15)
    np.testing.assert_allclose(run.uncertainty()[:3], run.variance)
    assert bool(run.uncertainty("sample")[:3].isnan().all())
    for value in (Running.empty(SIZE).attribution(), Running.empty(SIZE).standard_error(centred=True)):
        assert not value.any()


def test_another_spread_or_rule_is_refused():
    masks, scores = drawn(1)
    with pytest.raises(MethodError, match="is not known; choose"):
        summed(masks, scores).uncertainty("sums")
    with pytest.raises(MethodError, match="is not known; choose"):
        Halves.empty(SIZE).settled("half")
    assert SPREADS[0] == "mean"


# -- errors and stopping ---------------------------------------------------------------------------------------------


def test_standard_errors_are_how_far_runs_differ():
    runs = [summed(*drawn(4, size=(10, 12), seed=seed)) for seed in range(1, 101)]
    for centred, what in ((False, Running.importance), (True, Running.attribution)):
        real = torch.stack([what(r) for r in runs]).std(0)
        said = torch.stack([r.standard_error(centred) for r in runs]).mean(0)
        assert float((said / real).mean()) == pytest.approx(1, abs=0.1)
        truth = torch.stack([what(r) for r in runs]).mean(0)
        inside = torch.stack([(what(r) - truth).abs() < 1.96 * r.standard_error(centred) for r in runs])
        assert 0.9 < float(inside.double().mean()) < 0.98


def test_the_attribution_is_surer_than_the_importance():
    run = summed(*drawn(4))
    assert bool((run.standard_error(centred=True) < run.standard_error()).all())


def halves(blocks: int, score=score, noise: float = 0.0, cells: int = 7) -> Halves:
    found, stream = Halves.empty(SIZE, 0.9), Masks(SIZE, cells=cells)
    generator = torch.Generator().manual_seed(1)
    for b in range(blocks):
        masks = stream.block(b, dtype=torch.float64)
        found = found.add(b, score(masks) + noise * torch.randn(50, generator=generator), masks)
    return found


def slanted(masks: torch.Tensor) -> torch.Tensor:
    """A score to which every pixel contributes, with a larger weight further down."""
    return 0.5 + (masks * torch.linspace(0, 1, SIZE[0], dtype=torch.float64)[:, None]).mean((1, 2))


def test_halves_are_alternating_blocks():
    found = halves(4)
    masks, scores = drawn(4)
    same(found.whole, summed(masks, scores))
    odd = torch.arange(200) // 50 % 2 == 1
    same(found.odd, summed(masks[odd], scores[odd]))
    assert found.count == 200
    assert found.nbytes == 2 * 6 * 18 * 23 * 8


def test_runs_end_when_their_rule_is_met():
    few, many = (halves(n, slanted, cells=3) for n in (2, 60))
    noisy = halves(8, slanted, noise=0.5, cells=3)
    for rule in list(RULES)[1:]:
        assert not noisy.settled(rule)
        assert many.settled(rule)
    assert not few.settled("standard error")
    assert not many.settled("never")
    error, contrast = (
        many.whole.standard_error(centred=True).median(),
        many.whole.importance().std(correction=0),
    )
    assert error < 0.1 * contrast
    assert not Halves.empty(SIZE).settled("halves")
    assert not halves(1).settled("halves")  # with a single half there is nothing to compare


def test_nothing_more_is_asked_where_no_mask_makes_a_difference():
    found, stream = Halves.empty(SIZE, 1.0), Masks(SIZE)
    for b in range(2):
        found = found.add(b, torch.ones(50), stream.block(b))
    assert found.settled("halves")
    assert found.settled("standard error")
    assert not found.settled("never")


def test_rank_correlation():
    from scipy.stats import spearmanr

    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 9, (2, 6, 7)).astype(float)
    found = rank_correlation(torch.from_numpy(a), torch.from_numpy(b))
    assert found == pytest.approx(spearmanr(a.ravel(), b.ravel()).statistic)
    assert rank_correlation(torch.from_numpy(a), torch.from_numpy(a)) == pytest.approx(1)
    assert rank_correlation(torch.from_numpy(a), torch.ones(6, 7)) == 0
