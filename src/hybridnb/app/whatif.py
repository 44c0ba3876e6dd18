"""What the same day would have looked like in a live mode: stepped in memory, nothing recorded."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pandas as pd

from hybridnb.app.desk import Setup
from hybridnb.app.panel import Day
from hybridnb.app.records import Recorder, decision_rows
from hybridnb.app.session import step
from hybridnb.app.state import State
from hybridnb.domain import SCALE, Leg, Mode, OrderState


def as_live(state: State, day: Day, setup: Setup, *, verdict_valid: bool) -> pd.DataFrame:
    """The day from the same book in every mode, with the verdict as it is and as if it passed.

    Parameters
    ----------
    state : State
        Before the session.
    verdict_valid : bool
        Whether this model may send a live order today.

    Returns
    -------
    DataFrame
        One row a mode: entries sent, their value in account units, what refused the others.
    """
    cases = [("with today's verdict", verdict_valid)]
    if not verdict_valid:
        cases.append(("if the verdict were PASS", True))
    found = [_case(state, day, setup, mode=Mode.DEMO, name="as traded", valid=verdict_valid)]
    for mode in (Mode.LIVE_MICRO, Mode.LIVE_LIMITED, Mode.LIVE):
        for name, valid in cases:
            found.append(_case(state, day, setup, mode=mode, name=name, valid=valid))
    return pd.DataFrame(found)


def _case(
    state: State, day: Day, setup: Setup, *, mode: Mode, name: str, valid: bool
) -> dict[str, object]:
    # A new control plane of that mode: the question is what the mode's caps and gates would do.
    risk = replace(state.risk, mode=mode, killed=False)
    record = Recorder(book="what-if", session=day.session, stamp={})
    step(replace(state, risk=risk), day, replace(setup, verdict_valid=valid), record)
    sent = {
        r["client_id"]: r
        for r in record.rows
        if r["kind"] == "order" and r["leg"] == Leg.ENTRY and r["state"] != OrderState.REJECTED
    }
    value = sum(r["quantity"] * day.last[r["symbol"]] for r in sent.values()) / SCALE
    refused = Counter(
        code for r in decision_rows(record.rows) if r["action"] != "HOLD" for code in r["refusals"]
    )
    why = ", ".join(f"{code} × {n}" for code, n in refused.most_common(3))
    return {
        "mode": str(mode),
        "verdict": name,
        "entries": len(sent),
        "value": value,
        "refused": why or "–",
    }
