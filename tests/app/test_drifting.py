"""Drift before a training: across a critical one the model from before it stays."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd
import pytest

from hybridnb.app.context import Context, Request, open_day
from hybridnb.app.drifting import PRESENT, drifts, training_end
from hybridnb.app.training import find_model, train, trained_to
from hybridnb.domain import Status

CALMED = "2003-09-05"  # weeks after the average range had left its own history


def opened(session: str, *, blocks: bool = True) -> Context:
    context = open_day(Request(feed="sample", session=session, profile="smoke"))
    day = context.settings.day.model_copy(update={"drift_blocks_training": blocks})
    return replace(context, settings=replace(context.settings, day=day))


def critical(context: Context, to: pd.Timestamp) -> list[str]:
    return [check.name for check in drifts(context, to=to) if check.status is Status.FAIL]


def test_as_shipped_a_critical_drift_blocks_training() -> None:
    assert open_day(Request(feed="sample")).settings.day.drift_blocks_training


def test_the_last_aligned_session_before_the_drift_is_what_a_training_may_see() -> None:
    context, said = opened(CALMED), []
    to = trained_to(context)
    end = training_end(context, to, said.append)
    aligned = context.sessions[context.aligned]
    skipped = aligned[(aligned > end) & (aligned <= to)]
    assert end in aligned and len(skipped) >= 3
    assert critical(context, end) == []
    assert all(critical(context, session) for session in skipped[[0, -1]])
    (line,) = said
    assert critical(context, to)[0] in line and f"{end:%Y-%m-%d}" in line
    free = opened(CALMED, blocks=False)
    assert training_end(free, to, said.append) == to and len(said) == 1


def test_a_drift_as_long_as_the_present_blocks_no_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    context, said = opened(CALMED), []
    to = trained_to(context)
    monkeypatch.setattr("hybridnb.app.drifting._critical", lambda *_: "atr_share")
    assert training_end(context, to, said.append) == to
    (line,) = said
    assert "atr_share" in line and str(PRESENT) in line and "DEMO only" in line


def test_a_blocked_training_serves_the_bytes_of_the_model_from_before() -> None:
    context = opened(CALMED)
    end = training_end(context, trained_to(context), lambda _: None)
    made = train(context, lambda _: None)
    assert made.trained_to == f"{end:%Y-%m-%d}" and not made.reused
    later = opened(f"{context.sessions[context.aligned[-1] - 1]:%Y-%m-%d}")
    assert trained_to(later) < trained_to(context)
    again = train(later, lambda _: None)
    assert again.reused and (again.version, again.files) == (made.version, made.files)
    assert find_model(later).version == made.version == find_model(context).version


def test_without_a_critical_drift_or_enough_rows_nothing_is_blocked() -> None:
    for session in ("2013-03-01", "2001-06-01"):
        context = opened(session)
        to = trained_to(context)
        assert training_end(context, to, pytest.fail) == to
        assert critical(context, to) == []


def test_what_comes_after_the_training_is_not_looked_at() -> None:
    early, late = opened("2003-07-25"), opened("2006-03-01")
    to = trained_to(early)
    assert drifts(late, to=to) == drifts(early, to=to)
    assert training_end(late, to, pytest.fail) == to
    few = drifts(late, to=early.sessions[PRESENT])
    assert {check.status for check in few} == {Status.INSUFFICIENT_EVIDENCE}
