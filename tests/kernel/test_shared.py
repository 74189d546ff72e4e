"""Shared values: computed once, limited in number, stopped when the last caller cancels."""

import asyncio
import gc
import threading
import weakref
from concurrent.futures import CancelledError, Future, wait

import pytest

from xai_views.errors import KernelError
from xai_views.kernel import Cancelled, Same, Shared


def in_threads(*works):
    threads = [threading.Thread(target=work) for work in works]
    for thread in threads:
        thread.start()
    return threads


# Values


def test_a_value_is_made_by_the_first_and_kept(fake):
    shared, made = Shared(5), []
    barrier, got = threading.Barrier(8), []

    def make():
        made.append(object())
        return made[-1]

    def ask():
        barrier.wait(fake.wait)
        got.append(shared.get("a", make))

    for thread in in_threads(*[ask] * 8):
        thread.join(fake.wait)
    assert len(made) == 1
    assert got == made * 8
    assert shared.get("b", make) is made[1]


def test_nothing_is_a_value_too():
    shared, made = Shared(5), []
    for _ in range(2):
        assert shared.get("a", lambda: made.append(1)) is None
    assert made == [1]


def test_only_those_who_ask_for_the_same_wait(fake):
    shared = Shared(5)
    inside, leave = threading.Event(), threading.Event()

    def slow():
        inside.set()
        assert leave.wait(fake.wait)
        return "slow"

    (thread,) = in_threads(lambda: shared.get("a", slow))
    assert inside.wait(fake.wait)
    assert shared.get("b", lambda: "quick") == "quick"
    leave.set()
    thread.join(fake.wait)
    assert shared.get("a", lambda: "again") == "slow"


def test_it_forgets_what_was_used_longest_ago():
    shared = Shared(2)
    for key in "ab":
        shared.get(key, lambda: 1)
    shared.get("a", lambda: 2)
    shared.get("c", lambda: 3)
    assert (len(shared), "a" in shared, "b" in shared, "c" in shared) == (2, True, False, True)
    assert shared.get("a", lambda: 4) == 1
    shared.clear()
    assert len(shared) == 0


def test_who_fails_is_told_and_the_next_one_tries_again(fake):
    shared = Shared(2)
    inside, leave, got = threading.Event(), threading.Event(), []

    def fail():
        inside.set()
        assert leave.wait(fake.wait)
        raise OSError("no")

    def first():
        with pytest.raises(OSError, match="no"):
            shared.get("a", fail)
        got.append("failed")

    (one,) = in_threads(first)
    assert inside.wait(fake.wait)
    (two,) = in_threads(lambda: got.append(shared.get("a", lambda: "made")))
    leave.set()
    for thread in (one, two):
        thread.join(fake.wait)
    assert sorted(got) == ["failed", "made"]
    assert shared.get("a", lambda: "made twice") == "made", "the value of the second caller is shared"
    with pytest.raises(OSError, match="no"):
        shared.get("b", fail)
    assert "b" not in shared


def test_futures_that_failed_or_were_cancelled_are_made_again():
    shared = Shared(5)
    pending = shared.get("a", Future)
    assert shared.get("a", Future) is pending
    pending.set_result(1)
    assert shared.get("a", Future) is pending
    failed, cancelled = shared.get("b", Future), shared.get("c", Future)
    failed.set_exception(OSError())
    cancelled.cancel()
    assert shared.get("b", Future) is not failed
    assert shared.get("c", Future) is not cancelled


def test_a_key_of_the_very_same_object():
    shared = Shared(1)
    one, other = [1], [1]
    assert shared.get((Same(one), "x"), lambda: "one") == "one"
    assert shared.get((Same(one), "x"), lambda: "again") == "one"
    assert shared.get((Same(other), "x"), lambda: "other") == "other"
    assert Same(one) != one

    class Thing:
        pass

    thing = Thing()
    watched = weakref.ref(thing)
    shared.get(Same(thing), lambda: 1)
    del thing
    assert watched() is not None, "else another object could reuse its id"
    shared.get("next", lambda: 1)
    gc.collect()
    assert watched() is None


# Runs


class Work:
    """A function for the worker that counts its runs and their pieces."""

    def __init__(self, total=3):
        self.total = total
        self.runs = 0
        self.pieces = []
        self.closed = []
        self.on_piece = lambda piece: None

    def __call__(self, progress):
        self.runs += 1
        try:
            for piece in range(self.total):
                self.pieces.append(piece)
                self.on_piece(piece)
                progress(piece + 1, self.total)
                yield
            return [self.runs]
        finally:
            self.closed.append(threading.current_thread().name)


@pytest.fixture
def work():
    return Work()


def test_all_who_ask_share_one_run(bench, work):
    release = bench.hold()
    futures = [bench.kernel.shared(("fit", 1), work) for _ in range(3)]
    release()
    values = [future.result(20) for future in futures]
    later = bench.kernel.shared(("fit", 1), work)
    assert later.done(), "the value is kept"
    assert all(value is values[0] for value in (*values, later.result()))
    assert len(set(map(id, futures))) == 3
    assert bench.kernel.shared(("fit", 2), work).result(20) == [2]
    assert work.runs == 2


def test_a_plain_function_with_priority(bench):
    order = []
    release = bench.hold()
    futures = [
        bench.kernel.shared("late", lambda progress: order.append("late"), priority=5),
        bench.kernel.shared("soon", lambda progress: order.append("soon"), priority=1),
    ]
    release()
    wait(futures, 20)
    assert order == ["soon", "late"]


def test_who_cancels_lets_go_of_his_own_interest_only(bench, work):
    release = bench.hold()
    futures = [bench.kernel.shared("fit", work) for _ in range(3)]
    work.on_piece = lambda piece: futures[piece].cancel() if piece < 2 else None
    release()
    done, _ = wait(futures, 20)
    assert len(done) == 3, "waiting for a cancelled future ends"
    assert [future.cancelled() for future in futures] == [True, True, False]
    assert futures[2].result() == [1]


def test_the_run_stops_when_the_last_one_lets_go_and_runs_again_for_the_next(bench):
    work = Work(total=1000)
    release = bench.hold()
    futures = [bench.kernel.shared("fit", work) for _ in range(2)]
    work.on_piece = lambda piece: futures[piece // 2].cancel() if work.runs == 1 else None
    release()
    bench.kernel.wait_idle(20)
    assert work.pieces == [0, 1, 2]
    assert work.closed == ["xai-views-kernel"]
    work.total = 2
    assert bench.kernel.shared("fit", work).result(20) == [2]


def test_who_comes_after_the_last_one_let_go_does_not_get_the_stopped_run(bench, fake):
    inside, leave, runs, stopped = threading.Event(), threading.Event(), [], []

    def function(progress):
        runs.append(1)
        if len(runs) > 1:
            return "second"
        inside.set()
        assert leave.wait(fake.wait)
        try:
            progress(1, 2)
        except Cancelled:
            stopped.append(1)
            raise
        return "first"

    first = bench.kernel.shared("fit", function)
    assert inside.wait(fake.wait)
    first.cancel()
    second = bench.kernel.shared("fit", function)
    leave.set()
    assert second.result(20) == "second"
    assert stopped == [1]
    with pytest.raises(CancelledError):
        first.result(0)


def test_a_failure_is_told_to_all_and_tried_again(bench):
    runs = []

    def function(progress):
        runs.append(1)
        if len(runs) == 1:
            raise OSError("disk full")
        return "read"

    release = bench.hold()
    futures = [bench.kernel.shared("file", function) for _ in range(2)]
    release()
    for future in futures:
        error = future.exception(20)
        assert isinstance(error, KernelError)
        assert "The computation failed (OSError: disk full)" in str(error)
    assert bench.kernel.shared("file", function).result(20) == "read"
    assert len(runs) == 2


def test_who_hears_of_a_failure_can_ask_again_at_once(bench):
    runs, again = [], []

    def function(progress):
        runs.append(1)
        if len(runs) == 1:
            raise OSError
        return "read"

    release = bench.hold()
    first = bench.kernel.shared("file", function)
    first.add_done_callback(lambda future: again.append(bench.kernel.shared("file", function)))
    release()
    bench.kernel.wait_idle(20)
    assert again[0].result(20) == "read"


def test_progress_is_seen_by_all(bench, work, monkeypatch, caplog):
    monkeypatch.setattr("xai_views.kernel.listeners.PERIOD", 0)
    release = bench.hold()
    one, two = bench.kernel.shared("fit", work), bench.kernel.shared("fit", work)
    assert one.progress is two.progress is None
    heard, removed, seen = [], [], []

    def broken(done, total):
        raise ValueError

    two.subscribe(lambda done, total: heard.append((done, total)))
    one.subscribe(lambda done, total: seen.append((one.progress, two.progress)))
    one.subscribe(broken)
    one.subscribe(removed.append)()
    work.on_piece = lambda piece: seen.append(bench.kernel.status().progress)
    release()
    assert one.result(20) == [1]
    assert heard == [(1, 3), (2, 3), (3, 3)]
    assert seen[1::2] == [((n, 3), (n, 3)) for n in (1, 2, 3)]
    assert seen[2::2] == [(1, 3), (2, 3)], "the status agrees"
    assert removed == []
    assert len([record for record in caplog.records if "listener" in record.message]) == 3


def test_listeners_are_told_now_and_then(bench, monkeypatch):
    monkeypatch.setattr("xai_views.kernel.listeners.PERIOD", 3600)
    release = bench.hold()
    future, heard = bench.kernel.shared("fit", Work(total=50)), []
    future.subscribe(lambda done, total: heard.append(done))
    release()
    future.result(20)
    assert heard == [1]
    assert future.progress == (50, 50)


def test_values_are_kept_in_bounded_number(make_bench, work):
    bench = make_bench(most_shared=2)
    for key in "aba":
        bench.kernel.shared(key, work).result(20)
    assert work.runs == 2
    bench.kernel.shared("c", work).result(20)
    bench.kernel.shared("a", work).result(20)
    assert work.runs == 3
    bench.kernel.shared("b", work).result(20)
    assert work.runs == 4, "least recently used"


def test_what_the_function_needed_is_let_go(bench):
    class Samples:
        pass

    samples = Samples()
    watched = weakref.ref(samples)
    future = bench.kernel.shared("fit", lambda progress, samples=samples: 1)
    future.result(20)
    del samples
    bench.kernel.run(lambda progress: None).result(20)
    gc.collect()
    assert watched() is None


def test_closing_the_kernel_cancels_all(bench, work):
    release = bench.hold()
    futures = [bench.kernel.shared("fit", work) for _ in range(2)]
    bench.kernel.close(timeout=0)
    release()
    assert all(future.cancelled() for future in futures)
    with pytest.raises(KernelError, match="closed"):
        bench.kernel.shared("fit", work)


async def test_cancelling_a_task_lets_go(bench, work):
    release = bench.hold()
    one, two = bench.kernel.shared("fit", work), bench.kernel.shared("fit", work)
    task = asyncio.wrap_future(one)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.sleep(0)  # asyncio passes on the cancellation in its next iteration
    assert one.cancelled()
    release()
    assert await asyncio.wrap_future(two) == [1]
