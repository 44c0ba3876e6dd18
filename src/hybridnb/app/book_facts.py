"""The portfolio's costly facts: from a book's rows and the panel, once an asking.

Nothing after the session that is asked about is read. A name whose figure is unknown isn't there.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from hybridnb.app.context import Context
from hybridnb.app.panel import Floats, Panel
from hybridnb.domain import Bucket, Leg, Side
from hybridnb.escalation.breakdowns import (
    MEASURED,
    WINDOW,
    hit_rates,
    sector_dispersion,
    shares,
    turnover,
)
from hybridnb.market.features import FEATURES

Rows = Sequence[Mapping[str, Any]]
EARLIER = 4  # stretches of hit rates before the measured one, which tell a feature's direction
UNEXPLAINED = 1e-6  # share of equity that the book's rows may leave of the day's P&L
_TRADED = (Bucket.PENNY, Bucket.FNO, Bucket.CORE)


def seen_rows(panel: Panel, session: str) -> int:
    """How many rows of the panel are known after a session.

    One in progress has no bars of its own yet: the last row with some is what is known.
    """
    upto = int(panel.sessions.searchsorted(np.datetime64(session), side="right"))
    known = np.flatnonzero(panel.present[:upto].any(axis=1))
    return int(known[-1]) + 1 if len(known) else 0


def dispersion(panel: Panel, stop: int) -> dict[str, float]:
    """Deviation of 20-session returns inside each sector, as of the last of `stop` rows."""
    sectors = [panel.instruments[symbol].sector for symbol in panel.symbols]
    return sector_dispersion(panel.columns["close"][max(0, stop - WINDOW - 1) : stop], sectors)


def _one(rows: Rows, kind: str, session: str) -> Mapping[str, Any] | None:
    found = (r for r in reversed(rows) if r["kind"] == kind and r["session"] == session)
    return next(found, None)


def usage(rows: Rows, session: str, panel: Panel) -> dict[str, float]:
    """Gross exposure of each class at the session's close, share of equity."""
    closed = _one(rows, "session_closed", session)
    if closed is None:
        return {}
    held = dict.fromkeys((_name(bucket) for bucket in _TRADED), 0.0)
    for symbol, position in closed["snapshot"]["book"]["positions"].items():
        instrument = panel.instruments.get(symbol)
        delta = 1.0 if instrument is None else instrument.delta
        units = abs(delta * position["quantity"]) * position["multiplier"]
        bucket = _bucket(panel, symbol)
        held[bucket] = held.get(bucket, 0.0) + units * closed["prices"][symbol]
    return shares(held, closed["equity"])


def decomposed(rows: Rows, session: str, panel: Panel, *, sip: str) -> dict[str, float]:
    """The session's P&L by class, share of its opening equity: together the day's P&L.

    Unknown where the book's rows don't add up to it: then something was booked that no fill
    tells, such as a transfer at the broker.
    """
    opened, closed = (_one(rows, k, session) for k in ("session_opened", "session_closed"))
    row = panel.position(session)
    if opened is None or closed is None or row < 1:
        return {}
    ended = [r for r in rows if r["kind"] == "session_closed" and r["session"] < session]
    nothing: Any = {"positions": {}, "sip_units": 0}
    before = ended[-1]["snapshot"]["book"] if ended else nothing
    after, day = closed["snapshot"]["book"], panel.day(row)
    made = dict.fromkeys((_name(bucket) for bucket in (*_TRADED, Bucket.SIP)), 0.0)

    def add(bucket: str, amount: float) -> None:
        made[bucket] = made.get(bucket, 0.0) + amount

    for sign, book, prices in ((-1, before, day.last), (1, after, closed["prices"])):
        for symbol, held in book["positions"].items():
            value = held["quantity"] * held["multiplier"] * prices.get(symbol, math.nan)
            add(_bucket(panel, symbol), sign * value)
    for fill in _fills(rows, session):
        swept = fill["leg"] == Leg.SWEEP
        bucket = _name(Bucket.SIP) if swept else _bucket(panel, fill["symbol"])
        add(bucket, -Side(fill["side"]).sign * _value(fill, panel) - fill["commission"])
    if before["sip_units"] or after["sip_units"]:
        bar = day.bars.get(sip)
        last = day.last.get(sip, math.nan)
        price = last if bar is None else bar.close
        add(_name(Bucket.SIP), after["sip_units"] * price - before["sip_units"] * last)
    rest = closed["equity"] - opened["equity"] - sum(made.values())
    explained = abs(rest) <= UNEXPLAINED * opened["equity"]  # false for NaN
    return shares(made, opened["equity"]) if explained else {}


def turnovers(rows: Rows, session: str, panel: Panel) -> dict[str, float]:
    """Value bought and sold over equity, in the book's last sessions."""
    closed = _one(rows, "session_closed", session)
    if closed is None:
        return {}
    traded = {r["session"]: 0.0 for r in rows if r["kind"] == "session_closed"}
    for fill in (r for r in rows if r["kind"] == "fill" and r["session"] in traded):
        traded[fill["session"]] += _value(fill, panel)
    return turnover([traded[each] for each in sorted(traded)], closed["equity"])


def _fills(rows: Rows, session: str) -> Iterable[Mapping[str, Any]]:
    return (r for r in rows if r["kind"] == "fill" and r["session"] == session)


def _value(fill: Mapping[str, Any], panel: Panel) -> float:
    instrument = panel.instruments.get(fill["symbol"])
    multiplier = 1 if instrument is None else instrument.multiplier
    return float(fill["price"] * fill["quantity"] * multiplier)


def _bucket(panel: Panel, symbol: str) -> str:
    """Class of a symbol; `unknown` for one that the feed doesn't hold."""
    instrument = panel.instruments.get(symbol)
    return _name(Bucket.UNKNOWN if instrument is None else instrument.bucket)


def _name(bucket: Bucket) -> str:
    return bucket.value.lower()


def performance(context: Context, panel: Panel, stop: int) -> dict[str, float]:
    """Hit rate of each feature alone over its last 60 resolved sessions.

    A feature that told the worse names in the stretches before (a low volatility may be good)
    is read the other way round: its direction is never taken from the sessions it is measured on.
    """
    horizon = context.learning.short.horizon
    start = max(0, stop - horizon - (EARLIER + 1) * MEASURED)
    closes = panel.columns["close"][start:stop]
    if len(closes) <= horizon:
        return {}
    with np.errstate(invalid="ignore", divide="ignore"):
        forward = closes[horizon:] / closes[:-horizon] - 1.0
    told = _features(context, panel, start, stop - horizon)
    way = dict.fromkeys(told, 0.0)
    for k in range(1, EARLIER + 1):
        part = slice(0, max(0, len(forward) - k * MEASURED))
        before = hit_rates({n: v[part] for n, v in told.items()}, forward[part])
        for name, rate in before.items():
            way[name] += rate - 0.5
    turned = {name: -1 for name, rates in way.items() if rates < 0.0}
    return hit_rates(told, forward, orientation=turned)


def _features(context: Context, panel: Panel, start: int, stop: int) -> dict[str, Floats]:
    """The features of the panel's rows `start` to before `stop`, each of shape (t, n)."""
    days = panel.sessions[start:stop]
    frame = context.features
    frame = frame[(frame["session"] >= days[0]) & (frame["session"] <= days[-1])]
    at = (
        days.get_indexer_for(pd.DatetimeIndex(frame["session"])),
        frame["symbol"].map(panel.place).to_numpy(),
    )
    out = {}
    for name in FEATURES:
        table = np.full((len(days), len(panel.symbols)), np.nan)
        table[at] = frame[name].to_numpy(np.float64)
        out[name] = table
    return out
