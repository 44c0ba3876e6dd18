"""Who runs a sweep's tasks: the cores of this machine, or a Dask cluster by its address."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from concurrent.futures import BrokenExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import joblib

from hybridnb.errors import Missing, UsageError

CONNECT = 10  # seconds that a scheduler has to answer, and then a worker to be there


@dataclass(frozen=True)
class Workers:
    """Takes delayed calls and gives their results in order, as they come.

    `lost` are the errors that say that a worker died.
    """

    parallel: joblib.Parallel
    lost: tuple[type[Exception], ...]

    def __call__(self, calls: Iterable[Any]) -> Iterator[Any]:
        results: Iterator[Any] = self.parallel(calls)
        return results


@contextmanager
def workers(shared: object, *, jobs: int, dask: str) -> Iterator[Workers]:
    """Workers that get one call at a time; `shared` is an argument that all calls have.

    Parameters
    ----------
    shared : object
        Sent to each worker of a cluster once. On this machine its arrays become memory maps.
    jobs : int
        Processes on this machine, -1 for one a core.
    dask : str
        Address of a scheduler; empty for this machine.

    Raises
    ------
    UsageError
        When the address is none.
    Missing
        When `distributed` isn't installed, nobody answers, or no worker is there.
    """
    if not dask:
        yield Workers(_parallel(jobs), (BrokenExecutor,))
        return
    with _client(dask) as client:
        how = {"backend": "dask", "client": client, "scatter": [shared], "n_jobs": -1}
        with joblib.parallel_config(**how):
            from distributed import KilledWorker

            yield Workers(_parallel(-1), (KilledWorker,))


def _parallel(jobs: int) -> joblib.Parallel:
    # Copy-on-write maps, because a kernel takes no array that may not be written.
    return joblib.Parallel(n_jobs=jobs, batch_size=1, mmap_mode="c", return_as="generator")


@contextmanager
def _client(address: str) -> Iterator[Any]:
    if not re.fullmatch(r"[a-z]+://\S+:\d+", address):
        raise UsageError(
            f"{address!r} is no address of a scheduler", remedy="Write it as tcp://127.0.0.1:8786."
        )
    try:
        from distributed import Client
    except ImportError:
        raise Missing(
            "a sweep on a cluster needs the package distributed",
            remedy="Install it: pip install 'hybridnb[dask]'.",
        ) from None
    try:
        client: Any = Client(address, timeout=CONNECT, set_as_default=False)  # type: ignore[no-untyped-call]
    except OSError as error:
        raise _silent(address, error) from None
    with client:
        try:
            client.wait_for_workers(1, timeout=CONNECT)
        except TimeoutError as error:
            raise _silent(address, error) from None
        yield client


def _silent(address: str, error: Exception) -> Missing:
    return Missing(
        f"no Dask scheduler with workers answers at {address}: {error}",
        remedy="Start `dask scheduler` and `dask worker`, or leave --dask and HYBRIDNB_DASK.",
    )
