"""Decisions made again from their recorded inputs, without any bars.

The one thing that no row holds is the returns behind value at risk: the recorded tail of the book
stands for it. Score, caps, multipliers, clamps, refusals and reasons are computed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hybridnb.app.again import Recorded
from hybridnb.app.records import ACTION_NAMES
from hybridnb.canonical import plain, sha256
from hybridnb.decide import DECISION, INPUT, by_conviction, first_says
from hybridnb.domain import SCALE, Bound, Mode, refusal_names
from hybridnb.entries import Account, cap_row, scale_row, stop_risk
from hybridnb.limits import Limits, limits
from hybridnb.reasons import reasons
from hybridnb.totals import context_of, grow, totals_of

Row = Mapping[str, Any]
_WORDS = ("action", "bound", "refusals", "ineligible", "reasons", "input_hash", "decision_id")
FIGURES = tuple(name for name in DECISION.names or () if name not in ("bound", "refused", "action"))


def redecided(one: Recorded) -> tuple[list[dict[str, Any]], tuple[str, ...]]:
    """Decisions of a session, made again from their inputs; the fields that they have.

    Under replies a decision is the tighter of two, of which the record has one set of inputs:
    then only the inputs' own hashes are made again.
    """
    told = [one.decisions[symbol] for symbol in sorted(one.decisions)]
    hashes = [_named(row, {"input_hash": sha256(row["inputs"])}) for row in told]
    if one.of_kind("in_force") or not told:
        return hashes, ("decision_id", "input_hash")
    rows, lim = inputs_of(told), limits(one.policy, Mode(one.opened["mode"]))
    made = _decided(lim, _account(one), rows, told)
    again = [_row(lim, row, given, dec) for row, given, dec in zip(told, rows, made, strict=True)]
    return again, (*_WORDS, *FIGURES)


def inputs_of(told: list[Row]) -> NDArray[Any]:
    """Recorded inputs as `decide` reads them; what is missing is NaN."""
    rows = np.zeros(len(told), INPUT)
    for name in INPUT.names or ():
        values = [row["inputs"][name] for row in told]
        rows[name] = [math.nan if value is None else value for value in values]
    return rows


def _account(one: Recorded) -> Account:
    opened, policy = one.opened, one.policy
    correlation = opened["facts"].get("correlation")
    crisis = opened["regime"] == "crisis"
    crisis |= correlation is not None and correlation > policy.sizing.crisis_correlation
    return Account(opened["equity"] / SCALE, policy.clamps.bucket_fno, bool(crisis))


def _decided(lim: Limits, account: Account, rows: NDArray[Any], told: list[Row]) -> NDArray[Any]:
    """`decide.decide` with the recorded tail of the book in place of its returns."""
    out, quiet = np.zeros(len(rows), DECISION), np.zeros(0)
    acting = first_says(lim, rows, out)
    held, risk = rows["held"].copy(), rows["risk"].copy()
    totals = totals_of(rows, held, risk, np.zeros((len(rows), 0)), (0, 0))
    for rank, k in enumerate(by_conviction(out["score"][acting])):
        i = acting[k]
        row, dec = rows[i], out[i]
        dec["rank"] = rank
        if dec["action"] * row["held"] < 0.0:
            continue
        context = context_of(totals, row, held[i], risk[i])
        cap_row(lim, row, dec, context)
        for name in ("var", "es"):
            dec[name] = math.nan if told[i][name] is None else told[i][name]
        scale_row(lim, account, row, dec, context)
        target = dec["size_post_risk"]
        if abs(target) > abs(held[i]):
            own = max(risk[i], stop_risk(lim, row, abs(target)))
            grow(totals, row, quiet, target - held[i], own - risk[i])
            held[i], risk[i] = target, own
    return out


def _row(lim: Limits, row: Row, given: Any, dec: Any) -> dict[str, Any]:
    figures = {name: dec[name].item() for name in FIGURES}
    words = {
        "action": ACTION_NAMES[int(dec["action"])],
        "bound": list(Bound)[int(dec["bound"])],
        "refusals": refusal_names(int(dec["refused"])),
        "ineligible": refusal_names(int(given["refused"])),
        "reasons": reasons(lim, given, dec),
        "input_hash": sha256(row["inputs"]),
    }
    return _named(row, dict(plain(words | figures)))


def _named(row: Row, fields: Mapping[str, Any]) -> dict[str, Any]:
    return {"kind": "decision", "decision_id": row["decision_id"], **fields}
