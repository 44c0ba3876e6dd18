"""Success metrics and service levels of a book, each computed from the ledger's rows.

Nothing is assumed: what too few rows tell isn't known, and says what it waits for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from hybridnb import metrics
from hybridnb.app.session_gates import GATES, gated
from hybridnb.domain import Status
from hybridnb.escalation.quota import RESERVED
from hybridnb.gates.evidence import Figure
from hybridnb.gates.presets import Measured, service
from hybridnb.ledger.store import Ledger

Row = Mapping[str, Any]
MONTH = 21  # sessions
GATED = 20  # latest sessions whose risk gates are read


def success(ledger: Ledger, book: str) -> tuple[Figure, ...]:
    """Every figure of a book beside its bar, none without a closed session.

    Latencies are the performance manifest's, and feedback isn't recorded: they stay unknown.

    Returns
    -------
    tuple of Figure
        `passed` is None where there is too little to tell.
    """
    closed = ledger.rows("session", kind="session_closed", book=book)
    if not closed:
        return ()
    found = {
        **_result(ledger, book, closed),
        **_of_verdict(_verdict(ledger, book)),
        **_service(ledger, book, closed),
        **_runs(ledger),
        **_gates(ledger, book),
        "slippage": _slippage(ledger, book),
    }
    return service({name: each for name, each in found.items() if each is not None}).figures


def _result(ledger: Ledger, book: str, closed: Sequence[Row]) -> dict[str, Measured]:
    """What the book earned, over all of its sessions."""
    pnl = [row["pnl"] for row in ledger.rows("session", kind="trade", book=book)]
    equity = [closed[0]["equity"] / (1.0 + closed[0]["day_pnl"]), *(r["equity"] for r in closed)]
    return {
        "sharpe": Measured(metrics.sharpe([row["day_pnl"] for row in closed]), len(closed)),
        "win_rate": Measured(metrics.win_rate(pnl), len(pnl)),
        "drawdown": Measured(metrics.max_drawdown(equity), len(closed)),
    }


def _verdict(ledger: Ledger, book: str) -> Row | None:
    """The newest verdict on a model of the book's feed."""
    feeds = {row["feed"] for row in ledger.rows("session", kind="inputs", book=book)}
    found = [r for r in ledger.rows("operations", kind="verdict") if r["feed"] in feeds]
    return found[-1] if found else None


def _of_verdict(verdict: Row | None) -> dict[str, Measured]:
    every = [f for gate in verdict["gates"] for f in gate["figures"]] if verdict else []
    names = {"ECE": "ece", "live / backtest Sharpe": "live_share"}
    return {
        names[f["name"]]: Measured(f["value"], f["n"])
        for f in every
        if f["name"] in names and f["value"] is not None
    }


def _service(ledger: Ledger, book: str, closed: Sequence[Row]) -> dict[str, Measured]:
    """Sessions traded of those that the exchange held, calls a session, kills a month."""
    first, last = (row["snapshot"]["risk"]["ordinal"] for row in (closed[0], closed[-1]))
    held = last - first + 1
    opened = ledger.rows("session", kind="session_opened", book=book)
    decided = sum(bool(row["decided"]) for row in opened)
    asked = len(ledger.rows("operations", kind=RESERVED))
    kills = sum(row["snapshot"]["risk"]["killed"] for row in closed)
    return {
        "uptime": Measured(decided / held, held),
        "calls": Measured(asked / held, held),
        "kills": Measured(kills / (held / MONTH), held),
    }


def _runs(ledger: Ledger) -> dict[str, Measured | None]:
    runs = ledger.rows("operations", kind="run", job="training")
    verdicts = ledger.rows("operations", kind="verdict")
    gates = [gate["status"] == Status.PASS for row in verdicts for gate in row["gates"]]
    return {
        "training": _share([row["status"] == "completed" for row in runs]),
        "gates": _share(gates),
    }


def _share(held: Sequence[bool]) -> Measured | None:
    return Measured(sum(held) / len(held), len(held)) if held else None


def _gates(ledger: Ledger, book: str) -> dict[str, Measured | None]:
    """The risk gates of the last sessions, where they tell."""
    found = gated(ledger, book, last=GATED)
    told = {
        name: [bool(g.gates[name].ok) for g in found if g.gates[name].ok is not None]
        for name in GATES
    }
    limits = told["no limit breach"]
    return {
        "buckets": _share(told["bucket compliance"]),
        "breaches": Measured(limits.count(False), len(limits)) if limits else None,
        "stops": _share(told["every stop executed"]),
    }


def _slippage(ledger: Ledger, book: str) -> Measured | None:
    fills = ledger.rows("session", kind="fill", book=book)
    paid = [1e4 * row["slippage"] / (row["reference"] * row["quantity"]) for row in fills]
    return Measured(float(np.mean(paid)), len(paid)) if paid else None


def success_frame(found: Sequence[Figure]) -> pd.DataFrame:
    """One row a figure, in words."""
    words = {True: "holds", False: "missed", None: "not enough evidence"}
    return pd.DataFrame(
        [
            {
                "figure": f.name,
                "value": "–" if f.value is None else f"{f.value:.4g}",
                "bar": "" if f.threshold is None else f"{f.comparison} {f.threshold:g}",
                "n": f.n,
                "state": words[f.passed],
                "of": f.source,
            }
            for f in found
        ],
        columns=["figure", "value", "bar", "n", "state", "of"],
    )
