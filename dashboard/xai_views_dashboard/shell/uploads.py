"""What visitors uploaded on the start page: in memory, each set under a name that only its owner knows."""

from __future__ import annotations

import secrets
from collections import OrderedDict
from collections.abc import Callable
from threading import Lock
from typing import Any

#: What the names begin with; nothing that is shipped is called so.
UPLOAD = "upload-"
#: Sets and bytes of all visitors that are kept; the oldest go first.
MOST_SETS, MOST_BYTES = 24, 400_000_000


class Uploads:
    """Uploaded sets by name.

    Parameters
    ----------
    dropped : callable
        ``dropped(name)`` when a set is no longer kept.
    """

    def __init__(self, dropped: Callable[[str], None]) -> None:
        self._held: OrderedDict[str, Any] = OrderedDict()
        self._dropped = dropped
        self._lock = Lock()

    def add(self, uploaded: Any) -> str:
        """Keep a set and return its name, which cannot be guessed."""
        name = UPLOAD + secrets.token_urlsafe(12)
        gone = []
        with self._lock:
            self._held[name] = uploaded
            while len(self._held) > 1 and (len(self._held) > MOST_SETS or self._bytes() > MOST_BYTES):
                gone.append(self._held.popitem(last=False)[0])
        for old in gone:
            self._dropped(old)
        return name

    def get(self, name: str) -> Any:
        """Return a set, None when there is none of this name."""
        return self._held.get(name)

    def __contains__(self, name: str) -> bool:
        return name in self._held

    def _bytes(self) -> int:
        return sum(held.nbytes for held in self._held.values())
