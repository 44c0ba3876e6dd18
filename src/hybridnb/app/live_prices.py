"""A broker's last prices as a session gets them, and whether feed and clock can be relied on.

That a symbol has no price is said once; that the whole feed is silent, or that the clock goes
back, takes trading down to what protects.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from hybridnb.app.records import Recorder
from hybridnb.errors import BrokerDown
from hybridnb.ports import Broker

SILENCE = 120.0  # seconds without news of any symbol that is followed: the feed is interrupted
BACKWARD = 2.0  # seconds that a clock may be set back: more is no correction
STALLED = "Data feed interrupted—holding positions"
BACK = "Data feed back—trading goes on; withdrawn entries wait for the next session's decision"
CLOCK = (
    "The clock moved back—halted, stops and targets go on; set the clock by a time server, then"
    " run `hybridnb resume`"
)


class Word(NamedTuple):
    """What a feed's last word was: equal to the one before while it is silent.

    `news` is None where nothing is followed; `gone` means that there were prices and that the
    feed says it has none.
    """

    news: object = None
    gone: bool = False


class LivePrices:
    """Last prices by symbol, in 1/10,000; nothing from a broker that tells none.

    Without the price of a position the day's P&L has what was last seen of it in the session, else
    its last close: the kill switch then sees what fills realise and nothing else of it, until the
    feed has the session's bar. A symbol that the broker can't price is named in an alert, once.

    Parameters
    ----------
    broker : Broker
        May have `prices`; `watch`: asks for those of more symbols; `unpriced`: symbols without a
        price, each with the reason; `quoted`: what changes with every word of the feed, also one
        that leaves the last prices as they were.
    record : Recorder
        Takes the alert.

    Attributes
    ----------
    watch : callable or None
        Has prices told of these symbols too; None of a broker that tells none.
    """

    def __init__(self, broker: Broker, record: Recorder) -> None:
        self.watch: Callable[[Sequence[str]], None] | None = None
        if hasattr(broker, "prices"):
            self.watch = getattr(broker, "watch", lambda _: None)
        self._prices = getattr(broker, "prices", dict)
        self._unpriced = getattr(broker, "unpriced", dict)
        self._quoted = getattr(broker, "quoted", None)
        self._record = record
        self._told: set[str] = set()
        self._found: dict[str, int] = {}
        self._priced = self._gone = False

    def __call__(self) -> dict[str, int]:
        """The prices that there are; none while the feed's connection is gone."""
        try:
            self._found = self._prices()
            missing: dict[str, str] = self._unpriced()
        except BrokerDown:  # the orders' own connection, if it is the same, tells on its next use
            self._found, self._gone = {}, True
            return {}
        self._priced |= bool(self._found)
        self._gone = self._priced and not self._found and bool(missing)
        new = {why: [s for s, w in missing.items() if w == why] for why in missing.values()}
        for why, symbols in new.items():
            named = [symbol for symbol in symbols if symbol not in self._told]
            if named:
                self._told.update(named)
                told = f"no market data of {', '.join(named)} ({why})"
                self._record.alert(f"{told}—no entries, the switch sees only its fills")
        return self._found

    def word(self) -> Word:
        """The feed's last word, as of the last call for prices."""
        if self._gone:
            return Word(gone=True)
        if not self._found:
            return Word()
        try:
            return Word(dict(self._found) if self._quoted is None else self._quoted())
        except BrokerDown:
            return Word(gone=True)


class Vigil:
    """Whether feed and clock can be relied on, looked at each time of listening.

    Parameters
    ----------
    prices : callable
        The session's prices; a `LivePrices` knows more of its feed than they tell.
    hours : tuple of datetime, or None
        Opening and close of the exchange: a feed may be silent outside. None: it never may.
    at : float
        The clock as the session begins.

    Attributes
    ----------
    interrupted : bool
        The feed is silent, or gone: nothing new is to be sent.
    """

    def __init__(
        self,
        prices: Callable[[], Mapping[str, int]],
        hours: tuple[dt.datetime, dt.datetime] | None,
        at: float,
    ) -> None:
        self.interrupted = False
        self._prices = prices
        self._hours = tuple(each.timestamp() for each in hours) if hours else (0.0, float("inf"))
        self._at = self._since = at  # the last time seen; since when the feed is silent
        self._news: object = None

    def look(self, prices: Mapping[str, int], at: float) -> tuple[str, ...]:
        """Alerts of what has changed.

        Parameters
        ----------
        prices : mapping
            Those of this time of listening.
        at : float
            The clock, seconds since 1970.
        """
        back = at < self._at - BACKWARD
        if back:
            self._since = at  # how long it has been silent can't be told from this clock
        self._at = at if back else max(self._at, at)
        told = self._prices.word() if isinstance(self._prices, LivePrices) else _word(prices)
        return ((CLOCK,) if back else ()) + self._fed(told, at)

    def _fed(self, word: Word, at: float) -> tuple[str, ...]:
        if word.news is not None and word.news != self._news:
            self._news, self._since = word.news, at
            return self._becomes(False)
        if word.gone:
            self._news = None  # a connection that is there again is news
        if not self._hours[0] <= at <= self._hours[1]:
            self._since = at
            return ()
        if word.news is None and not word.gone and not self.interrupted:
            self._since = at  # nothing is followed
        return self._becomes(True) if word.gone or at - self._since > SILENCE else ()

    def _becomes(self, interrupted: bool) -> tuple[str, ...]:
        changed, self.interrupted = interrupted is not self.interrupted, interrupted
        return (STALLED if interrupted else BACK,) if changed else ()


def _word(prices: Mapping[str, int]) -> Word:
    return Word(dict(prices) or None)
