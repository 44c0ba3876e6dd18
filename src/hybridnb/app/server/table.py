"""Every endpoint of the API, declared once: handlers, OpenAPI and the runbook are made of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from http import HTTPStatus
from typing import Any

from hybridnb.app.server import bodies, deeds, reads
from hybridnb.app.server.access import Access
from hybridnb.app.server.answers import ANSWERS, Answer
from hybridnb.policy import Params


class Lane(StrEnum):
    """Where an answer is computed, off the event loop: a slow question never delays a brake."""

    READ = "read"
    ACT = "act"
    ASK = "ask"  # may wait for a reasoner


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One method of one address.

    Attributes
    ----------
    takes : type of Params
        Of a GET's query, or of a POST's body.
    run : callable
        Of a GET: of the reader and the query; of a POST: of the body.
    reduced : tuple of str
        Fields that callers on loopback get without a token; dots lead into objects.
    usage : HTTPStatus
        Of a valid request that can't be meant: for most, it names what isn't there.
    """

    method: str
    path: str
    run: Callable[..., Mapping[str, Any]] = field(repr=False)
    takes: type[Params] = bodies.Empty
    access: Access = Access.TOKEN
    reduced: tuple[str, ...] = ()
    lane: Lane = Lane.READ
    usage: HTTPStatus = HTTPStatus.BAD_REQUEST

    @property
    def what(self) -> str:
        """A sentence: what it answers or does."""
        return str(self.run.__doc__).split("\n", 1)[0]

    @property
    def returns(self) -> type[Answer]:
        """The shape of its answer."""
        return ANSWERS.get(self.path, Answer)


_CALLS = ("calls_today", "daily_limit", "remaining", "resets_at", "available")
_RISK = ("mode", "trading_state", "kill_switch", "quarantine.active")
_MODELS = ("model_version", "policy_version", "verdict.status")
_HEALTH = ("status", "timestamp", "initialized")


def _get(path: str, run: Callable[..., Any], **more: Any) -> Endpoint:
    return Endpoint("GET", path, run, **more)


def _post(
    path: str, run: Callable[..., Any], takes: type[Params], lane: Lane = Lane.ACT, **more: Any
) -> Endpoint:
    return Endpoint("POST", path, run, takes, lane=lane, **more)


def _open(path: str, run: Callable[..., Any], *fields: str, **more: Any) -> Endpoint:
    return _get(path, run, access=Access.REDUCED, reduced=fields, **more)


_THERE = HTTPStatus.NOT_FOUND

ENDPOINTS: tuple[Endpoint, ...] = (
    _open("/api/gpt5-status", reads.gpt5_status, *_CALLS),
    _open("/api/risk-status", reads.risk_status, *_RISK, takes=bodies.OfBook, usage=_THERE),
    _open("/api/model-stats", reads.model_stats, *_MODELS),
    _open("/health/ai", reads.health, *_HEALTH),
    _open("/health/ai/integration", reads.integration, *_HEALTH),
    _get("/api/read-model", reads.status),
    _get("/api/alerts", reads.alerts, takes=bodies.OfAlerts),
    _get("/api/replies", reads.replies, takes=bodies.OfBook),
    _get("/api/runs", reads.runs),
    _get("/api/golive", reads.golive, takes=bodies.OfBook, usage=_THERE),
    _post("/api/force-demo", deeds.force_demo, bodies.Demo, usage=_THERE),
    _post("/api/mode", deeds.set_mode, bodies.SetMode, usage=_THERE),
    _post("/api/trading-state", deeds.trading_state, bodies.TradingState),
    _post("/api/resume", deeds.resume, bodies.Reasoned),
    _post("/api/reduce", deeds.reduce, bodies.Reasoned),
    _post("/api/halt", deeds.halt, bodies.Reasoned),
    _post("/api/cancel-all", deeds.cancel_all, bodies.Symbolic),
    _post("/api/unlock", deeds.unlock, bodies.Unlock),
    _post("/api/enable", deeds.enable, bodies.Enable),
    _post("/api/brake", deeds.brake, bodies.Switch),
    _post("/api/ai/emergency-brake", deeds.emergency_brake, bodies.Brake),
    _post("/api/ack", deeds.acknowledge, bodies.Acknowledge, usage=_THERE),
    _post("/api/approve", deeds.approve, bodies.Approve, usage=_THERE),
    _post("/api/withdraw-reply", deeds.withdraw_reply, bodies.Withdraw, usage=_THERE),
    _post("/api/clear-quarantine", deeds.clear_quarantine, bodies.Judged, Lane.ASK, usage=_THERE),
    _post("/api/keep-mode", deeds.keep_mode, bodies.Judged, Lane.ASK, usage=_THERE),
    _post("/api/escalate", deeds.escalate, bodies.Escalate, Lane.ASK, usage=_THERE),
)


def reduced(answer: Mapping[str, Any], fields: tuple[str, ...]) -> dict[str, Any]:
    """The fields of an answer that need no token; None where an object isn't there."""
    found: dict[str, Any] = {}
    for name in fields:
        value: Any = answer
        *ways, last = name.split(".")
        into = found
        for way in ways:
            value = (value or {}).get(way)
            into = into.setdefault(way, {})
        into[last] = (value or {}).get(last)
    return found
