"""Methods that observe in pieces: between two yields the worker pauses, serves others, and reports progress.

Actions during a piece (``on_piece``) run on the worker, so they have taken effect by the next yield.
"""

import gc
import logging
import threading
import weakref
from concurrent.futures import wait

import numpy as np
import pytest
import torch
import xarray as xr

from xai_views.errors import KernelError
from xai_views.kernel import PREFETCH

WORKER = "xai-views-kernel"


@pytest.fixture
def stepped(fake):
    return fake.Stepped()


@pytest.fixture
def every_time(monkeypatch):
    """Pass all news to listeners, without the limit on their frequency."""
    monkeypatch.setattr("xai_views.kernel.listeners.PERIOD", 0)


def at(wanted, act):
    """Return an ``on_piece`` that acts during one piece, the first time."""
    done = []

    def on_piece(numbers, piece):
        if piece == wanted and not done:
            done.append(act())

    return on_piece


def pieces(method):
    return [piece for _, piece in method.steps]


def test_an_observation_in_pieces_is_an_observation(bench, stepped):
    assert bench.logits(bench.ask(stepped, 3, 1, 2)) == [3, 1, 2]
    assert (stepped.calls, pieces(stepped)) == ([[3, 1, 2]], [0, 1, 2])
    assert bench.logits(bench.ask(stepped, 1, ask=5)) == [1], "observed already"
    assert len(stepped.calls) == 1


# Stopping


@pytest.mark.parametrize("how", ["future", "channel", "newer"])
def test_what_nobody_wants_stops_at_its_next_yield(bench, fake, method, how):
    long = fake.Stepped(total=1000)
    asked = []

    def change_mind():
        if how == "future":
            assert older.cancel()
        elif how == "channel":
            bench.kernel.cancel("s")
        asked.append(bench.ask(method, 7, channel="s"))

    release = bench.hold()
    long.on_piece = at(2, change_mind)
    method.on_observe = lambda numbers: asked.append(list(long.closed))
    older = bench.ask(long, 1, 2, channel="s")
    release()
    bench.kernel.wait_idle(20)
    assert older.cancelled()
    assert pieces(long) == [0, 1, 2]
    assert long.closed == [WORKER]
    assert asked[1] == [WORKER], "closed before the next request"
    assert bench.logits(asked[0]) == [7]
    assert (len(bench.kernel.observations), len(bench.kernel.results)) == (1, 1), "of the other request"
    assert bench.kernel.status().error == ""


def test_the_next_request_is_answered_while_the_cancelled_one_is_not_at_its_end(bench, fake, method):
    long = fake.Stepped(total=1000)
    long.gate.clear()
    older = bench.ask(long, 1)
    long.wait_entered()
    older.cancel()
    newer = bench.ask(method, 2)
    long.gate.set()
    assert bench.logits(newer) == [2]
    assert pieces(long) == [0]


def test_a_batch_goes_on_while_anybody_wants_any_of_it(bench, stepped):
    release = bench.hold()
    futures = [bench.ask(stepped, 1), bench.ask(stepped, 2)]
    stepped.on_piece = at(0, futures[0].cancel)
    release()
    assert bench.logits(futures[1]) == [2]
    assert (stepped.calls, pieces(stepped)) == ([[1, 2]], [0, 1, 2])
    assert stepped.interpreted == [(2, 0)]


def test_after_a_stop_it_is_observed_from_the_start(bench, stepped):
    release = bench.hold()
    first = bench.ask(stepped, 1)
    stepped.on_piece = at(1, first.cancel)
    release()
    bench.kernel.wait_idle(20)
    assert bench.logits(bench.ask(stepped, 1)) == [1]
    assert pieces(stepped) == [0, 1, 0, 1, 2]
    assert stepped.known == [[None], [None]]


def test_who_asks_again_before_the_yield_goes_on_where_it_was(bench, stepped):
    again = []

    def change_mind_twice():
        first.cancel()
        again.append(bench.ask(stepped, 1))

    release = bench.hold()
    first = bench.ask(stepped, 1)
    stepped.on_piece = at(1, change_mind_twice)
    release()
    bench.kernel.wait_idle(20)
    assert bench.logits(again[0]) == [1]
    assert pieces(stepped) == [0, 1, 2]


def test_closing_the_kernel_closes_what_is_paused(bench, fake):
    long = fake.Stepped(total=10**9)
    inside = threading.Event()
    long.on_piece = at(3, inside.set)
    other = fake.Stepped(total=10**9, parameters=("other",))
    release = bench.hold()
    futures = [bench.ask(long, 1), bench.ask(other, 1)]
    release()
    assert inside.wait(fake.wait)
    bench.kernel.close(fake.wait)
    assert all(future.cancelled() for future in futures)
    assert long.closed == other.closed == [WORKER]
    bench.kernel.wait_idle(20)


def test_what_was_stopped_does_not_hold_the_images(bench, stepped):
    images = bench.images([1])
    watched = weakref.ref(images)
    release = bench.hold()
    future = bench.kernel.explain(bench.model, images, ["d"], stepped, [0])
    stepped.on_piece = at(1, future.cancel)
    del images
    release()
    bench.kernel.wait_idle(20)
    bench.kernel.run(lambda progress: None).result(20)
    gc.collect()
    assert watched() is None


# Turns


def test_the_more_urgent_comes_between_two_yields(bench, fake, stepped):
    order, asked = [], []
    urgent = fake.Stepped(total=2, parameters=("urgent",))
    urgent.on_piece = lambda numbers, piece: order.append(("urgent", piece))

    def on_piece(numbers, piece):
        order.append(piece)
        if piece == 1:
            asked.append(bench.ask(urgent, 9))

    stepped.on_piece = on_piece
    idle = bench.ask(stepped, 1, 2, priority=PREFETCH)
    assert bench.logits(idle) == [1, 2]
    assert order == [0, 1, ("urgent", 0), ("urgent", 1), 2]
    assert bench.logits(asked[0]) == [9]
    assert stepped.calls == [[1, 2]], "resumed, not restarted"


def test_the_less_urgent_waits_to_the_end(bench, fake, method, stepped):
    order, asked = [], []
    stepped.on_piece = lambda numbers, piece: order.append(piece)
    method.on_observe = order.append
    release = bench.hold()
    futures = [bench.ask(stepped, 1, priority=1), bench.ask(method, 2, priority=2)]
    release()
    wait([*futures, *asked], 20)
    assert order == [0, 1, 2, [2]]


def test_equals_take_turns(bench, fake):
    order = []
    methods = [fake.Stepped(parameters=(name,)) for name in "ab"]
    for name, method in zip("ab", methods, strict=True):
        method.on_piece = lambda numbers, piece, name=name: order.append(name)

    def chunks(progress):
        for _ in range(3):
            order.append("run")
            yield

    release = bench.hold()
    futures = [bench.ask(methods[0], 1), bench.ask(methods[1], 2), bench.kernel.run(chunks)]
    release()
    wait(futures, 20)
    assert order == ["a", "b", "run"] * 3
    assert [bench.logits(future) for future in futures[:2]] == [[1], [2]]


def test_what_comes_during_a_piece_is_served_at_the_next_yield(bench, fake, method):
    order, asked = [], []
    long = fake.Stepped(total=4)

    def on_piece(numbers, piece):
        order.append(piece)
        if piece in (0, 2):
            asked.append(bench.ask(method, 10 + piece))

    long.on_piece = on_piece
    method.on_observe = order.append
    bench.ask(long, 1).result(20)
    assert order == [0, [10], 1, 2, [12], 3]


def test_a_job_has_one_batch_at_a_time(make_bench, fake):
    bench = make_bench(max_batch=2)
    stepped = fake.Stepped(total=2)
    assert bench.logits(bench.ask(stepped, 1, 2, 3)) == [1, 2, 3]
    assert stepped.steps == [([1, 2], 0), ([1, 2], 1), ([3], 0), ([3], 1)]


def test_samples_that_wait_share_the_batch_of_another(make_bench, fake):
    bench = make_bench(max_batch=2)
    stepped = fake.Stepped(total=2)
    asked = []
    stepped.on_piece = at(0, lambda: asked.append(bench.ask(stepped, 9)))
    assert bench.logits(bench.ask(stepped, 1, 2, 3)) == [1, 2, 3]
    assert bench.logits(asked[0]) == [9]
    assert stepped.calls == [[1, 2], [9, 3]]


# Joining


@pytest.mark.parametrize("cache_bytes", [0, 10**6])
def test_a_sample_that_is_being_observed_is_joined(make_bench, fake, cache_bytes):
    bench = make_bench(cache_bytes=cache_bytes)
    stepped, other = fake.Stepped(), fake.Stepped(parameters=("other",))
    joined = []

    def join():
        joined.append(bench.ask(stepped, 1))
        joined.append(bench.ask(stepped, 4, 1))

    stepped.on_piece = at(1, join)
    futures = [bench.ask(stepped, 1), bench.ask(other, 5)]
    wait(futures, 20)
    bench.kernel.wait_idle(20)
    assert [bench.logits(future) for future in (futures[0], *joined)] == [[1], [1], [4, 1]]
    assert stepped.calls == [[1], [4]], "the other sample of the second request followed"


def test_who_joins_keeps_it_alive(bench, stepped):
    joined = []

    def join():
        joined.append(bench.ask(stepped, 1))
        first.cancel()

    release = bench.hold()
    first = bench.ask(stepped, 1)
    stepped.on_piece = at(0, join)
    release()
    bench.kernel.wait_idle(20)
    assert bench.logits(joined[0]) == [1]
    assert pieces(stepped) == [0, 1, 2]


@pytest.mark.parametrize("ask", [0, 5], ids=["the same ask", "another ask"])
def test_who_waits_for_it_lends_it_his_urgency(bench, fake, method, ask):
    order, asked = [], []
    stepped = fake.Stepped(ask_matters=True)

    def ask_more():
        asked.append(bench.ask(method, 8, priority=3))
        asked.append(bench.ask(stepped, 1, ask=ask, priority=0))

    act = at(0, ask_more)
    stepped.on_piece = lambda numbers, piece: (order.append(piece), act(numbers, piece))
    method.on_observe = order.append
    first = bench.ask(stepped, 1, priority=5)
    bench.kernel.wait_idle(20)
    assert order == [0, 1, 2, *([0, 1, 2] if ask else []), [8]]
    assert [bench.logits(future) for future in (first, *asked)] == [[1], [8], [1]]


def test_another_ask_waits_and_adds_to_the_observation(bench, fake):
    stepped = fake.Stepped(ask_matters=True)
    asked = []
    stepped.on_piece = at(0, lambda: asked.append(bench.ask(stepped, 1, ask=5)))
    first = bench.ask(stepped, 1, ask=0)
    bench.kernel.wait_idle(20)
    assert [bench.logits(future) for future in (first, *asked)] == [[1], [1]]
    assert pieces(stepped) == [0, 1, 2, 0, 1, 2]
    assert stepped.known[1][0].asks == {0}
    assert next(iter(bench.kernel.observations._entries.values()))[0].asks == {0, 5}


def test_two_asks_about_one_image_in_one_request(bench, fake):
    stepped = fake.Stepped(ask_matters=True)
    future = bench.kernel.explain(bench.model, bench.images([1, 1]), ["d", "d"], stepped, [0, 5])
    assert [float(result["logit"][0, 1]) for result in future.result(20)] == [0, 5]
    assert stepped.calls == [[1], [1]]


def test_an_ask_that_the_old_observation_covers_does_not_wait_for_the_new_one(bench, fake):
    stepped = fake.Stepped(ask_matters=True)
    bench.ask(stepped, 1, ask=0).result(20)
    bench.kernel.results.clear()
    asked, answered = [], []

    def look():
        asked.append(bench.ask(stepped, 1, ask=0))
        asked[0].add_done_callback(lambda future: answered.extend(pieces(stepped)[3:]))

    stepped.on_piece = at(0, look)
    bench.ask(stepped, 1, ask=5).result(20)
    assert answered == [0], "after the first piece of three"
    assert stepped.calls == [[1], [1]]


# Progress and partial answers


def test_the_status_says_how_far_it_is(bench, stepped, monkeypatch):
    monkeypatch.setattr("xai_views.kernel.status.PERIOD", 0)
    seen, heard = [], []
    stepped.on_piece = lambda numbers, piece: seen.append(bench.kernel.status())
    bench.ask(stepped, 1).result(20)
    assert [status.progress for status in seen] == [(0, 1), (1, 3), (2, 3)]
    assert {status.running for status in seen} == {"Computing stepped"}
    assert {status.queued for status in seen} == {0}
    bench.kernel.wait_idle(20)
    assert (bench.kernel.status().running, bench.kernel.status().progress) == ("", None)

    bench.kernel.subscribe(heard.append)
    bench.ask(stepped, 2).result(20)
    bench.kernel.wait_idle(20)
    running = [status for status in heard if status.running]
    assert {status.queued for status in running} == {0}, "running work is not queued"
    assert {status.progress for status in running} >= {(0, 1), (1, 3), (2, 3)}


def test_partial_answers_are_interpreted_and_handed_on_but_never_kept(bench, fake, every_time):
    stepped = fake.Stepped(partial=True)
    heard, kept = [], []

    def hear(position, dataset, done, total):
        heard.append((position, round(float(dataset["logit"][0, 0]), 2), done, total))
        kept.append((len(bench.kernel.results), len(bench.kernel.observations)))
        assert threading.current_thread().name == WORKER
        with pytest.raises(ValueError, match="read-only"):
            dataset["logit"].values[:] = 0

    assert bench.logits(bench.ask(stepped, 5, 6, 5, partial=hear)) == [5, 6, 5]
    assert sorted(heard[:3]) == [(0, 5.01, 1, 3), (1, 6.01, 1, 3), (2, 5.01, 1, 3)]
    assert [done for *_, done, _ in heard] == [1] * 3 + [2] * 3 + [3] * 3
    assert set(kept) == {(0, 0)}
    assert {ask for _, ask in stepped.interpreted} == {0}


def test_partial_answers_of_what_was_stopped_are_not_taken_for_answers(bench, fake, every_time):
    stepped = fake.Stepped(partial=True)
    heard = []

    def hear(position, dataset, done, total):
        heard.append(done)
        first.cancel()

    release = bench.hold()
    first = bench.ask(stepped, 1, partial=hear)
    release()
    bench.kernel.wait_idle(20)
    assert heard == [1]
    assert (len(bench.kernel.results), len(bench.kernel.observations)) == (0, 0)
    assert bench.logits(bench.ask(stepped, 1)) == [1]
    assert stepped.known == [[None], [None]]


def test_progress_alone_is_heard_too(bench, stepped, every_time):
    heard = []
    bench.ask(stepped, 5, partial=lambda *news: heard.append(news)).result(20)
    assert heard == [(0, None, 1, 3), (0, None, 2, 3), (0, None, 3, 3)]


def test_each_listener_hears_of_its_own_samples_and_only_those_who_listen_are_interpreted_for(
    bench, fake, every_time
):
    stepped = fake.Stepped(total=1, partial=True)
    heard = []
    release = bench.hold()
    futures = [
        bench.ask(stepped, 1),
        bench.ask(stepped, 2, 3, partial=lambda *news: heard.append(("a", news[0], news[2]))),
        bench.ask(stepped, 3, partial=lambda *news: heard.append(("b", news[0], news[2]))),
    ]
    release()
    wait(futures, 20)
    bench.kernel.wait_idle(20)
    assert stepped.calls == [[1, 2, 3]]
    assert sorted(heard) == [("a", 0, 1), ("a", 1, 1), ("b", 0, 1)]
    assert len(stepped.interpreted) == 2 + 3, "two partial results and three answers"


def test_listeners_cannot_harm_each_other(bench, fake, every_time):
    stepped = fake.Stepped(partial=True)
    heard = []

    def hear(position, dataset, done, total):
        heard.append(dict(dataset.attrs))
        dataset.attrs["mine"] = position

    release = bench.hold()
    futures = [bench.ask(stepped, 1, 1, partial=hear), bench.ask(stepped, 1, partial=hear)]
    release()
    wait(futures, 20)
    assert heard == [{}] * 9


def test_who_joins_hears_of_it_too(bench, fake, every_time):
    stepped = fake.Stepped(partial=True)
    heard, joined = [], []
    hear = lambda *news: heard.append(news[2:])  # noqa: E731
    stepped.on_piece = at(1, lambda: joined.append(bench.ask(stepped, 1, partial=hear)))
    bench.ask(stepped, 1).result(20)
    assert bench.logits(joined[0]) == [1]
    assert heard == [(2, 3), (3, 3)]


def test_listeners_are_told_now_and_then(bench, fake, monkeypatch):
    monkeypatch.setattr("xai_views.kernel.listeners.PERIOD", 3600)
    stepped = fake.Stepped(total=50, partial=True)
    heard = []
    assert bench.logits(bench.ask(stepped, 1, 2, partial=lambda *news: heard.append(news[2]))) == [1, 2]
    assert heard == [1, 1]
    assert len(stepped.interpreted) == 4, "nothing is interpreted without a listener"


def test_what_could_not_be_shown_at_its_time_is_shown_later_once(bench, stepped, monkeypatch):
    clock = iter([0, 0.01, 1, 2])  # seconds at the yields: the second comes too early
    monkeypatch.setattr("xai_views.kernel.listeners.time.monotonic", lambda: next(clock))
    stepped.total = 4
    stepped.so_far = lambda images, asks, piece: [images[0] + 0.5] if piece == 1 else None
    interpret = stepped.interpret

    def look(model, observation, ask):
        if isinstance(observation, np.ndarray):
            return xr.Dataset({"logit": (("sample", "class"), [[float(observation.flat[0])]])})
        return interpret(model, observation, ask)

    stepped.interpret = look
    heard = []

    def hear(position, dataset, done, total):
        heard.append((None if dataset is None else float(dataset["logit"][0, 0]), done))

    bench.ask(stepped, 1, partial=hear).result(20)
    assert heard == [(None, 1), (1.5, 3), (None, 4)]


def test_samples_without_a_partial_answer_are_told_the_progress(bench, fake, every_time):
    stepped = fake.Stepped(total=1, partial=True)
    so_far = stepped.so_far
    stepped.so_far = lambda images, asks, piece: [None, so_far(images, asks, piece)[1]]
    heard = {}
    bench.ask(stepped, 1, 2, partial=lambda place, dataset, *_: heard.update({place: dataset})).result(20)
    assert heard[0] is None
    assert heard[1] is not None


@pytest.mark.parametrize("error", [ValueError("mine"), SystemExit(1)], ids=lambda e: type(e).__name__)
def test_a_broken_listener_harms_nobody(bench, stepped, every_time, caplog, error):
    def hear(*news):
        raise error

    with caplog.at_level(logging.ERROR, logger="xai_views.kernel"):
        assert bench.logits(bench.ask(stepped, 1, partial=hear)) == [1]
    assert len([record for record in caplog.records if "listener" in record.message]) == 3
    assert bench.logits(bench.ask(stepped, 2)) == [2]


def test_a_partial_answer_that_cannot_be_interpreted_is_left_out(bench, fake, every_time):
    stepped = fake.Stepped(partial=True)
    heard = []

    def interpret(number, ask):
        if number == pytest.approx(1.02):
            raise ValueError("too early")

    stepped.on_interpret = interpret
    hear = lambda place, dataset, done, total: heard.append((dataset is None, done))  # noqa: E731
    assert bench.logits(bench.ask(stepped, 1, partial=hear)) == [1]
    assert heard == [(False, 1), (True, 2), (False, 3)]
    assert bench.kernel.status().error == ""


def test_answers_out_of_the_cache_are_not_announced(bench, stepped, every_time):
    bench.ask(stepped, 1).result(20)
    heard = []
    bench.ask(stepped, 1, partial=lambda *news: heard.append(news)).result(20)
    bench.ask(stepped, 1, ask=5, partial=lambda *news: heard.append(news)).result(20)
    bench.kernel.wait_idle(20)
    assert heard == []


# Errors


def test_an_error_in_a_piece_fails_the_guilty_request_only(bench, stepped):
    def on_piece(numbers, piece):
        if 2 in numbers and piece == 1:
            raise ValueError("no")

    stepped.on_piece = on_piece
    release = bench.hold()
    futures = [bench.ask(stepped, 1), bench.ask(stepped, 2), bench.ask(stepped, 3)]
    release()
    assert bench.logits(futures[0]) == [1]
    assert "Stepped failed (ValueError: no)" in str(futures[1].exception(20))
    assert bench.logits(futures[2]) == [3]
    assert stepped.calls == [[1, 2, 3], [1], [2], [3]]


def test_out_of_memory_in_a_piece_halves_the_batch(bench, stepped):
    def on_piece(numbers, piece):
        if len(numbers) > 2 and piece == 1:
            raise torch.OutOfMemoryError("CUDA out of memory")

    stepped.on_piece = on_piece
    assert bench.logits(bench.ask(stepped, *range(8))) == list(range(8))
    assert [len(call) for call in stepped.calls] == [8, 4, 2, 2, 2, 2]


def test_memory_of_failed_pieces_is_free_before_the_next_try(bench, fake):
    class Tensor:
        """A large object held by the generator between its yields."""

    held, alive = [], []

    class Greedy(fake.Method):
        def observe(self, model, images, asks, known):
            alive.append(sum(reference() is not None for reference in held))
            activations = Tensor()
            held.append(weakref.ref(activations))
            yield fake.Progress(1, 2, [activations] * len(images))
            if len(images) > 1:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return [fake.Observation(images[0])]

    gc.disable()  # memory must be released without a garbage collection
    try:
        bench.ask(Greedy(), *range(4)).result(20)
    finally:
        gc.enable()
    assert alive == [0] * 6


class Leaky:
    """Yields with gradients off."""

    key = "leaky"

    def observation_key(self, ask):
        return ()

    closed = False

    def __init__(self, progress, inside):
        self.progress = progress
        self.inside = inside

    def covers(self, model, observation, ask):
        return True

    def observe(self, model, images, asks, known):
        with self.inside():
            yield self.progress(1, 2)
        return [images]


@pytest.mark.parametrize(
    "inside", [torch.no_grad, torch.inference_mode, lambda: torch.set_grad_enabled(False)]
)
def test_gradients_are_never_left_off_for_others(bench, fake, inside):
    release = bench.hold()
    future = bench.ask(Leaky(fake.Progress, inside), 1)
    other = bench.kernel.run(lambda progress: torch.is_grad_enabled())
    release()
    error = future.exception(20)
    assert isinstance(error, KernelError)
    assert "leaky yielded inside torch.no_grad()" in str(error)
    assert other.result(20) is True


def test_gradients_are_on_again_for_the_others_of_the_batch(bench, fake):
    seen = []

    class Careless(fake.Method):
        def observe(self, model, images, asks, known):
            seen.append((len(images), torch.is_grad_enabled()))
            if images[0].flat[0] == 1:
                torch.set_grad_enabled(False)
            yield fake.Progress(1, 2)
            return [fake.Observation(image) for image in images]

    method = Careless()
    release = bench.hold()
    futures = [bench.ask(method, 1), bench.ask(method, 2)]
    release()
    assert "torch.no_grad()" in str(futures[0].exception(20))
    assert bench.logits(futures[1]) == [2]
    assert seen == [(2, True), (1, True), (1, True)]


@pytest.mark.parametrize(
    ("yielded", "returned", "said"),
    [
        (None, [1], "yielded NoneType"),
        ((1, 2, None), [1], "yielded tuple"),
        (None, None, "0 observations for 1 samples"),
        ("progress", [1, 2], "2 observations for 1 samples"),
        ("two partial", [1], "2 observations for 1 samples"),
    ],
)
def test_what_does_not_keep_to_the_contract_is_told(bench, fake, yielded, returned, said):
    class Odd(fake.Method):
        def observe(self, model, images, asks, known):
            if returned is not None:
                yield {
                    "progress": fake.Progress(1, 2),
                    "two partial": fake.Progress(1, 2, [None, None]),
                }.get(yielded, yielded)
            return returned

    error = bench.ask(Odd(), 1).exception(20)
    assert isinstance(error, KernelError)
    assert said in str(error)


def test_a_method_that_will_not_be_closed(bench, fake, caplog):
    class Stubborn(fake.Method):
        def observe(self, model, images, asks, known):
            future.cancel()
            try:
                yield fake.Progress(1, 2)
            except GeneratorExit:
                yield fake.Progress(2, 2)

    release = bench.hold()
    future = bench.ask(Stubborn(), 1)
    release()
    bench.kernel.wait_idle(20)
    assert bench.logits(bench.ask(fake.Method(), 2)) == [2]
    assert "ignored GeneratorExit" in caplog.text


# Keys


class Keyed:
    """A request is a number; an observation depends on its tens."""

    key = "keyed"
    title = "Keyed"

    def __init__(self):
        self.calls = []

    def observation_key(self, ask):
        return ask // 10

    def covers(self, model, observation, ask):
        return True

    def observe(self, model, images, asks, known):
        self.calls.append(list(asks))
        return list(images)

    def interpret(self, model, observation, ask):
        return xr.Dataset({"logit": (("sample", "class"), [[float(ask)]])})


def test_asks_with_other_observation_keys_share_neither_batch_nor_observation(bench):
    method = Keyed()
    release = bench.hold()
    futures = [bench.ask(method, n, ask=ask) for n, ask in [(1, 1), (2, 12), (3, 3), (4, 14)]]
    mixed = bench.kernel.explain(bench.model, bench.images([5, 5]), ["d", "d"], method, [5, 15])
    release()
    assert [bench.logits(future) for future in (*futures, mixed)] == [[1], [12], [3], [14], [5, 15]]
    assert sorted(sorted(call) for call in method.calls) == [[1, 3, 5], [12, 14, 15]]
    assert len(bench.kernel.observations) == 6


def test_asks_with_one_observation_key_share_the_observation(bench):
    method = Keyed()
    assert [bench.logits(bench.ask(method, 1, ask=ask)) for ask in (1, 2, 12, 1)] == [[1], [2], [12], [1]]
    assert method.calls == [[1], [12]]
    seen = ("model-a", "digest-1-2", "keyed")
    assert set(bench.kernel.observations._entries) == {(*seen, 0), (*seen, 1)}
    assert set(bench.kernel.results._entries) == {(*seen, 0, 1), (*seen, 0, 2), (*seen, 1, 12)}


def test_an_observation_key_that_cannot_be_a_key(bench):
    method = Keyed()
    method.observation_key = lambda ask: [ask]
    with pytest.raises(KernelError, match="observation_key"):
        bench.ask(method, 1)
