"""`hybridnb explain`: one decision, every term back to the rows it was made from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hybridnb.app.ledgers import open_ledger
from hybridnb.app.records import decision_rows
from hybridnb.app.views import MULTIPLIERS
from hybridnb.blender import blend
from hybridnb.canonical import sha256
from hybridnb.domain import Mode, Refusal
from hybridnb.errors import UsageError
from hybridnb.ledger.store import Ledger
from hybridnb.limits import Limits, limits
from hybridnb.policy import Policy, validated

Row = Mapping[str, Any]
_BLENDED = ("p_short", "p_mid", "rl", "volatility_z", "sentiment", "liquidity")
_PAIRED = ("correlation", "correlation_floor")
EXPLAINED = "explained"  # rows of the operations chain: a model's words on a decision


def _limits(ledger: Ledger, same: Mapping[str, str]) -> Limits:
    opened = ledger.rows("session", kind="session_opened", **same)[0]
    policy = ledger.rows("session", kind="policy", **same)[0]["values"]
    return limits(validated(Policy, policy, file="the ledger's policy"), Mode(opened["mode"]))


def explain_decision(asked: str) -> tuple[dict[str, Any], str]:
    """The recorded decision and its explanation; a symbol stands for its last decision.

    The score is computed again from the recorded inputs and policy, and the inputs' hash with it.

    Raises
    ------
    UsageError
        When no such decision is in the ledger.
    """
    ledger = open_ledger()
    every = [row for kind in ("decision", "universe") for row in ledger.rows("session", kind=kind)]
    found = sorted(decision_rows(every, asked), key=lambda row: str(row["session"]))
    if not found:
        known = sorted({r["symbol"] for r in decision_rows(every)})
        raise UsageError(
            f"no decision {asked!r} in the ledger",
            remedy=f"Symbols with decisions: {', '.join(known) or 'none yet'}.",
        )
    row = found[-1]
    same = {"book": row["book"], "session": row["session"]}
    opened = ledger.rows("session", kind="session_opened", **same)[0]
    orders = [
        r
        for r in ledger.rows("session", kind="order", **same)
        if r["decision_id"] == row["decision_id"]
    ]
    lim = _limits(ledger, same)
    again = _again(lim, row)
    checks = {
        "score_recomputed": again["score"],
        "score_equal": again["score"] == row["score"],
        "input_hash_equal": sha256(row["inputs"]) == row["input_hash"],
    }
    told = explanation(ledger, row["decision_id"])
    lines = [*_lines(row, opened, lim, checks, orders), *(_told(told) if told else ())]
    shown = {"decision": dict(row), "opened": dict(opened), "orders": orders, "explanation": told}
    return shown | checks, "\n".join(lines)


def explanation(ledger: Ledger, decision_id: str) -> dict[str, Any] | None:
    """What a model said of a decision after its session, if it said something; the last row."""
    rows = ledger.rows("operations", kind=EXPLAINED, decision_id=decision_id)
    return next((row for row in reversed(rows) if row["advice"] is not None), None)


def _told(row: Row) -> list[str]:
    """A model's words, told apart from what was computed."""
    said = row["advice"]
    return _section(
        f"In the words of a model ({row['model']}), written after the session: no part of any"
        " decision, and not checked",
        [
            said["explanation"],
            f"scenario {said['scenario']}; it would {said['action'].replace('_', ' ')}",
            *(f"risk: {risk}" for risk in said["risks"]),
        ],
    )


def _again(lim: Limits, row: Row) -> dict[str, Any]:
    given = {n: _number(row["inputs"][n]) for n in (*_BLENDED, *_PAIRED)}
    return {"score": blend(lim, **given).score}


def _number(value: float | None) -> float:
    return float("nan") if value is None else value


def _lines(row: Row, opened: Row, lim: Limits, checks: Row, orders: Sequence[Row]) -> list[str]:
    return [
        f"{row['symbol']} on {row['session']}, decided on what was known at the close of"
        f" {opened['seen']}: {row['action']}",
        *_section("Input rows", _inputs(row)),
        *_section("Score", _score(row, lim, checks)),
        *_section("Size, shares of equity", _size(row, lim)),
        *_section("Reasons", [", ".join(row["reasons"]), *_refused(row)]),
        *_section("Orders", _orders(orders)),
        *_section(
            "Stamps",
            [
                f"decision {row['decision_id']}",
                f"policy {row['policy_id']}",
                f"experiment {row['experiment_id']}, model {row['model_version']}",
                f"inputs {row['input_hash']}"
                f" ({'recomputed: equal' if checks['input_hash_equal'] else 'DIFFERS'})",
            ],
        ),
    ]


def _section(title: str, lines: list[str]) -> list[str]:
    return ["", title, *(f"  {line}" for line in lines)]


def _inputs(row: Row) -> list[str]:
    bar, given = row.get("bar") or {}, row["inputs"]
    prices = "  ".join(f"{n} {_shown(v)}" for n, v in bar.items() if n != "session")
    features = [f"{n} {_shown(v)}" for n, v in (row.get("features") or {}).items()]
    lines = [f"bar {bar.get('session', '–')}: {prices}"]
    lines += ["features: " + ", ".join(features[i : i + 4]) for i in range(0, len(features), 4)]
    return [
        *lines,
        f"predictors: short {_shown(row['raw']['short_raw'])} ranks {_shown(given['p_short'])}"
        f" among its own earlier outputs; mid {_shown(row['raw']['mid_raw'])} ranks"
        f" {_shown(given['p_mid'])}",
        f"calibrated probability of the target before the stop: long {_shown(given['win_long'])},"
        f" short {_shown(given['win_short'])}",
        f"held {_shown(given['held'])} of equity, open risk {_shown(given['risk'])}",
    ]


def _score(row: Row, lim: Limits, checks: Row) -> list[str]:
    given = row["inputs"]
    weights = (lim.weight_short, lim.weight_mid, lim.weight_rl)
    names = ("p_short", "p_mid", "rl")
    present = [(w, n) for w, n in zip(weights, names, strict=True) if given[n] is not None]
    total = sum(w for w, _ in present) or 1.0
    sums = " + ".join(f"{w / total:.4g} × {given[n]:.6f} ({n})" for w, n in present)
    charged = [
        (f"− {row[name]:.4g}" if row[name] else "  0")
        + f" {what} ("
        + ", ".join(f"{fact} {_shown(given[fact])}" for fact in facts)
        + ")"
        for name, what, *facts in (
            ("volatility", "volatility spike", "volatility_z"),
            ("news", "negative news", "sentiment"),
            ("illiquid", "low liquidity", "liquidity"),
            ("decorrelated", "correlation breakdown", "correlation", "correlation_floor"),
        )
    ]
    equal = "equal" if checks["score_equal"] else "DIFFERS"
    return [
        f"base = {sums or 'nothing known'} = {_shown(row['base'])}",
        *charged,
        f"score = {_shown(row['score'])} (recomputed: {equal});"
        f" BUY from {lim.buy:g}, SELL to {lim.sell:g}; confidence {_shown(row['confidence'])}",
    ]


def _size(row: Row, lim: Limits) -> list[str]:
    lines = [f"size_pre = {_shown(row['size_pre'])} (bucket {row['bucket']})"]
    if row["quarter_kelly"] is not None:
        lines += [
            f"capped = {_shown(row['capped'])}, bound by {row['bound']}: headroom"
            f" {_shown(row['headroom'])}, quarter Kelly {_shown(row['quarter_kelly'])}",
            " × ".join(f"{n[2:]} {_shown(row[n])}" for n in MULTIPLIERS)
            + f"  (VaR {_shown(row['var'])}, ES {_shown(row['es'])}, heat {_shown(row['heat'])})",
        ]
    return [*lines, f"size_post_risk = {_shown(row['size_post_risk'])}, bound by {row['bound']}"]


def _refused(row: Row) -> list[str]:
    codes = dict.fromkeys([*row["ineligible"], *row["refusals"]])
    return [f"entries refused: {name}: {Refusal[name].text}" for name in codes]


def _orders(orders: Sequence[Row]) -> list[str]:
    return [
        f"{o['leg']} {o['side']} {o['quantity']} {o['type']}: {o['state']}"
        + (f" ({', '.join(o['refusals'])})" if o["refusals"] else "")
        for o in orders
    ] or ["none"]


def _shown(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.6g}"
