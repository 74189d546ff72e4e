"""Functions on the worker: progress, cancelling, and generators that let other work run."""

import threading
from concurrent.futures import wait

import pytest
import torch

from xai_views.errors import KernelError, SamplesError
from xai_views.kernel import PREFETCH, Cancelled


def test_the_value_comes_back_from_the_worker_thread(bench):
    future = bench.kernel.run(lambda progress: threading.current_thread().name)
    assert future.result(20) == "xai-views-kernel"


def test_progress_is_in_the_status(bench):
    seen = []

    def count(progress):
        for done in range(3):
            progress(done, 3)
            seen.append(bench.kernel.status())

    bench.kernel.run(count, title="Counting").result(20)
    bench.kernel.wait_idle(20)
    assert [status.progress for status in seen] == [(0, 3), (1, 3), (2, 3)]
    assert {status.running for status in seen} == {"Counting"}
    assert (bench.kernel.status().running, bench.kernel.status().progress) == ("", None)


@pytest.mark.parametrize("how", ["newer", "channel", "future", "close"])
def test_progress_raises_once_it_is_cancelled(bench, fake, how):
    inside, go_on, raised = threading.Event(), threading.Event(), threading.Event()

    def work(progress):
        progress(0, 2)
        inside.set()
        assert go_on.wait(fake.wait)
        try:
            progress(1, 2)
        except Cancelled:
            raised.set()
            raise

    future = bench.kernel.run(work, channel="s")
    assert inside.wait(fake.wait)
    newer = None
    if how == "newer":
        newer = bench.kernel.run(lambda progress: "newer", channel="s")
    elif how == "channel":
        bench.kernel.cancel("s")
    elif how == "future":
        assert future.cancel()
    else:
        bench.kernel.close(timeout=0)
    assert future.cancelled()
    go_on.set()
    bench.kernel.wait_idle(20)
    assert raised.is_set()
    assert newer is None or newer.result(20) == "newer"
    assert bench.kernel.status().error == "", "a cancelled request is not an error"


def test_a_run_and_an_explanation_on_one_channel_replace_each_other(bench, method):
    release = bench.hold()
    older = bench.kernel.run(lambda progress: 1, channel="s")
    newer = bench.ask(method, 1, channel="s")
    release()
    assert older.cancelled()
    assert bench.logits(newer) == [1]


def test_failures_are_one_sentence_and_ours_pass(bench):
    def broken(progress):
        raise OSError("disk full")

    assert "The computation failed (OSError: disk full)" in str(bench.kernel.run(broken).exception(20))
    ours = SamplesError("This file is no image: choose another.")

    def told(progress):
        raise ours

    assert bench.kernel.run(told).exception(20) is ours
    assert bench.kernel.run(lambda progress: 5).result(20) == 5


def test_priority_then_order_of_arrival(bench):
    order = []
    release = bench.hold()
    futures = [
        bench.kernel.run(lambda progress, name=name: order.append(name), priority=priority)
        for name, priority in [("late", PREFETCH), ("b", 1), ("a", 0), ("c", 1)]
    ]
    release()
    wait(futures, 20)
    assert order == ["a", "b", "c", "late"]


def test_a_generator_lets_waiting_explanations_through(bench, method):
    order, asked = [], []

    def chunks(progress):
        for chunk in range(3):
            progress(chunk, 3)
            order.append(chunk)
            if chunk == 0:
                asked.append(bench.ask(method, 1))
            yield
        return "all"

    method.on_observe = order.append
    future = bench.kernel.run(chunks)
    assert future.result(20) == "all"
    assert order == [0, [1], 1, 2]
    assert bench.logits(asked[0]) == [1]


def test_a_generator_for_idle_time_lets_everybody_through(bench, fake):
    order, asked = [], []
    method = fake.Method()
    method.on_observe = order.append

    def chunks(progress):
        for chunk in range(2):
            order.append(chunk)
            if chunk == 0:
                asked.extend([bench.ask(method, 1, size=2), bench.ask(method, 2, size=3)])
            yield

    bench.kernel.run(chunks, priority=5).result(20)
    assert order == [0, [1], [2], 1]


def test_a_generator_that_is_cancelled_between_chunks_is_closed_on_the_worker(bench):
    closed, others = [], []

    def chunks(progress):
        try:
            while True:
                if not others:
                    others.append(bench.kernel.run(lambda progress: future.cancel()))
                yield
        finally:
            closed.append(threading.current_thread().name)

    future = bench.kernel.run(chunks, channel="s")
    bench.kernel.wait_idle(20)
    assert others[0].result() is True
    assert future.cancelled()
    assert closed == ["xai-views-kernel"]
    assert not bench.kernel._queue._jobs


def test_a_generator_that_comes_after_its_cancellation_is_closed(bench):
    closed = []

    def chunks():
        try:
            while True:
                yield
        finally:
            closed.append(threading.current_thread().name)

    def start(progress):
        bench.kernel.cancel("s")
        generator = chunks()
        next(generator)
        made.append(generator)
        return generator

    made = []
    bench.kernel.run(start, channel="s")
    bench.kernel.wait_idle(20)
    assert closed == ["xai-views-kernel"]


def test_a_generator_that_is_superseded_stops(bench):
    chunks_run = []

    def chunks(progress):
        for chunk in range(1000):
            chunks_run.append(chunk)
            if chunk == 2:
                newer.append(bench.kernel.run(lambda progress: "newer", channel="s"))
            yield

    newer = []
    bench.kernel.run(chunks, channel="s")
    bench.kernel.wait_idle(20)
    assert newer[0].result(20) == "newer"
    assert chunks_run == [0, 1, 2]


def test_closing_the_kernel_closes_generators(bench, fake):
    inside, closed = threading.Event(), threading.Event()

    def chunks(progress):
        try:
            while True:
                inside.set()
                yield
        finally:
            closed.set()

    future = bench.kernel.run(chunks)
    assert inside.wait(fake.wait)
    bench.kernel.close()
    assert closed.wait(fake.wait)
    assert future.cancelled()
    bench.kernel.wait_idle(20)


def test_a_generator_that_fails(bench):
    def chunks(progress):
        yield
        raise ValueError("half way")

    assert "half way" in str(bench.kernel.run(chunks).exception(20))


def test_gradients_are_never_left_off_for_others(bench):
    def chunks(progress):
        with torch.no_grad():
            yield

    assert "torch.no_grad" in str(bench.kernel.run(chunks).exception(20))
    bench.kernel.run(lambda progress: torch.set_grad_enabled(False)).result(20)
    assert bench.kernel.run(lambda progress: torch.is_grad_enabled()).result(20) is True


def test_a_closed_kernel_says_so(bench, method):
    release = bench.hold()
    waiting = bench.ask(method, 1)
    bench.kernel.close(timeout=0)
    assert waiting.cancelled()
    assert bench.kernel.closed
    with pytest.raises(KernelError, match="closed"):
        bench.ask(method, 1)
    with pytest.raises(KernelError, match="closed"):
        bench.kernel.run(print)
    release()


def test_wait_idle(bench, method):
    assert bench.kernel.wait_idle(20) is True
    release = bench.hold()
    with pytest.raises(TimeoutError):
        bench.kernel.wait_idle(0)
    release()
    assert bench.kernel.wait_idle(20) is True
