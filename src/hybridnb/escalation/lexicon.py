"""The words that a grounding check knows: numerals, directions, boundaries, synonyms."""

from __future__ import annotations


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


ABBREVIATIONS = frozenset(
    _words(
        "e.g i.e vs approx mr mrs ms dr inc corp ltd co cf est ca st jan feb mar apr jun jul aug "
        "sep sept oct nov dec no fig u.s u.k p.m a.m"
    )
)
_MONTHS = _words(
    "january february march april may june july august september october november december"
)
MONTHS = {name[:3]: number for number, name in enumerate(_MONTHS, 1)}
LONE_MONTHS = {name: n for n, name in enumerate(_MONTHS, 1) if name not in ("march", "may")}
WEEKDAYS = {
    name: n
    for n, name in enumerate(_words("monday tuesday wednesday thursday friday saturday sunday"))
}
_ONES = _words(
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen "
    "fifteen sixteen seventeen eighteen nineteen"
)
_TENS = _words("twenty thirty forty fifty sixty seventy eighty ninety")
NUMERALS = {w: i for i, w in enumerate(_ONES)} | {w: 10 * i for i, w in enumerate(_TENS, 2)}
ORDINALS = {
    w: i
    for i, w in enumerate(
        _words("second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth"), 2
    )
}
SCALES = {"k": 3, "thousand": 3, "m": 6, "mn": 6, "million": 6, "b": 9, "bn": 9, "billion": 9}
# Quantities in words that are no figures: nothing in a table can bear them out.
VAGUE = frozenset(
    _words(
        "hundred hundreds thousand thousands million millions billion billions trillion dozen "
        "dozens half twice thrice double doubled doubling triple tripled quadrupled halved tenfold "
        "twofold threefold quarter quarters thirds fifths tenths score myriad percent percentage"
    )
)
# Words in capitals that are no symbols.
CAPITALS = frozenset(
    _words(
        "A I P L PNL USD CAD EUR GBP INR US U.S UK U.K EU ETF ETFS VAR ES ATR SIP DEMO LIVE BUY "
        "SELL HOLD CORE FNO PENNY OK AM PM UTC ET ADV NAV BPS PP RL ML AI FX CVAR ACTIVE REDUCING "
        "HALTED"
    )
)
CURRENCIES = frozenset(_words("USD CAD EUR GBP INR"))
RISING = frozenset(
    _words(
        "gain gains gained gaining rise rises rose risen rising won win wins winning winner made "
        "make makes making earn earned earns earning profit profits profited added adds adding "
        "climb climbed climbs increase increased increases advanced advances improved recovered "
        "recovers helped jumped rallied grew netted brought returned"
    )
)
FALLING = frozenset(
    _words(
        "lose loses losing lost loss losses loser fell fall falls falling fallen drop drops "
        "dropped dropping decline declines declined declining decrease decreased decreases dip "
        "dipped slid slide slipped gave shed sheds deficit cost costing hurt sank tumbled plunged "
        "subtracted detracted detracts dragged drag took takes burned burnt bled shrank forfeited"
    )
)
# These tell a direction only beside a number: "up 1.2 %", "1.2 % lower".
RISING_BESIDE = frozenset(_words("up higher above plus black positive ahead"))
FALLING_BESIDE = frozenset(_words("down lower below minus red negative behind underwater"))
# May stand between a direction and its number.
FILLERS = frozenset(_words("by of about around roughly nearly almost some a an the in just only"))
REACHED = frozenset(_words("to from at"))  # "fell to 182.00": a level, no change
STANDS = frozenset(_words("was is were are ended stood came reached closed finished totalled"))
BOUNDARIES = frozenset(
    _words(
        "and but while whereas because as after since although though despite when which before "
        "against versus vs offset leaving mostly mainly largely chiefly due thanks owing driven"
    )
)
BEYOND = frozenset(_words("over under beyond exceeded exceeding exceeds than least most"))
EACH = frozenset(_words("per each apiece annualised"))
NEGATIONS = frozenset(
    _words(
        "not never no neither nor without hardly barely cannot didn't doesn't wasn't isn't weren't "
        "don't hasn't haven't hadn't won't nothing"
    )
)
# Read as one word each: no direction is meant by them.
PHRASES = {
    "profit and loss": "p&l",
    "profit/loss": "p&l",
    "gains and losses": "p&l",
    "stop-loss": "stop",
    "stop loss": "stop",
    "take-profit": "target",
    "take profit": "target",
    "profit target": "target",
    "loss limit": "limit",
    "made up": "was",
    "gave up": "lost",
    "given up": "lost",
    "give up": "lose",
    "giving up": "losing",
    "took place": "was",
    "took profit": "exited",
    "cannot": "can not",
}
WHOLE = frozenset(_words("book portfolio account strategy desk total overall equity"))
BOOKISH = WHOLE | frozenset(_words("session day night today we"))
COUNTED = frozenset(
    _words(
        "trade trades entry entries exit exits order orders fill fills stop stops target targets "
        "position positions decision decisions refusal refusals alert alerts session sessions "
        "symbol symbols name names winner winners loser losers time times clamp clamps cap caps "
        "day days"
    )
)
HELD = frozenset(_words("share shares unit units contract contracts"))
# Words of a name that tell no fact from another.
COMMON = frozenset(
    _words(
        "of the by per on in at for to a an and or day session book amount value number count "
        "total price trade trades all from with was is that were hit sent made this each"
    )
)
_SAME = {
    "pnl": "p&l pnl profit loss losse gain lost lose gained made earned result return won earn "
    "cost added fell rose gave dropped",
    "commission": "commission commissions fee fees",
    "cost": "cost costs fees",
    "slippage": "slippage slipped",
    "drawdown": "drawdown peak",
    "equity": "equity nav worth",
    "entry": "entry entries entered bought opened",
    "exit": "exit exits exited sold left closed",
    "refused": "refused refusal refusals rejected declined",
    "stop": "stop stops stopped stopped-out",
    "target": "target targets",
    "winning": "winning winner winners won",
    "losing": "losing loser losers lost",
    "decision": "decision decisions decided",
    "position": "position positions held holding",
    "order": "order orders",
    "alert": "alert alerts",
    "flatten": "flatten flattened flattening",
    "clamp": "clamp clamps clamped cap capped bound",
}
SYNONYMS = {
    word: frozenset(stem for stem, text in _SAME.items() if word in (*_words(text), stem))
    for group, spelled in _SAME.items()
    for word in (*_words(spelled), group)
}


def stems(word: str) -> frozenset[str]:
    """What a word of a name or a sentence may stand for."""
    low = word.lower().removesuffix("'s")
    return SYNONYMS.get(low) or frozenset({low[:-1] if low.endswith("s") else low})
