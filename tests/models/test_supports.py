"""Selection of supports: every rule, distinct, repeatable, and k-means equal to scikit-learn's."""

import numpy as np
import pytest

from xai_views.errors import MethodError
from xai_views.models import Latents, Supports, select
from xai_views.models.supports import RULES


def latents(n=60, classes=3, seed=0):
    rng = np.random.default_rng(seed)
    label = np.arange(n) % classes
    return Latents(rng.random((n, 5)).astype(np.float32) + label[:, None], label, np.arange(n) * 10 + 7)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("per_class", [1, 2, 5, 20, 50])
def test_every_rule_gives_distinct_samples_of_the_right_class_again_and_again(rule, per_class):
    stored = latents()
    rows, label = select(stored, per_class, 4, rule)  # class 3 has no sample
    assert len(set(rows)) == len(rows) == 3 * min(per_class, 20)
    assert list(label) == sorted(label)
    np.testing.assert_array_equal(stored.label[rows], label)
    again, _ = select(stored, per_class, 4, rule)
    np.testing.assert_array_equal(rows, again)


def test_k_means_takes_the_images_closest_to_scikit_learns_centres():
    from sklearn.cluster import KMeans
    from sklearn.metrics import pairwise_distances_argmin

    rng = np.random.default_rng(1)
    centres = rng.random((3, 6)) * 20
    z = (centres[rng.integers(0, 3, 90)] + rng.normal(0, 0.3, (90, 6))).astype(np.float32)
    rows, _ = select(Latents(z, np.zeros(90, int), np.arange(90)), 3, 1)
    fitted = KMeans(3, n_init=10, random_state=0).fit(z.astype(float))
    assert set(rows) == set(pairwise_distances_argmin(fitted.cluster_centers_, z))


def test_equal_images_are_chosen_once_each():
    z = np.ones((6, 4), np.float32)
    z[5] = 3
    for rule in RULES:
        rows, _ = select(Latents(z, np.zeros(6, int), np.arange(6)), 3, 1, rule)
        assert len(set(rows)) == 3
    assert 5 in select(Latents(z, np.zeros(6, int), np.arange(6)), 3, 1, "k-means")[0]
    assert 5 in select(Latents(z + np.eye(6, 4, dtype=np.float32), np.zeros(6, int), np.arange(6)), 6, 1)[0]


def test_compact_and_diverse_by_hand():
    angle = np.radians([0, 10, 20, 45, 90])
    z = np.stack([np.cos(angle), np.sin(angle)], 1).astype(np.float32)
    stored = Latents(z, np.zeros(5, int), np.arange(5))
    # mean direction: about 32 degrees, so 20 is the most typical
    assert list(select(stored, 3, 1, "compact")[0]) == [2, 1, 0]
    assert list(select(stored, 3, 1, "diverse")[0]) == [2, 4, 3]


@pytest.mark.parametrize("rule", RULES)
def test_what_is_excluded_is_not_chosen_and_other_classes_stay(rule):
    stored = latents()
    rows, label = select(stored, 3, 3, rule)
    gone = frozenset(stored.index[rows[label == 1]].tolist())
    after, after_label = select(stored, 3, 3, rule, exclude=gone)
    assert not gone & set(stored.index[after].tolist())
    assert (after_label == 1).sum() == 3
    for c in (0, 2):
        np.testing.assert_array_equal(after[after_label == c], rows[label == c])
    everything = frozenset(stored.index[stored.of_class(1)].tolist())
    assert set(select(stored, 3, 3, rule, exclude=everything)[1]) == {0, 2}


def test_random_follows_its_seed():
    picks = {tuple(select(latents(), 3, 3, "random", seed=s)[0]) for s in range(5)}
    assert len(picks) == 5


def test_several_labels_per_image():
    label = np.array([[1, 1], [1, 0], [0, 1], [0, 0]])
    rows, classes = select(Latents(np.eye(4, dtype=np.float32), label, np.arange(4)), 5, 2)
    assert list(zip(rows, classes, strict=True)) == [(0, 0), (1, 0), (0, 1), (2, 1)]


def test_mistakes_are_sentences():
    with pytest.raises(MethodError, match="'k-means'"):
        select(latents(), 3, 3, "kmeans")
    with pytest.raises(MethodError, match="at least 1"):
        select(latents(), 0, 3)


def test_a_set_is_known_by_its_content():
    rng = np.random.default_rng(0)
    v = rng.random((4, 3)).astype(np.float32)
    maps = rng.random((4, 2, 2)).astype(np.float32)

    def build(vectors, label):
        return Supports(
            vectors, np.asarray(label), np.arange(4), np.zeros((4, 2, 2, 3), np.uint8), maps.copy()
        )

    a, b = build(v, [0, 0, 1, 1]), build(v.copy(), [0, 0, 1, 1])
    assert a == b
    assert hash(a) == hash(b)
    assert a != build(v, [0, 1, 1, 1])
    assert a != a.take(np.array([1, 0, 2, 3]))
    assert a.take(np.array([True, False, True, False])).keys == (a.keys[0], a.keys[2])
    assert build(np.asfortranarray(v), [0, 0, 1, 1]).keys == a.keys
    b.self_contribution[2] = np.nan
    assert list(b.missing) == [2]
    assert list(a.missing) == []
