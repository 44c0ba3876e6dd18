"""The shapes of what the API answers: what callers may rely on. More may stand beside it."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Table = dict[str, Any]
Rows = list[dict[str, Any]]


class Answer(BaseModel):
    """An object."""

    model_config = ConfigDict(extra="allow")


class Calls(Answer):
    """Of the frontier model, today by the date of the exchange."""

    calls_today: int = Field(ge=0)
    daily_limit: int = Field(ge=0)
    remaining: int = Field(ge=0)
    resets_at: str = Field(description="UTC, ISO 8601")
    available: bool = Field(description="a reasoner is configured, quota left, its breaker closed")
    last_call: Table | None = None
    cooldowns: Rows = []
    provider: str | None = None
    breaker: str = ""


class Risk(Answer):
    """Of one book at the top, of all in `books`; shares are of equity."""

    mode: Literal["DEMO", "LIVE_MICRO", "LIVE_LIMITED", "LIVE"]
    trading_state: Literal["ACTIVE", "REDUCING", "HALTED"]
    kill_switch: Literal["ready", "latched"]
    quarantine: Table | None
    book: str | None = None
    killed_since: str | None = None
    limits: Rows | None = None
    buckets: Table | None = None
    names: Rows | None = None
    open_risk: Table | None = None
    sip: Table | None = None
    portfolio: Table | None = None
    books: Rows = []


class Models(Answer):
    """None where it isn't known."""

    model_version: str | None
    policy_version: str | None
    verdict: Table | None
    accuracy: float | None = None
    sharpe: float | None = None
    hit_rate: float | None = None
    weights: Table | None = None
    features: Rows | None = None
    reward_mix: Table | None = None
    reasoner: Any = None
    ensemble: Any = None


class Health(Answer):
    """Of the subsystems."""

    status: Literal["ok", "unavailable", "not_initialized", "error"]
    timestamp: str
    initialized: bool
    integration_stage: str | None = None
    services: dict[str, str] = {}
    enabled_subsystems: list[str] = []
    emergency_brake: bool = False


class Alerts(Answer):
    """Newest first."""

    alerts: Rows


class Replies(Answer):
    """Oldest first."""

    replies: Rows
    proposals: Rows


class Runs(Answer):
    """Newest first."""

    ran: Rows
    due: Rows
    runs: Rows
    heartbeat: Table | None


class GoLive(Answer):
    """Every item with its evidence."""

    book: str
    session: str
    ready: bool
    steps: dict[str, bool]
    items: Rows


class ForcedDemo(Answer):
    """`changed` is false where the next opening was DEMO already."""

    mode: Literal["DEMO"]
    previous_mode: Literal["DEMO", "LIVE_MICRO", "LIVE_LIMITED", "LIVE"]
    at: str
    changed: bool


class Granted(Answer):
    """What became of an operator's wish."""

    code: int
    text: str
    remedy: str
    book: str
    action: Table | None
    reply: str


class Acted(Answer):
    """What was recorded."""

    action: str
    id: str
    at: str
    reason: str


class Braked(Answer):
    """The brake as it is now asked for."""

    active: bool
    changed: bool
    at: str
    id: str


class Changed(Answer):
    """What was decided; `changed` is false where it had been already."""

    id: str
    changed: bool


class Replied(Answer):
    """The row of the reply."""

    id: str
    label: str
    taken: bool


class Problem(BaseModel):
    """What went wrong, and what to do."""

    model_config = ConfigDict(extra="allow")

    code: str
    message: str
    remedy: str


_DESK = ("trading-state", "resume", "reduce", "halt", "cancel-all", "unlock", "enable", "brake")

ANSWERS: dict[str, type[Answer]] = {
    "/api/gpt5-status": Calls,
    "/api/risk-status": Risk,
    "/api/model-stats": Models,
    "/health/ai": Health,
    "/health/ai/integration": Health,
    "/api/alerts": Alerts,
    "/api/replies": Replies,
    "/api/runs": Runs,
    "/api/golive": GoLive,
    "/api/force-demo": ForcedDemo,
    **{f"/api/{name}": Acted for name in _DESK},
    "/api/ai/emergency-brake": Braked,
    **{f"/api/{name}": Changed for name in ("ack", "approve", "withdraw-reply")},
    **{f"/api/{name}": Granted for name in ("mode", "clear-quarantine", "keep-mode")},
    "/api/escalate": Replied,
}
