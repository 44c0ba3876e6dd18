"""One example of each call, and the runbook's section that shows them.

The runbook and the golden files hold the same text: both come from here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from hybridnb.escalation.calls import (
    AuditedPortfolio,
    AuditorReply,
    AuditorRequest,
    BucketUsage,
    Call,
    CapsDelta,
    EngineerReply,
    EngineerRequest,
    JudgedPortfolio,
    JudgeReply,
    JudgeRequest,
    LiveChanges,
    PnlDecomposition,
    RecentTrade,
    Reply,
    Request,
    RewardCoefficients,
    StopMultipliers,
    TurnoverPenalties,
    TurnoverStats,
    WeightsDelta,
    wire_values,
)
from hybridnb.escalation.schemas import reply_schema

EXAMPLE_REQUESTS: Mapping[Call, Request] = {
    Call.REGIME_AUDITOR: AuditorRequest(
        timestamp="2020-03-12T20:00:00Z",
        portfolio_state=AuditedPortfolio(
            net_liquidity=982_450.0,
            daily_pnl=-0.0121,
            volatility_zscore=4.8,
            correlation_breakdown=0.71,
        ),
        sector_dispersion={"Energy": 0.112, "Financials": 0.064, "Technology": 0.058},
        bucket_usage=BucketUsage(penny=0.004, fno=0.0, core=0.315),
        put_call_ratio=1.83,
        news_sentiment=-0.62,
        macro_events=("Central bank cuts its rate between meetings",),
    ),
    Call.REWARD_ENGINEER: EngineerRequest(
        timestamp="2020-03-12T20:00:00Z",
        max_drawdown_5d=0.083,
        daily_pnl=-0.0121,
        ensemble_accuracy=0.47,
        sharpe_ratio=-0.8,
        pnl_decomposition=PnlDecomposition(core=-0.0118, penny=-0.0003, fno=0.0, sip=0.0),
        turnover_stats=TurnoverStats(
            daily_turnover=0.041, weekly_turnover=0.22, monthly_turnover=0.93
        ),
        feature_performance={"adx_14": 0.53, "return_5": 0.44, "rsi_14": None},
    ),
    Call.SANITY_JUDGE: JudgeRequest(
        timestamp="2020-03-16T19:05:31Z",
        kill_switch_reason="day P&L -2.61 % at or below -2.50 %",
        recent_trades=(
            RecentTrade(symbol="RY.TO", action="BUY", size=150.0, pnl=-612.5),
            RecentTrade(symbol="SHOP.TO", action="SELL", size=40.0, pnl=-1_904.0),
        ),
        portfolio_state=JudgedPortfolio(net_liquidity=956_810.0, daily_pnl=-0.0261),
    ),
}
EXAMPLE_REPLIES: Mapping[Call, Reply] = {
    Call.REGIME_AUDITOR: AuditorReply(
        regime_label="crisis",
        blend_weights_delta=WeightsDelta(short=-0.1, mid=0.1, rl=0.0),
        bucket_caps_delta=CapsDelta(penny=-0.01, fno=-0.02, core=-0.3),
        do_not_trade_list=("SHOP.TO", "WEED.TO"),
    ),
    Call.REWARD_ENGINEER: EngineerReply(
        reward_coefficients=RewardCoefficients(returns=0.5, turnover=0.2, drawdown=0.3),
        turnover_penalties=TurnoverPenalties(penalty_rate=0.02),
        disabled_features=("return_5",),
    ),
    Call.SANITY_JUDGE: JudgeReply(
        stay_demo=True,
        live_changes=LiveChanges(
            max_position_pct=0.01, stop_multipliers=StopMultipliers(atr=1.5, trailing=1.0)
        ),
    ),
}


def pretty(values: Mapping[str, Any]) -> str:
    """JSON for people: two spaces, keys in the types' order, one newline at the end."""
    return json.dumps(values, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def golden_texts() -> dict[str, str]:
    """Text of every golden file by its name: request, reply and schema of each call."""
    texts = {}
    for call in Call:
        name = call.value.lower()
        texts[f"{name}_request.json"] = pretty(wire_values(EXAMPLE_REQUESTS[call]))
        texts[f"{name}_reply.json"] = pretty(wire_values(EXAMPLE_REPLIES[call]))
        texts[f"{name}_schema.json"] = pretty(reply_schema(call))
    return texts


def examples_markdown() -> str:
    """The runbook's examples: for each call the golden texts, each in a block of its own."""
    texts = golden_texts()
    out = []
    for call in Call:
        out.append(f"### {call.label} (`{call}`)\n")
        for part, title in (
            ("request", "Request"),
            ("reply", "Reply"),
            ("schema", "Schema of the reply"),
        ):
            text = texts[f"{call.value.lower()}_{part}.json"]
            out.append(f"{title}:\n\n```json\n{text}```\n")
    return "\n".join(out)
