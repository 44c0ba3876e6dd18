"""Does a number agree with what its sentence says around it: owner, direction, name?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile

from hybridnb.escalation import lexicon as lex
from hybridnb.escalation.facts import Fact, Sense, Unit
from hybridnb.escalation.prose import Kind, Token


@dataclass(frozen=True, slots=True)
class Scene:
    """A sentence read: its tokens, the clause of each, and where its symbols and numbers are."""

    tokens: Sequence[Token]
    clause: Sequence[int]
    symbols: Sequence[int]
    figures: Sequence[int]

    def word(self, i: int) -> str:
        """The word at a place, without its genitive; "" beyond the ends and for other tokens."""
        if not 0 <= i < len(self.tokens) or self.tokens[i].kind is not Kind.WORD:
            return ""
        return self.tokens[i].text.removesuffix("'s")

    def near(self, i: int) -> Iterator[int]:
        """Places of the clause of `i`, itself left out."""
        return (j for j in range(len(self.tokens)) if self.clause[j] == self.clause[i] and j != i)


def owner(scene: Scene, i: int) -> tuple[str | None, bool]:
    """What a number belongs to: a symbol, "" for the book, None where nothing is named.

    Returns
    -------
    tuple
        The owner, and whether it stands in the number's own clause.
    """
    numbers = [j for j in scene.figures if scene.tokens[j].kind is Kind.NUMBER]
    if 1 < len(numbers) == len(scene.symbols) and i in numbers and scene.symbols[-1] < numbers[0]:
        return scene.tokens[scene.symbols[numbers.index(i)]].text, True
    for j in (i + 2, i + 3):
        linked = scene.word(j - 1) in ("in", "on", "for", "from", "by", "at", "of", "to")
        if linked and j in scene.symbols and scene.clause[j] == scene.clause[i]:
            return scene.tokens[j].text, True
    inside = list(scene.near(i))
    before, after = [j for j in reversed(inside) if j < i], [j for j in inside if j > i]
    for places, here in ((before, True), (after, True)):
        found = _first_owner(scene, places)
        if found is not None:
            return found, here
    if any(scene.word(j) in lex.BOOKISH for j in inside):
        return "", True
    rest = [*reversed(range(i)), *range(i + 1, len(scene.tokens))]
    return _first_owner(scene, rest), False


def _first_owner(scene: Scene, places: Sequence[int]) -> str | None:
    for j in places:
        if j in scene.symbols:
            return scene.tokens[j].text
        if scene.word(j) in lex.WHOLE:
            return ""
    return None


def owned(scene: Scene, i: int, fact: Fact, cited: bool) -> bool:
    """True where a fact belongs to what the number is told of."""
    who, here = owner(scene, i)
    if fact.symbol:
        named = fact.symbol in {scene.tokens[j].text for j in scene.symbols}
        return who == fact.symbol or (cited and (who is None or (who == "" and named)))
    if not who:
        return True
    if here:
        return False
    spoken = any(scene.word(j) in lex.BOOKISH for j in scene.near(i))
    return fact.unit is Unit.COUNT or spoken or _distance(scene, i, fact) is not None


def direction(scene: Scene, i: int) -> int:
    """Which way a sentence says that a figure went: -1, 1, or 0 where it doesn't say.

    The word right after the number counts first ("a 1.2 % loss"), then the nearest before it in
    its clause, then after it, then in the sentence, unless the clause has a verb that only
    states ("was", "ended at").
    """
    beside = _beside(scene, i)
    if beside:
        return beside
    if _restated(scene, i):
        return direction(scene, i - 2)
    inside = list(scene.near(i))
    before, after = [j for j in reversed(inside) if j < i], [j for j in inside if j > i]
    if scene.word(i - 1) in lex.REACHED and _way(scene.word(i - 2)):
        return 0
    found = _first_way(scene, before) or _first_way(scene, after)
    if found or any(scene.word(j) in lex.STANDS for j in inside):
        return found
    earlier = takewhile(lambda j: scene.word(j) != "offset", reversed(range(i)))
    return _first_way(scene, [*earlier, *range(i + 1, len(scene.tokens))])


def _restated(scene: Scene, i: int) -> bool:
    """True for the second of `down 1,234.56 (1.2 %)`: the same told in another unit."""
    kinds = [t.kind for t in scene.tokens[max(0, i - 2) : i]]
    return kinds == [Kind.NUMBER, Kind.STOP] and scene.tokens[i - 1].text == "("


def _way(word: str) -> int:
    return (word in lex.RISING) - (word in lex.FALLING)


def _way_beside(word: str) -> int:
    return _way(word) or (word in lex.RISING_BESIDE) - (word in lex.FALLING_BESIDE)


def _first_way(scene: Scene, places: Sequence[int]) -> int:
    return next(filter(None, (_way(scene.word(j)) for j in places)), 0)


def _beside(scene: Scene, i: int) -> int:
    """The direction told by the words that touch the number: `up 1.2 %`, `a 12.00 loss`."""
    after = scene.word(i + 1)
    if after == "in" and scene.word(i + 3) in ("red", "black"):  # in the red
        after = scene.word(i + 3)
    elif after in ("trading", "realised", "net", "daily", "total", "unrealised"):
        after = scene.word(i + 2)
    return _way_beside(after) or governed(scene, i)


def governed(scene: Scene, i: int) -> int:
    """The direction of the word whose object the number is: nothing but fillers between."""
    j = i - 1
    while scene.word(j) in lex.FILLERS:
        j -= 1
    return _way_beside(scene.word(j))


def signed(scene: Scene, i: int, fact: Fact) -> bool:
    """True where the sign written, or the direction told, is the fact's."""
    written, value = scene.tokens[i].sign, fact.number
    if value is None:
        return False
    sign = (value > 0) - (value < 0)
    if sign == 0:
        return written == 0 and (fact.sense is not Sense.PROFIT or not _beside(scene, i))
    if fact.sense is Sense.COST:
        told = _way_beside(scene.word(i + 1)) or _hard(scene, i)
        return written >= 0 and told * sign <= 0
    if fact.sense is Sense.LEVEL:
        object_of = fact.unit is Unit.CURRENCY and _hard(scene, i) != 0
        return not object_of and (written or 1) == sign
    told = _beside(scene, i) if written else direction(scene, i)
    if written:
        return written == sign and told in (0, sign)
    return (told or 1) == sign


def _hard(scene: Scene, i: int) -> int:
    """The direction of a gain or loss whose object the number is: `lost 1,003,201.12`."""
    j = i - 1
    while scene.word(j) in lex.FILLERS:
        j -= 1
    return _way(scene.word(j))


def called(scene: Scene, i: int, found: Sequence[Fact], rivals: Sequence[Fact]) -> bool:
    """True unless the clause calls the number by the name of another fact.

    Parameters
    ----------
    found : sequence of Fact
        Those that the number may be.
    rivals : sequence of Fact
        All whose unit fits the number, and all costs.
    """
    who, _ = owner(scene, i)
    held = {f.id for f in found}
    ours = [_distance(scene, i, f) for f in found]
    if any(not _keys(f) for f in found):
        return True
    others = [_distance(scene, i, f) for f in rivals if f.id not in held and f.symbol in ("", who)]
    nearest = min((d for d in others if d is not None), default=None)
    mine = min((d for d in ours if d is not None), default=None)
    paid = any(f.sense is Sense.COST for f in found) and scene.word(i - 1) == "cost"
    if nearest is None or (paid and mine is not None):  # `commission cost 12.50`: no loss by itself
        return True
    return mine is not None and mine <= nearest


def anchored(scene: Scene, fact: Fact) -> bool:
    """True where the sentence has a word of a count's name: small numbers are equal by chance."""
    if fact.unit is not Unit.COUNT:
        return True
    own = frozenset().union(*(lex.stems(w) for w in fact.name.lower().replace("_", " ").split()))
    return any(own & lex.stems(scene.word(j)) for j in range(len(scene.tokens)) if scene.word(j))


def _keys(fact: Fact) -> list[frozenset[str]]:
    words = [w for w in fact.name.lower().replace("_", " ").split() if w not in lex.COMMON]
    if fact.unit is Unit.COUNT and not words:
        words = fact.name.lower().split()[-1:]
    return [lex.stems(w) for w in words]


def _distance(scene: Scene, i: int, fact: Fact) -> int | None:
    """Words between a number and the nearest of a fact's name; None unless all are in its clause.

    A word after the number is as near as one before it, and nothing nearer than `12.50 in fees`.
    """
    keys = _keys(fact)
    said = {
        j: lex.stems(scene.word(j))
        for j in scene.near(i)
        if scene.word(j) and (j - 1 == i or j - 1 not in scene.figures)  # `a 2 % loss`: told
    }
    if not keys or not all(any(key & stems for stems in said.values()) for key in keys):
        return None
    places = [j for j, stems in said.items() if any(key & stems for key in keys)]
    joined = scene.word(i + 1) in ("in", "of") and i + 2 in places
    return 0 if joined else min(abs(j - i) for j in places)
