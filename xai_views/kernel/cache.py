"""Thread-safe cache with a limit in bytes; the least recently used values are dropped first."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class CacheStats:
    """Contents of a cache, and its hits and misses."""

    hits: int
    misses: int
    entries: int
    nbytes: int
    limit: int


class ByteCache:
    """Store values up to a number of bytes; drop the least recently used first.

    Parameters
    ----------
    limit
        Largest number of bytes to hold. A larger value is not stored.
    """

    def __init__(self, limit: int):
        self.limit = int(limit)
        self._lock = threading.Lock()
        self._entries: OrderedDict[Hashable, tuple[Any, int]] = OrderedDict()
        self._nbytes = 0
        self._hits = 0
        self._misses = 0

    def get(self, key: Hashable, default: Any = None) -> Any:
        """Return the value of ``key`` and count a hit, or return ``default`` and count a miss."""
        with self._lock:
            entry = self._entries.get(key)
            if entry is None:
                self._misses += 1
                return default
            self._hits += 1
            self._entries.move_to_end(key)
            return entry[0]

    def peek(self, key: Hashable, default: Any = None) -> Any:
        """Return the value of ``key`` or ``default``, without counting or marking it as used."""
        with self._lock:
            entry = self._entries.get(key)
            return default if entry is None else entry[0]

    def put(self, key: Hashable, value: Any, nbytes: int | None = None) -> None:
        """Store ``value``; its size is ``nbytes``, else ``value.nbytes``, else ``len(value)``."""
        if nbytes is None:
            nbytes = getattr(value, "nbytes", None)
        size = int(len(value) if nbytes is None else nbytes)
        with self._lock:
            old = self._entries.pop(key, None)
            if old is not None:
                self._nbytes -= old[1]
            if size > self.limit:
                return
            self._entries[key] = (value, size)
            self._nbytes += size
            while self._nbytes > self.limit:
                self._nbytes -= self._entries.popitem(last=False)[1][1]

    def clear(self) -> None:
        """Drop all values and keep the counts."""
        with self._lock:
            self._entries.clear()
            self._nbytes = 0

    @property
    def nbytes(self) -> int:
        """Bytes held now."""
        return self._nbytes

    def stats(self) -> CacheStats:
        """Return a snapshot of counts and sizes."""
        with self._lock:
            return CacheStats(self._hits, self._misses, len(self._entries), self._nbytes, self.limit)

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, key: Hashable) -> bool:
        return key in self._entries
