"""Many sessions at once: every request is answered, and nothing is left behind."""

import gc
import threading
import weakref
from concurrent.futures import wait

import numpy as np
import pytest

THREADS, REQUESTS = 8, 25


def chunks(progress):
    for chunk in range(5):
        progress(chunk, 5)
        yield
    return "ran"


class Session:
    """A session that makes random requests and cancels some of them."""

    def __init__(self, bench, methods, seed):
        self.bench, self.methods, self.seed = bench, methods, seed
        self.random = np.random.default_rng(seed)
        self.wishes = []  # future, which method (None for a run), numbers
        self.problem = None

    def work(self):
        try:
            for _ in range(REQUESTS):
                self.step()
        except Exception as error:
            self.problem = error

    def hear(self, position, dataset, done, total):
        assert 0 <= position < 12
        assert 1 <= done <= total == 3

    def step(self):
        random, own = self.random, f"own {self.seed}"
        channel = random.choice(["", own, f"{own}:prefetch", "shared"])
        if random.integers(8) == 0:
            future = self.bench.kernel.run(chunks, channel, priority=int(random.choice([0, 5])))
            self.wishes.append((future, None, []))
        else:
            which, ask, priority = (
                int(random.integers(3)),
                int(random.integers(2)),
                int(random.choice([0, 10])),
            )
            numbers = random.integers(0, 20, random.integers(1, 12)).tolist()
            future = self.bench.ask(
                self.methods[which],
                *numbers,
                ask=ask,
                channel=channel,
                priority=priority,
                partial=self.hear if random.integers(2) else None,
            )
            self.wishes.append((future, which, numbers))
        if random.integers(5) == 0:
            future.cancel()
        if random.integers(5) == 0:
            key = int(random.integers(3))
            future = self.bench.kernel.shared(key, chunks, priority=key)
            self.wishes.append((future, None, []))
            if random.integers(2):
                future.cancel()
        if random.integers(10) == 0:
            self.bench.kernel.cancel(own)


def outcome(future, which, numbers):
    """Check one answer and return what kind it is."""
    if future.cancelled():
        return "cancelled"
    error = future.exception(0)
    if error is not None:
        assert "unlucky" in str(error)
        assert which == 0
        assert 13 in numbers
        return "failed"
    value = future.result(0)
    if which is None:
        assert value == "ran"
    else:
        assert [float(result["logit"][0, 0]) for result in value] == numbers
    return "answered"


@pytest.mark.parametrize("cache_bytes", [0, 100_000])
def test_eight_sessions_drag_at_once(make_bench, fake, cache_bytes, caplog):
    bench = make_bench(cache_bytes=cache_bytes, max_batch=8)
    methods = [
        fake.Method(),
        fake.Method(parameters=("other",), ask_matters=True),
        fake.Stepped(ask_matters=True, partial=True),
    ]

    def fail(numbers):
        if 13 in numbers:
            raise ValueError("unlucky")

    methods[0].on_observe = fail
    sessions = [Session(bench, methods, seed) for seed in range(THREADS)]
    threads = [threading.Thread(target=session.work) for session in sessions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert [session.problem for session in sessions] == [None] * THREADS
    wishes = [wish for session in sessions for wish in session.wishes]
    done, missing = wait([future for future, *_ in wishes], 30)
    assert not missing
    assert len(done) == len(wishes) >= THREADS * REQUESTS

    kernel = bench.kernel
    kernel.wait_idle(30)
    assert {outcome(*wish) for wish in wishes} == {"answered", "cancelled", "failed"}
    queue = kernel._queue
    assert (queue._jobs, queue._channels, queue._waiting) == ({}, {}, {})
    assert (queue._step, queue._paused) == (None, [])
    assert kernel.status().queued == 0
    assert kernel.results.nbytes <= cache_bytes / 2
    assert kernel.observations.nbytes <= cache_bytes / 2
    assert not [r for r in caplog.records if "listener" in r.message]
    assert len(methods[2].closed) == len(methods[2].calls)
    assert all(len(call) <= 8 for method in methods for call in method.calls)


def test_a_held_future_does_not_hold_the_images(bench, method):
    images = bench.images([1])
    watched = weakref.ref(images)
    future = bench.kernel.explain(bench.model, images, ["d"], method, [0])
    future.result(20)
    bench.kernel.wait_idle(20)
    del images
    gc.collect()
    assert watched() is None
