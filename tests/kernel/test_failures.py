"""An error affects only the request that caused it."""

import gc
import logging
import weakref

import numpy as np
import pytest
import torch
import xarray as xr

from xai_views.errors import KernelError, MethodError
from xai_views.kernel import Kernel


def sentence(future):
    error = future.exception(20)
    assert isinstance(error, KernelError)
    text = str(error)
    assert "\n" not in text
    assert text.endswith(".")
    assert text.count(". ") == 0, "one sentence"
    return text


def raise_for(number, error):
    def check(numbers):
        if number in numbers:
            raise error

    return check


def test_an_exception_becomes_one_sentence_and_a_traceback_in_the_log(bench, method, caplog):
    method.on_observe = raise_for(1, ZeroDivisionError("The first. The second.\nThe third."))
    with caplog.at_level(logging.ERROR, logger="xai_views.kernel"):
        text = sentence(bench.ask(method, 1))
    assert text.startswith("Fake failed (ZeroDivisionError: The first)")
    assert "check its input" in text
    assert caplog.records[0].name == "xai_views.kernel"
    assert caplog.records[0].exc_info[0] is ZeroDivisionError
    assert bench.kernel.status().error == text
    assert bench.logits(bench.ask(method, 2)) == [2]


def test_only_the_guilty_request_of_a_shared_batch_fails(bench, method):
    method.on_observe = raise_for(2, ValueError("no"))
    release = bench.hold()
    futures = [bench.ask(method, 0, 1), bench.ask(method, 2, 3), bench.ask(method, 4)]
    release()
    assert bench.logits(futures[0]) == [0, 1]
    assert "ValueError: no" in sentence(futures[1])
    assert bench.logits(futures[2]) == [4]
    assert method.calls[0] == [0, 2, 4, 1, 3], "all together first"
    assert all(len(call) == 1 for call in method.calls[1:]), "then one by one"


def test_both_who_want_the_guilty_sample_fail(bench, method):
    method.on_observe = raise_for(2, ValueError("no"))
    release = bench.hold()
    futures = [bench.ask(method, 2), bench.ask(method, 2, 3), bench.ask(method, 3)]
    release()
    sentence(futures[0])
    sentence(futures[1])
    assert bench.logits(futures[2]) == [3]
    bench.kernel.wait_idle(20)


def test_an_error_in_interpret_or_covers_fails_its_request_only(bench, method):
    def interpret(number, ask):
        if number == 1:
            raise RuntimeError("odd")

    method.on_interpret = interpret
    release = bench.hold()
    futures = [bench.ask(method, 1), bench.ask(method, 2)]
    release()
    assert "RuntimeError: odd" in sentence(futures[0])
    assert bench.logits(futures[1]) == [2]

    method.covers = lambda model, observation, ask: 1 / 0
    assert "ZeroDivisionError" in sentence(bench.ask(method, 2, ask=1))


def test_sentences_of_the_product_pass_through_unchanged(bench, method):
    error = MethodError("The ask 5 is not a class of this model: use 0 to 3.")
    method.on_observe = raise_for(1, error)
    assert bench.ask(method, 1).exception(20) is error
    assert bench.kernel.status().error == str(error)


@pytest.mark.parametrize("name", ["logit", "contribution"])
def test_not_a_number_is_a_failure_and_is_not_cached(bench, method, name):
    interpret = method.interpret

    def spoil(model, observation, ask):
        result = interpret(model, observation, ask)
        if observation.image.flat[0] == 1:
            result[name].values.flat[0] = np.nan
        return result

    method.interpret = spoil
    release = bench.hold()
    futures = [bench.ask(method, 1), bench.ask(method, 2)]
    release()
    text = sentence(futures[0])
    assert name in text
    assert "NaN" in text
    assert bench.logits(futures[1]) == [2]
    assert len(bench.kernel.results) == 1


def test_nan_elsewhere_is_allowed(bench, method):
    method.interpret = lambda *_: xr.Dataset(
        {"logit": (("sample", "class"), [[1.0]]), "truth": ("sample", [np.nan])}
    )
    assert bench.logits(bench.ask(method, 1)) == [1]


OUT_OF_MEMORY = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"),
    RuntimeError("MPS backend out of memory"),
    RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory"),
    MemoryError(),
]


@pytest.mark.parametrize("error", OUT_OF_MEMORY, ids=lambda error: type(error).__name__)
def test_out_of_memory_halves_the_batch(bench, method, error):
    def limit(numbers):
        if len(numbers) > 2:
            raise error

    method.on_observe = limit
    assert bench.logits(bench.ask(method, *range(8))) == list(range(8))
    assert [len(call) for call in method.calls] == [8, 4, 2, 2, 2, 2]


def test_out_of_memory_with_one_sample_fails_that_one(bench, method):
    method.on_observe = raise_for(3, torch.OutOfMemoryError("CUDA out of memory"))
    release = bench.hold()
    futures = [bench.ask(method, n) for n in range(4)]
    release()
    assert [bench.logits(future) for future in futures[:3]] == [[0], [1], [2]]
    text = sentence(futures[3])
    assert "memory" in text
    assert "cpu" in text
    assert [len(call) for call in method.calls] == [4, 2, 2, 1, 1]


def test_other_runtime_errors_are_not_taken_for_memory(bench, method):
    method.on_observe = raise_for(1, RuntimeError("shapes cannot be multiplied"))
    assert "shapes cannot be multiplied" in sentence(bench.ask(method, 1, 2, 3, 4))
    assert [len(call) for call in method.calls] == [4, 1]


def test_memory_of_a_failed_try_is_free_before_the_next(bench, method):
    class Tensor:
        """A large object held by the failed call."""

    held, alive = [], []

    def limit(numbers):
        alive.append(sum(reference() is not None for reference in held))
        activations = Tensor()
        held.append(weakref.ref(activations))
        if len(numbers) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory")

    method.on_observe = limit
    gc.disable()  # memory must be released without a garbage collection
    try:
        bench.ask(method, *range(4)).result(20)
    finally:
        gc.enable()
    assert alive == [0] * 6


def test_out_of_memory_in_interpret_gets_a_second_try(bench, method):
    tries = []

    def interpret(number, ask):
        tries.append(number)
        if len(tries) == 1:
            raise torch.OutOfMemoryError("CUDA out of memory")

    method.on_interpret = interpret
    assert bench.logits(bench.ask(method, 1)) == [1]
    assert tries == [1, 1]


def test_a_wrong_number_of_observations(bench, method):
    method.observe = lambda model, images, asks, known: []
    assert "0 observations for 1 samples" in sentence(bench.ask(method, 1))


def test_something_else_than_a_dataset(bench, method):
    method.interpret = lambda *_: None
    sentence(bench.ask(method, 1))


class Unprintable(Exception):
    def __str__(self):
        raise ValueError


@pytest.mark.parametrize(
    "error", [SystemExit(1), KeyboardInterrupt(), Unprintable()], ids=lambda e: type(e).__name__
)
def test_nothing_ends_the_worker(bench, method, error):
    method.on_observe = raise_for(1, error)
    sentence(bench.ask(method, 1))
    assert bench.logits(bench.ask(method, 2)) == [2]


def test_a_model_that_cannot_move_fails_its_requests_only(bench, fake, method):
    class Module:
        def to(self, device):
            raise RuntimeError("no such weights")

    bad = fake.Model(sha256="bad")
    bad.module = Module()
    assert "no such weights" in sentence(bench.ask(method, 1, model=bad))
    assert bench.logits(bench.ask(method, 1)) == [1]


def test_a_failed_request_leaves_its_other_samples_to_nobody(make_bench, method):
    bench = make_bench(max_batch=1)
    method.on_observe = raise_for(0, ValueError("no"))
    sentence(bench.ask(method, 0, 1, 2))
    bench.kernel.wait_idle(20)
    assert method.calls == [[0]]


def test_a_device_that_is_not_there_is_told_to_everybody(method):
    if torch.cuda.is_available():
        pytest.skip("this machine has it")
    with Kernel(device="cuda") as kernel:
        text = sentence(kernel.run(lambda progress: 1))
        assert "'cuda' is not available" in text
        assert kernel.status().error == text


def test_an_unknown_device_is_told_at_once():
    with pytest.raises(KernelError, match="'gpu' is not known"):
        Kernel(device="gpu")
    with pytest.raises(KernelError, match="max_batch"):
        Kernel(device="cpu", max_batch=0)
