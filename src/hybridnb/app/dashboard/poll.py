"""The threads that watch the ledger: what is new is handed on, and a pulse says that they live."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

PULSE_SECONDS = 1.0
AFRESH_SECONDS = 30.0  # what the clock alone changes: quotas, cooldowns, what is due


class Watch:
    """Asks for the version again and again, in a thread of its own.

    Parameters
    ----------
    version : callable
        Cheap; changes whenever there is something new.
    seen : int or None
        The version that is drawn already; None when nothing is.
    changed : callable
        Called when it did, and every `AFRESH_SECONDS`.
    pulse : callable
        Called each second while the ledger is watched, however long a reading takes.
    failed : callable
        Called with what couldn't be read; the next turn tries again.
    every : float
        Seconds between two questions.
    """

    def __init__(
        self,
        *,
        version: Callable[[], int],
        seen: int | None,
        changed: Callable[[], None],
        pulse: Callable[[], None],
        failed: Callable[[Exception], None],
        every: float,
    ) -> None:
        self._version, self._seen, self._changed = version, seen, changed
        self._pulse, self._failed, self._every = pulse, failed, every
        self._woken, self._ended = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="dashboard", daemon=True)
        self._heart = threading.Thread(target=self._beat, name="dashboard pulse", daemon=True)

    def start(self) -> None:
        """Begin to watch."""
        self._thread.start()
        self._heart.start()

    def wake(self) -> None:
        """Look at once, and draw anew whatever the version says."""
        self._woken.set()

    def stop(self) -> None:
        """End the threads and wait for them."""
        self._ended.set()
        self._woken.set()
        for thread in (self._thread, self._heart):
            if thread.is_alive() and threading.current_thread() is not thread:
                thread.join()

    def _beat(self) -> None:
        while self._thread.is_alive() and not self._ended.is_set():
            self._pulse()
            self._ended.wait(PULSE_SECONDS)

    def _run(self) -> None:
        seen = self._seen
        drawn, asked = time.monotonic(), False
        while not self._ended.is_set():
            try:
                now, found = time.monotonic(), self._version()
                if asked or found != seen or now - drawn >= AFRESH_SECONDS:
                    self._changed()
                    seen, drawn = found, now
            except Exception as error:  # noqa: BLE001 - a page that died of one row stops nothing
                self._failed(error)
                seen = None
            asked = self._woken.wait(self._every)
            self._woken.clear()
