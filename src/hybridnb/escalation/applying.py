"""What a reply changes: bounded, tighter only, for a few sessions, and never by itself looser.

From the operator's policy and the replies in force to the policy they make together, with one
diff for each change. Nothing here keeps state: every session's policy is composed anew from the
operator's, so a reply can't build on another's change, and taking one out leaves no trace of it.

Weights of the blend are no limit: they may shift by 0.2 each. Everything else may only tighten;
what would loosen is a proposal that waits for a person.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import fields, replace

from hybridnb.escalation.calls import AuditorReply, EngineerReply, JudgeReply
from hybridnb.escalation.changes import (
    CRISIS,
    FEATURES_OFF,
    STAY_DEMO,
    TRAINING,
    Change,
    InForce,
    Standing,
    Training,
    changed,
)
from hybridnb.policy import Policy

SHIFT = 0.2  # by which a blend weight may move at most
DISABLED = 3  # features that replies may switch off at a time, together
DO_NOT_TRADE = "lists.do_not_trade"
_BUCKETS = ("penny", "fno", "core")
_WEIGHTS = ("short", "mid", "rl")


def compose(
    operator: Policy,
    replies: Iterable[Standing],
    *,
    session: int,
    features: frozenset[str],
    training: Training,
) -> InForce:
    """The session of this ordinal under the replies that are in force in it.

    Caps, positions and stops take the tightest that any reply asks for, lists the union; the
    newest reply that moves the weights moves them, from the operator's own, and so for training.

    Parameters
    ----------
    operator : Policy
        As the operator set it: never one that a reply has changed.
    replies : iterable of Standing
        In any order; equals in time are taken by their source.
    features : frozenset of str
        Names of the features that exist.
    training : Training
        The operator's own.
    """
    asked = _Asked(operator, training, features)
    known = sorted((r for r in replies if r.holds(session)), key=_age)
    for each in known:
        asked.take(each)
    changes = asked.diffs()
    return InForce(
        policy=changed(operator, changes),
        crisis=asked.crisis is not None,
        stay_demo=asked.stay_demo is not None,
        disabled=tuple(sorted(asked.disabled)),
        training=asked.training,
        changes=changes,
        proposals=tuple(asked.proposals),
        passed_over=tuple(asked.passed_over),
        sources=tuple(each.source for each in known),
    )


def _age(reply: Standing) -> tuple[int, str]:
    return reply.from_session, reply.source


class _Asked:
    """What the replies ask for together, gathered one after the other, oldest first."""

    def __init__(self, operator: Policy, training: Training, features: frozenset[str]) -> None:
        self.operator, self.features = operator, features
        self.before, self.training = training, training
        self.tighter: dict[str, Change] = {}
        self.weights: tuple[Change, ...] = ()
        self.taught: tuple[Change, ...] = ()
        self.barred: dict[str, str] = {}
        self.disabled: dict[str, str] = {}
        self.crisis: str | None = None
        self.stay_demo: str | None = None
        self.proposals: list[Change] = []
        self.passed_over: list[Change] = []

    def take(self, each: Standing) -> None:
        """Add what one reply asks for."""
        reason = f"{each.call.value} {each.source}"
        match each.reply:
            case AuditorReply():
                self._audit(each.reply, reason)
            case EngineerReply():
                self._engineer(each.reply, reason)
            case JudgeReply():
                self._judge(each.reply, reason)

    def diffs(self) -> tuple[Change, ...]:
        """One change for each key, in a fixed order."""
        out = [*self.weights, *(self.tighter[key] for key in sorted(self.tighter))]
        old = self.operator.lists.do_not_trade
        if self.barred.keys() - old:
            after = tuple(sorted(old | self.barred.keys()))
            out.append(Change(DO_NOT_TRADE, tuple(sorted(old)), after, _told(self.barred)))
        if self.crisis is not None:
            out.append(Change(CRISIS, False, True, self.crisis))
        if self.stay_demo is not None:
            out.append(Change(STAY_DEMO, False, True, self.stay_demo))
        if self.disabled:
            after = tuple(sorted(self.disabled))
            out.append(Change(FEATURES_OFF, (), after, _told(self.disabled)))
        return (*out, *self.taught)

    def _audit(self, reply: AuditorReply, reason: str) -> None:
        if reply.regime_label == "crisis":
            self.crisis = reason
        self._shift(reply, reason)
        for name in _BUCKETS:
            delta = getattr(reply.bucket_caps_delta, name)
            key = f"clamps.bucket_{name}"
            before = self._value(key)
            self._tighten(key, max(0.0, before + delta) if delta else before, reason)
        for symbol in reply.do_not_trade_list:
            self.barred.setdefault(symbol, reason)

    def _shift(self, reply: AuditorReply, reason: str) -> None:
        deltas = [getattr(reply.blend_weights_delta, name) for name in _WEIGHTS]
        if not any(deltas):
            return
        blend = self.operator.blend
        before = [getattr(blend, f"weight_{name}") for name in _WEIGHTS]
        after = shifted(before, deltas)
        keys = [f"blend.weight_{name}" for name in _WEIGHTS]
        moves = tuple(
            Change(key, old, new, reason)
            for key, old, new in zip(keys, before, after, strict=True)
            if old != new
        )
        if after[0] + after[1] <= 0.0:  # the policy needs a predictor
            why = f"{reason}: no weight would be left on a predictor"
            self.passed_over += [replace(move, reason=why) for move in moves]
        else:
            self.weights = moves

    def _engineer(self, reply: EngineerReply, reason: str) -> None:
        asked = reply.reward_coefficients
        total = asked.returns + asked.turnover + asked.drawdown
        self.training = Training(
            asked.returns / total,
            asked.turnover / total,
            asked.drawdown / total,
            reply.turnover_penalties.penalty_rate,
        )
        self.taught = tuple(
            Change(f"{TRAINING}.{name}", old, new, reason)
            for name in (f.name for f in fields(Training))
            if (old := getattr(self.before, name)) != (new := getattr(self.training, name))
        )
        for name in reply.disabled_features:
            self._disable(name, reason)

    def _disable(self, name: str, reason: str) -> None:
        if name not in self.features:
            self._pass_over(FEATURES_OFF, name, f"{reason}: no such feature")
        elif name not in self.disabled and len(self.disabled) >= DISABLED:
            self._pass_over(FEATURES_OFF, name, f"{reason}: {DISABLED} are switched off already")
        else:
            self.disabled.setdefault(name, reason)

    def _judge(self, reply: JudgeReply, reason: str) -> None:
        if reply.stay_demo:
            self.stay_demo = reason
        else:
            self.proposals.append(Change(STAY_DEMO, True, False, reason))
        live = reply.live_changes
        if live is None:
            return
        if live.max_position_pct is not None:
            self._position(live.max_position_pct, reason)
        stops = live.stop_multipliers
        if stops is not None:
            for key, value in (("stops.initial", stops.atr), ("stops.trailing", stops.trailing)):
                if value is not None:
                    self._tighten(key, value, reason)

    def _position(self, share: float, reason: str) -> None:
        """A maximum over all classes: it loosens only what is above every cap of a name."""
        keys = [f"clamps.name_{name}" for name in _BUCKETS]
        largest = max(keys, key=self._value)
        for key in keys:
            if share < self._value(key) or key == largest:
                self._tighten(key, share, reason)

    def _tighten(self, key: str, after: float, reason: str) -> None:
        """Smaller is tighter, for every key that comes here."""
        before = self._value(key)
        if after > before:
            self.proposals.append(Change(key, before, after, reason))
        elif after < before and (key not in self.tighter or after < self.tighter[key].after):
            self.tighter[key] = Change(key, before, after, reason)

    def _value(self, key: str) -> float:
        section, _, name = key.partition(".")
        return float(getattr(getattr(self.operator, section), name))

    def _pass_over(self, key: str, asked: str, reason: str) -> None:
        self.passed_over.append(Change(key, None, asked, reason))


def _told(reasons: dict[str, str]) -> str:
    """The reasons of several entries as one, each once."""
    return "; ".join(dict.fromkeys(reasons.values()))


def shifted(weights: Sequence[float], deltas: Sequence[float]) -> list[float]:
    """Weights after deltas of at most 0.2 each, renormalised to sum 1.

    Renormalising could move one weight by more than 0.2: then the whole shift is scaled down, so
    that none does. Weights that don't sum to 1 are renormalised first.

    Parameters
    ----------
    weights, deltas : sequence of float
        Three of each; weights not negative, their sum above 0; deltas finite.
    """
    total = sum(weights)
    start = [w / total for w in weights] if total != 1.0 else list(weights)
    bounded = [min(SHIFT, max(-SHIFT, d)) for d in deltas]
    moved = [max(0.0, w + d) for w, d in zip(start, bounded, strict=True)]
    left = sum(moved)  # above 0: of three weights that sum to 1 one is above 0.2
    aims = [w / left for w in moved]
    far = max(abs(a - w) for a, w in zip(aims, start, strict=True))
    if far <= SHIFT:
        return aims
    return [w + (a - w) * (SHIFT / far) for a, w in zip(aims, start, strict=True)]
