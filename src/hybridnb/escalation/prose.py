"""Prose as a grounding check reads it: sentences, and the numbers, dates, symbols in each.

Whatever has digits and isn't understood is told as such: a reader who can't tell what a number
means can't tell that it is right either.
"""

from __future__ import annotations

import datetime as dt
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum, auto

from hybridnb.escalation.lexicon import (
    ABBREVIATIONS,
    CAPITALS,
    MONTHS,
    NUMERALS,
    ORDINALS,
    SCALES,
    VAGUE,
)

MAX_SENTENCE = 600  # characters; a longer one isn't a sentence
_SPACES = re.compile(r"[\u00a0\u2009\u202f]")
_PLAIN = str.maketrans({"−": "-", "‑": "-", "’": "'", "‘": "'", "“": '"', "”": '"', "…": "."})
_ALLOWED = set("\n–—€£×àáâäåæçèéêëìíîïñòóôöøùúûüýÿß")
_MARKUP = re.compile(r"[<>\[\]{}`\\|^~]|&(?:#|[A-Za-z]{2,8};)|https?:|www\.|://|\]\(", re.I)
_CITED = re.compile(r"\[\s*F\d+(?:\s*[,;]?\s*(?:and\s+)?F\d+)*\s*\]")


class Kind(Enum):
    """What a token is; UNREAD has digits that nothing explains."""

    WORD = auto()
    NUMBER = auto()
    ORDINAL = auto()
    DATE = auto()
    SYMBOL = auto()
    CITED = auto()
    STOP = auto()
    UNREAD = auto()


@dataclass(frozen=True, slots=True)
class Token:
    """A piece of a sentence.

    Attributes
    ----------
    text : str
        Lower case for words; symbols and ids as they are.
    value : Decimal or None
        Of numbers: the magnitude, scale words applied.
    step : Decimal
        The last digit shown, as a value.
    sign : int
        Written before the number: -1, 1, or 0 for none.
    unit : str
        "%", "bps", an ISO currency, "$" (any dollar), or "".
    date : tuple
        Year, month, day; None where the text doesn't tell one.
    """

    kind: Kind
    text: str
    value: Decimal | None = None
    step: Decimal = Decimal(1)
    sign: int = 0
    unit: str = ""
    date: tuple[int | None, int | None, int | None] = (None, None, None)


def sentences(text: str) -> list[list[str]]:
    """Sentences by line; a dot within a number, a symbol or after an abbreviation ends none."""
    return [found for line in text.split("\n") if (found := _line_sentences(line))]


def _line_sentences(line: str) -> list[str]:
    parts: list[str] = []
    start = 0
    for match in re.finditer(r"[.!?…]+[\"'”’)\]]*(\s+)(?=[^\sa-z])", line):
        before = line[start : match.start()].rsplit(None, 1)
        last = before[-1].lower().lstrip("(\"'") if before else ""
        if last in ABBREVIATIONS and line[match.start()] == ".":
            continue
        parts.append(line[start : match.end()])
        start = match.end()
    parts.append(line[start:])
    merged: list[str] = []
    for part in (p.strip() for p in parts):
        if merged and part and not _CITED.sub("", part).strip(" .,;"):
            merged[-1] += " " + part  # ids after the full stop belong to what they follow
        elif part:
            merged.append(part)
    return merged


def unreadable(sentence: str) -> str:
    """Why a sentence can't be read at all: "" when it can."""
    if len(sentence) > MAX_SENTENCE:
        return "too long for a sentence"
    for char in sentence:
        if (char.isascii() and char.isprintable()) or _SPACES.match(char) or char in _ALLOWED:
            continue
        if ord(char) not in _PLAIN:
            return f"has a character that isn't plain text (U+{ord(char):04X})"
    if _MARKUP.search(_CITED.sub("", sentence)):
        return "has a link or markup"
    return ""


def sanitised(text: str) -> str:
    """Text for a record of what was removed: nothing hidden in it, at most 300 characters."""
    cut = text[:300]
    odd = ("C", "Zl", "Zp")
    return "".join("\ufffd" if unicodedata.category(c).startswith(odd) else c for c in cut)


def bare(sentence: str) -> str:
    """The sentence in plain characters, without the marks of lists, headings and emphasis."""
    text = _SPACES.sub("\u00a0", sentence).translate(_PLAIN).replace("**", "")
    text = re.sub(r"^\s*(?:#{1,6}\s+|[-*•]\s+(?![\d$€£])|\d{1,2}[.)]\s+(?=[A-Za-z]))", "", text)
    return re.sub(r"(?<=\d)\u00a0(?=\d{3}(?!\d))", ",", text).replace("\u00a0", " ")


_MONTH = r"(?P<{}>jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|"
_MONTH += r"sept?(?:ember)?|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)"
_DATES = (
    r"(?P<iy>\d{4})-(?P<im>\d{2})-(?P<id>\d{2})(?![\d-])",
    r"(?P<dd>\d{1,2})(?:st|nd|rd|th)?\s+(?:of\s+)?" + _MONTH.format("dm") + r"\.?(?:,?\s+"
    r"(?P<dy>\d{4}))?(?![\w])",
    _MONTH.format("md") + r"\.?\s+(?P<mo>\d{1,2})(?:st|nd|rd|th)?(?:,?\s+(?P<my>\d{4}))?(?![\w.]\d)"
    r"(?![\w%])",
    _MONTH.format("mm") + r"\s+(?P<yy>\d{4})(?!\w)",
)
_NUMBER = (
    r"(?<![\w.])(?P<s1>[+-])?\s?(?P<cur>(?:US|C|CA|A|AU|HK)?\$|€|£)?\s?(?P<s2>[+-])?"
    r"(?P<n>\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?P<frac>\.\d+)?(?P<ord>st\b|nd\b|rd\b|th\b)?"
    r"(?:\s?(?P<scale>thousand|million|billion|bn|mn|[KkMmB])\b)?"
    r"(?:\s?(?P<unit>%|per\s?cent\b|percentage\spoints?\b|pct\b|pp\b|bps?\b|basis\spoints?\b"
    r"|USD\b|CAD\b|EUR\b|GBP\b|INR\b|dollars\b|euros\b))?"
    r"(?![\w×]|[.,:/]\d)"
)
_SYMBOL = r"(?<![\w.])\$?(?P<sym>[A-Z]+(?:[.\-][A-Z]{1,3})?)(?![\w])(?!'[a-rt-z])"
_WORD = r"[A-Za-zà-ÿ]+(?:['&_][A-Za-zà-ÿ]+|-(?=[A-Za-z])[A-Za-zà-ÿ]+)*"
_DATE = tuple(re.compile(r"(?<![\w.,-])" + p, re.I) for p in _DATES)
_CITE = re.compile(r"(?<!\w)F\d+(?!\w)(?!\.\d)")
_NUM = re.compile(_NUMBER)
_SYM = re.compile(_SYMBOL)
_WRD = re.compile(_WORD)
_ISO = {"€": "EUR", "£": "GBP", "C$": "CAD", "CA$": "CAD", "US$": "USD", "A$": "AUD"}
_ISO |= {"AU$": "AUD", "HK$": "HKD", "euros": "EUR", "dollars": "$"}


def tokens(
    text: str, symbols: Iterable[str] = (), known: frozenset[str] = frozenset()
) -> list[Token]:
    """The tokens of a plain sentence (see `bare`).

    Parameters
    ----------
    symbols : iterable of str
        Symbols that exist, of any form (`BRK.B`, `0700.HK`, `^GSPC`).
    known : frozenset of str
        Words in capitals that are no symbols, besides the usual ones.
    """
    ordered = sorted(set(symbols), key=lambda s: (-len(s), s))
    names = "|".join(map(re.escape, ordered))
    own = re.compile(rf"(?<![\w.])\$?(?P<sym>{names})(?!\w)(?![.\-&][A-Z0-9])") if names else None
    found: list[Token] = []
    at = 0
    while at < len(text):
        token, end = _next(text, at, own, known)
        if token is not None:
            found.append(token)
        at = end
    return _spread_units(found)


def _next(
    text: str, at: int, own: re.Pattern[str] | None, known: frozenset[str]
) -> tuple[Token | None, int]:
    if text[at].isspace():
        return None, at + 1
    if own is not None and (match := own.match(text, at)) and not _article(text, at, match):
        return Token(Kind.SYMBOL, match["sym"]), match.end()
    if match := _CITE.match(text, at):
        return Token(Kind.CITED, match[0]), match.end()
    if match := next(filter(None, (p.match(text, at) for p in _DATE)), None):
        return _dated(match), match.end()
    if (match := _NUM.match(text, at)) and not _joined(text, at, match):
        return _numbered(match), match.end()
    if match := _SYM.match(text, at):
        word = match["sym"]
        if word not in CAPITALS and word not in known and not text.startswith("&", match.end()):
            return Token(Kind.SYMBOL, word), match.end()
    return _plain_text(text, at)


def _plain_text(text: str, at: int) -> tuple[Token, int]:
    if match := _WRD.match(text, at):
        return _worded(match[0], text, match.end())
    if text[at].isdigit():
        return Token(Kind.UNREAD, text[at : at + 20]), at + 1
    return Token(Kind.STOP, text[at]), at + 1


def _article(text: str, at: int, match: re.Match[str]) -> bool:
    """A or I as the first word of a sentence is none of the symbols of that name."""
    return match["sym"] in ("A", "I") and not text[:at].strip(" \"'(")


def _joined(text: str, at: int, match: re.Match[str]) -> bool:
    """True where the sign is a hyphen between words, or the number a part of something else."""
    before = text[at - 1] if at else " "
    return before.isalnum() or (before in "/:." and at > 1 and text[at - 2].isalnum())


def _dated(match: re.Match[str]) -> Token:
    part = match.groupdict()
    year = part.get("iy") or part.get("dy") or part.get("my") or part.get("yy")
    month = part.get("dm") or part.get("md") or part.get("mm")
    day = part.get("id") or part.get("dd") or part.get("mo")
    number = int(part["im"]) if part.get("im") else MONTHS.get(str(month).lower()[:3], 0)
    told = (int(year) if year else None, number, int(day) if day else None)
    try:
        dt.date(told[0] or 2000, number, told[2] or 1)
    except ValueError:
        return Token(Kind.UNREAD, match[0])
    return Token(Kind.DATE, match[0], date=told)


def _numbered(match: re.Match[str]) -> Token:
    part = match.groupdict()
    if len(match[0]) > 40:
        return Token(Kind.UNREAD, match[0][:40])
    shift = SCALES[part["scale"].lower()] if part["scale"] else 0
    value = Decimal(part["n"].replace(",", "") + (part["frac"] or "")).scaleb(shift)
    step = Decimal(1).scaleb(shift - max(0, len(part["frac"] or "") - 1))
    sign = {"-": -1, "+": 1}.get(part["s1"] or part["s2"] or "", 0)
    unit, money = (part["unit"] or "").lower(), part["cur"] or ""
    if unit.startswith(("%", "per", "pct", "pp")):
        unit = "%"
    elif unit.startswith("b"):
        unit = "bps"
    elif unit:
        unit = _ISO.get(unit, unit.upper())
    if money and unit not in ("", _ISO.get(money, money)) and unit in ("%", "bps"):
        return Token(Kind.UNREAD, match[0])
    kind = Kind.ORDINAL if part["ord"] else Kind.NUMBER
    return Token(kind, match[0], value, step, sign, unit or _ISO.get(money, money))


def _worded(word: str, text: str, end: int) -> tuple[Token, int]:
    low = word.lower()
    first, _, second = low.partition("-")
    if NUMERALS.get(first, 0) >= 20 and 0 < NUMERALS.get(second, 0) < 10:
        return _spelled(low, NUMERALS[first] + NUMERALS[second], text, end)
    if low in ORDINALS:
        return Token(Kind.ORDINAL, low, Decimal(ORDINALS[low])), end
    if low in NUMERALS:
        return _spelled(low, NUMERALS[low], text, end)
    if low in VAGUE or low.endswith(("-fold", "-thirds", "-fifths")) or first in NUMERALS:
        return Token(Kind.UNREAD, low), end
    return Token(Kind.WORD, low), end


def _spelled(low: str, value: int, text: str, end: int) -> tuple[Token, int]:
    """A number in words takes its unit from the words after, as figures do."""
    unit = re.compile(r"\s(per\s?cent|percentage\spoints?|basis\spoints?|%)(?!\w)", re.I)
    match = unit.match(text, end)
    if match:
        sign = "bps" if match[1].lower().startswith("b") else "%"
        return Token(Kind.NUMBER, low, Decimal(value), unit=sign), match.end()
    return Token(Kind.NUMBER, low, Decimal(value), unit="words"), end


def _spread_units(found: list[Token]) -> list[Token]:
    """`1.2 to 1.5 %`, `$12 and 15`: one unit, written once, holds for both."""
    result = list(found)
    for i in range(len(result) - 2):
        first, link, last = result[i : i + 3]
        if first.kind is last.kind is Kind.NUMBER and link.text in ("to", "and", "or", "–", "-"):
            if not first.unit and last.unit in ("%", "bps"):
                result[i] = _with_unit(first, last.unit)
            elif not last.unit and first.unit not in ("", "%", "bps", "words"):
                result[i + 2] = _with_unit(last, first.unit)
    return result


def _with_unit(token: Token, unit: str) -> Token:
    return Token(token.kind, token.text, token.value, token.step, token.sign, unit)
