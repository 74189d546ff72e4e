"""Tables: schema, model input, uploaded files."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

from xai_views import kinds
from xai_views.kinds.table import decode_table, table_dataset

TABLE = kinds.get("table")
ROWS = np.array([[1.0, -2.0, 0.5], [0.0, 4.0, 1.0]])


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: table_dataset([1.0, 2.0]), r"should be numbers \[samples, features\]"),
        (lambda: table_dataset([["a"]]), "encode words as numbers"),
        (lambda: table_dataset(np.zeros((0, 2))), "is empty"),
        (lambda: table_dataset([[1.0, np.nan]]), "not finite"),
        (lambda: table_dataset(ROWS, ["a", "b"]), "do not match"),
        (lambda: table_dataset(ROWS, ["a", "b", "a"]), "'a' occurs twice"),
        (lambda: table_dataset(ROWS, label=[0, 1, 2]), "3 labels"),
        (lambda: table_dataset(ROWS, name=["a", "a"]), "more than once"),
        (lambda: TABLE.validate(table_dataset(ROWS).transpose()), "transpose"),
    ],
)
def test_what_does_not_fit_is_one_sentence(build, words, sentence):
    with sentence(words):
        build()


def test_names_units_and_labels():
    frame = pd.DataFrame(ROWS, columns=["age", "weight", "height"])
    ds = table_dataset(frame, label=["no", "yes"], units=["a", "kg", "m"])
    assert list(ds["feature"].values) == ["age", "weight", "height"]
    assert str(ds["unit"].sel(feature="weight").values) == "kg"
    assert ds["table"].dtype == np.float32
    assert ds.attrs["classes"] == ["no", "yes"]
    assert list(table_dataset(ROWS)["feature"].values) == ["feature 0", "feature 1", "feature 2"]


def test_a_model_takes_as_many_features_as_it_knows(asked, sentence):
    model = asked("table", 3)
    TABLE.check(model, ROWS)
    assert torch.equal(TABLE.tensor(ROWS, "cpu", torch.float64), torch.from_numpy(ROWS))
    with sentence(r"expects numbers \[N, 3\]"):
        TABLE.check(model, ROWS[:, :2])
    with sentence("fill in missing values"):
        TABLE.check(model, ROWS * np.nan)
    ds = table_dataset(ROWS)
    assert TABLE.fitted(model, ds) is ds
    with sentence("has 3 features and model 'm' takes 4"):
        TABLE.fitted(asked("table", 4), ds)


def test_bars_stand_above_and_hang_below_the_middle():
    picture = TABLE.thumbnail(np.array([1.0, -1.0]), 20)
    dark = picture[..., 0] < 128
    assert dark[:10, :10].any()
    assert not dark[12:, :9].any()
    assert dark[12:, 10:].any()
    assert not dark[:9, 11:].any()


def test_a_csv_is_a_table(sentence):
    ds = decode_table("people.csv", b"name;age;weight;label\np1;61;80.5;ill\np2;30;70;well\n")
    np.testing.assert_allclose(ds["table"].values, [[61, 80.5], [30, 70]])
    assert list(ds["name"].values) == ["p1", "p2"]
    assert [ds.attrs["classes"][i] for i in ds["label"].values] == ["ill", "well"]
    for data, words in (
        (b"", "0.0 MB"),
        (b"age,sex\n61,male\n", "'sex' of 'people.csv' contains words"),
        (b"\xff\xfe\x00", "cannot be read as a table"),
    ):
        with sentence(words):
            decode_table("people.csv", data)
