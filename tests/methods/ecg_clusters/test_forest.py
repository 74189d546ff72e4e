"""Forests on cluster shares: exact where the answer is a function of the shares, at chance where it is not."""

import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.inspection import permutation_importance
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import PredefinedSplit, cross_val_predict

from xai_views.errors import MethodError
from xai_views.methods.ecg_clusters.folds import split
from xai_views.methods.ecg_clusters.forest import NETWORK, auroc, finished, surrogates, table

QUICK = {"trees": 25, "repeats": 2}


@pytest.fixture(scope="module")
def planted():
    """Shares of which the first two determine the class (of three) with a gap; and uninformative shares."""
    rng = np.random.default_rng(0)
    predicted = np.repeat([0, 1, 2], 40)
    first = np.choose(predicted, [0.5, 0.1, 0.1]) + rng.uniform(0, 0.1, 120)
    second = np.choose(predicted, [0.05, 0.3, 0.05]) + rng.uniform(0, 0.1, 120)
    rest = rng.dirichlet([2, 2, 2], 120) * (1 - first - second)[:, None]
    order = rng.permutation(120)
    x = np.concatenate([first[:, None], second[:, None], rest], 1)[order]
    return x, predicted[order], rng.dirichlet(np.ones(5), 120)


@pytest.fixture(scope="module")
def found(planted):
    x, predicted, noise = planted
    rng = np.random.default_rng(1)
    label = np.where(rng.random(120) < 0.2, rng.integers(0, 3, 120), predicted)
    score = np.eye(3)[predicted] + rng.normal(0, 0.1, (120, 3))
    return (
        label,
        score,
        finished(surrogates({"clusters": x, "noise": noise}, predicted, label, score, **QUICK)),
    )


def test_a_function_of_the_shares_is_learnt_and_noise_is_not(found):
    clusters, noise = found[2]
    assert clusters.mean("agreement") == (1.0, 0.0)
    assert noise.mean("agreement")[0] < 0.55
    assert clusters.mean("chance")[0] == pytest.approx(1 / 3, abs=0.05)
    assert noise.mean("auroc")[0] == pytest.approx(0.5, abs=0.12)
    assert clusters.mean("network_accuracy")[0] == pytest.approx(0.87, abs=0.06)
    assert clusters.mean("accuracy")[0] == pytest.approx(clusters.mean("network_accuracy")[0], abs=0.06)
    assert clusters.mean("label_chance")[0] < 0.45
    assert np.array_equal(clusters.network_auroc, noise.network_auroc), "the same records in the same folds"


def test_what_decides_is_important_and_the_rest_is_not(found):
    mean, error = found[2][0].importances()
    assert (mean[:2] > 0.2).all()
    assert (np.abs(mean[2:]) < 0.03).all()
    assert error.shape == (5,)


def test_every_record_is_judged_once_and_out_of_fold(found, planted):
    clusters = found[2][0]
    assert sorted(np.concatenate(clusters.test)) == list(range(120))
    assert clusters.said.sum(1) == pytest.approx(1)
    assert clusters.truth_said.sum(1) == pytest.approx(1)
    for test in clusters.test:
        assert np.bincount(found[0][test]).max() <= 6, "stratified"


def test_the_numbers_are_those_of_scikit_learn(found, planted, monkeypatch):
    """Forests with one seed for all folds, cross-validated by scikit-learn on the same folds."""
    monkeypatch.setattr(
        np.random, "SeedSequence", lambda _: type("Fixed", (), {"generate_state": lambda s, n: [7]})()
    )
    label, score, _ = found
    x, predicted, _ = planted
    one = finished(surrogates({"a": x}, predicted, label, score, folds=4, **QUICK))[0]
    fold = np.zeros(120, int)
    for i, test in enumerate(one.test):
        fold[test] = i
    forest, cv = RandomForestClassifier(25, random_state=7), PredefinedSplit(fold)
    said = cross_val_predict(forest, x, label, cv=cv, method="predict_proba")
    assert one.truth_said == pytest.approx(said)
    for i, test in enumerate(one.test):
        assert one.accuracy[i] == (said[test].argmax(1) == label[test]).mean()
        assert one.auroc[i] == pytest.approx(roc_auc_score(label[test], said[test], multi_class="ovr"))
        assert one.network_accuracy[i] == (predicted[test] == label[test]).mean()


@pytest.mark.slow
def test_importance_is_that_of_scikit_learn(planted):
    x, predicted, _ = planted
    one = finished(surrogates({"a": x[:, :3]}, predicted, folds=2, trees=25, repeats=200))[0]
    (train, test), seed = split(predicted, 2, seed=0)[0], np.random.SeedSequence([0, 0]).generate_state(1)[0]
    forest = RandomForestClassifier(25, random_state=int(seed)).fit(x[train, :3], predicted[train])
    reference = permutation_importance(forest, x[test, :3], predicted[test], n_repeats=200, random_state=1)
    assert one.importance[0] == pytest.approx(reference.importances_mean, abs=0.02)


def test_the_table_names_the_network_last(found):
    frame = table(found[2])
    assert list(frame.index) == ["clusters", "noise", NETWORK]
    assert frame.loc[NETWORK, "agreement"] == 1
    assert frame.loc["clusters", "accuracy"] == found[2][0].mean("accuracy")[0]
    assert frame.loc[NETWORK, "auroc"] > 0.8
    assert frame["label_chance"].nunique() == 1
    assert table([]).empty


@pytest.mark.slow
def test_several_labels_have_one_forest_each(planted):
    x, _, noise = planted
    predicted = np.stack([x[:, 0] > 0.4, x[:, 1] > 0.2, np.ones(120)], 1).astype(int)
    label = predicted.copy()
    label[:5] = -1
    one, control = finished(
        surrogates({"a": x, "b": noise}, predicted, label, predicted * 0.8, folds=5, **QUICK)
    )
    assert one.mean("agreement")[0] == 1
    assert one.mean("auroc")[0] == 1, "the label that all records have is left out"
    assert one.mean("network_auroc")[0] == 1
    assert one.said.shape == (120, 3)
    assert (one.said[:, 2] == 1).all()
    assert np.isnan(one.truth_said[:5]).all()
    assert one.mean("chance")[0] == pytest.approx(control.mean("chance")[0])
    assert control.mean("agreement")[0] < 0.9


def test_unknown_labels_are_not_scored(planted):
    x, predicted, _ = planted
    label = predicted.copy()
    label[::2] = -1
    some = finished(surrogates({"a": x}, predicted, label, folds=3, **QUICK))[0]
    assert some.mean("accuracy")[0] == 1
    assert np.isnan(some.truth_said[::2]).all()
    assert np.isnan(some.network_auroc).all(), "no scores were given"
    none = finished(surrogates({"a": x}, predicted, folds=3, **QUICK))[0]
    assert np.isnan(none.accuracy).all()
    assert np.isnan(none.mean("accuracy")).all()
    assert np.isfinite(none.said).all()


def test_records_of_a_person_stay_together():
    """Features that identify the person only: with folds by record they seem to predict the class."""
    rng = np.random.default_rng(0)
    person = np.repeat(np.arange(30), 4)
    predicted = rng.integers(0, 2, 30)[person]
    x = rng.random((30, 3))[person] + rng.normal(0, 1e-3, (120, 3))
    blind = finished(surrogates({"a": x}, predicted, **QUICK))[0]
    fair = finished(surrogates({"a": x}, predicted, groups=person, **QUICK))[0]
    assert blind.mean("agreement")[0] > 0.95
    assert fair.mean("agreement")[0] < 0.75
    for test in fair.test:
        assert not set(person[test]) & set(np.delete(person, test))


def test_it_stops_between_folds_and_says_where_it_is(planted):
    x, predicted, noise = planted
    said = []
    steps = surrogates(
        {"a": x, "b": noise}, predicted, folds=3, progress=lambda a, b: said.append((a, b)), **QUICK
    )
    next(steps)
    next(steps)
    assert said == [(1, 6), (2, 6)]
    steps.close()
    again = [finished(surrogates({"a": x}, predicted, folds=3, seed=4, **QUICK))[0].said for _ in range(2)]
    assert np.array_equal(*again)


def test_rare_classes_and_few_records():
    target = np.array([0] * 20 + [1] * 15 + [2] * 3 + [3] * 3)
    folds = split(target, 5)
    assert sorted(np.concatenate([test for _, test in folds])) == list(range(41))
    counts = np.array([np.bincount(target[test], minlength=4) for _, test in folds])
    assert np.ptp(counts[:, 0]) <= 1
    assert np.ptp(counts[:, 1]) <= 1
    assert np.ptp(counts[:, 2:].sum(1)) <= 1, "rare classes are spread together"
    assert len(split(np.array([0, 1, 0]), 10)) == 3
    assert np.isnan(auroc(np.array([[1, 0], [1, 0]]), np.ones((2, 2))))
    assert auroc(np.array([[1, 0], [0, 0]]), np.array([[0.2, 0], [0.1, 0]])) == 1


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"features": {}}, "no features"),
        ({"features": {"a": np.ones((5, 2))}}, r"'a' of shape \[5, 2\]"),
        ({"features": {"a": np.full((120, 2), np.nan)}}, "not finite"),
        ({"predicted": np.ones(120)}, "float64"),
        ({"predicted": np.ones(120, int)}, "the same class for all"),
        ({"label": np.ones((120, 3), int)}, r"labels of shape \[120, 3\]"),
        ({"score": np.ones((120, 2))}, "from 0 to 2 were given; give classes from 0 to 1"),
        ({"score": np.ones((7, 3))}, r"\[7, 3\] were given; give \[120, 3\]"),
        ({"groups": np.zeros(120)}, "folds of 1 groups"),
        ({"groups": np.zeros(3)}, "groups of 3 records"),
        ({"folds": 1}, "1 folds of"),
    ],
)
def test_failures_are_one_sentence(planted, change, said):
    x, predicted, _ = planted
    given = {"features": {"a": x}, "predicted": predicted} | change
    with pytest.raises(MethodError, match=said):
        next(surrogates(**given))
