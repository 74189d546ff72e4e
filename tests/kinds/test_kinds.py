"""Every kind: the protocol, reading selected samples only, content keys, single arrays as samples."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch
import xarray as xr

from xai_views import kinds
from xai_views.contract.kind import Kind
from xai_views.samples import digest, inputs, validate

KEYS = list(kinds.KINDS)
SIZES = {"image": (12, 10), "signal": (50,), "cine": (6, 12, 10), "table": None}
CHANNELS = {"image": 3, "signal": 2, "cine": 1, "table": 4}


@pytest.mark.parametrize("key", KEYS)
def test_a_kind_keeps_the_protocol(key, samples):
    kind, ds = kinds.get(key), samples[key]
    assert isinstance(kind, Kind)
    assert kinds.of(ds) is kind
    assert kind.dims[0] == "sample"
    assert ds[key].dims == kind.dims
    assert kind.validate(ds).identical(ds), "valid samples are unchanged"
    assert validate(ds).identical(ds)


@pytest.mark.parametrize("key", KEYS)
def test_values_of_some_samples_and_no_others(key, samples, sentence):
    kind, ds = kinds.get(key), samples[key]
    for held in (ds, ds.chunk(sample=1)):
        np.testing.assert_array_equal(kind.inputs(held, [2, 0]), ds[key].values[[2, 0]])
        np.testing.assert_array_equal(inputs(held, slice(1, None)), ds[key].values[1:])
    assert len({kind.digest(a) for a in kind.inputs(ds, slice(None))}) == 3
    assert kind.digest(kind.inputs(ds, [1])[0]) == digest(ds[key].values[1])
    with sentence("there is no sample 3; give positions below 3"):
        kind.inputs(ds, 3)


@pytest.mark.parametrize("key", KEYS)
def test_a_lazy_value_that_is_no_number_is_found_when_it_is_computed(key, samples, sentence):
    ds = samples[key]
    broken = ds.assign({key: ds[key].astype(np.float32).where(False)}).chunk(sample=1)
    with sentence("not finite"):
        kinds.get(key).inputs(broken, [0])


@pytest.mark.parametrize("key", KEYS)
def test_a_model_is_given_a_float_tensor_of_what_it_expects(key, samples, asked, sentence):
    kind, given = kinds.get(key), kinds.get(key).inputs(samples[key], slice(None))
    model = asked(key, CHANNELS[key], SIZES[key])
    kind.check(model, given)
    tensor = kind.tensor(given, "cpu", torch.float64)
    assert tensor.dtype == torch.float64
    assert list(tensor.shape) == [3, *kind.example(model.channels, model.size)[1:]]
    assert kind.size_of(given) == model.size
    assert kind.fitted(model, samples[key])[key].shape == samples[key][key].shape
    with sentence("model 'm'"):
        kind.check(model, given[0])


@pytest.mark.parametrize("key", KEYS)
def test_what_a_model_takes_in_words(key, asked):
    said = kinds.get(key).said(asked(key, CHANNELS[key], SIZES[key], 100))
    assert str(CHANNELS[key] if key != "cine" else 6) in said
    assert kinds.get(key).said(asked(key, 3)), "any size"


@pytest.mark.parametrize("key", KEYS)
def test_single_arrays_become_samples_like_those_they_come_from(key, samples, sentence):
    kind, ds = kinds.get(key), samples[key]
    edited = kind.inputs(ds, [2, 1])[:, ..., ::-1].copy()
    made = kind.gathered(edited, ds, ["one", "two"], label=[1, 0])
    np.testing.assert_array_equal(kind.inputs(made, slice(None)), edited)
    assert list(made["name"].values) == ["one", "two"]
    assert list(made["label"].values) == [1, 0]
    assert made.attrs["classes"] == ["a", "b"]
    for dim in kind.dims[1:]:
        assert dim not in ds.coords or made[dim].equals(ds[dim])
    assert kinds.of(made) is kind
    if key in ("signal", "table"):
        with sentence("do not match their samples"):
            kind.gathered(edited[:, ..., :-1], ds)


@pytest.mark.parametrize("key", KEYS)
def test_a_thumbnail_is_a_small_picture_that_differs_from_sample_to_sample(key, samples):
    kind = kinds.get(key)
    pictures = [kind.thumbnail(a, 24) for a in kind.inputs(samples[key], slice(None))]
    assert all(p.shape == (24, 24, 3) and p.dtype == np.uint8 for p in pictures)
    assert len({p.tobytes() for p in pictures}) == 3


def test_samples_of_no_kind_and_kinds_that_are_none(sentence):
    with sentence("came as variables \\['x'\\] and need a variable 'image'"):
        kinds.of(xr.Dataset({"x": 1}))
    with sentence("came as list"):
        kinds.of([1])
    with sentence("no kind of input 'sound'"):
        kinds.get("sound")


def test_a_size_says_the_kind_of_a_model_that_says_no_more():
    said = {size: kinds.of_size(size).key for size in (None, (8, 8), (100,), (16, 8, 8))}
    assert said == {None: "image", (8, 8): "image", (100,): "signal", (16, 8, 8): "cine"}


def test_an_echo_with_its_ecg_is_an_echo(samples):
    both = samples["cine"].assign(signal=samples["signal"]["signal"].rename(time="step"))
    assert kinds.of(both).key == "cine"


def test_kinds_import_no_torch_until_a_tensor_is_made():
    code = "import sys; import xai_views.kinds, xai_views.samples; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "False"
