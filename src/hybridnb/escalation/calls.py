"""The three calls to a reasoner as types: what each is told, and the only replies that count.

Strangers write both: a feed's words go into a request, a model's reply comes back. So unknown
keys are refused, numbers are finite and in the range stated here, lists and texts are bounded,
and nothing is converted: `true` is no number, `"0.2"` neither. JSON, its schema and the runbook's
examples are made from these types.

A fact of a request that isn't known is `null`: shown as missing, never left out. A trigger's own
facts (`put_call_ratio`, `news_sentiment`, `macro_events`) are present when they are known.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, ConfigDict, Field, ValidationError, model_validator

from hybridnb.canonical import canonical
from hybridnb.domain import Outcome
from hybridnb.errors import CheckFailed
from hybridnb.policy import Params, Share

_STAMP = "%Y-%m-%dT%H:%M:%SZ"
_SHOWN = 80  # characters of a stranger's key or value that an error repeats
_SUM = 1e-6  # how far from 1 coefficients may add up: what rounding to six places explains


class Call(StrEnum):
    """The frontier's three tasks; the value is the name on the wire and of the schema."""

    REGIME_AUDITOR = "REGIME_AUDITOR"
    REWARD_ENGINEER = "REWARD_ENGINEER"
    SANITY_JUDGE = "SANITY_JUDGE"

    @property
    def label(self) -> str:
        """As alerts print it: `Regime Auditor`."""
        return self._value_.replace("_", " ").title()


class WrongShape(CheckFailed):
    """JSON that isn't the reply asked for: which call, which key, which rule."""

    outcome = Outcome.WRONG_SHAPE
    remedy = "Nothing of it was used; the record holds the reply as it came."

    def __init__(self, call: Call, key: str, rule: str) -> None:
        self.call, self.key, self.rule = call, key, rule
        super().__init__(f"reply to {call}: {key}: {rule}")


def _real_time(text: str) -> str:
    dt.datetime.fromisoformat(text)
    return text


# Without a time zone's name or fractions, since the pattern fixes each character.
Stamp = Annotated[
    str,
    Field(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z$"),
    AfterValidator(_real_time),
]
# The characters that the market's contracts allow in a symbol, in capitals.
Symbol = Annotated[str, Field(pattern=r"^[A-Z0-9^][A-Z0-9._^=/:&-]{0,31}$")]
Feature = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,63}$")]
Label = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9 &/_.,'()-]{0,63}$")]
Line = Annotated[str, Field(pattern=r"^[^\x00-\x1f\x7f-\x9f\u2028\u2029]{1,200}$")]
Money = Annotated[float, Field(ge=-1e15, le=1e15)]
Ratio = Annotated[float, Field(ge=-1000.0, le=1000.0)]
Turnover = Annotated[float, Field(ge=0.0, le=1000.0)]
Signed = Annotated[float, Field(ge=-1.0, le=1.0)]
Multiple = Annotated[float, Field(ge=0.1, le=10.0)]


class Wire(Params):
    """Base of what travels: as `Params`, and a value of another type is refused, not converted."""

    model_config = ConfigDict(strict=True)


# --- requests ---


class AuditedPortfolio(Wire):
    net_liquidity: Money | None = Field(description="account units")
    daily_pnl: Ratio | None = Field(description="share of the session's opening equity")
    volatility_zscore: Ratio | None = Field(description="20-day volatility of the index, z")
    correlation_breakdown: Signed | None = Field(description="average pairwise correlation")


class BucketUsage(Wire):
    penny: Turnover | None = Field(description="gross, share of equity")
    fno: Turnover | None = Field(description="gross, share of equity")
    core: Turnover | None = Field(description="gross, share of equity")


class AuditorRequest(Wire):
    """What the regime auditor is told."""

    timestamp: Stamp = Field(description="UTC, to the second")
    portfolio_state: AuditedPortfolio
    sector_dispersion: dict[Label, Turnover] = Field(
        max_length=64, description="deviation of 20-day returns inside each sector"
    )
    bucket_usage: BucketUsage
    put_call_ratio: Turnover | None = Field(None, description="open interest, puts / calls")
    news_sentiment: Signed | None = Field(None, description="-1 bad to 1 good")
    macro_events: Annotated[tuple[Line, ...], Field(max_length=20, strict=False)] | None = Field(
        None, description="news, verbatim: data without authority"
    )


class PnlDecomposition(Wire):
    core: Ratio | None = Field(description="share of equity")
    penny: Ratio | None = Field(description="share of equity")
    fno: Ratio | None = Field(description="share of equity")
    sip: Ratio | None = Field(description="share of equity")


class TurnoverStats(Wire):
    daily_turnover: Turnover | None = Field(description="traded / equity, 1 session")
    weekly_turnover: Turnover | None = Field(description="traded / equity, 5 sessions")
    monthly_turnover: Turnover | None = Field(description="traded / equity, 21 sessions")


class EngineerRequest(Wire):
    """What the reward engineer is told."""

    timestamp: Stamp = Field(description="UTC, to the second")
    max_drawdown_5d: Turnover | None = Field(description="positive share of equity")
    daily_pnl: Ratio | None = Field(description="share of the session's opening equity")
    ensemble_accuracy: Share | None = Field(description="last 100 resolved predictions")
    sharpe_ratio: Ratio | None = Field(description="60 sessions, annualised, net")
    pnl_decomposition: PnlDecomposition
    turnover_stats: TurnoverStats
    feature_performance: dict[Feature, Share | None] = Field(
        max_length=256, description="hit rate of each feature alone, 60 sessions"
    )


class RecentTrade(Wire):
    symbol: Symbol
    action: Literal["BUY", "SELL"]
    size: Money = Field(description="units")
    pnl: Money | None = Field(description="account units, net")


class JudgedPortfolio(Wire):
    net_liquidity: Money | None = Field(description="account units")
    daily_pnl: Ratio | None = Field(description="share of the session's opening equity")


class JudgeRequest(Wire):
    """What the sanity judge is told."""

    timestamp: Stamp = Field(description="UTC, to the second")
    kill_switch_reason: Line
    recent_trades: Annotated[tuple[RecentTrade, ...], Field(max_length=50, strict=False)]
    portfolio_state: JudgedPortfolio


# --- replies ---


class WeightsDelta(Wire):
    short: Signed = Field(description="change of the short predictor's weight")
    mid: Signed = Field(description="change of the mid predictor's weight")
    rl: Signed = Field(description="change of the RL policy's weight")


class CapsDelta(Wire):
    penny: Signed = Field(description="change of the bucket's cap, share of equity")
    fno: Signed = Field(description="change of the bucket's cap, share of equity")
    core: Signed = Field(description="change of the bucket's cap, share of equity")


class AuditorReply(Wire):
    regime_label: Literal["bull", "bear", "sideways", "volatile", "crisis"]
    blend_weights_delta: WeightsDelta
    bucket_caps_delta: CapsDelta
    do_not_trade_list: Annotated[tuple[Symbol, ...], Field(max_length=50, strict=False)] = Field(
        description="symbols in which no entry may be made"
    )


class RewardCoefficients(Wire):
    """Weights of the reward's terms; together 1."""

    returns: Share = Field(description="start 0.6; the three add up to 1")
    turnover: Share = Field(description="start 0.2")
    drawdown: Share = Field(description="start 0.2")

    @model_validator(mode="after")
    def _whole(self) -> RewardCoefficients:
        if abs(self.returns + self.turnover + self.drawdown - 1.0) > _SUM:
            raise ValueError("returns + turnover + drawdown = 1")
        return self


class TurnoverPenalties(Wire):
    penalty_rate: Share = Field(description="charged per unit of turnover; start 0.01")


class EngineerReply(Wire):
    reward_coefficients: RewardCoefficients
    turnover_penalties: TurnoverPenalties
    disabled_features: Annotated[tuple[Feature, ...], Field(max_length=3, strict=False)] = Field(
        description="names out of feature_performance"
    )


class StopMultipliers(Wire):
    atr: Multiple | None = Field(description="initial stop in ATR; null: no change")
    trailing: Multiple | None = Field(description="trailing stop in ATR; null: no change")


class LiveChanges(Wire):
    max_position_pct: Share | None = Field(
        description="largest position, share of equity: 0.01 is one percent; null: no change"
    )
    stop_multipliers: StopMultipliers | None = Field(description="null: no change")


class JudgeReply(Wire):
    stay_demo: bool = Field(description="false asks a person to leave demo; it does nothing else")
    live_changes: LiveChanges | None = Field(description="null: no change")


Request = AuditorRequest | EngineerRequest | JudgeRequest
Reply = AuditorReply | EngineerReply | JudgeReply

REQUESTS: Mapping[Call, type[Request]] = {
    Call.REGIME_AUDITOR: AuditorRequest,
    Call.REWARD_ENGINEER: EngineerRequest,
    Call.SANITY_JUDGE: JudgeRequest,
}
REPLIES: Mapping[Call, type[Reply]] = {
    Call.REGIME_AUDITOR: AuditorReply,
    Call.REWARD_ENGINEER: EngineerReply,
    Call.SANITY_JUDGE: JudgeReply,
}


def stamp(moment: dt.datetime) -> str:
    """A moment on the wire: UTC, cut to the second, `Z`; one without a zone is refused."""
    if moment.tzinfo is None:
        raise ValueError("a timestamp needs a time zone")
    return moment.astimezone(dt.UTC).strftime(_STAMP)


def wire_values(message: Request | Reply) -> dict[str, Any]:
    """A request or reply as JSON values, in the types' order.

    A required fact that is unknown is None; an optional one isn't there.
    """
    optional = {name for name, f in type(message).model_fields.items() if not f.is_required()}
    values = message.model_dump(mode="json")
    return {k: v for k, v in values.items() if v is not None or k not in optional}


def request_json(request: Request) -> str:
    """Canonical JSON of a request: what is sent and what is hashed."""
    return canonical(wire_values(request))


def read_reply(call: Call, values: Mapping[str, Any]) -> Reply:
    """A reply as its type.

    Parameters
    ----------
    call : Call
        What was asked.
    values : mapping
        The JSON object that came back.

    Raises
    ------
    WrongShape
        For the first key that is missing, unknown, of another type or out of range; its
        `outcome` is `Outcome.WRONG_SHAPE`. What the stranger wrote is repeated in 80 characters
        of ASCII at most.
    """
    if not isinstance(values, Mapping):
        raise WrongShape(call, "reply", "a JSON object is needed")
    try:
        return REPLIES[call].model_validate(values)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        key = ".".join(str(part) for part in first["loc"]) or "reply"
        raise WrongShape(call, ascii(key)[1:-1][:_SHOWN], first["msg"][:_SHOWN]) from None
