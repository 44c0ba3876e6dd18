"""The paper venue: deterministic fills from bars.

Market orders fill at the bar's open, exits before entries; protective legs run through its
range; at most `participation` of a bar's volume trades with us; what is left of an entry at the
end of the bar expires, what is left of an exit keeps working. A bar without volume is a halt:
nothing fills. Bars that hold only a close are traded at that close.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from zlib import crc32

from hybridnb.costs import commission, latency_draw, rates, slippage_bps, slipped
from hybridnb.domain import (
    Bar,
    Fill,
    Instrument,
    Leg,
    Order,
    OrderState,
    Refusal,
    refusal_names,
)
from hybridnb.fills import limit_reference, most_fillable, protective_fill, stop_reference
from hybridnb.limits import CODE
from hybridnb.policy import Costs

LEGS = tuple(Leg)
OPEN, RANGE, CLOSE, END = "open", "range", "close", "end"


@dataclass(frozen=True, slots=True)
class Liquidity:
    """What the venue assumes of a symbol: average daily units and volatility of daily returns."""

    adv_units: float
    daily_volatility: float


class PaperVenue:
    """A venue in memory, for one book; the control plane tells it everything it knows.

    Parameters
    ----------
    costs : Costs
    instruments : mapping of str to Instrument
    working : iterable of Order
        Orders still open from earlier sessions.
    """

    name = "paper"

    def __init__(
        self, costs: Costs, instruments: Mapping[str, Instrument], working: Iterable[Order] = ()
    ) -> None:
        self._rates = rates(costs)
        self._instruments = instruments
        self._orders = {order.client_id: order for order in working}
        self._seen = set(self._orders)
        # What an order filled in earlier sessions has paid its commission there.
        self._paid = {order.client_id: order.filled for order in self._orders.values()}
        self._charged: dict[str, int] = {}
        self._used: dict[str, int] = {}
        self.liquidity: Mapping[str, Liquidity] = {}

    @property
    def working(self) -> list[Order]:
        """Orders that can still fill, in the order they came."""
        return [order for order in self._orders.values() if order.state.open]

    def submit(self, orders: Sequence[Order]) -> list[Order]:
        """Accept new orders; a client id seen before is refused as a duplicate."""
        return [self._submit(order) for order in orders]

    def _submit(self, order: Order) -> Order:
        if order.client_id in self._seen:
            codes = refusal_names(Refusal.DUPLICATE)
            return replace(order, state=OrderState.REJECTED, refusals=codes)
        self._seen.add(order.client_id)
        accepted = replace(order, state=OrderState.ACCEPTED)
        self._orders[order.client_id] = accepted
        return accepted

    def amend(self, orders: Sequence[Order]) -> list[Order]:
        """Set quantity and prices of working orders by client id, or accept them as new."""
        changed = []
        for order in orders:
            old = self._orders.get(order.client_id)
            filled = old.filled if old is not None else 0
            new = replace(
                order, state=OrderState.ACCEPTED, filled=filled, quantity=order.quantity + filled
            )
            self._seen.add(order.client_id)
            if old != new:
                self._orders[order.client_id] = new
                changed.append(new)
        return changed

    def cancel(self, client_ids: Iterable[str]) -> list[Order]:
        """Withdraw working orders; ids that aren't working are passed over."""
        return [self._end(i, OrderState.CANCELLED) for i in client_ids if self._is_open(i)]

    def _is_open(self, client_id: str) -> bool:
        return client_id in self._orders and self._orders[client_id].state.open

    def _end(self, client_id: str, state: OrderState) -> Order:
        self._orders[client_id] = replace(self._orders[client_id], state=state)
        return self._orders[client_id]

    def play(self, bars: Mapping[str, Bar], phase: str) -> Iterator[tuple[list[Order], list[Fill]]]:
        """The same, as a venue that is listened to: one answer a phase."""
        yield self.run(bars, phase)

    def run(self, bars: Mapping[str, Bar], phase: str) -> tuple[list[Order], list[Fill]]:
        """Let one phase of the bars happen.

        Parameters
        ----------
        bars : mapping of str to Bar
        phase : str
            `open`: market orders fill at the open. `range`: at most one protective leg of each
            symbol. `close`: sweeps. `end`: entries expire, volume used is forgotten.

        Returns
        -------
        tuple
            Orders that changed, and the fills, in a fixed order.
        """
        if phase == END:
            self._used = {}
            ids = [o.client_id for o in self.working if not o.leg.reduces]
            return [self._end(i, OrderState.EXPIRED) for i in ids], []
        if phase == RANGE:
            return self._protect(bars)
        wanted = (Leg.SWEEP,) if phase == CLOSE else (Leg.FLATTEN, Leg.EXIT, Leg.ENTRY)
        orders = [o for leg in wanted for o in self.working if o.leg is leg]
        changed, fills = [], []
        for order in orders:
            bar = bars.get(order.symbol)
            if bar is None:
                continue
            reference = bar.close if phase == CLOSE else bar.open
            after, fill = self._execute(order, bar, reference, order.quantity)
            changed += [after] if fill else []
            fills += [fill] if fill else []
        return changed, fills

    def _protect(self, bars: Mapping[str, Bar]) -> tuple[list[Order], list[Fill]]:
        changed, fills = [], []
        for symbol in sorted({o.symbol for o in self.working if o.leg in (Leg.STOP, Leg.TARGET)}):
            legs = {o.leg: o for o in self.working if o.symbol == symbol}
            bar = bars.get(symbol)
            hit = self._touched(legs, bar) if bar is not None else None
            if bar is None or hit is None:
                continue
            leg, reference = hit
            after, fill = self._execute(legs[leg], bar, reference, legs[leg].left)
            changed += [after] if fill else []
            fills += [fill] if fill else []
        return changed, fills

    @staticmethod
    def _touched(legs: Mapping[Leg, Order], bar: Bar) -> tuple[Leg, int] | None:
        stop, target = legs.get(Leg.STOP), legs.get(Leg.TARGET)
        if stop is not None and target is not None:
            code, at = protective_fill(bar, stop.stop or 0, target.limit or 0, stop.side.sign)
            return (LEGS[code], at) if code else None
        if stop is not None:
            at = stop_reference(bar, stop.stop or 0, stop.side.sign)
            return (Leg.STOP, at) if at else None
        if target is not None:
            at = limit_reference(bar, target.limit or 0, target.side.sign)
            return (Leg.TARGET, at) if at else None
        return None

    def _execute(
        self, order: Order, bar: Bar, reference: int, quantity: int
    ) -> tuple[Order, Fill | None]:
        used = self._used.get(order.symbol, 0)
        most = most_fillable(bar, self._rates.participation, used)
        quantity = min(order.left, quantity, most)
        if quantity <= 0:
            return order, None
        self._used[order.symbol] = used + quantity
        instrument = self._instruments[order.symbol]
        price = self._price(order, bar, reference, quantity)
        filled = order.filled + quantity
        charged = self._charged.get(order.client_id, 0)
        # What the order's earlier fills were charged counts: partial fills pay one minimum.
        due = commission(
            self._rates,
            quantity=filled - self._paid.get(order.client_id, 0),
            price=price * instrument.multiplier,
        )
        paid = max(0, due - charged)
        self._charged[order.client_id] = charged + paid
        state = OrderState.FILLED if filled == order.quantity else OrderState.PARTIALLY_FILLED
        after = replace(order, filled=filled, state=state)
        self._orders[order.client_id] = after
        fill = Fill(
            fill_id=f"{order.client_id}-{filled}",
            client_id=order.client_id,
            symbol=order.symbol,
            side=order.side,
            leg=order.leg,
            quantity=quantity,
            price=price,
            reference=reference,
            commission=paid,
            slippage=abs(price - reference) * quantity * instrument.multiplier,
            at=bar.session.isoformat(),
        )
        return after, fill

    def _price(self, order: Order, bar: Bar, reference: int, quantity: int) -> int:
        # A limit order never fills worse than its limit: it waits, it doesn't cross the spread.
        if order.limit is not None:
            return reference
        liquidity = self.liquidity.get(order.symbol, Liquidity(0.0, 0.0))
        bps = slippage_bps(
            self._rates,
            CODE[self._instruments[order.symbol].bucket],
            quantity=quantity,
            adv_units=liquidity.adv_units,
            daily_volatility=liquidity.daily_volatility,
            draw=latency_draw(crc32(order.symbol.encode()), bar.session.toordinal()),
        )
        return slipped(reference, order.side.sign, bps)
