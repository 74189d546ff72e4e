import dataclasses
import itertools
import queue
import sys
import threading
import time
import types

import pytest
import torch

from xai_views.kernel.status import PERIOD, count_passes


def test_the_status_is_frozen_and_names_the_device(bench):
    bench.kernel.run(lambda progress: None).result(20)
    status = bench.kernel.status()
    assert status.device == "cpu"
    with pytest.raises(dataclasses.FrozenInstanceError):
        status.device = "other"


def test_it_tells_what_runs_and_what_waits(bench, method):
    method.gate.clear()
    futures = [bench.ask(method, 1, 2)]
    method.wait_entered()
    futures += [bench.ask(method, 3), bench.kernel.run(lambda progress: None)]
    status = bench.kernel.status()
    assert (status.queued, status.running, status.progress) == (2, "Computing fake", (0, 2))
    futures[1].cancel()
    assert bench.kernel.status().queued == 1
    method.gate.set()
    bench.kernel.wait_idle(20)
    status = bench.kernel.status()
    assert (status.queued, status.running, status.progress) == (0, "", None)


def test_memory_counts_all_caches(bench, method):
    bench.ask(method, 1).result(20)
    bench.kernel.frames.put("frame", b"12345")
    kernel = bench.kernel
    assert kernel.status().memory == kernel.results.nbytes + kernel.observations.nbytes + 5
    assert kernel.status().device_memory == 0


def test_passes_are_read_from_the_methods_when_they_are_there(monkeypatch):
    fake = types.SimpleNamespace(forward=3, backward=2)
    monkeypatch.setitem(sys.modules, "xai_views.models.passes", fake)
    assert count_passes() == (3, 2)
    monkeypatch.delitem(sys.modules, "xai_views.models.passes")
    assert count_passes() == (0, 0)


def test_listeners_hear_changes_from_the_worker_and_the_last_one_too(bench, method):
    heard, threads = queue.SimpleQueue(), set()

    def listen(status):
        threads.add(threading.current_thread().name)
        heard.put(status)

    unsubscribe = bench.kernel.subscribe(listen)
    bench.ask(method, 1).result(20)
    status = heard.get(timeout=20)
    while status.misses != 1 or status.running or status.queued:
        status = heard.get(timeout=20)
    assert threads == {"xai-views-kernel"}

    # a cached answer is news as well, although the worker has nothing to do
    bench.ask(method, 1).result(20)
    while status.hits != 1:
        status = heard.get(timeout=20)
    unsubscribe()
    unsubscribe()


def test_listeners_are_not_flooded(bench):
    times = []
    bench.kernel.subscribe(lambda status: times.append(time.monotonic()))

    def many(progress):
        begin = time.monotonic()
        step = 0
        while time.monotonic() - begin < 3.5 * PERIOD:
            progress(step, 10**6)
            step += 1
        return step

    steps = bench.kernel.run(many).result(20)
    bench.kernel.wait_idle(20)
    gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert len(times) >= 2
    assert min(gaps) >= 0.99 * PERIOD
    assert len(times) < steps


def test_a_broken_listener_and_a_removed_one(bench, method):
    heard = queue.SimpleQueue()
    removed = []
    bench.kernel.subscribe(removed.append)()

    def broken(status):
        raise ValueError

    bench.kernel.subscribe(broken)
    bench.kernel.subscribe(heard.put)
    bench.ask(method, 1).result(20)
    assert heard.get(timeout=20)
    assert bench.logits(bench.ask(method, 2)) == [2]
    assert removed == []


def test_no_autocast_on_the_worker(bench):
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert bench.kernel.run(lambda progress: torch.is_autocast_enabled("cpu")).result(20) is False
