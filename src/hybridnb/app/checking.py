"""What a live session is checked against: each symbol's facts, and the account's."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from hybridnb.app.desk import Setup
from hybridnb.app.panel import Day
from hybridnb.app.state import State
from hybridnb.app.watching import gross_of
from hybridnb.book import equity
from hybridnb.domain import Fill, Leg, Order
from hybridnb.execution.safety import Facts, Standing
from hybridnb.risk import disabled


def facts_of(
    orders: Sequence[Order], day: Day, prices: Mapping[str, int], *, held: Callable[[str], int]
) -> dict[str, Facts]:
    """Facts by symbol; one without an instrument has none.

    A market order was sized at the last close: the collar says how far the market may have moved
    from there.

    Parameters
    ----------
    prices : mapping of str to int
        Last prices, in 1/10,000; an entry of a symbol without one is refused.
    held : callable
        `(symbol) -> units`, signed.
    """
    return {
        o.symbol: Facts(
            day.instruments[o.symbol],
            prices.get(o.symbol),
            reference=day.last.get(o.symbol),
            adv_units=day.liquidity(o.symbol).adv_units if o.symbol in day.symbols else None,
            held=held(o.symbol),
        )
        for o in orders
        if o.symbol in day.instruments
    }


def standing_of(state: State, day: Day, setup: Setup, prices: Mapping[str, int]) -> Standing:
    """The account and the control plane at these prices, the last closes where one is missing.

    What entries may claim is what leverage leaves beside what is held: its cash, of a book
    without shorts or margin. The proceeds of a short aren't claimed: they buy it back.
    """
    book, risk = state.book, state.risk
    known = {s: p.best for s, p in book.positions.items()} | {**day.last, **prices}
    own = equity(replace(book, sip_units=0), known)
    used = sum(abs(p.quantity) * p.multiplier * known[s] for s, p in book.positions.items())
    room = int(max(1.0, setup.policy.sizing.max_leverage) * own) - used
    return Standing(
        equity=own + book.sip_units * known.get(setup.policy.sip.symbol, 0),
        exposure=gross_of(state, day, known),
        available=max(room, 0),
        state=risk.state,
        killed=risk.killed,
        restricted=setup.policy.lists.do_not_trade,
        disabled=disabled(risk),
    )


def unbookable(fills: Sequence[Fill], day: Day, held: Callable[[str], int]) -> set[str]:
    """Symbols of which the feed lacks what booking takes: instrument, range for a new stop."""
    found = set()
    for fill in fills:
        place = day.place.get(fill.symbol)
        ranged = place is not None and bool(day.columns["atr"][place] > 0.0)
        opens = fill.leg is Leg.ENTRY and not held(fill.symbol)
        if fill.symbol not in day.instruments or (opens and not ranged):
            found.add(fill.symbol)
    return found
