"""What stands in for a reasoner that can't be asked: a reply by rule.

The end of the chain frontier, local reasoner, rules. It may say that there is a crisis, which
halves sizes; it keeps demo; it changes nothing else, since no rule here knows more than the
clamps do.
"""

from __future__ import annotations

from collections.abc import Collection

from hybridnb.escalation.calls import (
    AuditorReply,
    Call,
    CapsDelta,
    EngineerReply,
    JudgeReply,
    Reply,
    RewardCoefficients,
    TurnoverPenalties,
    WeightsDelta,
)
from hybridnb.escalation.changes import Training
from hybridnb.escalation.conditions import Condition


def rule_reply(call: Call, conditions: Collection[Condition], training: Training) -> Reply:
    """The reply that the rules give.

    Parameters
    ----------
    call : Call
    conditions : collection of Condition
        What began to hold: volatility far from its mean with a correlation spike is a crisis.
    training : Training
        The coefficients in force: they stay.
    """
    if call is Call.REGIME_AUDITOR:
        return AuditorReply(
            regime_label="crisis" if Condition.SPIKE in conditions else "volatile",
            blend_weights_delta=WeightsDelta(short=0.0, mid=0.0, rl=0.0),
            bucket_caps_delta=CapsDelta(penny=0.0, fno=0.0, core=0.0),
            do_not_trade_list=(),
        )
    if call is Call.REWARD_ENGINEER:
        total = training.returns + training.turnover + training.drawdown
        return EngineerReply(
            reward_coefficients=RewardCoefficients(
                returns=training.returns / total,
                turnover=training.turnover / total,
                drawdown=training.drawdown / total,
            ),
            turnover_penalties=TurnoverPenalties(penalty_rate=training.penalty_rate),
            disabled_features=(),
        )
    return JudgeReply(stay_demo=True, live_changes=None)
