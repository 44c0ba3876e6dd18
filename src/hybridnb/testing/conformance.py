"""The conformance suite of brokers: numbered cases that every adapter must hold.

A case gets a `Bench`: the adapter at hand and a hand on its venue. A third party's adapter is
tested by giving `CASES` a bench of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

from hybridnb.domain import OrderState, Refusal, Side
from hybridnb.errors import BrokerDown
from hybridnb.testing.bench import Bench, buy, held, order, settle

Case = Callable[[Bench], None]
CASES: dict[str, Case] = {}


def _case(function: Case) -> Case:
    CASES[f"C{len(CASES) + 1:02d} {function.__name__}"] = function
    return function


@_case
def market_order_fills_once(bench: Bench) -> None:
    new = order(bench, 1)
    assert bench.broker.submit([new])[0].state.open
    bench.trade(bench.price, 100 * bench.lot)
    orders, fills = settle(bench)
    assert orders[new.client_id].state is OrderState.FILLED
    assert orders[new.client_id].filled == new.quantity == sum(f.quantity for f in fills)
    assert held(bench) == new.quantity


@_case
def partial_fills_add_up(bench: Bench) -> None:
    new = order(bench, 1, limit=bench.price)
    bench.broker.submit([new])
    bench.trade(bench.price, 3 * bench.lot)
    orders, fills = settle(bench)
    assert orders[new.client_id].state is OrderState.PARTIALLY_FILLED
    assert orders[new.client_id].left == 7 * bench.lot
    bench.trade(bench.price, 100 * bench.lot)
    orders, more = settle(bench)
    assert orders[new.client_id].state is OrderState.FILLED
    assert sum(f.quantity for f in fills + more) == new.quantity
    assert len({f.fill_id for f in fills + more}) == len(fills + more)


@_case
def same_client_id_is_refused(bench: Bench) -> None:
    new = order(bench, 1, limit=bench.price - 50 * bench.tick)
    assert bench.broker.submit([new])[0].state.open
    again = bench.broker.submit([new])[0]
    assert again.state is OrderState.REJECTED
    assert again.refusals == (Refusal.DUPLICATE.name,)
    assert len(bench.broker.statement().orders) == 1


@_case
def same_client_id_is_refused_after_a_restart(bench: Bench) -> None:
    new = order(bench, 1)
    bench.broker.submit([new])
    bench.trade(bench.price, 100 * bench.lot)
    settle(bench)
    bench.broker = bench.restart()
    assert bench.broker.submit([new])[0].state is OrderState.REJECTED
    assert held(bench) == new.quantity


@_case
def limit_never_fills_worse(bench: Bench) -> None:
    new = order(bench, 1, limit=bench.price)
    bench.broker.submit([new])
    bench.trade(bench.price + 10 * bench.tick, 100 * bench.lot)
    assert settle(bench)[1] == []
    bench.trade(bench.price, 100 * bench.lot)
    assert all(f.price <= bench.price for f in settle(bench)[1])
    assert held(bench) == new.quantity


@_case
def stop_rests_until_touched(bench: Bench) -> None:
    buy(bench)
    stop = order(bench, 2, side=Side.SELL, stop=bench.price - 20 * bench.tick)
    bench.broker.submit([stop])
    bench.trade(bench.price - 10 * bench.tick, 100 * bench.lot)
    assert settle(bench)[1] == []
    bench.trade(bench.price - 20 * bench.tick, 100 * bench.lot)
    assert sum(f.quantity for f in settle(bench)[1]) == stop.quantity
    assert held(bench) == 0


@_case
def stop_limit_waits_at_its_limit(bench: Bench) -> None:
    buy(bench)
    trigger, limit = bench.price - 20 * bench.tick, bench.price - 22 * bench.tick
    stop = order(bench, 2, side=Side.SELL, stop=trigger, limit=limit)
    bench.broker.submit([stop])
    bench.trade(bench.price - 40 * bench.tick, 100 * bench.lot)
    assert settle(bench)[1] == []
    bench.trade(bench.price - 21 * bench.tick, 100 * bench.lot)
    fills = settle(bench)[1]
    assert sum(f.quantity for f in fills) == stop.quantity
    assert all(f.price >= limit for f in fills)


@_case
def cancelled_order_is_gone(bench: Bench) -> None:
    new = order(bench, 1, limit=bench.price)
    bench.broker.submit([new])
    changed = {o.client_id: o for o in bench.broker.cancel([new.client_id])}
    changed |= settle(bench)[0]
    assert changed[new.client_id].state is OrderState.CANCELLED
    bench.trade(bench.price, 100 * bench.lot)
    assert settle(bench)[1] == []
    assert bench.broker.statement().orders == ()


@_case
def unknown_id_is_passed_over_by_cancel(bench: Bench) -> None:
    assert bench.broker.cancel(["conformance-none"]) == []


@_case
def one_action_withdraws_everything(bench: Bench) -> None:
    price = bench.price - 50 * bench.tick
    ids = [bench.broker.submit([order(bench, n, limit=price)])[0].client_id for n in range(5)]
    bench.broker.cancel(ids)
    settle(bench)
    assert bench.broker.statement().orders == ()


@_case
def amend_changes_quantity_and_price(bench: Bench) -> None:
    new = order(bench, 1, limit=bench.price - 50 * bench.tick)
    bench.broker.submit([new])
    bench.broker.amend([replace(new, quantity=4 * bench.lot, limit=bench.price)])
    settle(bench)
    (working,) = bench.broker.statement().orders
    assert (working.client_id, working.left, working.limit) == (
        new.client_id,
        4 * bench.lot,
        bench.price,
    )
    bench.trade(bench.price, 100 * bench.lot)
    assert sum(f.quantity for f in settle(bench)[1]) == 4 * bench.lot == held(bench)


@_case
def amend_after_a_partial_fill_sets_what_is_left(bench: Bench) -> None:
    new = order(bench, 1, limit=bench.price)
    bench.broker.submit([new])
    bench.trade(bench.price, 3 * bench.lot)
    settle(bench)
    bench.broker.amend([replace(new, quantity=2 * bench.lot)])
    bench.trade(bench.price, 100 * bench.lot)
    settle(bench)
    assert held(bench) == 5 * bench.lot


@_case
def amend_submits_what_is_not_known(bench: Bench) -> None:
    new = order(bench, 1, limit=bench.price - 50 * bench.tick)
    bench.broker.amend([new])
    settle(bench)
    assert [o.client_id for o in bench.broker.statement().orders] == [new.client_id]


@_case
def rejected_order_says_why(bench: Bench) -> None:
    if "reject" not in bench.faults:
        return
    bench.fault("reject")
    new = order(bench, 1)
    got = {o.client_id: o for o in bench.broker.submit([new])} | settle(bench)[0]
    assert got[new.client_id].state is OrderState.REJECTED
    assert Refusal.VENUE.name in got[new.client_id].refusals
    assert got[new.client_id].note
    assert held(bench) == 0


@_case
def timeout_is_unknown_until_the_statement(bench: Bench) -> None:
    if "timeout" not in bench.faults:
        return
    bench.fault("timeout")
    new = order(bench, 1, limit=bench.price - 50 * bench.tick)
    assert bench.broker.submit([new])[0].state is OrderState.UNKNOWN
    known = {o.client_id: o for o in bench.broker.statement().orders}
    again = bench.broker.submit([new])[0]
    # It arrived and is refused the second time, or it never did and is accepted now: never two.
    assert (again.state is OrderState.REJECTED) == (new.client_id in known)
    assert len(bench.broker.statement().orders) == 1


@_case
def restart_in_mid_order_finds_everything(bench: Bench) -> None:
    new = order(bench, 1, limit=bench.price)
    bench.broker.submit([new])
    bench.trade(bench.price, 4 * bench.lot)
    bench.broker = bench.restart()
    seen = bench.broker.statement()
    assert [(o.client_id, o.filled) for o in seen.orders] == [(new.client_id, 4 * bench.lot)]
    mine = [f for f in seen.fills if f.client_id == new.client_id]
    assert sum(f.quantity for f in mine) == 4 * bench.lot
    assert seen.holdings[bench.symbol].quantity == 4 * bench.lot


@_case
def fills_while_away_are_in_the_statement(bench: Bench) -> None:
    new = order(bench, 1, limit=bench.price)
    bench.broker.submit([new])
    bench.broker.close()
    bench.trade(bench.price, 100 * bench.lot)
    bench.broker = bench.restart()
    seen = bench.broker.statement()
    assert sum(f.quantity for f in seen.fills if f.client_id == new.client_id) == new.quantity
    assert seen.orders == ()


@_case
def message_told_twice_counts_once(bench: Bench) -> None:
    if "duplicate" not in bench.faults:
        return
    bench.fault("duplicate")
    new = order(bench, 1)
    bench.broker.submit([new])
    bench.trade(bench.price, 100 * bench.lot)
    fills = settle(bench)[1]
    assert sum(f.quantity for f in fills) == new.quantity == held(bench)


@_case
def late_fill_after_a_cancel_is_reported(bench: Bench) -> None:
    if "late" not in bench.faults:
        return
    bench.fault("late")
    new = order(bench, 1, limit=bench.price)
    bench.broker.submit([new])
    bench.trade(bench.price, 3 * bench.lot)
    bench.broker.cancel([new.client_id])
    fills = settle(bench)[1]
    assert sum(f.quantity for f in fills) == 3 * bench.lot == held(bench)


@_case
def cut_line_loses_and_doubles_nothing(bench: Bench) -> None:
    if "disconnect" not in bench.faults:
        return
    bench.fault("disconnect")
    new = order(bench, 1, limit=bench.price - 50 * bench.tick)
    with suppress(BrokerDown):
        bench.broker.submit([new])
    bench.broker = bench.restart()
    known = [o.client_id for o in bench.broker.statement().orders]
    again = bench.broker.submit([new])[0]
    assert again.state.open == (new.client_id not in known)
    assert [o.client_id for o in bench.broker.statement().orders] == [new.client_id]


@_case
def bad_numbers_are_refused_at_the_border(bench: Bench) -> None:
    good = order(bench, 1, limit=bench.price)
    bad = [replace(good, client_id=f"bad-{n}", quantity=q) for n, q in enumerate((0, -bench.lot))]
    bad += [replace(good, client_id=f"bad-p{n}", limit=p) for n, p in enumerate((0, -1))]
    if bench.tick > 1:
        bad.append(replace(good, client_id="bad-tick", limit=bench.price + bench.tick // 2))
    if bench.lot > 1:
        bad.append(replace(good, client_id="bad-lot", quantity=bench.lot + 1))
    for answer in bench.broker.submit(bad):
        assert answer.state is OrderState.REJECTED, answer
        assert answer.refusals == (Refusal.INVALID.name,)
    assert bench.broker.statement().orders == ()


@_case
def cash_and_units_are_conserved(bench: Bench) -> None:
    before = bench.broker.statement()
    bench.broker.submit([order(bench, 1)])
    bench.trade(bench.price, 100 * bench.lot)
    bench.broker.submit([order(bench, 2, side=Side.SELL, lots=4)])
    bench.trade(bench.price, 100 * bench.lot)
    fills = settle(bench)[1]
    paid = sum(f.side.sign * f.quantity * f.price + f.commission for f in fills)
    after = bench.broker.statement()
    # A broker states cash to the cent at best, here 1/10,000 for each fill.
    if before.cash is not None and after.cash is not None:
        assert abs(before.cash - after.cash - paid) <= 100 * len(fills)
    assert held(bench) == 6 * bench.lot


@_case
def position_nobody_ordered_is_seen(bench: Bench) -> None:
    bench.hold(7 * bench.lot)
    assert held(bench) == 7 * bench.lot
    assert bench.broker.statement().fills == ()
