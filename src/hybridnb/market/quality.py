# ruff: noqa: E501 - a table is read as a table
"""Quality of bars whose contracts hold: warnings, errors that take a symbol out, and refusal.

| check | severity | fires when |
|---|---|---|
| completeness | error, critical | over 5 %, over 20 % of the sessions between a symbol's first and last bar have no bar |
| gap | warning | more than `Rules.gap` sessions in a row have no bar |
| price move | warning | close to close over 10 % and over 8 robust deviations of the symbol |
| bad tick | error | such a move that the next bar takes back (to 10 % of it or 2 robust deviations) and that is over 8 robust deviations of the 10 bars either side as well |
| split | error | such a move that equals a split ratio and isn't taken back |
| volume | warning | volume over 100 × the symbol's median of bars with trades |
| ohlc | critical | high ≥ all ≥ low broken |
| coverage | critical | under 95 % of the symbols have a bar in the last session |
| ended | warning | the symbol's bars ended over `Rules.ended` sessions before the last |

Critical, or errors on more than 5 % of the symbols, refuses the data. In a file of fewer than
20 symbols one symbol with an error is more than 5 %.

A robust deviation is 1.4826 × the median absolute deviation of the symbol's log returns; where
that is zero (most bars unchanged) it is taken over the returns that aren't.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import pandas as pd

from hybridnb.domain import Basis
from hybridnb.errors import Breach, InputError
from hybridnb.market import calendar as exchange
from hybridnb.market.columns import Floats
from hybridnb.market.contracts import ROUNDING
from hybridnb.market.jumps import Panel, Rules, find_jumps
from hybridnb.market.tables import KEPT
from hybridnb.ports import Finding

Rows: TypeAlias = np.ndarray[Any, np.dtype[np.intp]]
Place: TypeAlias = tuple[str, int | None]
Locate: TypeAlias = Callable[[int], Place]


@dataclass(frozen=True, slots=True)
class Assessment:
    """Findings in the order of the checks, and why each symbol with an error is out."""

    findings: tuple[Finding, ...]
    excluded: dict[str, str]


def assess(
    bars: pd.DataFrame,
    *,
    calendar: str,
    basis: Basis,
    locate: Locate | None = None,
    source: str = "bars",
    jumps_refuse: bool = False,
    rules: Rules | None = None,
) -> Assessment:
    """Assess clean bars.

    Parameters
    ----------
    bars : pandas.DataFrame
        As `contracts.check_bars` returns them: sorted by (symbol, session).
    calendar : str
        exchange_calendars code.
    basis : Basis
        CLOSE: the open says nothing, so splits are looked for in the closes.
    locate : callable or None
        File and row of the bar at a position, for the breaches; None: `source` without a row.
    source : str
        What breaches name where there is no place.
    jumps_refuse : bool
        Refuse the data for any split-sized jump or suspected bad tick, whatever the share of the
        symbols: for a file that its owner can still mend.
    rules : Rules or None
        None: the specification's.

    Raises
    ------
    InputError
        When a finding is critical, when more than 5 % of the symbols have an error, or for the
        jumps above. Breaches name file, row, check and symbol.
    """
    rules = rules or Rules()
    frame = Panel(bars, basis)
    hits = [
        *_ohlc(frame),
        *_presence(frame, rules, exchange.sessions(calendar, *frame.span)),
        *_moves(frame, rules),
        *_volume(frame, rules),
    ]
    errors = {h.symbol: h for h in reversed(hits) if h.severity == "error" and h.symbol}
    share = len(errors) / len(frame.names)
    fatal = [h for h in hits if h.severity == "critical"]
    if share > rules.error_share:
        fatal += [h for h in hits if h.severity == "error"]
    elif jumps_refuse:
        fatal += [h for h in hits if h.check in ("split", "bad tick")]
    if fatal:
        raise InputError([_breach(h, locate, source) for h in fatal[:KEPT]])
    return Assessment(
        tuple(Finding(h.check, h.severity, h.symbol, h.session, h.detail) for h in hits),
        {s: f"{h.check}: {h.session} {h.detail}" for s, h in sorted(errors.items())},
    )


@dataclass(frozen=True, slots=True)
class _Hit:
    """A finding and the position of its bar, None where no single bar is to blame."""

    check: str
    severity: str
    symbol: str
    session: str
    detail: str
    at: int | None


def _hit(frame: Panel, check: str, severity: str, i: int, detail: str) -> _Hit:
    day = f"{frame.session[i]:%Y-%m-%d}"
    return _Hit(check, severity, frame.names[frame.code[i]], day, detail, i)


def _breach(hit: _Hit, locate: Locate | None, source: str) -> Breach:
    file, row = (source, None) if locate is None or hit.at is None else locate(hit.at)
    return Breach(file, row, hit.check, f"{hit.symbol} {hit.session} {hit.detail}".strip())


def _ohlc(frame: Panel) -> Iterator[_Hit]:
    top = np.maximum(np.maximum(frame.open, frame.close), frame.low)
    bottom = np.minimum(np.minimum(frame.open, frame.close), frame.high)
    broken = (top > frame.high * (1 + ROUNDING)) | (bottom < frame.low * (1 - ROUNDING))
    for i in np.flatnonzero(broken)[:KEPT]:
        yield _hit(frame, "ohlc", "critical", int(i), "breaks high ≥ all ≥ low")


def _presence(frame: Panel, rules: Rules, known: pd.DatetimeIndex) -> Iterator[_Hit]:
    """Completeness, gaps and coverage, all in positions on the exchange's calendar."""
    at = known.searchsorted(frame.session)
    missed = np.r_[0, np.diff(at)] - 1
    missed[frame.first] = 0
    first, last = at[frame.start], at[frame.stop - 1]
    expected = last - first + 1
    share = (expected - (frame.stop - frame.start)) / expected  # 3 of 60 is 5 %, to the last bit
    for k in np.flatnonzero(share > rules.missing_error):
        severity = "critical" if share[k] > rules.missing_critical else "error"
        text = f"{share[k]:.1%} of {expected[k]} sessions have no bar"
        yield _hit(frame, "completeness", severity, int(frame.stop[k] - 1), text)
    yield from _worst(
        frame,
        "gap",
        np.where(missed > rules.gap, missed, 0).astype(np.float64),
        lambda i, n: f"{n} gaps; before this bar {missed[i]} sessions in a row have none",
    )
    end = len(known) - 1
    gone = end - last > rules.ended
    for k in np.flatnonzero(gone):
        text = f"its last bar; the data go on to {known[-1]:%Y-%m-%d}"
        yield _hit(frame, "ended", "warning", int(frame.stop[k] - 1), text)
    alive = int((~gone).sum())
    here = int((last == end).sum())
    if here < rules.coverage * alive:
        text = f"{here} of {alive} symbols have a bar in the last session"
        yield _Hit("coverage", "critical", "", f"{known[-1]:%Y-%m-%d}", text, None)


def _moves(frame: Panel, rules: Rules) -> Iterator[_Hit]:
    """Large moves by kind; each belongs to one of them."""
    jumps = find_jumps(frame, rules)
    change = np.expm1(frame.move)
    for i in np.flatnonzero(jumps.split)[:KEPT]:
        text = f"close × {1 + change[i]:.4f}: a jump of the size of a split, "
        text += _ratio_text(jumps.ratio[i], change[i])
        yield _hit(frame, "split", "error", int(i), text)
    for i in np.flatnonzero(jumps.bad)[:KEPT]:
        text = f"suspected bad tick: {change[i]:+.1%}, taken back by the next bar"
        yield _hit(frame, "bad tick", "error", int(i), text)
    yield from _worst(
        frame,
        "price move",
        np.where(jumps.plain, np.abs(change), 0.0),
        lambda i, n: f"{n} moves over 8 robust deviations; here {change[i]:+.1%}",
    )


def _ratio_text(ratio: float, move: float) -> str:
    ways = f"{ratio:g}:1" if ratio != 1.5 else "3:2"
    there, back = ways.split(":")
    return f"{ways} not adjusted" if move < 0 else f"{back}:{there} not adjusted"


def _volume(frame: Panel, rules: Rules) -> Iterator[_Hit]:
    traded = np.where(frame.volume > 0, frame.volume, np.nan)
    times = np.nan_to_num(traded / frame.median(traded))
    yield from _worst(
        frame,
        "volume",
        np.where(times > rules.volume, times, 0.0),
        lambda i, n: f"{n} bars over {rules.volume:g} × the median; here {times[i]:.0f} ×",
    )


def _worst(
    frame: Panel, check: str, size: Floats, text: Callable[[int, int], str]
) -> Iterator[_Hit]:
    """One warning a symbol: its largest `size` above zero, and how many there are."""
    at = np.flatnonzero(size)
    found = pd.DataFrame({"code": frame.code[at], "at": at, "size": size[at]})
    ordered = found.sort_values(["code", "size"], kind="stable")
    counts = found.groupby("code")["at"].size()
    last = ordered.groupby("code")["at"].last()
    for i, n in zip(last.tolist(), counts.tolist(), strict=True):
        yield _hit(frame, check, "warning", i, text(i, n))
