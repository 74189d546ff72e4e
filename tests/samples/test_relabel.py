"""Labels are matched to a model's classes by name, never by position; unknown labels are removed and noted."""

import numpy as np
import pytest

from xai_views.samples import dataset, labelled_for, signal_dataset

OWN = ["cat", "dog", "eel"]


def images(label=(0, 1, 2, 1), **attrs):
    shown = np.zeros((len(label), 4, 4, 3), np.uint8)
    return dataset(shown, label=np.asarray(label), classes=OWN).assign_attrs(attrs)


@pytest.mark.parametrize(
    "classes", [OWN, ["class 0", "class 1", "class 2", "class 3"]], ids=["equal", "unnamed"]
)
def test_nothing_changes_where_positions_agree(classes):
    samples = images()
    assert labelled_for(samples, classes) is samples


def test_fewer_unnamed_classes_than_labels_do_not_agree():
    found = labelled_for(images(), ["class 0", "class 1"])
    assert found["label"].values.tolist() == [-1, -1, -1, -1]


def test_samples_without_labels_or_names_stay():
    plain = images().drop_vars("label")
    assert labelled_for(plain, ["dog"]) is plain
    nameless = images().assign_attrs(classes=[])
    assert labelled_for(nameless, ["dog"]) is nameless


def test_another_order_is_another_number():
    samples = images(note="Drawn.")
    found = labelled_for(samples, ["eel", "cat", "dog", "fox"])
    assert found["label"].values.tolist() == [1, 2, 0, 2]
    assert found.attrs["classes"] == ["eel", "cat", "dog", "fox"]
    assert found.attrs["note"] == "Drawn."
    assert samples["label"].values.tolist() == [0, 1, 2, 1]


def test_what_the_model_does_not_know_is_unlabelled_and_said():
    found = labelled_for(images((0, 1, 1, -1)), ["dog", "fox"])
    assert found["label"].values.tolist() == [-1, 0, 0, -1]
    assert "labelled cat: the network has no such class" in found.attrs["note"]
    assert "eel" not in found.attrs["note"]  # no sample is one


def test_many_unknown_names_are_counted():
    shown = np.zeros((6, 4, 4, 3), np.uint8)
    many = dataset(shown, label=np.arange(6), classes=[f"kind {c}" for c in "abcdef"])
    assert "kind d and 2 more: the network" in labelled_for(many, ["dog"]).attrs["note"]


def test_several_labels_and_what_belongs_to_classes_move_together():
    label = np.array([[1, 1, 0], [0, 0, 1]])
    samples = signal_dataset(np.zeros((2, 1, 50), np.float32), 100, ["I"], label=label, classes=OWN)
    truth = np.zeros((2, 3, 1, 50), bool)
    truth[0, 1] = True
    samples = samples.assign(class_mask=(("sample", "class", "lead", "time"), truth))
    found = labelled_for(samples, ["dog", "fox", "cat"])
    assert found["label"].values.tolist() == [[1, 0, 1], [0, 0, 0]]
    assert found["class_mask"].dtype == bool
    assert found["class_mask"].values[0, 0].all()
    assert not found["class_mask"].values[:, 1:].any()
    assert "labelled eel" in found.attrs["note"]
