"""Each bound of a decision, and how one is taken away while all others stay.

Where a value of the policy has no other effect, the policy is changed. Where it has, the bound is
taken out of what the decision is given: its limits, its account, its refusals. The bucket's
headroom alone needs a walk of its own, since the bucket's limit sets the wanted size too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hybridnb.app.setup import Decide, Setup
from hybridnb.decide import DECISION, by_conviction, first_says
from hybridnb.domain import Refusal
from hybridnb.entries import Account, size_row, stop_risk
from hybridnb.limits import Limits
from hybridnb.policy import Policy, policy_values, validated
from hybridnb.totals import context_of, grow, totals_of

FREE = 1e6  # shares of equity: more than any order
NEVER = 10**6
NO_LIMIT = 1e9
Row = Mapping[str, Any]
Values = Mapping[str, Any]  # of a policy, by dotted key


@dataclass(frozen=True)
class Freed:
    """One bound and what takes it away.

    Attributes
    ----------
    how : str
        In words: a value of the policy, or what was changed instead and why.
    values : mapping
        Of the policy, by dotted key.
    limits : callable
        Of the limits that a decision reads.
    heat : bool
        The heat's limit stays as the operator's policy sets it, whatever `values` changes.
    mask : int
        Bits of `Refusal` that no entry is refused for.
    touched : callable or None
        Whether a recorded decision felt it; None: can't be told from its row, always replayed.
    """

    name: str
    kind: str
    how: str = "a value of the policy"
    values: Values = field(default_factory=dict)
    limits: Callable[[Limits], Limits] = lambda lim: lim
    heat: bool = False
    mask: int = 0
    bucket: bool = False
    margin: bool = False
    edge: bool = False
    verdict: bool = False
    touched: Callable[[Row], bool] | None = None


def _names(lim: Limits) -> Limits:
    return lim._replace(name=tuple(FREE if cap > 0.0 else 0.0 for cap in lim.name))


def _term(name: str) -> Callable[[Row], bool]:
    return lambda row: bool(row[name])


def _factor(name: str) -> Callable[[Row], bool]:
    return lambda row: row["quarter_kelly"] is not None and row[name] != 1.0


def _refused(*codes: str) -> Callable[[Row], bool]:
    return lambda row: bool({*codes} & {*row["refusals"], *row["ineligible"]})


_SHARED = "in the limits a decision reads: the policy's value also sets "
BOUNDS = (
    Freed(
        "per-name cap",
        "clamp",
        _SHARED + "the liquidity's order and what the hint sees, and ends at 1",
        limits=_names,
    ),
    Freed(
        "bucket headroom",
        "clamp",
        "in a walk of its own over the same sizing: the bucket's limit sets the wanted size too",
        bucket=True,
    ),
    Freed(
        "quarter Kelly",
        "clamp",
        "in the limits and the win probability a decision reads: no policy value lets an entry"
        " without an edge pass",
        limits=lambda lim: lim._replace(kelly_fraction=FREE),
        edge=True,
    ),
    Freed(
        "leverage room",
        "clamp",
        "in the limits a decision reads: the policy's value ends at 2",
        limits=lambda lim: lim._replace(max_leverage=FREE),
    ),
    Freed("F&O margin", "clamp", "in the account a decision reads: it is no policy value",
          margin=True),
    Freed("volatility target", "multiplier", values={"sizing.volatility_target": NO_LIMIT},
          touched=_factor("m_volatility")),
    Freed("VaR limit", "multiplier", values={"sizing.var_limit": NO_LIMIT},
          touched=_factor("m_var")),
    Freed("ES limit", "multiplier", values={"sizing.es_limit": NO_LIMIT}, touched=_factor("m_es")),
    Freed("heat limit", "multiplier", values={"sizing.heat_limit": NO_LIMIT},
          touched=_factor("m_heat")),
    Freed("crisis factor", "multiplier", values={"sizing.crisis_factor": 1.0},
          touched=_factor("m_crisis")),
    Freed("missing-hint factor", "multiplier", values={"sizing.no_rl_factor": 1.0},
          touched=_factor("m_posture")),
    Freed("volatility penalty", "penalty", values={"blend.volatility_penalty": 0.0},
          touched=_term("volatility")),
    Freed("news penalty", "penalty", values={"blend.news_penalty": 0.0}, touched=_term("news")),
    Freed("liquidity penalty", "penalty", values={"blend.liquidity_penalty": 0.0},
          touched=_term("illiquid")),
    Freed("correlation penalty", "penalty", values={"blend.correlation_penalty": 0.0},
          touched=_term("decorrelated")),
    Freed("confidence threshold", "gate", values={"sizing.confidence_threshold": 0.0},
          touched=_refused("LOW_CONFIDENCE")),
    Freed("least order value", "gate", values={"sizing.min_order_value": 0.0}),
    Freed("no shorts", "gate", values={"sizing.allow_short": True}, touched=_refused("NO_SHORTS")),
    Freed("do-not-trade list", "gate", values={"lists.do_not_trade": []},
          touched=_refused("DO_NOT_TRADE")),
    Freed("penny filters", "gate", values={"clamps.penny_adv": 0.0, "clamps.penny_price": 0.0},
          touched=_refused("PENNY_ADV", "PENNY_PRICE")),
    Freed(
        "protection locks",
        "gate",
        "in the refusals a decision reads: the policy has no switch for them",
        mask=int(Refusal.LOCKED),
        touched=_refused("LOCKED"),
    ),
    Freed("soft halt", "gate", values={"risk.soft_halt_confirmations": NEVER}),
    Freed(
        "kill switch",
        "gate",
        "a value of the policy; the heat's own limit, which it sets too, stays",
        values={"risk.kill_day_pnl": -1.0},
        heat=True,
    ),
    Freed("quarantine", "gate", values={"risk.quarantine_kills": NEVER}),
    Freed(
        "verdict gate",
        "gate",
        "as if a verdict were valid: no policy value lets a live mode trade without one",
        verdict=True,
        touched=_refused("NO_VERDICT"),
    ),
)  # fmt: skip


def untouched(bound: Freed, decisions: Iterable[Row]) -> bool:
    """Whether no decision felt a bound, so that without it everything is the same."""
    felt = bound.touched
    return felt is not None and not any(felt(row) for row in decisions)


def setup_without(setup: Setup, bound: Freed) -> Setup:
    """What a session is traded with when one bound is gone.

    With replies in force only the operator's bound goes: what a reply tightens stays tight.
    """
    policy = with_values(setup.policy, bound.values)
    return replace(
        setup,
        policy=policy,
        verdict_valid=setup.verdict_valid or bound.verdict,
        decide=deciding_without(setup.decide, bound, setup.policy),
    )


def with_values(policy: Policy, values: Values) -> Policy:
    """A policy with other values, by dotted key, validated again."""
    if not values:
        return policy
    table = policy_values(policy)
    for key, value in values.items():
        room, name = key.split(".")
        table[room] = {**table[room], name: value}
    return validated(Policy, table, file="a bound's policy")


def deciding_without(decide: Decide, bound: Freed, operator: Policy) -> Decide:
    """The decision with one bound taken out of what it is given."""

    def freed(
        lim: Limits, account: Account, rows: NDArray[Any], returns: NDArray[np.float64]
    ) -> NDArray[Any]:
        if bound.heat:
            lim = lim._replace(loss_limit=-operator.risk.kill_day_pnl)
        lim = bound.limits(lim)
        if bound.margin:
            account = account._replace(margin_available=FREE)
        if bound.mask or bound.edge:
            rows = rows.copy()
            rows["refused"] &= ~bound.mask
        for name in ("win_long", "win_short") if bound.edge else ():
            rows[name] = np.where(np.isnan(rows[name]), np.nan, 1.0)
        own = decided_freely if bound.bucket else decide
        return own(lim, account, rows, returns)

    return freed


def decided_freely(
    lim: Limits,
    account: Account,
    rows: NDArray[Any],
    returns: NDArray[np.float64],
    *,
    others: float = -FREE,
) -> NDArray[Any]:
    """`decide.decide` with a bucket that other names never fill.

    Parameters
    ----------
    others : float
        What the others in a bucket are told to hold, as a share of equity; NaN: what they do
        hold, so that this is `decide` to the last bit.
    """
    out = np.zeros(len(rows), DECISION)
    acting, histories = first_says(lim, rows, out), returns.T
    held, risk = rows["held"].copy(), rows["risk"].copy()
    totals = totals_of(rows, held, risk, histories, (0, len(returns)))
    for rank, k in enumerate(by_conviction(out["score"][acting])):
        i = acting[k]
        row, dec, moves = rows[i], out[i], histories[i]
        dec["rank"] = rank
        if dec["action"] * row["held"] < 0.0:
            continue
        context = context_of(totals, row, held[i], risk[i])
        if others == others:
            context = context._replace(bucket=others)
        size_row(lim, account, row, dec, context, moves)
        target = dec["size_post_risk"]
        if abs(target) > abs(held[i]):
            own = max(risk[i], stop_risk(lim, row, abs(target)))
            grow(totals, row, moves, target - held[i], own - risk[i])
            held[i], risk[i] = target, own
    return out
