"""Success metrics and service levels of a book, each computed from the ledger's rows.

Nothing is assumed: what too few rows tell has no value, and says what it waits for.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from hybridnb import metrics
from hybridnb.app.session_gates import GATES, gated
from hybridnb.domain import Status
from hybridnb.escalation.quota import RESERVED
from hybridnb.gates.evidence import Figure
from hybridnb.gates.rules import Thresholds, figure
from hybridnb.ledger.store import Ledger

Row = Mapping[str, Any]
SESSIONS = 60  # that a Sharpe ratio is measured over, at least (D42)
TRADES = 30  # closed ones behind a win rate, at least
MONTH = 21  # sessions
GATED = 20  # sessions whose risk gates are read


@dataclass(frozen=True, slots=True)
class Levels:
    """Service levels; what a book earns is held against the gates' own bars."""

    traded: float = 0.995  # share of the exchange's sessions
    calls: float = 3.0  # a session on average, fewer
    kills: float = 1.0  # a month, fewer
    trained: float = 0.95  # share of trainings
    passed: float = 0.70  # share of gates
    slippage: float = 5.0  # bps on average; D23


LEVELS, BARS = Levels(), Thresholds()


def success(ledger: Ledger, book: str) -> tuple[Figure, ...]:
    """Every figure of a book beside its bar.

    Returns
    -------
    tuple of Figure
        `passed` is None where there is too little to tell, and `source` says of what.
    """
    closed = ledger.rows("session", kind="session_closed", book=book)
    if not closed:
        return ()
    verdict = _verdict(ledger, book)
    return (
        *_result(ledger, book, closed),
        _of_verdict(verdict, "ECE", "<=", BARS.ece),
        _of_verdict(verdict, "live / backtest Sharpe", ">=", BARS.live_share),
        *_service(ledger, book, closed),
        *_gates(ledger, book),
        _costs(ledger, book),
    )


def _result(ledger: Ledger, book: str, closed: Sequence[Row]) -> list[Figure]:
    """What the book earned, over all of its sessions."""
    pnl = [row["pnl"] for row in ledger.rows("session", kind="trade", book=book)]
    days, trades = len(closed), len(pnl)
    sharpe = metrics.sharpe([row["day_pnl"] for row in closed]) if days >= SESSIONS else None
    rate = metrics.win_rate(pnl) if trades >= TRADES else None
    equity = [closed[0]["equity"] / (1.0 + closed[0]["day_pnl"]), *(r["equity"] for r in closed)]
    deepest = metrics.max_drawdown(equity)
    told = f"daily P&L of the book, {SESSIONS} sessions needed"
    return [
        figure("Sharpe", sharpe, ">=", BARS.sharpe, n=days, source=told),
        figure(
            "win rate", rate, ">=", BARS.win_rate, n=trades, source=f"{TRADES} closed trades needed"
        ),
        figure("drawdown", deepest, "<=", BARS.drawdown, n=days, source="equity at the closes"),
    ]


def _verdict(ledger: Ledger, book: str) -> Row | None:
    """The newest verdict on a model of the book's feed."""
    feeds = {row["feed"] for row in ledger.rows("session", kind="inputs", book=book)}
    found = [r for r in ledger.rows("operations", kind="verdict") if r["feed"] in feeds]
    return found[-1] if found else None


def _of_verdict(verdict: Row | None, name: str, comparison: str, bar: float) -> Figure:
    source = "newest verdict" if verdict else "no verdict yet"
    every = [f for gate in verdict["gates"] for f in gate["figures"]] if verdict else []
    found = next((f for f in every if f["name"] == name), None)
    value, n = (found["value"], found["n"]) if found else (None, 0)
    return figure(name, value, comparison, bar, n=n, source=source)


def _service(ledger: Ledger, book: str, closed: Sequence[Row]) -> list[Figure]:
    """Sessions traded of those the exchange held, calls, kills, trainings, gates."""
    first, last = (row["snapshot"]["risk"]["ordinal"] for row in (closed[0], closed[-1]))
    held = last - first + 1
    opened = ledger.rows("session", kind="session_opened", book=book)
    decided = sum(bool(row["decided"]) for row in opened)
    sent = ledger.rows("operations", kind=RESERVED)
    kills = sum(row["snapshot"]["risk"]["killed"] for row in closed)
    runs = ledger.rows("operations", kind="run", job="training")
    done = sum(row["status"] == "completed" for row in runs)
    verdicts = ledger.rows("operations", kind="verdict")
    gates = [gate["status"] == Status.PASS for row in verdicts for gate in row["gates"]]
    monthly = kills / (held / MONTH) if held >= MONTH else None
    asked = "calls reserved, over sessions"
    return [
        figure(
            "sessions traded",
            decided / held,
            ">=",
            LEVELS.traded,
            n=held,
            source="exchange sessions",
        ),
        _below("calls a session", len(sent) / held, LEVELS.calls, n=len(sent), source=asked),
        _below(
            "kill switches a month",
            monthly,
            LEVELS.kills,
            n=held,
            source=f"{MONTH} sessions needed",
        ),
        figure(
            "trainings completed",
            _share(done, runs),
            ">=",
            LEVELS.trained,
            n=len(runs),
            source="runs",
        ),
        figure(
            *("gates passed", _share(sum(gates), gates), ">=", LEVELS.passed),
            n=len(gates),
            source="gates of all verdicts",
        ),
    ]


def _below(name: str, value: float | None, bar: float, *, n: int, source: str) -> Figure:
    passed = None if value is None else value < bar
    return Figure(name, value, "<", bar, n, passed, source)


def _share(count: int, of: Sequence[Any]) -> float | None:
    return count / len(of) if of else None


def _gates(ledger: Ledger, book: str) -> list[Figure]:
    """Share of the last sessions in which each risk gate held, of those that tell."""
    found = gated(ledger, book, last=GATED)
    figures = []
    for name in GATES[:3]:
        told = [bool(g.gates[name].ok) for g in found if g.gates[name].ok is not None]
        source = f"last {GATED} sessions"
        figures.append(figure(name, _share(sum(told), told), ">=", 1.0, n=len(told), source=source))
    return figures


def _costs(ledger: Ledger, book: str) -> Figure:
    fills = ledger.rows("session", kind="fill", book=book)
    paid = [1e4 * row["slippage"] / (row["reference"] * row["quantity"]) for row in fills]
    value = float(np.mean(paid)) if paid else None
    return figure(
        "slippage, bps", value, "<=", LEVELS.slippage, n=len(paid), source="mean over fills"
    )


def success_frame(found: Sequence[Figure]) -> pd.DataFrame:
    """One row a figure, in words."""
    words = {True: "holds", False: "missed", None: "not enough evidence"}
    return pd.DataFrame(
        [
            {
                "figure": f.name,
                "value": "–" if f.value is None or math.isnan(f.value) else f"{f.value:.4g}",
                "bar": f"{f.comparison} {f.threshold:g}",
                "n": f.n,
                "state": words[f.passed],
                "of": f.source,
            }
            for f in found
        ],
        columns=["figure", "value", "bar", "n", "state", "of"],
    )
