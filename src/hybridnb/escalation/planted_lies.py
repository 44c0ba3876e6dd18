"""The manners in which a planted sentence lies: each changes one thing of a true sentence.

A manner gets the slots that a template uses and what fills them. It returns the slots to fill
anew and what to append before the full stop, or None where the template gives it no hold. Slots
whose names start with an underscore hold what a lie needs: other symbols, dates, ids, directions.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

import numpy as np

Lie = tuple[dict[str, str], str] | None
Manner = Callable[[np.random.Generator, Sequence[str], Mapping[str, str]], Lie]

BOOK_MONEY = ("amount", "signed", "equity", "commission", "slippage")
MONEY = (*BOOK_MONEY, "s_amount", "s_signed", "t_amount", "t_signed", "entry", "exit")
RATES = ("ret", "signed_ret", "drawdown")
COUNTS = ("stops", "targets", "trades", "entries", "quantity")
SWAPS = (
    ("commission", "slippage"),
    ("stops", "targets"),
    ("trades", "entries"),
    ("entry", "exit"),
    ("s_amount", "t_amount"),
    ("s_signed", "t_signed"),
)
INVENTED = (
    ", in 14 of 31 bars",
    ", with a Sharpe ratio of 1.87",
    ", after 17 sessions of calm",
    ", as the VIX rose to 31.4",
    ", about 38 % of it before noon",
    ", a fifth of the month's budget of 77,000",
    ", for a profit factor of 1.4",
    ", its worst since 2031",
)
_FIGURE = re.compile(r"\d[\d,]*(?:\.\d+)?")
_UNITS = re.compile(r"\s?(?:%|percent\b|bps\b|USD\b)|\bUSD\s|\$")


def _pick(rng: np.random.Generator, used: Sequence[str], among: Sequence[str]) -> str | None:
    fit = [name for name in used if name in among]
    return fit[int(rng.integers(len(fit)))] if fit else None


def _wrong_value(rng: np.random.Generator, used: Sequence[str], slots: Mapping[str, str]) -> Lie:
    name = _pick(rng, used, MONEY + RATES + COUNTS)
    text = slots[name] if name else ""
    places = [m.start() for m in re.finditer(r"\d", text)]
    if not name or not places:
        return None
    at = places[int(rng.integers(len(places)))]
    digit = str((int(text[at]) + int(rng.integers(1, 10))) % 10)
    return {name: text[:at] + digit + text[at + 1 :]}, ""


def _wrong_sign(rng: np.random.Generator, used: Sequence[str], slots: Mapping[str, str]) -> Lie:
    moves = {f"{p}{w}": f"{p}{b}" for p in ("", "s_", "t_") for w, b in _BACK}
    name = _pick(rng, used, (*moves, "signed", "s_signed", "t_signed", "signed_ret"))
    if name is None:
        return None
    if name in moves:
        return {name: slots[moves[name]]}, ""
    text = slots[name]
    return {name: ("-" if text[0] == "+" else "+") + text[1:]}, ""


_BACK = (("moved", "_back"), ("noun", "_nback"))


def _wrong_unit(rng: np.random.Generator, used: Sequence[str], slots: Mapping[str, str]) -> Lie:
    name = _pick(rng, used, MONEY + RATES)
    if name is None or "K" in slots[name]:
        return None
    bare = _UNITS.sub("", slots[name])
    if name in RATES:
        unit = " bps" if "bps" not in slots[name] else " %"
        return {name: str(rng.choice((bare + unit, bare)))}, ""
    sign = bare[0] if bare[0] in "+-\u2212" else ""
    figure = bare.removeprefix(sign)
    forms = (f"{bare} %", f"{bare} bps", f"{sign}€{figure}", f"{sign}C${figure}", f"{bare} shares")
    return {name: str(rng.choice(forms))}, ""


def _unknown(rng: np.random.Generator, used: Sequence[str], slots: Mapping[str, str]) -> Lie:
    return ({"s": slots["_stranger"]}, "") if "s" in used else None


def _other(rng: np.random.Generator, used: Sequence[str], slots: Mapping[str, str]) -> Lie:
    return ({"s": slots["_other"]}, "") if "s" in used else None


def _wrong_date(rng: np.random.Generator, used: Sequence[str], slots: Mapping[str, str]) -> Lie:
    return ({"date": slots["_date"]}, "") if "date" in used else None


def _swapped(rng: np.random.Generator, used: Sequence[str], slots: Mapping[str, str]) -> Lie:
    fit = [pair for pair in SWAPS if pair[0] in used and pair[1] in used]
    if not fit:
        return None
    one, two = fit[int(rng.integers(len(fit)))]
    return {one: slots[two], two: slots[one]}, ""


def _invented(rng: np.random.Generator, used: Sequence[str], slots: Mapping[str, str]) -> Lie:
    return {}, str(rng.choice(INVENTED))


def _coarse(rng: np.random.Generator, used: Sequence[str], slots: Mapping[str, str]) -> Lie:
    """Rounded to one digit where that moves the figure by more than a tenth."""
    name = _pick(rng, used, MONEY + RATES)
    found = _FIGURE.search(slots[name]) if name else None
    if name is None or found is None or "K" in slots[name]:
        return None
    value = float(found[0].replace(",", ""))
    coarse = float(f"{value:.0e}")
    if value == 0 or abs(coarse - value) <= 0.1 * value:
        return None
    told = f"{coarse:,.0f}" if coarse >= 1 else f"{coarse:.1f}"
    return {name: slots[name].replace(found[0], told)}, ""


def _wrong_id(rng: np.random.Generator, used: Sequence[str], slots: Mapping[str, str]) -> Lie:
    name = _pick(rng, used, [n for n in slots if n.startswith("F_")])
    if name is None:
        return None
    wrong = slots["_any"] if rng.random() < 0.7 else f"F{int(rng.integers(60, 999))}"
    taken = {slots[n] for n in used if n.startswith("F_")}
    return None if wrong in taken else ({name: wrong}, "")


MANNERS: Mapping[str, Manner] = {
    "wrong value": _wrong_value,
    "wrong sign": _wrong_sign,
    "wrong unit": _wrong_unit,
    "unknown symbol": _unknown,
    "right number, wrong symbol": _other,
    "wrong date": _wrong_date,
    "swapped facts": _swapped,
    "invented number": _invented,
    "rounded too far": _coarse,
    "wrong id": _wrong_id,
}
