"""What was answered lately: GETs are served from memory, computed anew when something changed.

One thread reads, since one reader of the ledger serves the whole process. An answer younger than
`FRESH` is given as it is; a younger one than `STALE` too, while a new one is being made; nobody
is ever given an older one. Whoever changes something is answered after `forget`: what they read
next has their change in it.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hybridnb.app.status import Reader

FRESH, STALE = 0.2, 0.8  # seconds
AGED = 5.0  # seconds after which what the clock alone changes is computed anew
MOST = 64  # answers kept

Read = Callable[["Reader"], Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Kept:
    """An answer, the ledger's version that it tells of, when it was computed and last checked."""

    answer: Mapping[str, Any]
    text: bytes
    version: int
    made: float
    checked: float


class Snapshots:
    """Answers of the read-model, shared by all callers.

    Parameters
    ----------
    clock : callable
        Seconds that never go back.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="hybridnb-read")
        self._reader: Reader | None = None
        self._kept: dict[str, Kept] = {}
        self._making: dict[str, asyncio.Future[Kept]] = {}
        self._forgotten = 0

    def close(self) -> None:
        """Let the reading thread end."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def forget(self) -> None:
        """Something was changed here: nothing computed before counts any more."""
        self._forgotten += 1
        self._kept.clear()
        self._making.clear()

    async def get(self, key: str, read: Read) -> Kept:
        """An answer, from memory where it is young enough.

        Raises
        ------
        HybridnbError
            As the reading raises it; nothing of it is kept.
        """
        kept, now = self._kept.get(key), self._clock()
        if kept is not None and now - kept.checked < FRESH:
            return kept
        making = self._making.get(key) or self._start(key, read)
        if kept is not None and now - kept.checked < STALE:
            return kept
        return await asyncio.shield(making)

    def _start(self, key: str, read: Read) -> asyncio.Future[Kept]:
        loop, before = asyncio.get_running_loop(), self._forgotten
        future = loop.run_in_executor(self._thread, self._computed, self._kept.get(key), read)
        self._making[key] = future

        def done(ended: asyncio.Future[Kept]) -> None:
            if self._making.get(key) is ended:
                del self._making[key]
            if not ended.cancelled() and ended.exception() is None and before == self._forgotten:
                self._kept.pop(key, None)
                self._kept[key] = ended.result()
                while len(self._kept) > MOST:
                    del self._kept[next(iter(self._kept))]

        future.add_done_callback(done)
        return future

    def _computed(self, kept: Kept | None, read: Read) -> Kept:
        """In the reading thread: the answer kept, if nothing changed since, else a new one."""
        if self._reader is None:
            from hybridnb.app.status import Reader

            self._reader = Reader()
        version, now = self._reader.version(), self._clock()
        if kept is not None and kept.version == version and now - kept.made < AGED:
            return Kept(kept.answer, kept.text, version, kept.made, now)
        answer = read(self._reader)
        text = json.dumps(answer, ensure_ascii=False, allow_nan=False).encode()
        return Kept(answer, text, version, now, now)
