"""The seven gates: rules over evidence. All must pass; what is missing is not a pass."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hybridnb import metrics
from hybridnb.domain import Status
from hybridnb.gates.evidence import Check, Evidence, Figure, Floats, Gate

GATES = (
    *("performance", "risk", "calibration", "stress", "leakage", "drift"),
    "live consistency",
)
SCENARIOS = (
    *("flash crash", "stuck position", "partial fills", "exchange halt"),
    *("funding flip", "liquidity gone", "fee spike", "data gap"),
)


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Bars of the gates; ratios are annualised, shares are of 1."""

    sharpe: float = 1.0
    win_rate: float = 0.50
    profit_factor: float = 1.5
    trades: int = 30
    deflated_sharpe: float = 0.95
    pbo: float = 0.5
    drawdown: float = 0.15
    volatility: float = 0.30
    brier: float = 0.25
    ece: float = 0.10
    outcomes: int = 250
    bootstraps: int = 500
    confidence: float = 0.95
    live_share: float = 0.70


def review(evidence: Evidence, *, seed: int, bars: Thresholds | None = None) -> tuple[Gate, ...]:
    """Put the evidence before every gate.

    Parameters
    ----------
    seed : int
        Of the bootstrap interval of the Brier skill.

    Returns
    -------
    tuple of Gate
        In the order of `GATES`.
    """
    t = bars or Thresholds()
    return (
        _gate("performance", _performance(evidence, t)),
        _gate("risk", _risk(evidence, t)),
        _gate("calibration", _calibration(evidence, t, seed)),
        _gate("stress", _stress(evidence)),
        _gate("leakage", [*_checks("leakage", evidence.leakage), *_checks("sentinel", evidence.sentinel)]),
        _gate("drift", _checks("drift", evidence.drift)),
        _gate("live consistency", [_figure("live / backtest Sharpe", evidence.live_share, ">=", t.live_share, n=0)]),
    )


def overall(gates: Sequence[Gate]) -> Status:
    """FAIL if any gate fails, else INSUFFICIENT_EVIDENCE if any lacks evidence, else PASS."""
    found = {gate.status for gate in gates}
    worst = (Status.FAIL, Status.INSUFFICIENT_EVIDENCE)
    return next((status for status in worst if status in found), Status.PASS)


def _gate(name: str, figures: Sequence[Figure]) -> Gate:
    failed = [f.name for f in figures if f.passed is False]
    unknown = [f.name for f in figures if f.passed is None]
    if failed:
        return Gate(name, Status.FAIL, tuple(figures), f"below the bar: {', '.join(failed)}")
    if unknown or not figures:
        missing = ", ".join(unknown) or name
        return Gate(name, Status.INSUFFICIENT_EVIDENCE, tuple(figures), f"missing: {missing}")
    return Gate(name, Status.PASS, tuple(figures), "every figure holds")


def _figure(
    name: str, value: float | None, comparison: str, threshold: float, *, n: int
) -> Figure:
    if value is None or math.isnan(value):
        return Figure(name, None, comparison, threshold, n, None)
    passed = {
        ">=": value >= threshold,
        "<=": value <= threshold,
        ">": value > threshold,
    }[comparison]
    return Figure(name, value, comparison, threshold, n, passed)


def _performance(e: Evidence, t: Thresholds) -> list[Figure]:
    days, trades = len(e.returns), len(e.pnl)
    return [
        _figure("Sharpe", metrics.sharpe(e.returns), ">=", t.sharpe, n=days),
        _figure("win rate", metrics.win_rate(e.pnl), ">=", t.win_rate, n=trades),
        _figure("profit factor", metrics.profit_factor(e.pnl), ">=", t.profit_factor, n=trades),
        Figure("trades", trades, ">=", t.trades, trades, True if trades >= t.trades else None),
        _figure("deflated Sharpe", _deflated(e), ">=", t.deflated_sharpe, n=e.trials),
        _figure("PBO", e.pbo, "<=", t.pbo, n=e.trials),
    ]


def _deflated(e: Evidence) -> float | None:
    """None without a Sharpe ratio, or where several trials left no variance to deflate by."""
    ratio = metrics.sharpe(e.returns, per_year=1)
    if math.isnan(ratio) or (e.trials > 1 and e.trial_variance is None):
        return None
    skew, kurtosis = metrics.moments(e.returns)
    return metrics.dsr(
        ratio,
        n=len(e.returns),
        trials=e.trials,
        trial_variance=e.trial_variance or 0.0,
        skew=skew,
        kurtosis=kurtosis,
    )[0]


def _risk(e: Evidence, t: Thresholds) -> list[Figure]:
    days, trades = len(e.returns), len(e.pnl)
    equity = np.concatenate([[1.0], np.cumprod(1.0 + e.returns)])
    run: float | None = None
    limit = 5
    if trades:
        run = metrics.longest_losing_run(e.pnl)
        limit = metrics.losing_run_limit(trades, metrics.win_rate(e.pnl))
    return [
        _figure("drawdown", metrics.max_drawdown(equity) if days else None, "<=", t.drawdown, n=days),
        _figure("volatility", metrics.annual_volatility(e.returns), "<=", t.volatility, n=days),
        _figure("longest losing run", run, "<=", limit, n=trades),
    ]


def _calibration(e: Evidence, t: Thresholds, seed: int) -> list[Figure]:
    n = len(e.outcomes)
    if n < t.outcomes:
        return [Figure("outcomes", n, ">=", t.outcomes, n, None)]
    y, p = e.outcomes, e.probabilities
    return [
        _figure("Brier", metrics.brier(y, p), "<=", t.brier, n=n),
        _figure("Brier skill, lower bound", _skill_bound(y, p, t, seed), ">", 0.0, n=n),
        _figure("ECE", metrics.ece(y, p), "<=", t.ece, n=n),
    ]


def _skill_bound(y: Floats, p: Floats, t: Thresholds, seed: int) -> float:
    """Lower bound of the Brier skill: stationary bootstrap over rows in order (arch)."""
    from arch.bootstrap import StationaryBootstrap, optimal_block_length

    gain = (y - y.mean()) ** 2 - (y - p) ** 2
    if np.ptp(gain) == 0.0:
        return metrics.brier_skill(y, p)
    length = max(1.0, float(optimal_block_length(gain)["stationary"].iloc[0]))
    drawn = StationaryBootstrap(length, y, p, seed=seed)
    found = drawn.apply(lambda a, b: np.array([metrics.brier_skill(a, b)]), t.bootstraps)[:, 0]
    return float(np.quantile(found[np.isfinite(found)], 1.0 - t.confidence))


def _stress(e: Evidence) -> list[Figure]:
    passed = e.stress or {}
    return [
        Figure(name, None if name not in passed else float(passed[name]), "", None, 0, passed.get(name))
        for name in SCENARIOS
    ]


def _checks(name: str, checks: Sequence[Check] | None) -> list[Figure]:
    if not checks:
        return [Figure(name, None, "", None, 0, None)]
    known = {Status.PASS: True, Status.FAIL: False, Status.INSUFFICIENT_EVIDENCE: None}
    return [
        Figure(c.name, c.value, "<=" if c.threshold is not None else "", c.threshold, c.n, known[c.status])
        for c in checks
    ]
