"""Success metrics: known answers from a ledger of known sessions, and nothing told from too few."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import pytest
from chronicle import LOSS, Chronicle

from hybridnb.app.ledgers import open_ledger
from hybridnb.app.success import success, success_frame
from hybridnb.gates.evidence import Figure
from hybridnb.gates.presets import QUARTER as SESSIONS


def found(name: str = "book") -> Mapping[str, Figure]:
    return {figure.name: figure for figure in success(open_ledger(), name)}


def fill(slippage: int) -> dict[str, object]:
    row = {"kind": "fill", "book": "book", "session": "2040-01-01", "n": slippage}
    return row | {"slippage": slippage, "reference": 100_0000, "quantity": 10}


def test_a_book_without_sessions_has_no_figures() -> None:
    assert success(open_ledger(), "book") == ()
    assert success_frame(()).empty


def test_what_few_sessions_cannot_tell_has_no_value() -> None:
    book = Chronicle()
    for pnl in (0.001, 0.002, -0.001):
        book.trade(pnl)
    figures = found()
    for name in ("win rate", "ECE", "live / backtest", "slippage", "decision p99.9", "feedback"):
        assert figures[name].value is None and figures[name].passed is None, name
    for name in ("Sharpe", "drawdown", "kill switch", "calls", "uptime"):
        assert figures[name].passed is None and "needed" in figures[name].source, name
    assert figures["uptime"].value == 1.0


def test_the_sharpe_ratio_is_the_sessions_own() -> None:
    book, pnl = Chronicle(), [0.004, -0.002]
    for n in range(SESSIONS):
        book.trade(pnl[n % 2])
    days = np.tile(pnl, SESSIONS // 2)
    expected = days.mean() / days.std(ddof=1) * math.sqrt(252)
    figure = found()["Sharpe"]
    assert figure.value == pytest.approx(expected, rel=1e-3)
    assert figure.passed is True and figure.n == SESSIONS


def test_a_session_that_was_not_traded_is_missed() -> None:
    book = Chronicle()
    book.trade(0.0)
    book.trade(0.0, skip=6)
    figure = found()["uptime"]
    assert (figure.value, figure.passed, figure.n) == (0.25, False, 8)


def test_kills_a_month_and_the_limits_they_break() -> None:
    book = Chronicle()
    for n in range(21):
        book.trade(LOSS if n in (3, 9) else 0.0)
    figures = found()
    assert figures["kill switch"].value == 2.0
    assert figures["kill switch"].passed is False
    assert figures["drawdown"].value == pytest.approx(1.0 - (1.0 + LOSS) ** 2, abs=1e-6)


def test_slippage_is_the_mean_over_fills_in_bps() -> None:
    book = Chronicle()
    book.trade(0.0)
    open_ledger().append(
        "session", [fill(3_000 + n // 15 * 6_000) | {"n": n} for n in range(30)]
    )  # 3 and 9 bps
    figure = found()["slippage"]
    assert (figure.value, figure.passed, figure.n) == (6.0, False, 30)


def test_every_figure_has_words() -> None:
    Chronicle().trade(0.0)
    frame = success_frame(success(open_ledger(), "book"))
    assert set(frame["state"]) <= {"holds", "missed", "not enough evidence"}
    assert (frame.loc[frame["value"] == "–", "state"] == "not enough evidence").all()
