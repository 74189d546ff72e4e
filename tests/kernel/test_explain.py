"""Caches, shared batches, order and latest wins."""

import itertools
import threading
from concurrent.futures import CancelledError, wait

import numpy as np
import pytest
import xarray as xr

from xai_views.errors import KernelError
from xai_views.kernel import PREFETCH
from xai_views.kernel.batches import explain_items
from xai_views.kernel.requests import Item


def test_results_come_in_order_and_as_datasets(bench, method):
    future = bench.ask(method, 3, 1, 2)
    assert bench.logits(future) == [3, 1, 2]
    assert all(isinstance(result, xr.Dataset) for result in future.result())
    assert method.calls == [[3, 1, 2]]


def test_no_samples_no_work(bench, method):
    images = np.zeros((0, 2, 2, 1), np.float32)
    assert bench.kernel.explain(bench.model, images, [], method, []).result(20) == []
    assert method.calls == []


def test_a_repeated_request_costs_neither_observe_nor_interpret(bench, method):
    bench.ask(method, 1, 2).result(20)
    release = bench.hold()
    future = bench.ask(method, 2, 1)
    assert future.done(), "the cache answers even while the worker is busy"
    assert bench.logits(future) == [2, 1]
    release()
    assert (len(method.calls), len(method.interpreted)) == (1, 2)
    assert (bench.kernel.status().hits, bench.kernel.status().misses) == (2, 2)


def test_another_ask_that_is_covered_costs_no_observe(bench, method):
    bench.ask(method, 1, ask=0).result(20)
    bench.ask(method, 1, ask=5).result(20)
    assert method.calls == [[1]]
    assert method.interpreted == [(1, 0), (1, 5)]


def test_another_ask_that_is_not_covered_adds_to_the_observation(bench, fake):
    method = fake.Method(ask_matters=True)
    for ask in (0, 5, 0):
        bench.ask(method, 1, ask=ask).result(20)
    assert method.calls == [[1], [1]]
    assert method.known[1][0].asks == {0}
    bench.kernel.results.clear()
    bench.ask(method, 1, ask=0).result(20)
    assert len(method.calls) == 2, "the second observation also covers the first request"


def test_two_asks_about_one_image_in_one_request_add_up(bench, fake):
    method = fake.Method(ask_matters=True)
    future = bench.kernel.explain(bench.model, bench.images([1, 1]), ["d", "d"], method, [0, 5])
    results = future.result(20)
    assert [float(result["logit"][0, 1]) for result in results] == [0, 5]
    assert method.calls == [[1], [1]]
    assert method.known[1][0].asks == {0}


@pytest.mark.parametrize("change", ["model", "parameters", "key"])
def test_another_model_or_parameter_shares_nothing(bench, fake, change):
    first, second = fake.Method(), fake.Method(parameters=("other",) if change == "parameters" else ())
    if change == "key":
        second.key = "other"
    bench.ask(first, 1).result(20)
    model = fake.Model(sha256="model-b") if change == "model" else None
    bench.ask(second, 1, model=model).result(20)
    assert second.calls == [[1]]


def test_what_arrives_during_a_batch_shares_the_next_one(bench, fake, method):
    method.gate.clear()
    first = bench.ask(method, 0)
    method.wait_entered()
    # another session has its own method object with the same parameters
    futures = [bench.ask(method if n % 2 else fake.Method(), n, channel=f"session {n}") for n in (1, 2, 3)]
    method.gate.set()
    assert [bench.logits(future) for future in (first, *futures)] == [[0], [1], [2], [3]]
    assert method.calls == [[0], [1, 2, 3]]


def test_other_shapes_do_not_share(bench, method, caplog):
    release = bench.hold()
    futures = [bench.ask(method, 1, size=2), bench.ask(method, 1, size=3)]
    release()
    wait(futures, 20)
    assert method.calls == [[1], [1]]
    assert futures[1].result()[0]["contribution"].shape == (1, 1, 3, 3)
    assert not caplog.records, "never tried together"


def test_what_the_cache_got_while_a_sample_waited_is_not_computed(bench, method):
    result = bench.ask(method, 1).result(20)[0]
    key, seen = next(iter(bench.kernel.results._entries)), next(iter(bench.kernel.observations._entries))
    item = Item(key, seen, bench.images([1])[0], 0)
    caches = (bench.kernel.results, bench.kernel.observations)
    outcomes = list(explain_items(method, bench.model, [item], *caches, wanted=lambda item: True))
    assert outcomes[0][1].identical(result)
    assert (len(method.calls), len(method.interpreted)) == (1, 1)


def test_the_same_wish_of_two_is_computed_once_even_without_a_cache(make_bench, method):
    bench = make_bench(cache_bytes=0)
    release = bench.hold()
    futures = [bench.ask(method, 1, 2), bench.ask(method, 2, 3), bench.ask(method, 2)]
    release()
    assert [bench.logits(future) for future in futures] == [[1, 2], [2, 3], [2]]
    assert sorted(itertools.chain(*method.calls)) == [1, 2, 3]
    assert len(method.interpreted) == 3


def test_a_wish_that_is_being_computed_is_joined(bench, method):
    method.gate.clear()
    first = bench.ask(method, 1)
    method.wait_entered()
    second = bench.ask(method, 1)
    method.gate.set()
    assert bench.logits(first) == bench.logits(second) == [1]
    assert method.calls == [[1]]


def test_batches_are_bounded_and_channels_take_turns(make_bench, method):
    bench = make_bench(max_batch=4)
    release = bench.hold()
    heavy = bench.ask(method, *range(100, 110), channel="heavy")
    other = bench.ask(method, *range(200, 206), channel="other")
    light = bench.ask(method, 300, channel="light")
    release()
    wait([heavy, other, light], 20)
    assert all(len(call) <= 4 for call in method.calls)
    assert method.calls[0] == [100, 200, 300, 101]
    assert method.calls[1][:2] == [201, 102] or method.calls[1][:2] == [102, 201]
    assert len(method.calls) == 5, "batches are full"


def test_a_heavy_request_of_another_kind_does_not_starve_a_light_one(make_bench, fake):
    bench = make_bench(max_batch=2)
    heavy, light = fake.Method(), fake.Method(parameters=("other",))
    order = []
    heavy.on_observe = order.append
    light.on_observe = order.append
    release = bench.hold()
    futures = [bench.ask(heavy, *range(10), channel="heavy"), bench.ask(light, 50, channel="light")]
    release()
    wait(futures, 20)
    assert order.index([50]) == 1


def test_in_view_before_prefetch_and_prefetch_fills_the_batch(make_bench, method):
    bench = make_bench(max_batch=4)
    release = bench.hold()
    futures = [
        bench.ask(method, 10, 11, 12, channel="s:prefetch", priority=PREFETCH),
        bench.ask(method, 1, 2, channel="s"),
    ]
    release()
    wait(futures, 20)
    assert method.calls == [[1, 2, 10, 11], [12]]


def test_on_the_cpu_only_four_prefetched_samples_may_stand_before_a_wish(bench, method):
    bench.ask(method, *range(10), priority=PREFETCH).result(20)
    assert [len(call) for call in method.calls] == [4, 4, 2]


def test_prefetch_waits_for_everybody_in_view_and_looks_again_between_batches(make_bench, fake):
    bench = make_bench(max_batch=1)
    idle, view = fake.Method(parameters=("idle",)), fake.Method(parameters=("view",))
    order = []
    idle.on_observe = view.on_observe = order.append
    release = bench.hold()
    futures = [bench.ask(idle, 10, 11, 12, priority=PREFETCH), bench.ask(view, 1)]
    idle.gate.clear()
    release()
    idle.wait_entered()
    assert order == [[1]]
    futures.append(bench.ask(view, 2, 3))
    idle.gate.set()
    wait(futures, 20)
    assert order == [[1], [10], [2], [3], [11], [12]]


def test_latest_wins_a_queued_request_is_cancelled(bench, method):
    release = bench.hold()
    older = bench.ask(method, 1, channel="s")
    newer = bench.ask(method, 2, channel="s")
    bystander = bench.ask(method, 3, channel="t")
    assert older.cancelled()
    release()
    assert bench.logits(newer) == [2]
    assert bench.logits(bystander) == [3]
    assert method.calls == [[2, 3]]


def test_latest_wins_a_running_request_stops_at_its_next_batch(make_bench, method):
    bench = make_bench(max_batch=2)
    method.gate.clear()
    older = bench.ask(method, *range(10), channel="s")
    method.wait_entered()
    newer = bench.ask(method, 50, channel="s")
    assert older.cancelled()
    with pytest.raises(CancelledError):
        older.result(0)
    method.gate.set()
    assert bench.logits(newer) == [50]
    assert method.calls == [[0, 1], [50]]
    assert method.interpreted == [(50, 0)], "the first two are no longer wanted"


def test_a_newer_request_answered_by_the_cache_still_cancels_the_older(bench, method):
    bench.ask(method, 1).result(20)
    release = bench.hold()
    older = bench.ask(method, 2, channel="s")
    newer = bench.ask(method, 1, channel="s")
    assert newer.done()
    assert older.cancelled()
    release()
    bench.kernel.wait_idle(20)
    assert method.calls == [[1]]


def test_shared_work_that_others_want_completes(bench, method):
    method.gate.clear()
    older = bench.ask(method, 1, 2, channel="s")
    method.wait_entered()
    other = bench.ask(method, 2, channel="t")
    newer = bench.ask(method, 3, channel="s")
    method.gate.set()
    assert older.cancelled()
    assert bench.logits(other) == [2]
    assert bench.logits(newer) == [3]
    assert method.calls == [[1, 2], [3]]
    assert (1, 0) not in method.interpreted


def test_fast_dragging_keeps_its_place_in_line(bench, fake):
    dragged, other = fake.Method(parameters=("dragged",)), fake.Method(parameters=("other",))
    order = []
    dragged.on_observe = other.on_observe = order.append
    release = bench.hold()
    bench.ask(dragged, 1, channel="drag")
    waiting = bench.ask(other, 50, channel="other")
    newest = bench.ask(dragged, 2, channel="drag")
    release()
    wait([waiting, newest], 20)
    assert order == [[2], [50]]


def test_the_empty_channel_cancels_nothing(bench, method):
    release = bench.hold()
    futures = [bench.ask(method, 1), bench.ask(method, 2)]
    bench.kernel.cancel("")
    release()
    assert [bench.logits(future) for future in futures] == [[1], [2]]


def test_cancel_a_channel_and_a_future(bench, method):
    release = bench.hold()
    futures = [bench.ask(method, n, channel=str(n)) for n in (1, 2, 3)]
    bench.kernel.cancel("1")
    assert futures[1].cancel()
    bench.kernel.cancel("unknown")
    release()
    _, missing = wait(futures, 20)
    assert not missing, "waiting for a cancelled future ends"
    assert [future.cancelled() for future in futures] == [True, True, False]
    assert method.calls == [[3]]


def test_ids_increase(bench, method):
    ids = [bench.ask(method, n).request_id for n in (1, 2, 3)]
    ids.append(bench.kernel.run(lambda progress: None).request_id)
    assert ids == sorted(set(ids))


def test_askers_cannot_harm_each_other(bench, method):
    first, second = bench.ask(method, 1).result(20)[0], bench.ask(method, 1).result(20)[0]
    first.attrs["mine"] = 1
    first["extra"] = 5
    with pytest.raises(ValueError, match="read-only"):
        first["logit"].values[:] = 0
    assert "mine" not in second.attrs
    assert "extra" not in second
    assert "extra" not in bench.ask(method, 1).result(20)[0]


def test_sizes_are_counted_and_bounded(make_bench, method):
    bench = make_bench(cache_bytes=20_000)
    for number in range(20):
        bench.ask(method, number).result(20)
    assert 0 < bench.kernel.results.nbytes <= 10_000
    assert 0 < bench.kernel.observations.nbytes <= 10_000
    assert bench.kernel.results.limit + bench.kernel.observations.limit == 20_000
    assert len(bench.kernel.observations) == 20


def test_register_returns_the_first_of_equal_models(bench, fake, method):
    first, second = fake.Model(), fake.Model()
    assert bench.kernel.register(first) is first
    assert bench.kernel.register(second) is first
    assert bench.kernel.register(fake.Model(sha256="other")) is not first


def test_a_model_moves_to_the_device_once(bench, method):
    moves = []

    class Module:
        def to(self, device):
            moves.append((device, threading.current_thread().name))

    bench.model.module = Module()
    bench.ask(method, 1).result(20)
    bench.ask(method, 2).result(20)
    assert moves == [("cpu", "xai-views-kernel")]


@pytest.mark.parametrize(
    ("images", "digests", "asks"),
    [
        (np.zeros((2, 2)), ["a", "b"], [0, 0]),
        (np.zeros((2, 2, 2, 1)), ["a"], [0, 0]),
        (np.zeros((1, 2, 2, 1)), ["a"], [[]]),
    ],
)
def test_wrong_arguments_are_told_at_once(bench, method, images, digests, asks):
    with pytest.raises(KernelError):
        bench.kernel.explain(bench.model, images, digests, method, asks)


def test_what_an_observation_depends_on_must_be_a_key(bench, fake):
    with pytest.raises(KernelError, match="observation_key"):
        bench.ask(fake.Method(parameters=[1]), 1)
