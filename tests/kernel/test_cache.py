import threading

import numpy as np
import pytest

from xai_views.kernel import ByteCache


def test_forgets_what_was_used_longest_ago():
    cache = ByteCache(30)
    for key in "abc":
        cache.put(key, b"0123456789")
    assert cache.get("a") is not None
    cache.put("d", b"0123456789")
    assert "b" not in cache
    assert all(key in cache for key in "acd")
    assert (len(cache), cache.nbytes) == (3, 30)


def test_counts_hits_and_misses_but_not_peeks():
    cache = ByteCache(100)
    cache.put("a", b"12345")
    assert cache.get("a") == b"12345"
    assert cache.get("b") is None
    assert cache.get("b", 7) == 7
    assert cache.peek("a") == b"12345"
    assert cache.peek("b") is None
    stats = cache.stats()
    assert (stats.hits, stats.misses, stats.entries, stats.nbytes, stats.limit) == (1, 2, 1, 5, 100)


def test_replacing_a_value_replaces_its_size():
    cache = ByteCache(100)
    cache.put("a", np.zeros(10, np.uint8))
    cache.put("a", np.zeros(20, np.uint8))
    assert (len(cache), cache.nbytes) == (1, 20)
    cache.put("a", "anything", nbytes=3)
    assert cache.nbytes == 3


def test_what_is_larger_than_the_cache_is_not_kept_and_takes_its_older_self_along():
    cache = ByteCache(10)
    cache.put("a", b"12345")
    cache.put("b", b"x" * 11)
    assert "a" in cache
    assert "b" not in cache
    cache.put("a", b"x" * 11)
    assert (len(cache), cache.nbytes) == (0, 0)


def test_clear_keeps_the_counts():
    cache = ByteCache(10)
    cache.put("a", b"1")
    cache.get("a")
    cache.clear()
    assert (len(cache), cache.nbytes, cache.stats().hits) == (0, 0, 1)


@pytest.mark.parametrize("limit", [0, 1000])
def test_threads_keep_it_within_its_bound(limit):
    cache = ByteCache(limit)
    seen = []

    def work(seed):
        random = np.random.default_rng(seed)
        for _ in range(500):
            cache.put(int(random.integers(40)), b"x" * int(random.integers(100)))
            cache.get(int(random.integers(40)))
            seen.append(cache.nbytes)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert cache.nbytes == sum(size for _, size in cache._entries.values()) <= limit
    assert cache.stats().hits + cache.stats().misses == 2000
