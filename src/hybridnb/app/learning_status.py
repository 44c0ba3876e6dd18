"""What decides at present: model, policy, features, reward, verdict, as the ledger has them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from hybridnb.app.home import Home
from hybridnb.app.settings import Settings
from hybridnb.ledger.store import Ledger
from hybridnb.policy import Policy
from hybridnb.registry.artifacts import MANIFEST

Row = Mapping[str, Any]
_FIGURES = {"accuracy": "accuracy", "hit_rate": "win rate", "sharpe": "Sharpe"}


def learning_status(ledger: Ledger, known: Settings, book: str) -> dict[str, Any]:
    """What a book is traded with; without one, what the parameters say.

    Accuracy is the ensemble's over its last sessions; hit rate and Sharpe ratio are the newest
    verdict's, on sessions that no model had seen. None where nobody measured it.
    """
    from hybridnb.market.features import FEATURES

    opened = ledger.rows("session", kind="session_opened", book=book) if book else []
    last: Row = opened[-1] if opened else {}
    policies = ledger.rows("session", kind="policy", book=book) if book else []
    off = _disabled(ledger, last)
    blend = _policy(known, policies).blend
    verdict = _verdict(ledger, book)
    return {
        "model_version": last.get("model_version"),
        "policy_version": last.get("policy_id"),
        "policy_at": _since(policies, last.get("policy_id")),
        "features": [{"name": name, "on": name not in off} for name in FEATURES],
        "reward_mix": _mix(known),
        "weights": {"short": blend.weight_short, "mid": blend.weight_mid, "rl": blend.weight_rl},
        "accuracy": last.get("facts", {}).get("ensemble_accuracy"),
        "accuracy_baseline": last.get("facts", {}).get("accuracy_baseline"),
        "hit_rate": _figure(verdict, "hit_rate"),
        "sharpe": _figure(verdict, "sharpe"),
        "verdict": _shown(verdict),
        "reliability": (verdict or {}).get("reliability", []),
        "reasoner": known.escalation.frontier.reasoner or None,
        "local_reasoner": known.escalation.local.reasoner or None,
    }


def policy_of(known: Settings, ledger: Ledger, book: str) -> Policy:
    """The policy that a book was last traded under; the parameters' before its first session."""
    return _policy(known, ledger.rows("session", kind="policy", book=book))


def _policy(known: Settings, rows: Any) -> Policy:
    if not rows or rows[-1]["policy_id"] == known.policy.id:
        return known.policy
    return Policy.model_validate(rows[-1]["values"])


def _since(rows: Any, policy_id: str | None) -> str | None:
    """The session from which on the policy has been in force, as one stretch."""
    since = None
    for row in rows:
        same = row["policy_id"] == policy_id
        since = (since or row["session"]) if same else None
    return since


def _disabled(ledger: Ledger, last: Row) -> set[str]:
    if not last:
        return set()
    match = {"kind": "in_force", "book": last["book"], "session": last["session"]}
    return {name for row in ledger.rows("session", **match) for name in row["disabled"]}


def _mix(known: Settings) -> dict[str, Any]:
    from hybridnb.learning.rewards import mix_of

    ppo = known.learning(known.day.profile).ppo
    return {"name": ppo.mix, **asdict(mix_of(ppo))}


def trained_to(where: Home, version: str | None) -> str | None:
    """The last session that a sealed model of the home has seen."""
    for path in sorted((where.root / "models").glob(f"*/{MANIFEST}")):
        meta = json.loads(path.read_text(encoding="utf-8"))["meta"]
        if meta.get("version") == version:
            return str(meta["trained_to"])
    return None


def _verdict(ledger: Ledger, book: str) -> Row | None:
    feeds = {row["feed"] for row in ledger.rows("session", kind="inputs", book=book)}
    found = [r for r in ledger.rows("operations", kind="verdict") if r["feed"] in feeds]
    return found[-1] if found else None


def _figure(verdict: Row | None, name: str) -> float | None:
    every = [f for gate in verdict["gates"] for f in gate["figures"]] if verdict else []
    values = [f["value"] for f in every if f["name"] == _FIGURES[name]]
    return values[0] if values else None


def _shown(verdict: Row | None) -> dict[str, Any] | None:
    if verdict is None:
        return None
    names = ("status", "session", "valid_until", "model_version")
    gates = [{"name": g["name"], "status": g["status"]} for g in verdict["gates"]]
    return {name: verdict.get(name) for name in names} | {"gates": gates}
