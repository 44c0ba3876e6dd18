"""How what is decided, ordered, held and compared is shown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hybridnb.app.displays import Shown, money, pairs, plain_fields, share, table_of
from hybridnb.domain import Refusal


def order(value: Any) -> Shown:
    """An order."""
    found = value if isinstance(value, Mapping) else plain_fields(value)
    return pairs(
        f"{found['side']} {found['quantity']:,} {found['symbol']}, {found['leg']}",
        {
            "state": str(found["state"]),
            "type": str(found["type"]),
            "filled": f"{found['filled']:,} of {found['quantity']:,}",
            "limit": money(found["limit"]),
            "stop": money(found["stop"]),
            "refused": refused(found["refusals"]),
            "note": found["note"],
            "order": found["client_id"],
            "decision": found["decision_id"],
        },
    )


def fill(value: Any) -> Shown:
    """An execution with its costs."""
    found = value if isinstance(value, Mapping) else plain_fields(value)
    worth = found["reference"] * found["quantity"]
    return pairs(
        f"{found['side']} {found['quantity']:,} {found['symbol']} at {money(found['price'])}",
        {
            "leg": str(found["leg"]),
            "reference": money(found["reference"]),
            "slippage": money(found["slippage"]),
            "slippage, bps": 1e4 * found["slippage"] / worth if worth else None,
            "commission": money(found["commission"]),
            "at": found["at"],
            "order": found["client_id"],
        },
    )


def position(value: Any) -> Shown:
    """An open position with its levels."""
    return pairs(f"{value.quantity:,} {value.symbol}", _position(value))


def _position(value: Any) -> dict[str, Any]:
    return {
        "entry": money(round(value.entry)),
        "stop": money(value.stop),
        "target": money(value.target),
        "best": money(value.best),
        "cost": money(value.cost),
        "fees": money(value.fees),
        "opened": value.opened,
        "decision": value.decision_id,
    }


def book(value: Any) -> Shown:
    """An account: cash and what is held."""
    rows = [
        {"symbol": s, "quantity": p.quantity, **_position(p)}
        for s, p in sorted(value.positions.items())
    ]
    sip = f", {value.sip_units:,} SIP units" if value.sip_units else ""
    return table_of(
        f"Book: cash {money(value.cash)}{sip}",
        rows,
        note="" if rows else "Nothing is held.",
    )


def decision(row: Mapping[str, Any]) -> Shown:
    """A recorded decision."""
    codes = dict.fromkeys([*row["ineligible"], *row["refusals"]])
    return pairs(
        f"{row['symbol']} on {row['session']}: {row['action']}",
        {
            "score": row["score"],
            "confidence": row["confidence"],
            **{name: row["inputs"][name] for name in ("p_short", "p_mid", "rl")},
            **{f"− {n}": row[n] for n in ("volatility", "news", "illiquid", "decorrelated")},
            "wanted size": share(row["size_pre"]),
            "size after risk": share(row["size_post_risk"]),
            "bound by": row["bound"],
            "refused": refused(codes),
            "reasons": row["reasons"],
            "decision": row["decision_id"],
        },
    )


def explored(value: Any) -> Shown:
    """A decision opened up, with the picture of its score."""
    found = decision(value.row)
    return Shown(found.title, found.head, found.rows, found.note, (value.waterfall().svg,))


def score(value: Any) -> Shown:
    """A blend, term by term."""
    names = {1: "BUY", -1: "SELL", 0: "HOLD"}
    found = value._asdict()
    return pairs(f"Score: {names[found.pop('action')]}", found)


def refused(codes: Any) -> str:
    """Refusals with the sentence behind each code; empty for none."""
    return "; ".join(f"{code}: {Refusal[code].text}" for code in codes)


def change(value: Any) -> Shown:
    """What a reply changes, or would."""
    return pairs(value.key, {n: v for n, v in plain_fields(value).items() if n != "key"})


def in_force(value: Any) -> Shown:
    """A session under its replies: every diff from the operator's values."""
    rows = [
        {"what": what, "key": c.key, "before": _value(c.before), "after": _value(c.after),
         "why": c.reason}
        for what, found in (
            ("changed", value.changes),
            ("proposed", value.proposals),
            ("passed over", value.passed_over),
        )
        for c in found
    ]  # fmt: skip
    sources = ", ".join(value.sources) or "none"
    return table_of("Replies in force", rows, note=f"replies that hold: {sources}")


def _value(found: Any) -> Any:
    return found if isinstance(found, (int, float, str, bool)) or found is None else str(found)


def comparison(value: Any) -> Shown:
    """A session run again, field by field."""
    rows = [{n: _value(v) for n, v in plain_fields(each).items()} for each in value.differences]
    return table_of(
        f"{value.book} {value.session}: {'equal' if value.equal else 'NOT equal'}",
        rows,
        note="; ".join([f"{sum(value.compared.values()):,} rows compared", *value.notes]),
    )


def difference(value: Any) -> Shown:
    """A field that differs, with both its values."""
    title = " ".join(filter(None, (value.kind, value.key, value.field)))
    return pairs(title, {"recorded": _value(value.recorded), "again": _value(value.again)})


def traded(value: Any) -> Shown:
    """A session as the ledger holds it."""
    return pairs(f"{value.book}, {value.session}", value.summary())
