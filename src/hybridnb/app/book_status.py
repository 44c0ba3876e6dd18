"""One book at present: what it is worth and holds, and how far it is from each limit."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any
from weakref import WeakKeyDictionary

from hybridnb.app.records import decision_rows
from hybridnb.app.replies import standing_rows
from hybridnb.app.replying import in_force
from hybridnb.domain import SCALE, Bucket, Mode
from hybridnb.ledger.store import Ledger
from hybridnb.limits import BUCKETS, CODE, Limits, limits
from hybridnb.policy import Policy
from hybridnb.risk import FOREVER

Row = Mapping[str, Any]
WARN = 0.8  # share of a limit from which it is warned of
NORMAL, HIGH = 1.0, 2.0  # |z| of volatility up to which the regime is normal, or high
_TRADED = (Bucket.PENNY, Bucket.FNO, Bucket.CORE)

_DECIDED: WeakKeyDictionary[Ledger, dict[tuple[str, str, str], str]] = WeakKeyDictionary()


def book_status(ledger: Ledger, row: Row, policy: Policy, *, live: bool) -> dict[str, Any]:
    """Everything that is shown of a book.

    Parameters
    ----------
    row : mapping
        Its last `session_closed` row, or what a running session shows of itself.
    policy : Policy
        In force for the book; replies that stand tighten it.
    live : bool
        A session of the book is running.

    Notes
    -----
    Shares are of equity. Derivatives count by the underlying, at a delta of 1: a closed session
    keeps no delta, and what is shown may be above what the clamps counted, never below.
    """
    risk, equity = row["snapshot"]["risk"], row["equity"]
    policy = _tightened(ledger, row, policy)
    lim = limits(policy, Mode(risk["mode"]))
    names = _names(ledger, row, lim)
    gross, at_risk = sum(n["share"] for n in names), sum(n["risk"] for n in names)
    usage = {
        str(b.value): {
            "used": sum(n["share"] for n in names if n["bucket"] == b.value),
            "limit": lim.bucket[i],
        }
        for i, b in enumerate(BUCKETS)
        if lim.bucket[i] > 0.0
    }
    held = row["snapshot"]["book"]
    return {
        "book": row["book"],
        "session": row["session"],
        "live": live,
        "as_of": row.get("at"),
        "mode": risk["mode"],
        "trading_state": risk["state"],
        "brake": risk["brake"],
        "kill_switch": "latched" if risk["killed"] else "ready",
        "killed_since": risk["killed_since"],
        "quarantine_until": risk["quarantine_until"] or None,
        "quarantine_left": max(0, risk["quarantine_until"] - risk["ordinal"]),
        "equity": equity / SCALE,
        "net_liquidity": equity / SCALE,
        "day_pnl": row["day_pnl"],
        "day_pnl_money": _money(row),
        "drawdown": row["drawdown"],
        "positions": len(names),
        "usage": usage,
        "regime": regime(_opened(ledger, row)),
        "gross": gross,
        "net": sum(math.copysign(n["share"], n["quantity"]) for n in names),
        "cash": held["cash"] / equity,
        "open_risk": {"used": at_risk, "limit": _risk_limit(lim)},
        "limits": _distances(row, policy, lim, names=names, usage=usage),
        "names": names,
        "sip": {"units": held["sip_units"], "carried": held["sip_carry"] / SCALE},
        "locks": [_lock(lock, risk["ordinal"]) for lock in risk["locks"]],
    }


def _lock(lock: Row, ordinal: int) -> str:
    """What is locked, why, and for how long, in words."""
    of = "" if lock["symbol"] == "*" else f" {lock['symbol']}"
    left = max(0, lock["until"] - ordinal)
    until = f"{left} more session{'s' * (left != 1)}"
    if lock["until"] == FOREVER:
        until = f"until an operator enables {lock['symbol']}"
    return f"{lock['name']}{of}: {lock['reason']}, {until}"


def _tightened(ledger: Ledger, row: Row, policy: Policy) -> Policy:
    ordinal = row["snapshot"]["risk"]["ordinal"] + 1
    if not standing_rows(ledger, row["book"], ordinal=ordinal):
        return policy
    found = in_force(ledger, row["book"], policy, session=row["session"], ordinal=ordinal)
    return found.policy if found else policy


def _money(row: Row) -> float | None:
    """The day's result in account units; None where it can't be computed."""
    pnl = row["day_pnl"]
    return None if pnl is None else (row["equity"] - row["equity"] / (1.0 + pnl)) / SCALE


def _opened(ledger: Ledger, row: Row) -> Row:
    match = {"kind": "session_opened", "book": row["book"], "session": row["session"]}
    found = ledger.rows("session", **match)
    return found[-1] if found else {}


def regime(opened: Row) -> dict[str, Any]:
    """The regime a session opened with, and the badge of its volatility."""
    z = opened.get("facts", {}).get("volatility_zscore")
    size = math.nan if z is None else abs(z)
    badge = "extreme" if size > HIGH else "high" if size > NORMAL else "normal"
    badge = "unknown" if math.isnan(size) else badge
    return {"name": opened.get("regime"), "volatility_z": z, "badge": badge}


def _names(ledger: Ledger, row: Row, lim: Limits) -> list[dict[str, Any]]:
    """Every position, the largest first."""
    book, equity = row["snapshot"]["book"], row["equity"]
    buckets = row.get("buckets") or {
        symbol: _bucket(ledger, row["book"], held) for symbol, held in book["positions"].items()
    }
    found = []
    for symbol, held in book["positions"].items():
        units = held["quantity"] * held["multiplier"]
        price = row["prices"].get(symbol, held["cost"] / units)
        share = abs(units) * price / equity
        cap = lim.name[CODE[Bucket(buckets[symbol])]]
        # Beyond the stop nothing more is lost; a stop that locks a profit in risks nothing.
        lost = (price - held["stop"]) * math.copysign(1.0, units)
        found.append(
            {
                "symbol": symbol,
                "bucket": buckets[symbol],
                "quantity": held["quantity"],
                "price": price / SCALE,
                "value": units * price / SCALE,
                "share": share,
                "cap": cap,
                "of_cap": share / cap if cap > 0.0 else None,
                "entry": held["cost"] / units / SCALE,
                "stop": held["stop"] / SCALE,
                "target": held["target"] / SCALE,
                "risk": max(0.0, lost) * abs(units) / equity,
                "pnl": (price * units - held["cost"]) / SCALE,
                "opened": held["opened"],
                "decision_id": held["decision_id"],
            }
        )
    return sorted(found, key=lambda name: -name["share"])


def _bucket(ledger: Ledger, book: str, held: Row) -> str:
    """Class of a position's name, as it was decided; unknown for one that was adopted.

    What was decided never changes: it is looked for once, since a large session's rows are many.
    """
    known, at = _DECIDED.setdefault(ledger, {}), (book, held["opened"], held["symbol"])
    if at in known:
        return known[at]
    rows = ledger.rows("session", book=book, session=held["opened"], kind="decision")
    rows = rows or ledger.rows("session", book=book, session=held["opened"], kind="universe")
    found = decision_rows(rows, held["symbol"])
    if not found:
        return str(Bucket.UNKNOWN.value)
    known[at] = str(found[0]["bucket"])
    return known[at]


def _distances(
    row: Row, policy: Policy, lim: Limits, *, names: Iterable[Row], usage: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """Each limit with what of it is used; the figure that is unknown has no share."""
    loss = None if row["day_pnl"] is None else max(0.0, -row["day_pnl"])
    every = list(names)
    found = [
        ("day_loss", "day loss, kill switch", loss, -policy.risk.kill_day_pnl),
        ("drawdown", "drawdown, guard", row["drawdown"], policy.risk.drawdown_guard[0]),
        ("gross", "gross exposure", sum(n["share"] for n in every), lim.max_leverage),
        ("open_risk", "open risk to the stops", sum(n["risk"] for n in every), _risk_limit(lim)),
    ]
    for bucket in _TRADED:
        name, of = str(bucket.value), usage.get(str(bucket.value))
        if of is None:
            continue
        largest = max((n["share"] for n in every if n["bucket"] == name), default=0.0)
        found.append((f"bucket:{name}", f"{name} bucket", of["used"], of["limit"]))
        cap = lim.name[CODE[bucket]]
        found.append((f"largest:{name}", f"largest {name} name", largest, cap))
    return [_distance(*each) for each in found]


def _risk_limit(lim: Limits) -> float:
    """Share of equity that stops may lose together: there the heat leaves no size."""
    return lim.heat_limit * lim.loss_limit


def _distance(name: str, label: str, used: float | None, limit: float) -> dict[str, Any]:
    share = None if used is None or limit <= 0.0 else round(used / limit, 12)  # 0.02 of 0.025
    warn = share is None or share >= WARN
    return {
        "name": name,
        "label": label,
        "used": used,
        "limit": limit,
        "share": share,
        "warn": warn,
    }
