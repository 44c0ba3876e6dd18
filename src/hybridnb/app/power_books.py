"""Random books on a few sessions of bars, and losses planted into them to the last 1/10,000."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hybridnb.app.panel import PREDICTIONS, Panel
from hybridnb.app.state import Origin, State, first_state
from hybridnb.book import Book
from hybridnb.domain import SCALE, Bucket, Instrument, OrderState, Position
from hybridnb.errors import UsageError
from hybridnb.execution.brackets import legs
from hybridnb.policy import Policy
from hybridnb.stops import protect, stop_rule

Ints = NDArray[np.int64]
SESSIONS = 8  # of a trial's bars: up to three quiet ones, the planted one, the one after
EQUITY = 100_000  # account units; small, so that a unit's price outweighs what doesn't divide
STEP = 40  # 1/10,000: an equity that it divides has a whole number as its 2.5 %
_FAR = 10.0  # ATR over the price: no protective level is met
_CALM = {"volatility_zscore": 0.0, "correlation": 0.5, "correlation_floor": 0.2}


def random_market(rng: np.random.Generator) -> Panel:
    """A random walk of 3 to 20 names, with ranges around each session's prices."""
    n = int(rng.integers(3, 21))
    symbols = tuple(f"N{i:02d}" for i in range(n))
    start = rng.uniform(50.0, 500.0, n)
    closes = start * np.exp(np.cumsum(rng.normal(0.0, 0.01, (SESSIONS, n)), axis=0))
    opens = closes * np.exp(rng.normal(0.0, 0.005, closes.shape))
    reach = rng.uniform(0.0, 0.01, (2, *closes.shape))
    high, low = np.maximum(opens, closes) * (1 + reach[0]), np.minimum(opens, closes)
    units = [np.rint(v * SCALE) for v in (opens, high, low * (1 - reach[1]), closes)]
    volume = np.full(closes.shape, rng.choice([-1, 10**9]))
    sessions = pd.bdate_range("2015-01-01", periods=SESSIONS)
    columns = {name: np.full(closes.shape, 0.01) for name in ("daily_volatility", "atr")}
    full = {"close": closes, "annual_volatility": np.full(closes.shape, 0.15)}
    full |= {name: np.full(closes.shape, 1e9) for name in ("adv", "median_value")}
    full |= {"sentiment": np.full(closes.shape, np.nan)}
    return _calm(
        Panel(
            sessions=sessions,
            ordinals=np.arange(SESSIONS) + 1000,
            symbols=symbols,
            instruments={s: Instrument(s, Bucket.CORE, "USD") for s in symbols},
            prices=np.stack([*units, volume]).astype(np.int64),
            present=np.ones(closes.shape, np.bool_),
            last=units[3].astype(np.int64),
            columns={**columns, **full},
            facts=pd.DataFrame(index=sessions),
            returns=np.zeros(closes.shape, order="F"),
            excluded={},
            currency="USD",
        )
    )


def some_sessions(rng: np.random.Generator, panel: Panel) -> Panel:
    """A few consecutive sessions of real bars, at a random place where two names trade through.

    Raises
    ------
    UsageError
        When there is no such place.
    """
    whole = panel.present & np.all(panel.prices[:4] > 0, axis=0)
    run: Any = np.lib.stride_tricks.sliding_window_view(whole, SESSIONS, axis=0).all(axis=-1)
    places = np.flatnonzero(run[:, _plain(panel)].sum(axis=1) >= 2)
    if len(places) == 0:
        raise UsageError(f"no {SESSIONS} sessions in a row in which two names have bars")
    at = int(rng.choice(places))
    rows = slice(at, at + SESSIONS)
    return _calm(
        replace(
            panel,
            sessions=panel.sessions[rows],
            ordinals=panel.ordinals[rows],
            prices=panel.prices[:, rows].copy(),
            present=panel.present[rows],
            last=panel.last[rows].copy(),
            columns={name: values[rows] for name, values in panel.columns.items()},
            facts=panel.facts.iloc[rows],
            returns=np.asfortranarray(panel.returns[rows]),
            macro=(),
        )
    )


def _calm(panel: Panel) -> Panel:
    """Predictions and facts that ask for nothing: what happens is the switch's doing alone."""
    neutral = {name: np.full(panel.present.shape, 0.5) for name in PREDICTIONS}
    facts = panel.facts.assign(**_CALM, regime="range")
    return replace(panel, columns={**panel.columns, **neutral}, facts=facts)


def _plain(panel: Panel) -> NDArray[np.bool_]:
    """Names that are shares: exposure is quantity times price, and the book may hold them."""
    traits, known = panel.traits, panel.instruments
    shares = [known[s].bucket not in (Bucket.SIP, Bucket.UNKNOWN) for s in panel.symbols]
    return np.asarray(~traits.derivative & ~traits.excluded & np.array(shares), np.bool_)


def random_book(rng: np.random.Generator, panel: Panel, policy: Policy) -> State:
    """A book of 60 to 95 % of equity in the names that trade through, long and short.

    Of one name it holds a single unit, so that a loss can be planted exactly. Protective legs
    rest out of reach.
    """
    names = np.flatnonzero(panel.present.all(axis=0) & (panel.last[0] > 0) & _plain(panel))
    last, gross = panel.last[0], rng.uniform(0.6, 0.95)
    parts = rng.uniform(0.5, 1.5, len(names))
    worth = EQUITY * SCALE * gross * parts / parts.sum()
    sizes = np.maximum(1, (worth / last[names]).astype(np.int64))
    sizes[int(np.argmax(last[names]))] = 1
    signs = np.where(rng.random(len(names)) < rng.choice([0.0, 0.3]), -1, 1)
    rule, positions, origins, working = stop_rule(policy.stops), {}, {}, []
    for i, units in zip(names.tolist(), (signs * sizes).tolist(), strict=True):
        symbol, price = panel.symbols[i], int(last[i])
        made = Position(
            symbol=symbol,
            quantity=units,
            cost=units * price,
            multiplier=1,
            atr=_FAR * price / SCALE,
            stop=0,
            target=0,
            best=price,
            decision_id=f"plant-{symbol}",
            opened=f"{panel.sessions[0]:%Y-%m-%d}",
        )
        positions[symbol] = protect(made, rule, tick=panel.instruments[symbol].tick)
        working += [replace(o, state=OrderState.ACCEPTED) for o in legs(positions[symbol])]
        origins[symbol] = Origin(made.decision_id, "plant", 0.0, 0.0, (), policy.id, "plant", "m")
    held = sum(p.cost for p in positions.values())
    whole = EQUITY * SCALE // STEP * STEP
    state = first_state(policy)
    book = Book(cash=whole - held, positions=positions)
    return replace(state, book=book, working=tuple(working), origins=origins, peak=whole)


def planted(panel: Panel, book: Book, row: int, losses: Mapping[str, int]) -> Panel:
    """The panel with a session in which a book loses exactly so much by the open and the close.

    Parameters
    ----------
    row : int
        Of the session; the one before gives the prices it is measured from.
    losses : mapping of str to int
        By mark (`open`, `close`), in 1/10,000 of an account unit. Bars that have only a close
        take the first for both.
    """
    places = np.array([panel.place[s] for s in book.positions], np.int64)
    if len(places) == 0:
        return panel
    units = np.array([p.quantity for p in book.positions.values()], np.int64)
    prices, last, before = panel.prices.copy(), panel.last.copy(), panel.last[row - 1, places]
    bars: Any = prices[:, row, places]
    up = bars[1] - np.maximum(bars[0], bars[3])
    down = np.minimum(bars[0], bars[3]) - bars[2]
    alone = bool((bars[0] == bars[1]).all() and (bars[1:4] == bars[0]).all())
    opens = _fallen(before, units, losses["open"])
    closes = opens if alone else _fallen(before, units, losses["close"])
    high, low = np.maximum(opens, closes) + up, np.minimum(opens, closes) - down
    volume = np.where(bars[4] < 0, -1, np.maximum(bars[4], 1000 * np.abs(units)))
    prices[:, row, places] = np.stack([opens, high, np.maximum(low, 1), closes, volume])
    last[row, places] = closes
    return replace(panel, prices=prices, last=last)


def _fallen(before: Ints, units: Ints, loss: int) -> Ints:
    """Prices at which the book is worth `loss` less, spread over its names by what they are worth.

    The name of a single unit takes what doesn't divide.
    """
    worth = np.abs(units) * before
    each = np.trunc(loss * (worth / worth.sum()) / np.abs(units)).astype(np.int64)
    single = int(np.flatnonzero(np.abs(units) == 1)[0])
    each[single] += loss - int((np.abs(units) * each).sum())
    after = before - np.sign(units) * each
    if (after <= 0).any():
        raise ValueError(f"a loss of {loss} can't be planted into these prices")
    return np.asarray(after, np.int64)
