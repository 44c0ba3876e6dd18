"""The operator's numbers: one frozen, validated value, loaded from `params/policy.yml`.

Every default is the specification's; the field's description says unit and meaning. Unknown
keys are refused. The policy's id is the SHA-256 of its canonical JSON, so that any change of
any number is another policy.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from hybridnb.canonical import sha256
from hybridnb.domain import Mode
from hybridnb.errors import ParamsError

P = TypeVar("P", bound="Params")
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Count = Annotated[int, Field(ge=0)]


class Params(BaseModel):
    """Base of everything that strangers write: frozen, unknown keys, NaN, infinity refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Blend(Params):
    """Weights, thresholds and penalties of the score."""

    weight_short: Share = Field(0.4, description="weight of p_short")
    weight_mid: Share = Field(0.3, description="weight of p_mid")
    weight_rl: Share = Field(0.3, description="weight of sigmoid(size hint)")
    buy: Share = Field(0.67, description="score at or above which the action is BUY")
    sell: Share = Field(0.33, description="score at or below which the action is SELL")
    penalty_rule: Literal["subtract", "shrink"] = Field(
        "subtract", description="subtract penalties, or pull the score toward 0.5"
    )
    volatility_penalty: Share = Field(0.15, description="penalty of a volatility spike")
    volatility_z: Finite = Field(2.0, description="volatility z above which it is a spike")
    news_penalty: Share = Field(0.10, description="penalty of negative news")
    news_sentiment: Finite = Field(-0.3, description="sentiment below which news is negative")
    liquidity_penalty: Share = Field(0.05, description="penalty of low liquidity")
    liquidity: Share = Field(0.5, description="liquidity below which it is low")
    correlation_penalty: Share = Field(0.08, description="penalty of a correlation breakdown")
    correlation: Finite = Field(0.4, description="average pairwise correlation below which")

    @model_validator(mode="after")
    def _ordered(self) -> Blend:
        if not self.sell < 0.5 < self.buy:
            raise ValueError("sell < 0.5 < buy")
        if self.weight_short + self.weight_mid <= 0:
            raise ValueError("weight_short + weight_mid > 0")
        return self


class Sizing(Params):
    """From a score to a share of equity."""

    kelly_fraction: Share = Field(0.25, description="share of full Kelly")
    payoff: Positive = Field(2.5 / 1.8, description="target / stop distance, until measured")
    volatility_target: Positive = Field(
        0.20, description="annual volatility above which size falls"
    )
    var_limit: Positive = Field(0.02, description="one-day VaR95 of the book with the order")
    es_limit: Positive = Field(0.03, description="one-day expected shortfall (95 %) of the same")
    heat_limit: Positive = Field(
        0.8, description="open risk / the day's loss limit at which size is 0"
    )
    crisis_factor: Share = Field(0.5, description="multiplier in a crisis regime")
    crisis_correlation: Finite = Field(0.8, description="average correlation that counts as crisis")
    no_rl_factor: Share = Field(0.5, description="multiplier without an RL model")
    min_order_value: float = Field(30.0, ge=0, description="account units below which: no order")
    max_leverage: float = Field(1.0, gt=0, le=2, description="gross / equity: 1 cash, 2 margin")
    allow_short: bool = Field(False, description="SELL may open a short")
    confidence_threshold: Share = Field(0.0, description="an entry's least confidence")


class Clamps(Params):
    """Hard limits; shares of equity unless said otherwise."""

    bucket_penny: Share = Field(0.02, description="gross limit of the penny bucket")
    bucket_fno: Share = Field(0.05, description="gross limit of the F&O bucket")
    bucket_core: Share = Field(0.90, description="gross limit of the core bucket")
    name_penny: Share = Field(0.004, description="limit of one penny name")
    name_fno: Share = Field(0.007, description="limit of one F&O name, delta-equivalent")
    name_core: Share = Field(0.015, description="limit of one core name")
    penny_adv: float = Field(200_000.0, ge=0, description="least 20-day average traded value, CAD")
    penny_price: float = Field(0.25, ge=0, description="least price of a penny name, CAD")

    @model_validator(mode="after")
    def _cash_stays(self) -> Clamps:
        if self.bucket_penny + self.bucket_fno + self.bucket_core > 1:
            raise ValueError("the three buckets together at most 1")
        return self


class Stops(Params):
    """Protective levels in multiples of Wilder's ATR."""

    atr_period: int = Field(14, ge=2, le=250, description="bars")
    initial: Positive = Field(1.8, description="initial stop, ATR from the entry")
    trailing: Positive = Field(1.2, description="trailing stop, ATR from the best price")
    activation: Positive = Field(1.0, description="profit in ATR that starts the trailing")
    target: Positive = Field(2.5, description="take profit, ATR from the entry")
    oco: Literal[
        "FIRST_TRIGGERED_WINS", "BOTH_MUST_TRIGGER", "PREFER_LIMIT", "ALLOW_PARTIAL_THEN_CANCEL"
    ] = Field("FIRST_TRIGGERED_WINS", description="how stop and target bear on each other")


class Risk(Params):
    """Kill switch, quarantine, soft halt and protections."""

    kill_day_pnl: float = Field(-0.025, lt=0, ge=-1, description="day P&L that trips the switch")
    quarantine_kills: int = Field(3, ge=1, description="kill-switch sessions in the window")
    quarantine_window: int = Field(10, ge=1, description="sessions")
    quarantine_sessions: int = Field(7, ge=1, description="sessions in demo")
    soft_halt_share: Share = Field(0.8, description="share of the kill limit that warns")
    soft_halt_confirmations: int = Field(3, ge=1, description="marks in a row before exits only")
    stop_guard: tuple[Count, Count, Count] = Field(
        (3, 5, 2), description="stops, in sessions, lock"
    )
    drawdown_guard: tuple[Share, Count, Count] = Field((0.05, 10, 5), description="drop, in, lock")
    cooldown_bars: int = Field(1, ge=0, description="sessions after an exit, per symbol")
    low_profit: tuple[Count, Count] = Field((5, 5), description="last trades of a symbol, lock")


class Sip(Params):
    """The end-of-day sweep."""

    symbol: str = Field("VFV.TO", description="what is bought, whole units only")
    rate: Share = Field(0.01, description="of the day's positive realised net profit")
    min_profit: float = Field(100.0, ge=0, description="realised net profit that accrues, CAD")
    max_per_day: float = Field(1_000.0, ge=0, description="accrual at most, CAD a day")


class Costs(Params):
    """Assumptions of the paper venue."""

    commission_per_share: float = Field(0.01, ge=0, description="account units a share")
    commission_minimum: float = Field(1.0, ge=0, description="account units an order")
    commission_maximum: Share = Field(0.005, description="share of the fill's value")
    half_spread_core: float = Field(2.0, ge=0, description="bps")
    half_spread_fno: float = Field(3.0, ge=0, description="bps")
    half_spread_penny: float = Field(50.0, ge=0, description="bps")
    impact: float = Field(1.0, ge=0, description="γ of γ·σ·√(q/ADV)")
    participation: float = Field(0.10, gt=0, le=1, description="share of a bar's volume at most")
    latency: Literal["none", "fixed", "lognormal"] = Field(
        "fixed", description="model of the time from a decision to the venue"
    )
    latency_ms: float = Field(100.0, ge=0, le=60_000, description="the time, or its median")
    latency_sigma: float = Field(0.5, ge=0, le=3, description="of the logarithm, if log-normal")


class Lists(Params):
    """Symbols with a rule of their own."""

    fno: frozenset[str] = Field(frozenset(), description="underlyings treated as F&O")
    core: frozenset[str] = Field(
        frozenset(), description="names treated as core whatever the suffix"
    )
    do_not_trade: frozenset[str] = Field(frozenset(), description="entries refused")


class SafetyLimits(Params):
    """Pre-trade limits; a second fence, outside the caps that size an order."""

    collar_core: Share = Field(0.10, description="price from the last, share; not penny")
    collar_penny: Share = Field(0.20, description="price from the last, share; penny names")
    order_value: Positive = Field(100_000.0, description="one entry at most, account units")
    order_units: int = Field(100_000, ge=1, description="one entry at most, units")
    order_adv: Share = Field(0.10, description="one entry at most, share of average daily units")
    messages: int = Field(100, ge=1, description="submits and amends in any second")
    repeat_fills: int = Field(50, ge=2, description="fills of a symbol that disable it")
    repeat_seconds: Positive = Field(60.0, description="seconds in which they count")
    exposure: Positive = Field(1.0, description="gross with all that was sent, share of equity")
    credit: Share = Field(1.0, description="share of the available cash that entries may claim")
    unexecuted: Positive = Field(1_000_000.0, description="entries at work, account units")
    same_id_seconds: Positive = Field(86_400.0, description="a client id stays taken, seconds")
    same_order_seconds: Positive = Field(1.0, description="an equal order is a twin, seconds")


class Policy(Params):
    """Everything a decision needs besides market data and the book."""

    blend: Blend = Blend()
    sizing: Sizing = Sizing()
    clamps: Clamps = Clamps()
    stops: Stops = Stops()
    risk: Risk = Risk()
    sip: Sip = Sip()
    costs: Costs = Costs()
    safety: SafetyLimits = SafetyLimits()
    lists: Lists = Lists()
    mode: Mode = Field(Mode.DEMO, description="the mode an operator asked for")
    opening_cash: float = Field(1_000_000.0, gt=0, le=1e12, description="account units")

    @property
    def id(self) -> str:
        """SHA-256 of the canonical JSON of every number in the policy."""
        return sha256(policy_values(self))


def policy_values(policy: Policy) -> dict[str, Any]:
    """The policy as plain values, sets sorted, ready for the canonical form."""
    values = policy.model_dump(mode="json")
    values["lists"] = {k: sorted(v) for k, v in values["lists"].items()}
    return values


def validated(kind: type[P], values: object, *, file: str = "") -> P:
    """Build `kind` from a stranger's mapping.

    Parameters
    ----------
    kind : type of Params
    values : object
        What the YAML file or the command line held; None is an empty mapping.
    file : str
        Named in the error.

    Raises
    ------
    ParamsError
        For the first key that is unknown, of a wrong type or out of range: key, value, allowed.
    """
    try:
        return kind.model_validate({} if values is None else values)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"]) or kind.__name__
        allowed = first["msg"]
        if first["type"] == "extra_forbidden":
            allowed = f"allowed keys: {', '.join(_keys_at(kind, first['loc']))}"
        raise ParamsError(key, first["input"], allowed, file=file) from None


def _keys_at(kind: type[BaseModel], loc: tuple[int | str, ...]) -> list[str]:
    model: Any = kind
    for part in loc[:-1]:
        fields = getattr(model, "model_fields", None)
        if fields is None:  # a mapping from free names to what its last argument says
            model = next(reversed(get_args(model)), None)
        else:
            model = fields[part].annotation if part in fields else None
    return sorted(getattr(model, "model_fields", {}))
