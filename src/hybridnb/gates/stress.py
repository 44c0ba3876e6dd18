"""Stress: what a stretch of sessions came to under a scenario, and whether that passes.

Eight scenarios (`gates.rules.SCENARIOS`) are stepped through the real decision and the paper
venue; this file knows nothing of how. It takes equity curves and counts, and judges.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from hybridnb.domain import Status
from hybridnb.gates.courses import Course, course, loss_bps
from hybridnb.gates.evidence import Check
from hybridnb.gates.rules import SCENARIOS

__all__ = ["BARS", "EITHER", "Bars", "Course", "course", "judge", "judged", "loss_bps"]
PASS, FAIL, UNKNOWN = Status.PASS, Status.FAIL, Status.INSUFFICIENT_EVIDENCE


@dataclass(frozen=True, slots=True)
class Bars:
    """What each scenario must keep; the source of all is the table of the stress scenarios.

    Attributes
    ----------
    crash_sharpe : float
        Flash crash: least share of the base's Sharpe ratio.
    crash_drawdown, stuck_drawdown, halt_drawdown : float
        Deepest drawdown, share of the peak.
    crash_loss, stuck_loss, spread_loss : float
        Loss of the scenario that isn't reached, bps of equity.
    partial_pnl : float
        Partial fills: least P&L as a share of the base's, half of the 30 % that fills.
    swing_pnl, fees_pnl : float
        P&L above which a scenario passes, account units.
    spread_trades, fees_trades : float
        Liquidity gone and fee spike: trades below this share of the base's pass, too.
    gap_sharpe : float
        Data gap: the Sharpe ratio is above it.
    """

    crash_sharpe: float = 0.50
    crash_drawdown: float = 0.30
    crash_loss: float = 500.0
    stuck_drawdown: float = 0.25
    stuck_loss: float = 300.0
    partial_pnl: float = 0.5 * 0.3
    halt_drawdown: float = 0.30
    swing_pnl: float = 0.0
    spread_trades: float = 0.70
    spread_loss: float = 100.0
    fees_pnl: float = 0.0
    fees_trades: float = 0.50
    gap_sharpe: float = 0.0


BARS = Bars()


@dataclass(frozen=True, slots=True)
class _Term:
    what: str
    value: float
    comparison: str
    threshold: float

    @property
    def passed(self) -> bool:
        # At the boundary a rounding must not decide.
        level = math.isclose(self.value, self.threshold, rel_tol=1e-12)
        return {
            ">=": self.value >= self.threshold or level,
            "<=": self.value <= self.threshold or level,
            ">": self.value > self.threshold and not level,
            "<": self.value < self.threshold and not level,
        }[self.comparison]

    def __str__(self) -> str:
        return f"{self.what} {self.value:,.4g} {self.comparison} {self.threshold:,.4g}"


# Of these scenarios any of the terms is enough; of the others all must hold.
EITHER = ("liquidity gone", "fee spike")


def _terms(name: str, base: Course, s: Course, t: Bars) -> tuple[_Term, ...]:
    """What must hold in a scenario."""
    drawdown, loss = s.max_drawdown, s.loss_bps
    found: dict[str, tuple[tuple[str, float, str, float], ...]] = {
        "flash crash": (
            ("Sharpe", s.sharpe, ">=", t.crash_sharpe * base.sharpe),
            ("drawdown", drawdown, "<=", t.crash_drawdown),
            ("loss in bps", loss, "<", t.crash_loss),
        ),
        "stuck position": (
            ("drawdown", drawdown, "<=", t.stuck_drawdown),
            ("loss in bps", loss, "<", t.stuck_loss),
        ),
        "partial fills": (("P&L", s.pnl, ">=", t.partial_pnl * base.pnl),),
        "exchange halt": (("drawdown", drawdown, "<=", t.halt_drawdown),),
        "funding flip": (("P&L", s.pnl, ">", t.swing_pnl),),
        "liquidity gone": (
            ("trades", s.trades, "<", t.spread_trades * base.trades),
            ("loss in bps", loss, "<", t.spread_loss),
        ),
        "fee spike": (
            ("P&L", s.pnl, ">", t.fees_pnl),
            ("trades", s.trades, "<", t.fees_trades * base.trades),
        ),
        "data gap": (("Sharpe", s.sharpe, ">", t.gap_sharpe),),
    }
    return tuple(_Term(*each) for each in found[name])


def judge(name: str, base: Course, stressed: Course, *, bars: Bars = BARS) -> Check:
    """Whether a scenario passes.

    A hard limit, the kill switch or the program that didn't hold is FAIL, whatever the figures
    say; so is a base that earned nothing. A base without trades, a scenario that bore on
    nothing, and a figure that can't be computed are INSUFFICIENT_EVIDENCE.

    Parameters
    ----------
    base, stressed : Course
        The same sessions without and with the scenario.

    Returns
    -------
    Check
        `value` and `threshold` are those of the term that decided (the first that doesn't hold,
        of scenarios in `EITHER` the first that does), else of the first; `detail` has the
        comparison of each.

    Raises
    ------
    ValueError
        For a name that isn't in `SCENARIOS`.
    """
    if name not in SCENARIOS:
        raise ValueError(f"{name!r} is none of {', '.join(SCENARIOS)}")
    n = stressed.sessions
    early = _broken(base, stressed) or _unproven(base, stressed)
    if early is not None:
        return Check(name, early[0], early[1], n)
    terms = _terms(name, base, stressed, bars)
    if not all(math.isfinite(term.value) for term in terms):
        return Check(name, UNKNOWN, f"can't be computed: {', '.join(map(str, terms))}", n)
    either = name in EITHER
    passed = (any if either else all)(term.passed for term in terms)
    told = next((term for term in terms if term.passed is (passed and either)), terms[0])
    detail = (" or " if either else ", ").join(map(str, terms))
    return Check(name, PASS if passed else FAIL, detail, n, told.value, told.threshold)


def judged(base: Course, courses: Mapping[str, Course], *, bars: Bars = BARS) -> tuple[Check, ...]:
    """A check for each of the eight; one that wasn't stepped is INSUFFICIENT_EVIDENCE."""
    strangers = [name for name in courses if name not in SCENARIOS]
    if strangers:
        raise ValueError(f"{', '.join(strangers)}: none of {', '.join(SCENARIOS)}")
    return tuple(
        judge(name, base, courses[name], bars=bars)
        if name in courses
        else Check(name, UNKNOWN, "it wasn't stepped", 0)
        for name in SCENARIOS
    )


Found = tuple[Status, str] | None


def _broken(base: Course, stressed: Course) -> Found:
    for who, each in (("", stressed), ("base: ", base)):
        if each.error:
            return FAIL, f"{who}it broke: {each.error}"
        if each.breaches:
            more = f" and {len(each.breaches) - 1} more" if len(each.breaches) > 1 else ""
            return FAIL, f"{who}a hard limit didn't hold: {each.breaches[0]}{more}"
        if each.unheld:
            return FAIL, f"{who}the kill switch didn't hold: {each.unheld[0]}"
    return None


def _unproven(base: Course, stressed: Course) -> Found:
    if base.trades == 0:
        return UNKNOWN, "the base traded nothing: there is nothing to stress"
    if not (math.isfinite(base.pnl) and math.isfinite(base.sharpe)):
        return UNKNOWN, f"a base of {base.sessions} sessions has no Sharpe ratio"
    if base.pnl <= 0.0 or base.sharpe <= 0.0:
        return FAIL, f"the base earns nothing: P&L {base.pnl:,.2f}, Sharpe {base.sharpe:.2f}"
    if not all(map(math.isfinite, (stressed.pnl, stressed.max_drawdown, stressed.loss_bps))):
        return UNKNOWN, "the scenario's figures can't be computed"
    if stressed.touched == 0:
        return UNKNOWN, "the scenario bore on no holding, order or fill"
    return None
