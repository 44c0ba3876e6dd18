"""What a reasoner is told when it is called: the portfolio's facts, whole, as the call's request.

The costly facts are made here, once an asking, from the book's rows and the panel; nothing after
the session that called is read. What isn't known is null; what a request's types refuse (a
stranger's symbol, a figure out of range) is left out and counted, so that it never keeps a
reasoner from being asked.
"""

from __future__ import annotations

import datetime as dt
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from importlib import resources
from typing import Any

from pydantic import TypeAdapter, ValidationError

from hybridnb.app.book_facts import (
    Rows,
    decomposed,
    dispersion,
    performance,
    seen_rows,
    turnovers,
    usage,
)
from hybridnb.app.context import Context
from hybridnb.app.panel import Panel
from hybridnb.domain import SCALE
from hybridnb.escalation import calls
from hybridnb.escalation.calls import REQUESTS, Call, Request, request_json, stamp
from hybridnb.escalation.conditions import Condition, PortfolioFacts
from hybridnb.escalation.schemas import reply_schema
from hybridnb.escalation.triggers import Fired, Trigger
from hybridnb.ledger.store import Ledger
from hybridnb.market.features import FEATURES
from hybridnb.policy import Share
from hybridnb.ports import Question, session_text

KINDS = ("session_opened", "session_closed", "fill", "trade")
TRADES = 50  # closed trades that the judge is shown, the last of the book
SECTORS = 64  # that the auditor is shown, the most dispersed
EVENTS = 20  # macro events, the latest


def book_rows(ledger: Ledger, book: str, session: str) -> Rows:
    """A book's rows through a session that `full_facts` and `request_of` read, by kind, in order.

    Parameters
    ----------
    session : str
        ISO date; rows of later sessions are left out.
    """
    marks = ledger.rows("session", kind="mark", book=book, session=session)
    rows = [row for kind in KINDS for row in ledger.rows("session", kind=kind, book=book)]
    return [row for row in (*rows, *marks) if row["session"] <= session]


def fired_of(row: Mapping[str, Any]) -> Fired:
    """The event that an `escalation` row holds; a ValueError for a name that is none."""
    return Fired(
        Trigger(row["trigger"]),
        Call(row["call"]),
        str(row["at"]),
        tuple(Condition(name) for name in row["conditions"]),
        tuple(Trigger(name) for name in row["joined"]),
    )


def full_facts(
    facts: PortfolioFacts, *, rows: Rows, panel: Panel, context: Context
) -> PortfolioFacts:
    """The facts with the breakdowns that are made only for an asking.

    Parameters
    ----------
    facts : PortfolioFacts
        As the event had them; `session` is the session that called.
    rows : sequence of mapping
        The book's rows through that session (`book_rows`).
    panel : Panel
        Rows after the session are never read.

    Returns
    -------
    PortfolioFacts
        With sector_dispersion, bucket_usage, pnl_decomposition, turnover_stats and
        feature_performance: a name that isn't there is unknown.
    """
    session = session_text(facts.session)
    stop = seen_rows(panel, session)
    sip = context.settings.policy.sip.symbol
    return replace(
        facts,
        sector_dispersion=dispersion(panel, stop),
        bucket_usage=usage(rows, session, panel),
        pnl_decomposition=decomposed(rows, session, panel, sip=sip),
        turnover_stats=turnovers(rows, session, panel),
        feature_performance=performance(context, panel, stop),
    )


def request_of(
    fired: Fired, facts: PortfolioFacts, *, rows: Rows, context: Context, at: dt.datetime
) -> Request:
    """The request of an event's call.

    Parameters
    ----------
    facts : PortfolioFacts
        From `full_facts`; unknown figures become null.
    rows : sequence of mapping
        The book's rows (`book_rows`): the judge is shown its last 50 closed trades.
    at : datetime
        With its time zone; a ValueError without.
    """
    parts = _parts(fired.call, facts, rows, _Fit())
    if fired.call is Call.SANITY_JUDGE:
        bar = context.settings.policy.risk.kill_day_pnl
        parts["kill_switch_reason"] = _reason(fired, facts, rows, bar)
    return REQUESTS[fired.call](timestamp=stamp(at), **parts)


def left_out(facts: PortfolioFacts, rows: Rows, call: Call) -> dict[str, int]:
    """What a call's request can't hold and leaves out, counted by the request's key.

    Empty where all of it fits: for the record beside the request.
    """
    fit = _Fit()
    _parts(call, facts, rows, fit)
    return dict(sorted((+fit.missed).items()))


def instructions(call: Call) -> str:
    """What a call's reasoner is told to do: a file of the package."""
    folder = resources.files("hybridnb.escalation") / "prompts"
    return (folder / f"{call.value.lower()}.md").read_text(encoding="utf-8")


def question_of(call: Call, request: Request, *, max_tokens: int, timeout_s: float) -> Question:
    """A request as the question that a reasoner is asked: instructions, facts, reply's schema."""
    return Question(
        task=call.value,
        instructions=instructions(call),
        facts=request_json(request),
        schema=reply_schema(call),
        max_tokens=max_tokens,
        timeout_s=timeout_s,
    )


class _Fit:
    """Values as a request's types take them; what they refuse is counted by the request's key."""

    def __init__(self) -> None:
        self.missed: Counter[str] = Counter()

    def fits(self, key: str, kind: Any, value: Any) -> bool:
        try:
            TypeAdapter(kind).validate_python(value)
        except ValidationError:
            self.missed[key] += 1
            return False
        return True

    def number(self, key: str, kind: Any, value: float | None) -> float | None:
        """A figure, to ten places; None where it is unknown or out of range."""
        if value is None or not math.isfinite(value):
            return None
        rounded = round(float(value), 10) + 0.0
        return rounded if self.fits(key, kind, rounded) else None

    def figures(self, kind: type[calls.Wire], values: Mapping[str, Any]) -> Any:
        """A part of a request in which every field is a figure, from what has the fields' names."""
        fields = kind.model_fields.items()
        return kind(**{n: self.number(n, f.annotation, values.get(n)) for n, f in fields})


def _parts(call: Call, facts: PortfolioFacts, rows: Rows, fit: _Fit) -> dict[str, Any]:
    """A request's fields but its time and its reason."""
    known = {f.name: getattr(facts, f.name) for f in fields(facts)}
    kinds = {name: f.annotation for name, f in REQUESTS[call].model_fields.items()}

    def figures(*names: str) -> dict[str, Any]:
        return {name: fit.number(name, kinds[name], known[name]) for name in names}

    if call is Call.REGIME_AUDITOR:
        return figures("put_call_ratio", "news_sentiment") | {
            "portfolio_state": fit.figures(calls.AuditedPortfolio, known),
            "sector_dispersion": _sectors(facts.sector_dispersion, fit),
            "bucket_usage": fit.figures(calls.BucketUsage, facts.bucket_usage),
            "macro_events": _events(facts.macro_events, fit),
        }
    if call is Call.REWARD_ENGINEER:
        rates = facts.feature_performance
        return figures("max_drawdown_5d", "daily_pnl", "ensemble_accuracy", "sharpe_ratio") | {
            "pnl_decomposition": fit.figures(calls.PnlDecomposition, facts.pnl_decomposition),
            "turnover_stats": fit.figures(calls.TurnoverStats, facts.turnover_stats),
            "feature_performance": {
                name: fit.number("feature_performance", Share, rates.get(name)) for name in FEATURES
            },
        }
    return {
        "portfolio_state": fit.figures(calls.JudgedPortfolio, known),
        "recent_trades": _trades(rows, fit),
    }


def _sectors(found: Mapping[str, float], fit: _Fit) -> dict[str, float]:
    """Sectors whose names a request may hold, the most dispersed of them, by name."""
    out = {}
    for name, value in found.items():
        deviation = fit.number("sector_dispersion", calls.Turnover, value)
        if deviation is not None and fit.fits("sector_dispersion", calls.Label, name):
            out[name] = deviation
    widest = sorted(out, key=lambda name: (-out[name], name))[:SECTORS]
    fit.missed["sector_dispersion"] += len(out) - len(widest)
    return {name: out[name] for name in sorted(widest)}


def _events(found: Sequence[str] | None, fit: _Fit) -> tuple[str, ...] | None:
    if found is None:
        return None
    kept = [text for text in found if fit.fits("macro_events", calls.Line, text)]
    fit.missed["macro_events"] += max(0, len(kept) - EVENTS)
    return tuple(kept[-EVENTS:])


def _trades(rows: Rows, fit: _Fit) -> tuple[calls.RecentTrade, ...]:
    """The last closed trades of the book: BUY for one that a purchase opened."""
    out = []
    for row in [row for row in rows if row["kind"] == "trade"][-TRADES:]:
        if fit.fits("recent_trades", calls.Symbol, row["symbol"]):
            trade = calls.RecentTrade(
                symbol=row["symbol"],
                action="BUY" if row["direction"] == "long" else "SELL",
                size=float(row["quantity"]),
                pnl=fit.number("recent_trades", calls.Money, row["pnl"] / SCALE),
            )
            out.append(trade)
    return tuple(out)


def _reason(fired: Fired, facts: PortfolioFacts, rows: Rows, bar: float) -> str:
    """Why the judge is asked: the P&L that tripped the switch beside its limit."""
    session = session_text(facts.session)
    marks = [r for r in rows if r["kind"] == "mark" and r["session"] == session and r["killed"]]
    pnl = marks[0]["day_pnl"] if marks else facts.daily_pnl
    change = math.nan if pnl is None else 100 * pnl
    form = ".2f" if abs(change) < 1e6 else ".2e"  # the reason has room for 200 characters
    told = f"{change:{form}} %" if math.isfinite(change) else "unknown"
    if Condition.KILL in fired.conditions:
        return f"day P&L {told} at or below {100 * bar:.2f} %"
    return f"asked by an operator: day P&L {told}, the switch trips at {100 * bar:.2f} %"
