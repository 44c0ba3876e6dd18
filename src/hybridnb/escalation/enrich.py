"""Asking about events on the side: nobody who decides ever waits for a model.

A thread of its own asks one question after the other. Its queue is bounded: what comes when it is
full pushes out the oldest, which is counted, since what happened last is worth more. A look-up
reads the cache and returns at once, with an answer or without one.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from types import TracebackType

from hybridnb.canonical import sha256
from hybridnb.domain import Outcome
from hybridnb.ports import Answer, Question, Reasoner


@dataclass(frozen=True, slots=True)
class Counts:
    """What became of all that was offered so far.

    Attributes
    ----------
    offered : int
        Calls of `offer`, each of which is one of the next four or still waits.
    known : int
        Its answer was in the cache, or it waited already.
    dropped : int
        Pushed out of a full queue, or left in it at the end.
    answered, failed : int
        Asked, with or without a reply.
    hits, misses : int
        Of `look_up`.
    """

    offered: int = 0
    known: int = 0
    dropped: int = 0
    answered: int = 0
    failed: int = 0
    hits: int = 0
    misses: int = 0


def event_key(question: Question) -> str:
    """What makes two questions the same: everything that is sent, but not the time they have."""
    return sha256(
        {
            "facts": question.facts,
            "instructions": question.instructions,
            "max_tokens": question.max_tokens,
            "schema": question.schema,
            "task": question.task,
        }
    )


class Enricher:
    """A reasoner behind a queue and a cache; a context manager that starts and stops its thread.

    Parameters
    ----------
    reasoner : Reasoner
        Asked by the one thread only; closed by who made it.
    clock : callable
        Seconds from any origin, never going back; for the age of what is in the cache.
    capacity : int
        Questions that may wait.
    timeout_s : float
        Of one question at most, whatever it asks for.
    entries : int
        Answers that are kept; the one kept longest leaves first.
    ttl_s : float
        Seconds for which an answer is good.

    Notes
    -----
    Only replies are kept: after a failure the next offer asks anew. An exception of the reasoner
    is a mistake in it: the thread ends, offers are dropped and counted, and `stop` raises it.
    """

    def __init__(
        self,
        reasoner: Reasoner,
        *,
        clock: Callable[[], float],
        capacity: int = 64,
        timeout_s: float = 5.0,
        entries: int = 1_000,
        ttl_s: float = 300.0,
    ) -> None:
        if min(capacity, entries) < 1 or not min(timeout_s, ttl_s) > 0:
            raise ValueError("capacity, entries, timeout_s and ttl_s are positive")
        self._reasoner, self._clock = reasoner, clock
        self._capacity, self._entries = capacity, entries
        self._timeout_s, self._ttl_s = timeout_s, ttl_s
        self._queue: OrderedDict[str, Question] = OrderedDict()
        self._cache: OrderedDict[str, tuple[float, Answer]] = OrderedDict()
        self._asking = ""
        self._counts = Counts()
        self._stopping = False
        self._mistake: Exception | None = None
        self._changed = threading.Condition()  # its lock is never held while a question is asked
        self._thread = threading.Thread(target=self._work, name="enricher", daemon=True)

    def __enter__(self) -> Enricher:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def counts(self) -> Counts:
        with self._changed:
            return self._counts

    def offer(self, question: Question) -> str:
        """Ask this when there is time.

        Returns
        -------
        str
            The key for `look_up`.
        """
        key = event_key(question)
        with self._changed:
            self._count(offered=1)
            if self._stopping or self._mistake is not None:
                self._count(dropped=1)
            elif key in self._queue or key == self._asking or self._fresh(key) is not None:
                self._count(known=1)
            else:
                if len(self._queue) >= self._capacity:
                    self._queue.popitem(last=False)
                    self._count(dropped=1)
                self._queue[key] = question
                self._changed.notify_all()
        return key

    def look_up(self, key: str) -> Answer | None:
        """The answer if there is one that is still good; never waits for one."""
        with self._changed:
            found = self._fresh(key)
            self._count(hits=found is not None, misses=found is None)
            return found

    def settle(self, timeout_s: float) -> bool:
        """Wait until nothing waits and nothing is asked; False when the time was too short."""
        with self._changed:
            return self._changed.wait_for(self._idle, timeout_s)

    def stop(self) -> None:
        """Drop what waits, let the question in progress end, and end the thread.

        That takes as long as the reasoner takes to end it, `timeout_s` at most for one that keeps
        to its time.

        Raises
        ------
        Exception
            The reasoner's, if it raised one.
        """
        with self._changed:
            self._stopping = True
            self._count(dropped=len(self._queue))
            self._queue.clear()
            self._changed.notify_all()
        if self._thread.is_alive():
            self._thread.join()
        mistake, self._mistake = self._mistake, None
        if mistake is not None:
            raise mistake

    def _work(self) -> None:
        while (taken := self._next()) is not None:
            key, question = taken
            try:
                answer = self._reasoner.ask(question)
            except Exception as mistake:  # noqa: BLE001  raised by `stop`, in its caller's thread
                self._break(mistake)
                return
            self._keep(key, answer)

    def _next(self) -> tuple[str, Question] | None:
        """The question that waited longest; None when there is no more to do, ever."""
        with self._changed:
            self._changed.wait_for(lambda: self._stopping or bool(self._queue))
            if self._stopping:
                return None
            key, question = self._queue.popitem(last=False)
            self._asking = key
        timeout_s = min(question.timeout_s, self._timeout_s)
        return key, replace(question, timeout_s=timeout_s)

    def _keep(self, key: str, answer: Answer) -> None:
        ok = answer.outcome is Outcome.OK
        with self._changed:
            if ok:
                self._cache.pop(key, None)
                self._cache[key] = (self._clock(), answer)
                if len(self._cache) > self._entries:
                    self._cache.popitem(last=False)
            self._count(answered=ok, failed=not ok)
            self._asking = ""
            self._changed.notify_all()

    def _break(self, mistake: Exception) -> None:
        with self._changed:
            self._mistake = mistake
            self._count(failed=1, dropped=len(self._queue))
            self._queue.clear()
            self._asking = ""
            self._changed.notify_all()

    def _fresh(self, key: str) -> Answer | None:
        kept = self._cache.get(key)
        if kept is None:
            return None
        since, answer = kept
        if self._clock() - since < self._ttl_s:
            return answer
        del self._cache[key]
        return None

    def _idle(self) -> bool:
        return not self._queue and not self._asking

    def _count(self, **more: int) -> None:
        values = {name: getattr(self._counts, name) + n for name, n in more.items()}
        self._counts = replace(self._counts, **values)
