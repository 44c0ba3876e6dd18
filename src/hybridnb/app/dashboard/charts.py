"""The charts: equity with its drawdown, and the scores of the last session."""

from __future__ import annotations

import math

from markupsafe import Markup

from hybridnb.app.dashboard.draw import bars, binned, dots, line
from hybridnb.app.dashboard.model import Block, View, rows
from hybridnb.app.dashboard.words import NOTHING, empty, known, markup, money, number, share

BINS = 40
LEAST = 0.01  # a drawdown is drawn on a scale of one percent at least


def _numbers(block: Block, name: str) -> list[float]:
    """A column of numbers; what isn't known is NaN and stays a gap."""
    found = block.get(name) or ()
    return [math.nan if (v := known(value)) is None else v for value in found]


_FIGURE = Markup(
    '<figure class="chart {}"><figcaption><span>{}</span><b>{}</b></figcaption>'
    '<div class="plot"><span class="top">{}</span> {}<span class="bottom">{}</span></div>'
    '<div class="ends">{}</div></figure>'
)


def curve(view: View) -> Markup:
    """Equity and drawdown by session."""
    sessions = [str(s) for s in view.series.get("sessions") or ()]
    equity = _numbers(view.series, "equity")
    if len(sessions) < 2 or len(equity) != len(sessions):
        return empty("The curve begins with the second session.")
    lost = [-v for v in _numbers(view.series, "drawdown")]
    return markup((_equity(view, sessions, equity), _drawdown(sessions, lost)))


def _equity(view: View, sessions: list[str], equity: list[float]) -> Markup:
    there = [v for v in equity if v == v]
    if not there:
        return NOTHING
    said = f"Equity from {there[0]:,.0f} on {sessions[0]} to {there[-1]:,.0f} on {sessions[-1]}"
    return _FIGURE.format(
        "equity",
        "Equity",
        money(there[-1], view.book.get("currency")),
        number(max(there), 0),
        line(equity, label=said),
        number(min(there), 0),
        _ends(sessions),
    )


def _drawdown(sessions: list[str], lost: list[float]) -> Markup:
    there = [v for v in lost if v == v]
    if not there or len(lost) != len(sessions):
        return NOTHING
    deepest = min(there)
    floor = min(deepest, -LEAST)
    when = sessions[lost.index(deepest)]
    said = f"Drawdown, deepest {-deepest:.2%} on {when}, now {-there[-1]:.2%}"
    return _FIGURE.format(
        "lost",
        "Drawdown",
        Markup("{} now").format(share(-there[-1])),
        Markup("0"),
        line(lost, label=said, floor=floor),
        share(floor),
        NOTHING,
    )


def _ends(sessions: list[str]) -> Markup:
    """The first, the middle and the last session under a curve."""
    shown = [sessions[0], sessions[len(sessions) // 2], sessions[-1]]
    return markup(Markup("<span>{}</span> ").format(each) for each in shown)


def scores(view: View) -> Markup:
    """How the last session's scores lie between sell and buy."""
    found = [v for v in _numbers(view.scores, "scores") if v == v]
    if not found:
        return empty("No score of a session is known.")
    buy, sell = known(view.scores.get("buy")), known(view.scores.get("sell"))
    low, high = _span(found, buy, sell)
    marks = [(v - low) / (high - low) for v in (sell, buy) if v is not None]
    over = sum(buy is not None and v >= buy for v in found)
    under = sum(sell is not None and v <= sell for v in found)
    said = f"{len(found)} scores: {over} call for buying, {under} for selling"
    where = Markup("{} names · {} buy · {} sell").format(len(found), over, under)
    cuts = Markup("<span>{}</span> <span>sell {} · buy {}</span> <span>{}</span>")
    return _FIGURE.format(
        "scores",
        Markup("Scores of {}").format(str(view.scores.get("session") or "the last session")),
        where,
        NOTHING,
        bars(binned(found, low=low, high=high, bins=BINS), label=said, at=marks),
        NOTHING,
        cuts.format(number(low, 1), number(sell), number(buy), number(high, 1)),
    )


def _span(found: list[float], *cuts: float | None) -> tuple[float, float]:
    """A span that holds every score and both thresholds, no narrower than zero to one."""
    held = [*found, *(c for c in cuts if c is not None)]
    return min(0.0, *held), max(1.0, *held)


def reliability(view: View) -> Markup:
    """How often what was held for so probable came true; nothing while it isn't measured."""
    pairs = [
        (known(row.get("predicted")), known(row.get("observed")))
        for row in rows(view.block("learning"), "reliability")
    ]
    found = [(x, y) for x, y in pairs if x is not None and y is not None]
    if not found:
        return NOTHING
    gap = max(abs(x - y) for x, y in found)
    said = f"Reliability in {len(found)} groups, widest gap {gap:.2f}"
    return _FIGURE.format(
        "scores",
        "Reliability",
        Markup("widest gap {}").format(number(gap)),
        Markup("1"),
        dots(found, label=said),
        Markup("0"),
        Markup("<span>0</span><span>predicted</span><span>1</span>"),
    )
