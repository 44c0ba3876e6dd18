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

# Findings without which the leakage gate has no evidence; one may be made for several models.
LEAKAGE = ("time order", "windowing", "label alignment", "cut-off", "scaling")
SENTINEL = ("permutation test", "planted leak")
DAYS, TRADES = "daily net returns of the backtest", "closed trades of the backtest"


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
        gate("performance", _performance(evidence, t)),
        gate("risk", _risk(evidence, t)),
        gate("calibration", _calibration(evidence, t, seed)),
        gate("stress", _stress(evidence)),
        gate("leakage", _leakage(evidence)),
        gate("drift", _checks("drift", evidence.drift)),
        gate("live consistency", _live(evidence, t)),
    )


def overall(gates: Sequence[Gate]) -> Status:
    """FAIL if any gate fails, else INSUFFICIENT_EVIDENCE if any lacks evidence, else PASS."""
    found = {gate.status for gate in gates}
    worst = (Status.FAIL, Status.INSUFFICIENT_EVIDENCE)
    return next((status for status in worst if status in found), Status.PASS)


def gate(name: str, figures: Sequence[Figure]) -> Gate:
    failed = [f.name for f in figures if f.passed is False]
    unknown = [f.name for f in figures if f.passed is None]
    if failed:
        return Gate(name, Status.FAIL, tuple(figures), f"below the bar: {', '.join(failed)}")
    if unknown or not figures:
        missing = ", ".join(unknown) or name
        return Gate(name, Status.INSUFFICIENT_EVIDENCE, tuple(figures), f"missing: {missing}")
    return Gate(name, Status.PASS, tuple(figures), "every figure holds")


def figure(
    name: str, value: float | None, comparison: str, threshold: float, *, n: int, source: str
) -> Figure:
    if value is None or math.isnan(value):
        return Figure(name, None, comparison, threshold, n, None, source)
    # 1 − 0.85 is above 0.15 in its last bit: a rounding must not decide at the boundary.
    level = math.isclose(value, threshold, rel_tol=1e-12)
    passed = {
        ">=": value >= threshold or level,
        "<=": value <= threshold or level,
        ">": value > threshold and not level,
    }[comparison]
    return Figure(name, value, comparison, threshold, n, passed, source)


def _performance(e: Evidence, t: Thresholds) -> list[Figure]:
    days, trades, tried = len(e.returns), len(e.pnl), e.trials or 0
    sharpe, enough = metrics.sharpe(e.returns), True if trades >= t.trades else None
    rate, factor = metrics.win_rate(e.pnl), metrics.profit_factor(e.pnl)
    if trades and np.ptp(e.pnl) == 0.0:  # trades that all came to the same tell nothing
        rate = factor = math.nan
    return [
        figure("Sharpe", sharpe, ">=", t.sharpe, n=days, source=DAYS),
        figure("win rate", rate, ">=", t.win_rate, n=trades, source=TRADES),
        figure("profit factor", factor, ">=", t.profit_factor, n=trades, source=TRADES),
        Figure("trades", trades, ">=", t.trades, trades, enough, TRADES),
        figure(
            *("deflated Sharpe", _deflated(e), ">=", t.deflated_sharpe),
            n=days,
            source=f"{DAYS}, {tried} trials counted",
        ),
        _pbo(e, t),
    ]


def _pbo(e: Evidence, t: Thresholds) -> Figure:
    """What isn't known of it has no value, whatever figure the check carries."""
    if e.pbo is None or e.pbo.status is Status.INSUFFICIENT_EVIDENCE:
        n, why = (e.pbo.n, e.pbo.detail) if e.pbo else (0, "nobody compared configurations")
        return Figure("PBO", None, "<=", t.pbo, n, None, why)
    return figure("PBO", e.pbo.value, "<=", t.pbo, n=e.pbo.n, source=e.pbo.detail)


def _deflated(e: Evidence) -> float | None:
    """None without a Sharpe ratio, a count of trials, or the variance that several leave."""
    ratio = metrics.sharpe(e.returns, per_year=1)
    if math.isnan(ratio) or not e.trials or (e.trials > 1 and e.trial_variance is None):
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
    deepest = metrics.max_drawdown(equity) if days else None
    swing = metrics.annual_volatility(e.returns)
    return [
        figure("drawdown", deepest, "<=", t.drawdown, n=days, source=DAYS),
        figure("volatility", swing, "<=", t.volatility, n=days, source=DAYS),
        figure("longest losing run", run, "<=", limit, n=trades, source=TRADES),
    ]


def _calibration(e: Evidence, t: Thresholds, seed: int) -> list[Figure]:
    n, source = min(len(e.outcomes), len(e.probabilities)), "calibrated probabilities and outcomes"
    if n < t.outcomes:
        return [Figure("outcomes", n, ">=", t.outcomes, n, None, source)]
    y, p = e.outcomes, e.probabilities
    score = metrics.brier(y, p)  # refuses what isn't outcomes and probabilities
    bound = _skill_bound(y, p, t, seed)
    return [
        figure("Brier", score, "<=", t.brier, n=n, source=source),
        figure("Brier skill, lower bound", bound, ">", 0.0, n=n, source=source),
        figure("ECE", metrics.ece(y, p), "<=", t.ece, n=n, source=source),
    ]


def _skill_bound(y: Floats, p: Floats, t: Thresholds, seed: int) -> float:
    """Lower bound of the Brier skill: stationary bootstrap over rows in order (arch).

    NaN where all outcomes are equal: there is no base rate to beat.
    """
    from arch.bootstrap import StationaryBootstrap, optimal_block_length

    if np.ptp(y) == 0.0:
        return math.nan
    gain = (y - y.mean()) ** 2 - (y - p) ** 2
    if np.ptp(gain) == 0.0:
        return metrics.brier_skill(y, p)
    wanted = float(optimal_block_length(gain)["stationary"].iloc[0])
    length = math.ceil(wanted) if wanted > 1.0 else 1  # NaN for a gain that hardly varies
    drawn = StationaryBootstrap(length, y, p, seed=seed)
    found = drawn.apply(lambda a, b: np.array([metrics.brier_skill(a, b)]), t.bootstraps)[:, 0]
    return float(np.quantile(found[np.isfinite(found)], 1.0 - t.confidence))


def _stress(e: Evidence) -> list[Figure]:
    """All eight scenarios; a base that earns nothing fails by itself, whatever they say."""
    days = len(e.returns)
    gain = float(np.prod(1.0 + e.returns)) - 1.0 if days else None
    return [
        figure("base P&L", gain, ">", 0.0, n=days, source=DAYS),
        figure("base Sharpe", metrics.sharpe(e.returns), ">", 0.0, n=days, source=DAYS),
        *_checks("stress", e.stress, needed=SCENARIOS, comparison="against"),
    ]


def _leakage(e: Evidence) -> list[Figure]:
    return [
        *_checks("leakage", e.leakage, needed=LEAKAGE),
        *_checks("sentinel", e.sentinel, needed=SENTINEL),
    ]


def _live(e: Evidence, t: Thresholds) -> list[Figure]:
    name, source = "live / backtest Sharpe", "daily net returns of the live or demo book"
    n = e.live_sessions
    return [figure(name, e.live_share, ">=", t.live_share, n=n, source=source)]


def _checks(
    name: str,
    checks: Sequence[Check] | None,
    *,
    needed: Sequence[str] = (),
    comparison: str = "<=",
) -> list[Figure]:
    """A figure a check, and one without a value for each needed check that nobody made.

    What follows a comma in a check's name says of which model it is. A check's own status
    decides: `comparison` only says how its figure stands to its threshold.
    """
    if not checks and not needed:
        return [Figure(name, None, "", None, 0, None)]
    checks = checks or ()
    known = {Status.PASS: True, Status.FAIL: False, Status.INSUFFICIENT_EVIDENCE: None}
    made = {c.name.partition(",")[0] for c in checks}
    return [
        *(
            Figure(
                *(c.name, c.value, "" if c.threshold is None else comparison, c.threshold),
                *(c.n, known[c.status], c.detail),
            )
            for c in checks
        ),
        *(Figure(other, None, "", None, 0, None) for other in needed if other not in made),
    ]
