"""`hybridnb replay`: a feed's whole predicted history traded from a new account."""

from __future__ import annotations

import time
from typing import Any

from hybridnb.app.context import Request, open_day
from hybridnb.app.history import History, open_history
from hybridnb.app.kernels import MODE, kernel, ready
from hybridnb.app.progress import Say, timed
from hybridnb.domain import SCALE
from hybridnb.replay.run import Replay, replay, rules


def replay_history(
    request: Request, *, first: str, last: str, plain: bool, say: Say
) -> dict[str, Any]:
    """Replay the predicted sessions from `first` to `last` in the mode of the backtest.

    Returns
    -------
    dict
        bars, seconds (of the replay alone, nothing compiled in them), bars_per_s, trades,
        equity (account units at the last close), sha256 (of every order, fill, trade and mark).

    Raises
    ------
    Missing
        When no model was trained for the day.
    """
    history = open_history(open_day(request), first=first, last=last, say=say)
    begin, end = history.sessions
    say(
        f"{history.context.market.feed}: {history.stop - history.start:,} sessions of"
        f" {len(history.panel.symbols)} symbols, {begin} to {end}, model {history.model.version}"
    )
    policy = history.context.settings.policy
    table = rules(policy, MODE, verdict_valid=False)
    run = kernel(plain=plain, say=say)
    if not plain:
        with timed("ready the compiled step", say):
            ready(run, history.tape, history.names, table)
    began = time.perf_counter()
    done = replay(
        history.tape,
        history.names,
        table,
        cash=round(policy.opening_cash * SCALE),
        start=history.start,
        stop=history.stop,
        hints=history.hints.under(policy),
        run=run,
    )
    return _figures(history, done, time.perf_counter() - began)


def _figures(history: History, done: Replay, seconds: float) -> dict[str, Any]:
    return {
        "bars": history.bars,
        "seconds": round(seconds, 6),
        "bars_per_s": round(history.bars / seconds),
        "trades": len(done.trades),
        "equity": int(done.equity[history.stop - 1]) / SCALE,
        "sha256": done.sha256,
    }


def replay_text(done: dict[str, Any]) -> str:
    """The figures as a short table."""
    shown = {
        "bars": f"{done['bars']:,}",
        "seconds": f"{done['seconds']:.3f}",
        "bars a second": f"{done['bars_per_s']:,}",
        "trades": f"{done['trades']:,}",
        "equity": f"{done['equity']:,.2f}",
        "sha256": done["sha256"],
    }
    return "\n".join(f"{name:<14} {value}" for name, value in shown.items())
