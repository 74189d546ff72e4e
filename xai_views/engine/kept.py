"""What is found once and kept, in bounded number."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any


class Kept(OrderedDict[Hashable, Any]):
    """Values by key, the least recently used of which goes first.

    Parameters
    ----------
    most : int
        How many are kept.
    """

    def __init__(self, most: int) -> None:
        super().__init__()
        self.most = most
        self._lock = threading.Lock()

    def once(self, key: Hashable, make: Callable[[], Any]) -> Any:
        """Return what was made for this key before, or make it; it may be made twice where two ask at once."""
        with self._lock:
            if key in self:
                self.move_to_end(key)
                return self[key]
        value = make()
        with self._lock:
            self[key] = value
            self.move_to_end(key)
            while len(self) > self.most:
                self.popitem(last=False)
        return value
