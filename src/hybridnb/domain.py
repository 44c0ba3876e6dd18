"""The nouns of the product: what is decided, ordered, filled and held.

Money is exact: prices and cash are integers of 1/10,000 of the account's currency (`SCALE`),
quantities are whole units. Floats appear only in statistics.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from enum import IntFlag, StrEnum

from hybridnb.values import quick

SCALE = 10_000


class Action(StrEnum):
    """What a decision asks for; its code in arrays is the position in this list."""

    HOLD = "HOLD"
    BUY = "BUY"
    SELL = "SELL"


class Bucket(StrEnum):
    """Exposure classes; codes in arrays are the positions in this list."""

    PENNY = "PENNY"
    FNO = "FNO"
    CORE = "CORE"
    SIP = "SIP"
    UNKNOWN = "UNKNOWN"


class Mode(StrEnum):
    DEMO = "DEMO"
    LIVE_MICRO = "LIVE_MICRO"
    LIVE_LIMITED = "LIVE_LIMITED"
    LIVE = "LIVE"

    @property
    def live(self) -> bool:
        return self is not Mode.DEMO


class TradingState(StrEnum):
    ACTIVE = "ACTIVE"
    REDUCING = "REDUCING"
    HALTED = "HALTED"


class Side(StrEnum):
    BUY = "BUY"
    SELL = "SELL"

    @property
    def sign(self) -> int:
        return 1 if self is Side.BUY else -1


class OrderType(StrEnum):
    MARKET = "MARKET"
    LIMIT = "LIMIT"
    STOP = "STOP"
    STOP_LIMIT = "STOP_LIMIT"


class OrderState(StrEnum):
    CREATED = "created"
    SUBMITTED = "submitted"
    ACCEPTED = "accepted"
    PARTIALLY_FILLED = "partially_filled"
    FILLED = "filled"
    CANCELLED = "cancelled"
    REJECTED = "rejected"
    EXPIRED = "expired"
    UNKNOWN = "unknown"

    @property
    def open(self) -> bool:
        """True while the order can still fill; an unknown order is in flight until reconciled."""
        return self._value_ not in ("filled", "cancelled", "rejected", "expired")


class Leg(StrEnum):
    """Why an order exists: to enter, to protect, to leave, or to sweep profit into the SIP."""

    ENTRY = "entry"
    STOP = "stop"
    TARGET = "target"
    EXIT = "exit"
    FLATTEN = "flatten"
    SWEEP = "sweep"

    @property
    def reduces(self) -> bool:
        return self not in (Leg.ENTRY, Leg.SWEEP)


class Bound(StrEnum):
    """The cap that bound the size; codes in arrays are the positions in this list."""

    NONE = "none"
    NAME = "per_name_cap"
    BUCKET = "bucket_headroom"
    KELLY = "quarter_kelly"
    LEVERAGE = "leverage_room"
    MARGIN = "margin"
    REFUSED = "refused"


class Refusal(IntFlag):
    """Reason codes of refused entries and orders, one bit each; the text is what reports print."""

    UNKNOWN_CLASS = 1 << 0, "the symbol belongs to no class"
    DO_NOT_TRADE = 1 << 1, "the symbol is on the do-not-trade list"
    STALE_DATA = 1 << 2, "no bar for the last session"
    BAD_QUALITY = 1 << 3, "a quality error took the symbol out of the universe"
    PENNY_ADV = 1 << 4, "average daily traded value below the penny minimum"
    PENNY_PRICE = 1 << 5, "price below the penny minimum"
    KILL_SWITCH = 1 << 6, "the kill switch is latched"
    QUARANTINE = 1 << 7, "quarantined: demo only"
    BRAKE = 1 << 8, "the emergency brake is on"
    TRADING_STATE = 1 << 9, "the trading state allows exits only"
    MODE_EXCLUDED = 1 << 10, "the trading mode excludes this kind of order"
    NO_VERDICT = 1 << 11, "no valid PASS verdict for this model"
    NO_PREDICTION = 1 << 12, "both predictors are missing"
    NOT_FINITE = 1 << 13, "an input is NaN or infinite"
    KELLY = 1 << 14, "Kelly is zero, negative or unknown: no edge to bet on"
    LOW_CONFIDENCE = 1 << 15, "confidence below the threshold in force"
    TAIL_UNKNOWN = 1 << 16, "too little history for value at risk"
    NO_ROOM = 1 << 17, "no room under a cap"
    BELOW_MINIMUM = 1 << 18, "order value below the minimum"
    MARGIN = 1 << 19, "margin after the order would exceed what is available"
    LOCKED = 1 << 20, "a protection lock is in force"
    SIP_ONLY = 1 << 21, "the symbol is bought by the end-of-day sweep only"
    NO_SHORTS = 1 << 22, "shorts are not allowed and nothing is held"
    DUPLICATE = 1 << 23, "an order with this client id exists, or another decision's equal to it"
    HALTED = 1 << 24, "the instrument is halted or has no volume"
    CURRENCY = 1 << 25, "the instrument's currency isn't the account's and the feed gives no rate"
    COLLAR = 1 << 26, "the price lies outside the collar around the last price"
    ORDER_VALUE = 1 << 27, "the order's value is above the limit of one order"
    ORDER_VOLUME = 1 << 28, "the order's quantity is above the limit of one order"
    THROTTLED = 1 << 29, "more messages in a second than the limit"
    DISABLED = 1 << 30, "repeated executions disabled the symbol until a person enables it"
    CREDIT = 1 << 31, "aggregate exposure or credit above its threshold"
    UNEXECUTED = 1 << 32, "value of unexecuted orders above its limit"
    INVALID = 1 << 33, "quantity or price isn't finite, positive, on the tick and the lot"
    VENUE = 1 << 34, "the venue rejected the order; its words are in the order's note"
    UNRECONCILED = 1 << 35, "the book and the broker differ: not reconciled"
    DISCONNECTED = 1 << 36, "no connection to the broker"

    text: str

    def __new__(cls, value: int, text: str = "") -> Refusal:
        member = int.__new__(cls, value)
        member._value_, member.text = value, text
        return member


def refusal_names(bits: int) -> tuple[str, ...]:
    """Names of the set bits, in the enum's order."""
    return tuple(str(r.name) for r in Refusal if r.value & bits)


class Status(StrEnum):
    """Outcome of a gate. Missing evidence is not a pass."""

    PASS = "PASS"
    FAIL = "FAIL"
    INSUFFICIENT_EVIDENCE = "INSUFFICIENT_EVIDENCE"


class Outcome(StrEnum):
    """What became of one question to a reasoner; all but OK are failures."""

    OK = "ok"
    UNREACHABLE = "unreachable"  # refused, reset, or no such host
    TIMEOUT = "timeout"  # no whole reply in the time given
    UNAUTHORISED = "unauthorised"
    NO_MODEL = "no_model"  # the model isn't there
    RATE_LIMITED = "rate_limited"  # too many requests, no quota, or a queue that is full
    REJECTED = "rejected"  # any other request the server wouldn't take
    SERVER_ERROR = "server_error"
    TOO_LONG = "too_long"  # the prompt doesn't fit: nothing was sent, or nothing was read
    TOO_LARGE = "too_large"  # a reply larger than any that could be meant
    TRUNCATED = "truncated"  # the reply ended at its ceiling of tokens
    REFUSED = "refused"  # the model declined
    FAILED = "failed"  # the server says that the model failed
    NOT_JSON = "not_json"
    WRONG_SHAPE = "wrong_shape"  # JSON, but not what was asked for


class Basis(StrEnum):
    """What a feed's bars hold: all four prices, or the close alone."""

    OHLCV = "ohlcv"
    CLOSE = "close"


@dataclass(frozen=True, slots=True)
class Instrument:
    """What must be known of a symbol to trade it.

    `tick` and prices are in 1/10,000; `lot` in units; `delta`, `multiplier` and `margin_rate`
    turn a quantity into exposure `abs(delta) × quantity × multiplier × price` and margin.
    """

    symbol: str
    bucket: Bucket
    currency: str
    sector: str = ""
    tick: int = 1
    lot: int = 1
    multiplier: int = 1
    delta: float = 1.0
    margin_rate: float = 1.0


@quick
@dataclass(frozen=True, slots=True)
class Bar:
    """One session of one symbol; prices in 1/10,000, volume in units."""

    symbol: str
    session: dt.date
    open: int
    high: int
    low: int
    close: int
    volume: int


@quick
@dataclass(frozen=True, slots=True)
class Order:
    """An order as the ledger records it. `client_id` is a function of (session, decision, leg)."""

    client_id: str
    symbol: str
    side: Side
    quantity: int
    type: OrderType
    leg: Leg
    state: OrderState
    decision_id: str
    limit: int | None = None
    stop: int | None = None
    filled: int = 0
    refusals: tuple[str, ...] = ()
    note: str = ""

    @property
    def left(self) -> int:
        return self.quantity - self.filled


@quick
@dataclass(frozen=True, slots=True)
class Fill:
    """One execution: `price` includes slippage; costs are exact amounts in 1/10,000."""

    fill_id: str
    client_id: str
    symbol: str
    side: Side
    leg: Leg
    quantity: int
    price: int
    reference: int
    commission: int
    slippage: int
    at: str


@quick
@dataclass(frozen=True, slots=True)
class Position:
    """An open position with the protective levels the control plane owns.

    `cost` is the exact sum of price × quantity × multiplier of the entry fills: the fill-weighted
    entry is `cost / (quantity × multiplier)`; `atr` is the one the levels were set with.
    """

    symbol: str
    quantity: int
    cost: int
    multiplier: int
    atr: float
    stop: int
    target: int
    best: int
    decision_id: str
    opened: str
    fees: int = 0

    @property
    def entry(self) -> float:
        return self.cost / (self.quantity * self.multiplier)
