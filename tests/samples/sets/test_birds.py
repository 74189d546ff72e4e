"""Birds: rendering is deterministic, and leaving a part out changes nothing else."""

import json

import numpy as np
import pytest

from xai_views import samples
from xai_views.errors import SamplesError
from xai_views.samples.sets.birds import drawing as birds
from xai_views.samples.sets.birds.samples import SETS, draw, scene_of

INDICES = range(24)


def touched(s: birds.Scene, wanted) -> np.ndarray:
    """Pixels in which ``wanted(ids) -> bool`` holds for one of the 4x4 samples.

    The black outline of a polygon may extend one sample beyond its filling, and ids follow the filling.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(birds._Painter, "result", lambda self: (None, np.array(self.ids)))
        fine = wanted(birds.render(s)[1])
    rim = np.pad(fine, 1)
    k = range(3)
    rim = np.any([rim[y : y + fine.shape[0], x : x + fine.shape[1]] for y in k for x in k], axis=0)
    return rim.reshape(64, birds.SUPERSAMPLE, 64, birds.SUPERSAMPLE).any((1, 3))


def test_same_scene_same_picture():
    for i in INDICES:
        first, second = (birds.render(birds.scene(1, i)) for _ in range(2))
        np.testing.assert_array_equal(first[0], second[0])
        np.testing.assert_array_equal(first[1], second[1])
    assert birds.scene(1, 3) != birds.scene(2, 3)
    assert birds.scene(1, 3) != birds.scene(1, 53)


def test_a_picture_is_as_it_was_when_networks_were_trained_on_it():
    # Shipped weights were fitted to these pixels; other draws or shapes would give other birds.
    assert samples.digest(birds.render(birds.scene(1, 17))[0]) == "9770fc1162f667baa89ed6249295c4f6"
    assert samples.digest(birds.render(birds.scene(2, 0))[0]) == "e7e6cfdc93f267d044a6d02150c21959"


@pytest.mark.parametrize("part", birds.PARTS)
def test_removing_a_part_changes_only_where_it_was(part):
    changed = 0
    for i in INDICES:
        s = birds.scene(1, i)
        full, ids = birds.render(s)
        less, less_ids = birds.render(s, [p for p in birds.PARTS if p != part])
        own = birds.PART_NAMES.index(part)
        differs = (full != less).any(-1)
        assert not (differs & ~touched(s, lambda fine, own=own: fine == own)).any()
        assert not (less_ids == own).any()
        elsewhere = ids != own
        np.testing.assert_array_equal(less_ids[elsewhere], ids[elsewhere])
        changed += differs.sum()
    assert changed > 0


def test_keeping_nothing_leaves_the_body():
    for i in INDICES:
        s = birds.scene(1, i)
        image, ids = birds.render(s, keep=(), remove_background=True)
        assert set(np.unique(ids)) == {0, 1}
        assert (image[ids == 0].reshape(-1, 3) != image[0, 0]).any(-1).sum() < 0.3 * (ids == 1).sum()
        np.testing.assert_array_equal(
            birds.render(s, remove_background=True, keep=birds.PARTS)[0],
            birds.render(s, remove_background=True)[0],
        )


def test_removing_background_never_touches_the_bird():
    seen = 0
    for i in INDICES:
        s = birds.scene(1, i)
        full, ids = birds.render(s)
        bare, bare_ids = birds.render(s, remove_background=True)
        bird = (ids > 0) & (ids < birds.OBJECT_ID)
        np.testing.assert_array_equal(bird, bare_ids > 0)
        np.testing.assert_array_equal(ids[bird], bare_ids[bird])
        behind = touched(s, lambda fine: fine >= birds.OBJECT_ID)
        assert (bird & ~behind).sum() > 0.5 * bird.sum()
        differs = (full != bare).any(-1)
        assert not (differs & ~behind).any()
        seen += differs.sum()
        for k in range(len(s.objects)):
            less, less_ids = birds.render(s, remove_background=[k])
            object_id = birds.OBJECT_ID + k
            assert not (less_ids == object_id).any()
            own = touched(s, lambda fine, object_id=object_id: fine == object_id)
            assert not ((less != full).any(-1) & ~own).any()
    assert seen > 0


def test_an_object_in_front_covers_the_bird():
    s = next(
        s
        for i in range(200)
        for s in [birds.scene(5, i, occlude=True)]
        if any(o.front and abs(o.x) < 0.2 and abs(o.y) < 0.2 for o in s.objects)
    )
    k = next(k for k, o in enumerate(s.objects) if o.front and abs(o.x) < 0.2 and abs(o.y) < 0.2)
    with_it, without = birds.render(s)[1], birds.render(s, remove_background=[k])[1]
    covered = with_it == birds.OBJECT_ID + k
    bird = (without > 0) & (without < birds.OBJECT_ID)
    assert (covered & bird).any()
    np.testing.assert_array_equal(with_it[~covered], without[~covered])


def test_ids_are_parts_or_background_objects():
    for i in INDICES:
        s = birds.scene(1, i)
        image, ids = birds.render(s)
        assert image.shape == (64, 64, 3)
        assert image.dtype == np.uint8
        assert ids.shape == (64, 64)
        assert ids.dtype == np.int16
        known = {*range(len(birds.PART_NAMES)), *(birds.OBJECT_ID + k for k in range(len(s.objects)))}
        assert set(np.unique(ids).tolist()) <= known
        assert {1, 2, 5} <= set(np.unique(ids).tolist())  # body, beak, tail
    assert birds.render(birds.scene(1, 0), size=128)[0].shape == (128, 128, 3)


def test_scene_is_json_and_back():
    for i in INDICES:
        s = birds.scene(1, i, occlude=bool(i % 2))
        text = s.to_json()
        json.loads(text)
        back = birds.Scene.from_json(text)
        assert back == s
        np.testing.assert_array_equal(birds.render(back)[0], birds.render(s)[0])
    for text in ("", "no json", "{}", "[]", '{"label": 1}', "null", '{"objects": [{"kind": 3}]}'):
        with pytest.raises(SamplesError, match="JSON of a bird scene"):
            birds.Scene.from_json(text)


def test_compatible_is_the_slow_obvious_version():
    known = birds.classes()
    assert len({tuple(sorted(c.items())) for c in known}) == birds.N_CLASSES
    for label in (0, 7, 49):
        for keep in ((), ("beak",), ("tail", "wing"), ("eye", "foot", "tail"), birds.PARTS):
            expected = [float(all(c[p] == known[label][p] for p in keep)) for c in known]
            found = birds.compatible(keep, label)
            assert found.dtype == np.float32
            np.testing.assert_array_equal(found, expected)
        assert birds.compatible(birds.PARTS, label).sum() == 1
        assert birds.compatible((), label).sum() == birds.N_CLASSES


def test_training_arrays_drop_parts_in_the_stated_share():
    images, targets = birds.training_arrays(100, seed=3, parts_dropped=0.5)
    assert images.shape == (100, 64, 64, 3)
    assert targets.shape == (100, 50)
    assert (targets[np.arange(100), np.arange(100) % 50] == 1).all()
    whole = [(images[i] == birds.render(birds.scene(3, i))[0]).all() for i in range(100)]
    assert 30 < sum(whole) < 70
    assert (targets[np.flatnonzero(whole)].sum(1) == 1).all()


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: birds.scene(1, -1), "seed and index from 0"),
        (lambda: birds.scene(1, 0, label=50), "a class below 50"),
        (lambda: birds.render(birds.scene(1, 0), keep=["nose"]), "'nose' is not known"),
        (lambda: birds.render(birds.scene(1, 0), remove_background=[99]), r"\[99\]"),
        (lambda: birds.compatible(["nose"], 0), "'nose' is not known"),
        (lambda: birds.compatible([], 50), "give one below 50"),
        (lambda: birds.classes(0), "between 1 and"),
        (lambda: birds.classes(10**6), "between 1 and"),
    ],
)
def test_what_does_not_exist_is_a_sentence(call, words):
    with pytest.raises(SamplesError, match=words) as caught:
        call()
    assert "\n" not in str(caught.value)


# --- the catalogue's sets ----------------------------------------------------------------------------------


def test_training_birds_are_drawn_when_looked_at(monkeypatch):
    drawn = []
    render = birds.render
    monkeypatch.setattr(birds, "render", lambda s, *a, **k: drawn.append(s) or render(s, *a, **k))
    ds = samples.open_samples("birds/train")
    assert not drawn
    assert ds.sizes == {"sample": 5000, "y": 64, "x": 64, "channel": 3}
    image = samples.images(ds, [17, 4999])
    assert len(drawn) == 2
    for got, i in zip(image, (17, 4999), strict=True):
        np.testing.assert_array_equal(got, render(birds.scene(SETS["train"][1], i))[0])
    assert ds["name"].values[17] == "bird-train-00017"
    np.testing.assert_array_equal(ds["label"].values, np.arange(5000) % 50)
    assert ds.attrs["classes"] == birds.class_names()
    assert ds.attrs["synthetic"] == 1


def test_truth_of_a_bird_counts_background_as_nothing():
    ds = samples.open_samples("birds/train")
    one = ds.isel(sample=[17]).compute()
    ids = birds.render(birds.scene(1, 17))[1]
    np.testing.assert_array_equal(one["part"].values[0], np.where(ids >= birds.OBJECT_ID, 0, ids))
    assert one["part"].dtype == np.int16
    assert ds.attrs["parts"] == list(birds.PART_NAMES)


def test_shipped_test_birds_are_what_the_generator_draws():
    ds = samples.open_samples("birds/test")
    assert ds.sizes["sample"] == 200
    for i in range(200):
        image, part = draw("test", i)
        np.testing.assert_array_equal(ds["image"].values[i], image)
        np.testing.assert_array_equal(ds["part"].values[i], part)
    np.testing.assert_array_equal(ds["label"].values, np.arange(200) % 50)


def test_scene_of_a_sample():
    test, train = samples.open_samples("birds/test"), samples.open_samples("birds/train")
    assert scene_of(test, 5) == birds.scene(2, 5)
    assert scene_of(train, 1234) == birds.scene(1, 1234)
    assert scene_of(test.isel(sample=[9, 3]), 1) == birds.scene(2, 3)
    with pytest.raises(SamplesError, match="not a bird of the catalogue"):
        scene_of(samples.dataset(np.zeros((2, 8, 8), np.uint8)), 0)
