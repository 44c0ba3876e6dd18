"""The broker `ccxt`: crypto spot at an exchange that speaks Binance's protocol, sandbox first."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

from pydantic import SecretStr

from hybridnb.domain import SCALE, Order, OrderState, Refusal
from hybridnb.errors import BrokerDown
from hybridnb.execution.ccxt_account import Account
from hybridnb.execution.ccxt_deals import DAY
from hybridnb.execution.ccxt_request import rejected, request_of, wrong_with
from hybridnb.execution.ccxt_rows import Tracked, average, body, in_order, stamp, wire
from hybridnb.execution.ccxt_wire import (
    CANCEL_FAILED,
    CcxtSettings,
    Denied,
    Line,
    Market,
    Unanswered,
)
from hybridnb.ports import Events, Holding, Statement


class CcxtBroker:
    """Orders, fills and the account of one key at one exchange; see `ports.Broker`.

    `submit` answers accepted, rejected or unknown; what became of an order comes from `poll`,
    also where the exchange filled it at once. The exchange itself refuses a client id only while
    an order with it is open, so an id that is new to this process is looked up there first: one
    it remembers, whatever became of it, is refused as a duplicate (for far more than 24 hours).

    The exchange takes coins out of the account for every open sale, stop orders included: two
    protective legs of one position can't both rest there.

    Parameters
    ----------
    settings : CcxtSettings
    key, secret : SecretStr
        The exchange's API key.
    known : iterable of Order
        Orders the ledger knows: they give back leg, decision and long ids after a restart.

    Raises
    ------
    ParamsError
        For a symbol the exchange doesn't have, or a unit its ticks don't fit.
    BrokerDown
        No connection, or the key is refused.
    """

    name = "ccxt"
    both_legs = False  # see above

    def __init__(
        self,
        settings: CcxtSettings,
        *,
        key: SecretStr,
        secret: SecretStr,
        known: Iterable[Order] = (),
    ) -> None:
        self._settings = settings
        self._line = Line(settings, key, secret)
        try:
            self._account = Account(self._line, settings, known)
        except BaseException:
            self._line.close()
            raise

    def submit(self, orders: Sequence[Order]) -> list[Order]:
        """Send new orders; a client id known to the exchange is refused as a duplicate."""
        answers = [self._submit(order) for order in orders]
        self._tell(answers)
        return answers

    def _submit(self, order: Order, *, new: bool = False) -> Order:
        market = self._account.markets.get(order.symbol)
        wrong = wrong_with(order, market)
        if wrong or market is None:
            return rejected(order, Refusal.INVALID, wrong)
        stem = body(order.client_id)
        account = self._account
        if stem in account.tracked or not (new or account.ask(market, wire(stem, 0)) is None):
            return rejected(order, Refusal.DUPLICATE)
        tracked = Tracked(order=order, stem=stem, at=self._line.now, doubt=True)
        account.tracked[stem] = tracked
        try:
            request = request_of(order, market, market.coins(order.quantity), wire(stem, 0))
            row = self._line.call("privatePostOrder", **request)
            account.learn(market, row)
        except Denied as denied:
            del account.tracked[stem]
            if "uplicate order" in denied.words:
                return rejected(order, Refusal.DUPLICATE)
            return rejected(order, Refusal.VENUE, denied.words)
        except Unanswered as silence:
            return replace(order, state=OrderState.UNKNOWN, note=str(silence))
        return replace(account.view(tracked), state=OrderState.ACCEPTED, filled=0)

    def amend(self, orders: Sequence[Order]) -> list[Order]:
        """Cancel and replace, in one call of the exchange; a finished order is passed over."""
        answers = [answer for o in orders if (answer := self._amend(o)) is not None]
        self._tell(answers)
        return answers

    def _amend(self, order: Order) -> Order | None:
        market = self._account.markets.get(order.symbol)
        wrong = wrong_with(order, market)
        if wrong or market is None:
            there = self._account.tracked.get(body(order.client_id))
            refused = rejected(order, Refusal.INVALID, wrong)
            # A working order stays what it is when what was asked of it can't be meant.
            return refused if there is None else _as(self._account.view(there), refused)
        tracked = self._account.find(market, body(order.client_id))
        if tracked is None:
            return self._submit(order, new=True)
        if tracked.doubt:
            self._account.refresh(tracked)
        old = self._account.view(tracked)
        same = (old.left, old.limit, old.stop) == (order.quantity, order.limit, order.stop)
        if tracked.doubt or not old.state.open or same:
            return None
        return self._replace(order, tracked, market)

    def _replace(self, order: Order, tracked: Tracked, market: Market) -> Order:
        account = self._account
        old = account.view(tracked)
        # Coins beyond the last whole unit count towards the next: the sum becomes whole again.
        coins = market.coins(order.quantity) - (tracked.coins - market.coins(old.filled))
        replaced = tracked.name(tracked.revision)
        tracked.sent, tracked.at, tracked.doubt = tracked.sent + 1, self._line.now, True
        name = tracked.name(tracked.sent)
        try:
            request = request_of(replace(order, side=old.side), market, coins, name)
            answer = self._line.call(
                "privatePostOrderCancelReplace",
                cancelReplaceMode="STOP_ON_FAILURE",
                cancelOrigClientOrderId=replaced,
                **request,
            )
            account.learn(market, answer.get("cancelResponse"))
            account.learn(market, answer.get("newOrderResponse"))
        except Denied as denied:
            tracked.seen[tracked.sent], tracked.doubt = -1, False
            account.refresh(tracked)
            return _as(account.view(tracked), rejected(order, Refusal.VENUE, denied.words))
        except Unanswered as silence:
            return replace(account.view(tracked), note=str(silence))
        return account.view(tracked)

    def cancel(self, client_ids: Iterable[str]) -> list[Order]:
        """Withdraw working orders; everything on a symbol goes in one call of the exchange."""
        wanted = {body(i) for i in client_ids}
        changed: list[Order] = []
        account = self._account
        for market in account.markets.values() if wanted else ():
            there = account.open_orders(market)
            mine = [t for t in there if t.stem in wanted]
            if len(mine) > 1 and len(mine) == len(there):
                gone = self._withdraw(mine, "privateDeleteOpenOrders", symbol=market.id)
            else:
                gone = []
                for t in mine:  # by the exchange's number: a replacement in doubt has no part in it
                    request = {"symbol": market.id, "orderId": t.seen[t.revision]}
                    gone += self._withdraw([t], "privateDeleteOrder", **request)
                for t in account.on(market):
                    if t.stem in wanted and t.doubt and t not in there:  # it may just be arriving
                        request = {"symbol": market.id, "origClientOrderId": t.name(t.sent)}
                        gone += self._withdraw([t], "privateDeleteOrder", **request)
            changed += gone
        self._tell(changed)
        return changed

    def _withdraw(self, orders: list[Tracked], method: str, **request: Any) -> list[Order]:
        account = self._account
        market = account.markets[orders[0].order.symbol]
        try:
            answer = self._line.call(method, **request)
            for row in answer if isinstance(answer, list) else [answer]:
                account.learn(market, row)
        except Denied as denied:
            if denied.code != CANCEL_FAILED:
                raise BrokerDown(f"the exchange refuses to cancel: {denied.words}") from denied
            for tracked in orders:  # it ended before we came: say how
                account.refresh(tracked)
        except Unanswered:
            for tracked in orders:
                tracked.doubt = True
        return [v for t in orders if (v := account.view(t)) != t.told]

    def poll(self) -> Events:
        """Orders that changed and new trades; each trade id counts once."""
        account = self._account
        for market in account.markets.values():
            there = account.open_orders(market)
            for tracked in account.on(market):
                if tracked not in there and account.view(tracked).state.open:
                    account.refresh(tracked)
            account.deals.read_new(market)
        fills = [f for m in account.markets.values() for f in account.fresh_fills(m)]
        changed = [
            (tracked, shown)
            for tracked in account.tracked.values()
            if not tracked.foreign and (shown := account.view(tracked)) != tracked.told
        ]
        for tracked, shown in changed:
            tracked.told = shown
        account.forget_fresh(fills)
        return Events(
            orders=tuple(shown for _, shown in changed),
            fills=in_order(fills),
        )

    def statement(self) -> Statement:
        """The account now. What was sent, not answered and isn't there never was."""
        account = self._account
        for tracked in [t for t in account.tracked.values() if t.doubt]:
            account.refresh(tracked)
            if tracked.row is None and account.void(tracked):
                del account.tracked[tracked.stem]
        markets = list(account.markets.values())
        for market in markets:
            account.deals.read_recent(market)
        for _ in range(3):  # until nothing traded while we were reading
            working = [t for m in markets for t in account.open_orders(m)]
            balances = account.balances()
            news = [account.deals.read_new(m) for m in markets]
            if not any(news):
                break
        since = stamp(self._line.now - DAY)
        fills = [f for m in markets for f in account.fills(m, since=self._line.now - DAY)]
        working += [t for t in account.tracked.values() if t.doubt and t not in working]
        return Statement(
            orders=tuple(account.view(t) for t in working),
            fills=in_order(f for f in fills if f.at >= since),
            holdings=self._holdings(balances),
            cash=int(balances.get(self._settings.quote, Decimal(0)) * SCALE),
            currency=self._settings.quote,
        )

    def _holdings(self, balances: dict[str, Decimal]) -> dict[str, Holding]:
        """Whole units held; less than one is no position. Never a NaN for a price."""
        holdings = {}
        for market in self._account.markets.values():
            units = market.units(balances.get(market.base, Decimal(0)))
            if units:
                cost = average(list(self._account.deals.by_id[market.symbol].values()))
                # Coins that no trade brought came at no price we can know: the last one stands in.
                price = self._account.last_price(market) if cost is None else cost
                holdings[market.symbol] = Holding(units, float(price * market.unit * SCALE))
        return holdings

    def prices(self) -> dict[str, int]:
        """Last prices by symbol, in 1/10,000 a unit."""
        account = self._account
        return {s: m.price(account.last_price(m)) for s, m in account.markets.items()}

    def close(self) -> None:
        """Let go of the connection; working orders stay."""
        self._line.close()

    def _tell(self, orders: Iterable[Order]) -> None:
        for order in orders:
            tracked = self._account.tracked.get(body(order.client_id))
            if tracked is not None and order.state is not OrderState.REJECTED:
                # What an answer says beyond the order's state was said once and isn't news.
                shown = self._account.view(tracked)
                tracked.told = replace(order, refusals=shown.refusals, note=shown.note)


def _as(order: Order, refused: Order) -> Order:
    """The order as it stands, with why what was asked of it was refused."""
    return replace(order, refusals=refused.refusals, note=refused.note)
