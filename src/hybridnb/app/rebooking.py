"""A session's recorded fills booked again: what the account must have come to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from pydantic import TypeAdapter

from hybridnb.app.again import Recorded
from hybridnb.book import Book, Closing, apply_fill
from hybridnb.domain import SCALE, Bucket, Fill, Leg

Row = Mapping[str, Any]
_FILL = TypeAdapter(Fill)
_HEAD = ("kind", "book", "session", "n")
_TRADE = ("symbol", "quantity", "entry_price", "exit_price", "pnl", "exit_leg")
_HELD = ("quantity", "cost", "fees")


def rebook(one: Recorded) -> tuple[list[Row], list[Row], tuple[str, ...]]:
    """Fills with their slippage, trades, and the closing account: as recorded, and booked again.

    Returns
    -------
    tuple
        Recorded rows, the same made again, and what couldn't be.
    """
    if one.of_kind("adopted"):
        return [], [], (f"{one.session}: an account was adopted: not booked again",)
    times = _multipliers(one)
    unknown = sorted({f["symbol"] for f in one.of_kind("fill")} - times.keys())
    if unknown:
        return [], [], (f"the multiplier of {', '.join(unknown)} isn't recorded: not booked again",)
    book, fills, trades = one.state.book, [], []
    for row in one.rows:
        if row["kind"] == "sip":
            book = replace(book, sip_carry=row["carry"])
        if row["kind"] == "commission":
            book = _recosted(book, row, one.of_kind("fill"))
        if row["kind"] != "fill":
            continue
        fill = _FILL.validate_python({k: v for k, v in row.items() if k not in _HEAD})
        many = times[fill.symbol]
        slip = abs(fill.price - fill.reference) * fill.quantity * many
        fills.append({"kind": "fill", "fill_id": fill.fill_id, "slippage": slip})
        try:
            book, closing = apply_fill(
                book, fill, atr=0.0, multiplier=many, decision_id="", at=one.session
            )
        except ValueError as error:
            return [], [], (f"{one.session}: the recorded fills can't be booked: {error}",)
        if closing is not None:
            trades.append(_trade(fill, closing))
    recorded: list[Row] = [_kept(row, ("fill_id", "slippage")) for row in one.of_kind("fill")]
    recorded += [_kept(row, _TRADE) for row in one.of_kind("trade")]
    recorded.append(_closing(one.closed["snapshot"]["book"], one.closed["equity"]))
    return recorded, [*fills, *trades, _again(one, book)], ()


def _recosted(book: Book, row: Row, fills: list[Row]) -> Book:
    """A commission that was told after its fill: an entry's belongs to what it opened."""
    book, held = replace(book, cash=book.cash - row["more"]), book.positions.get(row["symbol"])
    entered = any(f["leg"] == Leg.ENTRY for f in fills if f["fill_id"] == row["fill_id"])
    if held is None or not entered:
        return book
    paid = replace(held, fees=held.fees + row["more"])
    return replace(book, positions={**book.positions, row["symbol"]: paid})


def _multipliers(one: Recorded) -> dict[str, int]:
    """Of the symbols that filled, where it is recorded; outside F&O it is 1."""
    classes = {symbol: row["bucket"] for symbol, row in one.decisions.items()}
    known = {s: p.multiplier for s, p in one.state.book.positions.items()}
    known |= {s: p["multiplier"] for s, p in one.closed["snapshot"]["book"]["positions"].items()}
    for row in one.of_kind("fill"):
        if classes.get(row["symbol"], Bucket.CORE) != Bucket.FNO or row["leg"] == Leg.SWEEP:
            known.setdefault(row["symbol"], 1)
    return known


def _kept(row: Row, names: tuple[str, ...]) -> dict[str, Any]:
    return {"kind": row["kind"], **{name: row[name] for name in names}}


def _trade(fill: Fill, closing: Closing) -> dict[str, Any]:
    return {
        "kind": "trade",
        "symbol": fill.symbol,
        "quantity": fill.quantity,
        "entry_price": closing.position.entry / SCALE,
        "exit_price": fill.price / SCALE,
        "pnl": closing.pnl,
        "exit_leg": str(fill.leg),
    }


def _again(one: Recorded, book: Book) -> dict[str, Any]:
    positions = {s: {n: getattr(p, n) for n in _HELD} for s, p in book.positions.items()}
    made = {
        "cash": book.cash,
        "sip_units": book.sip_units,
        "sip_carry": book.sip_carry,
        "positions": positions,
    }
    prices, equity = one.closed["prices"], int(one.closed["equity"])
    if not book.sip_units and book.positions.keys() <= prices.keys():
        held = (p.quantity * p.multiplier * prices[s] for s, p in book.positions.items())
        equity = book.cash + sum(held)
    return _closing(made, equity)


def _closing(book: Mapping[str, Any], equity: int) -> dict[str, Any]:
    positions = book["positions"].items()
    return {
        "kind": "session_closed",
        "equity": equity,
        "snapshot": {
            "book": {
                **{name: book[name] for name in ("cash", "sip_units", "sip_carry")},
                "positions": {s: {n: p[n] for n in _HELD} for s, p in sorted(positions)},
            }
        },
    }
