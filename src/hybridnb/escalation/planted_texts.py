"""Planted sentences, true and false, that measure the grounding check.

Tables, sentences and falsehoods come from a seed alone. Nothing here reads a sentence: a true one
is filled from the table, a false one is a true one with a single lie of a known manner.
"""

from __future__ import annotations

import datetime as dt
import math
import re
from dataclasses import dataclass

import numpy as np

from hybridnb.domain import SCALE
from hybridnb.escalation.facts import FactBuilder, FactTable, Sense, Unit
from hybridnb.escalation.grounding import Verdict, ground
from hybridnb.escalation.planted_lies import MANNERS

SYMBOLS = ("AAPL", "MSFT", "BRK.B", "RY.TO", "SHOP.TO", "XOM", "JPM", "F", "TLT", "SPY")
STRANGERS = ("TSLA", "NVDA", "GME", "ENB.TO", "BRK.A", "QQQ")
BOOK = (
    "The book {moved} {amount} on {date}.",
    "On {date} the portfolio {moved} {ret}.",
    "The session ended with a {noun} of {amount} [{F_pnl}].",
    "At {signed}, the day's P&L was nothing unusual.",
    "Overall the account {moved} {amount}, or {ret} of equity.",
    "A {ret} {noun} closed the day at {equity}.",
    "We {moved} {amount} ({ret}) and finished with equity of {equity}.",
    "Equity stood at {equity} after the close.",
    "By the close of {date} the account was worth {equity} ({F_equity}).",
    "Day P&L: {signed}.",
    "The return of {signed_ret} was in line with the mood of the market.",
    "It was a quiet {date}: {signed} on the day.",
    "The strategy {moved} {ret} [{F_ret}], with equity at {equity} [{F_equity}].",
)
COSTS = (
    "Commission was {commission} and slippage {slippage}.",
    "Commissions of {commission} and slippage of {slippage} were paid.",
    "We paid {commission} in commission.",
    "Slippage took another {slippage} out of the result.",
    "Costs were small: {slippage} of slippage, {commission} of commission.",
    "Trading cost us {commission} in fees [{F_commission}] and {slippage} in slippage "
    "[{F_slippage}].",
    "Of the costs, {slippage} was slippage ({F_slippage}).",
    "The drawdown now stands at {drawdown}.",
    "That leaves the book {drawdown} below its peak.",
    "Peak to date, the drawdown is {drawdown} [{F_drawdown}].",
)
COUNTS = (
    "Stops were hit {stops} times and targets {targets} times.",
    "{stops} stops and {targets} targets were hit.",
    "Of the exits, {stops} were stops [{F_stops}] and {targets} were targets [{F_targets}].",
    "In all, {trades} trades were closed.",
    "The desk closed {trades} trades, and {stops} stops were hit.",
    "There were {entries} entries and {trades} closed trades.",
)
NAMES = (
    "{s} {s_moved} {s_amount} while {t} {t_moved} {t_amount}.",
    "{s} {s_moved} {s_amount} and {t} {t_moved} {t_amount} [{F_s}, {F_t}].",
    "The {s_noun} in {s} came to {s_amount}.",
    "{s} contributed {s_signed}, {t} {t_signed}.",
    "{s}'s {s_noun} of {s_amount} stands out.",
    "A {s_noun} of {s_amount} in {s} and a {t_noun} of {t_amount} in {t} made the day.",
    "Largest of all was {s} at {s_signed} [{F_s}].",
    "{s}: {s_signed}; {t}: {t_signed}.",
    "{s} ({s_signed}) and {t} ({t_signed}) moved the most.",
    "The position in {s} {s_moved} {s_amount}.",
    "With {s}, the book {s_moved} {s_amount} [{F_s}].",
    "{s} and {t} came to {s_signed} and {t_signed}.",
    "We entered {s} at {entry} and left at {exit}.",
    "{s} was bought at {entry} ({F_entry}) and sold at {exit} ({F_exit}).",
    "{s}'s exit price was {exit}, against an entry price of {entry}.",
    "The {quantity} shares of {s} were sold at {exit}.",
    "We held {quantity} shares of {s}, bought at {entry}.",
    "On {date}, {s} {s_moved} {s_amount} [{F_s}].",
    "{s} {s_moved} {s_amount} because it gapped at the open, not because the stop was wrong.",
    "The day's {noun} was {amount}; {s} alone {s_moved} {s_amount}.",
    "{s} {s_moved} {s_amount} on {quantity} shares.",
    "What {t} did ({t_signed}) mattered less than {s} ({s_signed}).",
)
TEMPLATES = BOOK + COSTS + COUNTS + NAMES
Slots = dict[str, str]
_WORDS = "zero one two three four five six seven eight nine ten eleven twelve"


@dataclass(frozen=True, slots=True)
class Planted:
    """A sentence with its table, whether it is true, and the manner of its lie."""

    text: str
    table: FactTable
    true: bool
    manner: str


@dataclass(frozen=True, slots=True)
class Rate:
    """Hits among trials, with the 95 % Wilson interval."""

    hits: int
    trials: int

    @property
    def share(self) -> float:
        return self.hits / self.trials if self.trials else math.nan

    @property
    def interval(self) -> tuple[float, float]:
        return wilson(self.hits, self.trials)


def wilson(hits: int, trials: int, z: float = 1.959963984540054) -> tuple[float, float]:
    """Wilson's score interval of a share (Wilson 1927); (0, 1) without trials."""
    if not trials:
        return 0.0, 1.0
    share, spread = hits / trials, z * z / trials
    centre = (share + spread / 2) / (1 + spread)
    half = z / (1 + spread) * math.sqrt(share * (1 - share) / trials + spread / (4 * trials))
    return max(0.0, centre - half), min(1.0, centre + half)


def random_table(rng: np.random.Generator) -> tuple[FactTable, Slots, list[str]]:
    """A session's facts, the slots of the book, and the symbols in it."""
    facts = FactBuilder(currency="USD")
    ids: Slots = {}
    day = dt.date(2008, 1, 1) + dt.timedelta(days=int(rng.integers(0, 6000)))
    ids["date"] = facts.add("session", day, Unit.DATE)
    pnl = _amount(rng, 2e3, 9e3)
    ids["pnl"] = facts.money("day P&L", pnl)
    rate = float(rng.uniform(0.003, 0.04)) * math.copysign(1.0, pnl)
    ids["ret"] = facts.add("day return", rate, Unit.SHARE, sense=Sense.PROFIT)
    ids["equity"] = facts.money("equity", abs(_amount(rng, 2e5, 2e6)), sense=Sense.LEVEL)
    for name, low, high in (("commission", 11, 90), ("slippage", 100, 900)):
        ids[name] = facts.money(name, abs(_amount(rng, low, high)), sense=Sense.COST)
    ids["drawdown"] = facts.add(
        "drawdown", float(rng.uniform(0.05, 0.2)), Unit.SHARE, sense=Sense.COST
    )
    stops, targets, trades, entries = rng.choice(np.arange(2, 30), 4, replace=False)
    for name, count in (("stops hit", stops), ("targets hit", targets)):
        ids[name.split()[0]] = facts.add(name, int(count), Unit.COUNT)
    ids["trades"] = facts.add("closed trades", int(trades), Unit.COUNT)
    ids["entries"] = facts.add("entries", int(entries), Unit.COUNT)
    names = [str(s) for s in rng.choice(SYMBOLS, 4, replace=False)]
    for symbol in names:
        ids[symbol] = facts.money("P&L", _amount(rng, 1e3, 9e3), symbol=symbol)
        for name in ("entry", "exit"):
            level = abs(_amount(rng, 20, 400))
            ids[f"{symbol} {name}"] = facts.money(
                f"{name} price", level, symbol=symbol, sense=Sense.LEVEL
            )
        held = int(rng.integers(31, 900))
        ids[f"{symbol} quantity"] = facts.add("quantity", held, Unit.UNITS, symbol=symbol)
    return facts.table(), ids, names


def _amount(rng: np.random.Generator, low: float, high: float) -> int:
    cents = int(rng.uniform(low, high) * 100)
    return int(rng.choice((-1, 1))) * cents * (SCALE // 100)


def planted(rng: np.random.Generator, *, manner: str = "") -> Planted:
    """One sentence; `manner` is one of `MANNERS`, or "" for a true one."""
    while True:
        table, ids, names = random_table(rng)
        template = TEMPLATES[int(rng.integers(len(TEMPLATES)))]
        slots = _slots(rng, table, ids, names)
        if not manner:
            return Planted(template.format(**slots), table, True, "")
        used = sorted(set(re.findall(r"{(\w+)}", template)))
        told = MANNERS[manner](rng, used, slots)
        if told is not None:
            lie = template.format(**(slots | told[0])) if told[0] else template.format(**slots)
            return Planted(lie[:-1] + told[1] + lie[-1], table, False, manner)


def measure(seed: int, *, true: int = 300, false: int = 40) -> dict[str, Rate]:
    """How the grounding check does on planted sentences.

    Parameters
    ----------
    seed : int
    true, false : int
        True sentences, and false ones of each manner.

    Returns
    -------
    dict of str to Rate
        "false alarms" among the true, "detected" among all false, and each manner's detection.
    """
    rng = np.random.default_rng(seed)
    kept = [_stays(planted(rng)) for _ in range(true)]
    found = {
        manner: [not _stays(planted(rng, manner=manner)) for _ in range(false)]
        for manner in MANNERS
    }
    every = [hit for hits in found.values() for hit in hits]
    rates = {
        "false alarms": Rate(kept.count(False), true),
        "detected": Rate(sum(every), len(every)),
    }
    return rates | {manner: Rate(sum(hits), false) for manner, hits in found.items()}


def _stays(case: Planted) -> bool:
    return ground(case.text, case.table, fallback="").verdict is Verdict.GROUNDED


def _slots(rng: np.random.Generator, table: FactTable, ids: Slots, names: list[str]) -> Slots:
    s, t, other, _ = names
    slots = {"s": s, "t": t, "_other": other, "_stranger": str(rng.choice(STRANGERS))}
    slots |= {"date": _date(rng, _day(table, ids)), "_any": str(rng.choice(list(ids.values())))}
    slots["_date"] = _date(rng, _day(table, ids) + dt.timedelta(days=int(rng.integers(1, 300))))
    for prefix, key in (("", "pnl"), ("s_", s), ("t_", t)):
        value = _value(table, ids[key])
        moved, noun = _moves(rng, value)
        slots |= {f"{prefix}moved": moved, f"{prefix}noun": noun}
        slots[f"{prefix}_back"], slots[f"{prefix}_nback"] = _moves(rng, -value)
        slots |= {
            f"{prefix}amount": _money(rng, abs(value)),
            f"{prefix}signed": _signed(rng, value),
        }
    rate = _value(table, ids["ret"])
    slots |= {"ret": _rate(rng, abs(rate)), "signed_ret": f"{rate:+.2f} %"}
    slots["drawdown"] = _rate(rng, _value(table, ids["drawdown"]))
    for key in ("equity", "commission", "slippage"):
        slots[key] = _money(rng, _value(table, ids[key]))
    for key in ("stops", "targets", "trades", "entries"):
        slots[key] = _count(rng, int(_value(table, ids[key])))
    for key in ("entry", "exit", "quantity"):
        slots[key] = table[ids[f"{s} {key}"]].shown
        slots[f"F_{key}"] = ids[f"{s} {key}"]
    slots |= {f"F_{key}": i for key, i in ids.items() if " " not in key}
    return slots | {"F_s": ids[s], "F_t": ids[t]}


def _day(table: FactTable, ids: Slots) -> dt.date:
    value = table[ids["date"]].value
    if not isinstance(value, dt.date):
        raise TypeError("the session has no date")
    return value


def _value(table: FactTable, fact_id: str) -> float:
    return float(table[fact_id].number or 0)


def _moves(rng: np.random.Generator, value: float) -> tuple[str, str]:
    up = (("gained", "made", "earned", "added"), ("gain", "profit", "rise"))
    down = (("lost", "gave up", "shed", "dropped"), ("loss", "decline", "drop"))
    verbs, nouns = up if value > 0 else down
    return str(rng.choice(verbs)), str(rng.choice(nouns))


def _money(rng: np.random.Generator, value: float) -> str:
    forms = [f"{value:,.2f}", f"${value:,.2f}", f"USD {value:,.2f}", f"{value:,.2f} USD"]
    if value >= 1000:
        forms += [f"${value:,.0f}", f"about {value:,.0f}", f"${value / 1e3:.2f}K"]
    return str(rng.choice(forms))


def _signed(rng: np.random.Generator, value: float) -> str:
    sign = "+" if value > 0 else str(rng.choice(("-", "\u2212")))
    return sign + str(rng.choice((f"{abs(value):,.2f}", f"${abs(value):,.2f}")))


def _rate(rng: np.random.Generator, value: float) -> str:
    forms = (f"{value:.2f} %", f"{value:.2f}%", f"{value:.2f} percent", f"{value * 100:.0f} bps")
    return str(rng.choice(forms))


def _count(rng: np.random.Generator, count: int) -> str:
    return _WORDS.split()[count] if count <= 12 and rng.random() < 0.5 else str(count)


def _date(rng: np.random.Generator, day: dt.date) -> str:
    forms = (day.isoformat(), f"{day.day} {day:%B} {day.year}", f"{day:%B} {day.day}, {day.year}")
    return str(rng.choice((*forms, f"{day:%b} {day.day}")))
