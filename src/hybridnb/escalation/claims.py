"""One sentence against a table of facts: does every number, symbol and date in it hold?

A number holds when one fact has its value at the rounding shown, its unit, its sign, belongs to
what the sentence speaks of, and isn't told under another fact's name. Doubt counts against it.
"""

from __future__ import annotations

import datetime as dt
import re
from decimal import ROUND_HALF_EVEN, ROUND_HALF_UP, Decimal

from hybridnb.escalation import lexicon as lex
from hybridnb.escalation.agreement import Scene, anchored, called, direction, owned, signed
from hybridnb.escalation.facts import Fact, FactTable, Sense, Unit, rounded
from hybridnb.escalation.prose import Kind, Token, bare, tokens, unreadable

COARSEST = Decimal("0.05")  # of the value: a rounding that moves it by more tells another story
DOLLARS = frozenset({"USD", "CAD", "AUD", "HKD", "SGD", "NZD"})
_QUOTED = re.compile(r'"([^"]*)"')


def fault(sentence: str, table: FactTable) -> str:
    """Why a sentence isn't grounded in the facts; "" when it is."""
    reason = unreadable(sentence)
    if reason:
        return reason
    words = frozenset(re.findall(r"\w+", " ".join(_said(f) for f in table)))
    plain = _masked(bare(sentence), table)
    scene = _scene(tokens(plain, table.symbols, words))
    reason = _strange(scene, table, frozenset(w.lower() for w in words)) or _ids(scene, table)
    if reason:
        return reason
    for i in scene.figures:
        token = scene.tokens[i]
        if token.kind is Kind.DATE:
            reason = _date_fault(scene, i, table)
        elif not _pronoun(scene, i):
            reason = number_fault(scene, i, table)
        if reason:
            return reason
    return _calendar(scene, table) or _wordless(scene, table)


def _said(fact: Fact) -> str:
    return f"{fact.name} {fact.value}" if fact.unit is Unit.TEXT else fact.name


def _masked(plain: str, table: FactTable) -> str:
    """The sentence with what it quotes from the table, and phrases of one meaning, as one word."""
    texts = {str(f.value) for f in table if f.unit is Unit.TEXT}
    quotes = {bare(t) for t in texts}
    plain = _QUOTED.sub(lambda m: "quoted" if m[1].strip(" .,") in quotes else m[0], plain)
    named = {f.name for f in table if any(c.isdigit() for c in f.name)}
    for name in sorted(named, key=lambda n: (-len(n), n)):
        plain = re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", "named", plain)
    for phrase, word in lex.PHRASES.items():
        plain = re.sub(rf"(?<!\w){phrase}(?!\w)", word, plain, flags=re.I)
    return plain


def _scene(found: list[Token]) -> Scene:
    clause, at = [], 0
    for i, token in enumerate(found):
        breaks = token.text in (";", "—", "(", ")") or token.text in lex.BOUNDARIES
        breaks |= token.text == "," and not _listed(found, i)
        at += breaks
        clause.append(at)
    kinds = (Kind.NUMBER, Kind.ORDINAL, Kind.DATE)
    return Scene(
        found,
        clause,
        [i for i, t in enumerate(found) if t.kind is Kind.SYMBOL],
        [i for i, t in enumerate(found) if t.kind in kinds],
    )


def _listed(found: list[Token], i: int) -> bool:
    return 0 < i < len(found) - 1 and found[i - 1].kind is found[i + 1].kind is Kind.CITED


def _strange(scene: Scene, table: FactTable, known: frozenset[str]) -> str:
    for token in scene.tokens:
        if token.kind is Kind.UNREAD:
            return f"has a quantity that can't be read: {token.text!r}"
        if token.kind is Kind.SYMBOL and token.text not in table.symbols:
            return f"{token.text} is no symbol of the facts"
        if token.kind is Kind.WORD and "_" in token.text and token.text not in known:
            return f"{token.text} is no code of the facts"
        if token.kind is Kind.STOP and token.text in "_×€£$%":
            return f"has a sign that belongs to no number: {token.text!r}"
    return ""


def _ids(scene: Scene, table: FactTable) -> str:
    cited = [t.text for t in scene.tokens if t.kind is Kind.CITED]
    for fact_id in cited:
        if fact_id not in table:
            return f"{fact_id} is no id"
    owners = {table[fact_id].symbol for fact_id in cited}
    named = {scene.tokens[i].text for i in scene.symbols}
    told = {str(table[i].value) for i in cited if table[i].unit is Unit.SYMBOL}
    if named and owners and "" not in owners and not named & (owners | told):
        return "the ids are those of another symbol"
    return ""


def _pronoun(scene: Scene, i: int) -> bool:
    """`one` that counts nothing: no one, the one, one of them."""
    if scene.tokens[i].text != "one":
        return False
    before = ("no", "the", "this", "that", "each", "every", "any", "some", "which", "another")
    return scene.word(i - 1) in before or scene.word(i + 1) in ("of", "another", "by")


def number_fault(scene: Scene, i: int, table: FactTable) -> str:
    """Why the number at a place isn't grounded; "" when it is."""
    token = scene.tokens[i]
    if scene.word(i + 1) in lex.EACH:
        return f"{token.text}: a figure for each is another figure"
    if scene.word(i - 1) in lex.BEYOND or (scene.word(i - 1), scene.word(i - 2)) == ("to", "up"):
        return f"{token.text}: more or less than a figure is no figure"
    if _negated(scene, i):
        return f"{token.text}: what didn't happen is no fact"
    if _year(token, table):
        return ""
    equal = [f for f in table if _equal(scene, i, f, table.currency)]
    if not equal:
        return f"{token.text} is no fact"
    cited = _cited(scene, i)
    found = [f for f in equal if not cited or f.id in cited]
    if not found:
        return f"{token.text} is none of the facts cited"
    found = [f for f in found if owned(scene, i, f, bool(cited))]
    if not found:
        return f"{token.text} belongs to something else"
    found = [f for f in found if cited or anchored(scene, f)]
    if not found:
        return f"{token.text} counts something else"
    found = [f for f in found if signed(scene, i, f)]
    if not found:
        return f"{token.text} has the other sign"
    rivals = [
        f for f in table if f.sense is Sense.COST or _scale(scene, i, f, table.currency) is not None
    ]
    return "" if called(scene, i, found, rivals) else f"{token.text} is another figure"


def _negated(scene: Scene, i: int) -> bool:
    return any(
        scene.word(j) in lex.NEGATIONS and scene.clause[j] == scene.clause[i]
        for j in range(max(0, i - 5), i)
    )


def _year(token: Token, table: FactTable) -> bool:
    if not re.fullmatch(r"(?:19|20)\d\d", token.text):
        return False
    return any(isinstance(f.value, dt.date) and f.value.year == token.value for f in table)


def _equal(scene: Scene, i: int, fact: Fact, currency: str) -> bool:
    """True where a fact, rounded as the text rounds, has this magnitude in this unit."""
    token, value = scene.tokens[i], fact.number
    if value is None or token.value is None:
        return False
    scale = _scale(scene, i, fact, currency)
    if scale is None:
        return False
    step = Decimal(1).scaleb(_exponent(token.step))
    for exactly in (value, rounded(value, fact.places)):
        size = abs(exactly) * scale
        near = {(size / step).quantize(Decimal(1), how) * step for how in _HOW}
        if token.value in near and abs(token.value - size) <= COARSEST * size:
            return True
    return False


_HOW = (ROUND_HALF_EVEN, ROUND_HALF_UP)


def _exponent(step: Decimal) -> int:
    return int(step.as_tuple().exponent)


def _scale(scene: Scene, i: int, fact: Fact, currency: str) -> Decimal | None:
    """What turns a fact as printed (percent, bps, money) into the text's unit; None: nothing."""
    before = scene.word(i - 1).upper()
    unit = scene.tokens[i].unit or (before if before in lex.CURRENCIES else "")
    if unit in ("%", "bps"):
        inside = {Unit.SHARE: Decimal(1), Unit.BPS: Decimal("0.01")}.get(fact.unit)
        return inside * (100 if unit == "bps" else 1) if inside is not None else None
    if unit == "words" or scene.tokens[i].kind is Kind.ORDINAL:
        return Decimal(1) if fact.unit in (Unit.COUNT, Unit.UNITS) else None
    if unit:
        fits = unit == currency or (unit == "$" and currency in DOLLARS)
        return Decimal(1) if fits and fact.unit is Unit.CURRENCY else None
    if fact.unit is Unit.SHARE and "." in scene.tokens[i].text:
        return Decimal("0.01")
    return Decimal(1) if fact.unit in _nouns(scene, i) else None


def _nouns(scene: Scene, i: int) -> frozenset[Unit]:
    """Units that a bare number may have, by the noun after it."""
    hyphen = i + 2 < len(scene.tokens) and scene.tokens[i + 1].text == "-"
    after = scene.word(i + 1 + hyphen)
    if after.endswith(("ing", "ed")) or after in ("open", "other", "more", "new", "further"):
        after = scene.word(i + 2)
    if after in lex.HELD:
        return frozenset({Unit.UNITS})
    if "." in scene.tokens[i].text:
        return frozenset({Unit.CURRENCY})
    if after in lex.COUNTED:
        return frozenset({Unit.COUNT})
    return frozenset({Unit.CURRENCY, Unit.COUNT, Unit.UNITS})


def _cited(scene: Scene, i: int) -> frozenset[str]:
    """Ids that stand for a number: the group after it, or before it where ids come first."""
    groups: list[tuple[int, set[str]]] = []
    for j, token in enumerate(scene.tokens):
        if token.kind is not Kind.CITED:
            continue
        joined = groups and all(
            t.kind is Kind.CITED or t.text in (",", ";", "and", "[", "]", "(", ")", ".", "–")
            for t in scene.tokens[groups[-1][0] : j]
        )
        if joined:
            groups[-1][1].add(token.text)
        else:
            groups.append((j, {token.text}))
    if not groups:
        return frozenset()
    if groups[0][0] < scene.figures[0]:
        return frozenset([g for at, g in groups if at < i][-1])
    return frozenset(next((g for at, g in groups if at > i), groups[-1][1]))


def _date_fault(scene: Scene, i: int, table: FactTable) -> str:
    year, month, day = scene.tokens[i].date
    if _negated(scene, i):
        return f"{scene.tokens[i].text}: what didn't happen is no fact"
    named = {scene.tokens[j].text for j in scene.symbols}
    found = [
        f
        for f in table
        if isinstance(f.value, dt.date)
        and year in (None, f.value.year)
        and month == f.value.month
        and day in (None, f.value.day)
    ]
    if not found:
        return f"{scene.tokens[i].text} is no date of the facts"
    if not any(f.symbol in named or not f.symbol or not named for f in found):
        return f"{scene.tokens[i].text} belongs to something else"
    return ""


def _calendar(scene: Scene, table: FactTable) -> str:
    """Days of the week and months by name are those of a date of the facts."""
    dates = [f.value for f in table if isinstance(f.value, dt.date)]
    days, months = {d.weekday() for d in dates}, {d.month for d in dates}
    for i in range(len(scene.tokens)):
        word = scene.word(i)
        if lex.WEEKDAYS.get(word.removesuffix("s"), next(iter(days), -1)) not in (days or {-1}):
            return f"{word} is the day of no date of the facts"
        if lex.LONE_MONTHS.get(word, next(iter(months), -1)) not in (months or {-1}):
            return f"{word} is the month of no date of the facts"
    return ""


def _wordless(scene: Scene, table: FactTable) -> str:
    """`AAPL gained.`: a direction without a figure must be that of a profit or loss of AAPL."""
    if any(scene.tokens[i].kind is Kind.NUMBER for i in scene.figures):
        return ""
    for i in scene.symbols:
        told = direction(scene, i)
        own = [f for f in table if f.symbol == scene.tokens[i].text and f.sense is Sense.PROFIT]
        signs = {f.number.compare(Decimal(0)) for f in own if f.number is not None}
        alone = not any(j in scene.symbols for j in scene.near(i))
        if told and signs and told not in signs and alone:
            return f"{scene.tokens[i].text} went the other way"
        if told and _negated(scene, i):
            return "what didn't happen is no fact"
    return ""
