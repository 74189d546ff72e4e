"""Who answers the browser's wishes: the newest first, then its neighbours one by one, never blocking."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from xai_views.errors import XaiViewsError
from xai_views.views import wire

log = logging.getLogger("xai_views.views")
UNKNOWN = "This view could not be computed ({kind}); the details are in the server's log."


@dataclass(frozen=True)
class Wish:
    """What one browser wants: ``key`` now ("" = nothing new), the keys of ``prefetch`` with less hurry."""

    seq: int
    key: str
    prefetch: tuple[str, ...] = ()


class Answerer:
    """Answers wishes with frames: one at a time, newest first, everything older dropped.

    Parameters
    ----------
    provider : async callable
        ``provider(key) -> bytes``. If it takes ``priority``, it is called with 0 for what is in view and 10
        for neighbours. It is cancelled when a newer wish makes its answer useless.
    send : callable
        Called with the bytes of each answer, on the event loop.
    """

    def __init__(self, provider: Callable[..., Awaitable[bytes]], send: Callable[[bytes], None]):
        self.provider = provider
        self._send = send
        self._wish: Wish | None = None
        self._job: asyncio.Future | None = None
        self._job_key = ""
        self._loop: asyncio.Task | None = None
        self.answered = 0

    def want(self, wish: Wish) -> None:
        """Take a newer wish; returns at once. Work on anything else is dropped."""
        self._wish = wish
        if self._job is not None and self._job_key != wish.key:
            self._job.cancel()
        if self._loop is None or self._loop.done():
            self._loop = asyncio.ensure_future(self._run())

    def close(self) -> None:
        """Stop answering."""
        self._wish = None
        if self._job is not None:
            self._job.cancel()

    async def idle(self) -> None:
        """Wait until nothing is asked for any more (for tests)."""
        while self._loop is not None and not self._loop.done():
            await asyncio.wait([self._loop])

    async def _run(self) -> None:
        while (wish := self._wish) is not None:
            for key in dict.fromkeys(filter(None, (wish.key, *wish.prefetch))):
                data = await self._answer(key, priority=0 if key == wish.key else 10)
                newest = self._wish
                if newest is not wish:  # superseded while computing: of use only if the newer wish has it too
                    if newest is not None and data is not None and key in (newest.key, *newest.prefetch):
                        self._deliver(data, newest.seq)
                        rest = tuple(other for other in newest.prefetch if other != key)
                        self._wish = Wish(newest.seq, "" if key == newest.key else newest.key, rest)
                    break
                if data is not None:
                    self._deliver(data, wish.seq)
                await asyncio.sleep(0)  # let a newer wish in between two cached answers
                if self._wish is not wish:
                    break
            else:
                self._wish = None

    def _deliver(self, data: bytes, seq: int) -> None:
        self.answered += 1
        self._send(wire.stamp(data, seq))

    async def _answer(self, key: str, priority: int) -> bytes | None:
        """Return the frame of one key, an error frame, or None when it was dropped."""
        self._job_key = key
        try:
            self._job = asyncio.ensure_future(self._ask(key, priority))
            data = await self._job
            return wire.stamp(data, 0)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():  # this loop itself is being shut down
                raise
            return None
        except XaiViewsError as error:
            return wire.error_frame(key, str(error))
        except (
            Exception
        ) as error:  # whatever a provider raises, the person gets a sentence and the log the rest
            log.exception("the provider failed for %r", key)
            return wire.error_frame(key, UNKNOWN.format(kind=type(error).__name__))
        finally:
            self._job = None

    async def _ask(self, key: str, priority: int) -> bytes:
        extra = {"priority": priority} if takes_priority(self.provider) else {}
        data = await self.provider(key, **extra)
        if not isinstance(data, bytes):
            raise XaiViewsError(f"the provider must return a frame's bytes, not {type(data).__name__}")
        return data


def takes_priority(function: Callable) -> bool:
    """Whether a provider can be told how urgent a wish is.

    Parameters
    ----------
    function : callable
        A provider of frames or records.

    Returns
    -------
    bool
        True when it has a parameter named ``priority``; False too when Python cannot tell (some built-ins).
    """
    try:
        return "priority" in inspect.signature(function).parameters
    except (TypeError, ValueError):
        return False
