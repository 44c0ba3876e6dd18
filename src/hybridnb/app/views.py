"""Ledger rows as tables that people read: prices and money in account units, shares in percent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from hybridnb.app.records import decision_rows
from hybridnb.domain import SCALE, Refusal
from hybridnb.ports import Finding, MarketData

Rows = Sequence[Mapping[str, Any]]
TERMS = ("p_short", "p_mid", "rl")
PENALTIES = ("volatility", "news", "illiquid", "decorrelated")
MULTIPLIERS = ("m_volatility", "m_var", "m_es", "m_heat", "m_crisis", "m_posture")


def market(found: MarketData, features: pd.DataFrame) -> pd.DataFrame:
    """Every symbol of a feed: bucket, sessions, last close, traded value."""
    last = features.groupby("symbol").tail(1).set_index("symbol")
    sizes = found.bars.groupby("symbol")["session"].agg(["size", "min", "max"])
    return pd.DataFrame(
        {
            "bucket": [str(found.instruments[s].bucket) for s in sizes.index],
            "sessions": sizes["size"],
            "first": sizes["min"].dt.strftime("%Y-%m-%d"),
            "last": sizes["max"].dt.strftime("%Y-%m-%d"),
            "close": last["close"].reindex(sizes.index).round(4),
            "ADV, millions": (last["adv"].reindex(sizes.index) / 1e6).round(3),
        }
    )


def findings(found: Sequence[Finding]) -> pd.DataFrame:
    """What the quality checks found, the gravest first."""
    grave = {"critical": 0, "error": 1, "warning": 2}
    rows = sorted(found, key=lambda f: (grave[f.severity], f.symbol))
    columns = ["severity", "check", "symbol", "session", "detail"]
    return pd.DataFrame([{c: getattr(f, c) for c in columns} for f in rows], columns=columns)


def of_kind(rows: Rows, kind: str) -> list[Mapping[str, Any]]:
    """The rows of one kind, in order; decisions one by one, however they were recorded."""
    if kind == "decision":
        return decision_rows(rows)
    return [row for row in rows if row["kind"] == kind]


def decisions(rows: Rows) -> pd.DataFrame:
    """Every decision: terms, penalties, score, sizes, the bound and why an entry was refused."""
    found = of_kind(rows, "decision")
    return pd.DataFrame(
        {
            "symbol": [r["symbol"] for r in found],
            "bucket": [r["bucket"] for r in found],
            "action": [r["action"] for r in found],
            "score": [r["score"] for r in found],
            **{n: [r["inputs"][n] for r in found] for n in TERMS},
            **{n: [r[n] for r in found] for n in ("base", *PENALTIES)},
            "confidence": [r["confidence"] for r in found],
            "size_pre": [r["size_pre"] for r in found],
            "capped": [r["capped"] for r in found],
            **{n: [r[n] for r in found] for n in MULTIPLIERS},
            "size_post_risk": [r["size_post_risk"] for r in found],
            "bound": [r["bound"] for r in found],
            "refused": [", ".join(r["refusals"]) for r in found],
            "reasons": [", ".join(r["reasons"]) for r in found],
        }
    )


def orders(rows: Rows) -> pd.DataFrame:
    """The last state of every order, in the order in which they were made."""
    last: dict[str, Mapping[str, Any]] = {}
    for row in of_kind(rows, "order"):
        last[row["client_id"]] = row
    return pd.DataFrame(
        [
            {
                "symbol": r["symbol"],
                "side": r["side"],
                "leg": r["leg"],
                "type": r["type"],
                "quantity": r["quantity"],
                "filled": r["filled"],
                "stop": _money(r["stop"]),
                "limit": _money(r["limit"]),
                "state": r["state"],
                "refused": ", ".join(r["refusals"]),
            }
            for r in last.values()
        ],
        columns=[
            *("symbol", "side", "leg", "type", "quantity", "filled"),
            *("stop", "limit", "state", "refused"),
        ],
    )


def fills(rows: Rows) -> pd.DataFrame:
    """Executions with their costs; slippage also in bps of the reference price."""
    found = of_kind(rows, "fill")
    return pd.DataFrame(
        [
            {
                "symbol": r["symbol"],
                "side": r["side"],
                "leg": r["leg"],
                "quantity": r["quantity"],
                "price": r["price"] / SCALE,
                "commission": r["commission"] / SCALE,
                "slippage": r["slippage"] / SCALE,
                "slippage_bps": 1e4 * r["slippage"] / (r["reference"] * r["quantity"]),
            }
            for r in found
        ],
        columns=[
            *("symbol", "side", "leg", "quantity"),
            *("price", "commission", "slippage", "slippage_bps"),
        ],
    )


def trades(rows: Rows) -> pd.DataFrame:
    """Closed trades."""
    columns = ["timestamp", "symbol", "direction", "quantity", "entry_price", "exit_price"]
    table = pd.DataFrame(of_kind(rows, "trade"), columns=[*columns, "pnl", "exit_leg"])
    return table.assign(pnl=table["pnl"] / SCALE)


def positions(snapshot: Mapping[str, Any], prices: Mapping[str, int]) -> pd.DataFrame:
    """What is held after a session, with its protective levels."""
    held = snapshot["book"]["positions"]
    return pd.DataFrame(
        [
            {
                "symbol": s,
                "quantity": p["quantity"],
                "entry": p["cost"] / (p["quantity"] * p["multiplier"]) / SCALE,
                "price": prices[s] / SCALE,
                "stop": p["stop"] / SCALE,
                "target": p["target"] / SCALE,
                "unrealised": (p["quantity"] * p["multiplier"] * prices[s] - p["cost"]) / SCALE,
            }
            for s, p in sorted(held.items())
        ],
        columns=["symbol", "quantity", "entry", "price", "stop", "target", "unrealised"],
    )


def refusals(rows: Rows) -> pd.DataFrame:
    """Why entries were refused or would have been, with the sentence behind each code."""
    found = [
        (row["symbol"], row["action"], code, Refusal[code].text)
        for row in of_kind(rows, "decision")
        for code in dict.fromkeys([*row["ineligible"], *row["refusals"]])
    ]
    return pd.DataFrame(found, columns=["symbol", "action", "code", "reason"])


def gates(verdict: Mapping[str, Any]) -> pd.DataFrame:
    """Every figure of every gate beside its threshold, and what it was computed from."""
    states = {True: "holds", False: "missed", None: "not enough evidence"}
    return pd.DataFrame(
        [
            {
                "gate": gate["name"],
                "status": gate["status"],
                "figure": figure["name"],
                "value": figure["value"],
                "threshold": f"{figure['comparison']} {figure['threshold']:g}"
                if figure["threshold"] is not None
                else "",
                "n": figure["n"],
                "state": states[figure["passed"]],
                "of": figure["source"],
            }
            for gate in verdict["gates"]
            for figure in gate["figures"]
        ]
    )


def _money(units: int | None) -> float | None:
    return None if units is None else units / SCALE
