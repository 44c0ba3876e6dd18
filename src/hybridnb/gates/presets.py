"""Presets: bars for a purpose, put before measured figures.

The gates bind what trades live; these say whether a model is worth a review, a canary step, full
size, or its keep. Each bar is one number with a name, a unit and a source, and a figure passes
only on a sample large enough for it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from hybridnb.domain import Status
from hybridnb.gates.calibration import REGIMES
from hybridnb.gates.evidence import Check, Figure, Gate
from hybridnb.gates.rules import SENTINEL, Thresholds, gate

YEAR, QUARTER = 252, 60  # sessions: a year; promotion's least (D42)
LATENCY = 10.0  # ms, of the 99.9 % slowest decision
GATE = Thresholds()
Comparison = Literal[">", ">=", "<", "<="]


@dataclass(frozen=True, slots=True)
class Measured:
    """A figure and the size of its sample, in the unit that its bar names."""

    value: float
    n: int


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar.

    Attributes
    ----------
    key : str
        Field of the preset's figures.
    name : str
        Which bar it is.
    comparison, threshold, unit
        What passes.
    least : int
        `counted` behind the figure below which it isn't known.
    counted, source : str
        What its sample counts; where the bar comes from.
    at_once : bool
        A miss counts however small the sample: a drawdown doesn't heal by waiting.
    """

    key: str
    name: str
    comparison: Comparison
    threshold: float
    unit: str
    least: int
    counted: str
    source: str
    at_once: bool = False


REVIEW = (
    Bar("sharpe", "Sharpe after costs", ">", 2.0, "a year", YEAR, "sessions", "D10, review"),
    Bar("drawdown", "paper drawdown", "<", 0.05, "of equity", QUARTER, "sessions", "D10", True),
    Bar("latency", "decision p99.9", "<", LATENCY, "ms", 10_000, "steps", "review"),
)
BRIER = Bar("brier", "Brier", "<", 0.20, "squared", 30, "outcomes", "D10, acceptance")
CANARY = (
    Bar("latency", "decision p99.9", "<=", LATENCY, "ms", 10_000, "steps", "rollback trigger"),
    Bar("errors", "error rate", "<=", 0.001, "of decisions", 100, "decisions", "rollback trigger"),
    Bar("drawdown", "drawdown", "<=", 0.02, "of capital", 100, "decisions", "D10, canary", True),
)
SHORTFALL = Bar(
    *("sharpe", "Sharpe below the champion's", "<", 0.20, "of the champion's"),
    *(100, "decisions", "rollback trigger"),
)
PAIRED = 0.95  # confidence at which the paired difference must be below zero, too
STREAK = "session risk gates, 10 in a row"
LIVE = (
    Bar("streak", STREAK, ">=", 10.0, "sessions", 10, "sessions", "promotion", True),
    Bar("sharpe", "Sharpe", ">", 0.8, "a year", QUARTER, "sessions", "D10, D42, promotion"),
    Bar("drawdown", "drawdown", "<", 0.08, "of equity", QUARTER, "sessions", "D10", True),
    Bar("kills", "kill switch", "<=", 0.0, "sessions", QUARTER, "sessions", "promotion", True),
    Bar("escalations", "escalations", "<", 1.0, "a day", QUARTER, "sessions", "D9, promotion"),
)
SUCCESS = (
    Bar("sharpe", "Sharpe out of sample", ">", 0.9, "a year", YEAR, "sessions", "D10, success"),
    Bar("hit_rate", "hit rate, liquid names", ">", 0.52, "of trades", 30, "trades", "success"),
    Bar("drawdown", "drawdown", "<", 0.10, "of equity", YEAR, "sessions", "D10, success", True),
    Bar("pbo", "PBO", "<=", GATE.pbo, "of combinations", YEAR, "sessions", "success"),
)
SERVICE = (
    Bar("sharpe", "Sharpe", ">=", GATE.sharpe, "a year", QUARTER, "sessions", "metric; target 1.5"),
    Bar(
        "win_rate",
        "win rate",
        ">=",
        GATE.win_rate,
        "of trades",
        30,
        "trades",
        "metric; target 0.55",
    ),
    Bar(
        "drawdown",
        "drawdown",
        "<=",
        GATE.drawdown,
        "of equity",
        QUARTER,
        "sessions",
        "metric",
        True,
    ),
    Bar("ece", "ECE", "<=", GATE.ece, "of 1", GATE.outcomes, "outcomes", "metric"),
    Bar(
        "live_share",
        "live / backtest",
        ">=",
        GATE.live_share,
        "of 1",
        QUARTER,
        "sessions",
        "metric",
    ),
    Bar("uptime", "uptime", ">", 0.995, "of time", 5, "sessions", "metric"),
    Bar("latency", "decision p99.9", "<", LATENCY, "ms", 10_000, "steps", "metric"),
    Bar("orders", "order generation", "<", 100.0, "ms", 1, "orders", "metric"),
    Bar("calls", "calls", "<", 3.0, "a day", 5, "sessions", "metric, D9"),
    Bar("kills", "kill switch", "<", 1.0, "a month", 21, "sessions", "metric"),
    Bar("buckets", "bucket compliance", ">=", 1.0, "of sessions", 1, "sessions", "metric", True),
    Bar("breaches", "limit breaches", "<=", 0.0, "breaches", 1, "sessions", "metric", True),
    Bar("stops", "stops executed", ">=", 1.0, "of stops", 1, "stops", "metric", True),
    Bar("training", "training completed", ">=", 0.95, "of runs", 1, "runs", "metric"),
    Bar("gates", "gates passed", ">=", 0.70, "of reviews", 1, "reviews", "metric"),
    Bar("slippage", "slippage", "<=", 5.0, "bps on average", 30, "fills", "metric, D23"),
    Bar("feedback", "feedback", "<=", 5.0, "minutes", 1, "trades", "metric"),
)


@dataclass(frozen=True, slots=True)
class Review:
    """Figures of a model under review; None: not measured.

    `brier` by regime; `sentinel` as `rules.SENTINEL` names them; `latency` in ms.
    """

    sharpe: Measured | None = None
    drawdown: Measured | None = None
    latency: Measured | None = None
    brier: Mapping[str, Measured] | None = None
    sentinel: Sequence[Check] | None = None


@dataclass(frozen=True, slots=True)
class Canary:
    """Figures of a canary against the champion; None: not measured.

    `latency` over the last 10,000 steps, ms; `sharpe` and `champion` over the same decisions;
    `paired` the upper 95 % bound of the mean paired difference of their returns.
    """

    latency: Measured | None = None
    errors: Measured | None = None
    drawdown: Measured | None = None
    sharpe: Measured | None = None
    champion: Measured | None = None
    paired: Measured | None = None


@dataclass(frozen=True, slots=True)
class Live:
    """Figures of a book before full size; `streak` sessions in a row whose risk gates held."""

    streak: Measured | None = None
    sharpe: Measured | None = None
    drawdown: Measured | None = None
    kills: Measured | None = None
    escalations: Measured | None = None


@dataclass(frozen=True, slots=True)
class Success:
    """Figures out of sample; `hit_rate` of trades in liquid names."""

    sharpe: Measured | None = None
    hit_rate: Measured | None = None
    drawdown: Measured | None = None
    pbo: Measured | None = None


def review(found: Review) -> Gate:
    """Worth a review: the Brier score in every regime, and no sentinel that fires."""
    scores = found.brier or {}
    names = (*REGIMES, *sorted(name for name in scores if name not in REGIMES))
    figures = [
        *(measured(bar, getattr(found, bar.key)) for bar in REVIEW),
        *(measured(BRIER, scores.get(name), suffix=f", {name}") for name in names),
        *_sentinel(found.sentinel or ()),
    ]
    return gate("review", figures)


def canary(found: Canary) -> Gate:
    """The four triggers of a rollback: PASS where none fires, FAIL where one does."""
    figures = [measured(bar, getattr(found, bar.key)) for bar in CANARY]
    return gate("canary", [*figures, _against_champion(found)])


def live(found: Live) -> Gate:
    """The promotion criteria of full size."""
    return gate("live", [measured(bar, getattr(found, bar.key)) for bar in LIVE])


def success(found: Success) -> Gate:
    """What a model is kept for."""
    return gate("success", [measured(bar, getattr(found, bar.key)) for bar in SUCCESS])


def service(found: Mapping[str, Measured]) -> Gate:
    """Success metrics of the operation, by the keys of `SERVICE`; one that lacks isn't known.

    Raises
    ------
    ValueError
        On a key that no bar has.
    """
    unknown = sorted(found.keys() - {bar.key for bar in SERVICE})
    if unknown:
        raise ValueError(f"no bar is called {', '.join(unknown)}")
    return gate("service", [measured(bar, found.get(bar.key)) for bar in SERVICE])


def measured(bar: Bar, found: Measured | None, *, suffix: str = "") -> Figure:
    """A figure beside its bar; without a finite value, or on too small a sample not known."""
    name, source = bar.name + suffix, f"{bar.unit}; {bar.source}"
    if found is None or not math.isfinite(found.value):
        n = found.n if found else 0
        return Figure(name, None, bar.comparison, bar.threshold, n, None, source)
    held: bool | None = _holds(found.value, bar)
    if found.n < bar.least and not (bar.at_once and not held):
        held, source = None, f"{source}; {found.n} {bar.counted}, {bar.least} needed"
    return Figure(name, found.value, bar.comparison, bar.threshold, found.n, held, source)


def _holds(value: float, bar: Bar) -> bool:
    # 1 − 0.95 is above 0.05 in its last bit: a rounding must not decide at the boundary.
    if math.isclose(value, bar.threshold, rel_tol=1e-12):
        return "=" in bar.comparison
    return value > bar.threshold if ">" in bar.comparison else value < bar.threshold


def _against_champion(found: Canary) -> Figure:
    """Fires on a Sharpe ratio a fifth below the champion's whose difference isn't chance."""
    ours, theirs, paired = found.sharpe, found.champion, found.paired
    if ours is None or theirs is None or paired is None:
        return measured(SHORTFALL, None)
    n = min(ours.n, theirs.n, paired.n)
    scale = abs(theirs.value)  # a fifth of a loss is a loss, too
    short = (theirs.value - ours.value) / scale if scale > 0.0 else math.nan
    figure = measured(SHORTFALL, Measured(short, n))
    if figure.passed is None or not math.isfinite(paired.value):
        return replace(figure, passed=None)
    source = f"{figure.source}; paired difference at most {paired.value:.3g} at {PAIRED:.0%}"
    # Short, but perhaps by chance: the trigger needs both.
    return replace(figure, passed=figure.passed or paired.value >= 0.0, source=source)


def _sentinel(checks: Sequence[Check]) -> list[Figure]:
    """One figure a sentinel's check, and one not known for each that nobody made."""
    known = {Status.PASS: True, Status.FAIL: False, Status.INSUFFICIENT_EVIDENCE: None}
    made = {check.name.partition(",")[0] for check in checks}
    return [
        *(
            Figure(c.name, c.value, "against", c.threshold, c.n, known[c.status], c.detail)
            for c in checks
        ),
        *(Figure(name, None, "against", None, 0, None) for name in SENTINEL if name not in made),
    ]
