"""Drift before a training: named where an operator has it refused, and looked at as of its end."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd
import pytest

from hybridnb.app.context import Context, Request, open_day
from hybridnb.app.drifting import PRESENT, drifts, refuse_drifted
from hybridnb.domain import Status
from hybridnb.errors import Refused

CALMED = "2004-03-01"  # a year after which volatility had fallen to half


def opened(session: str, *, blocks: bool) -> Context:
    context = open_day(Request(feed="sample", session=session, profile="smoke"))
    day = context.settings.day.model_copy(update={"drift_blocks_training": blocks})
    return replace(context, settings=replace(context.settings, day=day))


def last(context: Context) -> pd.Timestamp:
    return pd.Timestamp(context.session)


def test_a_training_across_a_critical_drift_is_refused_where_it_shall_be() -> None:
    context = opened(CALMED, blocks=True)
    critical = {c.name for c in drifts(context) if c.status is Status.FAIL}
    assert "volatility_20" in critical
    with pytest.raises(Refused, match="volatility_20") as refused:
        refuse_drifted(context, last(context))
    assert "params/day.yml" in refused.value.remedy
    refuse_drifted(opened(CALMED, blocks=False), last(context))


def test_without_a_critical_drift_or_enough_rows_nothing_is_refused() -> None:
    for session in ("2013-03-01", "2001-03-01"):
        context = opened(session, blocks=True)
        refuse_drifted(context, last(context))
        assert Status.FAIL not in {check.status for check in drifts(context)}


def test_what_comes_after_the_training_is_not_looked_at() -> None:
    early, late = opened(CALMED, blocks=True), opened("2006-03-01", blocks=True)
    assert drifts(late, to=last(early)) == drifts(early)
    few = drifts(late, to=early.sessions[PRESENT])
    assert {check.status for check in few} == {Status.INSUFFICIENT_EVIDENCE}
