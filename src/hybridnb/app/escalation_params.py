"""`params/escalation.yml`: when a reasoner is asked, which one, and how often."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from hybridnb.escalation.breaker import BreakerParams
from hybridnb.escalation.conditions import TriggerParams
from hybridnb.escalation.quota import QuotaParams
from hybridnb.policy import Params, Positive


class ReasonerParams(Params):
    """A reasoner by name, with settings of its own."""

    reasoner: str = Field("", pattern=r"^[a-z0-9_-]{0,40}$", description="empty: none is asked")
    settings: dict[str, Any] = Field(default_factory=dict, description="the reasoner's own")
    max_tokens: int = Field(4000, ge=64, le=100_000, description="ceiling of a reply, tokens")
    timeout_s: Positive = Field(60.0, le=600, description="of an attempt, seconds")


class FrontierParams(ReasonerParams):
    """Who is asked on escalation, a few times a day."""

    reasoner: str = Field("openai", pattern=r"^[a-z0-9_-]{0,40}$", description="empty: nobody")


class LocalParams(ReasonerParams):
    """Who is asked when the frontier isn't, who analyses escalations and writes at night."""

    reasoner: str = Field("ollama", pattern=r"^[a-z0-9_-]{0,40}$", description="empty: nobody")
    max_tokens: int = Field(1500, ge=64, le=100_000, description="ceiling of a reply, tokens")
    timeout_s: Positive = Field(30.0, le=600, description="of an attempt, seconds")


class EscalationParams(Params):
    """All of escalation that an operator sets."""

    triggers: TriggerParams = Field(default_factory=TriggerParams)
    quota: QuotaParams = Field(default_factory=QuotaParams)
    breaker: BreakerParams = Field(default_factory=BreakerParams)
    frontier: FrontierParams = Field(default_factory=FrontierParams)
    local: LocalParams = Field(default_factory=LocalParams)
    sandbox_sessions: int = Field(60, ge=5, le=1000, description="replayed under a changed policy")
