"""Schema of signals: valid input is accepted, missing fields are added, invalid input raises one sentence."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import xarray as xr

from xai_views import kinds
from xai_views.errors import ModelError, SamplesError
from xai_views.models import open_model
from xai_views.samples import inputs, open_samples, signal_dataset
from xai_views.samples.signals import LEADS, lead_name


def made(n=3, leads=("DI", "II"), steps=50, **more):
    signal = np.random.default_rng(0).normal(0, 1, (n, len(leads), steps))
    return signal_dataset(signal, 100, leads, **more)


def test_names_units_and_times():
    ds = made(label=["a", "b", "a"])
    assert kinds.of(ds).key == "signal"
    assert list(ds["lead"].values) == ["I", "II"]
    assert ds["signal"].dtype == np.float32
    assert ds["signal"].attrs["units"] == "mV"
    np.testing.assert_allclose(ds["time"].values[[0, -1]], [0, 0.49])
    assert ds.attrs["classes"] == ["a", "b"]
    assert list(ds["label"].values) == [0, 1, 0]
    assert list(ds["name"].values) == ["sample-00000", "sample-00001", "sample-00002"]
    assert open_samples(ds).identical(ds)


@pytest.mark.parametrize(
    ("given", "standard"),
    [
        ("AVR", "aVR"), ("Lead II", "II"), ("DIII", "III"), ("I (Einthoven)", "I"), ("ecg lead v4", "V4"), ("avf", "aVF"),
        ("MLII", "MLII"), ("V7", "V7"), ("lead_aVL", "aVL"), ("ECG1", "ECG1"), ("lead 1", "I"), ("2", "II"),
    ],
)  # fmt: skip
def test_leads_have_one_name(given, standard):
    assert lead_name(given) == standard


def test_values_of_some_records_and_no_others():
    ds = made()
    np.testing.assert_array_equal(inputs(ds, [2, 0]), ds["signal"].values[[2, 0]])
    lazy = ds.chunk(sample=1)
    np.testing.assert_array_equal(inputs(lazy, [-1]), ds["signal"].values[[2]])
    with pytest.raises(SamplesError, match="there is no sample 3"):
        inputs(ds, 3)


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: signal_dataset(np.zeros((2, 5)), 100, ["I", "II"]), "signal\\[None\\]"),
        (lambda: made(leads=("I", "DI")), "'I' occurs twice"),
        (lambda: signal_dataset(np.zeros((1, 2, 5)), 100, ["I"]), "1 lead names were given for 2 leads"),
        (lambda: signal_dataset(np.zeros((1, 1, 5)), 0, ["I"]), "sampling rate"),
        (lambda: signal_dataset(np.full((1, 1, 5), np.nan), 100, ["I"]), "not finite"),
        (lambda: made(length=[50, 51, 2]), "between 1 and 50"),
        (lambda: made(label=[0, 1]), "2 labels"),
        (lambda: made(mask=np.zeros((3, 2, 49), bool)), "do not match"),
        (lambda: made(name=["a", "a", "b"]), "more than once"),
        (lambda: signal_dataset(np.zeros((0, 1, 5)), 100, ["I"]), "is empty"),
    ],
)
def test_what_does_not_fit_is_one_sentence(build, words):
    with pytest.raises(SamplesError, match=words) as error:
        build()
    assert "\n" not in str(error.value)


def test_a_dataset_of_ones_own_is_completed():
    raw = xr.Dataset(
        {"signal": (("sample", "lead", "time"), np.zeros((1, 1, 11)))},
        {"lead": ["V1"], "time": np.arange(11) / 250},
    )
    ds = open_samples(raw)
    assert ds.attrs["rate"] == pytest.approx(250)
    with pytest.raises(SamplesError, match="needs the coordinates"):
        open_samples(raw.drop_vars("lead"))


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = torch.nn.Conv1d(2, 4, 3)
        self.head = torch.nn.Linear(4, 3)

    def forward(self, x):
        return self.head(self.conv(x).mean(2))


def test_a_network_of_signals_takes_them_and_nothing_else():
    model = open_model(Net(), channels=2, size=(50,), rate=100, leads=["DI", "DII"])
    assert model.kind == "signal"
    assert model.leads == ("I", "II")
    ds = made()
    tensor = model.tensor(inputs(ds, slice(None)))
    assert tuple(tensor.shape) == (3, 2, 50)
    np.testing.assert_array_equal(tensor.numpy(), ds["signal"].values)
    for wrong, words in (
        (np.zeros((1, 50, 2, 1)), "expects signals"),
        (np.zeros((1, 3, 50)), "2 lead"),
        (np.zeros((1, 2, 49)), "50 steps"),
        (np.full((1, 2, 50), np.inf), "not finite"),
    ):
        with pytest.raises(ModelError, match=words):
            model.check(wrong)
    with pytest.raises(ModelError, match="1 lead names were given for 2"):
        open_model(Net(), channels=2, size=(50,), leads=["I"])


def test_the_twelve_leads():
    assert LEADS == ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")
