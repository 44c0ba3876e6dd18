"""The line to a crypto spot exchange: settings, units, one call, and what its answer means.

Spoken through ccxt's implicit methods, so that prices and quantities travel as the exchange's
decimal strings and never as floats.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Any, Literal

import ccxt  # type: ignore[import-untyped]
from pydantic import Field, SecretStr

from hybridnb.domain import SCALE
from hybridnb.errors import BrokerDown, HybridnbError, ParamsError
from hybridnb.policy import Params

SKEW, NO_ORDER, CANCEL_FAILED, ARCHIVED = -1021, -2013, -2011, -2026
_TOO_MANY = (429, 418)  # the second is a ban of minutes
_KEY = (-1022, -2008, -2014, -2015)  # signature, unknown key, key format, key or its rights
_UNCERTAIN = (-1000, -1001, -1006, -1007)  # "execution status unknown", in the exchange's words


class CcxtSettings(Params):
    """Which exchange, where, and what one unit of ours is there."""

    exchange: Literal["binance", "binanceus"] = Field(
        "binance", description="exchange class of ccxt; both speak the same protocol"
    )
    base_url: str | None = Field(
        None, pattern=r"^https?://[^/\s]+$", description="None: the exchange's own sandbox"
    )
    timeout_s: float = Field(10.0, gt=0, le=60, description="seconds to wait for an answer")
    quote: str = Field("USDT", min_length=1, description="quote currency: the account's")
    pause_ms: float | None = Field(
        None, ge=0, description="milliseconds a unit of request weight; None: the exchange's"
    )
    unit: dict[str, str] = Field(
        min_length=1, description="symbol, like BTC/USDT, to coins of one unit, a decimal"
    )


class Denied(HybridnbError):
    """The exchange answered no; nothing was done. `code` is its own, `words` are its own."""

    def __init__(self, code: int, words: str) -> None:
        super().__init__(words)
        self.code, self.words = code, words


class Unanswered(HybridnbError):
    """No answer that can be read: what was asked may or may not have happened."""


def number(row: Mapping[str, Any], key: str) -> Decimal:
    """A finite decimal of a reply.

    Raises
    ------
    Unanswered
        Where it is absent, NaN, infinite, a float or no number: such a reply isn't understood.
    """
    value = row.get(key)
    if isinstance(value, str) or (isinstance(value, int) and not isinstance(value, bool)):
        try:
            amount = Decimal(value)
        except ArithmeticError:
            amount = Decimal("NaN")
        if amount.is_finite():
            return amount
    raise Unanswered(f"the exchange's answer holds no number as {key}: {value!r}")


def whole(row: Mapping[str, Any], key: str) -> int:
    """An integer of a reply; `Unanswered` where it is none."""
    amount = number(row, key)
    if amount != amount.to_integral_value():
        raise Unanswered(f"the exchange's answer holds no whole number as {key}: {amount}")
    return int(amount)


def text(row: Mapping[str, Any], key: str) -> str:
    """A text of a reply that isn't empty; `Unanswered` where it is none."""
    value = row.get(key)
    if not isinstance(value, str) or not value:
        raise Unanswered(f"the exchange's answer holds no text as {key}: {value!r}")
    return value


@dataclass(frozen=True, slots=True)
class Market:
    """A symbol and its units: `tick` in 1/10,000 of the quote currency a unit, `lot` in units.

    `step` is the smallest step of a price as the exchange counts it, in quote currency a coin.
    """

    symbol: str
    id: str
    base: str
    unit: Decimal
    step: Decimal
    tick: int
    lot: int

    def coins(self, units: int) -> Decimal:
        return self.unit * units

    def units(self, coins: Decimal) -> int:
        """Whole units in an amount of coins, rounded down."""
        return int(coins // self.unit)

    def to_wire(self, price: int) -> str:
        """A price on the tick, as the exchange writes it; exact, because ticks are counted."""
        return f"{self.step * (price // self.tick):f}"

    def price(self, price: Decimal) -> int:
        """An exchange's price in 1/10,000 a unit; exact for every price on its tick."""
        return round(Fraction(price) * Fraction(self.unit) * SCALE)


def market_of(symbol: str, unit: str, row: Mapping[str, Any]) -> Market:
    """A market from exchangeInfo's row.

    Raises
    ------
    ParamsError
        Where the unit is no positive decimal, or one tick of a unit is no multiple of 1/10,000.
    """
    key = f"unit.{symbol}"
    try:
        coins = Decimal(unit)
    except ArithmeticError:
        coins = Decimal(0)
    if not coins.is_finite() or coins <= 0:
        raise ParamsError(key, unit, "allowed: a positive decimal of coins, like 0.01")
    filters = {f.get("filterType"): f for f in row.get("filters", [])}
    step = number(filters.get("PRICE_FILTER", {}), "tickSize")
    lot_step = number(filters.get("LOT_SIZE", {}), "stepSize")
    if step <= 0 or lot_step <= 0:
        raise ParamsError(key, unit, "the exchange names no tick or no lot for this symbol")
    tick = Fraction(step) * Fraction(coins) * SCALE
    if tick.denominator != 1:
        least = Fraction(1, SCALE) / Fraction(step)
        shown = f"{least.numerator / Decimal(least.denominator):f}"
        allowed = (
            f"a tick of {step.normalize():f} times the unit must be a multiple of 1/10,000: "
            f"allowed are multiples of {shown} coins"
        )
        raise ParamsError(key, unit, allowed)
    # The fewest units that are a whole number of the exchange's steps of quantity.
    lot = (Fraction(coins) / Fraction(lot_step)).denominator
    base, name = text(row, "baseAsset"), text(row, "symbol")
    return Market(symbol=symbol, id=name, base=base, unit=coins, step=step, tick=int(tick), lot=lot)


class Line:
    """One connection: signs, paces, waits where told to, and says what an answer means."""

    def __init__(self, settings: CcxtSettings, key: SecretStr, secret: SecretStr) -> None:
        config = {
            "apiKey": key.get_secret_value(),
            "secret": secret.get_secret_value(),
            "enableRateLimit": True,
            "timeout": int(settings.timeout_s * 1000),
            "enableLastJsonResponse": True,
        }
        self._api: Any = getattr(ccxt, settings.exchange)(config)
        if settings.base_url is None:
            self._api.set_sandbox_mode(True)
        else:
            url = f"{settings.base_url}/api/v3"
            self._api.urls["api"] = {"public": url, "private": url}
        if settings.pause_ms is not None:
            self._api.rateLimit = settings.pause_ms
        # A request is void at the exchange after this long. It is no longer than our patience,
        # so what hasn't arrived when we give up waiting never will.
        self.window = min(5000, int(settings.timeout_s * 1000))
        self._api.options["recvWindow"] = self.window
        self._timeout = settings.timeout_s
        self.set_clock()

    @property
    def now(self) -> int:
        """The exchange's time in milliseconds, as far as we know it."""
        return int(self._api.nonce())

    def set_clock(self) -> None:
        """Measure how far our clock is from the exchange's."""
        here = self._api.milliseconds
        before = here()
        try:
            there = whole(self.call("publicGetTime"), "serverTime")
        except (Denied, Unanswered) as error:
            raise BrokerDown(f"the exchange doesn't tell its time: {error}") from None
        # The answer was written between asking and hearing: the middle errs least.
        self._api.options["timeDifference"] = (before + here()) // 2 - there

    def call(self, method: str, /, **params: Any) -> Any:
        """One request; told to wait, it waits within the timeout and asks again.

        Raises
        ------
        Denied
            The exchange said no.
        Unanswered
            Timed out, unreadable, or its execution is unknown.
        BrokerDown
            No connection, the clock can't be set, or the key is refused.
        """
        waited, skewed = 0.0, False
        while True:
            self._api.last_json_response = None
            try:
                answer = getattr(self._api, method)(dict(params))
            except ccxt.BaseError as error:
                reply = self._api.last_json_response
                code = reply.get("code") if isinstance(reply, dict) else None
                if code == SKEW and not skewed:
                    # Refused before anything was done, so it is safe to ask again.
                    skewed = True
                    self.set_clock()
                    continue
                pause = self._pause(error, code)
                waited += pause
                if pause and waited <= self._timeout:
                    self._api.sleep(pause * 1000)
                    continue
                raise _meaning(error, code, reply) from None
            if not isinstance(answer, dict | list):
                raise Unanswered(f"the exchange's answer to {method} can't be read")
            return answer

    def _pause(self, error: Exception, code: object) -> float:
        """Seconds the exchange wants us to wait; 0 where the error is another."""
        limited = isinstance(error, ccxt.DDoSProtection | ccxt.RateLimitExceeded)
        if not limited or code in _KEY:
            return 0.0
        try:
            told = float((self._api.last_response_headers or {}).get("Retry-After", 1.0))
        except ValueError:
            told = 1.0
        return max(told, 0.1) if told < float("inf") else self._timeout * 2  # NaN: 0.1

    def close(self) -> None:
        self._api.session.close()


def _meaning(error: Exception, code: object, reply: Any) -> HybridnbError:
    """What a ccxt error says of the request: done, not done, or not known."""
    words = str(reply.get("msg", "")) if isinstance(reply, dict) else ""
    words = words or type(error).__name__
    if code in _KEY or (code is None and isinstance(error, ccxt.AuthenticationError)):
        return BrokerDown(
            f"the exchange refuses the key: {words}",
            remedy="Check the API key and its secret, and the rights the exchange gives it.",
        )
    if code == SKEW:
        return BrokerDown(
            f"the exchange refuses our clock: {words}", remedy="Set this machine's clock."
        )
    limited = isinstance(error, ccxt.DDoSProtection | ccxt.RateLimitExceeded)
    if limited or code in _UNCERTAIN or isinstance(error, ccxt.RequestTimeout):
        return Unanswered(f"no answer in time: {words}")
    if isinstance(code, int):
        return Denied(code, _detail(reply) or words)
    # ccxt calls an answer that can't be decoded an error of the exchange: it may have acted.
    if isinstance(error, ccxt.ExchangeNotAvailable) or not isinstance(error, ccxt.NetworkError):
        return Unanswered(f"the exchange failed while answering: {words}")
    return BrokerDown(
        f"no connection to the exchange: {words}",
        remedy="Check the network and the exchange's status, then run the command again.",
    )


def _detail(reply: Any) -> str:
    """The words of the half of a cancel-and-replace that failed."""
    data = reply.get("data")
    parts = data if isinstance(data, dict) else {}
    found = [parts.get("newOrderResponse"), parts.get("cancelResponse")]
    return "; ".join(str(p["msg"]) for p in found if isinstance(p, dict) and "msg" in p)
