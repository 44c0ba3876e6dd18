"""`hybridnb loadtest` (T4): twice the busiest second and volume of six months, in a sandbox.

The orders go through the pre-trade controls in force, the paper venue and a ledger of their own
in a temporary home: the real one is read, and gets one row that says what came of it.
"""

from __future__ import annotations

import datetime as dt
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from hybridnb.app.home import shipped
from hybridnb.app.ledgers import open_ledger
from hybridnb.app.operators import wall_time
from hybridnb.app.settings import settings
from hybridnb.canonical import plain
from hybridnb.domain import (
    SCALE,
    Bar,
    Bucket,
    Instrument,
    Leg,
    Order,
    OrderState,
    OrderType,
    Refusal,
    Side,
)
from hybridnb.errors import CheckFailed, Refused
from hybridnb.execution.paper import OPEN, PaperVenue
from hybridnb.execution.safety import Facts, Standing, check
from hybridnb.execution.sent import Sent
from hybridnb.ledger.store import Ledger
from hybridnb.policy import Policy

TESTED = "load_tested"  # kind of the row
FACTOR = 2
MONTHS = 6
_ENDED = {OrderState.FILLED, OrderState.PARTIALLY_FILLED, OrderState.CANCELLED, OrderState.EXPIRED}
Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Peak:
    """The busiest of the last months.

    Attributes
    ----------
    messages : int
        Orders sent and changed in one second. Rows without a time of day count as if all of
        their session were sent in one second: never too few.
    volume : int
        Units ordered in one session.
    symbols, equity : int
        Of the busiest session; equity in 1/10,000.
    """

    messages: int
    volume: int
    symbols: int
    equity: int
    since: str
    upto: str
    timed: bool


def measured(ledger: Ledger) -> Peak:
    """The busiest second and session of the last six months that the ledger has.

    Raises
    ------
    Refused
        When no order was sent in them.
    """
    closed = ledger.rows("session", kind="session_closed")
    last = max((row["session"] for row in closed), default="")
    since = _months_before(last) if last else ""
    rows = [row for row in ledger.rows("session", kind="order") if row["session"] > since]
    sent = [row for row in rows if row["state"] not in _ENDED]
    if not sent:
        raise Refused(
            "no order was sent in the last six months: there is no load to double",
            remedy="Trade first: `hybridnb day`.",
        )
    by_second = Counter((row["book"], str(row.get("at") or row["session"])[:19]) for row in sent)
    volume, symbols = Counter[tuple[str, str]](), dict[tuple[str, str], set[str]]()
    for row in {row["client_id"]: row for row in sent}.values():
        key = row["book"], row["session"]
        volume[key] += row["quantity"]
        symbols.setdefault(key, set()).add(row["symbol"])
    busiest, most = volume.most_common(1)[0]
    equity = {(row["book"], row["session"]): row["equity"] for row in closed}
    return Peak(
        messages=max(by_second.values()),
        volume=most,
        symbols=len(symbols[busiest]),
        equity=equity.get(busiest, closed[-1]["equity"]),
        since=since,
        upto=last,
        timed=all(row.get("at") for row in sent),
    )


def _months_before(session: str) -> str:
    day = dt.date.fromisoformat(session)
    month = day.year * 12 + day.month - 1 - MONTHS
    return dt.date(month // 12, month % 12 + 1, min(day.day, 28)).isoformat()


def load_test() -> dict[str, Any]:
    """Send twice the peak and say whether everything held; a row of the ledger either way.

    Returns
    -------
    dict
        peak, messages, volume, seconds, messages_per_s, refused (by code), checks: what had to
        hold, at.

    Raises
    ------
    Refused
        When there is no load to double.
    CheckFailed
        When something didn't hold.
    """
    ledger, policy = open_ledger(), settings(shipped("params")).policy
    peak = measured(ledger)
    with tempfile.TemporaryDirectory(prefix="hybridnb-load-") as name:
        done = _sent(peak, policy, Path(name))
    at = wall_time()
    ledger.append("operations", [{"kind": TESTED, "at": at, "peak": asdict(peak), **done}])
    done |= {"peak": asdict(peak), "at": at}
    missed = [what for what, held in done["checks"].items() if not held]
    if missed:
        raise CheckFailed(
            f"{load_text(done)}\nat twice the load these don't hold: {', '.join(missed)}",
            remedy="Lower safety.messages in params/policy.yml, or use a faster machine.",
            details=done,
        )
    return done


def _sent(peak: Peak, policy: Policy, sandbox: Path) -> dict[str, Any]:
    """One second at twice the load: controls, venue, ledger."""
    number = FACTOR * peak.messages
    units = max(FACTOR * peak.volume // number, 1)
    names = [f"LOAD{n}" for n in range(max(peak.symbols, 1))]
    instruments = {s: Instrument(s, Bucket.CORE, "CAD") for s in names}
    # Cheap enough that the messages, and not the money, are what binds.
    price = max(peak.equity // (20 * number * units), SCALE // 100)
    facts = {s: Facts(i, price, price, None, None) for s, i in instruments.items()}
    standing = Standing(equity=peak.equity, exposure=0, available=peak.equity)
    batch = orders(number, names, units=units, price=price)
    venue = PaperVenue(policy.costs, instruments)
    ledger = Ledger(f"sqlite:///{sandbox / 'ledger.db'}", heads=sandbox / "heads.json")
    start = time.perf_counter()
    _, checked = check(Sent(), policy.safety, batch, at=0.0, facts=facts, standing=standing)
    taken = venue.submit([o for o in checked if o.state is not OrderState.REJECTED])
    refused = [o for o in checked if o.state is OrderState.REJECTED]
    ledger.append("session", [{"kind": "order", **plain(o)} for o in (*taken, *refused)])
    seconds = time.perf_counter() - start
    day, most = dt.date.fromisoformat(peak.upto), 10 * FACTOR * peak.volume
    bars = {s: Bar(s, day, price, price, price, price, most) for s in names}
    _, fills = venue.run(bars, OPEN)
    head = ledger.append("session", [{"kind": "fill", **plain(f)} for f in fills])
    found = ledger.verify()
    entries = [o for o in taken if o.leg is Leg.ENTRY]
    codes = Counter(code for order in refused for code in order.refusals)
    protective = {o.client_id for o in batch if o.leg is Leg.STOP}
    ledger.close()
    return {
        "messages": number,
        "volume": sum(order.quantity for order in batch),
        "seconds": round(seconds, 6),
        "messages_per_s": round(number / seconds, 1),
        "passed": len(taken),
        "refused": dict(sorted(codes.items())),
        "checks": {
            "twice the busiest second is handled within a second": seconds <= 1.0,
            "every message has an answer": len(taken) + len(refused) == number,
            "no more entries than the limit of a second": len(entries) <= policy.safety.messages,
            "the throttle alone refuses": set(codes) <= {Refusal.THROTTLED.name},
            "no protective stop waits": protective <= {o.client_id for o in taken},
            "fills are of what was taken": _conserved(entries, fills),
            "every row is in the ledger and verifies": found.ok
            and found.rows == number + len(fills)
            and found.heads["session"] == head,
        },
    }


def orders(number: int, names: Sequence[str], *, units: int, price: int) -> list[Order]:
    """Entries, each followed by a protective stop, over the symbols in turn."""
    made = []
    for n in range(number):
        stop = n % 2 == 1
        made.append(
            Order(
                client_id=f"load-{n}",
                symbol=names[(n // 2) % len(names)],
                side=Side.SELL if stop else Side.BUY,
                quantity=units + n // (2 * len(names)),  # an equal one would be a twin
                type=OrderType.STOP if stop else OrderType.MARKET,
                leg=Leg.STOP if stop else Leg.ENTRY,
                state=OrderState.CREATED,
                decision_id=f"load-{n // 2}",
                stop=max(price // 2, 1) if stop else None,
            )
        )
    return made


def _conserved(entries: Sequence[Order], fills: Sequence[Any]) -> bool:
    wanted = {order.client_id: order.quantity for order in entries}
    got = Counter[str]()
    for fill in fills:
        got[fill.client_id] += fill.quantity
    return all(0 < units <= wanted.get(name, 0) for name, units in got.items())


def load_text(done: Mapping[str, Any]) -> str:
    """What came of it, a line a check."""
    peak = done["peak"]
    how = "" if peak["timed"] else " (a session without times counts as one second)"
    lines = [
        f"busiest since {peak['since']}: {peak['messages']} messages a second{how},"
        f" {peak['volume']:,} units a session",
        f"sent {done['messages']} messages and {done['volume']:,} units in"
        f" {1e3 * done['seconds']:.1f} ms: {done['passed']} passed, refused {done['refused']}",
        *(f"{'ok  ' if held else 'FAIL'}  {what}" for what, held in done["checks"].items()),
    ]
    return "\n".join(lines)
