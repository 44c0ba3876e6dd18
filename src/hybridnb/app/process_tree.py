"""A process with all that it started: what it holds in memory, and its end."""

from __future__ import annotations

import contextlib
import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import psutil

MIB = 1 << 20
LOOK_SECONDS = 0.25  # between two looks; each reads all processes of the machine
GRACE_SECONDS = 5.0


def resident(pid: int) -> int:
    """Bytes of memory that a process and its descendants hold; pages they share count in each."""
    import psutil

    total = 0
    for process in _tree(pid):
        try:
            total += process.memory_info().rss
        except psutil.Error:
            continue  # it ended meanwhile
    return total


def kill_tree(pid: int) -> None:
    """End a process and its descendants at once, whatever they do."""
    import psutil

    for process in _tree(pid):
        with contextlib.suppress(psutil.Error):  # it ended meanwhile
            process.kill()


def end_tree(pid: int, *, grace: float) -> None:
    """Ask a process to end and wait for it; what is left of its tree after that is ended at once.

    Parameters
    ----------
    grace : float
        Seconds that the process has to clear up behind itself.
    """
    import psutil

    tree = _tree(pid)
    with contextlib.suppress(psutil.Error):
        for process in tree[:1]:
            process.terminate()
            deadline = time.monotonic() + grace
            # Looked at, not waited for: its exit status belongs to who started it.
            while process.status() != psutil.STATUS_ZOMBIE and time.monotonic() < deadline:
                time.sleep(LOOK_SECONDS)
    for process in tree:
        with contextlib.suppress(psutil.Error):  # it ended meanwhile
            process.kill()


def _tree(pid: int) -> list[psutil.Process]:
    import psutil

    try:
        root = psutil.Process(pid)
        return [root, *root.children(recursive=True)]
    except psutil.Error:
        return []


class Watch:
    """Looks after a process in a thread: what it may hold, and how long it may take.

    Parameters
    ----------
    pid : int
    seconds : float
        After which they are ended.
    memory : int or None
        MiB of the process and its descendants, above which they are killed; None: any.
    grace : float
        Seconds that a process which took too long has to end by itself, once it is asked to.

    Attributes
    ----------
    verdict : str
        Empty, `late` or `memory`: why the process was ended.
    peak : int
        The most that was seen, bytes.
    """

    def __init__(
        self, pid: int, *, seconds: float, memory: int | None, grace: float = GRACE_SECONDS
    ) -> None:
        self.verdict, self.peak = "", 0
        self._pid, self._memory, self._grace = pid, memory, grace
        self._deadline = time.monotonic() + seconds
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True, name=f"watch-{pid}")

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def stop(self) -> None:
        """Look no more; returns when a look in progress is over."""
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._over.wait(LOOK_SECONDS):
            if time.monotonic() >= self._deadline:
                self.verdict = "late"
                end_tree(self._pid, grace=self._grace)
                return
            if self._memory is None:
                continue
            self.peak = max(self.peak, resident(self._pid))
            if self.peak > self._memory * MIB:
                self.verdict = "memory"
                kill_tree(self._pid)
                return
