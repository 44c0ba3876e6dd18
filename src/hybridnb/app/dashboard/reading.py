"""Where the dashboard gets its facts: the one read-model, and nothing else."""

from __future__ import annotations

import datetime as dt

from hybridnb.app.dashboard.model import Staleness, View, chosen
from hybridnb.app.status import Reader


class Source:
    """The read-model of the home in force, looked at one book at a time."""

    def __init__(self, *, links: bool = True) -> None:
        self._reader, self._links = Reader(), links

    def version(self) -> int:
        """A number that changes whenever there is something new to show; cheap to ask for."""
        return self._reader.version()

    def view(self, wanted: str, stale: Staleness) -> View:
        """The present state.

        Parameters
        ----------
        wanted : str
            The book's name; empty for the one that trades now, else the newest.
        """
        status, now = self._reader.status(), dt.datetime.now(dt.UTC)
        book = chosen(status, wanted)
        name = str(book.get("book", ""))
        return View(
            status=status,
            book=book,
            now=now,
            series=self._reader.series(name) if name else {},
            scores=self._reader.scores(name) if name else {},
            stale=stale.old(book, now),
            links=self._links,
        )
