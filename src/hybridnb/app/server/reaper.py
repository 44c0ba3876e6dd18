"""Kernels of the dashboard end with their pages, however those end.

A page that is closed says so with a beacon; one that crashed, or lost its network, says nothing:
its kernel is ended once nobody has been connected for a while. Kernels of Lab are let be.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from typing import Any

from jupyter_core.utils import ensure_async

KERNEL = "hybridnb-dashboard"  # name of the dashboard's own kernelspec
LEFT, NEVER = 10.0, 50.0  # seconds without a connection: after having had one, or never
EVERY = 2.0  # seconds between two looks


@dataclass(frozen=True, slots=True)
class Kernel:
    """A running kernel of the dashboard.

    Attributes
    ----------
    connections : int
        Pages that are connected to it now.
    met : bool
        A page was connected to it once, be it between two looks.
    """

    id: str
    connections: int
    met: bool = False


class Watch:
    """Tells which kernels nobody looks at any more.

    Parameters
    ----------
    clock : callable
        Seconds that never go back.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._since: dict[str, float] = {}  # when it was last connected, else first seen
        self._had: set[str] = set()

    def left(self, kernels: Iterable[Kernel]) -> list[str]:
        """Ids of those to end, in order; those that are gone are forgotten."""
        now, running = self._clock(), list(kernels)
        there = {kernel.id for kernel in running}
        self._had &= there
        self._since = {id: since for id, since in self._since.items() if id in there}
        found = []
        for kernel in running:
            news = kernel.met and kernel.id not in self._had
            if kernel.connections > 0 or news:
                self._had.add(kernel.id)
                self._since[kernel.id] = now
            since = self._since.setdefault(kernel.id, now)
            if now - since >= (LEFT if kernel.id in self._had else NEVER):
                found.append(kernel.id)
        return found


def dashboard_kernels(manager: Any) -> list[Kernel]:
    """Kernels of the dashboard that wait for no page: those kept warm for the next are let be."""
    warm = {
        task.result()["kernel_id"]
        for pool in getattr(manager, "_pools", {}).values()
        for task in pool
        if task.done() and not task.cancelled() and task.exception() is None
    }
    met: Collection[str] = getattr(manager, "met", ())
    return [
        Kernel(id, manager.kernel_model(id)["connections"], id in met)
        for id in manager.list_kernel_ids()
        if id not in warm and manager.get_kernel(id).kernel_name == KERNEL
    ]


async def reap(manager: Any, log: Any) -> None:
    """End kernels that were left, for as long as the server runs."""
    watch = Watch()
    while True:
        await asyncio.sleep(EVERY)
        for id in watch.left(dashboard_kernels(manager)):
            log.info("no page looks at kernel %s any more: it is ended", id)
            await end(manager, id, log)


async def end(manager: Any, kernel: str, log: Any) -> bool:
    """End a kernel of the dashboard at once; False where there is none of that id."""
    if kernel not in {each.id for each in dashboard_kernels(manager)}:
        return False
    try:
        await ensure_async(manager.shutdown_kernel(kernel, now=True))
    except (KeyError, RuntimeError) as error:  # somebody else was quicker
        log.debug("kernel %s was ended already: %s", kernel, error)
    return True
