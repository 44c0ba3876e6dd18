"""One day's work, opened: the request, the parameters, the market up to the session.

Every notebook of the day opens the same context from the same few parameters, so that each runs
alone as well as in the day.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hybridnb.app.home import Home, home, shipped
from hybridnb.app.replying import taught
from hybridnb.app.settings import Settings, section, settings
from hybridnb.errors import UsageError
from hybridnb.escalation.changes import Training
from hybridnb.learning.params import LearningParams
from hybridnb.ledger.store import Ledger
from hybridnb.market import calendar
from hybridnb.market.assemble import until
from hybridnb.market.extra import Extra, digest, known_at, read_extra, with_extra
from hybridnb.market.facts import facts
from hybridnb.market.features import feature_set_id, features
from hybridnb.market.feeds import FeedRequest, known_feeds, load_feed
from hybridnb.market.fetched import FILE as FEEDS
from hybridnb.ports import MarketData

EPOCH = "1990-01-01"  # session ordinals count from the first session of this date


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked for; empty values stand for `params/day.yml`, an empty session for the last."""

    feed: str = ""
    data: str = ""
    session: str = ""
    seed: int | None = None
    profile: str = ""
    params: str = ""


@dataclass(frozen=True)
class Context:
    """A day opened: everything is as of its session, nothing later is computed on."""

    request: Request
    settings: Settings
    market: MarketData
    session: str
    seed: int
    profile: str
    home: Home = field(repr=False)
    history: pd.DataFrame = field(repr=False)  # the feed's whole history, to recognise a book only
    extra: Extra | None = field(default=None, repr=False)  # as of the close before the session

    @property
    def own_training(self) -> Training:
        """The reward's coefficients as the operator set them."""
        ppo = self.settings.learning(self.profile).ppo
        return Training(ppo.returns, ppo.turnover, ppo.drawdown, ppo.penalty_rate)

    @cached_property
    def learning(self) -> LearningParams:
        """The training profile, with the reward's coefficients that replies ask for."""
        chosen = self.settings.learning(self.profile)
        asked = taught(self)
        if asked == self.own_training:
            return chosen
        return chosen.model_copy(update={"ppo": chosen.ppo.model_copy(update=asdict(asked))})

    @property
    def aligned(self) -> NDArray[np.int64]:
        """Rows of `sessions`, before the day, after which a model is trained anew."""
        every = self.settings.day.retrain_every
        return np.flatnonzero(self.ordinals[:-1] % every == 0)

    @cached_property
    def sessions(self) -> pd.DatetimeIndex:
        """The exchange's sessions from the first bar through the day."""
        return calendar.sessions(
            self.market.calendar, self.market.bars["session"].min(), self.session
        )

    @cached_property
    def ordinals(self) -> NDArray[np.int64]:
        """Ordinals of `sessions` in the exchange calendar; the first of `EPOCH` is 1."""
        first = self.sessions[0]
        start = min(first, pd.Timestamp(EPOCH))
        every = calendar.sessions(self.market.calendar, start, self.session)
        before = int((every < pd.Timestamp(EPOCH)).sum())
        return every.get_indexer_for(self.sessions).astype(np.int64) + 1 - before

    @cached_property
    def features(self) -> pd.DataFrame:
        return features(self.market, atr_period=self.settings.policy.stops.atr_period)

    @cached_property
    def facts(self) -> pd.DataFrame:
        return facts(self.market)

    @cached_property
    def facts_id(self) -> str:
        """Digest of the other facts that the session's decisions may know; empty without any."""
        return "" if self.extra is None else digest(self.extra)[:16]

    @property
    def feature_set(self) -> str:
        return feature_set_id()

    @property
    def inputs(self) -> dict[str, str]:
        """Digests of what makes two runs of a session comparable; `facts` where a file has any."""
        told = {"facts": self.facts_id} if self.facts_id else {}
        return self.settings.inputs(self.profile, self.seed) | told

    def ledger(self) -> Ledger:
        """The home's ledger, opened."""
        return Ledger(self.home.ledger_url, heads=self.home.heads)


def open_day(request: Request, *, now: pd.Timestamp | None = None) -> Context:
    """Load and check everything a day needs.

    Parameters
    ----------
    now : Timestamp or None
        With a time zone: the session may be the one in progress at this time, which has no bars
        yet; it is the default then.

    Raises
    ------
    InputError, ParamsError, UsageError, Missing
        Each says what to mend; nothing was written.
    """
    folder = Path(request.params) if request.params else shipped("params")
    chosen = settings(folder)
    day = chosen.day
    seed = day.seed if request.seed is None else request.seed
    feed = request.feed or day.feed
    data = request.data or (day.data if feed == day.feed else "")
    whole = load_feed(
        feed,
        FeedRequest(
            data=Path(data) if data else None,
            seed=seed,
            calendar=day.calendar or None,
            zone=day.zone or None,
            currency=day.currency or None,
            lists=chosen.policy.lists,
            sip_symbol=chosen.policy.sip.symbol,
            symbols=chosen.symbols.symbols,
            section=section(folder / FEEDS, feed, known_feeds()),
            store=home().root / "data",
        ),
    )
    extra = _extra(folder, day.facts)
    if extra is not None:
        whole = with_extra(whole, extra)
    elif day.facts:
        whole = replace(whole, notes=(*whole.notes, f"{day.facts} isn't there: no other facts"))
    session = _session(whole, request.session) if now is None else _present(whole, request, now)
    before = calendar.previous_session(whole.calendar, session)
    profile = request.profile or day.profile
    chosen.learning(profile)
    return Context(
        request=request,
        settings=chosen,
        market=until(whole, session if now is None else before),
        session=session.strftime("%Y-%m-%d"),
        seed=seed,
        profile=profile,
        home=home(),
        history=whole.bars,
        extra=extra and known_at(extra, calendar.closes_at(whole.calendar, before)),
    )


def _extra(folder: Path, name: str) -> Extra | None:
    """The file of other facts; None where none is named, or it isn't there: they are unknown."""
    path = folder / name
    return read_extra(path) if name and path.is_file() else None


def _present(market: MarketData, request: Request, now: pd.Timestamp) -> pd.Timestamp:
    """The session in progress, or a later one than the bars reach that was asked for."""
    today = now.tz_convert(calendar.zone(market.calendar)).tz_localize(None).normalize()
    try:
        session = pd.Timestamp(request.session).normalize() if request.session else today
    except ValueError:
        raise UsageError(f"{request.session!r} is no date") from None
    if not calendar.is_session(market.calendar, session):
        nearest = calendar.next_session(market.calendar, session)
        raise UsageError(
            f"{market.calendar} doesn't open on {session:%Y-%m-%d}",
            remedy=f"Its next session is {nearest:%Y-%m-%d}.",
        )
    if session < today:
        raise UsageError(
            f"{session:%Y-%m-%d} is over: a broker trades the session in progress",
            remedy="Use `hybridnb trade --broker paper` or `hybridnb day` for history.",
        )
    return session


def _session(market: MarketData, asked: str) -> pd.Timestamp:
    """The session asked for, or the last one in which most symbols have a bar."""
    counts = market.bars.groupby("session")["symbol"].size()
    full = counts[counts >= 0.95 * counts.tail(20).median()]
    if not asked:
        return pd.Timestamp(full.index[-1])
    try:
        session = pd.Timestamp(asked).normalize()
    except ValueError:
        raise UsageError(f"{asked!r} is no date", remedy="Write it as 2013-03-01.") from None
    if session not in counts.index:
        first, last = counts.index[0], counts.index[-1]
        why = "is no session of its exchange" if first < session < last else "lies outside them"
        raise UsageError(
            f"the feed {market.feed} has bars from {first:%Y-%m-%d} to {last:%Y-%m-%d};"
            f" {asked} {why}",
            remedy=f"Take --date {_near(counts.index, session):%Y-%m-%d}.",
        )
    return session


def _near(index: Any, session: pd.Timestamp) -> pd.Timestamp:
    return pd.Timestamp(index[min(int(index.searchsorted(session)), len(index) - 1)])
